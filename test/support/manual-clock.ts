/** A clock that stands still until the test moves it. */

import type { Clock, Timer } from "../../src/util/clock.ts";

interface Alarm {
  at: number;
  everyMs: number | undefined;
  run: () => void;
}

export class ManualClock implements Clock {
  #now = 0;
  #alarms: Alarm[] = [];

  now(): number {
    return 1_764_000_000_000 + this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): Timer {
    return this.#add({ at: this.#now + ms, everyMs: undefined, run });
  }

  every(ms: number, run: () => void): Timer {
    return this.#add({ at: this.#now + ms, everyMs: ms, run });
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#alarms.length;
  }

  /** Moves on by `ms`, running what falls due in order, and lets promises settle after each and at the end. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#alarms.filter((alarm) => alarm.at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.at);
      if (next.everyMs === undefined) this.#alarms = this.#alarms.filter((alarm) => alarm !== next);
      else next.at += next.everyMs;
      next.run();
      await settle();
    }
    this.#now = until;
  }

  #add(alarm: Alarm): Timer {
    this.#alarms.push(alarm);
    return {
      cancel: () => {
        this.#alarms = this.#alarms.filter((each) => each !== alarm);
      },
    };
  }
}

/** Lets every promise that can settle do so. */
export function settle(): Promise<void> {
  return new Promise<void>((resolve) => setImmediate(resolve));
}
