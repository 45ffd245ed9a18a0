/** The owner's side of a replicated table: numbers and broadcasts its writes, repairs gaps of others, gives snapshots. */
import { ByteWriter } from "./bytes.ts";
import type { FabricChannel } from "./fabric/channel.ts";
import { EntryBatch, startMessage, TableMessage, tableProtocolVersion } from "./table-protocol.ts";
import type { EntrySink, OwnReader, TableStore } from "./table-store.ts";

export interface OwnTableLimits {
  /** Entries of a turn leave in messages of about this size, snapshots in chunks of it. */
  messageBytes: number;
  /** Chunks of a snapshot that may be under way before the receiver has taken them in. */
  chunksAhead: number;
  /** Recent writes kept to repair gaps without a snapshot, in bytes of messages. */
  logBytesMax: number;
}

interface LoggedWrites {
  readonly first: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

interface Giving {
  readonly incarnation: number;
  readonly request: number;
  readonly reader: OwnReader;
  readonly seq: number;
  chunk: number;
  finished: boolean;
}

/** Entries in one message at most: their count travels in 16 bits. */
const entriesMax = 60_000;

export class OwnTable implements EntrySink {
  readonly store: TableStore;
  /** The number of the last write. */
  seq = 0;
  snapshotsGiven = 0;
  repairsGiven = 0;
  readonly #channel: FabricChannel;
  readonly #limits: OwnTableLimits;
  readonly #flushLater: () => void;
  readonly #batch = new EntryBatch(new ByteWriter(1024));
  #pending = 0;
  #log: LoggedWrites[] = [];
  #logBytes = 0;
  readonly #giving = new Map<number, Giving>();

  /** `flushLater` has `flush` called at the end of this turn. */
  constructor(store: TableStore, channel: FabricChannel, limits: OwnTableLimits, flushLater: () => void) {
    this.store = store;
    this.#channel = channel;
    this.#limits = limits;
    this.#flushLater = flushLater;
    store.attach(channel.self, this);
  }

  begin(): ByteWriter {
    if (this.#pending === 0) {
      const out = this.#batch.out;
      out.reset();
      out.u8(tableProtocolVersion);
      out.u8(TableMessage.writes);
      out.text(this.store.name);
      out.u48(this.seq + 1);
      this.#batch.open();
      this.#flushLater();
    }
    return this.#batch.begin();
  }

  end(): void {
    this.#batch.end();
    this.#pending++;
    this.seq++;
    if (this.#batch.out.length >= this.#limits.messageBytes || this.#pending >= entriesMax) this.flush();
  }

  /** Sends what was written since the last time. */
  flush(): void {
    if (this.#pending === 0) return;
    const bytes = this.#batch.close();
    const writes = { first: this.seq - this.#pending + 1, count: this.#pending, bytes };
    this.#pending = 0;
    this.#log.push(writes);
    this.#logBytes += bytes.length;
    if (this.#logBytes > this.#limits.logBytesMax) this.#shortenLog();
    this.#channel.broadcast(bytes);
  }

  /** In halves, because taking single ones off the front of a long array moves the rest each time. */
  #shortenLog(): void {
    let at = 0;
    while (at < this.#log.length && this.#logBytes > this.#limits.logBytesMax / 2) {
      this.#logBytes -= this.#log[at++]!.bytes.length;
    }
    this.#log = this.#log.slice(at);
  }

  /** Appends this table to a message of digests. Call `flush` before. */
  writeDigest(out: ByteWriter): void {
    const { count, hashA, hashB } = this.store.ownDigest();
    out.text(this.store.name);
    out.u48(this.seq);
    out.u32(count);
    out.u32(hashA);
    out.u32(hashB);
  }

  /**
   * A node lacks what came after write `have`, or everything. True: it has been sent all it lacks, so a digest may follow.
   * False: a snapshot has begun.
   */
  asked(node: number, incarnation: number, request: number, have: number | undefined): boolean {
    this.flush();
    this.#giving.delete(node);
    if (have !== undefined && this.#resend(node, have)) return true;
    const giving = {
      incarnation,
      request,
      reader: this.store.ownReader(),
      seq: this.seq,
      chunk: 0,
      finished: false,
    };
    this.#giving.set(node, giving);
    this.snapshotsGiven++;
    for (let ahead = 0; ahead < this.#limits.chunksAhead && !giving.finished; ahead++) this.#giveChunk(node, giving);
    return false;
  }

  /** The receiver has taken in a chunk: the next one leaves. True once the last was taken in. */
  more(node: number, incarnation: number, request: number, chunk: number): boolean {
    const giving = this.#giving.get(node);
    if (giving === undefined || giving.request !== request || giving.incarnation !== incarnation) return false;
    if (!giving.finished) this.#giveChunk(node, giving);
    else if (chunk === giving.chunk - 1) {
      this.#giving.delete(node);
      return true;
    }
    return false;
  }

  peerDown(node: number): void {
    this.#giving.delete(node);
  }

  #resend(node: number, have: number): boolean {
    if (have === this.seq) return true;
    if (have > this.seq) return false;
    const from = this.#log.findIndex(({ first, count }) => first + count > have + 1);
    if (from < 0 || this.#log[from]!.first > have + 1) return false;
    for (let at = from; at < this.#log.length; at++) this.#channel.send(node, this.#log[at]!.bytes);
    this.repairsGiven++;
    return true;
  }

  #giveChunk(node: number, giving: Giving): void {
    this.flush();
    const out = startMessage(TableMessage.chunk, this.#limits.messageBytes + 1024);
    out.text(this.store.name);
    out.u32(giving.request);
    out.u32(giving.chunk++);
    const lastAt = out.length;
    out.u8(0);
    out.u48(giving.seq);
    const batch = new EntryBatch(out);
    batch.open();
    giving.finished = !giving.reader.read(batch, this.#limits.messageBytes);
    const bytes = batch.close();
    if (giving.finished) bytes[lastAt] = 1;
    this.#channel.send(node, bytes);
  }
}
