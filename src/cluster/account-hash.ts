/**
 * A keyed 32-bit hash of names (HalfSipHash-1-3, https://github.com/veorq/SipHash, public domain by its authors): whoever may choose his
 * name but does not know the key cannot make many of them fall into one place. No allocation; the result is left in `value`.
 */
import type { Randomness } from "../util/random.ts";

export class AccountHash {
  /** Of 32 bits, with a sign. */
  value = 0;
  readonly #key0: number;
  readonly #key1: number;

  constructor(random: Randomness) {
    const key = new DataView(random.bytes(8).slice().buffer);
    this.#key0 = key.getInt32(0);
    this.#key1 = key.getInt32(4);
  }

  /** Hashes `bytes` bytes that begin at `words[start]`, little-endian, and a number that belongs to them. */
  hash(words: Int32Array, start: number, bytes: number, extra: number): void {
    let v0 = this.#key0;
    let v1 = this.#key1;
    let v2 = 0x6c796765 ^ this.#key0;
    let v3 = 0x74656462 ^ this.#key1;
    const whole = bytes >>> 2;
    // The words of the name, then what is left of it with its length, then the number.
    for (let index = 0; index <= whole + 1; index++) {
      let word: number;
      if (index < whole) word = words[start + index]!;
      else if (index > whole) word = extra;
      else {
        const rest = bytes & 3;
        word = (rest === 0 ? 0 : words[start + whole]! & ((1 << (rest * 8)) - 1)) | (bytes << 24);
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    v2 ^= 0xff;
    for (let round = 0; round < 3; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.value = v1 ^ v3;
  }
}
