/** The machine's own clock. */
import type { Clock, Timer } from "../../util/clock.ts";

class Once implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(ms: number, run: () => void) {
    this.#handle = setTimeout(run, ms);
    this.#handle.unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

class Repeating implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(ms: number, run: () => void) {
    this.#handle = setInterval(run, ms);
    this.#handle.unref();
  }

  cancel(): void {
    clearInterval(this.#handle);
  }
}

/** A timer takes 32-bit milliseconds; a longer wait would run at once. */
const delayMsMax = 2 ** 31 - 1;

function checked(ms: number): number {
  if (!(ms >= 0 && ms <= delayMsMax)) throw new RangeError(`a timer needs 0 to ${delayMsMax} ms, not ${ms}`);
  return ms;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, run) => new Once(checked(ms), run),
  every: (ms, run) => new Repeating(checked(ms), run),
};
