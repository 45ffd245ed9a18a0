/** Randomness from a seed: the same seed gives the same run. Never for secrets. */
import type { Randomness } from "../../util/random.ts";

export class SimRandom implements Randomness {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = 0x9e3779b9;
    for (let round = 0; round < 16; round++) this.uint32();
  }

  /** 32 random bits (the "small fast counter" generator). */
  uint32(): number {
    const result = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result;
    return result >>> 0;
  }

  next(): number {
    return (this.uint32() * 2 ** 21 + (this.uint32() >>> 11)) / 2 ** 53;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let index = 0; index < count; index++) bytes[index] = this.uint32() >>> 24;
    return bytes;
  }

  id(bytes = 16): string {
    return Buffer.from(this.bytes(bytes)).toString("base64url");
  }
}
