/** Writing rows the same way on every dialect: many at once, insert-or-update, and with a number the database gives out. */

import {
  type CompiledQuery,
  createQueryId,
  type Insertable,
  InsertQueryNode,
  type Kysely,
  MysqlAdapter,
  PostgresAdapter,
  type QueryResult,
  TableNode,
  type Transaction,
} from "kysely";
import type { SqlValue } from "./bind.ts";
import type { AnyDatabase } from "./engine.ts";
import { quote } from "./schema.ts";
import type { StoreDialect } from "./settings.ts";

/** One row; all rows of one call name the same columns. */
export type Row = Readonly<Record<string, SqlValue>>;

/**
 * What happens when a row with the same key exists: "fail" throws StoreConflict; "ignore" keeps the old row;
 * an object names the columns of the unique key and those to overwrite ("all" means all but the key), or how both rows become one.
 * MySQL goes by any unique key of the table, not only by the one named.
 */
export type OnConflict =
  | "fail"
  | "ignore"
  | { key: readonly string[]; update: "all" | readonly string[] }
  | { key: readonly string[]; merge: Merge };

/** A column of the row that is there, or of the one that comes, as SQL. */
type ColumnSql = (column: string) => string;

/**
 * The new value of each column that changes, as SQL that every dialect knows. MySQL assigns one after the other, and `old` is then what
 * was assigned already: a column that others look at comes behind them.
 */
export type Merge = readonly (readonly [column: string, value: (old: ColumnSql, fresh: ColumnSql) => string])[];

/** Parameters one statement may have: SQLite 32,766; PostgreSQL 65,535; MySQL knows no limit here. */
const parametersMax: Record<StoreDialect, number> = { sqlite: 32_000, postgres: 65_000, mysql: 65_000 };
const rowsMax = 1_000;
/** Keeps a statement well below MySQL's max_allowed_packet (16 MB in MariaDB), in characters. */
const charsMax = 2_000_000;

/** The dialect that `db`, or a transaction, speaks. */
export function dialectOf<T>(db: Kysely<T> | Transaction<T>): StoreDialect {
  const { adapter } = db.getExecutor();
  return adapter instanceof MysqlAdapter ? "mysql" : adapter instanceof PostgresAdapter ? "postgres" : "sqlite";
}

/**
 * Inserts rows, many per statement. More than about a thousand take several statements: use a transaction where
 * all or none must be there.
 * @throws StoreConflict unless `onConflict` says otherwise, ValueTooLong, TypeError when rows name different columns.
 */
export async function insertRows<T, Name extends keyof T & string>(
  db: Kysely<T> | Transaction<T>,
  table: Name,
  rows: readonly NoInfer<Insertable<T[Name]>>[],
  onConflict: OnConflict = "fail",
): Promise<void> {
  const dialect = dialectOf(db);
  const plain = rows as readonly Row[];
  for (const [from, to] of chunks(dialect, plain)) {
    await db.executeQuery(insertQuery(dialect, table, plain, from, to, onConflict));
  }
}

/** Inserts a row, or overwrites `update` (by default all columns but the key) of the one with the same `key`. */
export async function upsertRow<T, Name extends keyof T & string>(
  db: Kysely<T> | Transaction<T>,
  table: Name,
  row: NoInfer<Insertable<T[Name]>>,
  key: readonly (keyof T[Name] & string)[],
  update: "all" | readonly (keyof T[Name] & string)[] = "all",
): Promise<void> {
  await insertRows(db, table, [row], { key, update });
}

/** Inserts a row of a table with an `autoId()` column of that name and returns the number it got. */
export async function insertForId<T, Name extends keyof T & string>(
  db: Kysely<T> | Transaction<T>,
  table: Name,
  row: NoInfer<Insertable<T[Name]>>,
  idColumn: keyof T[Name] & string,
): Promise<number> {
  const dialect = dialectOf(db);
  const query = insertQuery(dialect, table, [row as Row], 0, 1, "fail");
  if (dialect === "mysql") return Number((await db.executeQuery(query)).insertId);
  const returning = { ...query, sql: `${query.sql} returning ${quote(dialect, idColumn)}` };
  const { rows } = (await db.executeQuery(returning)) as QueryResult<Record<string, number>>;
  return Number(rows[0]?.[idColumn]);
}

/** Whether `rows` fit one statement, which is atomic by itself. */
export function fitsOneStatement(dialect: StoreDialect, rows: readonly Row[]): boolean {
  let count = 0;
  for (const _chunk of chunks(dialect, rows)) count += 1;
  return count <= 1;
}

/** About how many characters a row takes in a statement. */
export function rowChars(row: Row): number {
  let chars = 0;
  for (const column in row) {
    const value = row[column];
    if (typeof value === "string") chars += value.length;
    else if (value instanceof Uint8Array) chars += 2 * value.length;
    else chars += 8;
  }
  return chars;
}

/** Ranges [from, to) of rows that go into one statement each. */
function* chunks(dialect: StoreDialect, rows: readonly Row[]): Generator<[number, number]> {
  const first = rows[0];
  if (first === undefined) return;
  const width = Object.keys(first).length;
  const most = Math.max(1, Math.min(rowsMax, Math.floor(parametersMax[dialect] / Math.max(1, width))));
  let from = 0;
  let chars = 0;
  for (let index = 0; index < rows.length; index++) {
    const next = rowChars(rows[index] as Row);
    if (index > from && (index - from >= most || chars + next > charsMax)) {
      yield [from, index];
      from = index;
      chars = 0;
    }
    chars += next;
  }
  yield [from, rows.length];
}

function insertQuery(
  dialect: StoreDialect,
  table: string,
  rows: readonly Row[],
  from: number,
  to: number,
  onConflict: OnConflict,
): CompiledQuery {
  const columns = Object.keys(rows[from] as Row);
  if (dialect === "postgres" && to - from > 1) return insertJsonQuery(table, columns, rows, from, to, onConflict);
  const parameters: SqlValue[] = [];
  let sql = `insert into ${quote(dialect, table)} (${columns.map((name) => quote(dialect, name)).join(", ")}) values `;
  for (let index = from; index < to; index++) {
    const row = rows[index] as Row;
    if (Object.keys(row).length !== columns.length) throw differentColumns(table, columns);
    sql += index === from ? "(" : ", (";
    for (let place = 0; place < columns.length; place++) {
      const column = columns[place] as string;
      if (!(column in row)) throw differentColumns(table, columns);
      parameters.push(row[column]);
      if (place > 0) sql += ", ";
      sql += dialect === "postgres" ? `$${parameters.length}` : "?";
    }
    sql += ")";
  }
  sql += conflictSql(dialect, table, columns, onConflict);
  return { sql, parameters, query: InsertQueryNode.create(TableNode.create(table)), queryId: createQueryId() };
}

/**
 * Many rows as one parameter. For PostgreSQL: a statement with thousands of parameters is parsed and planned anew each time,
 * this one is short and prepared once; and one text costs us half of what so many parameters do.
 */
function insertJsonQuery(
  table: string,
  columns: readonly string[],
  rows: readonly Row[],
  from: number,
  to: number,
  onConflict: OnConflict,
): CompiledQuery {
  const names = columns.map((name) => quote("postgres", name)).join(", ");
  const into = quote("postgres", table);
  const sql = `insert into ${into} (${names}) select ${names} from json_populate_recordset(null::${into}, $1::json)${conflictSql("postgres", table, columns, onConflict)}`;
  let text = "[";
  for (let index = from; index < to; index++) {
    const row = rows[index] as Row;
    text += index === from ? rowJson(table, columns, row) : `,${rowJson(table, columns, row)}`;
  }
  const parameters = [`${text}]`];
  return { sql, parameters, query: InsertQueryNode.create(TableNode.create(table)), queryId: createQueryId() };
}

/** A row as PostgreSQL's input functions take it. */
function rowJson(table: string, columns: readonly string[], row: Row): string {
  let found = 0;
  let plain = true;
  for (const column in row) {
    found++;
    const value = row[column];
    if (typeof value !== "string" && value !== null) plain &&= typeof value === "number" && Number.isFinite(value);
  }
  if (found !== columns.length || !columns.every((column) => column in row)) throw differentColumns(table, columns);
  if (plain) return JSON.stringify(row);
  const values: Record<string, string | number | null> = {};
  for (const column of columns) values[column] = jsonValue(row[column]);
  return JSON.stringify(values);
}

function jsonValue(value: SqlValue): string | number | null {
  switch (typeof value) {
    case "boolean":
      return value ? 1 : 0;
    case "bigint":
      return value.toString();
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`a column holds no ${value}`);
      return value;
    case "object":
      return value === null
        ? null
        : `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`;
    default:
      return value ?? null;
  }
}

function differentColumns(table: string, columns: readonly string[]): TypeError {
  return new TypeError(`rows for ${table} must all name the columns ${columns.join(", ")}`);
}

function conflictSql(dialect: StoreDialect, table: string, columns: readonly string[], onConflict: OnConflict): string {
  if (onConflict === "fail") return "";
  if (onConflict === "ignore") {
    if (dialect !== "mysql") return " on conflict do nothing";
    // "insert ignore" would swallow every other error as well and cut texts that are too long.
    const any = quote(dialect, columns[0] as string);
    return ` on duplicate key update ${any} = ${any}`;
  }
  if ("merge" in onConflict) return mergeSql(dialect, table, onConflict);
  const { key } = onConflict;
  const update = onConflict.update === "all" ? columns.filter((name) => !key.includes(name)) : onConflict.update;
  if (update.length === 0) return conflictSql(dialect, table, columns, "ignore");
  const names = update.map((name) => quote(dialect, name));
  if (dialect === "mysql")
    return ` on duplicate key update ${names.map((name) => `${name} = values(${name})`).join(", ")}`;
  const target = key.map((name) => quote(dialect, name)).join(", ");
  return ` on conflict (${target}) do update set ${names.map((name) => `${name} = excluded.${name}`).join(", ")}`;
}

function mergeSql(dialect: StoreDialect, table: string, onConflict: { key: readonly string[]; merge: Merge }): string {
  const name: ColumnSql = (column) => quote(dialect, column);
  const old: ColumnSql = (column) => `${quote(dialect, table)}.${name(column)}`;
  const fresh: ColumnSql = (column) => (dialect === "mysql" ? `values(${name(column)})` : `excluded.${name(column)}`);
  const changes = onConflict.merge.map(([column, value]) => `${name(column)} = ${value(old, fresh)}`).join(", ");
  if (dialect === "mysql") return ` on duplicate key update ${changes}`;
  return ` on conflict (${onConflict.key.map(name).join(", ")}) do update set ${changes}`;
}

/** For callers that hold a table name only at run time. */
export function insertAny(db: AnyDatabase, table: string, rows: readonly Row[], onConflict: OnConflict): Promise<void> {
  return insertRows(db, table, rows, onConflict);
}
