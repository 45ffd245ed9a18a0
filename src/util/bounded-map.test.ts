import { expect, test } from "bun:test";
import { BoundedMap } from "./bounded-map.ts";

test("the entry set longest ago goes first", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  expect([map.get("a"), map.get("b"), map.get("c"), map.size]).toEqual([3, undefined, 4, 2]);
});

test("touching makes an entry new again, taking removes it", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  expect(map.touch("a")).toBe(1);
  map.set("c", 3);
  expect(map.get("b")).toBeUndefined();
  expect(map.take("a")).toBe(1);
  expect(map.take("a")).toBeUndefined();
  expect(map.touch("z")).toBeUndefined();
  expect(map.size).toBe(1);
});

test("a limit must be a positive integer", () => {
  for (const most of [0, -1, 1.5, Number.NaN]) expect(() => new BoundedMap(most)).toThrow(RangeError);
});
