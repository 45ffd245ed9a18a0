/** The group commit on every dialect: order, one bad write among many, a killed process. */

import { describe, expect, test } from "bun:test";
import { integer, key, text } from "../../../src/store/columns.ts";
import { StoreConflict, ValueTooLong } from "../../../src/store/errors.ts";
import { GroupCommit, type Write } from "../../../src/store/group-commit.ts";
import type { Migration } from "../../../src/store/migrations.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase, openTestStore, realClock } from "../../support/databases.ts";
import { startChild } from "./run-child.ts";

const logbook: Migration = {
  name: "logbook/1-create",
  async up(schema) {
    await schema.createTable("lines", {
      columns: { number: integer(), author: key({ chars: 20 }), body: text() },
      primaryKey: ["number"],
    });
    await schema.createTable("counters", { columns: { author: key(), total: integer() }, primaryKey: ["author"] });
  },
};

const line = (number: number, author = "alice"): Write => ({
  table: "lines",
  row: { number, author, body: `${number}` },
});
const counter = (author: string, total: number): Write => ({
  table: "counters",
  row: { author, total },
  onConflict: { key: ["author"], update: "all" },
});

async function numbers(store: Store): Promise<number[]> {
  const rows = await store.db.selectFrom("lines").select("number").orderBy("number").execute();
  return rows.map((row) => row.number as number);
}

await eachDatabase(describe, (database) => {
  test("many writes share few commits, and each is there when its promise resolves", () => {
    let commits = 0;
    const observe = (name: string) => {
      if (name === "commit") commits += 1;
    };
    return database.withStore(
      async (store) => {
        commits = 0;
        const group = new GroupCommit(store, realClock);
        const writes = Array.from({ length: 400 }, (_, number) => group.add(line(number)));
        const upserts = Array.from({ length: 50 }, (_, total) => group.add(counter(`author${total % 5}`, total)));
        await writes[0];
        expect(await numbers(store)).toContain(0);
        await Promise.all([...writes, ...upserts]);
        expect(await numbers(store)).toHaveLength(400);
        const totals = await store.db.selectFrom("counters").select("total").orderBy("author").execute();
        expect(totals.map((row) => row.total)).toEqual([45, 46, 47, 48, 49]);
        expect(commits).toBeLessThan(10);
        expect(group.length).toBe(0);
        await group.close();
      },
      { migrations: [logbook], observe },
    );
  });

  test("one bad row is refused alone, the rest of its batch is written", () =>
    database.withStore(
      async (store) => {
        const group = new GroupCommit(store, realClock);
        await group.add(line(50));
        const results = await Promise.allSettled([
          ...Array.from({ length: 100 }, (_, number) => group.add(line(number))), // 50 is taken
          group.add(line(100, "a name of more than twenty characters")),
          group.add({ run: () => Promise.reject(new Error("no such room")) }),
          group.add(line(101)),
        ]);
        const failed = results.flatMap((result, place) =>
          result.status === "rejected" ? [[place, result.reason]] : [],
        );
        expect(failed.map(([place]) => place)).toEqual([50, 100, 101]);
        expect(failed[0]?.[1]).toBeInstanceOf(StoreConflict);
        expect(failed[1]?.[1]).toBeInstanceOf(ValueTooLong);
        expect(failed[2]?.[1]).toHaveProperty("message", "no such room");
        expect(await numbers(store)).toEqual([...Array.from({ length: 100 }, (_, number) => number), 101]);
        await group.close();
      },
      { migrations: [logbook] },
    ));

  test("writes happen in the order they were added", () =>
    database.withStore(
      async (store) => {
        const group = new GroupCommit(store, realClock, { batchMax: 7 });
        const writes: Promise<void>[] = [];
        for (let total = 1; total <= 30; total++) {
          writes.push(group.add(counter("alice", total)));
          writes.push(
            group.add({
              run: async (trx) => {
                const row = await trx
                  .selectFrom("counters")
                  .select("total")
                  .where("author", "=", "alice")
                  .executeTakeFirst();
                if (row?.total !== total) throw new Error(`expected ${total}, found ${row?.total}`);
              },
            }),
          );
        }
        await Promise.all(writes);
        await group.close();
      },
      { migrations: [logbook] },
    ));

  test("closing writes what was added before it, and refuses what comes after", () =>
    database.withStore(
      async (store) => {
        const group = new GroupCommit(store, realClock, { delayMs: 60_000 });
        const writes = [group.add(line(1)), group.add(line(2))];
        await group.close();
        await Promise.all(writes);
        expect(await numbers(store)).toEqual([1, 2]);
        expect(await group.add(line(3)).catch((error: unknown) => error)).toHaveProperty("kind", "unavailable");
      },
      { migrations: [logbook] },
    ));

  test("a process killed at any moment keeps what it promised", async () => {
    const fresh = await database.fresh();
    try {
      const child = startChild("write", fresh.settings);
      await child.printed(2_000);
      child.process.kill("SIGKILL");
      const { lines } = await child.finished;
      const promised = lines.map(Number);
      expect(promised.length).toBeGreaterThanOrEqual(2_000);
      const store = await openTestStore(fresh.settings);
      const rows = await store.db.selectFrom("notes").select("changed_at").execute();
      const kept = new Set(rows.map((row) => row.changed_at as number));
      expect(promised.filter((number) => !kept.has(number))).toEqual([]);
      await store.close();
    } finally {
      await fresh.drop();
    }
  }, 60_000);
});
