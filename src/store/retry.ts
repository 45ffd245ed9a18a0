/** Trying again, with growing pauses, until something works or the caller gives up. */

import type { Clock } from "../util/clock.ts";

export interface RetryOptions {
  clock: Clock;
  /** First and longest pause, in milliseconds (default 250 and 5,000); it doubles in between. */
  delayMinMs?: number;
  delayMaxMs?: number;
  /** Attempts before the last error is thrown (default: no end). */
  attemptsMax?: number;
  /** Ends the waiting: the signal's reason is thrown. */
  signal?: AbortSignal;
  /** Told of each failure that will be followed by another attempt. */
  onFailure?: (error: unknown, attempt: number, nextInMs: number) => void;
  /** Which errors are worth another attempt (default: all). */
  retriable?: (error: unknown) => boolean;
}

/** Runs `attempt` until it succeeds. @throws the last error when attempts run out or it is not retriable. */
export async function retryWithBackoff<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, delayMinMs = 250, delayMaxMs = 5_000, attemptsMax = Number.POSITIVE_INFINITY, signal } = options;
  let delayMs = delayMinMs;
  for (let count = 1; ; count++) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (count >= attemptsMax || options.retriable?.(error) === false) throw error;
      options.onFailure?.(error, count, delayMs);
    }
    await pause(clock, delayMs, signal);
    delayMs = Math.min(delayMs * 2, delayMaxMs);
  }
}

/** Resolves after `ms`. @throws the signal's reason, at once, when it is aborted. */
function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const aborted = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    });
    signal?.addEventListener("abort", aborted, { once: true });
  });
}
