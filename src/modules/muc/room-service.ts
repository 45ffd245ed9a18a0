/** The rooms of one domain: which are online, how they are found, made, put to rest and ended. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { drop, type Effect, handled, type MaybePromise, type Outcome } from "../../hooks/effect.ts";
import type { Placement } from "../../hooks/placement.ts";
import type { Origin } from "../../session/resource.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { xml } from "../../xml/xml.ts";
import { occupantGone, refusal } from "./entering.ts";
import type { MucOptions } from "./options.ts";
import { Room, type RoomHouse } from "./room.ts";
import { firstConfig, readConfig } from "./room-config.ts";
import { noteOf, RoomLists } from "./room-lists.ts";
import { toSelf } from "./room-presence.ts";
import { affiliatedOf, type RoomDescription, RoomState, type StoredRoom } from "./room-state.ts";
import { RoomStore } from "./room-store.ts";
import { RoomViewers } from "./room-viewers.ts";
import { takeServiceIq } from "./service-iq.ts";

/** Nicknames whose owners are remembered; most have none. */
const nickOwnersMost = 10_000;
const sweepMs = 5_000;
/** A room that is to move comes to rest within this, or stays; it is looked at so often. */
const packMs = 3_000;
const packPauseMs = 2;
/** Accounts that were removed lately are remembered, for rooms that were on their way meanwhile: no move takes longer than this. */
const removedMost = 1_000;
const moveMsMax = 30_000;
/** After so long all nodes know of all devices that were in a room when it came. */
const absentMs = 10_000;

export class RoomService {
  readonly domain: string;
  readonly context: ModuleContext<MucOptions>;
  readonly store: RoomStore;
  readonly lists: RoomLists;
  readonly viewers: RoomViewers;
  readonly #house: RoomHouse;
  readonly #placement: Placement;
  readonly #rooms = new Map<string, Room>();
  /** How many stanzas wait for a room that is not in memory. */
  readonly #arriving = new Map<string, number>();
  /** Rooms on their way to another node. */
  readonly #moving = new Set<string>();
  readonly #loading = new Map<string, Promise<Room | undefined>>();
  /** Rooms whose archive is being removed: a new one of that name waits for it. */
  readonly #ending = new Map<string, Promise<void>>();
  /** Persistent rooms without occupants, in the order in which they became so, with that time. */
  readonly #idle = new Map<Room, number>();
  /** "" where a nickname has no owner. */
  readonly #nickOwners = new BoundedMap<string, string>(nickOwnersMost);
  /** Since when an account is gone. */
  readonly #removed = new BoundedMap<string, number>(removedMost);
  readonly #tellNick: (key: string) => void;
  readonly #tellAccount: (key: string) => void;
  /** Rooms of this node that accounts are in. */
  readonly #conferences = new Map<string, number>();

  constructor(domain: string, context: ModuleContext<MucOptions>) {
    this.domain = domain;
    this.context = context;
    this.store = new RoomStore(context.store, domain);
    this.#placement = context.placement("muc");
    this.#placement.onConflict((key) => this.#yield(key));
    this.lists = new RoomLists(domain, this.store, this.#placement, this.#rooms);
    this.viewers = new RoomViewers(domain, this.store, this.#placement, this.#rooms, context.options);
    this.#placement.moves({
      has: (key) => key.endsWith(`@${domain}`),
      pack: (key) => this.#pack(key),
      settled: (key, moved) => this.#settled(key, moved),
      unpack: (_key, description) => this.restore(description as RoomDescription),
    });
    this.#tellNick = context.notices(`muc nick ${domain}`, (nick) => {
      if (nick === undefined) this.#nickOwners.clear();
      else this.#nickOwners.delete(nick);
    });
    this.#tellAccount = context.notices(`muc account ${domain}`, (account) => {
      if (account !== undefined) this.#forgetAccount(account);
    });
    this.#house = {
      options: context.options,
      clock: context.clock,
      random: context.random,
      log: context.log,
      access: context.access,
      store: this.store,
      writes: context.writes,
      archive: () => context.service("roomArchive"),
      rooms: context.rooms,
      nickOwner: (nick) => this.nickOwner(nick),
      resourcesOf: (account) => (account.domain === context.domain ? context.resourcesOf(account) : undefined),
      conferences: {
        of: (account) => this.#conferences.get(account) ?? 0,
        entered: (account) => void this.#conferences.set(account, (this.#conferences.get(account) ?? 0) + 1),
        left: (account) => this.#left(account),
      },
      shaper: (name) => context.shapers.get(name) ?? Number.POSITIVE_INFINITY,
      lost: (room, device) => this.#lost(room, device),
      configured: (room) => this.#claim(room),
      emptied: (room) => this.#emptied(room),
      destroyed: (room) => this.#destroyed(room),
    };
  }

  /** Rests what is idle from time to time; returns what stops that. */
  start(): () => Promise<void> {
    const timer = this.context.clock.every(sweepMs, () => this.#sweep());
    return async () => {
      timer.cancel();
      await Promise.allSettled(this.#ending.values());
    };
  }

  /** In whose name operators act where somebody must have done it. */
  get owner(): Jid {
    return this.context.address;
  }

  /** Throws `StanzaError` when the room is not one of this service, or another node of the cluster has it. */
  requireHere(address: Jid): void {
    if (address.domain !== this.domain || address.local === "") {
      throw new StanzaError("item-not-found", { text: `${address.full} is no room of ${this.domain}` });
    }
    if (this.#moving.has(address.bare)) {
      throw new StanzaError("resource-constraint", { type: "wait", text: "The room moves to another node just now" });
    }
    if (this.#placement.home(address.bare) !== undefined) {
      throw new StanzaError("service-unavailable", { text: "Another node of the cluster has this room: ask there" });
    }
  }

  nodeOf(address: Jid): number | undefined {
    return this.#placement.nodeOf(address.bare);
  }

  get online(): Iterable<Room> {
    return this.#rooms.values();
  }

  /** Takes whatever is addressed to the domain or to anything in it. */
  take(stanza: Stanza, origin: Origin | undefined): MaybePromise<Outcome> {
    const to = stanza.to!;
    if (asks(stanza) && !this.context.access.allow(this.context.options.access, stanza.from!)) {
      const error = new StanzaError("forbidden", { text: "You may not use this service" });
      if (stanza.kind === "presence") return refusal(stanza, error);
      throw error;
    }
    if (to.local === "") return this.#toService(stanza);
    const home = this.#placement.home(to.bare);
    if (home !== undefined) {
      const sent = home.forward(stanza, origin);
      return sent instanceof Promise ? sent.then(() => handled) : handled;
    }
    const room = this.#rooms.get(to.bare);
    if (room !== undefined && !room.over) return this.#toRoom(room, stanza, origin);
    return this.#toAbsent(stanza, origin);
  }

  /** Carries out what a stanza causes before it says that it is dealt with: a room that moves waits for that. */
  #toRoom(room: Room, stanza: Stanza, origin: Origin | undefined): MaybePromise<Outcome> {
    const outcome = room.take(stanza);
    const done =
      outcome instanceof Promise
        ? outcome.then((settled) => this.context.run(settled, stanza, origin))
        : this.context.run(outcome, stanza, origin);
    return done instanceof Promise ? this.#atWork(room, done) : handled;
  }

  async #atWork(room: Room, work: Promise<void>): Promise<Outcome> {
    room.working++;
    try {
      await work;
      return handled;
    } finally {
      room.working--;
    }
  }

  #toService(stanza: Stanza): MaybePromise<Outcome> {
    if (stanza.kind === "iq") return takeServiceIq(this, stanza);
    if (stanza.kind === "message" && stanza.type !== "error") throw new StanzaError("service-unavailable");
    return drop("presence and errors for the service itself");
  }

  async #toAbsent(stanza: Stanza, origin: Origin | undefined): Promise<Outcome> {
    const key = stanza.to!.bare;
    this.#arriving.set(key, (this.#arriving.get(key) ?? 0) + 1);
    try {
      return await this.#fromAbsent(stanza, origin);
    } finally {
      const left = this.#arriving.get(key)! - 1;
      if (left === 0) this.#arriving.delete(key);
      else this.#arriving.set(key, left);
    }
  }

  /** Section 7.2.9 and 17.2: only entering makes a room; leaving and answers need none. */
  async #fromAbsent(stanza: Stanza, origin: Origin | undefined): Promise<Outcome> {
    const { type, kind } = stanza;
    if (type === "error" || type === "result" || (kind === "presence" && type !== undefined)) {
      if (!this.#loading.has(stanza.to!.bare)) return drop("nobody is in a room that is not online");
    }
    const room = await this.find(stanza.to!);
    if (room !== undefined) return this.#toRoom(room, stanza, origin);
    if (kind === "presence") {
      if (type !== undefined) return drop("there is no such room");
      try {
        return await this.#enterNew(stanza, origin);
      } catch (error) {
        return refusal(stanza, error);
      }
    }
    if (type === "error" || type === "result") return drop("there is no such room");
    const toOccupant = kind === "iq" && stanza.to!.resource !== "";
    // XEP-0410 section 3.2: whoever asks after himself learns that he is not in.
    throw new StanzaError(toOccupant ? "not-acceptable" : "item-not-found", {
      type: "cancel",
      text: "There is no such room",
    });
  }

  async #enterNew(stanza: Stanza, origin: Origin | undefined): Promise<Outcome> {
    const to = stanza.to!;
    if (to.resource === "") throw new StanzaError("jid-malformed", { text: "To enter a room, choose a nickname" });
    if (stanza.has("x", ns.muc)) {
      await this.#ending.get(to.bare);
      const room = this.#rooms.get(to.bare) ?? this.create(to.toBare(), stanza.from!);
      const outcome = await this.#toRoom(room, stanza, origin);
      // Whoever was refused, such as for a bad request, leaves no room behind.
      if (room.state.size === 0 && room.state.locked) this.#emptied(room);
      return outcome;
    }
    // A room that is not there has no occupants to whom this could be an update.
    return new Room(this.#newState(to.toBare()), this.#house).take(stanza);
  }

  /** An online room, or one that rests in the database; undefined when there is none. For rooms that are at home here. */
  find(address: Jid): MaybePromise<Room | undefined> {
    const key = address.bare;
    const room = this.#rooms.get(key);
    if (room !== undefined && !room.over) return room;
    let loading = this.#loading.get(key);
    if (loading === undefined) {
      loading = this.#load(address.toBare()).finally(() => this.#loading.delete(key));
      this.#loading.set(key, loading);
    }
    return loading;
  }

  async #load(jid: Jid): Promise<Room | undefined> {
    await this.#ending.get(jid.bare);
    const found = await this.store.load(jid.local);
    const known = this.#rooms.get(jid.bare);
    if (known !== undefined && !known.over) return known;
    if (found === undefined) return undefined;
    const { options } = this.context;
    const config = readConfig(found.row.config, options);
    const stored = JSON.parse(found.row.state) as StoredRoom;
    const state = new RoomState(jid, config, stored, options.historySize, false);
    for (const row of found.affiliations) state.affiliate(row.jid, affiliatedOf(row));
    const room = new Room(state, this.#house);
    await this.#recall(room);
    this.#add(room);
    this.#idle.set(room, this.context.clock.monotonic());
    return room;
  }

  /** The newest messages of a room that was not online; without them people can enter all the same. */
  async #recall(room: Room): Promise<void> {
    const most = this.context.options.historySize;
    if (room.archive === undefined) return;
    try {
      if (most === 0) room.state.newestId = await room.archive.newest(room.jid);
      for (const { id, at, stanza } of await room.archive.history(room.jid, most)) {
        room.state.newestId = id;
        if (!stanza.has("body", ns.client)) continue;
        const occupantId = stanza.child("occupant-id", ns.occupantId)?.attr("id") ?? "";
        room.state.history.add(room.identified(stanza.withTo(undefined), id), at, occupantId, id);
      }
    } catch (error) {
      this.context.log.warn({ err: error, room: room.jid.bare }, "the history of a room could not be read");
    }
  }

  #add(room: Room): void {
    this.#rooms.set(room.jid.bare, room);
    this.#claim(room);
  }

  /** Of a room that the database does not have, all nodes know what their lists show. */
  #claim(room: Room): void {
    this.#placement.claim(room.jid.bare, noteOf(room));
  }

  /** A new room, locked until its owner has configured it (section 10.1). Throws `StanzaError`. */
  create(jid: Jid, owner: Jid): Room {
    const { options, access } = this.context;
    if (!access.allow(options.access, owner) || !access.allow(options.accessCreate, owner)) {
      throw new StanzaError("not-allowed", { text: "You may not create rooms here" });
    }
    if ([...jid.local].length > options.maxRoomId) {
      throw new StanzaError("not-acceptable", {
        text: `The name of a room has at most ${options.maxRoomId} characters`,
      });
    }
    const state = this.#newState(jid);
    if (state.config.persistent && !access.allow(options.accessPersistent, owner)) {
      state.config = { ...state.config, persistent: false };
    }
    for (const { user, server, affiliation } of options.defaultRoom.affiliations) {
      state.affiliate(`${user}@${server}`, { affiliation, nick: undefined, reason: undefined });
    }
    state.affiliate(owner.bare, { affiliation: "owner", nick: undefined, reason: undefined });
    const room = new Room(state, this.#house);
    this.#add(room);
    return room;
  }

  #newState(jid: Jid): RoomState {
    const { options, clock, random } = this.context;
    const { subject, subjectAuthor } = options.defaultRoom;
    const createdAt = clock.now();
    const first = subject === "" ? undefined : { inner: subjectXml(subject), nick: subjectAuthor, at: createdAt };
    const stored = { secret: random.id(24), createdAt, subject: first, avatar: "" };
    return new RoomState(jid, firstConfig(options), stored, options.historySize, true);
  }

  #left(account: string): void {
    const count = (this.#conferences.get(account) ?? 1) - 1;
    if (count === 0) this.#conferences.delete(account);
    else this.#conferences.set(account, count);
  }

  #lost(room: Room, device: Jid): void {
    this.context.clock.after(0, () => {
      // Where it goes on, the next word to that device will tell.
      if (room.over || this.#moving.has(room.jid.bare)) return;
      const outcome = occupantGone(room, device);
      if (outcome === undefined || !("length" in outcome)) return;
      const told = this.context.run(outcome);
      if (told instanceof Promise)
        told.catch((error: unknown) => this.#failed(error, "an occupant's end was not told"));
    });
  }

  #failed(error: unknown, what: string): void {
    this.context.log.error({ err: error, domain: this.domain }, what);
  }

  #emptied(room: Room): void {
    if (room.over) return;
    if (room.isStored) {
      this.#idle.set(room, this.context.clock.monotonic());
      return;
    }
    this.#forget(room);
    this.#end(room).catch((error: unknown) => {
      this.context.log.error(
        { err: error, room: room.jid.bare },
        "the archive of a room that is over could not be removed",
      );
    });
  }

  #forget(room: Room): void {
    room.over = true;
    this.#idle.delete(room);
    if (this.#rooms.get(room.jid.bare) === room) this.#rooms.delete(room.jid.bare);
    this.#placement.release(room.jid.bare);
  }

  /** Another node has this room too, and keeps it: everybody in it is told that he is out, and comes back through the other. */
  #yield(key: string): void {
    const room = this.#rooms.get(key);
    if (room === undefined) return;
    const told = this.context.run(this.#dismiss(room, [332, 333]));
    if (told instanceof Promise) told.catch((error: unknown) => this.#failed(error, "occupants were not told"));
  }

  /** The service goes away with this node, and these rooms with it (status 332). */
  shutDown(): Outcome {
    return [...this.#rooms.values()].flatMap((room) => this.#dismiss(room, [332]));
  }

  /** Everybody is put out, and the room is here no more. */
  #dismiss(room: Room, codes: readonly number[]): Effect[] {
    const effects: Effect[] = [];
    for (const occupant of [...room.state.occupants.values()]) {
      effects.push(...toSelf(room, occupant, { leaving: true, codes }));
      room.state.remove(occupant);
      this.#left(occupant.account.bare);
    }
    this.#forget(room);
    return effects;
  }

  /** Whoever makes a room of the same name later must not find what was said in this one. */
  #end(room: Room): Promise<void> {
    const archive = this.context.service("roomArchive");
    const key = room.jid.bare;
    const ended = Promise.all([archive?.remove(room.jid), this.context.rooms.destroyed(room.jid)])
      .then(() => undefined)
      .finally(() => this.#ending.delete(key));
    this.#ending.set(
      key,
      ended.catch(() => undefined),
    );
    return ended;
  }

  async #destroyed(room: Room): Promise<void> {
    if (room.over) throw new StanzaError("item-not-found", { text: "The room is gone" });
    if (room.isStored) await this.store.remove(room.jid.local);
    this.#forget(room);
    await this.#end(room);
  }

  /** Persistent rooms in which nobody has been for a while leave the memory. */
  #sweep(): void {
    const { hibernateTimeoutMs } = this.context.options;
    const now = this.context.clock.monotonic();
    for (const [room, since] of this.#idle) {
      if (now - since < hibernateTimeoutMs) break;
      this.#idle.delete(room);
      if (room.state.size > 0 || room.over || room.busy || this.#moving.has(room.jid.bare)) continue;
      this.#forget(room);
    }
  }

  nickOwner(nick: string): MaybePromise<string | undefined> {
    const known = this.#nickOwners.get(nick);
    if (known !== undefined) return known === "" ? undefined : known;
    return this.store.ownerOfNick(nick).then((owner) => {
      this.#nickOwners.set(nick, owner ?? "");
      return owner;
    });
  }

  /** A nickname registered with the service, or none any more. Throws `StoreConflict`. */
  async registerNick(account: Jid, nick: string | undefined): Promise<void> {
    const before = await this.store.registeredNick(account);
    await this.store.setRegisteredNick(account, nick);
    for (const one of [before, nick]) {
      if (one === undefined) continue;
      this.#nickOwners.delete(one);
      this.#tellNick(one);
    }
  }

  /** The account is gone, and with it all it was in any room. */
  async removeAccount(account: Jid): Promise<void> {
    const nick = await this.store.registeredNick(account);
    await this.store.removeAccount(account);
    if (nick !== undefined) {
      this.#nickOwners.delete(nick);
      this.#tellNick(nick);
    }
    this.#forgetAccount(account.bare);
    this.#tellAccount(account.bare);
  }

  #forgetAccount(account: string): void {
    this.#removed.set(account, this.context.clock.monotonic());
    for (const room of this.#rooms.values()) room.state.affiliate(account, undefined);
  }

  /** A device is lost with its node: every room it was in is told. */
  occupantGone(device: Jid): Outcome {
    const effects: Effect[] = [];
    for (const room of [...this.#rooms.values()]) {
      // The node it goes to looks after whoever is lost meanwhile.
      if (this.#moving.has(room.jid.bare)) continue;
      const outcome = occupantGone(room, device);
      if (outcome !== undefined && "length" in outcome) effects.push(...outcome);
    }
    return effects;
  }

  /** A room as plain data, once nothing is under way in it; see `MovableThings`. */
  async #pack(key: string): Promise<RoomDescription | undefined> {
    const { clock, writes } = this.context;
    this.#moving.add(key);
    const until = clock.monotonic() + packMs;
    let room = this.#rooms.get(key);
    while (this.#arriving.has(key) || (room !== undefined && (room.working > 0 || room.busy))) {
      if (clock.monotonic() > until) throw new Error(`the room ${key} does not come to rest`);
      await new Promise<void>((resolve) => clock.after(packPauseMs, resolve));
      room = this.#rooms.get(key);
    }
    if (room === undefined || room.over) return undefined;
    if (room.state.size === 0) {
      this.#forget(room);
      return undefined;
    }
    // What was written here must not come behind what the other node writes.
    await writes.flush();
    return room.state.describe();
  }

  #settled(key: string, moved: boolean): void {
    this.#moving.delete(key);
    const room = this.#rooms.get(key);
    if (!moved || room === undefined) return;
    for (const { account } of room.state.occupants.values()) this.#left(account.bare);
    this.#forget(room);
  }

  /** Goes on with a room of another node. False when there is one of that name. */
  restore(description: RoomDescription): boolean {
    const known = this.#rooms.get(description.jid);
    if (known !== undefined && !known.over) return false;
    const state = RoomState.restore(description, this.context.options.historySize);
    const since = this.context.clock.monotonic() - moveMsMax;
    for (const account of [...state.affiliations.keys()]) {
      if ((this.#removed.get(account) ?? since) > since) state.affiliate(account, undefined);
    }
    const room = new Room(state, this.#house);
    for (const occupant of state.occupants.values()) this.#house.conferences.entered(occupant.account.bare);
    this.#add(room);
    if (state.size === 0) this.#emptied(room);
    this.context.clock.after(absentMs, () => this.#dropAbsent(room));
    return true;
  }

  /** Devices of this host that were lost while the room moved. */
  #dropAbsent(room: Room): void {
    if (room.over) return;
    for (const { account, sessions } of room.state.occupants.values()) {
      const there = this.#house.resourcesOf(account);
      if (there === undefined) continue;
      for (const { jid } of sessions) {
        if (!there.some((resource) => resource.jid.resource === jid.resource)) this.#lost(room, jid);
      }
    }
  }
}

/** Whether a stanza wants something; answers, errors and farewells are taken from everybody. */
function asks({ kind, type }: Stanza): boolean {
  if (kind === "presence") return type === undefined;
  return kind === "iq" ? type === "get" || type === "set" : type !== "error";
}

const subjectXml = (text: string): string => xml`<subject>${text}</subject>`.text;
