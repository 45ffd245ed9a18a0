/** The helpers for writing and reading rows, on every dialect. */

import { describe, expect, test } from "bun:test";
import { autoId, key, millis, text } from "../../../src/store/columns.ts";
import type { AnyDatabase } from "../../../src/store/engine.ts";
import { QueryFailed, StoreConflict } from "../../../src/store/errors.ts";
import { pages } from "../../../src/store/keyset.ts";
import type { Migration } from "../../../src/store/migrations.ts";
import { insertForId, insertRows, upsertRow } from "../../../src/store/rows.ts";
import { eachDatabase } from "../../support/databases.ts";
import { Notes, type NoteTables, noteMigrations } from "./notes.ts";

const letters: Migration = {
  name: "letters/1-create",
  up: (schema) =>
    schema.createTable("letters", {
      columns: { box: key(), number: millis(), body: text({ nullable: true }), id: key({ chars: 50, nullable: true }) },
      primaryKey: ["box", "number"],
    }),
};
const numbered: Migration = {
  name: "numbered/1-create",
  up: (schema) => schema.createTable("numbered", { columns: { id: autoId(), body: text() } }),
};

await eachDatabase(describe, (database) => {
  test("the worked example of the module guide", () =>
    database.withStore(
      async (store) => {
        const notes = new Notes(store);
        await notes.put("alice@localhost", "milk", "two");
        await notes.put("alice@localhost", "milk", "three");
        await notes.put("bob@localhost", "bread", "one");
        expect(await notes.recent("alice@localhost", 10)).toEqual(["milk"]);
        const rows = await store.tables<NoteTables>().selectFrom("notes").select("body").orderBy("body").execute();
        expect(rows.map((row) => row.body)).toEqual(["one", "three"]);
      },
      { migrations: noteMigrations },
    ));

  test("upsert inserts, overwrites all or some columns, and leaves the neighbours alone", () =>
    database.withStore(
      async (store) => {
        const read = () => store.db.selectFrom("letters").select(["number", "body", "id"]).orderBy("number").execute();
        const rows = [1, 2].map((number) => ({ box: "a", number, body: `b${number}`, id: `i${number}` }));
        await insertRows(store.db, "letters", rows);
        await upsertRow(store.db, "letters", { box: "a", number: 1, body: "new", id: "x" }, ["box", "number"]);
        await upsertRow(
          store.db,
          "letters",
          { box: "a", number: 2, body: "new", id: "x" },
          ["box", "number"],
          ["body"],
        );
        await upsertRow(store.db, "letters", { box: "a", number: 3, body: null, id: "x" }, ["box", "number"]);
        expect((await read()).map((row) => [row.number, row.body, row.id])).toEqual([
          [1, "new", "x"],
          [2, "new", "i2"],
          [3, null, "x"],
        ]);
        await insertRows(store.db, "letters", [{ box: "a", number: 3, body: "no", id: "no" }], "ignore");
        expect((await read())[2]).toMatchObject({ body: null, id: "x" });
      },
      { migrations: [letters] },
    ));

  test("thousands of rows go in, in as many statements as the limits need", () => {
    const inserts: string[] = [];
    return database.withStore(
      async (store) => {
        const rows = Array.from({ length: 2_500 }, (_, number) => ({ box: "a", number, body: "b", id: null }));
        inserts.length = 0;
        await insertRows(store.db, "letters", rows);
        expect(inserts.filter((name) => name === "insert letters")).toHaveLength(3);
        const big = "y".repeat(900_000);
        inserts.length = 0;
        await insertRows(
          store.db,
          "letters",
          [1, 2, 3, 4, 5].map((number) => ({ box: "b", number, body: big, id: "" })),
        );
        expect(inserts.filter((name) => name === "insert letters")).toHaveLength(3);
        const sizes = await store.db.selectFrom("letters").select("body").where("box", "=", "b").execute();
        expect(sizes.map((row) => (row.body as string).length)).toEqual(Array(5).fill(900_000));

        const seen: number[] = [];
        const query = store.db.selectFrom("letters").select(["box", "number"]);
        for await (const page of pages(store.db, query, { key: ["box", "number"], size: 700 })) {
          for (const row of page) seen.push(row.number as number);
        }
        expect(seen).toEqual([...rows.map((row) => row.number), 1, 2, 3, 4, 5]);
      },
      { migrations: [letters], observe: (name) => inserts.push(name) },
    );
  }, 60_000);

  test("rows with a number of the database's own", () =>
    database.withStore(
      async (store) => {
        expect(await insertForId(store.db, "numbered", { body: "a" }, "id")).toBe(1);
        expect(await insertForId(store.db, "numbered", { body: "b" }, "id")).toBe(2);
        expect(await store.db.selectFrom("numbered").select("body").where("id", "=", 2).execute()).toHaveLength(1);
      },
      { migrations: [numbered] },
    ));

  test("a doubled key fails the whole statement and is told by its type", () =>
    database.withStore(
      async (store) => {
        const rows = [1, 2, 1].map((number) => ({ box: "a", number, body: "", id: "" }));
        const error = await insertRows(store.db, "letters", rows).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(StoreConflict);
        expect(await store.db.selectFrom("letters").select("number").execute()).toHaveLength(0);
      },
      { migrations: [letters] },
    ));

  test("a transaction is all or nothing, and others do not see half of it", () =>
    database.withStore(
      async (store) => {
        const one = (db: AnyDatabase, number: number) =>
          insertRows(db, "letters", [{ box: "a", number, body: "", id: "" }]);
        const count = async () => (await store.db.selectFrom("letters").select("number").execute()).length;
        await store.db.transaction().execute(async (trx) => {
          await one(trx, 1);
          expect(await count()).toBe(0);
          await one(trx, 2);
        });
        expect(await count()).toBe(2);
        const failing = store.db.transaction().execute(async (trx) => {
          await one(trx, 3);
          await one(trx, 1);
        });
        expect(await failing.catch((error: unknown) => error)).toBeInstanceOf(StoreConflict);
        expect(await count()).toBe(2);
        await one(store.db, 3); // the connection is fit for use
        const nested = store.db.transaction().execute(async (trx) => {
          await one(trx, 4);
          await trx.selectFrom("missing").selectAll().execute();
        });
        expect(await nested.catch((error: unknown) => error)).toBeInstanceOf(QueryFailed);
        expect(await count()).toBe(3);
      },
      { migrations: [letters] },
    ));

  test("savepoints take back a part", () =>
    database.withStore(
      async (store) => {
        const trx = await store.db.startTransaction().execute();
        await insertRows(trx, "letters", [{ box: "a", number: 1, body: "", id: "" }]);
        const point = await trx.savepoint("half").execute();
        await insertRows(point, "letters", [{ box: "a", number: 2, body: "", id: "" }]);
        await point.rollbackToSavepoint("half").execute();
        await trx.commit().execute();
        expect(await store.db.selectFrom("letters").select("number").execute()).toHaveLength(1);
      },
      { migrations: [letters] },
    ));

  test("values no column can hold are refused before they are sent", () =>
    database.withStore(
      async (store) => {
        for (const body of [{ toString: () => "x" }, new Date(0), Number.NaN, ["a"]]) {
          const insert = store.db.insertInto("letters").values({ box: "a", number: 1, body }).execute();
          expect(await insert.catch((error: unknown) => error)).toBeInstanceOf(TypeError);
        }
        const uneven = insertRows(store.db, "letters", [
          { box: "a", number: 1 },
          { box: "a", body: "" },
        ]);
        expect(await uneven.catch((error: unknown) => error)).toBeInstanceOf(TypeError);
      },
      { migrations: [letters] },
    ));
});
