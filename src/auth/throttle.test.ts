/** Delays grow, end, fade, and the memory for them is bounded. */
import { describe, expect, test } from "bun:test";
import { StillClock } from "../../test/support/sasl.ts";
import { LoginThrottle, network, throttleDefaults } from "./throttle.ts";

const limits = { free: 3, baseMs: 1000, addressMaxMs: 30_000, accountMaxMs: 8000, halfLifeMs: 300_000, entries: 100 };

function setUp(): { throttle: LoginThrottle; clock: StillClock } {
  const clock = new StillClock();
  return { clock, throttle: new LoginThrottle(clock, limits) };
}

describe("login throttle", () => {
  test("the first mistakes are free, then each doubles the delay up to the bound", () => {
    const { throttle } = setUp();
    const delays = Array.from({ length: 10 }, () => {
      const delay = throttle.delayMs("192.0.2.1", "a@b");
      throttle.failed("192.0.2.1", "a@b");
      return delay;
    });
    expect(delays).toEqual([0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(throttle.delayMs("192.0.2.1", "other@b")).toBe(30_000);
  });

  test("an account guessed at from many addresses is slowed, to its own bound", () => {
    const { throttle } = setUp();
    for (let index = 0; index < 50; index++) throttle.failed(`192.0.2.${index}`, "a@b");
    expect(throttle.delayMs("198.51.100.1", "a@b")).toBe(8000);
    expect(throttle.delayMs("198.51.100.1", "c@b")).toBe(0);
    expect(throttle.delayMs("198.51.100.1", "")).toBe(0);
  });

  test("it fades with time", () => {
    const { throttle, clock } = setUp();
    for (let index = 0; index < 7; index++) throttle.failed("192.0.2.1", "a@b");
    expect(throttle.delayMs("192.0.2.1", "")).toBe(16_000);
    clock.time += limits.halfLifeMs;
    expect(throttle.delayMs("192.0.2.1", "")).toBe(2000);
    clock.time += limits.halfLifeMs;
    expect(throttle.delayMs("192.0.2.1", "")).toBe(0);
  });

  test("a long attack is forgotten as soon as a short one", () => {
    const { throttle, clock } = setUp();
    for (let index = 0; index < 10_000; index++) throttle.failed("192.0.2.1", "a@b");
    clock.time += 4 * limits.halfLifeMs;
    expect(throttle.delayMs("192.0.2.1", "a@b")).toBe(0);
  });

  test("a success clears the account, not the address", () => {
    const { throttle } = setUp();
    for (let index = 0; index < 6; index++) throttle.failed("192.0.2.1", "a@b");
    throttle.succeeded("a@b");
    expect(throttle.delayMs("198.51.100.1", "a@b")).toBe(0);
    expect(throttle.delayMs("192.0.2.1", "a@b")).toBe(8000);
  });

  test("memory is bounded; who failed last is remembered", () => {
    const { throttle } = setUp();
    for (let index = 0; index < 5; index++) throttle.failed("192.0.2.1", "");
    for (let index = 0; index < 99; index++) throttle.failed(`10.0.0.${index}`, `user${index}@b`);
    expect(throttle.delayMs("192.0.2.1", "")).toBe(4000);
    throttle.failed("192.0.2.1", "");
    for (let index = 0; index < 99; index++) throttle.failed(`10.0.1.${index}`, `other${index}@b`);
    expect(throttle.delayMs("192.0.2.1", "")).toBe(8000);
    throttle.failed("10.0.2.1", "");
    expect(throttle.delayMs("192.0.2.1", "")).toBe(0);
    expect(throttle.size).toBe(2 * limits.entries);
  });

  test("an address that does not count is not counted", () => {
    const { throttle } = setUp();
    for (let index = 0; index < 10; index++) throttle.failed("", "a@b");
    expect(throttle.delayMs("", "c@b")).toBe(0);
    expect(throttle.size).toBe(1);
  });

  test("the defaults let nobody wait longer than half a minute", () => {
    expect(throttleDefaults.addressMaxMs).toBeLessThanOrEqual(30_000);
    expect(throttleDefaults.accountMaxMs).toBeLessThan(throttleDefaults.addressMaxMs);
  });

  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:db8:0:0:ffff::", "2001:db8:0:0::/64"],
    ["2001:0DB8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
    ["unix", "unix"],
  ])("%s counts as %s", (address, expected) => {
    expect(network(address)).toBe(expected);
  });
});
