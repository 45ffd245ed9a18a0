/**
 * The rooms of one domain at work: what is said in them, and what changes. A room lives in the database alone; whichever node a request
 * reaches carries it out there, and tells the occupants. Changes of one room happen one after the other, and on one node
 * their notices leave in that order.
 */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { type Effect, type MaybePromise, secureBy, spread } from "../../hooks/effect.ts";
import type { ArchiveViewer } from "../../hooks/services.ts";
import type { ModuleCounter } from "../../observe/metrics.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { StoreConflict } from "../../store/errors.ts";
import { then } from "../../util/maybe-promise.ts";
import { Xml } from "../../xml/xml.ts";
import {
  type AffiliationChange,
  changeOccupants,
  checkMember,
  inOrder,
  type Occupants,
  type OccupantsChanged,
  type OwnerRules,
} from "./affiliations.ts";
import { legacyTongue } from "./legacy-tongue.ts";
import { addressCharsMax, type LightRoom, LightStore } from "./light-store.ts";
import { noRoom, Occupancy, only } from "./occupancy.ts";
import type { Present } from "./occupants-cache.ts";
import type { MucLightOptions } from "./options.ts";
import { type ConfigTexts, type RoomConfig, RoomSchema } from "./room-schema.ts";
import {
  type Concerning,
  movement,
  mucLightTongue,
  notice,
  type Telling,
  type Tongue,
  type Versions,
} from "./tongue.ts";
import { stanzaIdXml, utterance } from "./utterance.ts";

/** Who asks, where that matters: an occupant. The operator is undefined, and may do everything. */
export type Asker = Jid | undefined;

/** Who said what, everybody knows anyway; archived messages are as they were. */
export const lightViewer: ArchiveViewer = { seesRealAddresses: false };

/** Names that are made for rooms are all but certain to be free; a few more attempts make it sure. */
const namesTried = 3;

export class LightRooms {
  readonly domain: string;
  readonly context: ModuleContext<MucLightOptions>;
  readonly store: LightStore;
  readonly schema: RoomSchema;
  readonly #rules: OwnerRules;
  readonly #tongue: Tongue;
  readonly occupancy: Occupancy;
  /** Counts what has become of rooms. */
  readonly #changes: ModuleCounter;
  #messages = 0;
  #copies = 0;
  /** Rooms that are being changed here; settles when the last one in the row is done. */
  readonly #changing = new Map<string, Promise<void>>();

  constructor(domain: string, context: ModuleContext<MucLightOptions>) {
    const { options } = context;
    this.domain = domain;
    this.context = context;
    this.store = new LightStore(context.store, domain);
    this.schema = new RoomSchema(options.configSchema, options.maxFieldLength);
    this.#rules = { multipleOwners: options.allowMultipleOwners, promotes: options.promoteOnLastOwnerLeave };
    this.#tongue = options.legacyMode ? legacyTongue : mucLightTongue;
    this.occupancy = new Occupancy(this.store, context);
    this.#changes = this.#count();
  }

  #count(): ModuleCounter {
    const { metrics } = this.context;
    metrics.total("messages_total", "Messages said in rooms", () => this.#messages);
    metrics.total("copies_total", "Copies of messages for occupants", () => this.#copies);
    return metrics.counter("changes_total", "Rooms created, configured, with other occupants, destroyed", ["change"]);
  }

  get archive() {
    return this.context.service("roomArchive");
  }

  address(room: string): Jid {
    return Jid.of(room, this.domain);
  }

  /** Whether an address can be an occupant's: groups are not in groups. */
  isUser(jid: Jid): boolean {
    if (jid.local === "") return false;
    for (const domain of this.context.servedDomains()) if (domain === jid.domain) return false;
    return true;
  }

  /** A room with all that is known of it, for an occupant. @throws StanzaError item-not-found. */
  async roomFor(room: string, account: Jid): Promise<LightRoom> {
    const found = await this.store.load(room);
    if (found?.occupants.has(account.bare) !== true) throw noRoom();
    return found;
  }

  /** How the archive of a room is seen by an account; undefined for whoever may not read it. */
  viewer(room: Jid, account: Jid): MaybePromise<ArchiveViewer | undefined> {
    if (room.domain !== this.domain) return undefined;
    return then(this.occupancy.of(room.local), (present) =>
      present?.affiliations.has(account.bare) === true ? lightViewer : undefined,
    );
  }

  // What is said.

  say(stanza: Stanza): MaybePromise<readonly Effect[]> {
    const room = stanza.to!;
    const found = this.occupancy.of(room.local);
    const { writes } = this.context;
    if (!(found instanceof Promise) && !writes.full) return this.#publish(stanza, only(found, stanza.from!));
    return this.#sayLater(stanza, found);
  }

  /** Where the archive is slower than those who write, they wait for it. */
  async #sayLater(stanza: Stanza, found: MaybePromise<Present | undefined>): Promise<readonly Effect[]> {
    const present = only(await found, stanza.from!);
    if (this.context.writes.full) await this.context.writes.whenDrained();
    return this.#publish(stanza, present);
  }

  #publish(stanza: Stanza, present: Present): readonly Effect[] {
    const room = stanza.to!.toBare();
    const sender = stanza.from!;
    this.#messages++;
    this.#copies += present.addresses.length;
    const said = utterance(stanza, room, this.context.random);
    const stored = this.archive?.store(room, sender, said);
    const id = stored?.id ?? "";
    const identified = id === "" ? said : said.withChild("stanza-id", ns.stanzaIds, new Xml(stanzaIdXml(room, id)));
    const effects: Effect[] = stored === undefined ? [] : [secureBy(stored.stored)];
    const { rooms } = this.context;
    if (!rooms.unheard) {
      const people = () => present.affiliations.keys();
      effects.push(...rooms.said({ kind: "muclight", room, sender, stanza: identified, id, people }));
    }
    effects.push(spread([identified], present.addresses));
    return effects;
  }

  // Rooms that begin and end.

  /**
   * Makes a room; `name` undefined for one of our choice. Whoever does not want to be in it is left out. Occupants are told before it
   * resolves. @throws StanzaError conflict, bad-request.
   */
  async create(
    creator: Jid,
    name: string | undefined,
    config: RoomConfig,
    wishes: readonly AffiliationChange[],
    id: string,
  ): Promise<{ room: Jid; state: LightRoom; effects: readonly Effect[] }> {
    const { options, random } = this.context;
    const owner = creator.bare;
    if (owner.length > addressCharsMax || !this.isUser(creator)) throw refused("Rooms are for users");
    if (wishes.some(({ jid, affiliation }) => jid === owner || affiliation === "none")) {
      throw refused("Occupants are others than the one who makes the room, and none is no affiliation to begin with");
    }
    if ((await this.#inTooManyRooms([owner])).length > 0) {
      throw refused(`A user can be in ${options.roomsPerUser} rooms at most`);
    }
    const unwilling = await this.#unwilling(wishes, name, creator);
    const invited = wishes.filter(({ jid }) => !unwilling.has(jid));
    const first = inOrder(new Map([[owner, options.equalOccupants ? "member" : "owner"]]));
    const occupants = invited.length === 0 ? first : changeOccupants(first, invited, this.#rules).after;
    this.#checkSize(occupants.size);
    const state = { version: this.#newVersion(), config, occupants };
    for (let attempt = 1; ; attempt++) {
      const room = name ?? random.id(16).toLowerCase();
      try {
        return await this.#inOrder(room, () => this.#begin(room, state, id, name !== undefined));
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
        if (name !== undefined || attempt === namesTried) {
          throw new StanzaError("conflict", { text: "There is such a room", cause: error });
        }
      }
    }
  }

  async #begin(name: string, state: LightRoom, id: string, isChosen: boolean) {
    await this.store.create(name, state, this.#title(name)(state.config));
    const room = this.address(name);
    this.#changes.add(1, "created");
    // What another node may just have written for a room of this name that is over must not be found in this one.
    if (isChosen) await this.#removeTraces(room);
    const users = [...state.occupants].map(([jid, affiliation]) => ({ jid, affiliation }));
    const { version } = state;
    const { told, effects } = this.#keep({ room, id }, this.#tongue.created({ room, id }, users, version));
    await this.#othersKnow(name, false);
    await this.#run(told);
    return { room, state, effects };
  }

  /** Ends a room. @throws StanzaError item-not-found, and not-allowed where the one who asks is not its owner. */
  async destroy(room: Jid, asker: Asker, id: string): Promise<readonly Effect[]> {
    return this.#inOrder(room.local, async () => {
      const done = await this.store.change(
        room.local,
        "",
        ({ occupants }) => {
          if (asker !== undefined && affiliationOf(occupants, asker) !== "owner") throw notAllowed();
          return { destroyed: true };
        },
        this.#title(room.local),
      );
      if (done === undefined) throw noRoom();
      this.#changes.add(1, "destroyed");
      const { told } = this.#keep({ room, id }, this.#tongue.destroyed({ room, id }, done.before.occupants));
      await this.#othersKnow(room.local, true);
      await this.#run(told);
      await this.#endTraces(room);
      return [];
    });
  }

  // What changes.

  /** @throws StanzaError item-not-found, not-allowed. */
  async configure(
    room: Jid,
    asker: Asker,
    change: { readonly config: RoomConfig; readonly texts: ConfigTexts },
    id: string,
  ): Promise<readonly Effect[]> {
    const { options } = this.context;
    const { texts } = change;
    if (texts.length === 0) throw refused("That would change nothing");
    const isSubject = texts.length === 1 && texts[0]![0] === "subject";
    return this.#inOrder(room.local, async () => {
      const version = this.#newVersion();
      const done = await this.store.change(
        room.local,
        version,
        ({ config, occupants }) => {
          const mayAll = this.schema.permission(config, "all_can_configure") ?? options.allCanConfigure;
          if (asker !== undefined && affiliationOf(occupants, asker) !== "owner" && !mayAll && !isSubject) {
            throw notAllowed();
          }
          return { config: { ...config, ...change.config } };
        },
        this.#title(room.local),
      );
      if (done === undefined) throw noRoom();
      this.#changes.add(1, "configured");
      const { version: previous, occupants } = done.before;
      const about = { room, id };
      const telling = this.#tongue.configured(about, texts, { previous, version }, occupants);
      const { told, effects } = this.#keep(about, telling);
      await this.#run(told);
      return effects;
    });
  }

  /**
   * Changes who is in a room, and as what. @throws StanzaError item-not-found, not-allowed, bad-request.
   * @param rules other than those of the service.
   */
  async affiliate(
    room: Jid,
    asker: Asker,
    wishes: readonly AffiliationChange[],
    id: string,
    rules: OwnerRules = this.#rules,
  ): Promise<readonly Effect[]> {
    const { options } = this.context;
    if (wishes.length === 0) throw refused("That would change nothing");
    return this.#inOrder(room.local, async () => {
      const unwilling = await this.#unwilling(wishes, room.local, asker);
      const version = this.#newVersion();
      const done = await this.store
        .change(
          room.local,
          version,
          ({ config, occupants }) => {
            if (asker !== undefined && affiliationOf(occupants, asker) !== "owner") {
              const mayInvite = this.schema.permission(config, "all_can_invite") ?? options.allCanInvite;
              checkMember(occupants, wishes, asker.bare, mayInvite);
            }
            const willing = wishes.filter(({ jid }) => occupants.has(jid) || !unwilling.has(jid));
            if (willing.length === 0) throw new NobodyWilling();
            const changed = changeOccupants(occupants, willing, rules);
            if (changed.after.size > occupants.size) this.#checkSize(changed.after.size);
            return changed;
          },
          this.#title(room.local),
        )
        .catch((error: unknown) => {
          if (error instanceof NobodyWilling) return "nobody" as const;
          throw error;
        });
      // Whoever blocks is left out in silence.
      if (done === "nobody") return [];
      if (done === undefined) throw noRoom();
      return this.#tellChange({ room, id }, done.change, { previous: done.before.version, version }, asker?.bare);
    });
  }

  async #tellChange(
    about: Concerning,
    change: OccupantsChanged,
    versions: Versions,
    by: string | undefined,
  ): Promise<readonly Effect[]> {
    const { room } = about;
    const over = change.after.size === 0;
    const { left } = movement(change);
    await this.#othersKnow(room.local, left.length > 0);
    this.#changes.add(1, over ? "destroyed" : "occupants");
    const { told, effects } = this.#keep(about, this.#tongue.changed(about, change, versions, by));
    for (const jid of left) await this.#removing(room, () => this.context.rooms.parted(room, jid));
    await this.#run(told);
    if (over) await this.#endTraces(room);
    return effects;
  }

  /** The account is gone: it leaves every room, and its blocking list is forgotten. */
  async removeAccount(account: Jid): Promise<void> {
    await this.store.unblockAll(account.bare);
    // Whoever is gone cannot stay owner, whatever the option says.
    const rules = { ...this.#rules, promotes: true };
    for (;;) {
      const rooms = await this.store.roomsOf(account.bare, { limit: 100 });
      if (rooms.length === 0) return;
      for (const { room } of rooms) await this.#leave(this.address(room), account, rules);
    }
  }

  async #leave(room: Jid, account: Jid, rules: OwnerRules): Promise<void> {
    const leaving = { jid: account.bare, affiliation: "none" } as const;
    try {
      await this.#run(await this.affiliate(room, undefined, [leaving], this.context.random.id(), rules));
    } catch (error) {
      // Somebody else was faster: another node, or an owner who put the account out.
      if (!(error instanceof StanzaError)) throw error;
      if (await this.store.isIn(account.bare, room.local)) throw error;
    }
  }

  // What rooms need for that.

  async #inOrder<T>(room: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(room);
    const done = before === undefined ? change() : before.then(change);
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.#changing.set(room, settled);
    try {
      return await done;
    } finally {
      if (this.#changing.get(room) === settled) this.#changing.delete(room);
    }
  }

  /** Who of those to be added does not want that, or cannot. */
  async #unwilling(
    wishes: readonly AffiliationChange[],
    room: string | undefined,
    asker: Asker,
  ): Promise<ReadonlySet<string>> {
    const jids = wishes.flatMap(({ jid, affiliation }) => (affiliation === "none" ? [] : [jid]));
    const others = jids.filter((jid) => jid !== asker?.bare);
    const unwilling = new Set(await this.#inTooManyRooms(jids));
    if (this.context.options.blocking && asker !== undefined && others.length > 0) {
      const address = room === undefined ? undefined : this.address(room).bare;
      for (const jid of await this.store.blockedBy(others, address, asker.bare)) unwilling.add(jid);
    }
    return unwilling;
  }

  async #inTooManyRooms(jids: readonly string[]): Promise<readonly string[]> {
    const most = this.context.options.roomsPerUser;
    return Number.isFinite(most) && jids.length > 0 ? this.store.inManyRooms(jids, most) : [];
  }

  #checkSize(size: number): void {
    const most = this.context.options.maxOccupants;
    if (size > most) throw refused(`A room has at most ${most} occupants`);
  }

  #newVersion(): string {
    return this.context.random.id(12);
  }

  /** What lists call a room. */
  #title(room: string): (config: RoomConfig) => string {
    return (config) => this.schema.roomName(config) ?? room;
  }

  title(room: string, config: RoomConfig): string {
    return this.#title(room)(config);
  }

  /** Keeps an event; what is told of it live is marked with the id it has in the archive. */
  #keep(about: Concerning, { kept, told }: Telling): { told: Effect[]; effects: Effect[] } {
    const { room } = about;
    const stored = kept === undefined ? undefined : this.archive?.store(room, room, notice(about, kept));
    if (stored === undefined) return { told: told(""), effects: [] };
    return { told: told(stanzaIdXml(room, stored.id)), effects: [secureBy(stored.stored)] };
  }

  /** Another node may have made a room of this name since, which has begun its own. */
  async #endTraces(room: Jid): Promise<void> {
    if ((await this.store.load(room.local)) === undefined) await this.#removeTraces(room);
  }

  /** Its archive, and what others keep of it. What has happened to the room stays, also when this fails; a later room of the name tries again. */
  #removeTraces(room: Jid): Promise<void> {
    return this.#removing(room, () => Promise.all([this.archive?.remove(room), this.context.rooms.destroyed(room)]));
  }

  async #removing(room: Jid, remove: () => Promise<unknown>): Promise<void> {
    try {
      await remove();
    } catch (error) {
      this.context.log.error({ err: error, room: room.bare }, "what is kept of a room, or of who has left it, stays");
    }
  }

  /**
   * No node goes by what it remembers of a room any more. Where somebody has left, all have also written what was said before: what is kept
   * for him of the room goes now, and must not come back.
   */
  async #othersKnow(room: string, somebodyLeft: boolean): Promise<void> {
    this.occupancy.changed(room);
    if (somebodyLeft) await this.context.written();
  }

  async #run(effects: readonly Effect[]): Promise<void> {
    await this.context.run(effects);
  }
}

/** Everybody who was to be added is unwilling; that is nobody's business. */
class NobodyWilling extends Error {
  override readonly name = "NobodyWilling";
}

/** @throws StanzaError item-not-found for whoever is no occupant. */
function affiliationOf(occupants: Occupants, account: Jid) {
  const affiliation = occupants.get(account.bare);
  if (affiliation === undefined) throw noRoom();
  return affiliation;
}

const notAllowed = () => new StanzaError("not-allowed", { text: "That is for the owner of the room" });
const refused = (text: string) => new StanzaError("bad-request", { text });
