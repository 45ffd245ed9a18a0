/** The wheel against its promise: never early, at most one tick late, O(1) whatever is started and cancelled. */
import { expect, test } from "bun:test";
import { SimClock } from "../runtime/sim/clock.ts";
import { SimRandom } from "../runtime/sim/random.ts";
import { TimerWheel, type WheelOwner, WheelTimeout } from "./timer-wheel.ts";

class Owner implements WheelOwner {
  readonly timeout = new WheelTimeout(this);
  readonly ranAt: number[] = [];
  readonly clock: SimClock;
  onTimeout: () => void = () => {};
  constructor(clock: SimClock) {
    this.clock = clock;
  }
  timedOut(): void {
    this.ranAt.push(this.clock.monotonic());
    this.onTimeout();
  }
}

function world(tickMs = 1000, slots = 8) {
  const clock = new SimClock();
  const failures: unknown[] = [];
  const wheel = new TimerWheel(clock, (error) => failures.push(error), tickMs, slots);
  return { clock, wheel, failures, owner: () => new Owner(clock) };
}

test("a timeout runs once, no earlier than asked and at most a tick late", () => {
  const { clock, wheel, owner } = world();
  clock.advance(1234);
  const one = owner();
  wheel.start(one.timeout, 2500);
  expect(one.timeout.running).toBe(true);
  clock.advance(2499);
  expect(one.ranAt).toEqual([]);
  clock.advance(10_000);
  expect(one.ranAt.length).toBe(1);
  expect(one.ranAt[0]! - 1234).toBeGreaterThanOrEqual(2500);
  expect(one.ranAt[0]! - 1234).toBeLessThanOrEqual(3500 + 1000);
  expect(one.timeout.running).toBe(false);
});

test("a timeout longer than a lap waits its laps", () => {
  const { clock, wheel, owner } = world();
  const one = owner();
  wheel.start(one.timeout, 60_000);
  clock.advance(59_999);
  expect(one.ranAt).toEqual([]);
  clock.advance(1001);
  expect(one.ranAt.length).toBe(1);
});

test("starting again moves it, cancelling stops it, both as often as wanted", () => {
  const { clock, wheel, owner } = world();
  const [moved, cancelled] = [owner(), owner()];
  wheel.start(cancelled.timeout, 3000);
  for (let second = 0; second < 20; second++) {
    wheel.start(moved.timeout, 3000);
    clock.advance(1000);
  }
  wheel.start(cancelled.timeout, 3000);
  wheel.cancel(cancelled.timeout);
  wheel.cancel(cancelled.timeout);
  expect(moved.ranAt).toEqual([]);
  expect(wheel.size).toBe(1);
  clock.advance(5000);
  expect(moved.ranAt.length).toBe(1);
  expect(cancelled.ranAt.length).toBe(1);
  expect(wheel.size).toBe(0);
});

test("an idle wheel has no timer", () => {
  const { clock, wheel, owner } = world();
  expect(clock.untilNext).toBeUndefined();
  const one = owner();
  wheel.start(one.timeout, 1000);
  expect(clock.untilNext).toBeDefined();
  clock.advance(5000);
  expect(clock.untilNext).toBeUndefined();
  clock.advance(100_000);
  wheel.start(one.timeout, 1000);
  clock.advance(999);
  expect(one.ranAt.length).toBe(1);
  clock.advance(2000);
  expect(one.ranAt.length).toBe(2);
});

test("owners may start and cancel timeouts while they run, also those due with them", () => {
  const { clock, wheel, owner } = world();
  const [first, second, third] = [owner(), owner(), owner()];
  for (const one of [first, second, third]) wheel.start(one.timeout, 1000);
  first.onTimeout = () => {
    wheel.cancel(second.timeout);
    if (first.ranAt.length < 3) wheel.start(first.timeout, 1000);
  };
  clock.advance(20_000);
  expect(first.ranAt.length).toBe(3);
  expect(second.ranAt.length).toBe(0);
  expect(third.ranAt.length).toBe(1);
});

test("an owner that throws harms nobody else", () => {
  const { clock, wheel, failures, owner } = world();
  const [bad, good] = [owner(), owner()];
  bad.onTimeout = () => {
    throw new Error("a bug");
  };
  wheel.start(bad.timeout, 1000);
  wheel.start(good.timeout, 1000);
  clock.advance(3000);
  expect(failures).toEqual([new Error("a bug")]);
  expect(good.ranAt.length).toBe(1);
});

test("stop cancels everything", () => {
  const { clock, wheel, owner } = world();
  const all = Array.from({ length: 20 }, owner);
  all.forEach((one, index) => {
    wheel.start(one.timeout, index * 700);
  });
  wheel.stop();
  clock.advance(60_000);
  expect(wheel.size).toBe(0);
  expect(all.flatMap((one) => one.ranAt)).toEqual([]);
  expect(clock.untilNext).toBeUndefined();
});

test("after a long sleep of the machine all that is due runs, once", () => {
  class Sleeper extends SimClock {
    skipped = 0;
    override monotonic(): number {
      return super.monotonic() + this.skipped;
    }
  }
  const clock = new Sleeper();
  const wheel = new TimerWheel(clock, () => {}, 1000, 8);
  const all = [500, 3000, 7000, 9000, 30_000].map((ms) => {
    const one = new Owner(clock);
    wheel.start(one.timeout, ms);
    return one;
  });
  clock.skipped = 3_600_000;
  clock.advance(1000);
  expect(all.map((one) => one.ranAt.length)).toEqual([1, 1, 1, 1, 1]);
});

test("ten thousand random timeouts keep the promise", () => {
  const { clock, wheel, owner } = world(1000, 64);
  const random = new SimRandom(7);
  const started = new Map<Owner, { at: number; ms: number }>();
  const all = Array.from({ length: 500 }, owner);
  const broken: string[] = [];
  for (let step = 0; step < 10_000; step++) {
    const one = all[random.uint32() % all.length]!;
    if (random.next() < 0.2) {
      wheel.cancel(one.timeout);
      started.delete(one);
    } else {
      const ms = Math.floor(random.next() * 200_000);
      one.ranAt.length = 0;
      wheel.start(one.timeout, ms);
      started.set(one, { at: clock.monotonic(), ms });
    }
    clock.advance(random.uint32() % 500);
    for (const [each, { at, ms }] of started) {
      const ran = each.ranAt[0];
      if (ran === undefined) {
        if (clock.monotonic() - at > ms + 2000) broken.push(`late: ${ms}`);
        continue;
      }
      if (ran - at < ms || ran - at > ms + 2000) broken.push(`${ms} took ${ran - at}`);
      started.delete(each);
    }
  }
  expect(broken).toEqual([]);
});

test("slots and tick are checked", () => {
  const clock = new SimClock();
  expect(() => new TimerWheel(clock, () => {}, 1000, 100)).toThrow(RangeError);
  expect(() => new TimerWheel(clock, () => {}, 0)).toThrow(RangeError);
});
