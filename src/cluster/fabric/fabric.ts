/** What carries bytes between the nodes of a cluster (DESIGN section 5), and who those nodes are. */

/** One life of one node. Number and incarnation together are never used twice in a cluster. */
export interface NodeIdentity {
  readonly cluster: string;
  readonly name: string;
  /** 1 to 1023, unique among the cluster's registered nodes; part of archive ids. */
  readonly number: number;
  /** Grows with every start of a node of this name or number. */
  readonly incarnation: number;
  /** Of the software. */
  readonly version: string;
  /** Where the local fabric, and people, find it. */
  readonly address: string;
}

/** Whether two identities are the same life of the same node. */
export function sameLife(a: NodeIdentity, b: NodeIdentity): boolean {
  return a.number === b.number && a.incarnation === b.incarnation;
}

export type PeerDownReason =
  /** It said goodbye. */
  | "left"
  /** Nothing was heard of it for the time of expiry. */
  | "silent"
  /** A later incarnation of the same number or name has come. */
  | "replaced";

/** What the fabric tells its user. Calls never overlap with `send`: they come from the event loop. */
export interface FabricEvents {
  /** A message of a peer that is up; order per peer is kept. The bytes are the receiver's to keep. */
  message(from: NodeIdentity, bytes: Uint8Array): void;
  /** A request; what the promise resolves to is sent back. A rejection is told to the asker as `RequestFailed`. */
  request(from: NodeIdentity, bytes: Uint8Array): Promise<Uint8Array> | Uint8Array;
  /** The peer can be sent to from now on. `returned`: it was down before, in the same incarnation (a partition has healed). */
  peerUp(peer: NodeIdentity, returned: boolean): void;
  /** Nothing more comes from it until it is up again. */
  peerDown(peer: NodeIdentity, reason: PeerDownReason): void;
  /** `missed` messages of this peer were lost before the one that follows. Never silent. */
  gap(from: NodeIdentity, missed: number): void;
}

/** Counted for metrics and `ctl cluster`. */
export interface FabricCounters {
  messagesOut: number;
  messagesIn: number;
  bytesOut: number;
  bytesIn: number;
  gaps: number;
  /** Envelopes that were garbage, of an unknown version, of another cluster, or of a dead incarnation. */
  refused: number;
}

/** No answer within the time, the peer went down, or it answered with an error. */
export class RequestFailed extends Error {
  override readonly name = "RequestFailed";
}

/** Delivery is at most once and in order per pair of nodes; a gap is always noticed. */
export interface Fabric {
  readonly self: NodeIdentity;
  readonly counters: FabricCounters;
  /** Peers that are up. */
  readonly peers: ReadonlyMap<number, NodeIdentity>;
  /** Resolves once messages can be sent and received; peers come later, by `peerUp`. */
  start(events: FabricEvents): Promise<void>;
  /** Queued for the end of this turn, with all others for the same node in one envelope. Does nothing when the peer is not up. */
  send(node: number, bytes: Uint8Array): void;
  /** To every peer that is up, in order with `send`. */
  broadcast(bytes: Uint8Array): void;
  /** Rejects with `RequestFailed`. */
  request(node: number, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Bytes that wait to leave for this peer: more than `limits.fabricQueueBytesMax` and the fabric drops (and the peer sees a gap). */
  queuedBytes(node: number): number;
  /** Says goodbye to all peers and stops. */
  stop(): Promise<void>;
}
