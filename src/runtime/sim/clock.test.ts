/** Simulated time runs every timer at its instant, in order. */
import { describe, expect, test } from "bun:test";
import { SimClock, simulatedStart } from "./clock.ts";
import { SimRandom } from "./random.ts";

describe("the simulated clock", () => {
  test("stands still until it is advanced", () => {
    const clock = new SimClock();
    expect([clock.now(), clock.monotonic()]).toEqual([simulatedStart, 0]);
    clock.advance(1500);
    expect([clock.now(), clock.monotonic()]).toEqual([simulatedStart + 1500, 1500]);
    expect(new SimClock(5).now()).toBe(5);
  });

  test("timers run in order of their time, those of one instant in the order they were made", () => {
    const clock = new SimClock();
    const log: string[] = [];
    for (const [name, ms] of [
      ["c", 30],
      ["a", 10],
      ["b1", 20],
      ["b2", 20],
      ["never", 31],
    ] as const) {
      clock.after(ms, () => log.push(`${name}@${clock.monotonic()}`));
    }
    clock.advance(30);
    expect(log).toEqual(["a@10", "b1@20", "b2@20", "c@30"]);
    expect(clock.untilNext).toBe(1);
  });

  test("timers made on the way run when their time has come within the same advance", () => {
    const clock = new SimClock();
    const log: number[] = [];
    clock.after(10, () => clock.after(10, () => log.push(clock.monotonic())));
    clock.advance(100);
    expect(log).toEqual([20]);
    expect(clock.monotonic()).toBe(100);
  });

  test("a repeating timer runs until it is cancelled, also by itself", () => {
    const clock = new SimClock();
    let runs = 0;
    const timer = clock.every(10, () => {
      if (++runs === 3) timer.cancel();
    });
    clock.advance(1000);
    expect(runs).toBe(3);
    expect(clock.untilNext).toBeUndefined();
    timer.cancel();
  });

  test("a cancelled timer never runs", () => {
    const clock = new SimClock();
    let runs = 0;
    const second = clock.after(20, () => runs++);
    clock.after(10, () => second.cancel());
    clock.advance(100);
    expect(runs).toBe(0);
  });

  test("many timers in random order come out sorted", () => {
    const clock = new SimClock();
    const random = new SimRandom(1);
    const seen: number[] = [];
    for (let index = 0; index < 2000; index++) {
      const timer = clock.after(random.uint32() % 10_000, () => seen.push(clock.monotonic()));
      if (index % 3 === 0) timer.cancel();
    }
    clock.advance(10_000);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.length).toBe(2000 - 667);
  });

  test("advanceSettling lets promises settle between the timers", async () => {
    const clock = new SimClock();
    const log: string[] = [];
    clock.after(10, () => {
      Promise.resolve()
        .then(() => undefined)
        .then(() => log.push("promise"));
    });
    clock.after(20, () => log.push("timer"));
    await clock.advanceSettling(50);
    expect(log).toEqual(["promise", "timer"]);
  });
});

describe("seeded randomness", () => {
  test("the same seed gives the same run, another seed another", () => {
    const draw = (seed: number) => {
      const random = new SimRandom(seed);
      return [random.next(), random.id(), Buffer.from(random.bytes(8)).toString("hex"), random.uint32()];
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(draw(1)).not.toEqual(draw(1 + 2 ** 32));
  });

  test("numbers are spread over [0, 1)", () => {
    const random = new SimRandom(42);
    const buckets = new Array<number>(10).fill(0);
    for (let index = 0; index < 20_000; index++) {
      const value = random.next();
      expect(value >= 0 && value < 1).toBe(true);
      buckets[Math.floor(value * 10)]!++;
    }
    for (const count of buckets) expect(Math.abs(count - 2000)).toBeLessThan(300);
  });
});
