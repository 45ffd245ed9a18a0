/** An online room: takes every stanza that is addressed to it, and knows who may do what. */
import type { AccessRules } from "../../config/access.ts";
import type { MaybePromise, Outcome } from "../../hooks/effect.ts";
import type { RoomEvents } from "../../hooks/points.ts";
import type { RoomArchiveService } from "../../hooks/services.ts";
import type { Log } from "../../observe/log.ts";
import type { Resource } from "../../session/resource.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { withStanzaId } from "../../stanza/stanza-ids.ts";
import type { GroupCommit } from "../../store/group-commit.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import type { Clock } from "../../util/clock.ts";
import type { Randomness } from "../../util/random.ts";
import { takePresence } from "./entering.ts";
import { takeMessage } from "./messages.ts";
import type { MucOptions } from "./options.ts";
import { takeIq } from "./room-iq.ts";
import { type Affiliation, isAtLeast, type Occupant, type OccupantSession, type RoomState } from "./room-state.ts";
import type { AffiliationChange, FullRow, RoomStore } from "./room-store.ts";
import type { WrongPasswords } from "./wrong-passwords.ts";

/** What all rooms of a service share. */
export interface RoomHouse {
  readonly options: MucOptions;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  readonly access: AccessRules;
  readonly store: RoomStore;
  readonly writes: GroupCommit;
  /** The archives of rooms; undefined where there are none. */
  archive(): RoomArchiveService | undefined;
  /** Those who listen to what happens in rooms. */
  readonly rooms: RoomEvents;
  /** Who has registered a nickname with the service, as a bare address. */
  nickOwner(nick: string): MaybePromise<string | undefined>;
  /** Resources of an account of the host; undefined for accounts elsewhere. */
  resourcesOf(account: Jid): readonly Resource[] | undefined;
  /** Counts the rooms each account is in. */
  readonly conferences: { of(account: string): number; entered(account: string): void; left(account: string): void };
  /** Bytes a second that a shaper lets through. */
  shaper(name: string): number;
  /** A device was found to be gone: soon, and not within what is under way, it has left the room. */
  lost(room: Room, device: Jid): void;
  /** Its configuration has changed. */
  configured(room: Room): void;
  /** Nobody is in the room any more: a temporary one is over, a persistent one may rest. */
  emptied(room: Room): void;
  /** The room is gone for good, its record and archive with it. */
  destroyed(room: Room): MaybePromise<void>;
}

export class Room {
  readonly state: RoomState;
  readonly house: RoomHouse;
  /** It takes no more stanzas: it was destroyed, or rests in the database. */
  over = false;
  /** Stanzas that are being dealt with, and what they have caused that is not carried out yet. */
  working = 0;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Private messages whose errors are passed back, as `to\nfrom\nid`. */
  readonly privately = new BoundedMap<string, true>(privatelyMost);
  /** When a device has entered last, for the shortest interval of presence. */
  readonly enteredAt = new BoundedMap<string, number>(enteredMost);
  /** When an account has asked for something last, such as for voice. */
  readonly requestedAt = new BoundedMap<string, number>(requestsMost);
  /** Of a room with a password, once somebody did not know it. */
  wrongPasswords: WrongPasswords | undefined = undefined;
  /** Until when the room is busy with what was said, by its shaper. */
  busyUntil = 0;

  constructor(state: RoomState, house: RoomHouse) {
    this.state = state;
    this.house = house;
  }

  get jid(): Jid {
    return this.state.jid;
  }

  /** What people read. */
  get title(): string {
    return this.state.config.title === "" ? this.jid.local : this.state.config.title;
  }

  take(stanza: Stanza): MaybePromise<Outcome> {
    switch (stanza.kind) {
      case "message":
        return takeMessage(this, stanza);
      case "presence":
        return takePresence(this, stanza);
      case "iq":
        return takeIq(this, stanza);
    }
  }

  /** The archive, where this room has one. */
  get archive(): RoomArchiveService | undefined {
    return this.state.config.logging ? this.house.archive() : undefined;
  }

  /** Administrators of the service own every room. */
  affiliationOf(jid: Jid): Affiliation {
    const { options, access } = this.house;
    if (options.accessAdmin !== "none" && access.allow(options.accessAdmin, jid)) return "owner";
    return this.ownAffiliationOf(jid);
  }

  /** What the room's own list says; a ban of a domain is one of its users. */
  ownAffiliationOf(jid: Jid): Affiliation {
    const { affiliations } = this.state;
    return affiliations.get(jid.bare)?.affiliation ?? affiliations.get(jid.domain)?.affiliation ?? "none";
  }

  /** Throws `StanzaError` forbidden. */
  requireAffiliation(jid: Jid, least: Affiliation): void {
    if (isAtLeast(this.affiliationOf(jid), least)) return;
    throw new StanzaError("forbidden", { text: `Only an ${least} of the room may do that` });
  }

  /** The occupant and the device a stanza is from. Throws `StanzaError` not-acceptable. */
  sender(stanza: Stanza): { occupant: Occupant; session: OccupantSession } {
    const occupant = this.state.occupantAt(stanza.from!);
    const session = occupant?.sessionAt(stanza.from!);
    if (occupant === undefined || session === undefined) {
      throw new StanzaError("not-acceptable", { type: "cancel", text: "You are not in the room" });
    }
    return { occupant, session };
  }

  /** Whether an occupant sees real addresses. */
  seesAddresses(occupant: Occupant): boolean {
    return !this.state.config.anonymous || occupant.role === "moderator";
  }

  /**
   * Runs changes that write to the database one after the other, each on what the one before has left. Throws `StanzaError`
   * resource-constraint when too many wait.
   */
  inOrder<T>(change: () => Promise<T>): Promise<T> {
    if (this.#waiting >= changesWaitingMost) {
      throw new StanzaError("resource-constraint", { text: "The room is being changed by too many at once" });
    }
    this.#waiting++;
    const done = this.#last.then(change, change);
    this.#last = done.then(
      () => void this.#waiting--,
      () => void this.#waiting--,
    );
    return done;
  }

  /** Whether the database knows the room. */
  get isStored(): boolean {
    return this.state.config.persistent && !this.state.locked;
  }

  /** Something waits for the database. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** A message with the id this room gave it. */
  identified(stanza: Stanza, id: string): Stanza {
    return withStanzaId(stanza, this.jid, id);
  }

  /** The row of a persistent room. */
  row(config = this.state.config): FullRow {
    return {
      room: this.jid.local,
      title: config.title,
      listed: config.public,
      config: JSON.stringify(config),
      state: JSON.stringify(this.state.stored),
    };
  }

  /** Resolves when changes of affiliations are in the database, if the room is persistent. */
  async store(changes: readonly AffiliationChange[]): Promise<void> {
    if (this.isStored) await this.house.store.change(this.jid.local, undefined, changes);
  }

  /** For what is said of a room beside its configuration, such as the subject; undefined where nothing is to be written. */
  saveState(): Promise<void> | undefined {
    if (!this.isStored) return undefined;
    return this.house.store.saveState(this.house.writes, this.jid.local, JSON.stringify(this.state.stored));
  }
}

const changesWaitingMost = 100;
const privatelyMost = 200;
const enteredMost = 1_000;
const requestsMost = 1_000;
