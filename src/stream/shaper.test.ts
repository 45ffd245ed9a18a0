import { expect, test } from "bun:test";
import { charge } from "./shaper.ts";

const rate = 100;
const full = Number.NEGATIVE_INFINITY;

test("a quiet client may send a second's worth at once, and is then in debt", () => {
  expect(charge(full, 100, rate, 50_000)).toBe(50_000);
  expect(charge(full, 101, rate, 50_000)).toBe(50_010);
});

test("a debt is paid at the rate, however the bytes are cut", () => {
  let paidUntil = full;
  for (let sent = 0; sent < 300; sent += 10) paidUntil = charge(paidUntil, 10, rate, 50_000);
  expect(paidUntil).toBe(52_000);
  expect(charge(paidUntil, 50, rate, 52_000)).toBe(52_500);
});

test("quiet time is saved up for one second at most", () => {
  const paidUntil = charge(full, 100, rate, 50_000);
  expect(charge(paidUntil, 0, rate, 50_600)).toBe(50_000);
  expect(charge(paidUntil, 0, rate, 90_000)).toBe(89_000);
});
