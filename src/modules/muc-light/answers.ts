/** What the service answers alike in both tongues: service discovery, archives, pings, blocking lists. */
import { type Effect, type Outcome, route } from "../../hooks/effect.ts";
import { discoInfoElement, discoItemsElement } from "../../stanza/disco-info.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import type { Xml } from "../../xml/xml.ts";
import { type LightRooms, lightViewer } from "./light-rooms.ts";
import { addressCharsMax } from "./light-store.ts";
import type { BlockingChange } from "./requests.ts";
import { roomList } from "./room-list.ts";

export function answer(request: Stanza, payload?: Xml): Effect {
  return route(resultOf(request, payload));
}

/** The result of a change, behind what it has caused. Whoever reads it may rely on the change at every node. */
export async function done(
  { context }: LightRooms,
  request: Stanza,
  effects: readonly Effect[],
): Promise<readonly Effect[]> {
  await context.told();
  return [...effects, answer(request)];
}

function noNode(query: Element): void {
  const node = query.attr("node");
  if (node !== undefined && node !== "") throw new StanzaError("item-not-found", { text: "There is no such node" });
}

/** What the service answers beside what it is there for. `protocol` is the namespace by which clients know how to speak to it. */
export async function asideOfService(
  rooms: LightRooms,
  what: string,
  stanza: Stanza,
  payload: Element,
  protocol: string,
): Promise<Outcome> {
  switch (what) {
    case `get ${ns.discoInfo} query`:
      return info(rooms, stanza, payload, `Group chats of ${rooms.context.domain}`, protocol);
    case `get ${ns.discoItems} query`:
      noNode(payload);
      return answer(stanza, await roomList(rooms, stanza.from!.toBare(), payload));
    case `get ${ns.ping} ping`:
      return answer(stanza);
    default:
      throw new StanzaError("service-unavailable");
  }
}

function info(rooms: LightRooms, stanza: Stanza, query: Element, name: string, protocol: string): Effect {
  noNode(query);
  const all = new Set<string>([protocol, ns.discoInfo, ns.discoItems, ns.ping, ns.rsm, ns.stanzaIds]);
  for (const feature of rooms.archive?.features ?? []) all.add(feature);
  const identities = [{ category: "conference", type: "text", name }];
  return answer(stanza, discoInfoElement({ identities, features: [...all].sort(), forms: [] }));
}

/** What rooms answer beside what they are there for. */
export async function aside(
  rooms: LightRooms,
  what: string,
  stanza: Stanza,
  payload: Element,
  protocol: string,
): Promise<Outcome> {
  const room = stanza.to!;
  const { config } = await rooms.roomFor(room.local, stanza.from!);
  if (payload.ns === ns.mam && rooms.archive !== undefined) return rooms.archive.answer(room, stanza, lightViewer);
  switch (what) {
    case `get ${ns.discoInfo} query`:
      return info(rooms, stanza, payload, rooms.title(room.local, config), protocol);
    case `get ${ns.discoItems} query`:
      noNode(payload);
      return answer(stanza, discoItemsElement([]));
    case `get ${ns.ping} ping`:
      return answer(stanza);
    default:
      throw new StanzaError("service-unavailable");
  }
}

/** @throws StanzaError not-allowed, bad-request. */
export function checkCreation({ context, domain }: LightRooms, creator: Jid, name: string | undefined): void {
  if (!context.access.allow(context.options.accessCreate, creator)) {
    throw new StanzaError("not-allowed", { text: "You may not make rooms here" });
  }
  if ((name?.length ?? 0) + domain.length + 1 > addressCharsMax) {
    throw new StanzaError("bad-request", { text: `The address of a room has at most ${addressCharsMax} characters` });
  }
}

export function requireBlocking(rooms: LightRooms): void {
  if (rooms.context.options.blocking) return;
  throw new StanzaError("bad-request", { text: "This service has no blocking lists" });
}

/** @throws StanzaError resource-constraint when the list would become too long; then nothing has changed. */
export async function block({ store, context }: LightRooms, account: Jid, change: BlockingChange): Promise<void> {
  const most = context.options.maxBlocked;
  if (await store.block(account.bare, change.deny, change.allow, most)) return;
  throw new StanzaError("resource-constraint", { text: `A blocking list has at most ${most} items` });
}
