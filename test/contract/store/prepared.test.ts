/** Prepared selects on every dialect. */

import { describe, expect, test } from "bun:test";
import { type AccountTables, accountMigrations } from "../../../src/store/accounts.ts";
import { QueryFailed, StoreUnavailable } from "../../../src/store/errors.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase } from "../../support/databases.ts";

const migrations = accountMigrations;
const row = (username: string, created_at: number) => ({
  domain: "localhost",
  username,
  pass_details: "x",
  created_at,
});

function fill(store: Store): Promise<unknown> {
  const rows = [row("alice", 1), row("bob", 2), row("carol", 3)];
  return store.tables<AccountTables>().insertInto("users").values(rows).execute();
}

const since = (store: Store) =>
  store.prepare((domain: string, from: number, most: number) =>
    store
      .tables<AccountTables>()
      .selectFrom("users")
      .select(["username", "created_at"])
      .where("domain", "=", domain)
      .where("pass_details", "=", "x")
      .where("created_at", ">=", from)
      .orderBy("created_at")
      .limit(most),
  );

await eachDatabase(describe, (database) => {
  test("arguments stand where they were handed on, constants stay", () =>
    database.withStore(
      async (store) => {
        await fill(store);
        const query = since(store);
        expect(await query.all("localhost", 2, 10)).toEqual([
          { username: "bob", created_at: 2 },
          { username: "carol", created_at: 3 },
        ]);
        expect(await query.all("localhost", 1, 1)).toEqual([{ username: "alice", created_at: 1 }]);
        expect(await query.all("elsewhere", 1, 1)).toEqual([]);
        expect(await query.first("localhost", 3, 5)).toEqual({ username: "carol", created_at: 3 });
        expect(await query.first("localhost", 4, 5)).toBeUndefined();
      },
      { migrations },
    ));

  test("what is read while a transaction is open is what was committed", () =>
    database.withStore(
      async (store) => {
        await fill(store);
        const query = since(store);
        const { promise: end, resolve: commit } = Promise.withResolvers<void>();
        const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
        const transaction = store.db.transaction().execute(async (trx) => {
          await trx.deleteFrom("users").execute();
          begin();
          await end;
        });
        await begun;
        const found = query.all("localhost", 1, 10);
        // SQLite in memory has one view only, so the answer waits for the end of the transaction.
        if (store.dialect !== "sqlite") expect((await found).length).toBe(3);
        commit();
        await transaction;
        expect([0, 3]).toContain((await found).length);
        expect(await query.all("localhost", 1, 10)).toEqual([]);
      },
      { migrations },
    ));

  test("errors are rejections, never thrown", () =>
    database.withStore(
      async (store) => {
        const missing = store.prepare((name: string) =>
          store.db.selectFrom("missing").selectAll().where("name", "=", name),
        );
        const failed = missing.all("x");
        expect(failed).toBeInstanceOf(Promise);
        expect(await Promise.resolve(failed).catch((error: unknown) => error)).toBeInstanceOf(QueryFailed);
        const query = since(store);
        await store.close();
        const closed = query.all("localhost", 1, 10);
        expect(closed).toBeInstanceOf(Promise);
        expect(await Promise.resolve(closed).catch((error: unknown) => error)).toBeInstanceOf(StoreUnavailable);
      },
      { migrations },
    ));
});
