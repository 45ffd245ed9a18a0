/**
 * What a fabric needs from below: datagrams between nodes. All that makes a fabric of them (who is up, order, gaps,
 * requests, batches, bounds) is in engine.ts, the same over NATS, over Unix sockets and over a simulated network.
 */

/** Where a node can be reached; only transports that have to dial need it. */
export interface KnownNode {
  readonly number: number;
  readonly name: string;
  readonly address: string;
}

/** What a transport tells the engine. Never called from within `send` or `broadcast`. */
export interface TransportEvents {
  /**
   * An envelope came, for this node or for all. The bytes are the engine's to keep; it checks everything about them,
   * so they may be late, doubled, out of order, of another cluster, or garbage.
   */
  received(envelope: Uint8Array): void;
  /** Somebody can be reached who could not before (connected, connected again): hellos are worth sending now. */
  reachable(): void;
  /** The node of this number is gone for certain (its socket closed): there is no need to wait for its silence to last. */
  lost(node: number): void;
}

/** Carries envelopes, each at most once or more often, in whatever order; it may lose any, silently. */
export interface Transport {
  /** Largest envelope it takes, in bytes: at least 4 KiB. May change while it runs; the engine asks each time. */
  readonly envelopeBytesMax: number;
  /** Resolves once envelopes can be sent and received. It keeps itself connected from then on, for ever. */
  start(events: TransportEvents): Promise<void>;
  /** To one node. The bytes are the transport's to keep. Nothing is thrown: what cannot be sent is lost. */
  send(node: number, envelope: Uint8Array): void;
  /** To all other nodes, whoever they are; small and rare (hellos). */
  broadcast(envelope: Uint8Array): void;
  /** Bytes given to `send` for this node that have not left this process yet, as far as the transport knows. */
  queuedBytes(node: number): number;
  /** A node said hello that was not known before: for transports that have to dial. */
  learned?(node: KnownNode): void;
  /** Lets what was sent leave, for a short while, and stops. */
  stop(): Promise<void>;
}
