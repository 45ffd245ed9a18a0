/** The circuit breaker with a clock that stands still. */

import { expect, test } from "bun:test";
import { ManualClock, settle } from "../../test/support/manual-clock.ts";
import { StoreUnavailable } from "./errors.ts";
import { Health } from "./health.ts";

function setUp() {
  const clock = new ManualClock();
  const state = { up: true, probes: 0 };
  const changes: [boolean, string | undefined][] = [];
  const health = new Health({
    clock,
    probe: async () => {
      state.probes += 1;
      if (!state.up) throw new Error("connection refused");
    },
    onChange: (ready, reason) => changes.push([ready, reason?.message]),
  });
  return { clock, state, changes, health };
}

test("one failed connection of a healthy server changes nothing", async () => {
  const { health, state, changes } = setUp();
  health.suspect();
  health.suspect();
  await settle();
  expect(state.probes).toBe(1);
  expect(health.ready).toBe(true);
  expect(changes).toEqual([]);
  health.check();
});

test("a server that is away is told at once, probed ever more rarely, and welcomed back", async () => {
  const { health, state, changes, clock } = setUp();
  state.up = false;
  health.suspect();
  await settle();
  expect(health.ready).toBe(false);
  expect(() => health.check()).toThrow(StoreUnavailable);
  expect(changes).toEqual([[false, "connection refused"]]);
  health.suspect(); // changes nothing: a probe is due anyway
  await clock.advance(10_000);
  // At 0, 100, 300, 700, 1500, 3100, then every two seconds.
  expect(state.probes).toBe(9);
  state.up = true;
  await clock.advance(2_000);
  expect(health.ready).toBe(true);
  health.check();
  expect(changes).toEqual([
    [false, "connection refused"],
    [true, undefined],
  ]);
  expect(clock.pending).toBe(0);
});

test("after closing nothing is probed and everything refused", async () => {
  const { health, state, clock } = setUp();
  state.up = false;
  health.suspect();
  await settle();
  health.close();
  await clock.advance(10_000);
  expect(state.probes).toBe(1);
  expect(health.ready).toBe(false);
  expect(() => health.check()).toThrow("closed");
});
