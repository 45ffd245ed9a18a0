/** Bringing the tables to what this version knows: each part declares its migrations, and one node at a time runs what is missing. */

import { sql } from "kysely";
import type { Clock } from "../util/clock.ts";
import { key, millis } from "./columns.ts";
import type { AnyDatabase } from "./engine.ts";
import { StoreBusy, type StoreError, StoreUnavailable } from "./errors.ts";
import { retryWithBackoff } from "./retry.ts";
import { Schema } from "./schema.ts";
import type { StoreDialect } from "./settings.ts";
import type { Store } from "./store.ts";

export interface Migration {
  /** Part, slash, number, dash, words: "roster/1-create". It is recorded; never rename one that was released. */
  name: string;
  /**
   * Adds what is missing; it may run again after being cut off. SQLite and PostgreSQL run it in one transaction,
   * so it must not open its own.
   */
  up(schema: Schema, dialect: StoreDialect): Promise<void>;
}

export interface MigrationReport {
  /** What ran now, in order. */
  applied: string[];
  /** Recorded, but unknown here: a newer version has been at this database, or a part is switched off. */
  unknown: string[];
}

/** A migration failed; its part of the schema may be incomplete on MySQL, and the next start tries again. */
export class MigrationFailed extends Error {
  override readonly name = "MigrationFailed";
  readonly migration: string;
  constructor(migration: string, cause: unknown) {
    super(`migration ${migration} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.migration = migration;
  }
}

const table = "schema_migrations";
const defaultLockWaitMs = 300_000;
/** Advisory locks of PostgreSQL are numbers, per database; this one is ours ("meer" as bytes). */
const postgresLock = 0x6d656572;

/**
 * Runs what is missing, in the given order, under a lock that other nodes wait for. When nothing is missing it takes
 * no lock at all.
 * @throws MigrationFailed, StoreBusy when another node holds the lock longer than `lockWaitMs` (default five minutes),
 * StoreUnavailable when the database does not answer, TypeError for names that are malformed, doubled or out of order.
 */
export async function migrate(
  store: Store,
  migrations: readonly Migration[],
  options: { clock: Clock; lockWaitMs?: number },
): Promise<MigrationReport> {
  checkNames(migrations);
  const lockWaitMs = options.lockWaitMs ?? defaultLockWaitMs;
  const recorded = await recordedNames(store.db, store.dialect);
  if (migrations.every((migration) => recorded.has(migration.name))) return report([], recorded, migrations);

  switch (store.dialect) {
    case "sqlite":
      return migrateSqlite(store, migrations, options.clock, lockWaitMs);
    case "postgres":
      return store.dedicated(async (db) => {
        await lockPostgres(db, lockWaitMs);
        return runMissing(db, store, migrations, options.clock);
      });
    case "mysql":
      return store.dedicated(async (db) => {
        await lockMysql(db, lockWaitMs);
        return runMissing(db, store, migrations, options.clock);
      });
  }
}

/** The transaction is the lock: it holds the whole file, against other processes too. */
async function migrateSqlite(
  store: Store,
  migrations: readonly Migration[],
  clock: Clock,
  lockWaitMs: number,
): Promise<MigrationReport> {
  const deadline = clock.monotonic() + lockWaitMs;
  return retryWithBackoff(
    () =>
      store.db.transaction().execute(async (trx) => {
        return runMissing(trx, store, migrations, clock);
      }),
    {
      clock,
      delayMinMs: 50,
      delayMaxMs: 500,
      retriable: (error) => error instanceof StoreBusy && clock.monotonic() < deadline,
    },
  );
}

async function runMissing(
  db: AnyDatabase,
  store: Store,
  migrations: readonly Migration[],
  clock: Clock,
): Promise<MigrationReport> {
  const schema = await Schema.of(db, store.dialect);
  await createRecord(schema);
  const recorded = await recordedNames(db, store.dialect);
  const applied: string[] = [];
  for (const migration of migrations) {
    if (recorded.has(migration.name)) continue;
    if (store.dialect === "postgres") {
      await db.transaction().execute(async (trx) => runOne(await Schema.of(trx, store.dialect), migration, clock));
    } else {
      // SQLite is in a transaction already; MySQL commits every DDL statement by itself.
      await runOne(schema, migration, clock);
    }
    applied.push(migration.name);
  }
  if (applied.length > 0) store.log.info({ migrations: applied.length }, "the database was brought up to date");
  return report(applied, recorded, migrations);
}

async function runOne(schema: Schema, migration: Migration, clock: Clock): Promise<void> {
  try {
    await migration.up(schema, schema.dialect);
  } catch (error) {
    if (error instanceof StoreBusy || error instanceof StoreUnavailable) throw error satisfies StoreError;
    throw new MigrationFailed(migration.name, error);
  }
  await schema.db.insertInto(table).values({ name: migration.name, applied_at: clock.now() }).execute();
}

async function createRecord(schema: Schema): Promise<void> {
  await schema.createTable(table, { columns: { name: key(), applied_at: millis() }, primaryKey: ["name"] });
}

async function recordedNames(db: AnyDatabase, dialect: StoreDialect): Promise<Set<string>> {
  const schema = await Schema.of(db, dialect);
  if (!(await schema.hasTable(table))) return new Set();
  const rows: { name: string }[] = await db.selectFrom(table).select("name").orderBy("name").execute();
  return new Set(rows.map((row) => row.name));
}

/** The lock belongs to the connection, which ends after the migrations; so does the next one. */
async function lockPostgres(db: AnyDatabase, lockWaitMs: number): Promise<void> {
  await sql`set lock_timeout = ${sql.lit(lockWaitMs)}`.execute(db);
  try {
    await sql`select pg_advisory_lock(${sql.lit(postgresLock)})`.execute(db);
  } catch (error) {
    throw error instanceof StoreBusy ? lockBusy(lockWaitMs, error) : error;
  }
  await sql`set lock_timeout = 0`.execute(db);
}

async function lockMysql(db: AnyDatabase, lockWaitMs: number): Promise<void> {
  const seconds = sql.lit(Math.ceil(lockWaitMs / 1000));
  // Names of locks are valid in the whole server and hold 64 characters, hence the digest.
  const { rows } = await sql<{ got: number | null }>`
    select get_lock(concat('meerkat:', md5(database())), ${seconds}) as got`.execute(db);
  if (rows[0]?.got !== 1) throw lockBusy(lockWaitMs);
}

function lockBusy(lockWaitMs: number, cause?: unknown): StoreBusy {
  return new StoreBusy(`another node held the migration lock for more than ${lockWaitMs} ms`, { cause });
}

function report(applied: string[], recorded: ReadonlySet<string>, migrations: readonly Migration[]): MigrationReport {
  const known = new Set(migrations.map((migration) => migration.name));
  return { applied, unknown: [...recorded].filter((name) => !known.has(name)) };
}

function checkNames(migrations: readonly Migration[]): void {
  const last = new Map<string, number>();
  for (const { name } of migrations) {
    const match = /^([a-z][a-z0-9_-]*)\/([1-9][0-9]*)-[a-z0-9-]+$/.exec(name);
    if (match === null) throw new TypeError(`migration "${name}" is not named like "roster/1-create"`);
    const [, part = "", digits = ""] = match;
    if (Number(digits) <= (last.get(part) ?? 0)) {
      throw new TypeError(`migration "${name}" is doubled or comes after a later one of its part`);
    }
    last.set(part, Number(digits));
  }
}
