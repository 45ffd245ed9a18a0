/**
 * What travels between nodes, byte by byte. All numbers are big-endian.
 *
 *     0  magic 0xCA                      every envelope, of every version
 *     1  version (1)
 *     2  kind: 1 hello, 2 batch, 3 goodbye
 *     3  0
 *     4  number of the sender, u16
 *     6  number of the receiver, u16     0: everyone
 *     8  incarnation of the sender, u32
 *    12  incarnation of the receiver, u32; 0: everyone
 *    16  hash of the cluster's name, u32
 *
 * A batch goes on with
 *
 *    20  the sender's session with the receiver, u32
 *    24  the receiver's session as the sender knows it, u32
 *    28  sequence number of its first entry in that session, u64 (up to 2^53)
 *    36  entries: u32 (4 bits channel, 2 bits type, 1 bit "goes on in the next", 1 bit "goes on from the one before",
 *        24 bits length), then so many bytes;
 *        requests, answers and failures begin with the u32 id of the request
 *
 * and a hello with
 *
 *    20  name, cluster, version, address: each u16 length and UTF-8
 *        u16 count, then for each node it knows: number u16, incarnation u32, own session with it u32, its session
 *        u32, entries sent to it in that session u64
 *        the sender's clock, milliseconds since the Unix epoch, u64; not said by earlier versions
 *
 * What follows in a hello beyond that comes from a newer version, and is not read.
 */
import type { NodeIdentity } from "./fabric.ts";

export const MAGIC = 0xca;
export const VERSION = 1;

export const KIND_HELLO = 1;
export const KIND_BATCH = 2;
export const KIND_GOODBYE = 3;

export const TYPE_MESSAGE = 0;
export const TYPE_REQUEST = 1;
export const TYPE_ANSWER = 2;
export const TYPE_FAILURE = 3;

export const HEADER_BYTES = 20;
export const BATCH_HEADER_BYTES = 36;
export const ENTRY_HEADER_BYTES = 4;
export const ENTRY_BYTES_MAX = 2 ** 24 - 1;
/** Bits of an entry's header: of a message in pieces, all but the last, and all but the first. */
export const GOES_ON = 1 << 25;
export const CONTINUES = 1 << 24;
/** Channels that an entry's header has room for. */
export const CHANNELS_MAX = 16;
/** Highest number of a node; archive ids have ten bits for it. */
export const NODE_NUMBER_MAX = 1023;

const HELLO_ENTRY_BYTES = 22;
const CLOCK_BYTES = 8;

/** A session as the sender of a hello sees it: with which life, and how far it is. */
export interface HelloEntry {
  readonly number: number;
  readonly incarnation: number;
  /** The sender's own session with that node. */
  readonly mine: number;
  /** That node's session, as last heard; 0: not heard yet. */
  readonly seen: number;
  /** Entries sent in the session. */
  readonly sent: number;
}

/** A hello as its receiver needs it. */
export interface Hello {
  readonly identity: NodeIdentity;
  /** Of its session with the receiver; all 0 when it has not heard of that one. */
  readonly mine: number;
  readonly seen: number;
  readonly sent: number;
  /** What the sender's clock says, milliseconds since the Unix epoch; undefined where it does not tell. */
  readonly now: number | undefined;
}

/** Why an envelope is not for us. */
export type Refusal =
  | "garbage"
  | "unknown version"
  | "another cluster"
  | "another node"
  | "a dead incarnation"
  | "an impostor";

/** FNV-1a of the name: catches a foreign cluster early; the hello carries the name itself. */
export function clusterHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

/** Values beyond 2^53 are read as garbage would be: as some number. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * 0x100000000 + readU32(bytes, at + 4);
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, Math.floor(value / 0x100000000));
  writeU32(bytes, at + 4, value >>> 0);
}

/** The first 20 bytes. `receiver` undefined: everyone. */
export function writeHeader(
  bytes: Uint8Array,
  kind: number,
  self: NodeIdentity,
  receiver: { readonly number: number; readonly incarnation: number } | undefined,
  hash: number,
): void {
  bytes[0] = MAGIC;
  bytes[1] = VERSION;
  bytes[2] = kind;
  bytes[3] = 0;
  writeU16(bytes, 4, self.number);
  writeU16(bytes, 6, receiver?.number ?? 0);
  writeU32(bytes, 8, self.incarnation);
  writeU32(bytes, 12, receiver?.incarnation ?? 0);
  writeU32(bytes, 16, hash);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A hello with these entries and this time, to `receiver` or to everyone. */
export function writeHello(
  self: NodeIdentity,
  receiver: { readonly number: number; readonly incarnation: number } | undefined,
  entries: readonly HelloEntry[],
  now: number,
): Uint8Array {
  const texts = [self.name, self.cluster, self.version, self.address].map((text) => encoder.encode(text));
  const length = texts.reduce((sum, text) => sum + 2 + text.length, HEADER_BYTES + 2);
  const bytes = new Uint8Array(length + entries.length * HELLO_ENTRY_BYTES + CLOCK_BYTES);
  writeHeader(bytes, KIND_HELLO, self, receiver, clusterHash(self.cluster));
  let at = HEADER_BYTES;
  for (const text of texts) {
    writeU16(bytes, at, text.length);
    bytes.set(text, at + 2);
    at += 2 + text.length;
  }
  writeU16(bytes, at, entries.length);
  at += 2;
  for (const entry of entries) {
    writeU16(bytes, at, entry.number);
    writeU32(bytes, at + 2, entry.incarnation);
    writeU32(bytes, at + 6, entry.mine);
    writeU32(bytes, at + 10, entry.seen);
    writeU64(bytes, at + 14, entry.sent);
    at += HELLO_ENTRY_BYTES;
  }
  writeU64(bytes, at, Math.max(0, Math.trunc(now)));
  return bytes;
}

/**
 * What a hello says of its sender, and of its session with the life `number`, `incarnation`, if it knows that one.
 * Undefined when it is cut off or not text. The header has been checked before.
 */
export function readHello(bytes: Uint8Array, number: number, incarnation: number): Hello | undefined {
  let at = HEADER_BYTES;
  const texts: string[] = [];
  for (let index = 0; index < 4; index++) {
    if (at + 2 > bytes.length) return undefined;
    const length = readU16(bytes, at);
    at += 2;
    if (at + length > bytes.length) return undefined;
    try {
      texts.push(decoder.decode(bytes.subarray(at, at + length)));
    } catch {
      return undefined; // not UTF-8
    }
    at += length;
  }
  const [name, cluster, version, address] = texts as [string, string, string, string];
  const sender = readU16(bytes, 4);
  if (at + 2 > bytes.length || sender < 1 || sender > NODE_NUMBER_MAX || name === "") return undefined;
  const end = at + 2 + readU16(bytes, at) * HELLO_ENTRY_BYTES;
  if (end > bytes.length) return undefined;
  const identity = { cluster, name, number: sender, incarnation: readU32(bytes, 8), version, address };
  const now = end + CLOCK_BYTES <= bytes.length ? readU64(bytes, end) : undefined;
  for (at += 2; at < end; at += HELLO_ENTRY_BYTES) {
    if (readU16(bytes, at) !== number || readU32(bytes, at + 2) !== incarnation) continue;
    return {
      identity,
      mine: readU32(bytes, at + 6),
      seen: readU32(bytes, at + 10),
      sent: readU64(bytes, at + 14),
      now,
    };
  }
  return { identity, mine: 0, seen: 0, sent: 0, now };
}
