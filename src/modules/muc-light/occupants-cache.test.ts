import { expect, test } from "bun:test";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { parseJid } from "../../stanza/jid.ts";
import { OccupantsCache } from "./occupants-cache.ts";

const present = (count: number) => {
  const addresses = Array.from({ length: count }, (_, at) => parseJid(`u${at}@x`)!);
  return { addresses, affiliations: new Map(addresses.map((jid) => [jid.bare, "member" as const])) };
};
const settings = { strategy: "fifo", timeToLiveMs: 1_000, maxOccupants: 10 } as const;

test("what was read before a change is not remembered after it", () => {
  const cache = new OccupantsCache(new ManualClock(), settings);
  const before = cache.changes;
  cache.forget("another");
  cache.set("den", present(1), before);
  expect(cache.get("den")).toBeUndefined();
  cache.set("den", present(1), cache.changes);
  expect(cache.get("den")).toBeDefined();
  cache.forgetAll();
  expect(cache.get("den")).toBeUndefined();
});

test("rooms are forgotten after their time", async () => {
  const clock = new ManualClock();
  const cache = new OccupantsCache(clock, settings);
  cache.set("den", present(1), 0);
  await clock.advance(999);
  expect(cache.get("den")).toBeDefined();
  await clock.advance(1);
  expect(cache.get("den")).toBeUndefined();
});

test("so many occupants are remembered; which room goes first is a matter of strategy", () => {
  for (const strategy of ["fifo", "lru"] as const) {
    const cache = new OccupantsCache(new ManualClock(), { ...settings, strategy });
    cache.set("a", present(4), 0);
    cache.set("b", present(4), 0);
    cache.get("a");
    cache.set("c", present(4), 0);
    expect([cache.get("a"), cache.get("b")].map((found) => found !== undefined)).toEqual(
      strategy === "fifo" ? [false, true] : [true, false],
    );
    // One that is too big for all is not remembered, and drives nobody out.
    cache.set("d", present(11), 0);
    expect([cache.get("c"), cache.get("d")].map((found) => found !== undefined)).toEqual([true, false]);
    // The same room again counts once.
    for (let time = 0; time < 5; time++) cache.set("c", present(5), 0);
    expect(cache.get(strategy === "fifo" ? "b" : "a")).toBeDefined();
  }
});
