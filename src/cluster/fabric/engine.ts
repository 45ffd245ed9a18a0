/**
 * The fabric over any transport: who is up, order, gaps, requests, batches and bounds (DESIGN section 5).
 *
 * Every node says hello to all each second. A hello lists whom its sender has heard of, so that two nodes come up for
 * each other when each has heard the other say so (see `Peer.mine`), and how much was sent, so that a loss at the end
 * is noticed too. Silence is counted in our own ticks, not in time: a process that was paused, by the system or by its
 * own long work, finds nobody expired when it wakes, only because nobody could be heard while it slept.
 */
import type { Log } from "../../observe/log.ts";
import type { Clock, Timer } from "../../util/clock.ts";
import { Channel, type FabricChannel } from "./channel.ts";
import { type EngineCounters, newCounters } from "./counters.ts";
import {
  BATCH_HEADER_BYTES,
  CHANNELS_MAX,
  CONTINUES,
  clusterHash,
  ENTRY_BYTES_MAX,
  ENTRY_HEADER_BYTES,
  GOES_ON,
  HEADER_BYTES,
  KIND_BATCH,
  KIND_GOODBYE,
  KIND_HELLO,
  MAGIC,
  type Refusal,
  readHello,
  readU16,
  readU32,
  readU64,
  TYPE_MESSAGE,
  VERSION,
  writeHeader,
  writeHello,
} from "./envelope.ts";
import { type Fabric, type FabricEvents, type NodeIdentity, type PeerDownReason, RequestFailed } from "./fabric.ts";
import { Peer, type PeerContext } from "./peer.ts";
import { Refusals } from "./refusals.ts";
import { REQUESTS_CHANNEL, Requests } from "./requests.ts";
import type { Transport } from "./transport.ts";

export interface FabricOptions {
  readonly self: NodeIdentity;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** Calls its argument once, at the end of this turn of the event loop: then all that was sent in it leaves. */
  readonly atTurnEnd: (run: () => void) => void;
  /** Between two hellos (default 1 s). */
  readonly heartbeatMs?: number;
  /** Silence after which a peer is down (default 5 s). */
  readonly expiryMs?: number;
  /** Most bytes that wait for one peer (default 16 MiB). */
  readonly queueBytesMax?: number;
  /** Largest message (default 12 MiB). */
  readonly messageBytesMax?: number;
  /** Most requests of one peer that are answered at the same time (default 1,024). */
  readonly requestsMax?: number;
}

/** No machine that is looked after has a clock that is further ahead. */
const aheadMsMax = 60_000;

export class ClusterFabric implements Fabric {
  readonly self: NodeIdentity;
  readonly counters: EngineCounters = newCounters();
  readonly #peers = new Map<number, NodeIdentity>();
  readonly #options: FabricOptions;
  readonly #context: PeerContext;
  readonly #log: Log;
  readonly #hash: number;
  readonly #messageBytesMax: number;
  readonly #expiryTicks: number;
  /** The last known life of each number, up or not. */
  readonly #lives = new Map<number, Peer>();
  readonly #channels: (Channel | undefined)[] = [];
  readonly #requests: Requests;
  readonly #refusals: Refusals;
  readonly #flush = (): void => this.#flushDirty();
  #dirty: Peer[] = [];
  #spare: Peer[] = [];
  #scheduled = false;
  #tick: Timer | undefined = undefined;
  #state: "new" | "running" | "replaced" | "stopped" = "new";

  constructor(options: FabricOptions) {
    const queueBytesMax = options.queueBytesMax ?? 16 * 1024 * 1024;
    this.self = options.self;
    this.#options = options;
    this.#log = options.log.child({ part: "fabric" });
    this.#refusals = new Refusals(this.#log);
    this.#hash = clusterHash(options.self.cluster);
    this.#messageBytesMax = Math.min(options.messageBytesMax ?? 12 * 1024 * 1024, queueBytesMax);
    this.#expiryTicks = Math.max(2, Math.ceil((options.expiryMs ?? 5000) / (options.heartbeatMs ?? 1000)));
    this.#context = {
      self: options.self,
      hash: this.#hash,
      transport: options.transport,
      counters: this.counters,
      queueBytesMax,
    };
    this.#requests = new Requests({
      clock: options.clock,
      counters: this.counters,
      messageBytesMax: this.#messageBytesMax,
      requestsMax: options.requestsMax ?? 1024,
      enqueue: (peer, channel, type, id, bytes) => this.#enqueue(peer, channel, type, id, bytes, undefined),
      eventsOf: (channel) => this.#channels[channel]?.events,
      failed: (error, about) => this.#failed(error, about),
    });
  }

  /** `counters.refused`, by reason. */
  get refusals(): Readonly<Record<Refusal, number>> {
    return this.#refusals.counts;
  }

  get peers(): ReadonlyMap<number, NodeIdentity> {
    return this.#peers;
  }

  /**
   * By how many milliseconds the clock of some peer that is up is ahead of ours; 0 when none is. A clock that is ahead by more than is credible
   * is left out: it would take all others with it.
   */
  get aheadMs(): number {
    let most = 0;
    for (const { up, aheadMs } of this.#lives.values()) if (up && aheadMs <= aheadMsMax) most = Math.max(most, aheadMs);
    return most;
  }

  /** By how many milliseconds a peer's clock is ahead of ours, its last hello being a little old; negative when it is behind. */
  aheadMsOf(node: number): number {
    return this.#lives.get(node)?.aheadMs ?? 0;
  }

  /** A later incarnation of our own number or name has come: this node speaks no more, and must not be used. */
  get replaced(): boolean {
    return this.#state === "replaced";
  }

  /** Channel 0 is the fabric itself. The same number gives the same channel. */
  channel(number: number): FabricChannel {
    if (!Number.isInteger(number) || number < 0 || number >= CHANNELS_MAX || number === REQUESTS_CHANNEL)
      throw new RangeError(`there is no channel ${number}`);
    const channel = this.#channels[number] ?? new Channel(this, number);
    this.#channels[number] = channel;
    return channel;
  }

  async start(events?: FabricEvents): Promise<void> {
    if (this.#state !== "new") throw new Error("a fabric starts once");
    this.#state = "running";
    if (events !== undefined) this.channel(0).listen(events);
    await this.#options.transport.start({
      received: (envelope) => this.#received(envelope),
      reachable: () => this.#helloToAll(),
      lost: (node) => this.#lost(node),
    });
    if (this.#state !== "running") return;
    this.#helloToAll();
    this.#tick = this.#options.clock.every(this.#options.heartbeatMs ?? 1000, () => this.#onTick());
  }

  send(node: number, bytes: Uint8Array): void {
    this.sendOn(0, node, bytes, undefined);
  }

  broadcast(bytes: Uint8Array): void {
    this.broadcastOn(0, bytes);
  }

  request(node: number, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.requestOn(0, node, bytes, timeoutMs);
  }

  queuedBytes(node: number): number {
    const peer = this.#lives.get(node);
    return peer?.up === true ? peer.queuedBytes : 0;
  }

  async stop(): Promise<void> {
    if (this.#state === "stopped") return;
    const running = this.#state === "running";
    this.#tick?.cancel();
    if (running) {
      this.#flushDirty();
      const goodbye = new Uint8Array(HEADER_BYTES);
      writeHeader(goodbye, KIND_GOODBYE, this.self, undefined, this.#hash);
      this.#options.transport.broadcast(goodbye);
    }
    this.#state = "stopped";
    this.#peers.clear();
    for (const peer of this.#lives.values()) peer.up = false;
    this.#requests.stop("this node stops");
    await this.#options.transport.stop();
  }

  /** For `Channel`. */
  sendOn(channel: number, node: number, bytes: Uint8Array, tail: Uint8Array | undefined): void {
    const peer = this.#lives.get(node);
    if (peer?.up === true) this.#enqueue(peer, channel, TYPE_MESSAGE, -1, bytes, tail);
  }

  /** For `Channel`. */
  broadcastOn(channel: number, bytes: Uint8Array): void {
    for (const peer of this.#lives.values()) {
      if (peer.up) this.#enqueue(peer, channel, TYPE_MESSAGE, -1, bytes, undefined);
    }
  }

  /** For `Channel`. */
  requestOn(channel: number, node: number, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const peer = this.#lives.get(node);
    if (peer?.up !== true) return Promise.reject(new RequestFailed(`node ${node} is not up`));
    return this.#requests.ask(peer, channel, bytes, timeoutMs);
  }

  /** Whether it will leave; otherwise it is lost, and the peer will notice. */
  #enqueue(
    peer: Peer,
    channel: number,
    type: number,
    id: number,
    bytes: Uint8Array,
    tail: Uint8Array | undefined,
  ): boolean {
    const length = bytes.length + (tail === undefined ? 0 : tail.length);
    if (length > this.#messageBytesMax)
      throw new RangeError(`a message of ${length} bytes; ${this.#messageBytesMax} at most`);
    const counters = this.counters;
    if (!peer.hasRoom(length)) {
      // The number is used up, so that the peer sees a gap; an envelope holds consecutive numbers only.
      peer.seal();
      peer.nextOut++;
      counters.dropped++;
      this.#overflow(peer);
      return false;
    }
    if (peer.overflowing) peer.overflowing = false;
    peer.append(channel, type, id, bytes, tail);
    counters.messagesOut++;
    counters.bytesOut += length;
    if (!peer.dirty) {
      peer.dirty = true;
      this.#dirty.push(peer);
      if (!this.#scheduled) {
        this.#scheduled = true;
        this.#options.atTurnEnd(this.#flush);
      }
    }
    return true;
  }

  #flushDirty(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = dirty;
    this.#scheduled = false;
    for (let index = 0; index < dirty.length; index++) {
      const peer = dirty[index]!;
      peer.dirty = false;
      if (this.#state === "running" && peer.up) peer.seal();
    }
    dirty.length = 0;
  }

  #overflow(peer: Peer): void {
    if (peer.overflowing) return;
    peer.overflowing = true;
    const { name, number } = peer.identity;
    this.#log.warn(
      { node: name, number, queuedBytes: peer.queuedBytes },
      "A node takes messages too slowly; what exceeds the queue is dropped, and it will notice",
    );
  }

  #received(envelope: Uint8Array): void {
    if (this.#state !== "running") return;
    // A Buffer's `slice` shares its bytes, to the surprise of those who keep a message.
    const bytes = Buffer.isBuffer(envelope)
      ? new Uint8Array(envelope.buffer, envelope.byteOffset, envelope.length)
      : envelope;
    this.counters.envelopesIn++;
    if (bytes.length < HEADER_BYTES || bytes[0] !== MAGIC) return this.#refuse("garbage", 0, 0);
    if (bytes[1] !== VERSION) return this.#refuse("unknown version", bytes[1]!, 0);
    const number = readU16(bytes, 4);
    const incarnation = readU32(bytes, 8);
    const self = this.self;
    if (number === self.number && incarnation === self.incarnation && bytes[2] !== KIND_HELLO) return; // our own echo
    if (readU32(bytes, 16) !== this.#hash) return this.#refuse("another cluster", number, incarnation);
    const receiver = readU16(bytes, 6);
    if (receiver !== 0 && (receiver !== self.number || readU32(bytes, 12) !== self.incarnation))
      return this.#refuse("another node", number, incarnation);
    switch (bytes[2]) {
      case KIND_BATCH:
        return this.#onBatch(bytes, number, incarnation);
      case KIND_HELLO:
        return this.#onHello(bytes);
      case KIND_GOODBYE:
        return this.#onGoodbye(number, incarnation);
      default:
        return this.#refuse("garbage", number, incarnation);
    }
  }

  #onHello(bytes: Uint8Array): void {
    const hello = readHello(bytes, this.self.number, this.self.incarnation);
    if (hello === undefined) return this.#refuse("garbage", readU16(bytes, 4), readU32(bytes, 8));
    const { identity } = hello;
    if (identity.cluster !== this.self.cluster)
      return this.#refuse("another cluster", identity.number, identity.incarnation);
    if (identity.number === this.self.number || identity.name === this.self.name) return this.#onNamesake(identity);
    const peer = this.#lifeOf(identity);
    if (peer === undefined) return;
    this.#hear(peer);
    peer.aheadMs = hello.now === undefined ? 0 : hello.now - this.#options.clock.now();
    const changed = hello.mine !== 0 && this.#agree(peer, hello.mine, hello.seen);
    if (peer.up && hello.mine === peer.theirs && hello.seen === peer.mine && hello.sent > peer.nextIn)
      this.#gap(peer, hello.sent);
    // It has not heard of us, or something new of us: the sooner it knows the sooner it is up.
    if (changed || hello.mine === 0) this.#helloTo(peer);
  }

  /** The life that says hello; undefined when it is refused. What it replaces is down. */
  #lifeOf(identity: NodeIdentity): Peer | undefined {
    const known = this.#lives.get(identity.number);
    if (known !== undefined && known.identity.incarnation === identity.incarnation) {
      if (known.identity.name !== identity.name) {
        this.#refuse("an impostor", identity.number, identity.incarnation, identity);
        return undefined;
      }
      if (!known.ended) return known;
      this.#refuse("a dead incarnation", identity.number, identity.incarnation);
      return undefined;
    }
    for (const other of this.#lives.values()) {
      const same = other.identity.number === identity.number || other.identity.name === identity.name;
      if (same && other.identity.incarnation > identity.incarnation) {
        this.#refuse("a dead incarnation", identity.number, identity.incarnation);
        return undefined;
      }
    }
    for (const other of this.#lives.values()) {
      if (other.identity.number === identity.number || other.identity.name === identity.name)
        this.#end(other, "replaced");
    }
    const peer = new Peer(identity, this.#context);
    this.#lives.set(identity.number, peer);
    this.#options.transport.learned?.(identity);
    return peer;
  }

  /** Somebody bears our number or our name. */
  #onNamesake(identity: NodeIdentity): void {
    const self = this.self;
    if (identity.number === self.number && identity.incarnation === self.incarnation && identity.name === self.name)
      return; // our own echo
    if (identity.incarnation < self.incarnation)
      return this.#refuse("a dead incarnation", identity.number, identity.incarnation);
    if (identity.incarnation === self.incarnation)
      return this.#refuse("an impostor", identity.number, identity.incarnation, identity);
    this.#log.error(
      { node: identity.name, number: identity.number, address: identity.address, incarnation: identity.incarnation },
      "Another process has taken the number or name of this node; this one speaks to the cluster no more",
    );
    for (const peer of this.#lives.values()) this.#end(peer, "silent");
    this.#state = "replaced";
    this.#tick?.cancel();
    this.#requests.stop("this node was replaced");
  }

  /**
   * Brings the sessions of both sides together. Whether there is something new to say: the peer must hear of a session
   * that it does not know yet, and of ours having come up.
   */
  #agree(peer: Peer, mine: number, seen: number): boolean {
    if (mine < peer.theirs) return false; // overtaken on the way
    let changed = false;
    if (mine > peer.theirs) {
      if (peer.up) this.#down(peer, "silent");
      peer.theirs = mine;
      peer.heardAnew();
      changed = true;
    }
    if (!peer.up && seen === peer.mine) {
      this.#up(peer);
      changed = true;
    }
    return changed;
  }

  #onBatch(bytes: Uint8Array, number: number, incarnation: number): void {
    const peer = this.#lives.get(number);
    if (peer === undefined || peer.identity.incarnation !== incarnation || peer.ended)
      return this.#refuse("a dead incarnation", number, incarnation);
    if (bytes.length < BATCH_HEADER_BYTES) return this.#refuse("garbage", number, incarnation);
    const mine = readU32(bytes, 20);
    const seen = readU32(bytes, 24);
    this.#hear(peer);
    if (!peer.up || mine !== peer.theirs || seen !== peer.mine) {
      if (this.#agree(peer, mine, seen)) this.#helloTo(peer);
      if (!peer.up || mine !== peer.theirs || seen !== peer.mine) return; // of a session that is over
    }
    const length = bytes.length;
    let sequence = readU64(bytes, 28);
    if (sequence > peer.nextIn) this.#gap(peer, sequence);
    for (let at = BATCH_HEADER_BYTES; at < length; sequence++) {
      if (at + ENTRY_HEADER_BYTES > length) return this.#refuse("garbage", number, incarnation);
      const head = readU32(bytes, at);
      const end = at + ENTRY_HEADER_BYTES + (head & ENTRY_BYTES_MAX);
      if (end > length) return this.#refuse("garbage", number, incarnation);
      if (sequence < peer.nextIn) this.counters.late++;
      else {
        peer.nextIn = sequence + 1;
        this.#onEntry(peer, head, bytes.subarray(at + ENTRY_HEADER_BYTES, end));
        // A handler may have stopped the fabric.
        if (!peer.up) return;
      }
      at = end;
    }
  }

  #onEntry(peer: Peer, head: number, piece: Uint8Array): void {
    let bytes = piece;
    const continues = (head & CONTINUES) !== 0;
    // Of a message whose first pieces are lost, the others are of no use.
    if (continues !== peer.partial.length > 0) {
      peer.dropPartial();
      if (continues) return;
    }
    if (continues || (head & GOES_ON) !== 0) {
      peer.partialBytes += piece.length;
      if (peer.partialBytes > this.#messageBytesMax + 4) {
        peer.dropPartial();
        return this.#refuse("garbage", peer.identity.number, peer.identity.incarnation);
      }
      peer.partial.push(piece);
      if ((head & GOES_ON) !== 0) return;
      bytes = peer.takePartial();
    }
    this.counters.messagesIn++;
    this.counters.bytesIn += bytes.length;
    const number = head >>> 28;
    const channel = this.#channels[number];
    const type = (head >>> 26) & 3;
    const { number: sender, incarnation } = peer.identity;
    if (type !== TYPE_MESSAGE) {
      if (!this.#requests.entry(peer, number, type, bytes)) this.#refuse("garbage", sender, incarnation);
    } else if (number === REQUESTS_CHANNEL) {
      if (!this.#requests.message(peer, bytes)) this.#refuse("garbage", sender, incarnation);
    } else {
      try {
        channel?.events?.message(peer.identity, bytes);
      } catch (error) {
        this.#failed(error, peer.identity);
      }
    }
  }

  #onGoodbye(number: number, incarnation: number): void {
    const peer = this.#lives.get(number);
    if (peer === undefined || peer.identity.incarnation !== incarnation || peer.ended) return;
    this.#end(peer, "left");
  }

  /** Entries before `sequence` are lost. */
  #gap(peer: Peer, sequence: number): void {
    const missed = sequence - peer.nextIn;
    peer.nextIn = sequence;
    peer.dropPartial();
    this.counters.gaps++;
    this.#log.debug({ node: peer.identity.name, missed }, "Messages of a node were lost on the way");
    this.#requests.gap(peer);
    this.#tell((events) => events.gap(peer.identity, missed), peer.identity);
  }

  #hear(peer: Peer): void {
    peer.heard = true;
    peer.silentTicks = 0;
  }

  #up(peer: Peer): void {
    const returned = peer.wasUp;
    peer.up = true;
    peer.wasUp = true;
    this.#peers.set(peer.identity.number, peer.identity);
    const { name, number, incarnation, version, address } = peer.identity;
    this.#log.info(
      { node: name, number, incarnation, version, address },
      returned ? "A node has returned" : "A node has joined",
    );
    this.#tell((events) => events.peerUp(peer.identity, returned), peer.identity);
  }

  #down(peer: Peer, reason: PeerDownReason): void {
    const { name, number, incarnation } = peer.identity;
    peer.nextSession();
    this.#peers.delete(number);
    const fields = { node: name, number, incarnation, reason };
    if (reason === "silent") this.#log.warn(fields, "A node is gone: nothing is heard of it");
    else this.#log.info(fields, reason === "left" ? "A node has left" : "A node was replaced by a later start");
    this.#requests.down(peer);
    this.#tell((events) => events.peerDown(peer.identity, reason), peer.identity);
  }

  /** This life is over. */
  #end(peer: Peer, reason: PeerDownReason): void {
    if (peer.up) this.#down(peer, reason);
    peer.ended = true;
    peer.dropPartial();
  }

  #lost(node: number): void {
    const peer = this.#lives.get(node);
    if (this.#state === "running" && peer?.up === true) this.#down(peer, "silent");
  }

  #onTick(): void {
    for (const peer of this.#lives.values()) {
      if (peer.heard) peer.heard = false;
      else if (peer.up && ++peer.silentTicks >= this.#expiryTicks) this.#down(peer, "silent");
    }
    this.#helloToAll();
  }

  #helloToAll(): void {
    if (this.#state !== "running") return;
    // What a hello says was sent must be on its way before it.
    this.#flushDirty();
    const entries = [];
    for (const peer of this.#lives.values()) if (!peer.ended) entries.push(entryOf(peer));
    const { transport, clock } = this.#options;
    transport.broadcast(writeHello(this.self, undefined, entries, clock.now()));
  }

  #helloTo(peer: Peer): void {
    peer.seal();
    const { transport, clock } = this.#options;
    transport.send(peer.identity.number, writeHello(this.self, peer.identity, [entryOf(peer)], clock.now()));
  }

  #tell(what: (events: FabricEvents) => void, about: NodeIdentity): void {
    for (const channel of this.#channels) {
      if (channel?.events === undefined) continue;
      try {
        what(channel.events);
      } catch (error) {
        this.#failed(error, about);
      }
    }
  }

  #failed(error: unknown, about: NodeIdentity): void {
    this.#log.error({ node: about.name, err: error }, "Handling what a node sent failed");
  }

  #refuse(reason: Refusal, number: number, incarnation: number, identity?: NodeIdentity): void {
    this.counters.refused++;
    this.#refusals.add(reason, number, incarnation, identity);
  }
}

function entryOf(peer: Peer) {
  const { number, incarnation } = peer.identity;
  return { number, incarnation, mine: peer.mine, seen: peer.theirs, sent: peer.nextOut };
}
