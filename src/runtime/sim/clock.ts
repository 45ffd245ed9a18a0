/** Simulated time: it passes only when a test says so, and timers run in the order in which they are due. */
import type { Clock, Timer } from "../../util/clock.ts";

interface Scheduled {
  at: number;
  readonly order: number;
  readonly everyMs: number | undefined;
  readonly run: () => void;
}

export class SimClock implements Clock {
  #now: number;
  #elapsed = 0;
  #order = 0;
  readonly #scheduled = new Set<Scheduled>();

  /** `startedAt`: wall-clock time at the start, milliseconds since the epoch. */
  constructor(startedAt = Date.UTC(2026, 0, 1)) {
    this.#now = startedAt;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, run: () => void): Timer {
    return this.#schedule(ms, undefined, run);
  }

  every(ms: number, run: () => void): Timer {
    return this.#schedule(ms, ms, run);
  }

  #schedule(ms: number, everyMs: number | undefined, run: () => void): Timer {
    const entry: Scheduled = { at: this.#elapsed + Math.max(0, ms), order: this.#order++, everyMs, run };
    this.#scheduled.add(entry);
    return { cancel: () => this.#scheduled.delete(entry) };
  }

  /** Timers that are waiting. */
  get pending(): number {
    return this.#scheduled.size;
  }

  /** Lets this many milliseconds pass, running every timer that falls due, each at its own time. */
  advance(ms: number): void {
    const end = this.#elapsed + ms;
    for (;;) {
      let next: Scheduled | undefined;
      for (const entry of this.#scheduled) {
        if (entry.at > end) continue;
        if (next === undefined || entry.at < next.at || (entry.at === next.at && entry.order < next.order))
          next = entry;
      }
      if (next === undefined) break;
      this.#now += next.at - this.#elapsed;
      this.#elapsed = next.at;
      if (next.everyMs === undefined) this.#scheduled.delete(next);
      else next.at += next.everyMs;
      next.run();
    }
    this.#now += end - this.#elapsed;
    this.#elapsed = end;
  }

  /** The wall clock jumps; durations are not touched. */
  jump(ms: number): void {
    this.#now += ms;
  }
}
