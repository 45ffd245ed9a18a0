/** Roles and affiliations (XEP-0045 sections 5, 8, 9 and 10): who may change whose, and what comes of it. */
import { type Effect, type MaybePromise, type Outcome, reply, route } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { message } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";
import { putOut } from "./entering.ts";
import { invitation } from "./invitations.ts";
import { type Listed, listCharsMax, pageOf } from "./paging.ts";
import type { Room } from "./room.ts";
import type { RoomConfig } from "./room-config.ts";
import { announce, itemXml, notice } from "./room-presence.ts";
import {
  type Affiliated,
  type Affiliation,
  affiliationRow,
  firstRole,
  isAtLeast,
  nickKey,
  type Occupant,
  type Role,
} from "./room-state.ts";

const affiliationNames = ["owner", "admin", "member", "outcast", "none"] as const;
const roleNames = ["moderator", "participant", "visitor", "none"] as const;
/** Items of one request. */
const itemsMost = 200;
const reasonCharsMax = 1_000;

export interface RoleChange {
  readonly nick: string;
  readonly role: Role;
  readonly reason?: string | undefined;
}

export interface NewAffiliation {
  /** Bare. */
  readonly jid: Jid;
  readonly affiliation: Affiliation;
  readonly reason?: string | undefined;
  /** The nickname to be registered; what there is stays when it is left out, and null takes it away. */
  readonly nick?: string | null | undefined;
}

/** `muc#admin`, get: one or several lists. */
export function getLists(room: Room, from: Jid, query: Element): Outcome {
  const wanted = query.childrenNamed("item");
  if (wanted.length === 0 || wanted.length > itemsMost) {
    throw new StanzaError("bad-request", { text: "The list of which role or affiliation is wanted?" });
  }
  const items: Listed[] = [];
  // A list stands in an answer once, however often it is asked for.
  const given = new Set<string>();
  for (const item of wanted) {
    const affiliation = affiliationNames.find((name) => name === item.attr("affiliation"));
    const role = roleNames.find((name) => name === item.attr("role"));
    const list = affiliation ?? role ?? "";
    if (given.has(list)) continue;
    given.add(list);
    if (affiliation !== undefined && affiliation !== "none") items.push(...affiliationList(room, from, affiliation));
    else if (role !== undefined && role !== "none") items.push(...roleList(room, from, role));
    else throw new StanzaError("bad-request", { text: "There is no such role or affiliation" });
  }
  const page = pageOf(items, query, { items: Number.POSITIVE_INFINITY, chars: listCharsMax });
  return reply(xml`<query xmlns='${ns.mucAdmin}'>${page}</query>`);
}

function affiliationList(room: Room, from: Jid, affiliation: Affiliation): Listed[] {
  if (!maySeeList(room, from, affiliation)) {
    throw new StanzaError("forbidden", { text: "You may not see this list" });
  }
  const items: Listed[] = [];
  for (const [jid, affiliated] of room.state.affiliations) {
    if (affiliated.affiliation !== affiliation) continue;
    const reason = affiliation === "outcast" ? affiliated.reason : undefined;
    items.push({ id: jid, xml: itemXml({ affiliation, jid, nick: affiliated.nick, reason }) });
  }
  return items;
}

/** Admins see all lists. Others see who belongs to a room where addresses are no secret, or where the owner lets their role. */
function maySeeList(room: Room, from: Jid, affiliation: Affiliation): boolean {
  const own = room.affiliationOf(from);
  if (isAtLeast(own, "admin")) return true;
  if (affiliation === "outcast") return false;
  const { config } = room.state;
  if (!config.anonymous && isAtLeast(own, "member")) return true;
  const role = room.state.occupantAt(from)?.role;
  return role !== undefined && config.mayGetMemberList.includes(role);
}

function roleList(room: Room, from: Jid, role: Role): Listed[] {
  const asking = room.state.occupantAt(from);
  if (asking?.role !== "moderator" && !isAtLeast(room.affiliationOf(from), "admin")) {
    throw new StanzaError("forbidden", { text: "Only moderators may see this list" });
  }
  const items: Listed[] = [];
  for (const occupant of room.state.occupants.values()) {
    if (occupant.role !== role) continue;
    const affiliation = room.affiliationOf(occupant.account);
    const item = itemXml({ affiliation, role, jid: occupant.main.jid, nick: occupant.nick });
    items.push({ id: occupant.address.full, xml: item });
  }
  return items;
}

/** `muc#admin`, set: all of it is done, or nothing. */
export function setLists(room: Room, from: Jid, query: Element): MaybePromise<Outcome> {
  const items = query.childrenNamed("item");
  if (items.length === 0) throw new StanzaError("bad-request", { text: "Nothing is to be changed" });
  if (items.length > itemsMost) {
    throw new StanzaError("policy-violation", { text: `A request changes at most ${itemsMost} items` });
  }
  const roles: RoleChange[] = [];
  const affiliations: NewAffiliation[] = [];
  for (const item of items) {
    const role = item.attr("role");
    const affiliation = item.attr("affiliation");
    if ((role === undefined) === (affiliation === undefined)) {
      throw new StanzaError("bad-request", { text: "An item changes either a role or an affiliation" });
    }
    if (role !== undefined) roles.push(roleChange(item, role));
    else affiliations.push(newAffiliation(room, item, affiliation!));
  }
  if (hasTwice(roles.map(({ nick }) => nick)) || hasTwice(affiliations.map(({ jid }) => jid.bare))) {
    throw new StanzaError("bad-request", { text: "A request changes nobody twice" });
  }
  const actor = room.state.occupantAt(from);
  if (affiliations.length === 0) {
    checkRoles(room, from, actor, roles);
    return changeRoles(room, actor, roles);
  }
  if (roles.length > 0) throw new StanzaError("bad-request", { text: "Roles and affiliations are changed apart" });
  return room.inOrder(async () => {
    checkAffiliations(room, from, affiliations);
    const invited = newcomers(room, affiliations);
    const effects = await changeAffiliationsNow(room, actor?.nick, affiliations);
    return [...effects, ...invite(room, actor, from, invited)];
  });
}

/** Section 9.5: who becomes a member of a room for members, and is not there. */
function newcomers(room: Room, changes: readonly NewAffiliation[]): NewAffiliation[] {
  if (!room.state.config.membersOnly) return [];
  return changes.filter(({ jid, affiliation }) => affiliation === "member" && room.ownAffiliationOf(jid) === "none");
}

function invite(room: Room, actor: Occupant | undefined, from: Jid, invited: readonly NewAffiliation[]): Effect[] {
  const inviter = room.state.config.anonymous ? (actor?.address ?? room.jid) : from;
  return invited.map(({ jid, reason }) =>
    route(message({ from: room.jid, to: jid, payload: invitation(room, inviter, reason) })),
  );
}

function hasTwice(keys: readonly string[]): boolean {
  return new Set(keys).size < keys.length;
}

function roleChange(item: Element, text: string): RoleChange {
  const role = roleNames.find((name) => name === text);
  const nick = item.attr("nick");
  if (role === undefined || nick === undefined) {
    throw new StanzaError("bad-request", { text: "A role is given to a nickname" });
  }
  return { nick, role, reason: reasonOf(item) };
}

function reasonOf(item: Element): string | undefined {
  return item.childText("reason")?.slice(0, reasonCharsMax);
}

function newAffiliation(room: Room, item: Element, text: string): NewAffiliation {
  const affiliation = affiliationNames.find((name) => name === text);
  if (affiliation === undefined) throw new StanzaError("bad-request", { text: "There is no such affiliation" });
  const nick = item.attr("nick");
  const address = item.attr("jid");
  const jid = address === undefined ? room.state.occupants.get(nick ?? "")?.account : parseJid(address)?.toBare();
  if (jid === undefined) {
    if (address === undefined) throw new StanzaError("item-not-found", { text: "Nobody of that name is in the room" });
    throw new StanzaError("jid-malformed", { text: "An affiliation is given to an address" });
  }
  if (jid.local === "" && affiliation !== "outcast" && affiliation !== "none") {
    throw new StanzaError("not-acceptable", { text: "A whole domain can only be banned" });
  }
  // A nickname beside an address is the one reserved for a member (section 9.5).
  const reserved = address !== undefined && nick !== undefined && affiliation !== "outcast" ? nick : undefined;
  return { jid, affiliation, reason: reasonOf(item), nick: reserved === "" ? null : reserved };
}

/** Throws `StanzaError`: item-not-found, forbidden, not-allowed. */
function checkRoles(room: Room, from: Jid, actor: Occupant | undefined, changes: readonly RoleChange[]): void {
  const own = room.affiliationOf(from);
  if (actor?.role !== "moderator" && !isAtLeast(own, "admin")) {
    throw new StanzaError("forbidden", { text: "Only moderators may do that" });
  }
  for (const { nick, role } of changes) {
    const target = room.state.occupants.get(nick);
    if (target === undefined) throw new StanzaError("item-not-found", { text: "Nobody of that name is in the room" });
    if (target === actor && role === "none") continue;
    const theirs = room.affiliationOf(target.account);
    const higher = isAtLeast(theirs, "admin") && !(own === "owner" && theirs === "admin");
    // Whose affiliation makes him moderator keeps that role (section 9.7), and is put out by nobody of his rank.
    if (role !== "moderator" && isAtLeast(theirs, "admin") && (role !== "none" || higher)) throw notAllowed();
    if ((role === "moderator" || target.role === "moderator") && !isAtLeast(own, "admin")) throw notAllowed();
  }
}

const notAllowed = () => new StanzaError("not-allowed", { text: "That is above your privileges" });

/** Changes roles that were checked, or that need no check. */
export function changeRoles(room: Room, actor: Occupant | undefined, changes: readonly RoleChange[]): Effect[] {
  const effects: Effect[] = [];
  for (const { nick, role, reason } of changes) {
    const occupant = room.state.occupants.get(nick);
    if (occupant === undefined) continue;
    if (role === "none") effects.push(...putOut(room, occupant, { codes: [307], actor: actor?.nick, reason }));
    else effects.push(...changeRole(room, occupant, role, actor?.nick, reason));
  }
  return effects;
}

function changeRole(room: Room, occupant: Occupant, role: Occupant["role"], actor?: string, reason?: string): Effect[] {
  const roleBefore = occupant.role;
  occupant.role = role;
  occupant.changed();
  room.state.keepVoice(occupant);
  return announce(room, occupant, { roleBefore, actor, reason });
}

/** Throws `StanzaError`: forbidden, not-allowed, conflict. */
function checkAffiliations(room: Room, from: Jid, changes: readonly NewAffiliation[]): void {
  const own = room.affiliationOf(from);
  room.requireAffiliation(from, "admin");
  for (const { jid, affiliation, nick } of changes) {
    const theirs = room.ownAffiliationOf(jid);
    if (own !== "owner" && (isAtLeast(theirs, "admin") || isAtLeast(affiliation, "admin"))) throw notAllowed();
    if (affiliation === "outcast" && (jid.bare === from.bare || jid.bare === from.domain)) {
      throw new StanzaError("conflict", { text: "You cannot ban yourself" });
    }
    if (nick !== undefined && nick !== null) checkReserved(room, jid, nick);
  }
  if (hasTwice(changes.flatMap(({ nick }) => (nick === undefined || nick === null ? [] : [nickKey(nick)])))) {
    throw new StanzaError("conflict", { text: "A nickname belongs to one person" });
  }
  keepsAnOwner(room, changes);
  withinLimit(room, changes);
}

/** Throws `StanzaError` conflict when a nickname belongs to somebody else, in use or registered. */
export function checkReserved(room: Room, account: Jid, nick: string): void {
  if (nick === "" || nick !== nick.trim() || !isNick(room, nick)) {
    throw new StanzaError("not-acceptable", { text: "That cannot be a nickname" });
  }
  const user = room.state.userOf(nick);
  const reserver = room.state.reserverOf(nick);
  if ((user !== undefined && user.account.bare !== account.bare) || (reserver ?? account.bare) !== account.bare) {
    throw new StanzaError("conflict", { text: "The nickname belongs to somebody else" });
  }
}

function isNick(room: Room, nick: string): boolean {
  return nick.length <= 250 && parseJid(`${room.jid.bare}/${nick}`)?.resource === nick;
}

/** Section 10: every room has an owner. Throws `StanzaError` conflict. */
export function keepsAnOwner(room: Room, changes: readonly NewAffiliation[]): void {
  if (!changes.some(({ jid, affiliation }) => affiliation !== "owner" && room.ownAffiliationOf(jid) === "owner"))
    return;
  const owners = new Set<string>();
  for (const [jid, { affiliation }] of room.state.affiliations) if (affiliation === "owner") owners.add(jid);
  for (const { jid, affiliation } of changes) {
    if (affiliation === "owner") owners.add(jid.bare);
    else owners.delete(jid.bare);
  }
  if (owners.size === 0) throw new StanzaError("conflict", { text: "A room needs an owner" });
}

export function withinLimit(room: Room, changes: readonly NewAffiliation[]): void {
  const most = room.house.options.maxAffiliations;
  const added = changes.filter(
    ({ jid, affiliation }) => affiliation !== "none" && !room.state.affiliations.has(jid.bare),
  );
  if (room.state.affiliations.size + added.length > most) {
    throw new StanzaError("resource-constraint", { text: `A room has at most ${most} affiliations` });
  }
}

/** Changes affiliations that need no check of who asks; stored first, told then. */
export function changeAffiliations(
  room: Room,
  actor: string | undefined,
  changes: readonly NewAffiliation[],
): Promise<Effect[]> {
  return room.inOrder(() => {
    keepsAnOwner(room, changes);
    withinLimit(room, changes);
    return changeAffiliationsNow(room, actor, changes);
  });
}

async function changeAffiliationsNow(
  room: Room,
  actor: string | undefined,
  changes: readonly NewAffiliation[],
): Promise<Effect[]> {
  const rows = changes.map((change) => {
    const next = affiliatedBy(room, change);
    return { jid: change.jid.bare, row: next === undefined ? undefined : affiliationRow(change.jid.bare, next) };
  });
  await room.store(rows);
  return affiliateNow(room, actor, changes);
}

/** The entry of the room's list that a change makes. */
export function affiliatedBy(room: Room, change: NewAffiliation): Affiliated | undefined {
  if (change.affiliation === "none") return undefined;
  const before = room.state.affiliations.get(change.jid.bare);
  const kept = change.affiliation === "outcast" ? undefined : before?.nick;
  const nick = change.nick === undefined ? kept : (change.nick ?? undefined);
  return { affiliation: change.affiliation, nick, reason: change.reason };
}

/** What is stored becomes so, and is told to everybody in the room. */
export function affiliateNow(room: Room, actor: string | undefined, changes: readonly NewAffiliation[]): Effect[] {
  const effects: Effect[] = [];
  for (const change of changes) {
    const before = room.ownAffiliationOf(change.jid);
    room.state.affiliate(change.jid.bare, affiliatedBy(room, change));
    tellParted(room, change);
    const concerned = concernedBy(room, change.jid);
    for (const occupant of concerned) effects.push(...toldTo(room, occupant, change, before, actor));
    if (concerned.length === 0 && before !== change.affiliation) effects.push(...toldOfAbsent(room, change));
  }
  return effects;
}

/** Who may not come back has no part in the room; nobody waits for what others do then. */
function tellParted(room: Room, { jid, affiliation }: NewAffiliation): void {
  const parted = affiliation === "outcast" || (affiliation === "none" && room.state.config.membersOnly);
  if (!parted || jid.local === "") return;
  const { rooms, log } = room.house;
  rooms.parted(room.jid, jid.bare).catch((error: unknown) => {
    log.warn({ err: error, room: room.jid.bare }, "what an account has kept of a room could not be removed");
  });
}

function concernedBy(room: Room, jid: Jid): Occupant[] {
  if (jid.local !== "") return room.state.occupantsOf(jid.bare);
  return [...room.state.occupants.values()].filter((occupant) => occupant.account.domain === jid.domain);
}

function toldTo(
  room: Room,
  occupant: Occupant,
  { reason }: NewAffiliation,
  before: Affiliation,
  actor: string | undefined,
): Effect[] {
  const { config } = room.state;
  const affiliation = room.affiliationOf(occupant.account);
  if (affiliation === "outcast") return putOut(room, occupant, { codes: [301], actor, reason });
  if (affiliation === "none" && config.membersOnly) return putOut(room, occupant, { codes: [321], actor, reason });
  const roleBefore = occupant.role;
  occupant.role = roleAfter(occupant.role, before, affiliation, config);
  occupant.changed();
  return announce(room, occupant, { roleBefore, actor, reason });
}

/** Section 5.1.3: a role follows the affiliation where that gives or took it. */
function roleAfter(
  role: Occupant["role"],
  before: Affiliation,
  after: Affiliation,
  config: RoomConfig,
): Occupant["role"] {
  if (isAtLeast(after, "admin")) return "moderator";
  if (isAtLeast(before, "admin")) return firstRole(after, config);
  return after === "member" && role === "visitor" ? "participant" : role;
}

/** Section 9.3: those who see addresses learn of changes to who is not in the room. */
function toldOfAbsent(room: Room, { jid, affiliation, nick }: NewAffiliation): Effect[] {
  const seeing: Jid[] = [];
  for (const occupant of room.state.occupants.values()) {
    if (room.seesAddresses(occupant)) seeing.push(...occupant.sessions.map((session) => session.jid));
  }
  return notice(room, itemXml({ affiliation, role: "none", jid, nick: nick ?? undefined }), [], seeing);
}
