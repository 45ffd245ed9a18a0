/** The group commit's queue and plan; test/contract/store runs it on real databases. */

import { describe, expect, test } from "bun:test";
import { ManualClock, settle } from "../../test/support/manual-clock.ts";
import { integer, key } from "./columns.ts";
import { StoreOverloaded } from "./errors.ts";
import { GroupCommit, type GroupCommitOptions, planWrites, type Write } from "./group-commit.ts";
import { migrate } from "./migrations.ts";
import type { OnConflict } from "./rows.ts";
import type { Schema } from "./schema.ts";
import { openStore } from "./store.ts";

const up = { key: ["a"], update: "all" as const };
const insert = (table: string, a: number, onConflict: OnConflict = "fail"): Write => ({
  table,
  row: { a, b: 0 },
  onConflict,
});

describe("the plan of a batch", () => {
  const outline = (writes: Write[]) =>
    planWrites(writes).map((step) =>
      "rows" in step ? `${step.table} ${step.rows.map((row) => row.a).join(",")}` : "run",
    );

  test("rows of one table travel together, whatever lies between", () => {
    expect(outline([insert("x", 1), insert("y", 2), insert("x", 3), insert("y", 4)])).toEqual(["x 1,3", "y 2,4"]);
  });
  test("nothing passes a run", () => {
    const run: Write = { run: async () => {} };
    expect(outline([insert("x", 1), run, insert("x", 2), insert("x", 3)])).toEqual(["x 1", "run", "x 2,3"]);
  });
  test("another conflict rule or other columns start a new statement, in order", () => {
    const wide: Write = { table: "x", row: { a: 3, b: 0, c: 0 } };
    expect(outline([insert("x", 1), insert("x", 2, up), wide, insert("x", 4)])).toEqual(["x 1", "x 2", "x 3", "x 4"]);
    expect(outline([insert("x", 1), insert("x", 2, "ignore"), insert("x", 3, "ignore")])).toEqual(["x 1", "x 2,3"]);
  });
  test("a key is written over only once per statement", () => {
    expect(outline([insert("x", 1, up), insert("x", 2, up), insert("x", 1, up), insert("x", 2, up)])).toEqual([
      "x 1,2",
      "x 1,2",
    ]);
  });
});

describe("the queue", () => {
  async function withGroup(
    options: GroupCommitOptions,
    use: (group: GroupCommit, clock: ManualClock, batches: number[], stored: () => Promise<number>) => Promise<void>,
  ): Promise<void> {
    const clock = new ManualClock();
    const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock, log: { info() {}, warn() {} } });
    const migration = {
      name: "x/1-create",
      up: (schema: Schema) => schema.createTable("x", { columns: { a: integer(), b: key() }, primaryKey: ["a"] }),
    };
    await migrate(store, [migration], { clock });
    const batches: number[] = [];
    const group = new GroupCommit(store, clock, { ...options, onBatch: (writes) => batches.push(writes) });
    await use(group, clock, batches, async () => (await store.db.selectFrom("x").select("a").execute()).length);
    await group.close();
    await store.close();
  }
  const row = (a: number, b = ""): Write => ({ table: "x", row: { a, b } });

  test("the first write waits its 5 ms for company, and no longer", () =>
    withGroup({}, async (group, clock, batches, stored) => {
      const writes = [group.add(row(1))];
      await clock.advance(3);
      writes.push(group.add(row(2)));
      await clock.advance(1);
      expect(await stored()).toBe(0);
      await clock.advance(1);
      await Promise.all(writes);
      expect(batches).toEqual([2]);
      expect(clock.pending).toBe(0);
    }));

  test("a full batch does not wait", () =>
    withGroup({ batchMax: 3 }, async (group, clock, batches) => {
      await Promise.all([1, 2, 3].map((a) => group.add(row(a))));
      expect(batches).toEqual([3]);
      expect(clock.pending).toBe(0);
    }));

  test("at half of its limit it says so, at its limit it refuses, and it tells when it has drained", () =>
    withGroup({ queueMax: 8 }, async (group, clock) => {
      const writes = [1, 2, 3].map((a) => group.add(row(a)));
      expect(group.full).toBe(false);
      writes.push(group.add(row(4)));
      expect(group.full).toBe(true);
      let drained = false;
      void group.whenDrained().then(() => {
        drained = true;
      });
      writes.push(...[5, 6, 7, 8].map((a) => group.add(row(a))));
      const refused = await group.add(row(9)).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(StoreOverloaded);
      await settle();
      expect(drained).toBe(false);
      await clock.advance(5);
      await Promise.all(writes);
      expect(drained).toBe(true);
      expect(group.full).toBe(false);
      expect(group.length).toBe(0);
    }));

  test("few big writes fill it as well", () =>
    withGroup({ queueCharsMax: 1_000 }, async (group, clock) => {
      const writes = [group.add(row(1, "z".repeat(200))), group.add({ run: async () => {}, chars: 600 })];
      expect(group.full).toBe(true);
      expect(await group.add(row(3, "z".repeat(200))).catch((error: unknown) => error)).toBeInstanceOf(StoreOverloaded);
      await clock.advance(5);
      await Promise.all(writes);
      expect(group.full).toBe(false);
    }));

  test("a flush does not wait for company, and ends when its own writes are done", () =>
    withGroup({ delayMs: 60_000 }, async (group, _clock, batches) => {
      const writes = [group.add(row(1)), group.add(row(2))];
      await group.flush();
      await Promise.all(writes);
      expect(batches).toEqual([2]);
      await group.flush(); // nothing to do
    }));
});
