/**
 * Questions between nodes: each is dealt with at most once, and answered once as long as both hold each other to be up.
 *
 * Messages of the fabric may be lost. So who waits for answers says `where` it stands now and then, and at once when either side notices a gap.
 * As messages keep their order, a question that is listed there and has not come is lost; it is asked for `again`, under its own number. One
 * that has come is not dealt with anew: its answer is sent again, or is still to come. What is not listed is over, and its answer forgotten.
 *
 * Both travel as messages on a channel of their own, which a version that does not know them does not read: it repeats nothing, as ever.
 *
 *     1 where     u8 1 when the receiver is to say the same; u32 number of the next question; u32 count, then u32 each: what waits for an answer
 *     2 again     u32 count, then u32 each: what has not come
 */
import type { Clock, Timer } from "../../util/clock.ts";
import { ByteReader, ByteWriter, WireError } from "../bytes.ts";
import type { EngineCounters } from "./counters.ts";
import { readU32, TYPE_ANSWER, TYPE_FAILURE, TYPE_MESSAGE, TYPE_REQUEST } from "./envelope.ts";
import { type FabricEvents, type NodeIdentity, RequestFailed } from "./fabric.ts";
import type { Peer } from "./peer.ts";
import { PendingRequests } from "./pending-requests.ts";

/** The channel of `where` and `again`; no part of the house has it. */
export const REQUESTS_CHANNEL = 15;

const WHERE = 1;
const AGAIN = 2;

/** Who waits says so this often. */
const whereEveryMs = 250;
/** Answers that are kept of one peer until it says that it has them; the oldest go first. */
const answersMax = 4096;
const answersBytesMax = 4 * 1024 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface RequestsHost {
  readonly clock: Clock;
  readonly counters: EngineCounters;
  readonly messageBytesMax: number;
  /** Most requests of one peer that are answered at the same time. */
  readonly requestsMax: number;
  /** Whether it will leave. */
  enqueue(peer: Peer, channel: number, type: number, id: number, bytes: Uint8Array): boolean;
  eventsOf(channel: number): FabricEvents | undefined;
  /** A fault of ours while a question was dealt with. */
  failed(error: unknown, about: NodeIdentity): void;
}

/** A question that has come: its answer, once there is one and as long as it is kept. */
interface Heard {
  readonly channel: number;
  type: number | undefined;
  answer: Uint8Array | undefined;
}

/** One session with one peer. */
class Exchange {
  /** In the order in which they came. */
  readonly heard = new Map<number, Heard>();
  bytes = 0;
  /** Up to this number questions may have come that are not remembered any more; undefined: none. */
  forgotten: number | undefined = undefined;
  /** Runs from a question of ours until the peer was told that we have all answers. */
  timer: Timer | undefined = undefined;

  forget(id: number, heard: Heard): void {
    this.heard.delete(id);
    this.bytes -= heard.answer?.length ?? 0;
  }
}

export class Requests {
  readonly #host: RequestsHost;
  readonly #pending: PendingRequests;
  readonly #exchanges = new Map<Peer, Exchange>();

  constructor(host: RequestsHost) {
    this.#host = host;
    this.#pending = new PendingRequests(host.clock);
  }

  /** To a peer that is up. Rejects with `RequestFailed`. */
  ask(peer: Peer, channel: number, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const id = this.#pending.freeId();
    this.#host.counters.requestsOut++;
    if (!this.#host.enqueue(peer, channel, TYPE_REQUEST, id, bytes))
      return Promise.reject(new RequestFailed(`too much waits for node ${peer.identity.name}`));
    this.#exchange(peer).timer ??= this.#whereLater(peer);
    return this.#pending.add(id, { node: peer.identity.number, channel, bytes }, timeoutMs);
  }

  /** A request, an answer or a failure; false when it is none. */
  entry(peer: Peer, channel: number, type: number, bytes: Uint8Array): boolean {
    if (bytes.length < 4) return false;
    const id = readU32(bytes, 0);
    const body = bytes.subarray(4);
    if (type === TYPE_REQUEST) this.#asked(peer, channel, id, body);
    else this.#answered(peer, type, id, body);
    return true;
  }

  /** A message on the channel of this; false when it is not understood. */
  message(peer: Peer, bytes: Uint8Array): boolean {
    try {
      const reader = new ByteReader(bytes);
      const kind = reader.u8();
      if (kind === WHERE) {
        const wantsOurs = reader.u8() === 1;
        this.#where(peer, reader.u32(), listIn(reader));
        if (wantsOurs && this.#pending.someFor(peer.identity.number)) this.#sayWhere(peer, false);
      } else if (kind === AGAIN) for (const id of listIn(reader)) this.#repeat(peer, id);
      else return false;
      return true;
    } catch (error) {
      if (error instanceof WireError) return false;
      throw error;
    }
  }

  /** Something of the peer was lost. */
  gap(peer: Peer): void {
    this.#sayWhere(peer, true);
  }

  down(peer: Peer): void {
    this.#exchanges.get(peer)?.timer?.cancel();
    this.#exchanges.delete(peer);
    this.#pending.failAll(peer.identity.number, `node ${peer.identity.name} is down`);
  }

  /** Nothing more is to be said to anybody. */
  stop(text: string): void {
    for (const { timer } of this.#exchanges.values()) timer?.cancel();
    this.#exchanges.clear();
    this.#pending.failAll(undefined, text);
  }

  #exchange(peer: Peer): Exchange {
    let exchange = this.#exchanges.get(peer);
    if (exchange === undefined) {
      exchange = new Exchange();
      this.#exchanges.set(peer, exchange);
    }
    return exchange;
  }

  // Their questions.

  #asked(peer: Peer, channel: number, id: number, body: Uint8Array): void {
    const exchange = this.#exchange(peer);
    // Asked for twice, since two gaps were noticed.
    if (exchange.heard.has(id)) return;
    const heard: Heard = { channel, type: undefined, answer: undefined };
    exchange.heard.set(id, heard);
    if (exchange.forgotten !== undefined && !isAfter(id, exchange.forgotten))
      return this.#answer(peer, exchange, id, heard, TYPE_FAILURE, encoder.encode("its answer is not kept any more"));
    this.#dealWith(peer, exchange, id, heard, body);
  }

  #dealWith(peer: Peer, exchange: Exchange, id: number, heard: Heard, body: Uint8Array): void {
    const { counters, requestsMax } = this.#host;
    counters.requestsIn++;
    const answer = (type: number, bytes: Uint8Array): void => this.#answer(peer, exchange, id, heard, type, bytes);
    const fail = (error: unknown): void => {
      // Who reads questions counts and tells what is not understood, such as that of a version to come. To refuse is no fault.
      if (!(error instanceof WireError || error instanceof RequestFailed)) this.#host.failed(error, peer.identity);
      answer(TYPE_FAILURE, encoder.encode(error instanceof Error ? error.message : String(error)));
    };
    const events = this.#host.eventsOf(heard.channel);
    if (events === undefined) return answer(TYPE_FAILURE, encoder.encode("nobody answers here"));
    if (peer.answering >= requestsMax) return answer(TYPE_FAILURE, encoder.encode("too many requests at once"));
    try {
      const result = events.request(peer.identity, body);
      if (result instanceof Uint8Array) return answer(TYPE_ANSWER, result);
      peer.answering++;
      result
        .then((bytes) => answer(TYPE_ANSWER, bytes))
        .catch(fail)
        .finally(() => peer.answered());
    } catch (error) {
      fail(error);
    }
  }

  #answer(peer: Peer, exchange: Exchange, id: number, heard: Heard, type: number, bytes: Uint8Array): void {
    // The session in which it was asked is over, and the question with it.
    if (this.#exchanges.get(peer) !== exchange || !peer.up) return;
    if (bytes.length > this.#host.messageBytesMax)
      return this.#answer(peer, exchange, id, heard, TYPE_FAILURE, encoder.encode("the answer is too large"));
    heard.type = type;
    heard.answer = bytes;
    exchange.bytes += bytes.length;
    this.#host.enqueue(peer, heard.channel, type, id, bytes);
    if (exchange.heard.size > answersMax || exchange.bytes > answersBytesMax) this.#shrink(exchange);
  }

  #shrink(exchange: Exchange): void {
    for (const [id, heard] of exchange.heard) {
      if (exchange.heard.size <= answersMax && exchange.bytes <= answersBytesMax) return;
      if (heard.type === undefined) continue;
      exchange.forget(id, heard);
      if (exchange.forgotten === undefined || isAfter(id, exchange.forgotten)) exchange.forgotten = id;
    }
  }

  /** The peer waits for these; all others before `next` are over for it. */
  #where(peer: Peer, next: number, waiting: ReadonlySet<number>): void {
    const exchange = this.#exchange(peer);
    for (const [id, heard] of exchange.heard) {
      if (waiting.has(id)) {
        if (heard.type !== undefined) this.#host.enqueue(peer, heard.channel, heard.type, id, heard.answer!);
      } else if (heard.type !== undefined && isAfter(next, id)) exchange.forget(id, heard);
    }
    const missing = [...waiting].filter((id) => !exchange.heard.has(id));
    if (missing.length === 0) return;
    const out = new ByteWriter(3 + missing.length * 4);
    out.u8(AGAIN);
    writeList(out, missing);
    this.#host.enqueue(peer, REQUESTS_CHANNEL, TYPE_MESSAGE, -1, out.copy());
  }

  // Our own.

  #answered(peer: Peer, type: number, id: number, body: Uint8Array): void {
    if (this.#pending.find(id)?.node !== peer.identity.number) return; // too late, or for the second time
    if (type === TYPE_ANSWER) this.#pending.answer(id, body);
    else this.#pending.fail(id, `node ${peer.identity.name}: ${decoder.decode(body)}`);
  }

  #whereLater(peer: Peer): Timer {
    return this.#host.clock.after(whereEveryMs, () => {
      const exchange = this.#exchange(peer);
      exchange.timer = this.#pending.someFor(peer.identity.number) ? this.#whereLater(peer) : undefined;
      this.#sayWhere(peer, false);
    });
  }

  #sayWhere(peer: Peer, wantsTheirs: boolean): void {
    const waiting = this.#pending.ofNode(peer.identity.number);
    const out = new ByteWriter(8 + waiting.length * 4);
    out.u8(WHERE);
    out.u8(wantsTheirs ? 1 : 0);
    out.u32(this.#pending.nextId);
    writeList(out, waiting);
    this.#host.enqueue(peer, REQUESTS_CHANNEL, TYPE_MESSAGE, -1, out.copy());
  }

  #repeat(peer: Peer, id: number): void {
    const question = this.#pending.find(id);
    if (question?.node !== peer.identity.number) return; // given up meanwhile
    this.#host.counters.requestsRepeated++;
    this.#host.enqueue(peer, question.channel, TYPE_REQUEST, id, question.bytes);
  }
}

/** Numbers begin anew after 2^32. */
function isAfter(id: number, other: number): boolean {
  return ((id - other) | 0) > 0;
}

function writeList(out: ByteWriter, ids: readonly number[]): void {
  out.u32(ids.length);
  for (const id of ids) out.u32(id);
}

function listIn(reader: ByteReader): ReadonlySet<number> {
  const ids = new Set<number>();
  for (let count = reader.u32(); count > 0; count--) ids.add(reader.u32());
  return ids;
}
