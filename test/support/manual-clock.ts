/** Simulated time for code whose timers wait for promises: between two milliseconds everything that can settle does. */

import { SimClock } from "../../src/runtime/sim/clock.ts";

export class ManualClock extends SimClock {
  /** Lets `ms` whole milliseconds pass, one by one. */
  async pass(ms: number): Promise<void> {
    await settle();
    for (let passed = 0; passed < ms; passed++) {
      this.advance(1);
      await settle();
    }
  }
}

/** Lets every promise that can settle without time passing do so. */
export function settle(): Promise<void> {
  return new Promise<void>((resolve) => setImmediate(resolve));
}
