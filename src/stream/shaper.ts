/** How fast a client is read: a token bucket that holds the bytes of one second. */

/** What a client may send at once after it has been quiet. */
const burstMs = 1000;

/**
 * Charges `bytes`. The whole state of a bucket is one number, in milliseconds of the monotonic clock: the time at which what was read is
 * paid for at `rate` bytes a second. While that lies ahead the client is not read. Minus infinity is a full bucket.
 */
export function charge(paidUntil: number, bytes: number, rate: number, now: number): number {
  return Math.max(paidUntil, now - burstMs) + (bytes * 1000) / rate;
}
