/** Seeded randomness: the same seed gives the same run. Never for secrets. */
import type { Randomness } from "../../util/random.ts";

export class SimRandom implements Randomness {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The generator known as mulberry32: 32 bits of state, a full period. */
  #word(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let word = this.#state;
    word = Math.imul(word ^ (word >>> 15), word | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return (word ^ (word >>> 14)) >>> 0;
  }

  next(): number {
    return this.#word() / 2 ** 32;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; at++) bytes[at] = this.#word() & 0xff;
    return bytes;
  }

  id(bytes = 16): string {
    return Buffer.from(this.bytes(bytes)).toString("base64url");
  }
}
