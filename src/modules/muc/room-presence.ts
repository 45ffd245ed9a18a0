/** How a room shows who is in it: presence from occupants' addresses with what only the room may say (muc#user). */
import { type Effect, spread } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { Stanza } from "../../stanza/stanza.ts";
import { escapeAttribute, escapeText } from "../../xml/xml.ts";
import type { Room } from "./room.ts";
import { type Affiliation, type Occupant, occupantIdXml, type Role } from "./room-state.ts";

/** What an `<item/>` says; parts without a value are left out. */
export interface Item {
  readonly affiliation: Affiliation;
  readonly role?: Role;
  readonly jid?: Jid | string | undefined;
  readonly nick?: string | undefined;
  /** The nickname of who did it. */
  readonly actor?: string | undefined;
  readonly reason?: string | undefined;
}

export function itemXml({ affiliation, role, jid, nick, actor, reason }: Item): string {
  let text = `<item affiliation='${affiliation}'`;
  if (role !== undefined) text += ` role='${role}'`;
  if (jid !== undefined) text += ` jid='${typeof jid === "string" ? escapeAttribute(jid) : jid.escaped}'`;
  if (nick !== undefined) text += ` nick='${escapeAttribute(nick)}'`;
  let inside = "";
  if (actor !== undefined) inside += `<actor nick='${escapeAttribute(actor)}'/>`;
  if (reason !== undefined && reason !== "") inside += `<reason>${escapeText(reason)}</reason>`;
  return inside === "" ? `${text}/>` : `${text}>${inside}</item>`;
}

/** `<x xmlns='…muc#user'/>` with status codes at its end. */
export function mucUserXml(inside: string, codes: readonly number[] = []): string {
  let text = `<x xmlns='${ns.mucUser}'>${inside}`;
  for (const code of codes) text += `<status code='${code}'/>`;
  return `${text}</x>`;
}

const presenceCharsMax = 10_000;

/** A presence as the room passes it on: without addresses and without what only the room may say. Throws `StanzaError`. */
export function passedOn(stanza: Stanza): Stanza {
  const clean = stanza.withoutChildren((_name, namespace) => roomsOwn.has(namespace));
  if (clean.inner.length > presenceCharsMax) {
    throw new StanzaError("policy-violation", {
      text: `Presence in a room has at most ${presenceCharsMax} characters`,
    });
  }
  return new Stanza("presence", undefined, undefined, undefined, undefined, clean.extra, clean.inner, undefined);
}

const roomsOwn: ReadonlySet<string> = new Set([ns.muc, ns.mucUser, ns.mucAdmin, ns.mucOwner, ns.occupantId]);

/** An occupant's presence as somebody sees it who is told the real address, or not. Made once and kept until it changes. */
export function presenceOf(room: Room, occupant: Occupant, withAddress: boolean): Stanza {
  const { shown } = occupant;
  const made = withAddress ? shown.full : shown.veiled;
  if (made !== undefined) return made;
  const fresh = makePresence(room, occupant, withAddress, [], {});
  if (withAddress) shown.full = fresh;
  else shown.veiled = fresh;
  return fresh;
}

/** What differs from an ordinary presence. */
export interface Announcement {
  /** Status codes for all, and those for the occupant's own devices alone. */
  readonly codes?: readonly number[];
  readonly selfCodes?: readonly number[];
  /** The occupant leaves, perhaps with these words (`<status/>` and the like). */
  readonly leaving?: boolean;
  readonly words?: Stanza | undefined;
  /** The nickname it changes to. */
  readonly newNick?: string;
  readonly actor?: string | undefined;
  readonly reason?: string | undefined;
  /** The affiliation it has from now on, where that is not what the room's list says. */
  readonly affiliation?: Affiliation;
  /** Further children of the `<x/>`. */
  readonly more?: string;
  /** The role others saw last, where it has changed: whose presence was shown is taken back when it is shown no more. */
  readonly roleBefore?: Role;
}

function makePresence(
  room: Room,
  occupant: Occupant,
  withAddress: boolean,
  codes: readonly number[],
  { leaving, words, newNick, actor, reason, affiliation, more = "" }: Announcement,
): Stanza {
  const gone = leaving === true && newNick === undefined;
  const item = itemXml({
    affiliation: affiliation ?? room.affiliationOf(occupant.account),
    role: gone ? "none" : occupant.role,
    jid: withAddress ? occupant.main.jid : undefined,
    nick: newNick,
    actor,
    reason,
  });
  const base = leaving === true ? words : occupant.main.presence;
  const inner = `${base?.inner ?? ""}${mucUserXml(item + more, codes)}${occupantIdXml(occupant.id)}`;
  const type = leaving === true ? "unavailable" : undefined;
  return new Stanza("presence", undefined, occupant.address, type, undefined, base?.extra ?? "", inner, undefined);
}

/** Whether an occupant's presence is for all to see (`muc#roomconfig_presencebroadcast`). */
export function isShown(room: Room, role: Role): boolean {
  return role !== "none" && room.state.config.presenceBroadcast.includes(role);
}

/** Tells everybody about an occupant, its own devices last. */
export function announce(room: Room, occupant: Occupant, announcement: Announcement = {}): Effect[] {
  return [...tellOthers(room, occupant, announcement), ...toSelf(room, occupant, announcement)];
}

/** As `announce`, without the occupant's own devices. */
export function tellOthers(room: Room, occupant: Occupant, announcement: Announcement = {}): Effect[] {
  if (isShown(room, occupant.role)) return toOthers(room, occupant, announcement);
  if (!isShown(room, announcement.roleBefore ?? occupant.role)) return [];
  return toOthers(room, occupant, { ...announcement, leaving: true, words: undefined });
}

/** Takes an occupant's presence back from the others, because it is shown no more. */
export const withdraw = (room: Room, occupant: Occupant): Effect[] => toOthers(room, occupant, { leaving: true });

function toOthers(room: Room, occupant: Occupant, announcement: Announcement): Effect[] {
  const full: Jid[] = [];
  const veiled: Jid[] = [];
  for (const other of room.state.occupants.values()) {
    if (other === occupant) continue;
    const list = room.seesAddresses(other) ? full : veiled;
    for (const session of other.sessions) list.push(session.jid);
  }
  const effects: Effect[] = [];
  if (full.length > 0) effects.push(spread([stanzaFor(room, occupant, true, announcement)], full));
  if (veiled.length > 0) effects.push(spread([stanzaFor(room, occupant, false, announcement)], veiled));
  return effects;
}

function stanzaFor(room: Room, occupant: Occupant, withAddress: boolean, announcement: Announcement): Stanza {
  const { codes = [], leaving, newNick, actor, reason, affiliation, more } = announcement;
  const plain = codes.length === 0 && !leaving && (actor ?? reason ?? newNick ?? affiliation ?? more) === undefined;
  if (plain) return presenceOf(room, occupant, withAddress);
  return makePresence(room, occupant, withAddress, codes, announcement);
}

/** For the occupant's own devices: with status 110, and with their own address. */
export function toSelf(room: Room, occupant: Occupant, announcement: Announcement = {}, only?: Jid): Effect[] {
  const codes = [...(announcement.codes ?? []), ...(announcement.selfCodes ?? []), 110];
  const stanza = makePresence(room, occupant, true, codes, announcement);
  return [spread([stanza], only === undefined ? occupant.sessions.map((session) => session.jid) : [only])];
}

/** Everybody else's presence, for a device that has just entered. */
export function othersFor(room: Room, occupant: Occupant, device: Jid): Effect[] {
  const withAddress = room.seesAddresses(occupant);
  const stanzas: Stanza[] = [];
  for (const other of room.state.occupants.values()) {
    if (other !== occupant && isShown(room, other.role)) stanzas.push(presenceOf(room, other, withAddress));
  }
  return stanzas.length === 0 ? [] : [spread(stanzas, [device])];
}

/** A message from the room itself to everybody in it, such as word of a change. */
export function notice(room: Room, inside: string, codes: readonly number[], to = room.state.everyone): Effect[] {
  if (to.length === 0) return [];
  const inner = mucUserXml(inside, codes);
  return [spread([new Stanza("message", undefined, room.jid, "groupchat", undefined, "", inner, undefined)], to)];
}
