/** A part of an address as bytes and as words, reused for every name that is looked up or read. */
import { type ByteReader, WireError } from "./bytes.ts";

/** RFC 7622 section 3.1: a part of an address takes 1,023 octets at most. */
const namePartBytesMax = 1023;

const encoder = new TextEncoder();

/** A name as bytes, and as whole words with zeros behind. */
export class NameBuffer {
  readonly words = new Int32Array(namePartBytesMax / 4 + 2);
  readonly bytes = new Uint8Array(this.words.buffer);
  length = 0;

  /** False when the name is empty or too long to be one. */
  set(text: string): boolean {
    const { words } = this;
    const { length } = text;
    if (length === 0 || length > namePartBytesMax) return false;
    // By words: reading a word of bytes that were just written one by one would wait for all of them.
    let word = 0;
    for (let index = 0; index < length; index++) {
      const unit = text.charCodeAt(index);
      if (unit >= 0x80) return this.#encode(text);
      word |= unit << ((index & 3) << 3);
      if ((index & 3) !== 3) continue;
      words[index >>> 2] = word;
      word = 0;
    }
    words[length >>> 2] = word;
    words[(length >>> 2) + 1] = 0;
    this.length = length;
    return true;
  }

  #encode(text: string): boolean {
    const { read, written } = encoder.encodeInto(text, this.bytes.subarray(0, namePartBytesMax));
    if (read < text.length) return false;
    this.#close(written);
    return true;
  }

  read(reader: ByteReader): void {
    const length = reader.u16();
    if (length === 0 || length > namePartBytesMax) throw new WireError(`a name of ${length} bytes`);
    const start = reader.skip(length);
    const { bytes } = this;
    const from = reader.bytes;
    for (let index = 0; index < length; index++) bytes[index] = from[start + index]!;
    this.#close(length);
  }

  #close(length: number): void {
    this.length = length;
    const { bytes } = this;
    bytes[length] = 0;
    bytes[length + 1] = 0;
    bytes[length + 2] = 0;
    bytes[length + 3] = 0;
  }
}
