/** What the engine knows of one life of another node, and what waits to leave for it. */
import {
  BATCH_HEADER_BYTES,
  CONTINUES,
  ENTRY_HEADER_BYTES,
  GOES_ON,
  KIND_BATCH,
  TYPE_MESSAGE,
  writeHeader,
  writeU32,
  writeU64,
} from "./envelope.ts";
import type { NodeIdentity } from "./fabric.ts";
import type { Transport } from "./transport.ts";

/** An envelope begins no smaller than this, and grows by doubling. */
const bufferBytesMin = 512;
/** Larger envelopes than this leave at once: the peer can begin, and no buffer grows without end. */
const envelopeBytesTarget = 256 * 1024;

/** What all peers of a fabric share. */
export interface PeerContext {
  readonly self: NodeIdentity;
  readonly hash: number;
  readonly transport: Transport;
  readonly counters: { envelopesOut: number };
  /** Most bytes that may wait for one peer. */
  readonly queueBytesMax: number;
}

export class Peer {
  readonly identity: NodeIdentity;
  readonly #context: PeerContext;

  /**
   * A session is one unbroken stretch in which both hold each other to be up. Each side numbers its own, from 1, and
   * takes the next number whenever it gives the other up. So both always see the same: when one side has taken the
   * other for dead, the other learns of it, and what was sent before is of another session.
   */
  mine = 1;
  /** The peer's number of the session, as last heard; 0: none yet. */
  theirs = 0;
  up = false;
  /** Was up before; the next time it has returned. */
  wasUp = false;
  /** It has said goodbye or was replaced: nothing of it is taken any more. */
  ended = false;

  /** Heard of since the last tick, and for how many ticks not. */
  heard = true;
  silentTicks = 0;

  /** Milliseconds by which its clock is ahead of ours. */
  aheadMs = 0;

  /** Sequence number of the next entry, out and in. */
  nextOut = 0;
  nextIn = 0;
  /** Pieces of a message that is not complete. */
  partial: Uint8Array[] = [];
  partialBytes = 0;

  /** Requests of this peer that are being answered. */
  answering = 0;
  /** In the list of those that have something to send. */
  dirty = false;
  /** Overflow has been logged, and has not ended. */
  overflowing = false;

  #buffer: Uint8Array | undefined = undefined;
  #length = 0;
  #sizeHint = bufferBytesMin;
  /** What the transport held for this peer when the envelope was begun. */
  #below = 0;

  constructor(identity: NodeIdentity, context: PeerContext) {
    this.identity = identity;
    this.#context = context;
  }

  get queuedBytes(): number {
    return this.#length + this.#context.transport.queuedBytes(this.identity.number);
  }

  /** Whether `bytes` more may wait. */
  hasRoom(bytes: number): boolean {
    if (this.#buffer === undefined) this.#below = this.#context.transport.queuedBytes(this.identity.number);
    return this.#below + this.#length + bytes <= this.#context.queueBytesMax;
  }

  /**
   * Puts an entry into the envelope that leaves at the end of the turn; what is too large for one goes in pieces.
   * `id` is that of a request, and -1 for messages.
   */
  append(channel: number, type: number, id: number, head: Uint8Array, tail: Uint8Array | undefined): void {
    const idBytes = type === TYPE_MESSAGE ? 0 : 4;
    const length = idBytes + head.length + (tail === undefined ? 0 : tail.length);
    const most = this.#envelopeBytesMax();
    if (this.#buffer !== undefined && this.#length + ENTRY_HEADER_BYTES + length > most) this.seal();
    if (BATCH_HEADER_BYTES + ENTRY_HEADER_BYTES + length > most) {
      this.#appendPieces(channel, type, id, head, tail, most);
      return;
    }
    let at = this.#reserve(ENTRY_HEADER_BYTES + length, most);
    const buffer = this.#buffer!;
    writeU32(buffer, at, channel * 0x10000000 + ((type << 26) | length));
    at += ENTRY_HEADER_BYTES;
    if (idBytes > 0) writeU32(buffer, at, id);
    buffer.set(head, at + idBytes);
    if (tail !== undefined) buffer.set(tail, at + idBytes + head.length);
    this.nextOut++;
  }

  /** Gives the envelope that has been begun, if there is one, to the transport. */
  seal(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    const envelope = buffer.subarray(0, this.#length);
    // The next one will probably be of about the same size; the hint shrinks slowly.
    this.#sizeHint = Math.max(bufferBytesMin, this.#length, this.#sizeHint >>> 1);
    this.#buffer = undefined;
    this.#length = 0;
    this.#context.counters.envelopesOut++;
    this.#context.transport.send(this.identity.number, envelope);
  }

  /** A later session: what waits for the old one is thrown away, and both sequences begin anew. */
  nextSession(): void {
    this.up = false;
    this.mine++;
    this.nextOut = 0;
    this.#buffer = undefined;
    this.#length = 0;
    this.overflowing = false;
    this.heardAnew();
  }

  /** The peer has begun another session: its entries are counted from 0 again. */
  heardAnew(): void {
    this.nextIn = 0;
    this.dropPartial();
  }

  /** The message that is complete now. */
  takePartial(): Uint8Array {
    const whole = new Uint8Array(this.partialBytes);
    let at = 0;
    for (const piece of this.partial) {
      whole.set(piece, at);
      at += piece.length;
    }
    this.dropPartial();
    return whole;
  }

  dropPartial(): void {
    this.partial = [];
    this.partialBytes = 0;
  }

  /** A request of the peer was answered, in whatever way. */
  answered(): void {
    this.answering--;
  }

  #envelopeBytesMax(): number {
    const most = this.#context.transport.envelopeBytesMax;
    return Math.min(most, envelopeBytesTarget);
  }

  #appendPieces(
    channel: number,
    type: number,
    id: number,
    head: Uint8Array,
    tail: Uint8Array | undefined,
    most: number,
  ): void {
    const idBytes = type === TYPE_MESSAGE ? 0 : 4;
    const whole = new Uint8Array(idBytes + head.length + (tail?.length ?? 0));
    if (idBytes > 0) writeU32(whole, 0, id);
    whole.set(head, idBytes);
    if (tail !== undefined) whole.set(tail, idBytes + head.length);
    const room = most - BATCH_HEADER_BYTES - ENTRY_HEADER_BYTES;
    for (let from = 0; from < whole.length; from += room) {
      const piece = whole.subarray(from, from + room);
      const goesOn = from + room < whole.length;
      const bits = (goesOn ? GOES_ON : 0) | (from > 0 ? CONTINUES : 0);
      const at = this.#reserve(ENTRY_HEADER_BYTES + piece.length, most);
      writeU32(this.#buffer!, at, channel * 0x10000000 + ((type << 26) | bits | piece.length));
      this.#buffer!.set(piece, at + ENTRY_HEADER_BYTES);
      this.nextOut++;
      if (goesOn) this.seal();
    }
  }

  /** Makes room for `bytes` more and returns where they begin. */
  #reserve(bytes: number, most: number): number {
    let buffer = this.#buffer;
    if (buffer === undefined) {
      buffer = new Uint8Array(Math.max(this.#sizeHint, BATCH_HEADER_BYTES + bytes));
      writeHeader(buffer, KIND_BATCH, this.#context.self, this.identity, this.#context.hash);
      writeU32(buffer, 20, this.mine);
      writeU32(buffer, 24, this.theirs);
      writeU64(buffer, 28, this.nextOut);
      this.#buffer = buffer;
      this.#length = BATCH_HEADER_BYTES;
    }
    const at = this.#length;
    if (at + bytes > buffer.length) {
      const larger = new Uint8Array(Math.min(Math.max(buffer.length * 2, at + bytes), Math.max(most, at + bytes)));
      larger.set(buffer.subarray(0, at));
      this.#buffer = larger;
    }
    this.#length = at + bytes;
    return at;
  }
}
