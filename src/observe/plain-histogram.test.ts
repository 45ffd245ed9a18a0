import { expect, test } from "bun:test";
import { Histogram, Registry } from "prom-client";
import { PlainHistogram } from "./plain-histogram.ts";

test("is scraped as prom-client's own histogram is", async () => {
  const bounds = [0.001, 0.01, 0.1];
  const ours = new Registry();
  const theirs = new Registry();
  const plain = new PlainHistogram(ours, "seconds", "How long", "query", bounds);
  const library = new Histogram({
    name: "seconds",
    help: "How long",
    labelNames: ["query"],
    buckets: [...bounds],
    registers: [theirs],
  });
  for (const [query, value] of [
    ["a", 0.001],
    ["a", 0.002],
    ["b", 5],
    ["a", 0.1],
    ["b", 0],
  ] as const) {
    plain.observe(query, value);
    library.labels(query).observe(value);
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});
