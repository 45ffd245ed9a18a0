/**
 * The receiver's side of a replicated table: what one other node life has in it. A write whose number is not the next, or a digest that
 * differs, makes it ask the owner: for the writes it lacks, or for everything. Nothing is buffered: writes that come before the
 * answer are dropped, because the owner sends them again, and a snapshot and the writes beside it are taken in in the order in which they come
 * (the owner reads its snapshot while it writes, so whichever of the two comes later is right).
 */
import type { ByteReader } from "./bytes.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";
import type { Digest, TableStore } from "./table-store.ts";

/**
 * `unknown`: nothing has been heard of this owner since it came up. `synced`: as far as is known. `asked`: something is missing and was
 * asked for. `receiving`: a snapshot comes in.
 */
export type PeerTablePhase = "unknown" | "synced" | "asked" | "receiving";

export interface PeerTableActions {
  /** Asks the owner for what came after write `have`, or for everything. */
  ask(table: string, request: number, have: number | undefined): void;
  /** Tells it that a chunk was taken in. */
  more(table: string, request: number, chunk: number): void;
  /** Monotonic milliseconds. */
  now(): number;
  /** An entry was not understood (`WireError`), or taking it in has failed. */
  failed(table: string, error: unknown): void;
}

/** An owner whose records differ although all writes have come is asked again, later and later. */
const retryMs = 2000;
const retryMsMax = 60_000;
/** Slots of interrupted snapshots that are kept readable. */
const formersMax = 4;

export class PeerTable {
  readonly store: TableStore;
  phase: PeerTablePhase = "unknown";
  slot: number;
  /** The number of the last write taken in; undefined before the first digest. */
  seq: number | undefined = undefined;
  /** Writes the owner has made that are not here, by its last digest. */
  behind = 0;
  gaps = 0;
  repairs = 0;
  snapshots = 0;
  /** Digests that differed although no write was missing. */
  differences = 0;
  /** Has been in sync before. */
  known = false;
  /** Messages of the owner were lost, and its next digest will tell whether writes were among them. */
  doubtful = false;
  readonly #owner: NodeIdentity;
  readonly #actions: PeerTableActions;
  /** Slots of the same owner that the snapshot coming in replaces. */
  #formers: number[] = [];
  #hidden = false;
  #request = 0;
  #nextChunk = 0;
  #progressAt = 0;
  #wantAll = false;
  #futile = 0;

  constructor(owner: NodeIdentity, store: TableStore, actions: PeerTableActions) {
    this.#owner = owner;
    this.store = store;
    this.#actions = actions;
    this.slot = store.open(owner, 0);
    this.#progressAt = actions.now();
  }

  /** The owner is down: no read sees its records. */
  hide(): void {
    this.#hidden = true;
    this.doubtful = false;
    for (const slot of this.#formers) this.store.hide(slot);
    this.store.hide(this.slot);
    if (this.phase === "receiving") this.#wantAll = true;
    this.phase = "unknown";
  }

  /** The owner is up again; its records are seen again once its digest has said how they stand. */
  returned(): void {
    this.phase = "unknown";
    this.#futile = 0;
    this.#progressAt = this.#actions.now();
  }

  drop(): void {
    this.#dropFormers();
    this.store.drop(this.slot);
  }

  /** `count` entries from write `first` on. */
  writes(first: number, count: number, entries: ByteReader): void {
    const { seq } = this;
    // Before the first digest nothing is known of which write would be the next.
    if (seq === undefined || this.phase === "unknown") return;
    if (first > seq + 1) {
      this.#gap();
      return;
    }
    for (let at = 0; at < count; at++) {
      const length = entries.u16();
      const start = entries.skip(length);
      if (first + at > seq) this.#apply(entries, start, start + length);
    }
    this.seq = Math.max(seq, first + count - 1);
  }

  digest(seq: number, digest: Digest): void {
    this.behind = Math.max(0, seq - (this.seq ?? 0));
    this.doubtful = false;
    if (this.phase === "receiving") return;
    const fresh = this.phase === "unknown";
    if (fresh) {
      this.#show();
      if (this.seq === undefined && digest.count === 0) this.seq = seq;
      this.#isSynced();
    }
    // The repair is whole; whether it was right, the hashes say.
    if (this.phase === "asked" && !this.#wantAll && seq === this.seq) {
      this.#isSynced();
      this.repairs++;
    }
    if (this.seq === undefined || this.#wantAll) {
      if (fresh || this.#due()) this.#ask(undefined);
    } else if (seq > this.seq) {
      if (this.phase === "synced") this.#ask(this.seq);
    } else if (seq < this.seq || !this.#equals(digest)) {
      if (this.#due() || fresh) {
        this.differences++;
        this.#futile++;
        this.#ask(undefined);
      }
    } else {
      this.#futile = 0;
    }
  }

  chunk(request: number, chunk: number, last: boolean, seq: number, count: number, entries: ByteReader): void {
    if (request !== this.#request || (this.phase !== "asked" && this.phase !== "receiving")) return;
    if (chunk !== (this.phase === "asked" ? 0 : this.#nextChunk)) {
      this.#gap();
      return;
    }
    if (this.phase === "asked") this.#beginSnapshot(seq);
    for (let at = 0; at < count; at++) {
      const length = entries.u16();
      const start = entries.skip(length);
      this.#apply(entries, start, start + length);
    }
    this.#nextChunk = chunk + 1;
    this.#progressAt = this.#actions.now();
    this.#actions.more(this.store.name, request, chunk);
    if (!last) return;
    this.#dropFormers();
    this.#wantAll = false;
    this.#isSynced();
    this.snapshots++;
  }

  /** The fabric has lost messages of this owner. True: its digest will tell whether writes were among them. */
  messagesLost(): boolean {
    if (this.phase === "receiving") this.#gap();
    else if (this.phase === "asked") this.#askAgain();
    else {
      this.doubtful = true;
      return true;
    }
    return false;
  }

  /** The owner has lost messages of ours, perhaps what it was asked for. */
  ownerLost(): void {
    if (this.phase === "asked") this.#askAgain();
  }

  /** Looks after an answer that does not come. True: a digest of the owner is needed. */
  tick(): boolean {
    if (this.#actions.now() - this.#progressAt < retryMs) return false;
    if (this.phase === "unknown") {
      this.#progressAt = this.#actions.now();
      return true;
    }
    if (this.phase === "asked") this.#askAgain();
    else if (this.phase === "receiving") this.#ask(undefined);
    return false;
  }

  #gap(): void {
    if (this.phase === "asked") return;
    this.gaps++;
    this.#ask(this.phase === "receiving" ? undefined : this.seq);
  }

  #ask(have: number | undefined): void {
    this.phase = "asked";
    if (have === undefined) this.#wantAll = true;
    this.#request = (this.#request + 1) >>> 0;
    this.#progressAt = this.#actions.now();
    this.#actions.ask(this.store.name, this.#request, have);
  }

  #isSynced(): void {
    this.phase = "synced";
    // Otherwise only as far as a first digest goes, and all is still to come.
    if (this.seq !== undefined) this.known = true;
  }

  #askAgain(): void {
    this.#ask(this.#wantAll ? undefined : this.seq);
  }

  /** Whether asking for everything once more may help, or has been tried only just now. */
  #due(): boolean {
    const pause = this.#futile === 0 ? 0 : Math.min(retryMs * 2 ** (this.#futile - 1), retryMsMax);
    return this.phase !== "asked" && this.#actions.now() - this.#progressAt >= pause;
  }

  #beginSnapshot(seq: number): void {
    this.#formers.push(this.slot);
    if (this.#formers.length > formersMax) this.store.drop(this.#formers.shift()!);
    this.slot = this.store.open(this.#owner, this.slot);
    this.phase = "receiving";
    this.seq = seq;
  }

  #apply(entries: ByteReader, start: number, end: number): void {
    const messageEnd = entries.end;
    entries.at = start;
    entries.end = end;
    try {
      this.store.apply(this.slot, entries);
    } catch (error) {
      // What one entry does must not keep the others out, or the owner would be asked for them for ever.
      this.#actions.failed(this.store.name, error);
    } finally {
      entries.end = messageEnd;
      entries.at = end;
    }
  }

  #equals(digest: Digest): boolean {
    const own = this.store.digest(this.slot);
    return own.count === digest.count && own.hashA === digest.hashA && own.hashB === digest.hashB;
  }

  #show(): void {
    if (!this.#hidden) return;
    this.#hidden = false;
    for (const slot of this.#formers) this.store.show(slot);
    this.store.show(this.slot);
  }

  #dropFormers(): void {
    for (const slot of this.#formers) this.store.drop(slot);
    this.#formers = [];
  }
}
