/** Simulated time for code whose timers wait for promises: between two milliseconds everything that can settle does. */

import { SimClock } from "../../src/runtime/sim/clock.ts";
import type { Clock, Timer } from "../../src/util/clock.ts";

export class ManualClock implements Clock {
  readonly #clock = new SimClock();

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, run: () => void): Timer {
    return this.#clock.after(ms, run);
  }

  every(ms: number, run: () => void): Timer {
    return this.#clock.every(ms, run);
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#clock.pending;
  }

  /** Lets `ms` whole milliseconds pass, one by one. */
  async advance(ms: number): Promise<void> {
    await settle();
    for (let passed = 0; passed < ms; passed++) {
      this.#clock.advance(1);
      await settle();
    }
  }

  /** Lets much time pass, from timer to timer. */
  async leap(ms: number): Promise<void> {
    await this.#clock.advanceSettling(ms);
    await settle();
  }
}

/** Lets every promise that can settle without time passing do so. */
export function settle(): Promise<void> {
  return new Promise<void>((resolve) => setImmediate(resolve));
}
