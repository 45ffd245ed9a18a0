/** Writing and reading the bytes of cluster messages: numbers big-endian, texts UTF-8 with their length in front. */

/** A message that ends too early, or holds a number that cannot be. */
export class WireError extends Error {
  override readonly name = "WireError";
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A buffer that grows. `reset` keeps its memory for the next message. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#bytes = new Uint8Array(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  /** Cuts off what was written after `length`. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.#room(2);
    const bytes = this.#bytes;
    bytes[this.#length++] = value >>> 8;
    bytes[this.#length++] = value;
  }

  u32(value: number): void {
    this.#room(4);
    const bytes = this.#bytes;
    bytes[this.#length++] = value >>> 24;
    bytes[this.#length++] = value >>> 16;
    bytes[this.#length++] = value >>> 8;
    bytes[this.#length++] = value;
  }

  /** A whole number up to 2^48. */
  u48(value: number): void {
    this.u16(Math.floor(value / 2 ** 32));
    this.u32(value >>> 0);
  }

  /** Leaves two bytes that `fillU16` sets later. */
  reserveU16(): number {
    const at = this.#length;
    this.u16(0);
    return at;
  }

  fillU16(at: number, value: number): void {
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A part of another array, without a view of it. */
  rawRange(bytes: Uint8Array, start: number, end: number): void {
    this.#room(end - start);
    const own = this.#bytes;
    for (let at = start; at < end; at++) own[this.#length++] = bytes[at]!;
  }

  /** A text of at most 65,535 bytes, its length in front. */
  text(value: string): void {
    this.#room(2 + value.length * 3);
    const at = this.#length;
    const bytes = this.#bytes;
    let to = at + 2;
    for (let index = 0; index < value.length; index++) {
      const unit = value.charCodeAt(index);
      if (unit >= 0x80) {
        to = at + 2 + encoder.encodeInto(value, bytes.subarray(at + 2)).written;
        break;
      }
      bytes[to++] = unit;
    }
    if (to - at - 2 > 0xffff) throw new RangeError(`a text of ${to - at - 2} bytes`);
    this.#length = to;
    this.fillU16(at, to - at - 2);
  }

  /** Bytes of at most 65,535, their length in front. */
  block(bytes: Uint8Array): void {
    if (bytes.length > 0xffff) throw new RangeError(`a block of ${bytes.length} bytes`);
    this.u16(bytes.length);
    this.raw(bytes);
  }

  #room(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Reads front to back; whatever is not there is a `WireError`. */
export class ByteReader {
  readonly bytes: Uint8Array;
  at: number;
  /** Reading stops here; smaller than the array's length while one entry of a message is read. */
  end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  u8(): number {
    return this.bytes[this.#take(1)]!;
  }

  u16(): number {
    const at = this.#take(2);
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  u32(): number {
    const at = this.#take(4);
    const bytes = this.bytes;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }

  u48(): number {
    const high = this.u16();
    return high * 2 ** 32 + this.u32();
  }

  text(): string {
    const length = this.u16();
    const at = this.#take(length);
    return decoder.decode(this.bytes.subarray(at, at + length));
  }

  /** A copy of bytes that were written by `block`. */
  block(): Uint8Array {
    const length = this.u16();
    const at = this.#take(length);
    return this.bytes.slice(at, at + length);
  }

  /** Steps over so many bytes and says where they begin. */
  skip(count: number): number {
    return this.#take(count);
  }

  #take(count: number): number {
    const at = this.at;
    if (at + count > this.end) throw new WireError(`${count} bytes wanted at ${at}, the message ends at ${this.end}`);
    this.at = at + count;
    return at;
  }
}
