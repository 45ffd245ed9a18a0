/** Who is in which room, as this node remembers it, so that a message needs no query. */
import type { Jid } from "../../stanza/jid.ts";
import type { Clock } from "../../util/clock.ts";
import type { Affiliation } from "./affiliations.ts";

/** Who is in a room. */
export interface Present {
  readonly affiliations: ReadonlyMap<string, Affiliation>;
  readonly addresses: readonly Jid[];
}

export interface CacheSettings {
  readonly strategy: "fifo" | "lru";
  readonly timeToLiveMs: number;
  readonly maxOccupants: number;
}

interface Entry {
  readonly present: Present;
  readonly until: number;
}

export class OccupantsCache {
  /** The first one is forgotten next. */
  readonly #rooms = new Map<string, Entry>();
  readonly #clock: Clock;
  readonly #settings: CacheSettings;
  #occupants = 0;
  hits = 0;
  misses = 0;
  /** Grows whenever something is forgotten because it is old: what was read before that may be old too. */
  changes = 0;

  constructor(clock: Clock, settings: CacheSettings) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /** Those that are remembered. */
  get occupants(): number {
    return this.#occupants;
  }

  get(room: string): Present | undefined {
    const entry = this.#rooms.get(room);
    if (entry === undefined || entry.until <= this.#clock.monotonic()) {
      if (entry !== undefined) this.#remove(room, entry);
      this.misses++;
      return undefined;
    }
    this.hits++;
    if (this.#settings.strategy === "lru") {
      this.#rooms.delete(room);
      this.#rooms.set(room, entry);
    }
    return entry.present;
  }

  /** `changes` as it was before the room was read. */
  set(room: string, present: Present, changes: number): void {
    const { maxOccupants, timeToLiveMs } = this.#settings;
    if (changes !== this.changes || present.addresses.length > maxOccupants) return;
    const known = this.#rooms.get(room);
    if (known !== undefined) this.#remove(room, known);
    this.#rooms.set(room, { present, until: this.#clock.monotonic() + timeToLiveMs });
    this.#occupants += present.addresses.length;
    for (const [oldest, entry] of this.#rooms) {
      if (this.#occupants <= maxOccupants) break;
      this.#remove(oldest, entry);
    }
  }

  forget(room: string): void {
    this.changes++;
    const entry = this.#rooms.get(room);
    if (entry !== undefined) this.#remove(room, entry);
  }

  forgetAll(): void {
    this.changes++;
    this.#rooms.clear();
    this.#occupants = 0;
  }

  #remove(room: string, entry: Entry): void {
    this.#rooms.delete(room);
    this.#occupants -= entry.present.addresses.length;
  }
}
