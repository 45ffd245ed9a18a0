/**
 * Stanzas from node to node: in order, none lost and none twice for as long as the peer is up. The fabric below loses
 * messages but says so (`gap`), and both sides of it always see the same sessions; so a link lives from `peerUp` to
 * `peerDown`, needs no timers, and repeats only what is lost for certain.
 *
 * Frames are numbered from 0 in each direction. The receiver acknowledges, once a turn, up to where its handler has
 * dealt with all. Whoever is told of a gap asks the other where it stands: as messages keep their order, what was sent
 * before the answer and has not come before it is lost, be it frames or repetitions; that is asked for by number. If it
 * was an acknowledgement that was lost, the answer has that too; if it was a question, an answer, or a demand for
 * repetition, then somebody is told of that gap in turn.
 *
 * A message is one byte of kind, a number of six bytes, and
 *
 *     1 frame     its number; then the payload
 *     2 ack       of the first frame that is not dealt with
 *     3 question  as an ack; then u48 the number of the frame to be sent next, u32 number of the question
 *     4 answer    as a question
 *     5 repeat    first frame that is missing; then u32 how many
 */
import type { Log } from "../observe/log.ts";
import type { FabricChannel } from "./fabric/channel.ts";
import { readU32, writeU32 } from "./fabric/envelope.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";

const FRAME = 1;
const ACK = 2;
const QUESTION = 3;
const ANSWER = 4;
const REPEAT = 5;
const HEAD_BYTES = 7;
const REPEAT_BYTES = 11;
const SYNC_BYTES = 17;
const missingMax = 10_000_000;

/** What the peer was to deal with was perhaps not dealt with: it went down, or was not up. Route it anew. */
export class PeerLost extends Error {
  override readonly name = "PeerLost";
  constructor(node: number) {
    super(`node ${node} is down`);
  }
}

/** Far more waits for the peer than `full` allows: the sender did not heed it. Route it anew, or refuse it. */
export class LinkFull extends Error {
  override readonly name = "LinkFull";
  constructor(node: number) {
    super(`too much waits for node ${node}`);
  }
}

export interface LinkEvents {
  /**
   * A frame of a peer, in order; the next ones come without waiting for this one. It counts as dealt with when this
   * returns, or the promise settles (a rejection is logged). The bytes are the receiver's to keep.
   */
  frame(from: NodeIdentity, bytes: Uint8Array): void | Promise<void>;
}

/** What becomes of a frame; one of the two is called, once. Cheaper than a promise, where one would be made for every stanza. */
export interface FrameReceipt {
  /** The peer has dealt with it. */
  dealtWith(): void;
  /** `PeerLost` or `LinkFull`. */
  lost(error: Error): void;
}

export interface LinkOptions {
  readonly channel: FabricChannel;
  readonly log: Log;
  /** Calls its argument once, at the end of this turn of the event loop. */
  readonly atTurnEnd: (run: () => void) => void;
  /** A peer is full with so many unacknowledged bytes (default 4 MiB) or frames (default 16,384). */
  readonly windowBytes?: number;
  readonly windowFrames?: number;
}

export interface LinkCounters {
  framesOut: number;
  framesIn: number;
  /** Frames that were sent again after a gap. */
  repeated: number;
  /** Frames that came twice. */
  doubled: number;
  /** Frames that waited for an earlier one. */
  early: number;
  acksOut: number;
  acksIn: number;
}

/** A frame that is not acknowledged. */
interface OutFrame {
  readonly bytes: Uint8Array;
  readonly receipt: FrameReceipt | undefined;
}

/** Both directions of the link with one peer, from its coming up to its going down. */
class Line {
  readonly node: number;
  readonly peer: NodeIdentity;
  alive = true;

  /** Unacknowledged frames; the one at `head` has the number `acknowledged`. */
  frames: (OutFrame | undefined)[] = [];
  head = 0;
  acknowledged = 0;
  bytes = 0;
  drained: { promise: Promise<void>; resolve: () => void } | undefined = undefined;

  /** The next frame to be handled. */
  expected = 0;
  /** Frames after it that have come. */
  early = new Map<number, Uint8Array>();
  /** Missing frames that were asked for, and how many questions had been put then. */
  asked = new Map<number, number>();
  questions = 0;
  /** All before it are dealt with. */
  handled = 0;
  /** Frames from `handled` on: whether they are dealt with; empty when all that came are. */
  waiting: boolean[] = [];
  /** What was last said to the peer. */
  saidHandled = 0;
  dirty = false;

  constructor(peer: NodeIdentity) {
    this.node = peer.number;
    this.peer = peer;
  }

  get unacknowledged(): number {
    return this.frames.length - this.head;
  }

  /** The number of the frame to be sent next. */
  get next(): number {
    return this.acknowledged + this.unacknowledged;
  }
}

export class Link {
  readonly counters: LinkCounters = {
    framesOut: 0,
    framesIn: 0,
    repeated: 0,
    doubled: 0,
    early: 0,
    acksOut: 0,
    acksIn: 0,
  };
  readonly #channel: FabricChannel;
  readonly #log: Log;
  readonly #atTurnEnd: (run: () => void) => void;
  readonly #windowBytes: number;
  readonly #windowFrames: number;
  readonly #lines = new Map<number, Line>();
  readonly #head = new Uint8Array(HEAD_BYTES);
  readonly #flush = (): void => this.#sayHandled();
  #dirty: Line[] = [];
  #spare: Line[] = [];
  #scheduled = false;
  #events: LinkEvents | undefined = undefined;

  constructor(options: LinkOptions) {
    this.#channel = options.channel;
    this.#log = options.log;
    this.#atTurnEnd = options.atTurnEnd;
    this.#windowBytes = options.windowBytes ?? 4 * 1024 * 1024;
    this.#windowFrames = options.windowFrames ?? 16_384;
  }

  /** Takes the channel for its own. */
  listen(events: LinkEvents): void {
    this.#events = events;
    this.#channel.listen({
      message: (from, bytes) => this.#onMessage(from, bytes),
      request: () => Promise.reject(new Error("a link answers no requests")),
      peerUp: (peer) => void this.#lines.set(peer.number, new Line(peer)),
      peerDown: (peer) => this.#onPeerDown(peer),
      gap: (from) => this.#onGap(from),
    });
  }

  /**
   * Sends a frame, whose bytes must not change until it is acknowledged. With `wantsAck` the promise resolves when the
   * peer has dealt with it. It rejects with `PeerLost` when the peer goes down before, or is not up; with `LinkFull`
   * when twice the window waits already. Without `wantsAck` there is a promise, a rejected one, only when the frame
   * could not be taken.
   */
  send(node: number, bytes: Uint8Array, wantsAck: boolean): Promise<void> | undefined {
    if (!wantsAck) {
      const refusal = this.#take(node, bytes, undefined);
      return refusal === undefined ? undefined : Promise.reject(refusal);
    }
    return new Promise<void>((resolve, reject) => {
      this.sendWith(node, bytes, { dealtWith: resolve, lost: reject });
    });
  }

  /** As `send`, but it is the receipt that is told, perhaps at once when the frame could not be taken. */
  sendWith(node: number, bytes: Uint8Array, receipt: FrameReceipt): void {
    const refusal = this.#take(node, bytes, receipt);
    if (refusal !== undefined) receipt.lost(refusal);
  }

  #take(node: number, bytes: Uint8Array, receipt: FrameReceipt | undefined): Error | undefined {
    const line = this.#lines.get(node);
    if (line === undefined) return new PeerLost(node);
    if (line.bytes > 2 * this.#windowBytes || line.unacknowledged > 2 * this.#windowFrames) return new LinkFull(node);
    this.#sendFrame(line, line.next, bytes);
    line.bytes += bytes.length;
    this.counters.framesOut++;
    line.frames.push({ bytes, receipt });
    return undefined;
  }

  /** Whether so much waits for this peer that senders should wait too. Nobody is full who is not up. */
  full(node: number): boolean {
    const line = this.#lines.get(node);
    return line !== undefined && this.#isFull(line);
  }

  /** Resolves when the peer is not full any more, or not up. */
  whenDrained(node: number): Promise<void> {
    const line = this.#lines.get(node);
    if (line === undefined || !this.#isFull(line)) return Promise.resolve();
    line.drained ??= Promise.withResolvers<void>();
    return line.drained.promise;
  }

  /** Frames and bytes that this peer has not acknowledged. */
  unacknowledged(node: number): { readonly frames: number; readonly bytes: number } {
    const line = this.#lines.get(node);
    return { frames: line?.unacknowledged ?? 0, bytes: line?.bytes ?? 0 };
  }

  /** Says now, and not only at the end of the turn, what has been dealt with. */
  flush(): void {
    this.#sayHandled();
  }

  #isFull(line: Line): boolean {
    return line.bytes >= this.#windowBytes || line.unacknowledged >= this.#windowFrames;
  }

  #sendFrame(line: Line, number: number, bytes: Uint8Array): void {
    const head = this.#head;
    head[0] = FRAME;
    writeU48(head, 1, number);
    this.#channel.send(line.node, head, bytes);
  }

  #onMessage(from: NodeIdentity, bytes: Uint8Array): void {
    const line = this.#lines.get(from.number);
    if (line === undefined || bytes.length < HEAD_BYTES) return;
    const number = readU48(bytes, 1);
    switch (bytes[0]) {
      case FRAME:
        return this.#onFrame(line, number, bytes.subarray(HEAD_BYTES));
      case ACK:
        return this.#onAck(line, number);
      case QUESTION:
      case ANSWER:
        if (bytes.length >= SYNC_BYTES) this.#onSync(line, bytes, number);
        return;
      case REPEAT:
        if (bytes.length >= REPEAT_BYTES) this.#repeat(line, number, readU32(bytes, HEAD_BYTES));
    }
  }

  #onFrame(line: Line, number: number, bytes: Uint8Array): void {
    if (line.asked.size > 0) line.asked.delete(number);
    if (number !== line.expected) {
      if (number < line.expected || line.early.has(number)) this.counters.doubled++;
      else {
        // The fabric has told of a gap; until what is missing has come this one waits.
        line.early.set(number, bytes);
        this.counters.early++;
      }
      return;
    }
    this.#handle(line, number, bytes);
    while (line.early.size > 0 && line.alive) {
      const next = line.early.get(line.expected);
      if (next === undefined) return;
      line.early.delete(line.expected);
      this.#handle(line, line.expected, next);
    }
  }

  #handle(line: Line, number: number, bytes: Uint8Array): void {
    line.expected++;
    this.counters.framesIn++;
    const result = this.#give(line, bytes);
    if (!(result instanceof Promise)) {
      if (line.waiting.length === 0) line.handled = number + 1;
      else line.waiting.push(true);
      this.#soon(line);
      return;
    }
    line.waiting.push(false);
    result.then(
      () => this.#settled(line, number),
      (error) => {
        this.#failed(line, error);
        this.#settled(line, number);
      },
    );
  }

  #give(line: Line, bytes: Uint8Array): void | Promise<void> {
    try {
      return this.#events!.frame(line.peer, bytes);
    } catch (error) {
      this.#failed(line, error);
    }
  }

  #settled(line: Line, number: number): void {
    if (!line.alive) return;
    line.waiting[number - line.handled] = true;
    let done = 0;
    while (done < line.waiting.length && line.waiting[done] === true) done++;
    if (done === 0) return;
    line.waiting.splice(0, done);
    line.handled += done;
    this.#soon(line);
  }

  /** The peer hears at the end of this turn what has been dealt with. */
  #soon(line: Line): void {
    if (line.dirty) return;
    line.dirty = true;
    this.#dirty.push(line);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#atTurnEnd(this.#flush);
  }

  #sayHandled(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = dirty;
    this.#scheduled = false;
    for (const line of dirty) {
      line.dirty = false;
      if (!line.alive || line.saidHandled === line.handled) continue;
      line.saidHandled = line.handled;
      this.#head[0] = ACK;
      writeU48(this.#head, 1, line.handled);
      this.#channel.send(line.node, this.#head);
      this.counters.acksOut++;
    }
    dirty.length = 0;
  }

  #onAck(line: Line, number: number): void {
    const count = number - line.acknowledged;
    if (count <= 0 || count > line.unacknowledged) return; // overtaken, or of nobody's making
    this.counters.acksIn++;
    const wasFull = line.drained !== undefined;
    const told: FrameReceipt[] = [];
    for (let index = 0; index < count; index++) {
      const frame = line.frames[line.head]!;
      line.frames[line.head++] = undefined;
      line.bytes -= frame.bytes.length;
      if (frame.receipt !== undefined) told.push(frame.receipt);
    }
    line.acknowledged = number;
    if (line.head === line.frames.length) {
      line.frames = [];
      line.head = 0;
    } else if (line.head > 1024 && line.head * 2 > line.frames.length) {
      line.frames.splice(0, line.head);
      line.head = 0;
    }
    if (wasFull && !this.#isFull(line)) {
      line.drained!.resolve();
      line.drained = undefined;
    }
    // Last, since whoever is told may send more.
    for (const receipt of told) receipt.dealtWith();
  }

  /** The peer says where it stands. */
  #onSync(line: Line, bytes: Uint8Array, handled: number): void {
    this.#onAck(line, handled);
    const question = bytes[0] === QUESTION;
    const sent = readU48(bytes, HEAD_BYTES);
    if (sent - line.expected > missingMax) return; // garbage: no window is so wide
    const id = readU32(bytes, HEAD_BYTES + 6);
    if (question) this.#sync(line, ANSWER, id);
    // Sent before this message and not here: lost. What was asked for after the question may still be on its way.
    let first = -1;
    for (let number = line.expected; number <= sent; number++) {
      const asked = line.asked.get(number) ?? -1;
      const missing = number < sent && !line.early.has(number) && (question ? asked < 0 : asked < id);
      if (missing) {
        if (first < 0) first = number;
        line.asked.set(number, line.questions);
      } else if (first >= 0) {
        this.#askFor(line, first, number - first);
        first = -1;
      }
    }
    // The peer has lost something of ours: perhaps a demand, or the question whose answer we need.
    if (question && line.asked.size > 0) this.#ask(line);
  }

  #askFor(line: Line, first: number, count: number): void {
    const bytes = new Uint8Array(REPEAT_BYTES);
    bytes[0] = REPEAT;
    writeU48(bytes, 1, first);
    writeU32(bytes, HEAD_BYTES, count);
    this.#channel.send(line.node, bytes);
  }

  #repeat(line: Line, first: number, count: number): void {
    const from = Math.max(first, line.acknowledged) - line.acknowledged;
    const to = Math.min(first + count - line.acknowledged, line.unacknowledged);
    for (let index = from; index < to; index++) {
      this.#sendFrame(line, line.acknowledged + index, line.frames[line.head + index]!.bytes);
      this.counters.repeated++;
    }
  }

  #onGap(from: NodeIdentity): void {
    const line = this.#lines.get(from.number);
    if (line !== undefined) this.#ask(line);
  }

  #ask(line: Line): void {
    line.questions++;
    this.#sync(line, QUESTION, line.questions);
  }

  #sync(line: Line, kind: number, id: number): void {
    const bytes = new Uint8Array(SYNC_BYTES);
    bytes[0] = kind;
    writeU48(bytes, 1, line.handled);
    writeU48(bytes, HEAD_BYTES, line.next);
    writeU32(bytes, HEAD_BYTES + 6, id);
    line.saidHandled = line.handled;
    this.#channel.send(line.node, bytes);
  }

  #onPeerDown(peer: NodeIdentity): void {
    const line = this.#lines.get(peer.number);
    if (line === undefined) return;
    this.#lines.delete(peer.number);
    line.alive = false;
    const { frames, head } = line;
    line.frames = [];
    line.waiting = [];
    line.early.clear();
    line.drained?.resolve();
    for (let index = head; index < frames.length; index++) frames[index]!.receipt?.lost(new PeerLost(peer.number));
  }

  #failed(line: Line, error: unknown): void {
    this.#log.error({ node: line.peer.name, err: error }, "Dealing with what a node sent failed");
  }
}

function readU48(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 8) | bytes[at + 1]!) * 0x100000000 +
    (bytes[at + 2]! * 0x1000000 + ((bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!))
  );
}

function writeU48(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x100000000);
  bytes[at] = high >>> 8;
  bytes[at + 1] = high;
  bytes[at + 2] = value >>> 24;
  bytes[at + 3] = value >>> 16;
  bytes[at + 4] = value >>> 8;
  bytes[at + 5] = value;
}
