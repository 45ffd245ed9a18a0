/** The seam between the replicator and the tables it keeps equal on all nodes. */
import type { ByteReader, ByteWriter } from "./bytes.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";

/** Where a table writes an entry for the other nodes. Nothing may throw between `begin` and `end`. */
export interface EntrySink {
  /** Starts an entry; the writer is the sink's own, for this entry only. */
  begin(): ByteWriter;
  end(): void;
}

/** What two copies of one owner's records are compared by. The hashes do not depend on the order of the records. */
export interface Digest {
  readonly count: number;
  readonly hashA: number;
  readonly hashB: number;
}

/** Goes once through the records of this node while they change: whoever stays throughout is met at least once. */
export interface OwnReader {
  /** Writes records until about so many bytes are reached; false when there are no more. */
  read(out: EntrySink, bytesMax: number): boolean;
}

/** The slot of this node's own records, in every table. */
export const ownSlot = 1;

/**
 * What a table is for the replicator. Records lie in slots: what one node life has. While an owner is fetched anew it has several slots
 * (siblings), and a record that comes into the new one leaves the old.
 */
export interface TableStore {
  /** The same on all nodes, at most 64 letters. */
  readonly name: string;
  /** Called once, and opens `ownSlot`: own writes go to `sink` from now on. */
  attach(self: NodeIdentity, sink: EntrySink): void;
  /** A new, empty, visible slot. `sibling` is another slot of the same owner life, or 0. */
  open(owner: NodeIdentity, sibling: number): number;
  /**
   * Takes in one entry of the owner.
   * @throws WireError when it is not understood; nothing has changed then.
   */
  apply(slot: number, entry: ByteReader): void;
  /** Of this node's own records. */
  ownDigest(): Digest;
  digest(slot: number): Digest;
  /** What the records of this slot take in memory, about. */
  bytes(slot: number): number;
  /** The slot's records are out of all reads, at once. */
  hide(slot: number): void;
  show(slot: number): void;
  /** The slot's records are gone for good; memory may be given back step by step. */
  drop(slot: number): void;
  ownReader(): OwnReader;
}

/** A table has no place for more: records, owners, or a value that is too large. */
export class TableFull extends Error {
  override readonly name = "TableFull";
}
