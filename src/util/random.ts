/** Randomness as an argument: cryptographic in the running server, seeded in tests and the simulator. */
export interface Randomness {
  /** `count` random bytes. */
  bytes(count: number): Uint8Array;
  /** A URL-safe random text of `bytes` random bytes (default 16), for ids nobody may guess. */
  id(bytes?: number): string;
  /** A number in [0, 1), for jitter and sampling; never for secrets. */
  next(): number;
}
