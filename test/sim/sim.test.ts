/**
 * Seeded runs of whole clusters, and proof that such runs find faults. A failing run names its seed:
 * `./bin/run-bun test/sim/run.ts --seed N --trace` shows what happened. More: `--runs 100000`.
 */
import { describe, expect, test } from "bun:test";
import { mutants } from "./mutants.ts";
import { simulate } from "./scenario.ts";

const blocks = 200;
const seedsInBlock = 50;
/** A fault that stays hidden for so many runs would stay hidden. */
const seedsForMutant = 250;

describe("clusters from a seed", () => {
  for (let block = 0; block < blocks; block++) {
    const first = block * seedsInBlock + 1;
    test(`seeds ${first} to ${first + seedsInBlock - 1} keep every promise`, async () => {
      for (let seed = first; seed < first + seedsInBlock; seed++) {
        const { violations } = await simulate(seed);
        expect({ seed, violations }).toEqual({ seed, violations: [] });
      }
    });
  }

  test("the same seed is the same run, line by line", async () => {
    const lines: string[][] = [[], []];
    for (const trace of lines) await simulate(8, (line) => trace.push(line));
    expect(lines[0]!.length).toBeGreaterThan(20);
    expect(lines[0]).toEqual(lines[1]!);
  });
});

describe("a fault put in on purpose is found:", () => {
  for (const { name, install } of mutants) {
    test(name, async () => {
      const takeOut = install();
      try {
        for (let seed = 1; seed <= seedsForMutant; seed++) {
          if ((await simulate(seed)).violations.length > 0) return;
        }
      } finally {
        takeOut();
      }
      throw new Error(`${seedsForMutant} runs did not find it`);
    });
  }
});
