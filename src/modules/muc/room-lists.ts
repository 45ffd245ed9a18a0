/** Which rooms there are, on all nodes of a cluster: those in the database, and those that are in the memory of one node alone. */
import type { Placement } from "../../hooks/placement.ts";
import type { RoomDetails } from "../../hooks/services.ts";
import { compareOctets } from "../../stanza/disco-info.ts";
import type { Room } from "./room.ts";
import type { ListedRoom, RoomStore } from "./room-store.ts";

/** What all nodes know of a room that is in the memory of one alone. */
interface RoomNote {
  readonly title: string;
  readonly listed: boolean;
}

/** Undefined for a room that the database has. */
export function noteOf(room: Room): RoomNote | undefined {
  if (room.isStored) return undefined;
  const { config, locked } = room.state;
  return { title: config.title, listed: config.public && !locked };
}

export class RoomLists {
  readonly #end: string;
  readonly #store: RoomStore;
  readonly #placement: Placement;
  /** Of this node, by address. */
  readonly #rooms: ReadonlyMap<string, Room>;

  constructor(domain: string, store: RoomStore, placement: Placement, rooms: ReadonlyMap<string, Room>) {
    this.#end = `@${domain}`;
    this.#store = store;
    this.#placement = placement;
    this.#rooms = rooms;
    placement.onQuestion((question) => this.#usersOf((question as { usersOf?: readonly string[] }).usersOf ?? []));
  }

  /** All rooms, hidden ones included: the stored ones in the order of their names, then those that are in memory alone. */
  async all(limit: number, index: number): Promise<{ rooms: RoomDetails[]; count: number }> {
    const stored = await this.#store.count({ all: true });
    const temporary: RoomDetails[] = [];
    for (const room of this.#rooms.values()) if (!room.isStored) temporary.push(details(room));
    for (const { key, note } of this.#elsewhere()) {
      temporary.push({ jid: key, title: note.title, private: !note.listed, usersNumber: 0 });
    }
    temporary.sort((one, other) => compareOctets(one.jid, other.jid));
    const page = await this.#store.list({ all: true, limit, offset: index });
    const rooms = page.map(({ room, title, listed }) => {
      const jid = `${room}${this.#end}`;
      return { jid, title, private: !listed, usersNumber: this.#rooms.get(jid)?.state.occupants.size ?? 0 };
    });
    const from = Math.max(0, index - stored);
    rooms.push(...temporary.slice(from, from + limit - rooms.length));
    return { rooms: await this.#withUsersElsewhere(rooms), count: stored + temporary.length };
  }

  /** Those that may be found and are not in the database, in the order of their names. */
  temporary(): ListedRoom[] {
    const rooms: ListedRoom[] = [];
    for (const room of this.#rooms.values()) {
      const note = noteOf(room);
      if (note?.listed === true) rooms.push({ room: room.jid.local, title: note.title });
    }
    for (const { key, note } of this.#elsewhere()) {
      if (note.listed) rooms.push({ room: key.slice(0, -this.#end.length), title: note.title });
    }
    return rooms.sort((a, b) => compareOctets(a.room, b.room));
  }

  /** Rooms of other nodes that the database does not have. */
  *#elsewhere(): Generator<{ key: string; note: RoomNote }> {
    for (const { key, note } of this.#placement.elsewhere()) {
      if (key.endsWith(this.#end) && typeof note === "object" && note !== null) yield { key, note: note as RoomNote };
    }
  }

  /** How many are in rooms that other nodes have, those nodes know. */
  async #withUsersElsewhere(rooms: readonly RoomDetails[]): Promise<RoomDetails[]> {
    const keys = rooms.map(({ jid }) => jid).filter((jid) => !this.#rooms.has(jid));
    const answers = keys.length === 0 ? [] : await this.#placement.askOthers({ usersOf: keys });
    const users = new Map(answers.flatMap((answer) => Object.entries(answer as Record<string, number>)));
    return rooms.map((room) => ({ ...room, usersNumber: users.get(room.jid) ?? room.usersNumber }));
  }

  #usersOf(keys: readonly string[]): Record<string, number> {
    const users: Record<string, number> = {};
    for (const key of keys) {
      const room = this.#rooms.get(key);
      if (room !== undefined) users[key] = room.state.occupants.size;
    }
    return users;
  }
}

export function details(room: Room): RoomDetails {
  const { config, occupants } = room.state;
  return { jid: room.jid.bare, title: config.title, private: !config.public, usersNumber: occupants.size };
}
