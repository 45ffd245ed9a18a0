import { describe, expect, test } from "bun:test";
import { firstIdAt, lastIdAt, parseTimeId, TimeIds, timeOfId } from "./time-ids.ts";

const start = Date.UTC(2026, 0, 1);
const random = { bytes: () => new Uint8Array(), id: () => "", next: () => 0.999 };

/** A clock that says what it is told. */
const clockAt = (time: { now: number }) => () => time.now;

describe("ids that sort by time", () => {
  test("each is greater than the one before, also within a millisecond and when its counter is full", () => {
    const time = { now: start };
    const ids = new TimeIds(clockAt(time), random, 7);
    let before = -1n;
    for (let number = 0; number < 10_000; number++) {
      const id = ids.next();
      expect(id > before).toBe(true);
      before = id;
    }
    expect(timeOfId(before) - start).toBeLessThanOrEqual(3);
  });

  test("a clock that is set back makes no smaller id", () => {
    const time = { now: start };
    const ids = new TimeIds(clockAt(time), random, 0);
    const first = ids.next();
    time.now = start - 3_600_000;
    const second = ids.next();
    time.now = start + 1;
    const third = ids.next();
    expect(second > first && third > second).toBe(true);
    expect(timeOfId(second)).toBe(start);
  });

  test("one after another node's, whose clock is ahead, is greater; those of other archives follow our own clock", () => {
    const time = { now: start + 60_000 };
    const ahead = new TimeIds(clockAt(time), random, 9).next();
    const ids = new TimeIds(clockAt({ now: start }), random, 5);
    let last = ahead;
    for (let count = 0; count < 100; count++) {
      const id = ids.next(last);
      expect(id > last).toBe(true);
      last = id;
    }
    expect(timeOfId(last) - timeOfId(ahead)).toBeLessThanOrEqual(100);
    expect(timeOfId(ids.next())).toBe(start);
  });

  test("across nodes they sort by time, and no two nodes give the same", () => {
    const time = { now: start };
    const low = new TimeIds(clockAt(time), random, 1);
    const high = new TimeIds(clockAt(time), random, 1023);
    const seen = new Set<bigint>();
    for (let ms = 0; ms < 100; ms++) {
      const [one, two] = [high.next(), low.next()];
      time.now++;
      const later = low.next();
      expect(later > one && later > two).toBe(true);
      for (const id of [one, two, later]) seen.add(id);
    }
    expect(seen.size).toBe(300);
  });

  test("a time's range holds exactly the ids of that millisecond", () => {
    const time = { now: start };
    const ids = new TimeIds(clockAt(time), random, 5);
    const id = ids.next();
    expect(firstIdAt(start) <= id && id <= lastIdAt(start)).toBe(true);
    expect(id < firstIdAt(start + 1) && id > lastIdAt(start - 1)).toBe(true);
    expect([firstIdAt(0), lastIdAt(0)]).toEqual([0n, -1n]);
  });

  test("they are positive 63-bit numbers until 2089", () => {
    const ids = new TimeIds(clockAt({ now: Date.UTC(2089, 8, 1) }), random, 1023);
    const id = ids.next();
    expect(id > 0n && id < 2n ** 63n).toBe(true);
    expect(parseTimeId(id.toString())).toBe(id);
  });

  test("only decimal texts as we write them are ids", () => {
    for (const text of ["", "-1", "01", "1.0", "9223372036854775808", "28482-98726-73623", " 1", "1e3"]) {
      expect(parseTimeId(text)).toBeUndefined();
    }
    expect(parseTimeId("9223372036854775807")).toBe(2n ** 63n - 1n);
  });

  test("a node number that does not fit is refused", () => {
    for (const number of [-1, 1024, 0.5]) {
      expect(() => new TimeIds(clockAt({ now: start }), random, number)).toThrow(RangeError);
    }
  });
});
