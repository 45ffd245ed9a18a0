/** Whether the database server answers: the circuit breaker in front of it, and the probe that closes it again. */

import type { Clock, Timer } from "../util/clock.ts";
import { StoreUnavailable } from "./errors.ts";

const probeDelayMinMs = 100;
const probeDelayMaxMs = 2_000;

export interface HealthOptions {
  clock: Clock;
  /** Opens a fresh connection, asks it something, closes it; bounded in time by itself. */
  probe: () => Promise<void>;
  /** Called when the state turns, with the reason when it turns bad. */
  onChange: (ready: boolean, reason: StoreUnavailable | undefined) => void;
}

/**
 * Queries do not find out by themselves, one timeout after the other, that the server is gone: the first failure
 * starts a probe; if that fails too, every query is refused at once until a later probe (100 ms doubling to 2 s) succeeds.
 */
export class Health {
  readonly #options: HealthOptions;
  #reason: StoreUnavailable | undefined;
  #probing = false;
  #closed = false;
  #delayMs = probeDelayMinMs;
  #timer: Timer | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  get ready(): boolean {
    return this.#reason === undefined && !this.#closed;
  }

  /** @throws StoreUnavailable while the server is known to be away, or after `close`. Nothing was sent. */
  check(): void {
    if (this.#closed) throw new StoreUnavailable("the store is closed", { outcome: "not-applied" });
    if (this.#reason !== undefined) {
      throw new StoreUnavailable(this.#reason.message, { cause: this.#reason, outcome: "not-applied" });
    }
  }

  /** A connection failed: find out whether the server did. */
  suspect(): void {
    if (!this.#probing && this.#timer === undefined && !this.#closed) void this.#probe();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #probe(): Promise<void> {
    this.#timer = undefined;
    this.#probing = true;
    let failure: unknown;
    try {
      await this.#options.probe();
    } catch (error) {
      failure = error ?? new Error("the probe failed");
    }
    this.#probing = false;
    if (this.#closed) return;
    const wasReady = this.#reason === undefined;
    if (failure === undefined) {
      this.#reason = undefined;
      this.#delayMs = probeDelayMinMs;
      if (!wasReady) this.#options.onChange(true, undefined);
      return;
    }
    this.#reason =
      failure instanceof StoreUnavailable ? failure : new StoreUnavailable(messageOf(failure), { cause: failure });
    this.#timer = this.#options.clock.after(this.#delayMs, () => void this.#probe());
    this.#delayMs = Math.min(this.#delayMs * 2, probeDelayMaxMs);
    if (wasReady) this.#options.onChange(false, this.#reason);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
