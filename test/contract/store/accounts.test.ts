/** Accounts on every dialect. */

import { describe, expect, test } from "bun:test";
import { sql } from "kysely";
import { AccountExists, Accounts, type AccountTables, accountMigrations } from "../../../src/store/accounts.ts";
import type { AnyDatabase } from "../../../src/store/engine.ts";
import { ValueTooLong } from "../../../src/store/errors.ts";
import { comesAfter } from "../../../src/store/keyset.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase } from "../../support/databases.ts";

const migrations = accountMigrations;
const keys = "SCRAM-SHA-256$4096,salt,stored,server";

await eachDatabase(describe, (database) => {
  test("an account is created once, read, changed and removed", () =>
    database.withStore(
      async (store) => {
        const accounts = new Accounts(store);
        const alice = { domain: "localhost", username: "alice", passDetails: keys };
        expect(await accounts.exists("localhost", "alice")).toBe(false);
        expect(await accounts.credentials("localhost", "alice")).toBeUndefined();
        await accounts.create(alice);
        expect(await accounts.create(alice).catch((error: unknown) => error)).toBeInstanceOf(AccountExists);
        expect(await accounts.exists("localhost", "alice")).toBe(true);
        expect(await accounts.exists("other.example", "alice")).toBe(false);
        expect(await accounts.exists("localhost", "Alice")).toBe(false);
        expect(await accounts.credentials("localhost", "alice")).toBe(keys);

        expect(await accounts.setCredentials("localhost", "alice", "new")).toBe(true);
        expect(await accounts.setCredentials("localhost", "alice", "new")).toBe(true); // no change is no failure
        expect(await accounts.setCredentials("localhost", "bob", "new")).toBe(false);
        expect(await accounts.credentials("localhost", "alice")).toBe("new");

        expect(await accounts.remove("localhost", "alice")).toBe(true);
        expect(await accounts.remove("localhost", "alice")).toBe(false);
        expect(await accounts.exists("localhost", "alice")).toBe(false);
      },
      { migrations },
    ));

  test("an account that is being removed has no credentials and takes none; its name is taken until it is gone", () =>
    database.withStore(
      async (store) => {
        const accounts = new Accounts(store);
        const alice = { domain: "localhost", username: "alice", passDetails: keys };
        await accounts.create(alice);
        await accounts.lock("localhost", "alice");
        expect(await accounts.credentials("localhost", "alice")).toBeUndefined();
        expect(await accounts.setCredentials("localhost", "alice", keys)).toBe(false);
        expect(await accounts.exists("localhost", "alice")).toBe(true);
        expect(await accounts.isOpen("localhost", "alice")).toBe(false);
        expect(await accounts.anyWithout("localhost", "SCRAM-SHA-256")).toBe(false);
        expect(await accounts.create(alice).catch((error: unknown) => error)).toBeInstanceOf(AccountExists);
        expect(await accounts.remove("localhost", "alice")).toBe(true);
      },
      { migrations },
    ));

  test("credentials are replaced only where they are still the old ones", () =>
    database.withStore(
      async (store) => {
        const accounts = new Accounts(store);
        for (const username of ["alice", "bob"]) {
          await accounts.create({ domain: "localhost", username, passDetails: "aGVsbG8=" });
        }
        const change = { domain: "localhost", from: "aGVsbG8=", to: "more keys" };
        await accounts.setCredentials("localhost", "bob", "AGVSBG8=");
        const names = ["alice", "bob", "nobody"];
        const done = await accounts.replaceCredentials(names.map((username) => ({ ...change, username })));
        expect(done).toEqual([true, false, false]);
        expect(await accounts.credentials("localhost", "alice")).toBe("more keys");
        expect(await accounts.credentials("localhost", "bob")).toBe("AGVSBG8=");
      },
      { migrations },
    ));

  test("some credentials are those of the first and the last accounts, each once, without those of a locked one", () =>
    database.withStore(
      async (store) => {
        const accounts = new Accounts(store);
        for (const username of ["a", "b", "c", "d", "e"]) {
          await accounts.create({ domain: "localhost", username, passDetails: `keys of ${username}` });
        }
        await accounts.create({ domain: "other.example", username: "a", passDetails: "others" });
        await accounts.lock("localhost", "a");
        expect((await accounts.someCredentials("localhost", 1)).sort()).toEqual(["keys of b", "keys of e"]);
        expect(await accounts.someCredentials("localhost", 10)).toHaveLength(4);
      },
      { migrations },
    ));

  test("of two at once one creates the account", () =>
    database.withStore(
      async (store) => {
        const accounts = new Accounts(store);
        const attempts = Array.from({ length: 4 }, (_, number) =>
          accounts.create({ domain: "localhost", username: "alice", passDetails: `keys ${number}` }),
        );
        const results = await Promise.allSettled(attempts);
        const refused = results.filter((result) => result.status === "rejected");
        expect(refused).toHaveLength(3);
        for (const result of refused) expect(result.reason).toBeInstanceOf(AccountExists);
        const winner = results.findIndex((result) => result.status === "fulfilled");
        expect(await accounts.credentials("localhost", "alice")).toBe(`keys ${winner}`);
      },
      { migrations },
    ));

  test("a name longer than a key column is refused; asking for one finds nobody", () =>
    database.withStore(
      async (store) => {
        const accounts = new Accounts(store);
        const username = "a".repeat(251);
        const creation = accounts.create({ domain: "localhost", username, passDetails: keys });
        expect(await creation.catch((error: unknown) => error)).toBeInstanceOf(ValueTooLong);
        expect(await accounts.exists("localhost", username)).toBe(false);
      },
      { migrations },
    ));

  test(
    "an import skips who exists, reports them, and lists stay in order",
    () =>
      database.withStore(
        async (store) => {
          const accounts = new Accounts(store);
          await accounts.create({ domain: "localhost", username: "user00007", passDetails: "old" });
          const names = Array.from({ length: 1_234 }, (_, number) => `user${String(number).padStart(5, "0")}`);
          const lines = [...names, "user00003"].map((username) => ({
            domain: "localhost",
            username,
            passDetails: keys,
          }));
          lines.push({ domain: "other.example", username: "user00007", passDetails: keys });
          const progress: number[] = [];
          const existing = await accounts.importMany(lines, (done) => progress.push(done));
          expect(existing.map((account) => account.username)).toEqual(["user00007", "user00003"]);
          expect(progress).toEqual([500, 1_000, 1_236]);
          expect(await accounts.credentials("localhost", "user00007")).toBe("old");
          expect(await accounts.count("localhost")).toBe(1_234);
          expect(await accounts.count("other.example")).toBe(1);
          expect(await accounts.count("nowhere.example")).toBe(0);

          expect(await accounts.list("localhost", { limit: 3, index: 1_000 })).toEqual(names.slice(1_000, 1_003));
          expect(await accounts.list("localhost", { limit: 10, index: 1_230 })).toEqual(names.slice(1_230));
          const all: string[] = [];
          for await (const name of accounts.names("localhost")) all.push(name);
          expect(all).toEqual(names);

          expect(await accounts.importMany(lines)).toHaveLength(lines.length);
          expect(await accounts.removeDomain("localhost")).toBe(1_234);
          expect(await accounts.count("other.example")).toBe(1);
        },
        { migrations },
      ),
    60_000,
  );

  test(
    "login, listing and paging read an index",
    () =>
      database.withStore(
        async (store) => {
          const accounts = new Accounts(store);
          const lines = Array.from({ length: 3_000 }, (_, number) => ({
            domain: `d${number % 3}.example`,
            username: `user${number}`,
            passDetails: keys,
          }));
          await accounts.importMany(lines);
          await refreshStatistics(store);
          const db = store.tables<AccountTables>();
          const users = db.selectFrom("users").where("domain", "=", "d1.example");
          const lookup = users.select("pass_details").where("username", "=", "user1501");
          expectIndexed(store, await plan(store, lookup.compile()), 1);
          const list = users.select("username").orderBy("username").limit(10);
          expectIndexed(store, await plan(store, list.compile()));
          const page = users
            .select("username")
            .where(comesAfter(db, ["username"], ["user2"]))
            .orderBy("username")
            .limit(10);
          expectIndexed(store, await plan(store, page.compile()));
          const across = db
            .selectFrom("users")
            .select(["domain", "username"])
            .where(comesAfter(db, ["domain", "username"], ["d2.example", "user999"]))
            .orderBy("domain")
            .orderBy("username")
            .limit(10);
          expectIndexed(store, await plan(store, across.compile()));
        },
        { migrations },
      ),
    60_000,
  );
});

interface PlanLine {
  /** SQLite. */
  detail?: string;
  /** PostgreSQL. */
  "QUERY PLAN"?: string;
  /** MySQL. */
  type?: string;
  key?: string | null;
  rows?: number | string;
  Extra?: string;
}

async function refreshStatistics(store: Store): Promise<void> {
  await sql.raw(store.dialect === "mysql" ? "analyze table users" : "analyze users").execute(store.db);
}

async function plan(
  store: { db: AnyDatabase; dialect: string },
  query: { sql: string; parameters: readonly unknown[] },
): Promise<PlanLine[]> {
  const explain = store.dialect === "sqlite" ? "explain query plan " : "explain ";
  // The parameters are written out: PostgreSQL plans a prepared statement differently than it will run it.
  let place = 0;
  const text = query.sql.replace(/\$\d+|\?/g, () => {
    const value = query.parameters[place++];
    return typeof value === "number" ? String(value) : `'${value}'`;
  });
  return (await sql.raw<PlanLine>(explain + text).execute(store.db)).rows;
}

function expectIndexed(store: Store, lines: PlanLine[], rows?: number): void {
  const text = JSON.stringify(lines);
  switch (store.dialect) {
    case "sqlite":
      expect(text).toContain("SEARCH users USING");
      expect(text).not.toContain("TEMP B-TREE");
      break;
    case "postgres":
      expect(text).toMatch(/Index (Only )?Scan/);
      expect(text).not.toContain("Sort");
      break;
    case "mysql":
      expect(lines[0]?.key).toBe("PRIMARY");
      expect(["const", "ref", "range"]).toContain(lines[0]?.type ?? "none");
      expect(lines[0]?.Extra ?? "").not.toContain("filesort");
      if (rows !== undefined) expect(Number(lines[0]?.rows)).toBe(rows);
  }
}
