/** RFC 6121 section 4: presence is broadcast to who may see it, asked for at login, and taken back from who got it directly. */
import { option } from "../config/option.ts";
import { defineModule, type ModuleContext } from "../hooks/define-module.ts";
import {
  deliverTo,
  drop,
  type Effect,
  handled,
  type MaybePromise,
  type Outcome,
  present,
  route,
} from "../hooks/effect.ts";
import type { LostResource, PresenceContact } from "../hooks/points.ts";
import type { Resource } from "../session/resource.ts";
import { Session, SessionSlot } from "../session/session.ts";
import { StanzaError } from "../stanza/errors.ts";
import { type Jid, parseJid } from "../stanza/jid.ts";
import { presence as makePresence, type Stanza } from "../stanza/stanza.ts";
import { then } from "../util/maybe-promise.ts";

type House = Pick<
  ModuleContext<{ readonly maxDirectedPresences: number }>,
  "domain" | "options" | "sessionsOf" | "resourcesOf" | "isAvailable" | "ask" | "log"
>;

/** Section 4.6: full texts of the addresses to which a resource has sent available presence directly. */
const directed = new SessionSlot<Set<string>>("presence", {
  pack: (addresses) => [...addresses],
  unpack: (addresses) => new Set(addresses as string[]),
});

export const presence = defineModule({
  name: "mod_presence",
  summary: "Contacts see when a user is there: presence is broadcast, probed for, and cleaned up.",
  rfcs: ["RFC 6121"],
  options: {
    max_directed_presences: option.integer({
      doc: "Most addresses to which one resource may have sent directed presence, such as group chats it is in.",
      default: 1_000,
      min: 1,
    }),
  },

  setup(on, context) {
    const node = new PresenceBook(context);
    on.stage("outgoing", "presence", (stanza, session) => node.sent(stanza, session));
    on.stage("incoming", "presence", (stanza, account) => node.arrived(stanza, account));
    on.session("available", (session, stanza) => node.available(session, stanza));
    on.session("updated", (session, stanza) => node.updated(session, stanza));
    on.session("unavailable", (session, stanza) => node.unavailable(session, stanza));
    on.cluster("lost", (resource, first) => (first ? node.lost(resource) : undefined));
    on.cluster("healed", (session, isBack) => node.healed(session, isBack));
    on.session("asked", (session, viewer) => node.show(session, viewer));
    on.session("ended", (session) =>
      directed.get(session) === undefined ? undefined : node.withdraw(session, goodbye(session), none),
    );
    on.answer("sharePresence", (account, contact, visible) => node.share(account, contact, visible));
    return undefined;
  },
});

const none: readonly PresenceContact[] = [];
const goodbye = ({ jid }: Resource): Stanza => makePresence({ type: "unavailable", from: jid });

const mayBeSeenBy = (contact: PresenceContact): boolean => contact.subscription !== "to";
const maySee = (contact: PresenceContact): boolean => contact.subscription !== "from";

/** A stanza of a resource of ours that goes out unless its account blocks the addressee. */
interface Outgoing {
  readonly session: Resource;
  readonly stanza: Stanza;
}

class PresenceBook {
  readonly #house: House;

  constructor(house: House) {
    this.#house = house;
  }

  /** Sections 4.2.2 and 4.3.1: a resource has become available. */
  available(session: Session, stanza: Stanza): MaybePromise<Outcome> {
    return unlessOver(session, stanza, this.#greetings(session, stanza));
  }

  #greetings(session: Session, stanza: Stanza): MaybePromise<Effect[]> {
    return this.#withContacts(session.account, (contacts) => {
      const own: Effect[] = [route(stanza.withTo(session.account))];
      for (const other of this.#house.resourcesOf(session.account)) {
        if (other === session || !other.available) continue;
        if (!(other instanceof Session)) own.push(present(other, session.jid));
        else own.push(deliverTo(session, other.presence!.withTo(session.jid)));
      }
      const outgoing = this.#broadcast(session, stanza, contacts);
      const online = this.#probe(session, contacts, own);
      if (online.length === 0) return this.#unlessBlocked(outgoing, own);
      // One question for all contacts: each must share its presence by its own roster, not by ours alone.
      const sharing = this.#house.ask("sharingPresenceWith", session.account);
      return then(sharing, (sharers) => {
        for (const contact of online) {
          if (sharers?.has(contact.bare) === true) this.#presences(contact, session.jid, outgoing, own);
        }
        return this.#unlessBlocked(outgoing, own);
      });
    });
  }

  /** Section 4.4.2. */
  updated(session: Session, stanza: Stanza): MaybePromise<Outcome> {
    const effects = this.#withContacts(session.account, (contacts) =>
      this.#unlessBlocked(this.#broadcast(session, stanza, contacts), [route(stanza.withTo(session.account))]),
    );
    return unlessOver(session, stanza, effects);
  }

  /** Section 4.5.2; the resource itself is told too as long as it is there to hear it. */
  unavailable(session: Session, stanza: Stanza): MaybePromise<Outcome> {
    const effects = this.#farewells(session, stanza);
    if (!(effects instanceof Promise)) return effects;
    return effects.catch((error: unknown) => {
      // Without the roster the session must end all the same; those who are known without it are told.
      this.#house.log.warn({ err: error, jid: session.jid.full }, "contacts unknown: not told that a resource is gone");
      return [route(stanza.withTo(session.account)), ...(this.withdraw(session, stanza, none) ?? [])];
    });
  }

  #farewells(session: Session, stanza: Stanza): MaybePromise<Effect[]> {
    return this.#withContacts(session.account, (contacts) => {
      const own: Effect[] = [route(stanza.withTo(session.account))];
      if (session.link !== undefined) own.push(deliverTo(session, stanza.withTo(session.account)));
      const outgoing = this.#broadcast(session, stanza, contacts);
      return then(this.#unlessBlocked(outgoing, own), (effects) => {
        const rest = this.withdraw(session, stanza, contacts);
        return rest === undefined ? effects : [...effects, ...rest];
      });
    });
  }

  /** Section 4.6.3: unavailable presence for those who got presence directly and not by broadcast. */
  withdraw(session: Session, stanza: Stanza, contacts: readonly PresenceContact[]): Effect[] | undefined {
    const addressees = directed.get(session);
    if (addressees === undefined) return undefined;
    directed.set(session, undefined);
    const told = new Set<string>([session.account.bare]);
    for (const contact of contacts) if (mayBeSeenBy(contact)) told.add(contact.jid.bare);
    const effects: Effect[] = [];
    for (const text of addressees) {
      const to = parseJid(text);
      if (to !== undefined && !told.has(to.bare)) effects.push(route(stanza.withTo(to)));
    }
    return effects;
  }

  /** Section 4.6.2: keeps book of directed presence. */
  sent(stanza: Stanza, session: Session): Outcome {
    const addressees = directed.get(session);
    if (stanza.to === undefined) {
      // Who was never available has no broadcast to take back, but may have sent presence directly.
      const silent = stanza.type === "unavailable" && session.presence === undefined;
      return silent ? this.withdraw(session, stanza, none) : undefined;
    }
    if (stanza.type === "unavailable") {
      if (addressees?.delete(stanza.to.full) === true && addressees.size === 0) directed.set(session, undefined);
    } else if (stanza.type === undefined) {
      if (addressees === undefined) directed.set(session, new Set([stanza.to.full]));
      else if (!addressees.has(stanza.to.full)) {
        const most = this.#house.options.maxDirectedPresences;
        if (addressees.size >= most) {
          throw new StanzaError("resource-constraint", { text: `Presence goes to at most ${most} addresses directly` });
        }
        addressees.add(stanza.to.full);
      }
    }
    return undefined;
  }

  arrived(stanza: Stanza, account: Jid): MaybePromise<Outcome> {
    if (stanza.type === "probe") return this.#answer(stanza, account);
    if (stanza.type === "error") this.#undirect(stanza, account);
    return undefined;
  }

  /** Whoever could not take our presence need not be told that it is over. */
  #undirect(error: Stanza, account: Jid): void {
    if (error.from === undefined || error.to === undefined) return;
    for (const session of this.#house.sessionsOf(account)) {
      if (session.jid.resource === error.to.resource) directed.get(session)?.delete(error.from.full);
    }
  }

  /** Section 4.3.2. */
  #answer(probe: Stanza, account: Jid): MaybePromise<Outcome> {
    const from = probe.from;
    const to = probe.to;
    if (from === undefined || to === undefined) return drop("a probe without addresses");
    if (from.bare === account.bare) return this.#answerPermitted(account, to, from);
    return this.#withContacts(account, (contacts) => {
      const subscribed = contacts.some((contact) => mayBeSeenBy(contact) && contact.jid.bare === from.bare);
      if (subscribed || this.#isDirected(to, from)) return this.#answerPermitted(account, to, from);
      // A missing account looks the same. The address is bare: more would give a resource away.
      if (from.local === "") return drop("a probe by somebody who may not see");
      return [route(makePresence({ type: "unsubscribed", from: account, to: from.toBare() })), handled];
    });
  }

  #isDirected(to: Jid, prober: Jid): boolean {
    if (to.isBare) return false;
    for (const session of this.#house.sessionsOf(to)) {
      if (session.jid.resource === to.resource) return directed.get(session)?.has(prober.full) === true;
    }
    return false;
  }

  #answerPermitted(account: Jid, to: Jid, from: Jid): MaybePromise<Outcome> {
    const outgoing: Outgoing[] = [];
    const effects: Effect[] = [handled];
    for (const resource of this.#house.resourcesOf(account)) {
      if (!resource.available || (!to.isBare && resource.jid.resource !== to.resource)) continue;
      if (!(resource instanceof Session)) effects.push(present(resource, from));
      else outgoing.push({ session: resource, stanza: resource.presence!.withTo(from) });
    }
    if (outgoing.length > 0) return this.#unlessBlocked(outgoing, effects);
    if (effects.length > 1) return effects;
    return [route(makePresence({ type: "unavailable", from: to, to: from })), handled];
  }

  /** Shows the presence of every resource to a contact, or that they are gone (sections 3.1.5, 3.2.2, 3.3.3). */
  share(account: Jid, contact: Jid, visible: boolean): MaybePromise<readonly Effect[]> {
    if (this.#isOffline(contact)) return [];
    const outgoing: Outgoing[] = [];
    const effects: Effect[] = [];
    if (visible) this.#presences(account, contact, outgoing, effects);
    else {
      for (const resource of this.#house.resourcesOf(account)) {
        if (resource.available) outgoing.push({ session: resource, stanza: goodbye(resource).withTo(contact) });
      }
    }
    return this.#unlessBlocked(outgoing, effects);
  }

  /** A resource is gone with its node: as though it had become unavailable. */
  lost({ jid, available }: LostResource): MaybePromise<Effect[] | undefined> {
    if (!available) return undefined;
    const account = jid.toBare();
    const stanza = makePresence({ type: "unavailable", from: jid });
    return this.#withContacts(account, (contacts) => [
      route(stanza.withTo(account)),
      ...contacts
        .filter((contact) => mayBeSeenBy(contact) && !this.#isOffline(contact.jid))
        .map((contact) => route(stanza.withTo(contact.jid))),
    ]);
  }

  /** Contacts on a node that was cut off have seen this session leave: it is shown to them again. */
  healed(session: Session, isBack: (account: Jid) => boolean): MaybePromise<Effect[] | undefined> {
    const stanza = session.presence;
    if (stanza === undefined) return undefined;
    return this.#withContacts(session.account, (contacts) => {
      const own: Effect[] = isBack(session.account) ? [route(stanza.withTo(session.account))] : [];
      const back = contacts.filter((contact) => isBack(contact.jid));
      return back.length === 0 ? own : this.#unlessBlocked(this.#broadcast(session, stanza, back), own);
    });
  }

  /** One session's last presence for somebody who may see it. */
  show(session: Session, viewer: Jid): MaybePromise<Effect[]> {
    if (session.presence === undefined) return [];
    return this.#unlessBlocked([{ session, stanza: session.presence.withTo(viewer) }], []);
  }

  /** The last presence of each available resource of an account, for `viewer`. */
  #presences(account: Jid, viewer: Jid, outgoing: Outgoing[], effects: Effect[]): void {
    for (const resource of this.#house.resourcesOf(account)) {
      if (!resource.available) continue;
      if (!(resource instanceof Session)) effects.push(present(resource, viewer));
      else outgoing.push({ session: resource, stanza: resource.presence!.withTo(viewer) });
    }
  }

  /** One stanza for every contact that may see it and could be there. */
  #broadcast(session: Session, stanza: Stanza, contacts: readonly PresenceContact[]): Outgoing[] {
    const outgoing: Outgoing[] = [];
    for (const contact of contacts) {
      if (!mayBeSeenBy(contact) || this.#isOffline(contact.jid)) continue;
      outgoing.push({ session, stanza: stanza.withTo(contact.jid) });
    }
    return outgoing;
  }

  /** Contacts of this host that are online and to be asked here; the others get a probe on its way. */
  #probe(session: Session, contacts: readonly PresenceContact[], effects: Effect[]): Jid[] {
    const online: Jid[] = [];
    for (const contact of contacts) {
      if (!maySee(contact)) continue;
      if (contact.jid.domain !== this.#house.domain || contact.jid.local === "") {
        effects.push(route(makePresence({ type: "probe", from: session.jid, to: contact.jid.toBare() })));
      } else if (!this.#isOffline(contact.jid)) online.push(contact.jid.toBare());
    }
    return online;
  }

  /** Whether presence for this address would reach nobody: a look into the session table spares it its way. */
  #isOffline(address: Jid): boolean {
    if (address.domain !== this.#house.domain || address.local === "") return false;
    return !this.#house.isAvailable(address);
  }

  #withContacts<T>(account: Jid, use: (contacts: readonly PresenceContact[]) => MaybePromise<T>): MaybePromise<T> {
    return then(this.#house.ask("presenceContacts", account), (contacts) => use(contacts ?? none));
  }

  /** Adds a route effect for each stanza that its own account does not block; the receiver's blocks are the router's matter. */
  #unlessBlocked(outgoing: readonly Outgoing[], effects: Effect[], from = 0): MaybePromise<Effect[]> {
    for (let at = from; at < outgoing.length; at++) {
      const { session, stanza } = outgoing[at] as Outgoing;
      const here = session instanceof Session ? session : undefined;
      const blocked = this.#house.ask("blocked", session.account, here, stanza, "out");
      if (blocked instanceof Promise) {
        return blocked.then((settled) => {
          if (settled !== true) effects.push(route(stanza));
          return this.#unlessBlocked(outgoing, effects, at + 1);
        });
      }
      if (blocked !== true) effects.push(route(stanza));
    }
    return effects;
  }
}

/** A session may have ended while its contacts were looked up; available presence must not follow the unavailable one. */
function unlessOver(session: Session, stanza: Stanza, effects: MaybePromise<Effect[]>): MaybePromise<Outcome> {
  return then(effects, (ready) => (session.presence === stanza ? ready : undefined));
}
