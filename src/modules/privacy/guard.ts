/**
 * What privacy lists and block lists keep away, for one host: the decisions on every stanza, from memory wherever the
 * account has a session here. mod_privacy and mod_blocking share one guard, whichever of them is configured.
 */
import type { InstalledModule, ModuleContext } from "../../hooks/define-module.ts";
import { deliverTo, drop, type Effect, type MaybePromise, type Outcome, route } from "../../hooks/effect.ts";
import type { Registrar, RosterEntry } from "../../hooks/points.ts";
import { marks } from "../../session/resource.ts";
import { asItIs, Session, SessionSlot } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { presence, type Stanza } from "../../stanza/stanza.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { then } from "../../util/maybe-promise.ts";
import { type ContactFacts, isBlock, kindOf, PRESENCE_IN, PRESENCE_OUT, type PrivacyList } from "./privacy-list.ts";
import { nothingStored, type PrivacyState, PrivacyStore, type PrivacyWish } from "./privacy-store.ts";

/** Accounts without a session here whose lists are remembered. */
const rememberedMax = 10_000;
/** How long they are, should word of a change on another node be lost. */
const rememberedMs = 30_000;
/** Contacts of one account whose roster entries are known to the last step of delivery. */
const factsMax = 64;

export type PrivacyHouse = Pick<
  ModuleContext<unknown>,
  | "domain"
  | "store"
  | "clock"
  | "random"
  | "log"
  | "sessionsOf"
  | "resourcesOf"
  | "notices"
  | "told"
  | "run"
  | "ask"
  | "installed"
>;

/** Per session: the name of its active list. */
const activeName = new SessionSlot<string>("privacy", asItIs);

interface Remembered {
  readonly state: PrivacyState;
  readonly at: number;
}

/** An account with sessions here. */
interface Present {
  state: PrivacyState;
  /** Another node may have changed it: it is read again before it decides anything. */
  stale: boolean;
  /** Of contacts that wrote lately; only kept for lists about groups and subscriptions. */
  facts: BoundedMap<string, ContactFacts> | undefined;
}

const stranger: ContactFacts = { subscription: "none", groups: [] };

/** One guard for each host; the list of installed modules is what both modules have in common. */
const guards = new WeakMap<readonly InstalledModule[], Guard>();

/** The guard of a host; the first module that asks sets it up. */
export function guardOf(on: Registrar, house: PrivacyHouse): Guard {
  let guard = guards.get(house.installed);
  if (guard === undefined) {
    guard = new Guard(house);
    guards.set(house.installed, guard);
    guard.install(on);
  }
  return guard;
}

export class Guard {
  readonly #house: PrivacyHouse;
  readonly #store: PrivacyStore;
  readonly #present = new Map<string, Present>();
  readonly #remembered = new BoundedMap<string, Remembered>(rememberedMax);
  /** Last words of contacts that have just been shut out: they pass. */
  readonly #farewells = new WeakSet<Stanza>();
  /** Called after every change, with what resources are to be told. */
  readonly #pushers: ((account: Jid, before: PrivacyState, after: PrivacyState) => readonly Effect[])[] = [];
  /** Tells other nodes that an account's lists have changed. */
  readonly #tell: (account: string) => void;
  /** Sessions here with an active list: while there are none, the last step of delivery asks nothing. */
  #activeSessions = 0;

  constructor(house: PrivacyHouse) {
    this.#house = house;
    this.#store = new PrivacyStore(house.store);
    this.#tell = house.notices("privacy", (account) => this.#changedElsewhere(account));
  }

  install(on: Registrar): void {
    for (const kind of ["message", "presence", "iq"] as const) {
      on.stage("outgoing", kind, (stanza, session) => this.#outgoing(stanza, session));
      on.stage("incoming", kind, (stanza, account) => this.#incoming(stanza, account));
      on.stage("delivering", kind, (stanza, session) => this.#delivering(stanza, session));
    }
    on.answer("blocked", (account, session, stanza, direction) => this.#isBlocked(account, session, stanza, direction));
    on.session("opened", (session) => this.#opened(session));
    on.session("ended", (session) => {
      this.#ended(session);
      return undefined;
    });
    on.session("arrived", (session) => {
      if (activeName.get(session) !== undefined) this.#activeSessions++;
      return this.#opened(session);
    });
    on.session("left", (session) => {
      this.#ended(session);
      return undefined;
    });
    on.answer("personalData", (account) => [this.#store.personalData(account)]);
    on.account("removed", async (account) => {
      await this.#store.remove(account);
      this.#remembered.delete(account.bare);
      this.#present.delete(account.bare);
    });
  }

  /** After each change of an account's lists, `push` says which sessions are told what. */
  onChange(push: (account: Jid, before: PrivacyState, after: PrivacyState) => readonly Effect[]): void {
    this.#pushers.push(push);
  }

  // Who is here, and what is known of them.

  #opened(session: Session): MaybePromise<undefined> {
    if (this.#present.has(session.account.bare)) return undefined;
    return then(this.#store.load(session.account), (state) => {
      if (!this.#house.sessionsOf(session.account).includes(session)) return undefined;
      this.#present.set(session.account.bare, { state, stale: false, facts: undefined });
      this.#remembered.delete(session.account.bare);
      return undefined;
    });
  }

  #ended(session: Session): void {
    if (activeName.get(session) !== undefined) this.#activate(session, undefined);
    const { account } = session;
    if (this.#house.sessionsOf(account).length > 0) return;
    const present = this.#present.get(account.bare);
    this.#present.delete(account.bare);
    if (present !== undefined) this.#remember(account, present.state);
  }

  #remember(account: Jid, state: PrivacyState): void {
    this.#remembered.set(account.bare, { state, at: this.#house.clock.monotonic() });
  }

  /** The account's lists if they are in memory. */
  #known(account: Jid): PrivacyState | undefined {
    const present = this.#present.get(account.bare);
    if (present !== undefined) return present.stale ? undefined : present.state;
    const remembered = this.#remembered.get(account.bare);
    if (remembered === undefined) return undefined;
    return this.#house.clock.monotonic() - remembered.at < rememberedMs ? remembered.state : undefined;
  }

  /** The newest state, for requests about the lists themselves. */
  load(account: Jid): MaybePromise<PrivacyState> {
    return then(this.#store.load(account), (state) => {
      this.#learn(account, state);
      return state;
    });
  }

  #learn(account: Jid, state: PrivacyState): void {
    const present = this.#present.get(account.bare);
    if (present === undefined) this.#remember(account, state);
    else if (state.version >= present.state.version) {
      present.state = state;
      present.stale = false;
    }
  }

  // Decisions.

  #outgoing(stanza: Stanza, session: Session): MaybePromise<Outcome> {
    const to = stanza.to;
    if (to === undefined || this.#isExempt(session.account, to)) return undefined;
    const state = this.#known(session.account);
    if (state === nothingStored) return undefined;
    if (state === undefined) return then(this.load(session.account), () => this.#outgoing(stanza, session));
    const list = listOf(state, session);
    if (list === undefined) return undefined;
    if (!list.needsRoster) return sendOrRefuse(list, stanza, to, stranger);
    const facts = this.#facts(session.account, to);
    if (facts instanceof Promise) return facts.then((settled) => sendOrRefuse(list, stanza, to, settled));
    return sendOrRefuse(list, stanza, to, facts);
  }

  #incoming(stanza: Stanza, account: Jid): MaybePromise<Outcome> {
    const from = stanza.from;
    if (from === undefined || this.#isExempt(account, from)) return undefined;
    const state = this.#known(account);
    if (state === nothingStored) return undefined;
    if (state === undefined) return then(this.load(account), () => this.#incoming(stanza, account));
    if (state.lists.size === 0) return undefined;
    const lists = this.#listsConcerned(state, account, stanza.to!);
    if (lists === undefined) return undefined;
    if (!lists.some((list) => list.needsRoster)) return takeOrRefuse(lists, stanza, from, stranger);
    const facts = this.#facts(account, from);
    if (facts instanceof Promise) return facts.then((settled) => this.#takeKnowing(lists, stanza, account, settled));
    return this.#takeKnowing(lists, stanza, account, facts);
  }

  #takeKnowing(lists: readonly PrivacyList[], stanza: Stanza, account: Jid, facts: ContactFacts): Outcome {
    const present = this.#present.get(account.bare);
    if (present !== undefined && this.#activeSessions > 0) {
      present.facts ??= new BoundedMap(factsMax);
      present.facts.set(stanza.from!.full, facts);
    }
    return takeOrRefuse(lists, stanza, stanza.from!, facts);
  }

  /**
   * The lists of those the stanza may reach: a session's active list, else the default (section 2.2). Undefined when one
   * of them has none. Where they differ, the stage "delivering" tells the sessions apart.
   */
  #listsConcerned(state: PrivacyState, account: Jid, to: Jid): PrivacyList[] | undefined {
    const byDefault = defaultOf(state);
    if (this.#activeSessions === 0 && !this.#isActiveElsewhere(account)) return byDefault && [byDefault];
    const lists: PrivacyList[] = [];
    for (const resource of this.#house.resourcesOf(account)) {
      if (to.resource !== "" && resource.jid.resource !== to.resource) continue;
      if (!(resource instanceof Session) && resource.marked(marks.privacyActive)) return undefined;
      const list = resource instanceof Session ? listOf(state, resource) : byDefault;
      if (list === undefined) return undefined;
      if (!lists.includes(list)) lists.push(list);
    }
    if (lists.length > 0) return lists;
    return byDefault === undefined ? undefined : [byDefault];
  }

  #isActiveElsewhere(account: Jid): boolean {
    return this.#house.resourcesOf(account).some((resource) => resource.marked(marks.privacyActive));
  }

  /** Only for sessions with an active list; the account's default was asked when the stanza came in. */
  #delivering(stanza: Stanza, session: Session): Outcome {
    if (this.#activeSessions === 0) return undefined;
    const present = this.#present.get(session.account.bare);
    if (present === undefined || this.#farewells.has(stanza) || !this.#hasActive(session.account)) return undefined;
    const from = stanza.from;
    if (from === undefined || this.#isExempt(session.account, from)) return undefined;
    const list = listOf(present.state, session);
    if (list === undefined) return undefined;
    // Without facts it did not come in as a stanza of that contact, but as something we made of one that was let in.
    const facts = list.needsRoster ? present.facts?.get(from.full) : stranger;
    if (facts === undefined || !list.denies(from, kindOf(stanza, "in"), facts)) return undefined;
    return drop("kept away by the session's privacy list");
  }

  #hasActive(account: Jid): boolean {
    for (const session of this.#house.sessionsOf(account)) if (activeName.get(session) !== undefined) return true;
    return false;
  }

  #isBlocked(
    account: Jid,
    session: Session | undefined,
    stanza: Stanza,
    direction: "in" | "out",
  ): MaybePromise<boolean | undefined> {
    const peer = direction === "in" ? stanza.from : stanza.to;
    if (peer === undefined || this.#isExempt(account, peer)) return false;
    const state = this.#known(account);
    if (state === nothingStored) return false;
    if (state === undefined) {
      return then(this.load(account), () => this.#isBlocked(account, session, stanza, direction));
    }
    const list = session === undefined ? defaultOf(state) : listOf(state, session);
    if (list === undefined) return false;
    const kind = kindOf(stanza, direction);
    if (!list.needsRoster) return list.denies(peer, kind);
    const facts = this.#facts(account, peer);
    if (facts instanceof Promise) return facts.then((settled) => list.denies(peer, kind, settled));
    return list.denies(peer, kind, facts);
  }

  /** XEP-0016 and 0191, notes: never between resources of one user; nor is a user cut off from the own server. */
  #isExempt(account: Jid, peer: Jid): boolean {
    return peer.bare === account.bare || (peer.local === "" && peer.domain === this.#house.domain);
  }

  #facts(account: Jid, contact: Jid): MaybePromise<ContactFacts> {
    const entry = this.#house.ask("rosterItem", account, contact);
    return entry instanceof Promise ? entry.then((found) => found ?? stranger) : (entry ?? stranger);
  }

  // Changes.

  activeNameOf(session: Session): string | undefined {
    return activeName.get(session);
  }

  /** Whether another resource has made this list its active one; of those on other nodes the name is not known. */
  mayBeActiveElsewhere(session: Session, name: string): boolean {
    return this.#house.resourcesOf(session.account).some((other) => {
      if (other.jid.resource === session.jid.resource) return false;
      return other instanceof Session ? activeName.get(other) === name : other.marked(marks.privacyActive);
    });
  }

  /** Makes a list of `state` the active one of a session, or none; contacts learn what they may see now. */
  async setActive(session: Session, name: string | undefined): Promise<Effect[]> {
    const state = await this.load(session.account);
    if (name !== undefined && !state.lists.has(name)) throw new StanzaError("item-not-found");
    const before = listOf(state, session);
    this.#activate(session, name);
    return this.#presenceChanges(session.account, [{ session, before, after: listOf(state, session) }]);
  }

  #activate(session: Session, name: string | undefined): void {
    this.#activeSessions += (name === undefined ? 0 : 1) - (activeName.get(session) === undefined ? 0 : 1);
    activeName.set(session, name);
    session.mark(marks.privacyActive, name !== undefined);
  }

  /**
   * Changes an account's lists and brings all that follows: pushes, and presence for those who may see it now or no
   * longer. Throws what `decide` throws, `StanzaError` resource-constraint, and the errors of the store.
   */
  async change(account: Jid, decide: (state: PrivacyState) => PrivacyWish | undefined): Promise<Effect[]> {
    const { before, after } = await this.#store.change(account, decide);
    const affected = this.#adopt(account, before, after);
    if (before === after) return [];
    this.#tell(account.bare);
    await this.#house.told();
    const effects: Effect[] = [];
    for (const push of this.#pushers) effects.push(...push(account, before, after));
    effects.push(...(await this.#presenceChanges(account, affected)));
    return effects;
  }

  /** Another node has changed an account's lists, or perhaps any account's: sessions here follow. */
  #changedElsewhere(bare: string | undefined): void {
    if (bare === undefined) {
      this.#remembered.clear();
      for (const present of this.#present.values()) present.stale = true;
      return;
    }
    this.#remembered.delete(bare);
    const present = this.#present.get(bare);
    const account = parseJid(bare);
    if (present === undefined || account === undefined) return;
    present.stale = true;
    this.#follow(account, present.state).catch((error: unknown) => {
      this.#house.log.warn(
        { err: error, jid: bare },
        "changed privacy lists could not be read; the next stanza tries again",
      );
    });
  }

  async #follow(account: Jid, before: PrivacyState): Promise<void> {
    const affected = this.#adopt(account, before, await this.#store.load(account));
    await this.#house.run(await this.#presenceChanges(account, affected));
  }

  /** Takes over a state; returns the sessions here for which another list holds now. */
  #adopt(account: Jid, before: PrivacyState, after: PrivacyState): Affected[] {
    const affected: Affected[] = [];
    for (const session of this.#house.sessionsOf(account)) {
      const listBefore = listOf(before, session);
      const name = activeName.get(session);
      if (name !== undefined && !after.lists.has(name)) this.#activate(session, undefined);
      const listAfter = listOf(after, session);
      if (listBefore !== listAfter) affected.push({ session, before: listBefore, after: listAfter });
    }
    this.#learn(account, after);
    return affected;
  }

  /** XEP-0016 sections 2.10 and 2.11, XEP-0191 sections 3.3 and 3.4: who has just been shut out sees the user leave, and the other way round. */
  async #presenceChanges(account: Jid, affected: readonly Affected[]): Promise<Effect[]> {
    const concerned = affected.filter(({ session }) => session.available);
    if (concerned.length === 0) return [];
    const roster = (await this.#house.ask("roster", account)) ?? [];
    const effects: Effect[] = [];
    for (const contact of roster) {
      const jid = parseJid(contact.jid);
      if (jid === undefined || contact.subscription === "none") continue;
      for (const change of concerned) this.#contactChange(account, contact, jid, change, effects);
    }
    return effects;
  }

  #contactChange(account: Jid, contact: RosterEntry, jid: Jid, change: Affected, effects: Effect[]): void {
    const { session, before, after } = change;
    if (session.presence === undefined) return;
    if (contact.subscription !== "to") {
      const denied = before?.denies(jid, PRESENCE_OUT, contact) === true;
      const denies = after?.denies(jid, PRESENCE_OUT, contact) === true;
      if (!denied && denies) effects.push(route(presence({ type: "unavailable", from: session.jid, to: jid })));
      if (denied && !denies) effects.push(route(session.presence.withTo(jid)));
    }
    if (contact.subscription !== "from") {
      const denied = before?.denies(jid, PRESENCE_IN, contact) === true;
      const denies = after?.denies(jid, PRESENCE_IN, contact) === true;
      if (!denied && denies) {
        for (const from of this.#seenResources(jid)) {
          const farewell = presence({ type: "unavailable", from, to: account });
          this.#farewells.add(farewell);
          effects.push(deliverTo(session, farewell));
        }
      }
      if (denied && !denies) effects.push(route(presence({ type: "probe", from: session.jid, to: jid.toBare() })));
    }
  }

  /** Resources of a contact that a client may believe to be there; of other servers we know none by name. */
  #seenResources(contact: Jid): Jid[] {
    if (contact.domain !== this.#house.domain) return [contact];
    return this.#house
      .resourcesOf(contact.toBare())
      .filter((resource) => resource.available)
      .map((resource) => resource.jid);
  }
}

interface Affected {
  readonly session: Session;
  readonly before: PrivacyList | undefined;
  readonly after: PrivacyList | undefined;
}

export function defaultOf(state: PrivacyState): PrivacyList | undefined {
  return state.defaultName === undefined ? undefined : state.lists.get(state.defaultName);
}

/** Section 2.2: the active list alone, else the default. */
function listOf(state: PrivacyState, session: Session): PrivacyList | undefined {
  const name = activeName.get(session);
  const active = name === undefined ? undefined : state.lists.get(name);
  return active ?? defaultOf(state);
}

const blockedCondition = `<blocked xmlns='${ns.blockingErrors}'/>`;

/** XEP-0191 section 3.3, XEP-0016 section 2.13: the user himself learns that he has shut somebody out. */
function sendOrRefuse(list: PrivacyList, stanza: Stanza, to: Jid, facts: ContactFacts): Outcome {
  const rule = list.ruleFor(to, kindOf(stanza, "out"), facts);
  if (rule === undefined || rule.allow) return undefined;
  if (stanza.type === "error" || stanza.type === "result") return drop("an answer to somebody shut out");
  throw new StanzaError("not-acceptable", {
    type: "cancel",
    application: isBlock(rule) ? blockedCondition : undefined,
  });
}

/** XEP-0191 section 3.3, XEP-0016 section 2.14: whoever is shut out sees what he would see if the user were away. */
function takeOrRefuse(lists: readonly PrivacyList[], stanza: Stanza, from: Jid, facts: ContactFacts): Outcome {
  const kind = kindOf(stanza, "in");
  for (const list of lists) if (!list.denies(from, kind, facts)) return undefined;
  if (stanza.kind === "presence" || stanza.type === "error" || stanza.type === "result") {
    return drop("kept away by a privacy list");
  }
  throw new StanzaError("service-unavailable");
}
