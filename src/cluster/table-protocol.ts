/**
 * The messages of the replicator. The first byte of each is the version of this protocol, the second says which it is:
 *
 * | message | content after these two bytes |
 * | --- | --- |
 * | writes | table, number of the first write (u48), count (u16), entries |
 * | digests | count of tables (u16), for each: table, number of the last write (u48), records (u32), two hashes (u32 each) |
 * | digest, please | nothing |
 * | ask | table, request (u32), 1 and the number of the last write that the asker has (u48), or 0 when it wants everything |
 * | chunk | table, request (u32), chunk (u32), 1 for the last, number of the last write when the snapshot began (u48), count (u16), entries |
 * | more | table, request (u32), chunk that was taken in (u32) |
 * | nominate | life, 1 when nobody has its records whole |
 * | cannot | life, 1 when some of its records are here, 0 when it is unknown |
 * | cleaned | count (u16), lives |
 *
 * A table is its name as a text, a life the node's number (u16) and incarnation (u48), an entry its length (u16) and bytes that only the
 * table understands.
 */
import { type ByteReader, ByteWriter } from "./bytes.ts";
import type { EntrySink } from "./table-store.ts";

export const tableProtocolVersion = 1;

export const TableMessage = {
  writes: 1,
  digests: 2,
  digestPlease: 3,
  ask: 4,
  chunk: 5,
  more: 6,
  nominate: 7,
  cannot: 8,
  cleaned: 9,
} as const;

/** One life of a node, as it is named in messages and used as a key. */
export interface Life {
  readonly number: number;
  readonly incarnation: number;
}

export function lifeKey(life: Life): string {
  return `${life.number}.${life.incarnation}`;
}

export function writeLife(out: ByteWriter, life: Life): void {
  out.u16(life.number);
  out.u48(life.incarnation);
}

export function readLife(reader: ByteReader): Life {
  return { number: reader.u16(), incarnation: reader.u48() };
}

/** A message whose fields are written right away. */
export function startMessage(kind: number, initialBytes = 64): ByteWriter {
  const out = new ByteWriter(initialBytes);
  out.u8(tableProtocolVersion);
  out.u8(kind);
  return out;
}

/** Entries of one message: their count in front, each with its length. */
export class EntryBatch implements EntrySink {
  readonly out: ByteWriter;
  count = 0;
  #countAt = 0;
  #lengthAt = 0;

  constructor(out: ByteWriter) {
    this.out = out;
  }

  /** The head of the message has been written; the entries follow. */
  open(): void {
    this.#countAt = this.out.reserveU16();
    this.count = 0;
  }

  begin(): ByteWriter {
    this.#lengthAt = this.out.reserveU16();
    return this.out;
  }

  end(): void {
    this.out.fillU16(this.#lengthAt, this.out.length - this.#lengthAt - 2);
    this.count++;
  }

  /** The whole message. */
  close(): Uint8Array {
    this.out.fillU16(this.#countAt, this.count);
    return this.out.copy();
  }
}
