/**
 * A replicated table of small values by text key: online rooms, components, outgoing connections, BOSH ids. Values are JSON unless the table
 * is given another form.
 *
 *     const rooms = new KeyedTable<Room>({ name: "rooms", clock, conflict: (key, winner) => … });
 *     replicator.add(rooms);
 *     rooms.set(key, value); rooms.delete(key);             // own records
 *     rooms.get(key)                                        // of whichever node, this one included
 *     replicator.createVia(key)                             // the node through which a key that must be unique is created
 *
 * Keys are unique: of two records of one key, the later stays (`since`, then the higher node number); reads on all nodes see that one, and
 * `conflict` tells the other's owner, which ends its own. To set a key that another node has is to take it over: `since` is then
 * moved behind that record's.
 */
import type { Clock } from "../util/clock.ts";
import { type ByteReader, type ByteWriter, WireError } from "./bytes.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";
import type { Life } from "./table-protocol.ts";
import { type Digest, type EntrySink, type OwnReader, ownSlot, TableFull, type TableStore } from "./table-store.ts";

export interface KeyedRecord<Value> {
  readonly key: string;
  readonly value: Value;
  readonly owner: NodeIdentity;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export interface KeyedTableOptions<Value> {
  /** The same on all nodes. */
  readonly name: string;
  readonly clock: Clock;
  readonly encode?: (value: Value) => string;
  /** May throw; the entry is left out then. */
  readonly decode?: (text: string) => Value;
  /** An own record has lost its key to another node's: end what it stands for. It is deleted by the caller. */
  readonly conflict?: (key: string, winner: KeyedRecord<Value>) => void;
  /** What reads say of this key may have changed, by another node. */
  readonly changed?: (key: string) => void;
  /** Records of one owner at most. */
  readonly recordsMax?: number;
  /** Of a value's encoded form, at most; no more than 60,000. */
  readonly valueBytesMax?: number;
}

interface Slot<Value> {
  readonly owner: NodeIdentity;
  /** The same for all slots of one owner life. */
  readonly group: number;
  visible: boolean;
  readonly records: Map<string, Stored<Value>>;
  hashA: number;
  hashB: number;
  bytes: number;
}

interface Stored<Value> extends KeyedRecord<Value> {
  readonly text: string;
  readonly slot: Slot<Value>;
  readonly hashA: number;
  readonly hashB: number;
  /** Another record of the same key. */
  next: Stored<Value> | undefined;
}

const Entry = { put: 1, drop: 2 } as const;
const keyBytesMax = 4096;
/** An entry's length travels in 16 bits. */
const valueBytesCeiling = 60_000;
const sweepRecords = 1000;
const sweepPauseMs = 2;

export class KeyedTable<Value> implements TableStore {
  readonly name: string;
  readonly #options: KeyedTableOptions<Value>;
  readonly #recordsMax: number;
  readonly #valueBytesMax: number;
  readonly #slots = new Map<number, Slot<Value>>();
  readonly #heads = new Map<string, Stored<Value>>();
  #slotsGiven = 0;
  #sink: EntrySink | undefined;

  constructor(options: KeyedTableOptions<Value>) {
    this.name = options.name;
    this.#options = options;
    this.#recordsMax = options.recordsMax ?? 1_000_000;
    this.#valueBytesMax = options.valueBytesMax ?? 16 * 1024;
    if (this.#valueBytesMax > valueBytesCeiling) throw new RangeError(`values of ${this.#valueBytesMax} bytes`);
  }

  /** The record of a key, of whichever node. */
  get(key: string): KeyedRecord<Value> | undefined {
    let found: Stored<Value> | undefined;
    for (let record = this.#heads.get(key); record !== undefined; record = record.next) {
      if (record.slot.visible && (found === undefined || wins(record, found))) found = record;
    }
    return found;
  }

  /** This node's own record of a key, even if another one wins. */
  own(key: string): KeyedRecord<Value> | undefined {
    return this.#slots.get(ownSlot)?.records.get(key);
  }

  /** All keys' records as reads see them. */
  *entries(): Generator<KeyedRecord<Value>> {
    for (const key of this.#heads.keys()) {
      const record = this.get(key);
      if (record !== undefined) yield record;
    }
  }

  /** The records of one owner, also while it is gone and out of all other reads. */
  *of(owner: Life): Generator<KeyedRecord<Value>> {
    for (const slot of this.#slots.values()) {
      if (slot.owner.number !== owner.number || slot.owner.incarnation !== owner.incarnation) continue;
      yield* slot.records.values();
    }
  }

  /**
   * Sets an own record.
   * @throws TableFull when there are too many, or key or value is too large.
   */
  set(key: string, value: Value, since = this.#options.clock.now()): void {
    const slot = this.#slots.get(ownSlot)!;
    const text = this.#options.encode?.(value) ?? JSON.stringify(value);
    // Three bytes a letter at most; counted exactly only when that may be too much.
    if (text.length * 3 > this.#valueBytesMax && Buffer.byteLength(text) > this.#valueBytesMax) {
      throw new TableFull(`a value of ${Buffer.byteLength(text)} bytes in table ${this.name}`);
    }
    if (Buffer.byteLength(key) > keyBytesMax)
      throw new TableFull(`a key of ${key.length} letters in table ${this.name}`);
    if (slot.records.size >= this.#recordsMax && !slot.records.has(key)) {
      throw new TableFull(`more than ${this.#recordsMax} records of one node in table ${this.name}`);
    }
    let from = since;
    for (let other = this.#heads.get(key); other !== undefined; other = other.next) {
      if (other.slot === slot) continue;
      if (other.slot.visible) from = Math.max(from, other.since + 1);
      // Should its owner come back, this difference makes it be fetched anew, and then the two are compared.
      else this.#remove(other);
    }
    this.#put(slot, key, value, text, from);
    const out = this.#sink!.begin();
    writePut(out, key, from, text);
    this.#sink!.end();
  }

  /** Deletes an own record. False when there is none. */
  delete(key: string): boolean {
    const record = this.#slots.get(ownSlot)!.records.get(key);
    if (record === undefined) return false;
    this.#remove(record);
    const out = this.#sink!.begin();
    out.u8(Entry.drop);
    out.text(key);
    this.#sink!.end();
    return true;
  }

  // For the replicator.

  attach(self: NodeIdentity, sink: EntrySink): void {
    this.#sink = sink;
    if (this.open(self, 0) !== ownSlot) throw new Error("a table is attached once");
  }

  open(owner: NodeIdentity, sibling: number): number {
    const number = ++this.#slotsGiven;
    const group = this.#slots.get(sibling)?.group ?? number;
    this.#slots.set(number, { owner, group, visible: true, records: new Map(), hashA: 0, hashB: 0, bytes: 0 });
    return number;
  }

  apply(number: number, entry: ByteReader): void {
    const slot = this.#slots.get(number)!;
    const kind = entry.u8();
    const key = entry.text();
    if (kind === Entry.put) this.#applyPut(slot, key, entry);
    else if (kind === Entry.drop) {
      const record = this.#ofOwner(key, slot.group);
      if (record === undefined) return;
      this.#remove(record);
      this.#options.changed?.(key);
    } else throw new WireError(`entry ${kind} of table ${this.name}`);
  }

  ownDigest(): Digest {
    return this.digest(ownSlot);
  }

  digest(number: number): Digest {
    const slot = this.#slots.get(number)!;
    return { count: slot.records.size, hashA: slot.hashA >>> 0, hashB: slot.hashB >>> 0 };
  }

  bytes(number: number): number {
    return this.#slots.get(number)!.bytes;
  }

  hide(number: number): void {
    this.#see(number, false);
  }

  show(number: number): void {
    this.#see(number, true);
  }

  drop(number: number): void {
    const slot = this.#slots.get(number)!;
    const { visible } = slot;
    slot.visible = false;
    this.#slots.delete(number);
    this.#sweep(slot.records.values(), visible);
  }

  ownReader(): OwnReader {
    const { records } = this.#slots.get(ownSlot)!;
    // An iterator of a map skips what is deleted and meets what is added.
    const iterator = records.values();
    return {
      read(out, bytesMax) {
        for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
          const { key, since, text } = step.value;
          const writer = out.begin();
          writePut(writer, key, since, text);
          out.end();
          if (writer.length >= bytesMax) return true;
        }
        return false;
      },
    };
  }

  #applyPut(slot: Slot<Value>, key: string, entry: ByteReader): void {
    const since = entry.u48();
    const text = entry.text();
    let value: Value;
    try {
      value = this.#options.decode?.(text) ?? (JSON.parse(text) as Value);
    } catch (cause) {
      throw new WireError(`value of ${key} in table ${this.name}`, { cause });
    }
    const old = this.#ofOwner(key, slot.group);
    if (old === undefined && slot.records.size >= this.#recordsMax) throw new WireError(`table ${this.name} is full`);
    if (old !== undefined) this.#remove(old);
    const record = this.#put(slot, key, value, text, since);
    this.#options.changed?.(key);
    const own = this.#slots.get(ownSlot)!.records.get(key);
    if (own !== undefined && slot.visible && wins(record, own)) this.#options.conflict?.(key, record);
  }

  /** Takes dropped records out of their keys' chains, so many at a time. */
  #sweep(records: IterableIterator<Stored<Value>>, tell: boolean): void {
    for (let count = 0; count < sweepRecords; count++) {
      const step = records.next();
      if (step.done === true) return;
      this.#unlink(step.value);
      if (tell) this.#options.changed?.(step.value.key);
    }
    this.#options.clock.after(sweepPauseMs, () => this.#sweep(records, tell));
  }

  #see(number: number, visible: boolean): void {
    const slot = this.#slots.get(number)!;
    slot.visible = visible;
    const { changed } = this.#options;
    if (changed !== undefined) for (const key of slot.records.keys()) changed(key);
  }

  #ofOwner(key: string, group: number): Stored<Value> | undefined {
    let record = this.#heads.get(key);
    while (record !== undefined && record.slot.group !== group) record = record.next;
    return record;
  }

  #put(slot: Slot<Value>, key: string, value: Value, text: string, since: number): Stored<Value> {
    const old = slot.records.get(key);
    if (old !== undefined) this.#remove(old);
    const { hashA, hashB } = hashOf(key, text, since);
    const next = this.#heads.get(key);
    const record: Stored<Value> = { key, value, owner: slot.owner, since, text, slot, hashA, hashB, next };
    this.#heads.set(key, record);
    slot.records.set(key, record);
    slot.hashA = (slot.hashA + hashA) | 0;
    slot.hashB = (slot.hashB + hashB) | 0;
    slot.bytes += sizeOf(record);
    return record;
  }

  #remove(record: Stored<Value>): void {
    const { slot } = record;
    slot.records.delete(record.key);
    slot.hashA = (slot.hashA - record.hashA) | 0;
    slot.hashB = (slot.hashB - record.hashB) | 0;
    slot.bytes -= sizeOf(record);
    this.#unlink(record);
  }

  #unlink(record: Stored<Value>): void {
    const head = this.#heads.get(record.key)!;
    if (head === record) {
      if (record.next === undefined) this.#heads.delete(record.key);
      else this.#heads.set(record.key, record.next);
      return;
    }
    let before = head;
    while (before.next !== record) before = before.next!;
    before.next = record.next;
  }
}

function wins(a: KeyedRecord<unknown>, b: KeyedRecord<unknown>): boolean {
  return a.since === b.since ? a.owner.number > b.owner.number : a.since > b.since;
}

function writePut(out: ByteWriter, key: string, since: number, text: string): void {
  out.u8(Entry.put);
  out.text(key);
  out.u48(since);
  out.text(text);
}

/** What a record takes in memory, about: its texts, the object, its places in two maps. */
function sizeOf(record: Stored<unknown>): number {
  return record.key.length + record.text.length * 2 + 200;
}

function hashOf(key: string, text: string, since: number): { hashA: number; hashB: number } {
  let a = since | 0;
  let b = Math.floor(since / 2 ** 32) ^ 0x9e3779b9;
  for (let index = 0; index < key.length; index++) {
    a = Math.imul(a ^ key.charCodeAt(index), 0x01000193);
    b = Math.imul((b << 7) ^ (b >>> 25) ^ key.charCodeAt(index), 0x85ebca6b);
  }
  for (let index = 0; index < text.length; index++) {
    a = Math.imul(a ^ text.charCodeAt(index), 0x01000193);
    b = Math.imul((b << 7) ^ (b >>> 25) ^ text.charCodeAt(index), 0xc2b2ae35);
  }
  return { hashA: (a ^ (a >>> 15)) | 0, hashB: (b ^ (b >>> 15)) | 0 };
}
