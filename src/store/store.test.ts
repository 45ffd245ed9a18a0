/** The small parts of the store: definitions that are refused, errors that are named, retries that end. */

import { describe, expect, test } from "bun:test";
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from "kysely";
import { ManualClock, settle } from "../../test/support/manual-clock.ts";
import { bindAll, exactInteger } from "./bind.ts";
import { autoId, key, sqlType, text } from "./columns.ts";
import { isRetriable, StoreBusy, StoreConflict, StoreUnavailable, toStoreError } from "./errors.ts";
import { type Migration, migrate } from "./migrations.ts";
import { queryName } from "./query-name.ts";
import { retryWithBackoff } from "./retry.ts";
import { openStore } from "./store.ts";

const quiet = { info() {}, warn() {} };

async function memoryStore(clock = new ManualClock()) {
  return openStore({ driver: "sqlite", path: ":memory:" }, { clock, log: quiet });
}

describe("definitions some dialect could not take are refused on all", () => {
  const attempt = async (up: Migration["up"]) => {
    const store = await memoryStore();
    const failure = await migrate(store, [{ name: "x/1-create", up }], { clock: store.clock }).then(
      () => undefined,
      (error: Error) => error.message,
    );
    await store.close();
    return failure;
  };
  test("an index too wide for MySQL", async () => {
    const columns = { a: key(), b: key(), c: key(), d: key({ chars: 20 }) };
    expect(await attempt((schema) => schema.createTable("x", { columns, primaryKey: ["a", "b", "c", "d"] }))).toContain(
      "770",
    );
    expect(
      await attempt((schema) => schema.createTable("x", { columns, primaryKey: ["a", "b", "c"] })),
    ).toBeUndefined();
  });
  test("an index over a text", async () => {
    const columns = { a: key(), b: text() };
    const definition = { columns, primaryKey: ["a"], indexes: { x_by_b: ["b"] } };
    expect(await attempt((schema) => schema.createTable("x", definition))).toContain("make it a key()");
  });
  test("no primary key, or two", async () => {
    const primaryKey = ["a"];
    expect(await attempt((schema) => schema.createTable("x", { columns: { a: key() } }))).toContain("either");
    const columns = { a: key(), id: autoId() };
    expect(await attempt((schema) => schema.createTable("x", { columns, primaryKey }))).toContain("either");
  });
  test("an index over an unknown column", async () => {
    const columns = { a: key() };
    expect(await attempt((schema) => schema.createTable("x", { columns, primaryKey: ["b"] }))).toContain(
      "unknown column b",
    );
  });
  test("a new column that old rows could not have", async () => {
    expect(await attempt((schema) => schema.addColumn("x", "a", key()))).toContain("nullable");
  });
  test("a key longer than an index", () => {
    expect(() => key({ chars: 769 })).toThrow(RangeError);
    expect(sqlType("mysql", key({ chars: 10 }), "utf8mb4_0900_bin")).toBe(
      "varchar(10) character set utf8mb4 collate utf8mb4_0900_bin",
    );
  });
});

describe("names of migrations", () => {
  const up = async () => {};
  for (const names of [["roster"], ["roster/create"], ["Roster/1-create"], ["a/1-x", "a/1-y"], ["a/2-x", "a/1-y"]]) {
    test(`${names.join(", ")}: refused`, async () => {
      const store = await memoryStore();
      const migrations = names.map((name) => ({ name, up }));
      const error = await migrate(store, migrations, { clock: store.clock }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TypeError);
      await store.close();
    });
  }
});

describe("errors get their kind", () => {
  const cases: [Parameters<typeof toStoreError>[0], object, string][] = [
    ["postgres", { code: "23505" }, "conflict"],
    ["postgres", { code: "22001" }, "too-long"],
    ["postgres", { code: "40P01" }, "busy"],
    ["postgres", { code: "57P01" }, "unavailable"],
    ["postgres", { code: "53300" }, "unavailable"],
    ["postgres", { code: "08006" }, "unavailable"],
    ["postgres", { code: "ECONNRESET" }, "unavailable"],
    ["postgres", { code: "EPIPE" }, "unavailable"], // five capitals, as an SQLSTATE has
    ["postgres", { message: "Connection terminated unexpectedly" }, "unavailable"],
    ["postgres", { code: "42P01" }, "failed"],
    ["mysql", { errno: 1062 }, "conflict"],
    ["mysql", { errno: 1406 }, "too-long"],
    ["mysql", { errno: 1213 }, "busy"],
    ["mysql", { errno: 1040 }, "unavailable"],
    ["mysql", { code: "PROTOCOL_CONNECTION_LOST", fatal: true }, "unavailable"],
    ["mysql", { errno: -111, code: "ECONNREFUSED" }, "unavailable"],
    ["mysql", { errno: 1146 }, "failed"],
    ["sqlite", { errcode: 2067 }, "conflict"],
    ["sqlite", { errcode: 261 }, "busy"], // SQLITE_BUSY_RECOVERY
    ["sqlite", { errcode: 13 }, "unavailable"],
    ["sqlite", { errcode: 778 }, "unavailable"], // SQLITE_IOERR_WRITE
    ["sqlite", { errcode: 275, message: "CHECK constraint failed: users_username_too_long" }, "too-long"],
    ["sqlite", { errcode: 275, message: "CHECK constraint failed: age" }, "failed"],
    ["sqlite", { errcode: 1 }, "failed"],
    ["sqlite", { message: "no code at all" }, "failed"],
  ];
  for (const [dialect, error, kind] of cases) {
    test(`${dialect} ${JSON.stringify(error)}: ${kind}`, () => {
      expect(toStoreError(dialect, error).kind).toBe(kind as "failed");
      expect(toStoreError(dialect, error).cause).toBe(error);
    });
  }
  test("ours pass unchanged, and only what left nothing behind is worth a retry", () => {
    const conflict = new StoreConflict("x");
    expect(toStoreError("mysql", conflict)).toBe(conflict);
    expect(isRetriable(conflict)).toBe(false);
    expect(isRetriable(new StoreBusy("x"))).toBe(true);
    expect(isRetriable(new StoreUnavailable("x"))).toBe(false);
    expect(isRetriable(new StoreUnavailable("x", { outcome: "not-applied" }))).toBe(true);
  });
});

describe("parameters", () => {
  test("booleans and undefined become what every dialect knows", () => {
    expect(bindAll([true, false, undefined, null, "x", 1, 2n])).toEqual([1, 0, null, null, "x", 1, 2n]);
  });
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, {}, [], new Date(0), () => 1, Symbol("x")]) {
    test(`${String(typeof value)} ${Object.prototype.toString.call(value)} is refused`, () => {
      expect(() => bindAll(["x", value])).toThrow("2");
    });
  }
  test("integers stay exact", () => {
    expect(exactInteger("9007199254740991")).toBe(9_007_199_254_740_991);
    expect(exactInteger("-9007199254740993")).toBe(-9_007_199_254_740_993n);
  });
});

test("queries are named by verb and table", () => {
  const db = new Kysely<{ users: { name: string } }>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (each) => new SqliteIntrospector(each),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  const queries = [
    db.selectFrom("users").selectAll().compile(),
    db.selectFrom("users as u").selectAll().compile(),
    db.insertInto("users").values({ name: "x" }).compile(),
    db.updateTable("users").set({ name: "x" }).compile(),
    db.deleteFrom("users").compile(),
    db.schema.createTable("users").addColumn("name", "text").compile(),
    sql`select secret`.compile(db),
  ];
  const names = queries.map((compiled) => queryName(compiled.query));
  expect(names).toEqual([
    "select users",
    "select users",
    "insert users",
    "update users",
    "delete users",
    "schema",
    "raw",
  ]);
});

describe("retries", () => {
  test("pause ever longer, and give the result", async () => {
    const clock = new ManualClock();
    const pauses: number[] = [];
    let attempts = 0;
    const result = retryWithBackoff(
      async () => {
        attempts += 1;
        if (attempts < 6) throw new Error("not yet");
        return "here";
      },
      { clock, delayMinMs: 100, delayMaxMs: 500, onFailure: (_error, _attempt, ms) => pauses.push(ms) },
    );
    await clock.advance(100 + 200 + 400 + 500 + 500);
    expect(await result).toBe("here");
    expect(pauses).toEqual([100, 200, 400, 500, 500]);
  });
  test("end with the last error, with one not worth it, or with the signal", async () => {
    const clock = new ManualClock();
    const failing = async () => {
      throw new Error("no");
    };
    const failure = (promise: Promise<unknown>) => promise.catch((error: Error) => error.message);
    const limited = failure(retryWithBackoff(failing, { clock, attemptsMax: 2 }));
    await clock.advance(250);
    expect(await limited).toBe("no");
    expect(await failure(retryWithBackoff(failing, { clock, retriable: () => false }))).toBe("no");
    const stop = new AbortController();
    const stopped = failure(retryWithBackoff(failing, { clock, signal: stop.signal }));
    await settle();
    stop.abort(new Error("stopping"));
    expect(await stopped).toBe("stopping");
    expect(clock.pending).toBe(0);
  });
});
