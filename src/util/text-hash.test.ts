import { expect, test } from "bun:test";
import { textHash } from "./text-hash.ts";

test("the hash of a text is for ever the same: rows in databases are found by it", () => {
  expect([textHash(""), textHash("a"), textHash("alice@localhost bob@localhost")]).toEqual([
    4_096_244_671_306_936, 2_666_321_336_347_559, 3_649_610_729_624_447,
  ]);
});

test("a hundred thousand similar texts have hashes of their own, spread over the whole range", () => {
  const seen = new Set<number>();
  let high = 0;
  for (let number = 0; number < 100_000; number++) {
    const hash = textHash(`user${number}@example.org`);
    expect(Number.isSafeInteger(hash) && hash >= 0).toBe(true);
    seen.add(hash);
    if (hash >= 2 ** 52) high++;
  }
  expect(seen.size).toBe(100_000);
  expect(Math.abs(high - 50_000)).toBeLessThan(1_000);
});
