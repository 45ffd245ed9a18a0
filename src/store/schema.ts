/** What a migration does to the schema. Every step looks first whether it is done, so a migration cut in half can run again. */

import { sql } from "kysely";
import { type Column, indexCharsMax, sqlType } from "./columns.ts";
import type { AnyDatabase } from "./engine.ts";
import { tooLongMark } from "./errors.ts";
import type { StoreDialect } from "./settings.ts";

export interface TableDefinition {
  columns: Readonly<Record<string, Column>>;
  /** Columns of the primary key; left out only when a column is `autoId()`. */
  primaryKey?: readonly string[];
  /** Index name → columns. Names are unique in the whole database: begin them with the table's. */
  indexes?: Readonly<Record<string, readonly string[]>>;
  /** As `indexes`, refusing a second row with the same values. */
  unique?: Readonly<Record<string, readonly string[]>>;
}

/** There is no `drop`: migrations only add, so that the version before still runs on the same tables. */
export class Schema {
  readonly dialect: StoreDialect;
  /** For moving data and for SQL of one dialect; statements must be harmless when run twice. */
  readonly db: AnyDatabase;
  readonly #exactCollation: string;

  private constructor(db: AnyDatabase, dialect: StoreDialect, exactCollation: string) {
    this.db = db;
    this.dialect = dialect;
    this.#exactCollation = exactCollation;
  }

  static async of(db: AnyDatabase, dialect: StoreDialect): Promise<Schema> {
    if (dialect !== "mysql") return new Schema(db, dialect, "");
    // utf8mb4_bin would ignore trailing spaces; each family has its own name for the collation that does not.
    const { rows } = await sql<{ version: string }>`select version() as version`.execute(db);
    const isMariaDb = /mariadb/i.test(rows[0]?.version ?? "");
    return new Schema(db, dialect, isMariaDb ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin");
  }

  /** @throws RangeError or TypeError for a definition that some dialect could not take, whatever the one at hand. */
  async createTable(name: string, definition: TableDefinition): Promise<void> {
    checkDefinition(name, definition);
    const parts = Object.entries(definition.columns).map(([column, type]) => this.#columnSql(name, column, type));
    if (definition.primaryKey !== undefined) parts.push(`primary key (${this.#names(definition.primaryKey)})`);
    const suffix =
      this.dialect === "mysql" ? " engine=InnoDB row_format=dynamic" : this.dialect === "sqlite" ? " strict" : "";
    await this.#run(`create table if not exists ${this.#name(name)} (${parts.join(", ")})${suffix}`);
    for (const [index, columns] of Object.entries(definition.indexes ?? {})) {
      await this.#createIndex(index, name, columns, "");
    }
    for (const [index, columns] of Object.entries(definition.unique ?? {})) {
      await this.#createIndex(index, name, columns, "unique ");
    }
  }

  /** Adds a column to a table with rows in it, so it must be nullable or have an initial value. */
  async addColumn(table: string, name: string, type: Column): Promise<void> {
    if (!type.nullable && type.initial === undefined) {
      throw new TypeError(`${table}.${name}: a column that is added must be nullable or have an initial value`);
    }
    if (await this.hasColumn(table, name)) return;
    await this.#run(`alter table ${this.#name(table)} add column ${this.#columnSql(table, name, type)}`);
  }

  /** Adds an index. On a big table this takes long and, on PostgreSQL, holds up writes to it. */
  async createIndex(name: string, table: string, columns: readonly string[]): Promise<void> {
    await this.#createIndex(name, table, columns, "");
  }

  async hasTable(name: string): Promise<boolean> {
    switch (this.dialect) {
      case "sqlite":
        return this.#any(sql`select 1 from sqlite_master where type = 'table' and name = ${name}`);
      case "postgres":
        return this.#any(sql`select 1 from pg_class where oid = to_regclass(${quote(this.dialect, name)})`);
      case "mysql":
        return this.#any(
          sql`select 1 from information_schema.tables where table_schema = database() and table_name = ${name}`,
        );
    }
  }

  async hasColumn(table: string, name: string): Promise<boolean> {
    switch (this.dialect) {
      case "sqlite":
        return this.#any(sql`select 1 from pragma_table_info(${table}) where name = ${name}`);
      case "postgres":
        return this.#any(
          sql`select 1 from pg_attribute where attrelid = to_regclass(${quote(this.dialect, table)}) and attname = ${name} and not attisdropped`,
        );
      case "mysql":
        return this.#any(
          sql`select 1 from information_schema.columns where table_schema = database() and table_name = ${table} and column_name = ${name}`,
        );
    }
  }

  async #createIndex(name: string, table: string, columns: readonly string[], unique: string): Promise<void> {
    const target = `${this.#name(table)} (${this.#names(columns)})`;
    if (this.dialect !== "mysql") {
      await this.#run(`create ${unique}index if not exists ${this.#name(name)} on ${target}`);
      return;
    }
    const exists = await this.#any(
      sql`select 1 from information_schema.statistics where table_schema = database() and table_name = ${table} and index_name = ${name}`,
    );
    if (!exists) await this.#run(`create ${unique}index ${this.#name(name)} on ${target}`);
  }

  #columnSql(table: string, name: string, type: Column): string {
    let text = `${this.#name(name)} ${sqlType(this.dialect, type, this.#exactCollation)}`;
    if (type.kind === "autoId") return text;
    text += type.nullable ? " null" : " not null";
    if (type.initial !== undefined) {
      text += ` default ${typeof type.initial === "number" ? type.initial : `'${type.initial.replaceAll("'", "''")}'`}`;
    }
    if (this.dialect === "sqlite" && type.kind === "key") {
      const constraint = this.#name(`${table}_${name}${tooLongMark}`);
      text += ` constraint ${constraint} check (length(${this.#name(name)}) <= ${type.chars})`;
    }
    return text;
  }

  #name(name: string): string {
    return quote(this.dialect, name);
  }

  #names(names: readonly string[]): string {
    return names.map((name) => this.#name(name)).join(", ");
  }

  async #any(query: ReturnType<typeof sql>): Promise<boolean> {
    return (await query.execute(this.db)).rows.length > 0;
  }

  async #run(statement: string): Promise<void> {
    await sql.raw(statement).execute(this.db);
  }
}

/** An identifier in the quotes of the dialect. */
export function quote(dialect: StoreDialect, name: string): string {
  return dialect === "mysql" ? `\`${name.replaceAll("`", "``")}\`` : `"${name.replaceAll('"', '""')}"`;
}

function checkDefinition(table: string, definition: TableDefinition): void {
  const automatic = Object.values(definition.columns).filter((type) => type.kind === "autoId").length;
  if (automatic + (definition.primaryKey === undefined ? 0 : 1) !== 1) {
    throw new TypeError(`${table}: a table has either a primaryKey or one autoId() column`);
  }
  if (definition.primaryKey !== undefined) checkIndex(table, "primary key", definition.primaryKey, definition);
  for (const group of [definition.indexes ?? {}, definition.unique ?? {}]) {
    for (const [name, columns] of Object.entries(group)) checkIndex(table, name, columns, definition);
  }
}

function checkIndex(table: string, index: string, columns: readonly string[], definition: TableDefinition): void {
  let chars = 0;
  for (const name of columns) {
    const type = definition.columns[name];
    if (type === undefined) throw new TypeError(`${table}: ${index} names the unknown column ${name}`);
    if (type.kind === "text" || type.kind === "blob") {
      throw new TypeError(
        `${table}: ${index} uses ${name}, but ${type.kind} columns cannot be indexed; make it a key()`,
      );
    }
    if (index === "primary key" && type.nullable)
      throw new TypeError(`${table}: ${name} of the primary key is nullable`);
    chars += type.kind === "key" ? type.chars : 2;
  }
  if (chars > indexCharsMax) {
    throw new RangeError(`${table}: ${index} spans ${chars} characters; an index of MySQL holds ${indexCharsMax}`);
  }
}
