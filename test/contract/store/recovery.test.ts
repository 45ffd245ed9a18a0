/** Database servers that cut connections, go away, fall silent and come back. */

import { describe, expect, test } from "bun:test";
import { sql } from "kysely";
import { Accounts, accountMigrations } from "../../../src/store/accounts.ts";
import { StoreBusy, type StoreError, StoreUnavailable } from "../../../src/store/errors.ts";
import { GroupCommit } from "../../../src/store/group-commit.ts";
import type { ServerSettings } from "../../../src/store/settings.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase, type LogLine, openTestStore, realClock } from "../../support/databases.ts";
import { LeakyWire } from "../../support/leaky-wire.ts";

const migrations = accountMigrations;

await eachDatabase(describe, (database) => {
  if (database.dialect === "sqlite") {
    test("a file another process writes to is waited for, without stopping this one", () =>
      database.withStore(
        async (store, { settings }) => {
          const other = await openTestStore(settings);
          const accounts = new Accounts(store);
          let release = () => {};
          const released = new Promise<void>((resolve) => {
            release = resolve;
          });
          const begun = Promise.withResolvers<void>();
          const holding = other.db.transaction().execute(() => {
            begun.resolve();
            return released;
          });
          await begun.promise;
          const creation = accounts.create({ domain: "localhost", username: "alice", passDetails: "x" });
          expect(await accounts.exists("localhost", "alice")).toBe(false); // reading goes on
          await pause(20);
          release();
          await Promise.all([holding, creation]);
          expect(await accounts.exists("localhost", "alice")).toBe(true);
          await other.close();
        },
        { migrations },
      ));

    test("waiting for one's turn ends with the time limit", () =>
      database.withStore(
        async (store, { settings }) => {
          const other = await openTestStore({ ...settings, queryTimeoutMs: 50 } as typeof settings);
          await store.db.transaction().execute(async () => {
            const creation = new Accounts(other).create({ domain: "d", username: "u", passDetails: "x" });
            expect(await creation.catch((error: unknown) => error)).toBeInstanceOf(StoreBusy);
          });
          await other.close();
        },
        { migrations },
      ));
    return;
  }

  test("connections that the server cut are replaced", () =>
    database.withStore(
      async (store, { cutConnections }) => {
        const accounts = new Accounts(store);
        await accounts.create({ domain: "localhost", username: "alice", passDetails: "x" });
        for (let round = 0; round < 3; round++) {
          // A pool may hold a connection of which it has not yet heard that it is gone.
          await Promise.all([1, 2, 3].map(() => eventually(async () => accounts.exists("localhost", "alice"))));
          expect(await cutConnections()).toBeGreaterThan(0);
          expect(await eventually(async () => accounts.exists("localhost", "alice"))).toBe(true);
        }
        expect(store.ready).toBe(true);
      },
      { migrations },
    ));

  test("a transaction whose connection is cut fails, leaves nothing, and says so", () =>
    database.withStore(
      async (store, { cutConnections }) => {
        const failing = store.db.transaction().execute(async (trx) => {
          await trx
            .insertInto("users")
            .values({ domain: "d", username: "u", pass_details: "x", created_at: 1 })
            .execute();
          await cutConnections();
          await eventuallyFails(() => trx.selectFrom("users").selectAll().execute());
          await trx.selectFrom("users").selectAll().execute();
        });
        const error = await failing.catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(StoreUnavailable);
        expect((error as StoreUnavailable).outcome).toBe("not-applied");
        expect(await eventually(() => new Accounts(store).count("d"))).toBe(0);
      },
      { migrations },
    ));

  test("group commits outlive a cut", () =>
    database.withStore(
      async (store, { cutConnections }) => {
        const group = new GroupCommit(store, realClock);
        const promised: string[] = [];
        const refused: string[] = [];
        let unknown = 0;
        for (let round = 0; round < 20; round++) {
          await eventually(() => Promise.resolve(store.ready || undefined));
          const writes = [1, 2, 3].map(async (number) => {
            const username = `user${round}-${number}`;
            const row = { domain: "d", username, pass_details: "x", created_at: 1 };
            // Two tables' worth of work, so that the batch is a transaction.
            const write =
              number === 1 ? { run: (trx: Store["db"]) => insertUser(trx, username) } : { table: "users", row };
            try {
              await group.add(write);
              promised.push(username);
            } catch (error) {
              expect(error).toBeInstanceOf(StoreUnavailable);
              if ((error as StoreUnavailable).outcome === "unknown") unknown += 1;
              else refused.push(username);
            }
          });
          if (round % 5 === 4) await cutConnections();
          await Promise.all(writes);
        }
        const kept: string[] = [];
        for await (const name of new Accounts(store).names("d")) kept.push(name);
        expect(promised.filter((name) => !kept.includes(name))).toEqual([]);
        expect(refused.filter((name) => kept.includes(name))).toEqual([]);
        expect(promised.length + unknown + refused.length).toBe(60);
        expect(promised.length).toBeGreaterThan(40);
        await group.close();
      },
      { migrations },
    ));

  test("a server that goes away: errors at once, not ready; it comes back: ready by itself", async () => {
    const fresh = await database.fresh();
    const log: LogLine[] = [];
    const proxy = new LeakyWire(fresh.settings as ServerSettings);
    try {
      await proxy.listen();
      const store = await openTestStore({ ...(fresh.settings as ServerSettings), ...proxy.address }, { log });
      await sql`select 1`.execute(store.db);
      await proxy.goAway();
      await eventually(() => Promise.resolve(!store.ready || undefined)); // noticed without any query
      const started = performance.now();
      for (let round = 0; round < 100; round++) {
        expect(await ends(sql`select 1`.execute(store.db))).toMatchObject({
          kind: "unavailable",
          outcome: "not-applied",
        });
      }
      expect(performance.now() - started).toBeLessThan(5_000); // each would wait for 10 s
      await proxy.listen();
      await eventually(() => Promise.resolve(store.ready || undefined));
      await sql`select 1`.execute(store.db);
      expect(log.map((line) => line.fields.what)).toEqual(["store_unavailable", "store_ready"]);
      await store.close();
    } finally {
      await proxy.goAway();
      await fresh.drop();
    }
  });

  test("a server that falls silent: queries end with the time limit", async () => {
    const fresh = await database.fresh();
    const proxy = new LeakyWire(fresh.settings as ServerSettings);
    try {
      await proxy.listen();
      const limits = { connectTimeoutMs: 1_000, queryTimeoutMs: 500 };
      const settings = { ...(fresh.settings as ServerSettings), ...proxy.address, ...limits };
      const store = await eventually(() => openTestStore(settings));
      await eventually(() => sql`select 1`.execute(store.db));
      proxy.silent = true;
      const started = performance.now();
      const errors = await Promise.all(Array.from({ length: 20 }, () => ends(sql`select 1`.execute(store.db))));
      for (const error of errors) expect(error).toBeInstanceOf(StoreUnavailable);
      expect(performance.now() - started).toBeLessThan(8_000); // they wait together, not one after the other
      await eventually(() => Promise.resolve(!store.ready || undefined));
      await proxy.goAway();
      proxy.silent = false;
      await proxy.listen();
      await eventually(() => Promise.resolve(store.ready || undefined));
      await eventually(() => sql`select 1`.execute(store.db));
      await store.close();
    } finally {
      await proxy.goAway();
      await fresh.drop();
    }
  });

  test("a slow query is stopped by the server, and its connection lives on", () =>
    database.withStore(
      async (store) => {
        const sleep = database.dialect === "postgres" ? "select pg_sleep(10)" : "select sleep(10), 1 from users";
        await new Accounts(store).create({ domain: "d", username: "u", passDetails: "x" });
        const started = performance.now();
        const error = await ends(sql.raw(sleep).execute(store.db));
        expect(error).toBeInstanceOf(StoreUnavailable);
        expect(performance.now() - started).toBeLessThan(9_000); // it would take 10 s
        expect(store.ready).toBe(true);
        expect(await new Accounts(store).count("d")).toBe(1);
      },
      { migrations, settings: { queryTimeoutMs: 1_000 } },
    ));

  test("migrations and maintenance may take longer than the query limit", () =>
    database.withStore(
      async (store) => {
        const sleep = database.dialect === "postgres" ? "select pg_sleep(0.5)" : "select sleep(0.5)";
        await store.dedicated((db) => sql.raw(sleep).execute(db));
      },
      { settings: { queryTimeoutMs: 100 } },
    ));

  test("a pool that is used up refuses after its wait, and the server is not blamed", () =>
    database.withStore(
      async (store) => {
        await store.db.transaction().execute(async () => {
          const error = await ends(sql`select 1`.execute(store.db));
          expect(error).toBeInstanceOf(StoreUnavailable);
          expect(error.message).toContain("pool of 1");
          expect(store.stats).toMatchObject({ used: 1, waiting: 0 });
        });
        await sql`select 1`.execute(store.db);
        expect(store.ready).toBe(true);
      },
      { settings: { poolSize: 1, connectTimeoutMs: 1_000 } },
    ));

  test("a column added by a newer node does not trip prepared statements", () =>
    database.withStore(
      async (store) => {
        const read = () => store.db.selectFrom("users").selectAll().execute();
        await new Accounts(store).create({ domain: "d", username: "u", passDetails: "x" });
        await read();
        await read();
        await sql.raw("alter table users add column note int").execute(store.db);
        const rows = await eventually(read);
        expect(rows[0]).toHaveProperty("note", null);
      },
      { migrations, settings: { poolSize: 1 } },
    ));

  test("after closing, queries are refused", async () => {
    const fresh = await database.fresh();
    const store = await openTestStore(fresh.settings);
    await store.close();
    expect(store.ready).toBe(false);
    expect(await ends(sql`select 1`.execute(store.db))).toBeInstanceOf(StoreUnavailable);
    await fresh.drop();
  });
});

function insertUser(db: Store["db"], username: string): Promise<void> {
  return db
    .insertInto("users")
    .values({ domain: "d", username, pass_details: "x", created_at: 1 })
    .execute()
    .then(() => undefined);
}

/** The error of a query that must fail. */
async function ends(query: Promise<unknown>): Promise<StoreError> {
  try {
    await query;
  } catch (error) {
    return error as StoreError;
  }
  throw new Error("the query succeeded");
}

/** The first defined result, trying again while the store says it is unavailable. */
async function eventually<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
    }
    if (performance.now() > deadline) throw new Error("it did not happen within 20 seconds");
    await pause(10);
  }
}

async function eventuallyFails(attempt: () => Promise<unknown>): Promise<void> {
  await eventually(() =>
    attempt().then(
      () => undefined,
      () => true,
    ),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise<void>((resolve) => realClock.after(ms, resolve));
}
