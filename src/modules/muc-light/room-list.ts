/** The rooms a user is in, page by page: for service discovery (XEP-0059) and for rosters. */
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { pageRequest, resultSet } from "../../stanza/result-set.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";
import type { LightRooms } from "./light-rooms.ts";
import type { RoomItem } from "./light-store.ts";

/** Where `rooms_per_page` sets no limit. */
const pageMost = 1_000;
/** Most rooms a roster shows. */
const rosterMost = 1_000;

export async function roomList(rooms: LightRooms, account: Jid, query: Element): Promise<Xml> {
  const { store, context, domain } = rooms;
  const page = pageRequest(query);
  const most = Math.min(page.max ?? Number.POSITIVE_INFINITY, context.options.roomsPerPage, pageMost);
  const asked = query.child("set", ns.rsm) !== undefined;
  let found: RoomItem[] = [];
  if (page.after !== undefined) {
    const after = await nameOf(rooms, account, page.after);
    if (most > 0) found = await store.roomsOf(account.bare, { after, limit: most });
  } else if (page.before !== undefined) {
    const before = page.before === "" ? "" : await nameOf(rooms, account, page.before);
    if (most > 0) found = await store.roomsOf(account.bare, { before, limit: most });
  } else if (most > 0) {
    const offset = page.index === undefined ? {} : { offset: page.index };
    found = await store.roomsOf(account.bare, { ...offset, limit: most });
  }
  const count = await store.countRoomsOf(account.bare);
  const first = found[0]?.room;
  const address = (room: string | undefined) => (room === undefined ? undefined : `${room}@${domain}`);
  const items = found.map(
    ({ room, version, config }) =>
      xml`<item jid='${`${room}@${domain}`}' name='${rooms.title(room, config)}'${attributes({ version: context.options.legacyMode ? undefined : version })}/>`,
  );
  const index = first === undefined ? undefined : await store.countRoomsOf(account.bare, first);
  const set =
    asked || found.length < count
      ? resultSet({ first: address(first), last: address(found.at(-1)?.room), index, count })
      : undefined;
  return xml`<query xmlns='${ns.discoItems}'>${items}${set}</query>`;
}

/** Of an item in a page request. @throws StanzaError item-not-found when it is none. */
async function nameOf(rooms: LightRooms, account: Jid, address: string): Promise<string> {
  const jid = parseJid(address);
  const isThere = jid?.domain === rooms.domain && jid.local !== "" && (await rooms.store.isIn(account.bare, jid.local));
  if (!isThere) throw new StanzaError("item-not-found", { text: "There is no such item" });
  return jid.local;
}

/** As items of a roster: in a group of their own, with their versions. */
export async function rosterItems(rooms: LightRooms, account: Jid): Promise<readonly string[]> {
  const found = await rooms.store.roomsOf(account.bare, { limit: rosterMost });
  return found.map(({ room, version, config }) => {
    const jid = `${room}@${rooms.domain}`;
    const name = rooms.title(room, config);
    return xml`<item jid='${jid}' name='${name}' subscription='to'><group>${ns.mucLight}</group><version>${version}</version></item>`
      .text;
  });
}
