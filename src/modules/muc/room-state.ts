/** An online room as data: who is in it, who is affiliated to it, what was said. It can be described and restored. */
import { createHmac } from "node:crypto";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { Stanza } from "../../stanza/stanza.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { escapeAttribute } from "../../xml/xml.ts";
import { History, type HistoryDescription } from "./history.ts";
import type { OccupantRole, RoomConfig } from "./room-config.ts";
import type { AffiliationRow, StoredAffiliation } from "./room-store.ts";

export type Affiliation = StoredAffiliation | "none";
export type Role = OccupantRole | "none";

export interface Affiliated {
  readonly affiliation: StoredAffiliation;
  /** The nickname registered in this room. */
  readonly nick: string | undefined;
  readonly reason: string | undefined;
}

/** A device in the room. */
export interface OccupantSession {
  /** Real and full. */
  readonly jid: Jid;
  /** Its last presence, without addresses and without what only the room may say. */
  presence: Stanza;
  /** When it last spoke and last changed its presence, for the shortest intervals; 0 for never. */
  messageAt: number;
  presenceAt: number;
}

/** A nickname in use, by one device or by several of one user. */
export class Occupant {
  readonly nick: string;
  /** `room@service/nick` */
  readonly address: Jid;
  /** Real and bare. */
  readonly account: Jid;
  /** XEP-0421. */
  readonly id: string;
  role: OccupantRole;
  /** Whose presence the others see comes last. Never empty while the occupant is in the room. */
  readonly sessions: OccupantSession[] = [];
  /** The presence others see with the real address and without it, made when first needed. */
  shown: { full: Stanza | undefined; veiled: Stanza | undefined } = { full: undefined, veiled: undefined };

  constructor(address: Jid, account: Jid, id: string, role: OccupantRole) {
    this.nick = address.resource;
    this.address = address;
    this.account = account;
    this.id = id;
    this.role = role;
  }

  get main(): OccupantSession {
    return this.sessions[this.sessions.length - 1]!;
  }

  sessionAt(jid: Jid): OccupantSession | undefined {
    for (const session of this.sessions) if (session.jid.full === jid.full) return session;
    return undefined;
  }

  /** What others see of it is different now. */
  changed(): void {
    this.shown = { full: undefined, veiled: undefined };
  }
}

/** What is spoken of. */
export interface Subject {
  /** The inside of the message that set it. */
  readonly inner: string;
  readonly nick: string;
  readonly at: number;
}

/** What of a room is stored beside its configuration, as JSON. */
export interface StoredRoom {
  /** The key of the occupants' ids. */
  readonly secret: string;
  readonly createdAt: number;
  readonly subject: Subject | undefined;
  /** SHA-1 in hex of the room's picture, "" for none. */
  readonly avatar: string;
}

interface OccupantDescription {
  readonly nick: string;
  readonly account: string;
  readonly role: OccupantRole;
  readonly sessions: readonly { readonly jid: string; readonly extra: string; readonly inner: string }[];
}

/** A whole room, so that another node can go on with it. Plain data. */
export interface RoomDescription {
  readonly jid: string;
  readonly locked: boolean;
  readonly config: RoomConfig;
  readonly stored: StoredRoom;
  readonly affiliations: readonly AffiliationRow[];
  readonly occupants: readonly OccupantDescription[];
  readonly history: HistoryDescription;
  readonly vcard: string | undefined;
  readonly voices?: readonly (readonly [account: string, role: OccupantRole])[];
  readonly newestId?: string | undefined;
}

export class RoomState {
  readonly jid: Jid;
  readonly secret: string;
  readonly createdAt: number;
  config: RoomConfig;
  /** Created and not yet configured: nobody but its owner may enter (section 10.1.1). */
  locked: boolean;
  subject: Subject | undefined;
  avatar: string;
  /** Of a temporary room; that of a persistent one is in the database. */
  vcard: string | undefined = undefined;
  readonly history: History;
  /** Of its archive, as far as it is known: what comes gets a greater id, whatever the clock of the node where the room lives then says. */
  newestId: string | undefined = undefined;
  /** By nickname. */
  readonly occupants = new Map<string, Occupant>();
  /** By bare address, or domain. */
  readonly affiliations = new Map<string, Affiliated>();
  /** By real and full address. */
  readonly #bySession = new Map<string, Occupant>();
  /** Nicknames in use, and those registered with the addresses of their owners, as people see them. */
  readonly #used = new Map<string, Occupant>();
  readonly #reserved = new Map<string, string>();
  /** Who was given voice by a moderator, or lost it, by bare address. */
  readonly #voices = new BoundedMap<string, OccupantRole>(voicesMost);
  #everyone: readonly Jid[] | undefined = undefined;

  constructor(jid: Jid, config: RoomConfig, stored: StoredRoom, historyMax: number, locked: boolean) {
    this.jid = jid;
    this.config = config;
    this.secret = stored.secret;
    this.createdAt = stored.createdAt;
    this.subject = stored.subject;
    this.avatar = stored.avatar;
    this.history = new History(historyMax);
    this.locked = locked;
  }

  /** XEP-0421 section 4: stable for an account in this room, and telling nothing about it. */
  occupantId(account: Jid): string {
    return createHmac("sha256", this.secret).update(account.bare).digest("hex").slice(0, 40);
  }

  /** Devices in the room. */
  get size(): number {
    return this.#bySession.size;
  }

  /** Whose full address this is; undefined when he is not in the room. */
  occupantAt(jid: Jid): Occupant | undefined {
    return this.#bySession.get(jid.full);
  }

  /** Whoever uses a nickname that people cannot tell from this one. */
  userOf(nick: string): Occupant | undefined {
    return this.#used.get(nickKey(nick));
  }

  /** The bare address of who has registered such a nickname in this room. */
  reserverOf(nick: string): string | undefined {
    return this.#reserved.get(nickKey(nick));
  }

  /** Every occupant that an account has; one nickname as a rule. */
  occupantsOf(account: string): Occupant[] {
    const found: Occupant[] = [];
    for (const occupant of this.occupants.values()) if (occupant.account.bare === account) found.push(occupant);
    return found;
  }

  /** All devices. The list stays as it is while others come and go. */
  get everyone(): readonly Jid[] {
    if (this.#everyone === undefined) {
      const all: Jid[] = [];
      for (const occupant of this.occupants.values()) for (const session of occupant.sessions) all.push(session.jid);
      this.#everyone = all;
    }
    return this.#everyone;
  }

  add(occupant: Occupant, session: OccupantSession): void {
    occupant.sessions.push(session);
    occupant.changed();
    this.occupants.set(occupant.nick, occupant);
    this.#used.set(nickKey(occupant.nick), occupant);
    this.#bySession.set(session.jid.full, occupant);
    this.#everyone = undefined;
  }

  /** One device leaves; its occupant stays while others remain. */
  removeSession(occupant: Occupant, session: OccupantSession): void {
    const at = occupant.sessions.indexOf(session);
    if (at >= 0) occupant.sessions.splice(at, 1);
    this.#bySession.delete(session.jid.full);
    this.#everyone = undefined;
    occupant.changed();
    if (occupant.sessions.length === 0) this.#forget(occupant);
  }

  remove(occupant: Occupant): void {
    for (const session of occupant.sessions) this.#bySession.delete(session.jid.full);
    this.#everyone = undefined;
    this.#forget(occupant);
  }

  #forget(occupant: Occupant): void {
    this.occupants.delete(occupant.nick);
    if (this.#used.get(nickKey(occupant.nick)) === occupant) this.#used.delete(nickKey(occupant.nick));
  }

  /** Section 5.1.1: in a moderated room a role that was given or taken outlasts the visit, as long as the room is in memory. */
  keepVoice({ account, role }: Occupant): void {
    if (this.config.moderated && role !== "moderator") this.#voices.set(account.bare, role);
    else this.#voices.delete(account.bare);
  }

  /** The role somebody of this affiliation enters with. */
  roleOnEntering(account: Jid, affiliation: Affiliation): OccupantRole {
    const role = firstRole(affiliation, this.config);
    if (role === "moderator" || !this.config.moderated) return role;
    return this.#voices.get(account.bare) ?? role;
  }

  /** Undefined takes the affiliation away. */
  affiliate(jid: string, next: Affiliated | undefined): void {
    this.#voices.delete(jid);
    const before = this.affiliations.get(jid);
    if (before?.nick !== undefined) this.#reserved.delete(nickKey(before.nick));
    if (next === undefined) this.affiliations.delete(jid);
    else {
      this.affiliations.set(jid, next);
      if (next.nick !== undefined) this.#reserved.set(nickKey(next.nick), jid);
    }
  }

  affiliationRows(): AffiliationRow[] {
    return [...this.affiliations].map(([jid, affiliated]) => affiliationRow(jid, affiliated));
  }

  get stored(): StoredRoom {
    return { secret: this.secret, createdAt: this.createdAt, subject: this.subject, avatar: this.avatar };
  }

  describe(): RoomDescription {
    return {
      jid: this.jid.bare,
      locked: this.locked,
      config: this.config,
      stored: this.stored,
      affiliations: this.affiliationRows(),
      occupants: [...this.occupants.values()].map(({ nick, account, role, sessions }) => ({
        nick,
        account: account.bare,
        role,
        sessions: sessions.map(({ jid, presence }) => ({
          jid: jid.full,
          extra: presence.extra,
          inner: presence.inner,
        })),
      })),
      history: this.history.describe(),
      vcard: this.vcard,
      voices: [...this.#voices.entries()],
      newestId: this.newestId,
    };
  }

  static restore(description: RoomDescription, historyMax: number): RoomState {
    const jid = known(description.jid);
    const { config, stored, locked } = description;
    const state = new RoomState(jid, config, stored, historyMax, locked);
    for (const row of description.affiliations) state.affiliate(row.jid, affiliatedOf(row));
    for (const { nick, account, role, sessions } of description.occupants) {
      const bare = known(account);
      const occupant = new Occupant(jid.withResource(nick), bare, state.occupantId(bare), role);
      for (const session of sessions) {
        state.add(occupant, newSession(known(session.jid), shownOf(session.extra, session.inner)));
      }
    }
    // A node of an earlier version does not tell them.
    for (const [account, role] of description.voices ?? []) state.#voices.set(account, role);
    state.history.restore(description.history);
    state.vcard = description.vcard;
    state.newestId = description.newestId ?? description.history.findLast(({ id }) => id !== "")?.id;
    return state;
  }
}

/** Most accounts whose voice one room remembers. */
const voicesMost = 1_000;

export function newSession(jid: Jid, presence: Stanza): OccupantSession {
  return { jid, presence, messageAt: 0, presenceAt: 0 };
}

const shownOf = (extra: string, inner: string): Stanza =>
  new Stanza("presence", undefined, undefined, undefined, undefined, extra, inner, undefined);

function known(text: string): Jid {
  const jid = parseJid(text);
  if (jid === undefined) throw new Error(`a room is described with the address ${text}`);
  return jid;
}

export function affiliatedOf({ affiliation, nick, reason }: AffiliationRow): Affiliated {
  return { affiliation, nick: nick ?? undefined, reason: reason ?? undefined };
}

export function affiliationRow(jid: string, { affiliation, nick, reason }: Affiliated): AffiliationRow {
  return { jid, affiliation, nick: nick ?? null, reason: reason ?? null };
}

/** Two nicknames with the same key look alike to people (compare RFC 8266), so only one of them can be had. */
export function nickKey(nick: string): string {
  return nick.normalize("NFKC").trim().replace(/\s+/gu, " ").toLowerCase();
}

/** XEP-0421, as it stands in every stanza of an occupant. */
export function occupantIdXml(id: string): string {
  return `<occupant-id xmlns='${ns.occupantId}' id='${escapeAttribute(id)}'/>`;
}

const ranks: Readonly<Record<Affiliation, number>> = { outcast: -1, none: 0, member: 1, admin: 2, owner: 3 };

/** Whether an affiliation is as high as another, or higher. */
export function isAtLeast(affiliation: Affiliation, least: Affiliation): boolean {
  return ranks[affiliation] >= ranks[least];
}

/** Section 5.1.2: the role one enters with. */
export function firstRole(affiliation: Affiliation, config: RoomConfig): OccupantRole {
  if (isAtLeast(affiliation, "admin")) return "moderator";
  if (affiliation === "member" || !config.moderated || config.membersByDefault) return "participant";
  return "visitor";
}
