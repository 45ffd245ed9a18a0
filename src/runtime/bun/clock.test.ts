/** The machine's clock and randomness. */
import { expect, test } from "bun:test";
import { systemClock } from "./clock.ts";
import { systemRandom } from "./random.ts";

test("after runs once, every until cancelled, and neither after a cancel", async () => {
  const log: string[] = [];
  const cancelled = systemClock.after(0, () => log.push("cancelled"));
  cancelled.cancel();
  cancelled.cancel();
  await new Promise<void>((resolve) => {
    const repeating = systemClock.every(1, () => {
      if (log.push("every") < 3) return;
      repeating.cancel();
      systemClock.after(1, resolve);
    });
  });
  expect(log).toEqual(["every", "every", "every"]);
});

test("a wait that a timer cannot hold is a bug, not an immediate call", () => {
  expect(() => systemClock.after(2 ** 31, () => {})).toThrow(RangeError);
  expect(() => systemClock.every(-1, () => {})).toThrow(RangeError);
});

test("monotonic grows, now is the wall clock", () => {
  const before = systemClock.monotonic();
  expect(systemClock.monotonic()).toBeGreaterThanOrEqual(before);
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1000);
});

test("random bytes are as many as asked, of their own, and never repeat", () => {
  const seen = new Set<string>();
  for (const count of [0, 1, 16, 1000, 1024, 1025, 4096, 5000]) {
    const bytes = systemRandom.bytes(count);
    expect(bytes.length).toBe(count);
    expect(bytes.buffer.byteLength).toBe(count);
  }
  for (let index = 0; index < 2000; index++) seen.add(systemRandom.id());
  expect(seen.size).toBe(2000);
  for (const id of seen) expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(systemRandom.id(8).length).toBe(11);
  expect(systemRandom.next()).toBeLessThan(1);
});
