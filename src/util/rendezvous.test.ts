/** Rendezvous hashing spreads keys, and moves few of them. */
import { describe, expect, test } from "bun:test";
import { rendezvous } from "./rendezvous.ts";

const keys = Array.from({ length: 10_000 }, (_, index) => `room${index}@conference.example`);

describe("rendezvous hashing", () => {
  test("names nobody among none, and the only one among one", () => {
    expect(rendezvous("key", [])).toBeUndefined();
    expect(rendezvous("key", [7])).toBe(7);
  });

  test("does not depend on the order of the nodes", () => {
    for (const key of keys.slice(0, 500))
      expect(rendezvous(key, [1, 2, 3, 900])).toBe(rendezvous(key, [900, 3, 1, 2])!);
  });

  for (const nodes of [[1, 2], [1, 2, 3], [5, 6, 7, 8, 9], Array.from({ length: 16 }, (_, index) => index + 1)]) {
    test(`gives each of ${nodes.length} nodes its share`, () => {
      const counts = new Map<number, number>();
      for (const key of keys) {
        const node = rendezvous(key, nodes)!;
        counts.set(node, (counts.get(node) ?? 0) + 1);
      }
      const share = keys.length / nodes.length;
      for (const node of nodes) expect(Math.abs(counts.get(node)! - share)).toBeLessThan(share * 0.2);
    });
  }

  test("moves only the keys of the node that goes, and spreads them", () => {
    const moved = new Map<number, number>();
    for (const key of keys) {
      const before = rendezvous(key, [1, 2, 3, 4])!;
      const after = rendezvous(key, [1, 2, 4])!;
      if (before !== 3) expect(after).toBe(before);
      else moved.set(after, (moved.get(after) ?? 0) + 1);
    }
    expect([...moved.keys()].sort()).toEqual([1, 2, 4]);
    for (const count of moved.values()) expect(count).toBeGreaterThan(600);
  });
});
