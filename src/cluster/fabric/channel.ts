/** Parts of one fabric for parts of the house. */
import type { Fabric, FabricCounters, FabricEvents, NodeIdentity } from "./fabric.ts";

/**
 * A part of a fabric with events of its own, so that several parts of the house share one. Channels share the order,
 * the peers, the counters and the bounds; `gap` is told to all, since nobody knows whose message was lost.
 */
export interface FabricChannel extends Omit<Fabric, "start" | "stop"> {
  /** From now on `events` hears what comes; also of the peers that are up already. */
  listen(events: FabricEvents): void;
  /** As `Fabric.send`. With `tail` the message is both, one after the other. */
  send(node: number, bytes: Uint8Array, tail?: Uint8Array): void;
}

/** What a channel is a part of: the engine. */
export interface ChannelHost {
  readonly self: NodeIdentity;
  readonly counters: FabricCounters;
  readonly peers: ReadonlyMap<number, NodeIdentity>;
  sendOn(channel: number, node: number, bytes: Uint8Array, tail: Uint8Array | undefined): void;
  broadcastOn(channel: number, bytes: Uint8Array): void;
  requestOn(channel: number, node: number, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  queuedBytes(node: number): number;
}

export class Channel implements FabricChannel {
  readonly #fabric: ChannelHost;
  readonly #number: number;
  events: FabricEvents | undefined = undefined;

  constructor(fabric: ChannelHost, number: number) {
    this.#fabric = fabric;
    this.#number = number;
  }

  get self(): NodeIdentity {
    return this.#fabric.self;
  }

  get counters(): FabricCounters {
    return this.#fabric.counters;
  }

  get peers(): ReadonlyMap<number, NodeIdentity> {
    return this.#fabric.peers;
  }

  listen(events: FabricEvents): void {
    if (this.events !== undefined) throw new Error(`channel ${this.#number} has a listener`);
    this.events = events;
    for (const peer of this.#fabric.peers.values()) events.peerUp(peer, false);
  }

  send(node: number, bytes: Uint8Array, tail?: Uint8Array): void {
    this.#fabric.sendOn(this.#number, node, bytes, tail);
  }

  broadcast(bytes: Uint8Array): void {
    this.#fabric.broadcastOn(this.#number, bytes);
  }

  request(node: number, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#fabric.requestOn(this.#number, node, bytes, timeoutMs);
  }

  queuedBytes(node: number): number {
    return this.#fabric.queuedBytes(node);
  }
}
