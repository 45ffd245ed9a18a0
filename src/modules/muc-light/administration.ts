/** Rooms as operators handle them: in the name of a user where one is given, else without asking after privileges. */
import type { Effect } from "../../hooks/effect.ts";
import type { LightBlocked, LightRoomDescription, LightRoomDetails, LightRoomsService } from "../../hooks/services.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { Jid } from "../../stanza/jid.ts";
import { message } from "../../stanza/stanza.ts";
import { xml } from "../../xml/xml.ts";
import type { LightRooms } from "./light-rooms.ts";
import { addressCharsMax, type LightRoom } from "./light-store.ts";
import type { ConfigTexts } from "./room-schema.ts";

export class LightAdministration implements LightRoomsService {
  readonly domain: string;
  readonly #rooms: LightRooms;

  constructor(rooms: LightRooms) {
    this.domain = rooms.domain;
    this.#rooms = rooms;
  }

  async create(owner: Jid, name: string | undefined, fields: ConfigTexts): Promise<LightRoomDetails> {
    const { schema } = this.#rooms;
    const local = name === undefined ? undefined : this.#nameOf(name);
    const { config } = schema.readTexts(fields);
    const { room, state, effects } = await this.#rooms.create(owner.toBare(), local, config, [], this.#id());
    await this.#run(effects);
    return this.#details(room, state);
  }

  #nameOf(name: string): string {
    const jid = Jid.make(name, this.domain);
    if (jid === undefined || jid.local === "" || jid.bare.length > addressCharsMax) {
      throw new StanzaError("jid-malformed", { text: `${name} is no name for a room` });
    }
    return jid.local;
  }

  async room(room: Jid): Promise<LightRoomDetails> {
    return this.#details(room, await this.#load(room));
  }

  async configure(room: Jid, user: Jid, fields: ConfigTexts): Promise<LightRoomDetails> {
    await this.#load(room);
    const change = this.#rooms.schema.readTexts(fields);
    await this.#run(await this.#rooms.configure(room.toBare(), user.toBare(), change, this.#id()));
    return this.room(room);
  }

  async invite(room: Jid, sender: Jid, recipient: Jid): Promise<void> {
    if (!this.#rooms.isUser(recipient) || recipient.bare.length > addressCharsMax) {
      throw new StanzaError("bad-request", { text: `${recipient.bare} is no user` });
    }
    const wish = { jid: recipient.bare, affiliation: "member" } as const;
    await this.#run(await this.#rooms.affiliate(room.toBare(), sender.toBare(), [wish], this.#id()));
  }

  async kick(room: Jid, user: Jid): Promise<void> {
    const { occupants } = await this.#load(room);
    if (!occupants.has(user.bare)) throw new StanzaError("item-not-found", { text: `${user.bare} is not in the room` });
    const wish = { jid: user.bare, affiliation: "none" } as const;
    await this.#run(await this.#rooms.affiliate(room.toBare(), undefined, [wish], this.#id()));
  }

  async remove(room: Jid): Promise<void> {
    await this.#run(await this.#rooms.destroy(room.toBare(), undefined, this.#id()));
  }

  async send(room: Jid, from: Jid, body: string): Promise<void> {
    const payload = xml`<body>${body}</body>`;
    await this.#run(
      await this.#rooms.say(message({ from, to: room.toBare(), type: "groupchat", id: this.#id(), payload })),
    );
  }

  async roomsOf(user: Jid): Promise<readonly string[]> {
    const found: string[] = [];
    for (;;) {
      const after = found.at(-1);
      const page = await this.#rooms.store.roomsOf(user.bare, {
        ...(after === undefined ? {} : { after }),
        limit: 500,
      });
      if (page.length === 0) return found.map((room) => `${room}@${this.domain}`);
      for (const { room } of page) found.push(room);
    }
  }

  async list(page: { readonly filter?: string; readonly after?: string; readonly limit: number }) {
    const { store, schema } = this.#rooms;
    const found = await store.list({ ...page, limit: page.limit + 1 });
    const rooms = found.slice(0, page.limit).map(({ room, config, users }): LightRoomDescription => {
      const texts = new Map(schema.texts(config));
      return {
        jid: `${room}@${this.domain}`,
        name: this.#rooms.title(room, config),
        subject: texts.get("subject") ?? null,
        usersNumber: users,
      };
    });
    return { rooms, count: await store.count(page.filter), nextPage: found.length > page.limit };
  }

  blocking(user: Jid): Promise<readonly LightBlocked[]> {
    return this.#rooms.store.blocking(user.bare);
  }

  async setBlocking(user: Jid, deny: readonly LightBlocked[], allow: readonly LightBlocked[]): Promise<void> {
    const most = this.#rooms.context.options.maxBlocked;
    if (!(await this.#rooms.store.block(user.bare, deny, allow, most))) {
      throw new StanzaError("resource-constraint", { text: `A blocking list has at most ${most} items` });
    }
  }

  async #load(room: Jid): Promise<LightRoom> {
    const state = await this.#rooms.store.load(room.local);
    if (state === undefined) throw new StanzaError("item-not-found", { text: "There is no such room" });
    return state;
  }

  #details(room: Jid, { config, occupants }: LightRoom): LightRoomDetails {
    const texts = this.#rooms.schema.texts(config);
    return {
      jid: room.bare,
      name: this.#rooms.title(room.local, config),
      subject: new Map(texts).get("subject") ?? null,
      participants: [...occupants].map(([jid, affiliation]) => ({ jid, affiliation })),
      options: texts.map(([key, value]) => ({ key, value })),
    };
  }

  #id(): string {
    return this.#rooms.context.random.id();
  }

  async #run(effects: readonly Effect[]): Promise<void> {
    await this.#rooms.context.run(effects);
    await this.#rooms.context.told();
  }
}
