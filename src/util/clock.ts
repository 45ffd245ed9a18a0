/** Time as an argument: the house never reads the machine's clock itself, so tests and the simulator can own it. */

/** A scheduled call; cancelling twice, or after it ran, does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall-clock time in milliseconds since the epoch. May jump; use it for what people and protocols see. */
  now(): number;
  /** Milliseconds that only grow. Use it for durations and timeouts. */
  monotonic(): number;
  /** Calls `run` once, after `ms` milliseconds. A pending timer does not keep the process alive. */
  after(ms: number, run: () => void): Timer;
  /** Calls `run` every `ms` milliseconds until cancelled. */
  every(ms: number, run: () => void): Timer;
}
