/** XEP-0045 section 7: entering, changing presence and nickname, and leaving. */
import { drop, type Effect, handled, type MaybePromise, type Outcome, route, spread } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { delayElement, errorElement } from "../../stanza/reply.ts";
import { presence, Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";
import { historyLimits } from "./history.ts";
import { checkInterval, pace } from "./pace.ts";
import type { Room } from "./room.ts";
import {
  type Announcement,
  announce,
  itemXml,
  mucUserXml,
  othersFor,
  passedOn,
  tellOthers,
  toSelf,
} from "./room-presence.ts";
import { isAtLeast, newSession, nickKey, Occupant, type OccupantSession } from "./room-state.ts";
import { WrongPasswords } from "./wrong-passwords.ts";

export function takePresence(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  switch (stanza.type) {
    case "unavailable":
      return left(room, stanza);
    case "error":
      return undelivered(room, stanza);
    case undefined:
      break;
    default:
      return drop("a room has no subscriptions");
  }
  const refuse = (error: unknown): Outcome => refusal(stanza, error);
  try {
    const done = available(room, stanza);
    return done instanceof Promise ? done.catch(refuse) : done;
  } catch (error) {
    return refuse(error);
  }
}

/** Errors of presence repeat the `<x/>`, by which clients know what they are about. */
export function refusal(stanza: Stanza, error: unknown): Outcome {
  if (!(error instanceof StanzaError)) throw error;
  const payload = xml`<x xmlns='${ns.muc}'/>${errorElement(error)}`;
  return route(presence({ type: "error", from: stanza.to, to: stanza.from, id: stanza.id, payload }));
}

function available(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  const nick = nickOf(stanza);
  const occupant = room.state.occupantAt(stanza.from!);
  const enters = stanza.has("x", ns.muc);
  if (occupant === undefined) {
    if (!enters) return route(notInRoom(stanza));
    return withNickOwner(room, nick, (owner) => enter(room, stanza, owner));
  }
  const session = occupant.sessionAt(stanza.from!)!;
  checkInterval(room, session.presenceAt, room.house.options.minPresenceIntervalMs, "presence");
  session.presenceAt = room.house.clock.monotonic();
  const slowed = pace(room, stanza, room.house.options.userPresenceShaper);
  const go = (): MaybePromise<Outcome> => {
    if (room.state.occupantAt(stanza.from!) !== occupant) return handled;
    if (nick !== occupant.nick) {
      return withNickOwner(room, nick, (owner) => {
        if (room.state.occupantAt(stanza.from!) !== occupant) return handled;
        const effects = changeNick(room, occupant, session, stanza, owner);
        return enters ? [...effects, ...welcome(room, stanza)] : effects;
      });
    }
    return enters ? synchronise(room, occupant, session, stanza) : update(room, occupant, session, stanza);
  };
  return slowed === undefined ? go() : slowed.then(go);
}

function withNickOwner(
  room: Room,
  nick: string,
  use: (owner: string | undefined) => MaybePromise<Outcome>,
): MaybePromise<Outcome> {
  const owner = room.house.nickOwner(nick);
  return owner instanceof Promise ? owner.then(use) : use(owner);
}

function nickOf(stanza: Stanza): string {
  const nick = stanza.to!.resource;
  if (nick === "")
    throw new StanzaError("jid-malformed", { text: "To enter a room, choose a nickname: room@service/nickname" });
  if (nick !== nick.trim())
    throw new StanzaError("not-acceptable", { text: "A nickname begins and ends with no space" });
  return nick;
}

/** Section 7.2.17: a presence of somebody who believes that he is in the room. */
function notInRoom(stanza: Stanza): Stanza {
  const item = itemXml({ affiliation: "none", role: "none", reason: "You are not in the room." });
  const payload = mucUserXml(item, [110, 307, 333]);
  return presence({ type: "unavailable", from: stanza.to, to: stanza.from, payload });
}

function enter(room: Room, stanza: Stanza, nickOwner: string | undefined): Outcome {
  const { state, house } = room;
  if (room.over) throw new StanzaError("item-not-found", { text: "The room is gone" });
  const from = stanza.from!;
  if (state.occupantAt(from) !== undefined) return handled;
  // Whoever leaves and comes back is told to all as one who changes his presence.
  const { minPresenceIntervalMs } = house.options;
  checkInterval(room, room.enteredAt.get(from.full) ?? 0, minPresenceIntervalMs, "presence");
  const address = stanza.to!;
  const x = stanza.child("x", ns.muc);
  const limits = historyLimits(x, state.config.maxHistory, house.clock.now());
  checkEntry(room, from, x);
  const joined = mayUseNick(room, from, address.resource, nickOwner);
  const shown = passedOn(stanza);
  const created = state.locked && state.size === 0;
  const session = newSession(from, shown);
  session.presenceAt = house.clock.monotonic();
  if (minPresenceIntervalMs > 0) room.enteredAt.set(from.full, session.presenceAt);
  const role = joined?.role ?? state.roleOnEntering(from, room.affiliationOf(from));
  const occupant = joined ?? new Occupant(address, from.toBare(), state.occupantId(from), role);
  visitorStatus(room, occupant, session);
  if (joined === undefined) house.conferences.entered(from.bare);
  state.add(occupant, session);
  const codes = entryCodes(room, created);
  const effects = othersFor(room, occupant, from);
  if (joined === undefined) effects.push(...announce(room, occupant, { selfCodes: codes }));
  else {
    // The others see one occupant; they are told only that its presence is another now.
    effects.push(...tellOthers(room, occupant), ...toSelf(room, occupant, { selfCodes: codes }, from));
  }
  effects.push(...after(room, from, limits));
  return effects;
}

/** Who may enter at all. */
function checkEntry(room: Room, from: Jid, x: Element | undefined): void {
  const { state, house } = room;
  const affiliation = room.affiliationOf(from);
  if (state.locked && affiliation !== "owner") {
    throw new StanzaError("item-not-found", { text: "The room is not open yet" });
  }
  if (affiliation === "outcast") throw new StanzaError("forbidden", { text: "You are banned from the room" });
  const { config } = state;
  if (config.membersOnly && affiliation === "none") {
    throw new StanzaError("registration-required", { text: "Only members may enter" });
  }
  const isServiceAdmin = affiliation === "owner" && room.ownAffiliationOf(from) !== "owner";
  if (config.passwordProtected && !isServiceAdmin) checkPassword(room, from, x?.childText("password"));
  const extra = isAtLeast(affiliation, "admin") ? house.options.maxUsersAdminThreshold : 0;
  if (state.occupants.size >= config.maxUsers + extra) {
    throw new StanzaError("service-unavailable", { type: "wait", text: "The room is full" });
  }
  const inRooms = house.conferences.of(from.bare);
  if (inRooms >= house.options.maxUserConferences && state.occupantsOf(from.bare).length === 0) {
    throw new StanzaError("resource-constraint", {
      text: `You can be in ${house.options.maxUserConferences} rooms at once`,
    });
  }
  if (state.occupantsOf(from.bare).reduce((sum, one) => sum + one.sessions.length, 0) >= devicesMost) {
    throw new StanzaError("resource-constraint", { text: `You can be in the room ${devicesMost} times` });
  }
}

function checkPassword(room: Room, from: Jid, given: string | undefined): void {
  if (given !== undefined) room.wrongPasswords?.check(from);
  if (given === room.state.config.password) return;
  // Clients ask without one first, to learn whether it is needed.
  if (given !== undefined) {
    room.wrongPasswords ??= new WrongPasswords(room.house.clock);
    room.wrongPasswords.failed(from);
  }
  throw new StanzaError("not-authorized", { text: "The room has a password" });
}

/** One user's devices in one room. */
const devicesMost = 20;

/** Returns the occupant whose nickname this is when it is the user's own. Throws `StanzaError` conflict. */
function mayUseNick(room: Room, from: Jid, nick: string, nickOwner: string | undefined): Occupant | undefined {
  const { state } = room;
  const user = state.userOf(nick);
  if (user !== undefined) {
    const own = user.account.bare === from.bare && user.nick === nick && state.config.allowMultipleSessions;
    if (!own) throw new StanzaError("conflict", { text: "The nickname is in use" });
    return user;
  }
  const owner = state.reserverOf(nick) ?? nickOwner;
  if (owner !== undefined && owner !== from.bare) {
    throw new StanzaError("conflict", { text: "The nickname is registered by somebody else" });
  }
  return undefined;
}

function entryCodes(room: Room, created: boolean): number[] {
  const codes: number[] = [];
  if (!room.state.config.anonymous) codes.push(100);
  if (room.archive !== undefined) codes.push(170);
  if (created) codes.push(201);
  return codes;
}

/** What one who enters is sent behind the presences: picture, history, subject (section 7.1). */
function after(room: Room, device: Jid, limits: ReturnType<typeof historyLimits>): Effect[] {
  const { state } = room;
  const stanzas: Stanza[] = [];
  if (state.avatar !== "") stanzas.push(avatarPresence(room));
  stanzas.push(...state.history.select(room.jid, limits), subjectMessage(room));
  return [spread(stanzas, [device])];
}

/** XEP-0153 of the room itself. */
export function avatarPresence(room: Room): Stanza {
  const payload = xml`<x xmlns='${ns.vcardUpdate}'><photo>${room.state.avatar}</photo></x>`;
  return presence({ from: room.jid, payload });
}

/** Section 7.2.15: also when there is none. */
function subjectMessage(room: Room): Stanza {
  const { subject } = room.state;
  if (subject === undefined) {
    return new Stanza("message", undefined, room.jid, "groupchat", undefined, "", "<subject/>", undefined);
  }
  const from = subject.nick === "" ? room.jid : room.jid.withResource(subject.nick);
  const inner = subject.inner + delayElement(room.jid, subject.at).text;
  return new Stanza("message", undefined, from, "groupchat", undefined, "", inner, undefined);
}

/** Everything one is sent on entering, for a device that is in the room already and has lost it. */
function welcome(room: Room, stanza: Stanza): Effect[] {
  const occupant = room.state.occupantAt(stanza.from!);
  if (occupant === undefined) return [];
  const limits = historyLimits(stanza.child("x", ns.muc), room.state.config.maxHistory, room.house.clock.now());
  return [
    ...othersFor(room, occupant, stanza.from!),
    ...toSelf(room, occupant, { selfCodes: entryCodes(room, false) }, stanza.from!),
    ...after(room, stanza.from!, limits),
  ];
}

/** Section 17.3, rule 3: the client is sent everything anew; the others are told only when its presence has changed. */
function synchronise(room: Room, occupant: Occupant, session: OccupantSession, stanza: Stanza): Effect[] {
  const shown = passedOn(stanza);
  const same = shown.inner === session.presence.inner && shown.extra === session.presence.extra;
  if (!same) replacePresence(room, occupant, session, shown);
  return [...(same ? [] : tellOthers(room, occupant)), ...welcome(room, stanza)];
}

function update(room: Room, occupant: Occupant, session: OccupantSession, stanza: Stanza): Effect[] {
  replacePresence(room, occupant, session, passedOn(stanza));
  return announce(room, occupant);
}

/** The device that has spoken last is the one whose presence others see. */
function replacePresence(room: Room, occupant: Occupant, session: OccupantSession, shown: Stanza): void {
  session.presence = shown;
  visitorStatus(room, occupant, session);
  const at = occupant.sessions.indexOf(session);
  occupant.sessions.splice(at, 1);
  occupant.sessions.push(session);
  occupant.changed();
}

function visitorStatus(room: Room, occupant: Occupant, session: OccupantSession): void {
  if (occupant.role !== "visitor" || room.state.config.allowVisitorStatus) return;
  session.presence = session.presence.withoutChildren(
    (name, namespace) => name === "status" && namespace === ns.client,
  );
}

/** Section 7.6. */
function changeNick(
  room: Room,
  occupant: Occupant,
  session: OccupantSession,
  stanza: Stanza,
  nickOwner: string | undefined,
): Effect[] {
  const { state } = room;
  const address = stanza.to!;
  const nick = address.resource;
  if (occupant.role === "visitor" && !state.config.allowVisitorNickchange) {
    throw new StanzaError("not-allowed", { text: "Visitors may not change their nicknames" });
  }
  const looksTheSame = nickKey(nick) === nickKey(occupant.nick);
  const other = looksTheSame ? undefined : mayUseNick(room, stanza.from!, nick, nickOwner);
  const shown = passedOn(stanza);
  const moves = other !== undefined || occupant.sessions.length > 1;
  if (moves) return moveDevice(room, occupant, session, other, address, shown);
  const effects = announce(room, occupant, { leaving: true, newNick: nick, codes: [303] });
  state.remove(occupant);
  session.presence = shown;
  const renamed = new Occupant(address, occupant.account, occupant.id, occupant.role);
  visitorStatus(room, renamed, session);
  state.add(renamed, session);
  return [...effects, ...announce(room, renamed)];
}

/** One of several devices leaves the nickname they shared, or joins another of the same user. */
function moveDevice(
  room: Room,
  occupant: Occupant,
  session: OccupantSession,
  other: Occupant | undefined,
  address: Jid,
  shown: Stanza,
): Effect[] {
  const { state } = room;
  const farewell: Announcement = { leaving: true, newNick: address.resource, codes: [303] };
  const stays = occupant.sessions.length > 1;
  const effects = stays ? toSelf(room, occupant, farewell, session.jid) : announce(room, occupant, farewell);
  state.removeSession(occupant, session);
  if (stays) effects.push(...tellOthers(room, occupant));
  session.presence = shown;
  const target = other ?? new Occupant(address, occupant.account, occupant.id, occupant.role);
  visitorStatus(room, target, session);
  state.add(target, session);
  return [...effects, ...announce(room, target)];
}

/** Section 7.14. Whoever is not in the room is not answered (section 17.3, rule 5). */
function left(room: Room, stanza: Stanza): Outcome {
  const occupant = room.state.occupantAt(stanza.from!);
  if (occupant === undefined) return handled;
  return goodbye(room, occupant, stanza.from!, passedOnOrNothing(stanza));
}

function passedOnOrNothing(stanza: Stanza): Stanza | undefined {
  try {
    return passedOn(stanza);
  } catch (error) {
    // Too long a farewell must not keep anybody in the room.
    if (error instanceof StanzaError) return undefined;
    throw error;
  }
}

/** A device is gone: said so by itself, or found out. `codes` say why. */
export function goodbye(
  room: Room,
  occupant: Occupant,
  device: Jid,
  words: Stanza | undefined,
  codes: readonly number[] = [],
): Effect[] {
  const session = occupant.sessionAt(device);
  if (session === undefined) return [];
  const { state, house } = room;
  const hidden = occupant.role === "visitor" && !state.config.allowVisitorStatus;
  const farewell: Announcement = { leaving: true, words: hidden ? undefined : words, codes };
  let effects: Effect[];
  if (occupant.sessions.length > 1) {
    effects = toSelf(room, occupant, farewell, device);
    const wasMain = occupant.main === session;
    state.removeSession(occupant, session);
    if (wasMain) effects.push(...tellOthers(room, occupant));
  } else {
    effects = announce(room, occupant, farewell);
    state.removeSession(occupant, session);
    house.conferences.left(occupant.account.bare);
  }
  if (state.size === 0) house.emptied(room);
  return effects;
}

/** A whole occupant is put out. The announcement's role, affiliation and codes say why. */
export function putOut(room: Room, occupant: Occupant, announcement: Announcement): Effect[] {
  const effects = announce(room, occupant, { ...announcement, leaving: true });
  room.state.remove(occupant);
  room.house.conferences.left(occupant.account.bare);
  if (room.state.size === 0) room.house.emptied(room);
  return effects;
}

/** Section 18.1.2: conditions that mean that a stanza of ours did not reach a device, because it is not there. */
const gone: ReadonlySet<string> = new Set([
  "gone",
  "item-not-found",
  "recipient-unavailable",
  "redirect",
  "remote-server-not-found",
  "remote-server-timeout",
  "service-unavailable",
  "jid-malformed",
]);

/** An error to something the room has sent: who cannot be reached is in the room no more. */
export function undelivered(room: Room, error: Stanza): Outcome {
  const from = error.from!;
  const condition = error.child("error")?.elements()[0]?.name ?? "";
  if (!gone.has(condition)) return drop(`an error from an occupant: ${condition}`);
  // Devices of this server are known to be there or not, whatever their clients say.
  const resources = room.house.resourcesOf(from);
  if (resources?.some((resource) => resource.jid.resource === from.resource) === true) {
    return drop(`${condition} from a device that is there`);
  }
  // Not now: this may be the answer to a welcome that is still being sent.
  room.house.lost(room, from);
  return handled;
}

/** A device is lost, with its node or without a word (status 333). */
export function occupantGone(room: Room, device: Jid): Outcome {
  const occupant = room.state.occupantAt(device);
  if (occupant === undefined) return handled;
  return goodbye(room, occupant, device, undefined, [333]);
}
