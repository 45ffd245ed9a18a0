/** What nodes say to each other, message by message: taken off the simulated network, and by a name for each kind. */
import { ByteReader } from "../../src/cluster/bytes.ts";
import {
  BATCH_HEADER_BYTES,
  CONTINUES,
  ENTRY_BYTES_MAX,
  ENTRY_HEADER_BYTES,
  GOES_ON,
  KIND_BATCH,
  KIND_GOODBYE,
  KIND_HELLO,
  readU16,
  readU32,
  TYPE_ANSWER,
  TYPE_FAILURE,
  TYPE_MESSAGE,
  TYPE_REQUEST,
} from "../../src/cluster/fabric/envelope.ts";
import { TableMessage } from "../../src/cluster/table-protocol.ts";
import type { SimNetwork } from "../../src/runtime/sim/network.ts";
import { Call, Frame } from "../../src/server/cluster/frames.ts";

const tables = 0;
const link = 1;
const calls = 2;
const requests = 15;

const linkKinds = { 1: "frame", 2: "ack", 3: "question", 4: "answer", 5: "repeat" } as Record<number, string>;
const envelopeKinds = { [KIND_HELLO]: "hello", [KIND_BATCH]: "batch", [KIND_GOODBYE]: "goodbye" } as Record<
  number,
  string
>;
const linkFrame = 1;
const linkHeadBytes = 7;

function nameOf(kinds: Readonly<Record<string, number>>, number: number | undefined): string {
  return Object.keys(kinds).find((name) => kinds[name] === number) ?? `unknown ${number}`;
}

/** Writes also by their table and the kind of their first entry. */
function tableName(bytes: Uint8Array): string {
  const name = `table ${nameOf(TableMessage, bytes[1])}`;
  if (bytes[1] !== TableMessage.writes) return name;
  const reader = new ByteReader(bytes, 2);
  const table = reader.text();
  reader.u48();
  reader.u16();
  reader.u16();
  return `${name}: ${table} ${reader.u8()}`;
}

/** Envelopes taken off a network, cut into messages. Of each kind the longest that was seen is kept: it says most. */
export class WireTap {
  readonly samples = new Map<string, Uint8Array>();
  readonly #partial = new Map<string, Uint8Array[]>();
  /** By asker, node asked, and number. */
  readonly #asked = new Map<string, string>();

  constructor(network: SimNetwork) {
    const carry = network.carry.bind(network);
    network.carry = (from, to, envelope) => {
      this.#envelope(to, envelope);
      carry(from, to, envelope);
    };
  }

  #keep(name: string, bytes: Uint8Array): void {
    const known = this.samples.get(name);
    if (known === undefined || known.length < bytes.length) this.samples.set(name, bytes.slice());
  }

  #envelope(to: number, bytes: Uint8Array): void {
    const kind = bytes[2]!;
    const from = readU16(bytes, 4);
    // A small one: what is in it has fixtures of its own.
    if (kind !== KIND_BATCH || bytes.length < 200) this.#keep(`envelope ${envelopeKinds[kind]}`, bytes);
    if (kind !== KIND_BATCH) return;
    for (let at = BATCH_HEADER_BYTES; at < bytes.length; ) {
      const head = readU32(bytes, at);
      const end = at + ENTRY_HEADER_BYTES + (head & ENTRY_BYTES_MAX);
      this.#piece(from, to, head, bytes.subarray(at + ENTRY_HEADER_BYTES, end));
      at = end;
    }
  }

  #piece(from: number, to: number, head: number, piece: Uint8Array): void {
    const key = `${from} ${to}`;
    const before = (head & CONTINUES) === 0 ? [] : (this.#partial.get(key) ?? []);
    const pieces = [...before, piece];
    if ((head & GOES_ON) !== 0) this.#partial.set(key, pieces);
    else this.#message(from, to, head >>> 28, (head >>> 26) & 3, Buffer.concat(pieces));
  }

  #message(from: number, to: number, channel: number, type: number, bytes: Uint8Array): void {
    if (type === TYPE_MESSAGE) {
      if (channel === tables) this.#keep(tableName(bytes), bytes);
      else if (channel === link) this.#link(bytes);
      else if (channel === calls) this.#keep("notice", bytes);
      else if (channel === requests) this.#keep(`requests ${bytes[0] === 1 ? "where" : "again"}`, bytes);
      return;
    }
    const id = readU32(bytes, 0);
    const body = bytes.subarray(4);
    if (type === TYPE_REQUEST) {
      const call = nameOf(Call, body[0]);
      this.#asked.set(`${from} ${to} ${id}`, call);
      this.#keep(`call ${call}`, body);
    } else if (type === TYPE_ANSWER) this.#keep(`answer ${this.#asked.get(`${to} ${from} ${id}`)}`, body);
    else if (type === TYPE_FAILURE) this.#keep("failure", body);
  }

  #link(bytes: Uint8Array): void {
    if (bytes[0] !== linkFrame) return this.#keep(`link ${linkKinds[bytes[0]!]}`, bytes);
    const payload = bytes.subarray(linkHeadBytes);
    if (bytes.length < 100) this.#keep("link frame", bytes);
    this.#keep(`frame ${nameOf(Frame, payload[0])}`, payload);
  }
}

/** As it stands in a file: hexadecimal, but what is JSON behind a first byte or without one stays readable. */
export function toText(bytes: Uint8Array): string {
  for (const skip of [0, 1]) {
    const text = Buffer.from(bytes.subarray(skip)).toString();
    if (!/^[[{]/.test(text)) continue;
    return `${Buffer.from(bytes.subarray(0, skip)).toString("hex")} ${text}`;
  }
  return Buffer.from(bytes).toString("hex");
}

export function fromText(text: string): Uint8Array {
  const at = text.indexOf(" ");
  if (at < 0) return new Uint8Array(Buffer.from(text, "hex"));
  return new Uint8Array(Buffer.concat([Buffer.from(text.slice(0, at), "hex"), Buffer.from(text.slice(at + 1))]));
}

/** The JSON in it; undefined where there is none. */
export function jsonIn(text: string): unknown {
  const at = text.indexOf(" ");
  return at < 0 ? undefined : JSON.parse(text.slice(at + 1));
}
