/** Growing pauses between attempts, spread a little so that a whole cluster does not knock at the same moment. */
import type { Clock, Timer } from "../../util/clock.ts";
import type { Randomness } from "../../util/random.ts";

const firstMs = 100;
const longestMs = 1000;

export class Backoff {
  readonly #clock: Clock;
  readonly #randomness: Randomness;
  #ms = firstMs;
  #pause: { readonly timer: Timer; end(): void } | undefined = undefined;

  constructor(clock: Clock, randomness: Randomness) {
    this.#clock = clock;
    this.#randomness = randomness;
  }

  /** The next pause: doubled each time, less up to a quarter. */
  next(): number {
    const ms = this.#ms * (1 - this.#randomness.next() / 4);
    this.#ms = Math.min(this.#ms * 2, longestMs);
    return ms;
  }

  /** It has worked: the next pause is the shortest again. */
  reset(): void {
    this.#ms = firstMs;
  }

  /** Resolves after the next pause, or when `cancel` is called. */
  pause(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#pause = { timer: this.#clock.after(this.next(), resolve), end: resolve };
    });
  }

  cancel(): void {
    this.#pause?.timer.cancel();
    this.#pause?.end();
  }
}
