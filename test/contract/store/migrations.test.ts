/** Migrations on every dialect: once, twice, at the same time, cut in half, and by neighbouring versions. */

import { describe, expect, test } from "bun:test";
import { autoId, blob, flag, key, millis, text } from "../../../src/store/columns.ts";
import { StoreConflict, StoreUnavailable, ValueTooLong } from "../../../src/store/errors.ts";
import { type Migration, MigrationFailed, migrate } from "../../../src/store/migrations.ts";
import { eachDatabase, openTestStore, realClock } from "../../support/databases.ts";
import { type NoteTables, noteMigrations } from "./notes.ts";
import { startChild } from "./run-child.ts";

const clock = realClock;

await eachDatabase(describe, (database) => {
  test("what is missing runs once, in order, and is recorded", () =>
    database.withStore(async (store) => {
      const first = await migrate(store, noteMigrations, { clock });
      expect(first).toEqual({ applied: ["notes/1-create", "notes/2-pinned"], unknown: [] });
      const second = await migrate(store, noteMigrations, { clock });
      expect(second).toEqual({ applied: [], unknown: [] });
    }));

  test("a database of a newer version is accepted as it is", () =>
    database.withStore(async (store) => {
      await migrate(store, noteMigrations, { clock });
      const older = await migrate(store, noteMigrations.slice(0, 1), { clock });
      expect(older).toEqual({ applied: [], unknown: ["notes/2-pinned"] });
      // The older version writes rows without the newer column.
      const row = { owner: "alice@localhost", title: "milk", body: "", changed_at: 1 };
      await store.tables<NoteTables>().insertInto("notes").values(row).execute();
      expect(await store.db.selectFrom("notes").select("pinned").execute()).toEqual([
        expect.objectContaining({ pinned: 0 }),
      ]);
    }));

  test("connections that migrate at the same time take turns", () =>
    database.withStore(async (store, { settings }) => {
      const others = await Promise.all([openTestStore(settings), openTestStore(settings)]);
      try {
        const stores = [store, ...others];
        const reports = await Promise.all(stores.map((each) => migrate(each, noteMigrations, { clock })));
        expect(reports.flatMap((report) => report.applied).sort()).toEqual(["notes/1-create", "notes/2-pinned"]);
      } finally {
        await Promise.all(others.map((each) => each.close()));
      }
    }));

  test("processes that migrate at the same time take turns", async () => {
    const fresh = await database.fresh();
    try {
      const children = [1, 2, 3].map(() => startChild("migrate", fresh.settings));
      const outputs = await Promise.all(children.map((child) => child.finished));
      expect(outputs.map((output) => output.exitCode)).toEqual([0, 0, 0]);
      const applied = outputs.flatMap((output) => output.lines);
      expect(applied.sort()).toEqual(["notes/1-create", "notes/2-pinned"]);
    } finally {
      await fresh.drop();
    }
  }, 60_000);

  test("a migration that fails is named, and done again at the next start", () =>
    database.withStore(async (store) => {
      let broken = true;
      const failing: Migration = {
        name: "drafts/1-create",
        async up(schema) {
          await schema.createTable("drafts", { columns: { id: autoId(), body: text() } });
          if (broken) throw new Error("the lamp went out");
          await schema.addColumn("drafts", "kind", key({ initial: "note", chars: 20 }));
        },
      };
      const failure = await migrate(store, [failing], { clock }).then(
        () => undefined,
        (error) => error,
      );
      expect(failure).toBeInstanceOf(MigrationFailed);
      expect(failure.message).toBe("migration drafts/1-create failed: the lamp went out");
      broken = false;
      expect((await migrate(store, [failing], { clock })).applied).toEqual(["drafts/1-create"]);
      await store.db.insertInto("drafts").values({ body: "x" }).execute();
      expect(await store.db.selectFrom("drafts").select("kind").executeTakeFirst()).toMatchObject({ kind: "note" });
    }));

  test("columns keep what they are given", () =>
    database.withStore(
      async (store) => {
        const row = {
          name: 'Zoë \u{1F99D} it\'s \\ "x"; -- ',
          body: "line\r\nline\ttab ? $1 `x`",
          raw: new Uint8Array([0, 1, 39, 92, 255]),
          big: 9_007_199_254_740_993n,
          at: 1_764_000_000_123,
          yes: true,
        };
        await store.db.insertInto("things").values(row).execute();
        const read = await store.db.selectFrom("things").selectAll().executeTakeFirstOrThrow();
        const plain: unknown = { ...read, raw: new Uint8Array(read.raw as Uint8Array) }; // servers give a Buffer
        expect(plain).toEqual({ ...row, id: 1, yes: 1, nothing: null });
        const found = await store.db
          .selectFrom("things")
          .select("id")
          .where("yes", "=", true)
          .where("name", "=", row.name);
        expect(await found.execute()).toHaveLength(1);
      },
      { migrations: [things] },
    ));

  test("keys differ by case, accent and trailing space, and sort by code point", () =>
    database.withStore(
      async (store) => {
        const names = ["a", "A", "á", "a ", "a\u0301", "\u{1F99D}", "\uFF41", "b", "ß", "ss"];
        for (const name of names) await store.db.insertInto("things").values({ name, at: 0 }).execute();
        const rows = await store.db.selectFrom("things").select("name").orderBy("name").execute();
        const byCodePoint = names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(rows.map((row: { name: string }) => row.name)).toEqual(byCodePoint);
        const again = store.db.insertInto("things").values({ name: "a", at: 0 }).execute();
        expect(await again.catch((error: unknown) => error)).toBeInstanceOf(StoreConflict);
      },
      { migrations: [things] },
    ));

  test("a key of 250 characters fits, one more is refused and not cut", () =>
    database.withStore(
      async (store) => {
        const longest = "\u{1F99D}".repeat(250);
        await store.db.insertInto("things").values({ name: longest, at: 0 }).execute();
        const insert = store.db
          .insertInto("things")
          .values({ name: `${longest}x`, at: 0 })
          .execute();
        expect(await insert.catch((error: unknown) => error)).toBeInstanceOf(ValueTooLong);
        expect(await store.db.selectFrom("things").select("id").execute()).toHaveLength(1);
      },
      { migrations: [things] },
    ));
});

const things: Migration = {
  name: "things/1-create",
  up: (schema) =>
    schema.createTable("things", {
      columns: {
        id: autoId(),
        name: key(),
        body: text({ nullable: true }),
        raw: blob({ nullable: true }),
        big: millis({ nullable: true }),
        at: millis(),
        yes: flag({ initial: 0 }),
        nothing: text({ nullable: true }),
      },
      unique: { things_by_name: ["name"] },
      indexes: { things_by_at: ["at", "yes"] },
    }),
};

describe("an unreachable database", () => {
  const nowhere = { host: "127.0.0.1", port: 1, database: "chat", username: "meerkat", password: "secret" };
  const limits = { poolSize: 2, connectTimeoutMs: 2_000, queryTimeoutMs: 2_000 };
  for (const driver of ["pgsql", "mysql"] as const) {
    test(`${driver}: the error says where it was looked for and keeps the password`, async () => {
      const error = await openTestStore({ driver, ...nowhere, ...limits }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StoreUnavailable);
      const { message } = error as Error;
      expect(message).toContain('127.0.0.1:1, database "chat", user "meerkat"');
      expect(message).toContain("ECONNREFUSED");
      expect(message).not.toContain("secret");
    });
  }

  test("sqlite: the error names the file", async () => {
    const error = await openTestStore({ driver: "sqlite", path: "/proc/meerkat/x.db" }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect((error as Error).message).toContain("/proc/meerkat/x.db");
  });
});
