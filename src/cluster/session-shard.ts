/**
 * A part of the session directory: some thousand sessions in two arrays of numbers. `words` holds the records one behind the other,
 * `buckets` an open-addressed index from account to the first of its records. A record is
 *
 *     0  length of the resource (8 bits), index of the account's next record (24)
 *     1  serial
 *     2  started at
 *     3  slot (12), domain (20)          slot 0: the record is free
 *     4  marks (16), priority + 128 (8), length of the local part (8)
 *     [5  length of the local part (16), of the resource (16); only when one of both is longer than 254: then both say 255 above]
 *     …  local part and resource, UTF-8, filled up with zeros to whole words
 *
 * Space of freed records comes back when the shard is rebuilt, which takes a millisecond or two; so nothing the directory does takes long.
 */
import type { AccountHash } from "./account-hash.ts";

/** Words in a shard at most: what the index of the next record can say. */
const wordsMax = 2 ** 24;
const tombstone = 0xff000000;
export const longLength = 255;

export const Field = { next: 0, serial: 1, startedAt: 2, place: 3, state: 4, lengths: 5 } as const;

export class SessionShard {
  words: Uint32Array = new Uint32Array(64);
  /** The same memory; a `Buffer` because its `toString` takes a range without making a view. */
  bytes: Buffer = Buffer.from(this.words.buffer);
  /** The first word that is not used; word 0 never is, so that index 0 means none. */
  used = 1;
  /** Grows whenever records change their places. */
  version = 0;
  #free = 0;
  #buckets = new Uint32Array(8);
  /** Buckets that are not empty: with an account, or with the trace of one that is gone. */
  #taken = 0;
  readonly #hash: AccountHash;

  constructor(hash: AccountHash) {
    this.#hash = hash;
  }

  get memoryBytes(): number {
    return this.words.byteLength + this.#buckets.byteLength;
  }

  /** The first record of the account that `hash` was just asked for, or 0. */
  first(key: Uint32Array, keyBytes: number, domain: number): number {
    const bucket = this.#bucketOf(key, keyBytes, domain);
    return bucket < 0 ? 0 : this.#buckets[bucket]! & 0xffffff;
  }

  next(record: number): number {
    return this.words[record]! & 0xffffff;
  }

  slotOf(record: number): number {
    return this.words[record + Field.place]! >>> 20;
  }

  domainOf(record: number): number {
    return this.words[record + Field.place]! & 0xfffff;
  }

  localBytes(record: number): number {
    const length = this.words[record + Field.state]! & 0xff;
    return length === longLength ? this.words[record + Field.lengths]! >>> 16 : length;
  }

  resourceBytes(record: number): number {
    const length = this.words[record]! >>> 24;
    return length === longLength ? this.words[record + Field.lengths]! & 0xffff : length;
  }

  /** The word where the names begin. */
  namesAt(record: number): number {
    return record + (this.words[record]! >>> 24 === longLength ? 6 : 5);
  }

  /** Words that the record takes. */
  sizeOf(record: number): number {
    return this.namesAt(record) - record + ((this.localBytes(record) + this.resourceBytes(record) + 3) >>> 2);
  }

  /** Whether the record's resource is these bytes. */
  hasResource(record: number, resource: Uint8Array, length: number): boolean {
    if (this.resourceBytes(record) !== length) return false;
    const at = this.namesAt(record) * 4 + this.localBytes(record);
    const bytes = this.bytes;
    for (let index = 0; index < length; index++) if (bytes[at + index] !== resource[index]) return false;
    return true;
  }

  /**
   * A new record of the account that `hash` was just asked for; its numbers are the caller's to fill in (`serial`, `startedAt`, `place`,
   * and the upper 24 bits of `state`). 0 when the shard is full.
   */
  add(
    key: Uint32Array,
    keyBytes: number,
    domain: number,
    local: Uint8Array,
    resource: Uint8Array,
    length: number,
  ): number {
    const long = keyBytes >= longLength || length >= longLength;
    const size = (long ? 6 : 5) + ((keyBytes + length + 3) >>> 2);
    if (this.used + size >= wordsMax) return 0;
    const record = this.used;
    this.used += size;
    const { words, bytes } = this;
    const bucket = this.#bucketOf(key, keyBytes, domain);
    const head = bucket < 0 ? 0 : this.#buckets[bucket]! & 0xffffff;
    words[record] = ((long ? longLength : length) << 24) | head;
    words[record + Field.state] = long ? longLength : keyBytes;
    if (long) words[record + Field.lengths] = (keyBytes << 16) | length;
    words[record + size - 1] = 0;
    let at = (record + (long ? 6 : 5)) * 4;
    for (let index = 0; index < keyBytes; index++) bytes[at++] = local[index]!;
    for (let index = 0; index < length; index++) bytes[at++] = resource[index]!;
    const entry = (this.#hash.high << 24) | record;
    if (bucket >= 0) this.#buckets[bucket] = entry;
    else this.#insert(this.#buckets, entry);
    return record;
  }

  /** Takes the record out of its account's chain. */
  remove(key: Uint32Array, keyBytes: number, domain: number, record: number): void {
    const { words } = this;
    const bucket = this.#bucketOf(key, keyBytes, domain);
    const rest = words[record]! & 0xffffff;
    const head = this.#buckets[bucket]! & 0xffffff;
    if (head !== record) {
      let before = head;
      while ((words[before]! & 0xffffff) !== record) before = words[before]! & 0xffffff;
      words[before] = (words[before]! & 0xff000000) | rest;
    } else if (rest !== 0) this.#buckets[bucket] = (this.#buckets[bucket]! & 0xff000000) | rest;
    else {
      const after = bucket + 1 === this.#buckets.length ? 0 : bucket + 1;
      const last = this.#buckets[after] === 0;
      this.#buckets[bucket] = last ? 0 : tombstone;
      if (last) this.#taken--;
    }
    words[record + Field.place] = 0;
    this.#free += this.sizeOf(record);
  }

  /**
   * Makes room for one more record with so many bytes of names. `dropped` says which slots are gone for good. Records may move. To be called
   * before `hash` is asked for the account, or again after: true when it was used here.
   */
  ensure(nameBytes: number, dropped: Uint8Array): boolean {
    const { version } = this;
    const size = 6 + ((nameBytes + 3) >>> 2);
    if (this.used + size > this.words.length) {
      if (this.#free * 8 >= this.used) this.rebuild(dropped);
      if (this.used + size > this.words.length) this.#grow(Math.min(wordsMax, grown(this.words.length, size)));
    }
    const crowded = (this.#taken + 1) * 4 > this.#buckets.length * 3;
    if (crowded) this.#reindex();
    return crowded || version !== this.version;
  }

  /** Whether any record lies in one of these slots. */
  holds(slots: Uint8Array): boolean {
    for (let record = 1; record < this.used; record += this.sizeOf(record)) {
      if (slots[this.slotOf(record)] === 1) return true;
    }
    return false;
  }

  /** Moves the records that are left together, and gives back the rest of the memory. */
  rebuild(dropped: Uint8Array): void {
    const { words: from } = this;
    let live = 1;
    let records = 0;
    for (let record = 1, size = 0; record < this.used; record += size) {
      size = this.sizeOf(record);
      const slot = this.slotOf(record);
      if (slot === 0 || dropped[slot] === 1) continue;
      live += size;
      records++;
    }
    const to = new Uint32Array(Math.max(64, grown(live, 0)));
    let at = 1;
    for (let record = 1, size = 0; record < this.used; record += size) {
      size = this.sizeOf(record);
      const slot = this.slotOf(record);
      if (slot === 0 || dropped[slot] === 1) continue;
      for (let index = 0; index < size; index++) to[at + index] = from[record + index]!;
      at += size;
    }
    giveBack(from);
    this.words = to;
    this.bytes = Buffer.from(to.buffer);
    this.used = at;
    this.#free = 0;
    this.version++;
    giveBack(this.#buckets);
    this.#buckets = new Uint32Array(Math.max(8, Math.min(this.#buckets.length, records * 2)));
    this.#taken = 0;
    for (let record = 1; record < at; record += this.sizeOf(record)) {
      if ((this.#taken + 1) * 4 > this.#buckets.length * 3) this.#reindex();
      const { key, length, domain } = this.#keyOf(record);
      this.#hash.hash(to, key, length, domain);
      const bucket = this.#bucketOf(to, length, domain, key);
      to[record] = (to[record]! & 0xff000000) | (bucket < 0 ? 0 : this.#buckets[bucket]! & 0xffffff);
      const entry = (this.#hash.high << 24) | record;
      if (bucket < 0) this.#insert(this.#buckets, entry);
      else this.#buckets[bucket] = entry;
    }
  }

  #grow(size: number): void {
    const words = new Uint32Array(size);
    words.set(this.words);
    giveBack(this.words);
    this.words = words;
    this.bytes = Buffer.from(words.buffer);
  }

  /** A larger index, or one of the same size without the traces of accounts that are gone. */
  #reindex(): void {
    const old = this.#buckets;
    let accounts = 0;
    for (const entry of old) if ((entry & 0xffffff) !== 0) accounts++;
    // Three quarters full at most, half full when it is new.
    this.#buckets = new Uint32Array(Math.max(8, accounts * 2));
    this.#taken = 0;
    for (const entry of old) {
      const record = entry & 0xffffff;
      if (record === 0) continue;
      const { key, length, domain } = this.#keyOf(record);
      this.#hash.hash(this.words, key, length, domain);
      this.#insert(this.#buckets, entry);
    }
    giveBack(old);
  }

  /** Puts an entry into the first empty place of the account that `hash` was just asked for. */
  #insert(buckets: Uint32Array, entry: number): void {
    let bucket = this.#home(buckets);
    while (buckets[bucket] !== 0) if (++bucket === buckets.length) bucket = 0;
    buckets[bucket] = entry;
    this.#taken++;
  }

  /** By multiplication: every place is as likely, whatever their number. */
  #home(buckets: Uint32Array): number {
    return Math.floor((this.#hash.low * buckets.length) / 4294967296);
  }

  /** The bucket of the account whose local part are `keyBytes` bytes at `key[at]`, or -1. */
  #bucketOf(key: Uint32Array, keyBytes: number, domain: number, at = 0): number {
    const buckets = this.#buckets;
    const tag = this.#hash.high & 0xff;
    let bucket = this.#home(buckets);
    for (;;) {
      const entry = buckets[bucket]!;
      if (entry === 0) return -1;
      const record = entry & 0xffffff;
      if (entry >>> 24 === tag && record !== 0 && this.#isOf(record, key, keyBytes, domain, at)) return bucket;
      if (++bucket === buckets.length) bucket = 0;
    }
  }

  #isOf(record: number, key: Uint32Array, keyBytes: number, domain: number, at: number): boolean {
    const { words } = this;
    if ((words[record + Field.place]! & 0xfffff) !== domain || this.localBytes(record) !== keyBytes) return false;
    const names = this.namesAt(record);
    const whole = keyBytes >>> 2;
    for (let index = 0; index < whole; index++) if (words[names + index] !== key[at + index]) return false;
    const rest = keyBytes & 3;
    return rest === 0 || ((words[names + whole]! ^ key[at + whole]!) & ((1 << (rest * 8)) - 1)) === 0;
  }

  #keyOf(record: number): { key: number; length: number; domain: number } {
    return {
      key: this.namesAt(record),
      length: this.localBytes(record),
      domain: this.words[record + Field.place]! & 0xfffff,
    };
  }
}

/** Memory of an array that nobody uses any more, at once: waiting for the collector, a growing directory takes several times its size. */
function giveBack(array: Uint32Array): void {
  (array.buffer as ArrayBuffer).transfer(0);
}

/** Doubling would leave a quarter of the memory empty; copying a shard is cheap, so the steps are small once it is large. */
function grown(words: number, more: number): number {
  return more + (words < 4096 ? Math.ceil(words * 1.5) : Math.ceil(words * 1.125)) + 16;
}
