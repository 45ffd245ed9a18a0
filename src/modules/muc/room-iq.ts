/** IQs to a room and between its occupants. Each is answered here, like those of the host (RFC 6120 section 8.2.3). */
import { type Effect, handled, type MaybePromise, type Outcome, route } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { getLists, setLists } from "./affiliations.ts";
import { moderate } from "./moderation.ts";
import { getRegistration, setRegistration } from "./nicknames.ts";
import { passIq } from "./occupant-iq.ts";
import { getConfiguration, setConfiguration } from "./ownership.ts";
import type { Room } from "./room.ts";
import { roomInfo, roomItems } from "./room-discovery.ts";
import { getVcard, setVcard } from "./room-vcard.ts";

type RoomIqHandler = (room: Room, stanza: Stanza, payload: Element) => MaybePromise<Outcome>;

/** By type, namespace and name. */
const handlers: ReadonlyMap<string, RoomIqHandler> = new Map<string, RoomIqHandler>([
  [`get ${ns.discoInfo} query`, (room, { from }, query) => roomInfo(room, from!, query.attr("node"))],
  [`get ${ns.discoItems} query`, (room, { from }, query) => roomItems(room, from!, query)],
  [`get ${ns.mucAdmin} query`, (room, { from }, query) => getLists(room, from!, query)],
  [`set ${ns.mucAdmin} query`, (room, { from }, query) => setLists(room, from!, query)],
  [`get ${ns.mucOwner} query`, (room, { from }) => getConfiguration(room, from!)],
  [`set ${ns.mucOwner} query`, (room, { from }, query) => setConfiguration(room, from!, query)],
  [`get ${ns.register} query`, (room, { from }) => getRegistration(room, from!)],
  [`set ${ns.register} query`, (room, { from }, query) => setRegistration(room, from!, query)],
  [`get ${ns.vcard} vCard`, (room, { from }) => getVcard(room, from!)],
  [`set ${ns.vcard} vCard`, (room, { from }, vcard) => setVcard(room, from!, vcard)],
  [`set ${ns.moderation} moderate`, (room, stanza, request) => moderate(room, stanza, request)],
  [`get ${ns.ping} ping`, () => []],
]);

export function takeIq(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  if (stanza.to!.resource !== "") return passIq(room, stanza);
  if (stanza.type !== "get" && stanza.type !== "set") return handled;
  if (room.state.locked && room.affiliationOf(stanza.from!) !== "owner") {
    // Section 10.1: before its owner has configured it, there is no room.
    throw new StanzaError("item-not-found", { text: "There is no such room" });
  }
  const payload = stanza.firstChild();
  if (payload === undefined) throw new StanzaError("bad-request", { text: "An iq request has exactly one child" });
  if (payload.ns === ns.mam && room.archive !== undefined) return archived(room, stanza);
  const handler = handlers.get(`${stanza.type} ${payload.ns} ${payload.name}`);
  if (handler === undefined) throw new StanzaError("service-unavailable");
  const outcome = handler(room, stanza, payload);
  return outcome instanceof Promise ? outcome.then((settled) => answered(stanza, settled)) : answered(stanza, outcome);
}

/** The result goes out before the effects of a change, unless one of them answers. */
export function answered(request: Stanza, outcome: Outcome): Effect[] {
  const effects = outcome === undefined ? [] : "length" in outcome ? outcome : [outcome];
  const given = effects.find((effect) => effect.do === "reply");
  const rest = effects.filter((effect) => effect.do !== "reply");
  return [route(resultOf(request, given?.do === "reply" ? given.payload : undefined)), ...rest];
}

/** XEP-0313 section 6: the archive of a room is for those who may hear what is said there. */
async function archived(room: Room, stanza: Stanza): Promise<Outcome> {
  const from = stanza.from!;
  const occupant = room.state.occupantAt(from);
  const affiliation = room.affiliationOf(from);
  const { config } = room.state;
  const isStranger = affiliation === "none" && occupant === undefined;
  if (
    affiliation === "outcast" ||
    (isStranger && (config.membersOnly || config.passwordProtected || room.state.locked))
  ) {
    throw new StanzaError("forbidden", { text: "The archive is for those who may enter the room" });
  }
  const seesRealAddresses =
    !config.anonymous || occupant?.role === "moderator" || affiliation === "owner" || affiliation === "admin";
  return room.archive!.answer(room.jid, stanza, { seesRealAddresses });
}
