/** RFC 6121 rosters and subscriptions at work: what is stored, what is pushed, and who is told. */

import type { ModuleContext } from "../../hooks/define-module.ts";
import { deliverTo, drop, type Effect, handled, type MaybePromise, reply, route } from "../../hooks/effect.ts";
import type { IqContext, PresenceContact, RosterEntry } from "../../hooks/points.ts";
import { marks } from "../../session/resource.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { Jid, parseJid } from "../../stanza/jid.ts";
import { iq, presence, Stanza } from "../../stanza/stanza.ts";
import { then } from "../../util/maybe-promise.ts";
import { ContactCache, type Contacts } from "./contact-cache.ts";
import { itemText, queryXml, readWish, removedText } from "./roster-item.ts";
import { type Decision, type Owner, type RosterChange, type RosterItem, RosterStore } from "./roster-store.ts";
import {
  FROM,
  inbound,
  outbound,
  PENDING_IN,
  PENDING_OUT,
  type SubscriptionState,
  type SubscriptionType,
  subscriptionOf,
  TO,
} from "./subscription.ts";

export interface RosterSettings {
  readonly versioning: boolean;
  readonly maxItems: number;
  readonly maxPendingRequests: number;
  readonly cachedContacts: number;
}

/** What of the house rosters need. */
export type RosterHouse = Pick<
  ModuleContext<RosterSettings>,
  "domain" | "options" | "store" | "random" | "resourcesOf" | "notices" | "ask" | "askAll" | "accountExists"
>;

/** RFC 6121 section 2.2: a resource that has asked for the roster, and so gets pushes. */

/** How often a roster is read again that changed while it was read. */
const readsMax = 3;

/** Between the parts of a stored request; forbidden in XML. */
const separator = "\u001f";

export class Rosters {
  readonly #house: RosterHouse;
  readonly #store: RosterStore;
  readonly #cache: ContactCache;
  /** Tells other nodes that a roster has changed. */
  readonly #tell: (account: string) => void;

  constructor(house: RosterHouse) {
    this.#house = house;
    const { maxItems, maxPendingRequests, cachedContacts } = house.options;
    this.#store = new RosterStore(house.store, { items: maxItems, requests: maxPendingRequests });
    this.#cache = new ContactCache(cachedContacts);
    this.#tell = house.notices("roster", (account) => {
      if (account === undefined) this.#cache.forgetAll();
      else this.#cache.forget(account);
    });
  }

  // Section 2: the roster.

  /** Sections 2.1.3 and 2.6. From now on the resource gets pushes. */
  get({ session, from, payload }: IqContext): MaybePromise<Effect | undefined> {
    if (session !== undefined) session.mark(marks.roster, true);
    const owner = ownerOf(from);
    const additions = this.#house.ask("rosterAdditions", from.toBare());
    if (additions === undefined) return this.#read(owner, payload.attr("ver"), 1);
    // No version counts what others add: such a roster is always sent.
    return then(additions, (items = []) => this.#read(owner, undefined, 1, items.join("")));
  }

  #read(owner: Owner, known: string | undefined, reads: number, additions = ""): MaybePromise<Effect | undefined> {
    const before = this.#cache.changes;
    // The version is read first: what a client then believes too old is only sent to it again.
    return then(this.#house.options.versioning ? this.#store.version(owner) : undefined, (version) => {
      if (version !== undefined && known === String(version)) return undefined;
      return then(this.#store.list(owner), (items) => {
        // A push must not overtake a result that does not hold it yet.
        if (before !== this.#cache.changes && reads < readsMax) return this.#read(owner, known, reads + 1, additions);
        let text = additions;
        for (const item of items) text += itemText(item);
        return reply(queryXml(text, version));
      });
    });
  }

  /** Sections 2.3 to 2.5. */
  async set({ from, payload }: IqContext): Promise<Effect[]> {
    const wish = readWish(payload);
    const account = from.toBare();
    return wish.remove ? this.remove(account, wish.contact) : this.put(account, wish.contact, wish.name, wish.groups);
  }

  /** Adds a contact, or changes its name and groups. The result is pushed also where it is what was there. */
  async put(account: Jid, contact: Jid, name: string, groups: readonly string[]): Promise<Effect[]> {
    if (contact.bare === account.bare) throw new StanzaError("not-allowed", { text: "Nobody is their own contact" });
    const put: Decision = (current) => {
      if (current === undefined) return { jid: contact.full, name, groups, state: 0, listed: true, request: "" };
      const same = current.listed && current.name === name && sameGroups(current.groups, groups);
      return same ? current : { ...current, name, groups, listed: true };
    };
    const change = await this.#change(account, contact, put);
    if (change !== undefined) return this.#pushes(account, change);
    const item = await this.#store.find(ownerOf(account), contact.full);
    const version = await this.#store.version(ownerOf(account));
    return item === undefined ? [] : this.#push(account, itemText(item), version);
  }

  /** Section 2.5.2. @throws StanzaError item-not-found. */
  async remove(account: Jid, contact: Jid): Promise<Effect[]> {
    const change = await this.#change(account, contact, (current) => {
      if (current?.listed !== true) throw new StanzaError("item-not-found");
      return "remove";
    });
    if (change?.before === undefined) return [];
    return [...this.#pushes(account, change), ...(await this.#partings(account, change.before))];
  }

  /** The account's entry for this very address, else for the account behind it. */
  async entry(account: Jid, contact: Jid): Promise<RosterEntry | undefined> {
    const owner = ownerOf(account);
    const exact = await this.#store.find(owner, contact.full);
    const item = exact?.listed !== true && !contact.isBare ? await this.#store.find(owner, contact.bare) : exact;
    return item?.listed === true ? entryOf(item) : undefined;
  }

  async entries(account: Jid): Promise<RosterEntry[]> {
    return (await this.#store.list(ownerOf(account))).map(entryOf);
  }

  // Section 3: subscriptions.

  /** Sections 3.1.2, 3.1.5, 3.2.2, 3.3.2 and 3.4.2: the account sends a subscription stanza, addressed bare to bare. */
  async outbound(stanza: Stanza, account: Jid): Promise<Effect[]> {
    const contact = (stanza.to as Jid).toBare();
    const type = stanza.type as SubscriptionType;
    if (contact.bare === account.bare) return [drop("a subscription to oneself")];
    let step = outbound(0, type);
    const change = await this.#change(account, contact, (current) => {
      step = outbound(current?.state ?? 0, type);
      return moved(contact, current, step.state, undefined);
    });
    const effects = this.#pushes(account, change);
    const before = change?.before?.state ?? 0;
    const after = change?.after?.state ?? 0;
    // While the contact is subscribed it learns that the resources are gone (3.2.2), and once it is, that they are there (3.1.5).
    if (lost(before, after, FROM)) effects.push(...(await this.#share(account, contact, false)));
    if (!step.route) return [...effects, drop(`'${type}' tells the contact nothing in this state`)];
    effects.push(route(stanza));
    if (lost(after, before, FROM)) effects.push(...(await this.#share(account, contact, true)));
    return [...effects, handled];
  }

  /** Sections 3.1.3, 3.1.6, 3.2.3, 3.3.3 and 3.4.2: a contact's subscription stanza has arrived. */
  async inbound(stanza: Stanza, account: Jid): Promise<Effect[]> {
    const contact = (stanza.from as Jid).toBare();
    const type = stanza.type as SubscriptionType;
    if (contact.bare === account.bare) return [drop("a subscription to oneself")];
    if (type === "subscribe" && !(await this.#house.accountExists(account))) return [drop("no such account")];
    let step = inbound(0, type);
    let change: RosterChange | undefined;
    try {
      change = await this.#change(account, contact, (current) => {
        step = inbound(current?.state ?? 0, type);
        return moved(contact, current, step.state, stanza);
      });
    } catch (error) {
      // A stranger must not learn how full the roster is, nor that there is one.
      if (error instanceof StanzaError) return [drop(error.message)];
      throw error;
    }
    const effects: Effect[] = [];
    if (step.approve) effects.push(route(presence({ type: "subscribed", from: account, to: contact })));
    if (step.deliver) {
      const told = stanza.withAddresses(contact, account);
      for (const resource of this.#house.resourcesOf(account)) {
        // 3.1.3: requests go to available resources. The others go to interested ones, and nothing keeps available ones from them.
        const listens = resource.available || (type !== "subscribe" && resource.marked(marks.roster));
        if (listens) effects.push(deliverTo(resource, told));
      }
    }
    effects.push(...this.#pushes(account, change));
    const before = change?.before?.state ?? 0;
    const after = change?.after?.state ?? 0;
    if (lost(before, after, FROM)) effects.push(...(await this.#share(account, contact, false)));
    if (lost(after, before, FROM)) effects.push(...(await this.#share(account, contact, true)));
    effects.push(step.deliver || step.approve ? handled : drop(`'${type}' changes nothing in this state`));
    return effects;
  }

  /** Section 3.1.3: every request that waits, for a resource that has become available. */
  waitingRequests(account: Jid): MaybePromise<Stanza[]> {
    const contacts = this.#contacts(account);
    if (contacts instanceof Promise) return contacts.then((known) => (known.waiting ? this.#requests(account) : []));
    return contacts.waiting ? this.#requests(account) : [];
  }

  /** Whose requests wait for the account's answer, oldest first. */
  async requesters(account: Jid): Promise<string[]> {
    return (await this.#store.requests(ownerOf(account))).map(({ jid }) => jid);
  }

  async #requests(account: Jid): Promise<Stanza[]> {
    const stanzas: Stanza[] = [];
    for (const { jid, request } of await this.#store.requests(ownerOf(account))) {
      const contact = parseJid(jid);
      if (contact !== undefined) stanzas.push(requestStanza(contact, account, request));
    }
    return stanzas;
  }

  /** Makes the item say that both see each other, or takes it away; nobody is asked. */
  async force(
    account: Jid,
    contact: Jid,
    name: string,
    groups: readonly string[],
    connect: boolean,
  ): Promise<Effect[]> {
    if (contact.bare === account.bare) throw new StanzaError("not-allowed", { text: "Nobody is their own contact" });
    const change = await this.#change(account, contact, (current) => {
      if (!connect) return current === undefined ? undefined : "remove";
      const state = ((current?.state ?? 0) & ~(PENDING_IN | PENDING_OUT)) | TO | FROM;
      if (current?.listed !== true) return { jid: contact.full, name, groups, state, listed: true, request: "" };
      return current.state === state ? current : { ...current, state, request: "" };
    });
    return this.#pushes(account, change);
  }

  /** What shows, or no longer shows, an account's presence to a contact. */
  share(account: Jid, contact: Jid, visible: boolean): MaybePromise<readonly Effect[]> {
    return this.#share(account, contact, visible);
  }

  /** The account is gone: its roster is deleted, and its contacts are told. */
  async forget(account: Jid): Promise<Effect[]> {
    const items = await this.#store.removeAll(ownerOf(account));
    this.#changed(account);
    const effects: Effect[] = [];
    for (const item of items) effects.push(...(await this.#partings(account, item)));
    return effects;
  }

  // What mod_presence asks for.

  presenceContacts(account: Jid): MaybePromise<readonly PresenceContact[]> {
    const contacts = this.#contacts(account);
    return contacts instanceof Promise ? contacts.then((known) => known.presence) : contacts.presence;
  }

  sharingPresenceWith(viewer: Jid): MaybePromise<ReadonlySet<string>> {
    const { domain } = this.#house;
    return then(
      this.#store.sharingWith(domain, viewer.bare),
      (locals) => new Set(locals.map((local) => `${local}@${domain}`)),
    );
  }

  #contacts(account: Jid): MaybePromise<Contacts> {
    return this.#cache.get(account.bare) ?? this.#readContacts(account);
  }

  #readContacts(account: Jid): MaybePromise<Contacts> {
    const changes = this.#cache.changes;
    return then(this.#store.related(ownerOf(account)), (items) => {
      const contacts = items.length === 0 ? noContacts : contactsIn(items);
      this.#cache.learn(account.bare, contacts, changes);
      return contacts;
    });
  }

  // Steps of the above.

  async #change(account: Jid, contact: Jid, decide: Decision): Promise<RosterChange | undefined> {
    try {
      return await this.#store.change(ownerOf(account), contact.full, decide);
    } finally {
      // Also after an error: whether a commit whose answer was lost has happened is not known.
      this.#changed(account);
    }
  }

  #changed(account: Jid): void {
    this.#cache.forget(account.bare);
    this.#tell(account.bare);
  }

  /** Section 2.1.6; nothing when clients see no difference. */
  #pushes(account: Jid, change: RosterChange | undefined): Effect[] {
    if (change === undefined) return [];
    const before = change.before?.listed === true ? itemText(change.before) : "";
    const after = change.after?.listed === true ? itemText(change.after) : "";
    if (before === after) return [];
    return this.#push(account, after === "" ? removedText((change.before as RosterItem).jid) : after, change.version);
  }

  #push(account: Jid, item: string, version: number): Effect[] {
    const payload = queryXml(item, this.#house.options.versioning ? version : undefined);
    const effects: Effect[] = [];
    for (const resource of this.#house.resourcesOf(account)) {
      if (!resource.marked(marks.roster)) continue;
      const id = `push-${this.#house.random.id(6)}`;
      effects.push(deliverTo(resource, iq({ type: "set", to: resource.jid, id, payload })));
    }
    return effects;
  }

  async #share(account: Jid, contact: Jid, visible: boolean): Promise<readonly Effect[]> {
    return (await this.#house.askAll("sharePresence", account, contact, visible)).flat();
  }

  /** What a contact is told when its item goes: that it sees us no more, and that we need not see it. */
  async #partings(account: Jid, item: RosterItem): Promise<Effect[]> {
    const contact = storedJid(item.jid);
    if (contact === undefined) return [];
    const effects: Effect[] = [];
    const tell = (type: SubscriptionType) =>
      effects.push(route(presence({ type, from: account, to: contact.toBare() })));
    if (item.state & (TO | PENDING_OUT)) tell("unsubscribe");
    if (item.state & FROM) effects.push(...(await this.#share(account, contact, false)));
    if (item.state & (FROM | PENDING_IN)) tell("unsubscribed");
    return effects;
  }
}

/** Shared by all accounts without contacts. */
const noContacts: Contacts = { presence: [], waiting: false };

function contactsIn(items: readonly { readonly jid: string; readonly state: SubscriptionState }[]): Contacts {
  const contacts: PresenceContact[] = [];
  let waiting = false;
  for (const { jid, state } of items) {
    if (state & PENDING_IN) waiting = true;
    const subscription = subscriptionOf(state);
    if (subscription === "none") continue;
    const contact = storedJid(jid);
    if (contact !== undefined) contacts.push({ jid: contact, subscription });
  }
  return { presence: contacts, waiting };
}

const ownerOf = (account: Jid): Owner => ({ domain: account.domain, local: account.local });

/** Whether `flag` is on in the first state and off in the second. */
const lost = (before: SubscriptionState, after: SubscriptionState, flag: number): boolean =>
  (before & flag) !== 0 && (after & flag) === 0;

/**
 * The item in its new state; gone when nothing is left of it that anybody sees. Anything but a mere request makes its
 * sender a contact (3.1.2, 3.1.5, 3.4.2). A request that waits already is kept, a later one is not (3.1.3).
 */
function moved(
  contact: Jid,
  current: RosterItem | undefined,
  state: SubscriptionState,
  asked: Stanza | undefined,
): RosterItem | "remove" | undefined {
  const listed = current?.listed === true || (state & ~PENDING_IN) !== 0;
  if (state === 0 && !listed) return current === undefined ? undefined : "remove";
  let request = "";
  if (state & PENDING_IN) request = current?.request || (asked === undefined ? "" : storedRequest(asked));
  if (current === undefined) return { jid: contact.full, name: "", groups: [], state, listed, request };
  const same = current.state === state && current.listed === listed && current.request === request;
  return same ? current : { ...current, state, listed, request };
}

function sameGroups(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((group) => other.includes(group));
}

function entryOf(item: RosterItem): RosterEntry {
  return {
    jid: item.jid,
    name: item.name,
    subscription: subscriptionOf(item.state),
    groups: item.groups,
    ask: (item.state & PENDING_OUT) !== 0,
  };
}

/** An address the database holds was prepared before it was stored. */
function storedJid(text: string): Jid | undefined {
  const at = text.indexOf("@");
  if (at < 0 || text.includes("/")) return parseJid(text);
  const host = parseJid(text.slice(at + 1));
  return host === undefined ? undefined : Jid.account(text.slice(0, at), host);
}

/** Section 3.1.3: the complete stanza is kept, apart from its addresses, which the row has. */
function storedRequest(stanza: Stanza): string {
  return `${stanza.id ?? ""}${separator}${stanza.extra}${separator}${stanza.inner}`;
}

function requestStanza(contact: Jid, account: Jid, stored: string): Stanza {
  const [id, extra = "", inner = ""] = stored.split(separator);
  return new Stanza("presence", account, contact, "subscribe", id || undefined, extra, inner, undefined);
}
