/** Reading big tables in pages by key ("the next 500 after this one"): each page is an index lookup, however far on it is. */

import { type Kysely, type RawBuilder, type SelectQueryBuilder, type SqlBool, sql, type Transaction } from "kysely";
import type { SqlValue } from "./bind.ts";
import { dialectOf } from "./rows.ts";

/**
 * The condition "this row comes after these values in the order of these columns (all ascending)".
 * PostgreSQL and SQLite compare rows by index; MySQL's planner does so only for the condition spelled out.
 */
export function comesAfter<T>(
  db: Kysely<T> | Transaction<T>,
  columns: readonly string[],
  values: readonly SqlValue[],
): RawBuilder<SqlBool> {
  if (columns.length !== values.length || columns.length === 0) {
    throw new TypeError(`comesAfter: ${columns.length} columns, ${values.length} values`);
  }
  if (dialectOf(db) !== "mysql") {
    return sql<SqlBool>`(${sql.join(columns.map((name) => sql.ref(name)))}) > (${sql.join([...values])})`;
  }
  const last = columns.length - 1;
  let condition = sql<SqlBool>`${sql.ref(columns[last] as string)} > ${values[last]}`;
  for (let place = last - 1; place >= 0; place--) {
    const name = sql.ref(columns[place] as string);
    const value = values[place];
    condition = sql<SqlBool>`(${name} > ${value} or (${name} = ${value} and ${condition}))`;
  }
  return condition;
}

export interface PageOptions<Row> {
  /** Columns that together are unique and indexed, in the order of that index; they must be selected. */
  key: readonly (keyof Row & string)[];
  /** Rows per page (default 500). */
  size?: number;
  /** Start after this row instead of at the beginning. */
  after?: Row;
}

/**
 * Reads all rows of `query` page by page, in the order of `key`. Rows written meanwhile may or may not be seen;
 * none is seen twice or left out because of others.
 */
export async function* pages<T, Tables extends keyof T, Row>(
  db: Kysely<T> | Transaction<T>,
  query: SelectQueryBuilder<T, Tables, Row>,
  options: PageOptions<Row>,
): AsyncGenerator<Row[]> {
  const { key, size = 500 } = options;
  let after = options.after;
  for (;;) {
    let page = query.limit(size);
    for (const name of key) page = page.orderBy(sql.ref(name));
    if (after !== undefined) {
      const values = key.map((name) => (after as Record<string, SqlValue>)[name]);
      page = page.where(comesAfter(db, key, values));
    }
    const rows = (await page.execute()) as Row[];
    if (rows.length > 0) yield rows;
    if (rows.length < size) return;
    after = rows[rows.length - 1];
  }
}
