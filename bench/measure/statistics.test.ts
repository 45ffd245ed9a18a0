import { expect, test } from "bun:test";
import { Histogram, median, spread } from "./statistics.ts";

test("median of odd and even counts, whatever the order", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
  expect(() => median([])).toThrow("no values");
});

test("spread is relative to the median", () => {
  expect(spread([10])).toBe(0);
  expect(spread([8, 10, 13])).toBe(0.5);
  expect(spread([0, 0])).toBe(0);
});

test("quantiles of a histogram are within 1.6 % of the true ones", () => {
  const histogram = new Histogram();
  const values: number[] = [];
  // A long tail, from a fixed sequence.
  for (let index = 0, state = 1; index < 20_000; index++) {
    state = (state * 48_271) % 2_147_483_647;
    const value = Math.floor(10 / (state / 2_147_483_647 + 1e-5));
    values.push(value);
    histogram.add(value);
  }
  values.sort((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.9, 0.99, 0.999]) {
    const exact = values[Math.ceil(share * values.length) - 1]!;
    const found = histogram.quantile(share);
    expect(found).toBeGreaterThanOrEqual(exact);
    expect(found).toBeLessThanOrEqual(exact * 1.016 + 1);
  }
  expect(histogram.max).toBe(values.at(-1)!);
  expect(histogram.quantile(1)).toBe(histogram.max);
});

test("a histogram takes what is out of range, and can be emptied", () => {
  const histogram = new Histogram();
  expect(histogram.quantile(0.5)).toBe(0);
  histogram.add(-5);
  expect(histogram.quantile(1)).toBe(0);
  histogram.add(1e12);
  expect(histogram.max).toBe(0x7fffffff);
  expect(histogram.quantile(1)).toBe(0x7fffffff);
  histogram.clear();
  expect([histogram.count, histogram.max, histogram.quantile(0.5)]).toEqual([0, 0, 0]);
});
