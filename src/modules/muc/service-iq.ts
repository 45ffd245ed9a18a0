/** IQs to the service itself: what it can do, which rooms there are (XEP-0045 sections 6.2 and 6.3), nicknames, room names. */
import { type MaybePromise, type Outcome, reply } from "../../hooks/effect.ts";
import { compareOctets, discoInfoElement } from "../../stanza/disco-info.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { pageRequest, resultSet } from "../../stanza/result-set.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { StoreConflict } from "../../store/errors.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";
import { registrationForm, wantedNick } from "./nicknames.ts";
import { answered } from "./room-iq.ts";
import type { RoomService } from "./room-service.ts";
import type { ListedRoom } from "./room-store.ts";

const pageMost = 200;
/** Rooms in one answer to somebody who asks for no page. */
const listMost = 1_000;

const features: readonly string[] = [
  ns.muc,
  ns.mucStableId,
  ns.mucUnique,
  ns.discoInfo,
  ns.discoItems,
  ns.moderation,
  ns.occupantId,
  ns.ping,
  ns.register,
  ns.rsm,
  ns.vcard,
];

export function takeServiceIq(service: RoomService, stanza: Stanza): MaybePromise<Outcome> {
  if (stanza.type !== "get" && stanza.type !== "set") return [];
  if (stanza.to!.resource !== "") throw new StanzaError("service-unavailable");
  const payload = stanza.firstChild()!;
  const outcome = answer(service, stanza, payload);
  return outcome instanceof Promise ? outcome.then((settled) => answered(stanza, settled)) : answered(stanza, outcome);
}

function answer(service: RoomService, { type, from }: Stanza, payload: Element): MaybePromise<Outcome> {
  switch (`${type} ${payload.ns} ${payload.name}`) {
    case `get ${ns.discoInfo} query`:
      return info(service, payload.attr("node"));
    case `get ${ns.discoItems} query`:
      return items(service, payload);
    case `get ${ns.register} query`:
      return registration(service, from!.toBare());
    case `set ${ns.register} query`:
      return register(service, from!.toBare(), payload);
    case `get ${ns.mucUnique} unique`:
      return reply(xml`<unique xmlns='${ns.mucUnique}'>${uniqueName(service)}</unique>`);
    case `get ${ns.vcard} vCard`:
      return reply(
        xml`<vCard xmlns='${ns.vcard}'><FN>Meerkat</FN><DESC>Group chats of ${service.context.domain}</DESC></vCard>`,
      );
    case `get ${ns.ping} ping`:
      return [];
    default:
      throw new StanzaError("service-unavailable");
  }
}

function info(service: RoomService, node: string | undefined): Outcome {
  if (node !== undefined && node !== "") throw new StanzaError("item-not-found", { text: "There is no such node" });
  const archive = service.context.service("roomArchive")?.features ?? [];
  const all = [...new Set([...features, ...archive])].sort();
  const name = `Group chats of ${service.context.domain}`;
  return reply(
    discoInfoElement({ identities: [{ category: "conference", type: "text", name }], features: all, forms: [] }),
  );
}

/** XEP-0307. */
function uniqueName(service: RoomService): string {
  return Buffer.from(service.context.random.bytes(15)).toString("hex");
}

async function items(service: RoomService, query: Element): Promise<Outcome> {
  const node = query.attr("node");
  // `muc_rooms` is the one node there is: the list itself.
  if (node !== undefined && node !== "" && node !== "muc_rooms") {
    throw new StanzaError("item-not-found", { text: "There is no such node" });
  }
  const asked = query.child("set", ns.rsm) !== undefined;
  const request = pageRequest(query);
  const most = Math.min(request.max ?? (asked ? pageMost : listMost), asked ? pageMost : listMost);
  const temporary = service.lists.temporary();
  const count = (await service.store.count()) + temporary.length;
  let rooms: ListedRoom[] = [];
  if (request.index !== undefined && most > 0) {
    rooms = (await firstRooms(service, temporary, undefined, request.index + most)).slice(request.index);
  } else if (request.before !== undefined && most > 0) {
    rooms = await lastRooms(service, temporary, nameIn(service, request.before), most);
  } else if (most > 0) rooms = await firstRooms(service, temporary, nameIn(service, request.after), most);
  const index = rooms.length === 0 ? undefined : await placeOf(service, temporary, rooms[0]!.room);
  const elements = rooms.map(
    ({ room, title }) => xml`<item jid='${room}@${service.domain}' name='${title === "" ? room : title}'/>`,
  );
  const address = (room: ListedRoom | undefined) => (room === undefined ? undefined : `${room.room}@${service.domain}`);
  const partial = asked || rooms.length < count;
  const set = partial ? resultSet({ first: address(rooms[0]), last: address(rooms.at(-1)), index, count }) : undefined;
  return reply(xml`<query xmlns='${ns.discoItems}'>${elements}${set}</query>`);
}

/** The local part of a room's address in a page request; undefined for none and for the end of the list. */
function nameIn(service: RoomService, address: string | undefined): string | undefined {
  if (address === undefined || address === "") return undefined;
  const at = address.lastIndexOf("@");
  if (
    at < 1 ||
    address.slice(at + 1) !== service.domain ||
    Jid.make(address.slice(0, at), service.domain) === undefined
  ) {
    throw new StanzaError("item-not-found", { text: "There is no such item" });
  }
  return address.slice(0, at);
}

async function firstRooms(
  service: RoomService,
  temporary: readonly ListedRoom[],
  after: string | undefined,
  limit: number,
): Promise<ListedRoom[]> {
  if (limit > rowsMost)
    throw new StanzaError("policy-violation", { text: "That far into the list one gets by its ids" });
  const stored = await service.store.list({ limit, ...(after === undefined ? {} : { after }) });
  const others = after === undefined ? temporary : temporary.filter(({ room }) => compareOctets(room, after) > 0);
  return inOrder([...stored, ...others]).slice(0, limit);
}

const rowsMost = 10_000;

async function lastRooms(
  service: RoomService,
  temporary: readonly ListedRoom[],
  before: string | undefined,
  limit: number,
): Promise<ListedRoom[]> {
  const stored = await service.store.listBefore(before, limit);
  const others = before === undefined ? temporary : temporary.filter(({ room }) => compareOctets(room, before) < 0);
  return inOrder([...stored, ...others]).slice(-limit);
}

const inOrder = (rooms: ListedRoom[]): ListedRoom[] => rooms.sort((a, b) => compareOctets(a.room, b.room));

async function placeOf(service: RoomService, temporary: readonly ListedRoom[], name: string): Promise<number> {
  const before = temporary.filter(({ room }) => compareOctets(room, name) < 0).length;
  return before + (await service.store.count({ before: name }));
}

async function registration(service: RoomService, account: Jid): Promise<Outcome> {
  const nick = await service.store.registeredNick(account);
  return reply(registrationForm(`Nickname in all rooms of ${service.domain}`, nick));
}

async function register(service: RoomService, account: Jid, query: Element): Promise<Outcome> {
  const nick = wantedNick(query);
  const usable =
    nick === undefined || (nick === nick.trim() && Jid.make("room", service.domain, nick)?.resource === nick);
  if (!usable || (nick?.length ?? 0) > 250)
    throw new StanzaError("not-acceptable", { text: "That cannot be a nickname" });
  try {
    await service.registerNick(account, nick);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
    throw new StanzaError("conflict", { text: "The nickname belongs to somebody else", cause: error });
  }
  return [];
}
