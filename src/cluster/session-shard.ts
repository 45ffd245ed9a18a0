/**
 * A part of the session directory: some thousand sessions in one array of numbers, ordered by the hash of their accounts. The hash says
 * where in the array a record is at home; it lies there, or right behind the records before it that have taken its place. So a lookup
 * reads memory in one place, and what waits for memory is most of what a lookup costs. A map of bits says where records start. A record is
 *
 *     0  words between its home and its place (8 bits, 255: so many or more), priority + 128 (8), length of the local part (8),
 *        of the resource (8); when one of both is longer than 254, both say 255
 *     1  serial
 *     2  started at
 *     3  slot (12), domain (20)
 *     4  marks (16, the lower half); then, after the lengths of local part and resource (16 each) where they are not in word 0:
 *     …  local part and resource, UTF-8, filled up with zeros to whole words
 *
 * All records of an account have one home, so they lie close together. Whatever comes or goes moves its neighbours a little; when the array
 * is too full, or much too empty, it is rebuilt, which takes some milliseconds at most. So nothing the directory does takes long.
 */
import type { AccountHash } from "./account-hash.ts";
import { NameBuffer } from "./name-buffer.ts";

/** Words of records in a shard at most. */
const wordsMax = 2 ** 24;
const longLength = 255;
const awayMax = 255;
/** How full a shard gets: fuller, and neighbours push each other too far away from home. */
const fullest = 0.82;
/** Words behind the last home, for those who are pushed behind it. */
const tailWords = 64;
const smallestHomes = 64;

export class SessionShard {
  words: Int32Array = new Int32Array(smallestHomes + tailWords);
  /** The same memory; a `Buffer` because its `toString` takes a range without making a view. */
  bytes: Buffer = Buffer.from(this.words.buffer);
  /** Grows whenever homes change. */
  version = 0;
  /** A bit for each word: a record starts there. Place 0 is none, so that it can say so. */
  #starts = new Int32Array((this.words.length + 31) >>> 5);
  #homes = smallestHomes;
  /** Times a number of 32 bits this is a place. */
  #homesScale = (smallestHomes - 1) / 2 ** 32;
  /** Words that records take. */
  #live = 0;
  /** See `first`. */
  #touched = 0;
  readonly #hash: AccountHash;
  readonly #shardBits: number;
  readonly #name = new NameBuffer();
  /** Records that make room for one: their places. */
  #moving: number[] = [];

  /** `shardBits`: so many bits of the hash are the same for all accounts here. */
  constructor(hash: AccountHash, shardBits: number) {
    this.#hash = hash;
    this.#shardBits = shardBits;
  }

  get memoryBytes(): number {
    return this.words.byteLength + this.#starts.byteLength;
  }

  /** The first record of the account that `hash` was just asked for, or 0. */
  first(key: Int32Array, keyBytes: number, domain: number): number {
    const { words } = this;
    const starts = this.#starts;
    const home = this.#homeOfHash();
    // The record is nearly always in these lines of memory. Asked for now, they come together with the bits that say where.
    this.#touched ^= words[home]! ^ words[home + 16]! ^ words[home + 32]!;
    let index = home >>> 5;
    let bits = starts[index]! & (-1 << (home & 31));
    for (;;) {
      while (bits === 0) {
        if (++index === starts.length) return 0;
        bits = starts[index]!;
      }
      const record = (index << 5) + 31 - Math.clz32(bits & -bits);
      bits &= bits - 1;
      const away = words[record]! >>> 24;
      if (away !== awayMax) {
        if (record - away < home) continue;
        if (record - away > home) return 0;
        if (this.#isOf(record, key, keyBytes, domain)) return record;
      } else {
        if (this.#isOf(record, key, keyBytes, domain)) return record;
        if (this.homeOf(record) > home) return 0;
      }
    }
  }

  /** The next record of the same account, or 0. */
  next(record: number): number {
    const { words } = this;
    const home = this.homeOf(record);
    for (let other = this.following(record); other !== 0; other = this.following(other)) {
      const away = words[other]! >>> 24;
      if (away !== awayMax) {
        if (other - away > home) return 0;
        if (other - away === home && this.#sameAccount(record, other)) return other;
      } else {
        if (this.#sameAccount(record, other)) return other;
        if (this.homeOf(other) > home) return 0;
      }
    }
    return 0;
  }

  /** The first record at this place or behind it, whosoever, or 0. */
  from(place: number): number {
    const starts = this.#starts;
    let index = place >>> 5;
    if (index >= starts.length) return 0;
    let bits = starts[index]! & (-1 << (place & 31));
    while (bits === 0) {
      if (++index === starts.length) return 0;
      bits = starts[index]!;
    }
    return (index << 5) + 31 - Math.clz32(bits & -bits);
  }

  /** The record behind this one, whosoever, or 0. */
  following(record: number): number {
    return this.from(record + 1);
  }

  /** Grows from record to record, and stays the same while the shard is not rebuilt. */
  homeOf(record: number): number {
    const away = this.words[record]! >>> 24;
    if (away !== awayMax) return record - away;
    // Rare. Whoever has asked the hash for something else still counts on that.
    const { value } = this.#hash;
    this.#hashName(this.words, record);
    const home = this.#homeOfHash();
    this.#hash.value = value;
    return home;
  }

  slotOf(record: number): number {
    return this.words[record + 3]! >>> 20;
  }

  domainOf(record: number): number {
    return this.words[record + 3]! & 0xfffff;
  }

  serialOf(record: number): number {
    return this.words[record + 1]! >>> 0;
  }

  startedAtOf(record: number): number {
    return this.words[record + 2]! >>> 0;
  }

  /** Marks (16 bits), and priority + 128 (8). */
  stateOf(record: number): number {
    return ((this.words[record + 4]! & 0xffff) << 8) | ((this.words[record]! >>> 16) & 0xff);
  }

  setState(record: number, state: number): void {
    const { words } = this;
    words[record] = (words[record]! & 0xff00ffff) | ((state & 0xff) << 16);
    words[record + 4] = (words[record + 4]! & 0xffff0000) | ((state >>> 8) & 0xffff);
  }

  localBytes(record: number): number {
    const length = (this.words[record]! >>> 8) & 0xff;
    return length === longLength ? this.words[record + 4]! >>> 16 : length;
  }

  resourceBytes(record: number): number {
    const length = this.words[record]! & 0xff;
    return length === longLength ? this.words[record + 5]! & 0xffff : length;
  }

  isLong(record: number): boolean {
    return (this.words[record]! & 0xff) === longLength;
  }

  /** The byte where the local part begins; the resource follows it. */
  namesAt(record: number): number {
    return record * 4 + (this.isLong(record) ? 22 : 18);
  }

  /** Four bytes of the names, the first ones with index 0; behind their end there are zeros. */
  nameWord(record: number, index: number): number {
    return nameWordOf(this.words, record, index);
  }

  /** Words that the record takes. */
  sizeOf(record: number): number {
    return sizeOf(this.words, record);
  }

  /** Whether the record's resource is these bytes. */
  hasResource(record: number, resource: Uint8Array, length: number): boolean {
    if (this.resourceBytes(record) !== length) return false;
    const at = this.namesAt(record) + this.localBytes(record);
    const bytes = this.bytes;
    for (let index = 0; index < length; index++) if (bytes[at + index] !== resource[index]) return false;
    return true;
  }

  /**
   * A new record of the account that `hash` was just asked for; `ensure` has made room. Other records may move. 0 when the shard is full.
   */
  add(
    { words: key, length: keyBytes, bytes: local }: NameBuffer,
    { bytes: resource, length }: NameBuffer,
    domain: number,
    slot: number,
    serial: number,
    startedAt: number,
    state: number,
  ): number {
    const long = keyBytes >= longLength || length >= longLength;
    const size = ((long ? 25 : 21) + keyBytes + length) >>> 2;
    if (this.#live + size > wordsMax) return 0;
    let home = this.#homeOfHash();
    let record = this.#makeRoom(home, size);
    while (record === 0) {
      this.#resize(larger(this.#homes), undefined);
      this.#hash.hash(key, 0, keyBytes, domain);
      home = this.#homeOfHash();
      record = this.#makeRoom(home, size);
    }
    const { words, bytes } = this;
    const away = Math.min(awayMax, record - home);
    const [localHead, resourceHead] = long ? [longLength, longLength] : [keyBytes, length];
    words[record] = (away << 24) | ((state & 0xff) << 16) | (localHead << 8) | resourceHead;
    words[record + 1] = serial;
    words[record + 2] = startedAt;
    words[record + 3] = (slot << 20) | domain;
    words[record + size - 1] = 0;
    words[record + 4] = ((state >>> 8) & 0xffff) | (long ? keyBytes << 16 : 0);
    if (long) words[record + 5] = length;
    let at = record * 4 + (long ? 22 : 18);
    for (let index = 0; index < keyBytes; index++) bytes[at++] = local[index]!;
    for (let index = 0; index < length; index++) bytes[at++] = resource[index]!;
    this.#live += size;
    return record;
  }

  /** Takes a record out. Others may move. */
  remove(record: number): void {
    const { words } = this;
    const size = this.sizeOf(record);
    this.#live -= size;
    this.#clear(record);
    let end = record;
    for (let other = this.from(record + size); other !== 0; ) {
      const home = this.homeOf(other);
      const place = Math.max(home, end);
      if (place === other) return;
      const otherSize = this.sizeOf(other);
      this.#clear(other);
      for (let index = 0; index < otherSize; index++) words[place + index] = words[other + index]!;
      words[place] = (words[place]! & 0xffffff) | (Math.min(awayMax, place - home) << 24);
      this.#set(place);
      end = place + otherSize;
      other = this.from(other + otherSize);
    }
  }

  /**
   * Makes room for one more record with so many bytes of names. `dropped` says which slots are gone for good. Homes may change. To be called
   * before `hash` is asked for the account, or again after: true when it was used here.
   */
  ensure(nameBytes: number, dropped: Uint8Array): boolean {
    const size = (25 + nameBytes) >>> 2;
    if (this.#live + size <= this.#homes * fullest) return false;
    this.#resize(homesFor(this.#live + size), dropped);
    return true;
  }

  /** Whether any record lies in one of these slots. */
  holds(slots: Uint8Array): boolean {
    for (let record = this.from(1); record !== 0; record = this.following(record)) {
      if (slots[this.slotOf(record)] === 1) return true;
    }
    return false;
  }

  /** Leaves out what lies in these slots, and gives back the rest of the memory. */
  rebuild(dropped: Uint8Array): void {
    let live = 0;
    for (let record = this.from(1); record !== 0; record = this.following(record)) {
      if (dropped[this.slotOf(record)] !== 1) live += this.sizeOf(record);
    }
    this.#resize(homesFor(live), dropped);
  }

  #resize(homes: number, dropped: Uint8Array | undefined): void {
    const { words: from } = this;
    const starts = this.#starts;
    const records: number[] = [];
    for (let record = this.from(1); record !== 0; record = this.following(record)) {
      if (dropped?.[this.slotOf(record)] !== 1) records.push(record);
    }
    this.version++;
    for (let goal = homes; !this.#take(from, records, goal); ) goal = larger(goal);
    giveBack(from);
    giveBack(starts);
  }

  /** Puts the records of another array into a new one of so many homes. False when somebody was pushed behind its end. */
  #take(from: Int32Array, records: readonly number[], homes: number): boolean {
    const words = new Int32Array(homes + tailWords);
    this.words = words;
    this.bytes = Buffer.from(words.buffer);
    this.#starts = new Int32Array((words.length + 31) >>> 5);
    this.#homes = homes;
    this.#homesScale = (homes - 1) / 2 ** 32;
    this.#live = 0;
    let end = 1;
    let last = 0;
    for (const record of records) {
      const size = sizeOf(from, record);
      this.#hashName(from, record);
      const home = this.#homeOfHash();
      let place = Math.max(home, end);
      if (home >= last) {
        if (place + size > words.length) return false;
        end = place + size;
        last = home;
        this.#set(place);
      } else {
        // Of one home till now, and in no order there.
        place = this.#makeRoom(home, size);
        if (place === 0) return false;
        for (let behind = this.from(place + size); behind !== 0; behind = this.following(behind)) {
          end = behind + this.sizeOf(behind);
        }
      }
      for (let index = 0; index < size; index++) words[place + index] = from[record + index]!;
      words[place] = (words[place]! & 0xffffff) | (Math.min(awayMax, place - home) << 24);
      this.#live += size;
    }
    return true;
  }

  /** The place for a record of this home, with whoever lay there moved on; 0 when there is no room behind. */
  #makeRoom(home: number, size: number): number {
    const { words } = this;
    let place = home;
    const before = this.#before(home);
    if (before !== 0) place = Math.max(home, before + this.sizeOf(before));
    let other = this.from(home);
    for (; other !== 0 && this.homeOf(other) <= home; other = this.following(other)) {
      place = other + this.sizeOf(other);
    }
    let end = place + size;
    let count = 0;
    const moving = this.#moving;
    for (; other !== 0 && other < end; other = this.following(other)) {
      moving[count++] = other;
      end += this.sizeOf(other);
    }
    if (end > words.length) return 0;
    while (count > 0) {
      const moved = moving[--count]!;
      const movedSize = this.sizeOf(moved);
      end -= movedSize;
      const away = words[moved]! >>> 24;
      this.#clear(moved);
      for (let index = movedSize - 1; index >= 0; index--) words[end + index] = words[moved + index]!;
      if (away !== awayMax) words[end] = (words[end]! & 0xffffff) | (Math.min(awayMax, away + end - moved) << 24);
      this.#set(end);
    }
    this.#set(place);
    return place;
  }

  /** The last record that starts before this place, or 0. */
  #before(place: number): number {
    const starts = this.#starts;
    let index = place >>> 5;
    let bits = starts[index]! & ~(-1 << (place & 31));
    while (bits === 0) {
      if (--index < 0) return 0;
      bits = starts[index]!;
    }
    return (index << 5) + 31 - Math.clz32(bits);
  }

  #set(place: number): void {
    this.#starts[place >>> 5]! |= 1 << (place & 31);
  }

  #clear(place: number): void {
    this.#starts[place >>> 5]! &= ~(1 << (place & 31));
  }

  /**
   * By multiplication: every place is as likely, whatever their number. The upper bits of the hash have chosen the shard already. Places
   * begin with 1.
   */
  #homeOfHash(): number {
    return 1 + Math.floor(((this.#hash.value << this.#shardBits) >>> 0) * this.#homesScale);
  }

  #isOf(record: number, key: Int32Array, keyBytes: number, domain: number): boolean {
    const { words } = this;
    if ((words[record + 3]! & 0xfffff) !== domain || this.localBytes(record) !== keyBytes) return false;
    const names = record + (this.isLong(record) ? 5 : 4);
    const whole = keyBytes >>> 2;
    let word = words[names]!;
    for (let index = 0; index < whole; index++) {
      const next = words[names + index + 1]!;
      if (((word >>> 16) | (next << 16)) !== key[index]) return false;
      word = next;
    }
    const rest = keyBytes & 3;
    if (rest === 0) return true;
    const last = (word >>> 16) | (rest > 2 ? words[names + whole + 1]! << 16 : 0);
    return ((last ^ key[whole]!) & ((1 << (rest * 8)) - 1)) === 0;
  }

  #sameAccount(record: number, other: number): boolean {
    const { bytes } = this;
    const length = this.localBytes(record);
    if (this.domainOf(other) !== this.domainOf(record) || this.localBytes(other) !== length) return false;
    const one = this.namesAt(record);
    const two = this.namesAt(other);
    for (let index = 0; index < length; index++) if (bytes[one + index] !== bytes[two + index]) return false;
    return true;
  }

  /** Has the hash of a record's account made. */
  #hashName(words: Int32Array, record: number): void {
    const name = this.#name.words;
    const head = (words[record]! >>> 8) & 0xff;
    const length = head === longLength ? words[record + 4]! >>> 16 : head;
    for (let index = 0; index * 4 < length; index++) name[index] = nameWordOf(words, record, index);
    this.#hash.hash(name, 0, length, words[record + 3]! & 0xfffff);
  }
}

function sizeOf(words: Int32Array, record: number): number {
  const head = words[record]!;
  if ((head & 0xff) !== longLength) return (21 + ((head >>> 8) & 0xff) + (head & 0xff)) >>> 2;
  return (25 + (words[record + 4]! >>> 16) + (words[record + 5]! & 0xffff)) >>> 2;
}

function nameWordOf(words: Int32Array, record: number, index: number): number {
  const at = record + ((words[record]! & 0xff) === longLength ? 5 : 4) + index;
  const next = at + 1 < record + sizeOf(words, record) ? words[at + 1]! << 16 : 0;
  return (words[at]! >>> 16) | next;
}

/** Growing by much would leave much of the memory empty; copying a shard is cheap, so the steps are small once it is large. */
function homesFor(words: number): number {
  const needed = Math.ceil(words / fullest);
  return Math.max(smallestHomes, Math.ceil(needed * (needed < 4096 ? 1.5 : 1.125)) + 16);
}

/** For when somebody was pushed behind the end. */
function larger(homes: number): number {
  return Math.ceil(homes * 1.02) + 16;
}

/** Memory of an array that nobody uses any more, at once: waiting for the collector, a growing directory takes several times its size. */
function giveBack(array: Int32Array): void {
  (array.buffer as ArrayBuffer).transfer(0);
}
