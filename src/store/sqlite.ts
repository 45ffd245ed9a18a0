/**
 * The embedded database: SQLite through `node:sqlite`. One connection writes, and reads; a second one reads while a
 * transaction is open. Other processes may share the file. Statements run on the event loop's thread: they are short and indexed.
 */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type TransactionSettings,
} from "kysely";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type BoundValue, bindAll } from "./bind.ts";
import type { Engine, EngineContext } from "./engine.ts";
import { StoreBusy, StoreUnavailable, toStoreError } from "./errors.ts";
import { queryName } from "./query-name.ts";
import type { SqliteSettings } from "./settings.ts";

const statementsMax = 256;
/** Between attempts while another process holds the file; short, because its transactions are. */
const busyRetryMs = 5;
/** After this much work without a pause, sockets get a turn. */
const sliceMs = 10;
const defaultQueryTimeoutMs = 10_000;

/** Opens nothing yet; `open` does. */
export function sqliteEngine(settings: SqliteSettings, context: EngineContext): Engine {
  const file = new SqliteFile(settings, context);
  const kysely: Dialect = {
    createDriver: () => new SqliteDriver(file),
    createAdapter: () => new ConcurrentSqliteAdapter(),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  };
  return {
    dialect: "sqlite",
    kysely,
    get ready() {
      return file.isOpen;
    },
    get stats() {
      return file.stats;
    },
    select: (name, sql, parameters) => file.select(name, sql, parameters),
    open: async () => file.open(),
    dedicated: (use) => use(new Kysely({ dialect: kysely })),
    close: () => file.close(),
  };
}

/** Kysely would serialise everything itself; we know which statements may run side by side. */
class ConcurrentSqliteAdapter extends SqliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

interface CachedStatement {
  statement: StatementSync;
  returnsRows: boolean;
  bigIntegers: boolean;
}

/** One connection with its prepared statements, least recently used first. */
class SqliteConnection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, CachedStatement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  run(sql: string, parameters: BoundValue[]): QueryResult<unknown> {
    const cached = this.#prepare(sql);
    if (!cached.returnsRows) {
      const { changes, lastInsertRowid } = cached.statement.run(...parameters);
      return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
    }
    return { rows: this.#rows(cached, parameters) };
  }

  select(sql: string, parameters: BoundValue[]): unknown[] {
    return this.#rows(this.#prepare(sql), parameters);
  }

  *iterate(sql: string, parameters: BoundValue[]): Generator<unknown> {
    const statement = this.#database.prepare(sql);
    statement.setReadBigInts(true);
    for (const row of statement.iterate(...parameters)) {
      narrowIntegers(row as Record<string, unknown>);
      yield row;
    }
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(sql: string): CachedStatement {
    let cached = this.#statements.get(sql);
    if (cached !== undefined) {
      // The order matters only when statements may have to go soon.
      if (this.#statements.size > statementsMax / 2) {
        this.#statements.delete(sql);
        this.#statements.set(sql, cached);
      }
      return cached;
    }
    const statement = this.#database.prepare(sql);
    const returnsRows = statement.columns().length > 0;
    // Reading every integer as bigint is slow, so selects try numbers first; a write that returns rows cannot be tried twice.
    const bigIntegers = returnsRows && !isSelect(sql);
    if (bigIntegers) statement.setReadBigInts(true);
    cached = { statement, returnsRows, bigIntegers };
    this.#statements.set(sql, cached);
    if (this.#statements.size > statementsMax) {
      for (const oldest of this.#statements.keys()) {
        this.#statements.delete(oldest);
        break;
      }
    }
    return cached;
  }

  #rows(cached: CachedStatement, parameters: BoundValue[]): unknown[] {
    if (!cached.bigIntegers) {
      try {
        return cached.statement.all(...parameters);
      } catch (error) {
        if ((error as { code?: unknown }).code !== "ERR_OUT_OF_RANGE") throw error;
        cached.bigIntegers = true;
        cached.statement.setReadBigInts(true);
      }
    }
    const rows = cached.statement.all(...parameters);
    for (const row of rows) narrowIntegers(row as Record<string, unknown>);
    return rows;
  }
}

/** Integers are numbers wherever a number is exact, as with the other dialects. */
function narrowIntegers(row: Record<string, unknown>): void {
  for (const column in row) {
    const value = row[column];
    if (typeof value === "bigint") {
      const number = Number(value);
      if (Number.isSafeInteger(number)) row[column] = number;
    }
  }
}

function isSelect(sql: string): boolean {
  return /^\s*select\b/i.test(sql);
}

/** The file: its two connections, and the lock that makes transactions of this process take turns. */
class SqliteFile {
  readonly #settings: SqliteSettings;
  readonly context: EngineContext;
  readonly #timeoutMs: number;
  #writer: SqliteConnection | undefined;
  #reader: SqliteConnection | undefined;
  #locked = false;
  readonly #waiters: { grant: () => void; refuse: (error: Error) => void }[] = [];
  #busyMs = 0;

  constructor(settings: SqliteSettings, context: EngineContext) {
    this.#settings = settings;
    this.context = context;
    this.#timeoutMs = settings.queryTimeoutMs ?? defaultQueryTimeoutMs;
  }

  get isOpen(): boolean {
    return this.#writer !== undefined;
  }

  get locked(): boolean {
    return this.#locked;
  }

  get stats(): { used: number; idle: number; waiting: number } {
    return { used: this.#locked ? 1 : 0, idle: this.#locked ? 0 : 1, waiting: this.#waiters.length };
  }

  get writer(): SqliteConnection {
    if (this.#writer === undefined) throw closedError();
    return this.#writer;
  }

  /** A second view of the file, showing what is committed; none for memory. */
  get reader(): SqliteConnection | undefined {
    return this.#reader;
  }

  open(): void {
    const { path, synchronous = "normal" } = this.#settings;
    const inMemory = path === ":memory:";
    try {
      if (!inMemory) {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        closeSync(openSync(path, "a", 0o600)); // it holds credentials; -wal and -shm inherit its mode
      }
      const writer = new DatabaseSync(path);
      // While another process switches to WAL or recovers after a crash, opening waits for it.
      writer.exec(`pragma busy_timeout = ${this.#timeoutMs}`);
      writer.exec("pragma journal_mode = wal");
      writer.exec(`pragma synchronous = ${synchronous}`);
      writer.exec("pragma foreign_keys = on");
      writer.exec("pragma temp_store = memory");
      writer.exec("pragma cache_size = -16000"); // 16 MB
      // From here on waiting happens in the event loop, not inside SQLite, which would stop the whole node.
      writer.exec("pragma busy_timeout = 0");
      this.#writer = new SqliteConnection(writer);
      if (inMemory) return;
      const reader = new DatabaseSync(path, { readOnly: true });
      reader.exec("pragma busy_timeout = 0");
      this.#reader = new SqliteConnection(reader);
    } catch (error) {
      this.#writer?.close();
      this.#writer = undefined;
      const cause = error instanceof Error ? error.message : String(error);
      throw new StoreUnavailable(`SQLite cannot open ${path}: ${cause}`, { cause: error, outcome: "not-applied" });
    }
  }

  async close(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    try {
      await this.lock(); // lets the transaction that runs finish
    } catch (error) {
      this.context.log.warn({ what: "store_close_forced", error }, "SQLite is closed under a running transaction");
    }
    this.#writer = undefined;
    for (const waiter of this.#waiters.splice(0)) waiter.refuse(closedError());
    this.#reader?.close();
    this.#reader = undefined;
    try {
      writer.exec("pragma optimize");
    } catch (error) {
      this.context.log.warn({ what: "store_optimize_failed", error }, "SQLite did not update its statistics");
    }
    writer.close();
  }

  /** Waits for one's turn to write. @throws StoreBusy when it does not come within the query timeout. */
  async lock(): Promise<void> {
    if (!this.#locked) {
      this.#locked = true;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const waiter = {
        grant: () => {
          timer.cancel();
          resolve();
        },
        refuse: (error: Error) => {
          timer.cancel();
          reject(error);
        },
      };
      const timer = this.context.clock.after(this.#timeoutMs, () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new StoreBusy(`SQLite: another transaction of this process ran longer than ${this.#timeoutMs} ms`));
      });
      this.#waiters.push(waiter);
    });
  }

  unlock(): void {
    const next = this.#waiters.shift();
    if (next === undefined) this.#locked = false;
    else next.grant();
  }

  /**
   * A SELECT, at once: promises would cost more than SQLite itself. The fallback is for when another process holds the file,
   * when a transaction is open and there is no second view, and when sockets must get a turn.
   */
  select(name: string, sql: string, parameters: BoundValue[]): MaybePromise<unknown[]> {
    if (!this.isOpen) return Promise.reject(closedError());
    // The writer's pages stay in memory over its own commits; the reader has to read them anew after each.
    const connection = this.#locked ? this.#reader : this.#writer;
    if (connection === undefined || this.#busyMs > sliceMs) return this.#selectLater(name, sql, parameters);
    const { clock, observe } = this.context;
    const started = clock.monotonic();
    try {
      const rows = connection.select(sql, parameters);
      const took = clock.monotonic() - started;
      this.#busyMs += took;
      observe(name, took, true);
      return rows;
    } catch (thrown) {
      const error = toStoreError("sqlite", thrown);
      if (error instanceof StoreBusy) return this.#selectLater(name, sql, parameters);
      observe(name, clock.monotonic() - started, false);
      return Promise.reject(error);
    }
  }

  async #selectLater(name: string, sql: string, parameters: BoundValue[]): Promise<unknown[]> {
    if (this.#reader !== undefined) {
      return this.attempt(name, () => (this.#reader ?? this.writer).select(sql, parameters));
    }
    await this.lock();
    try {
      return await this.attempt(name, () => this.writer.select(sql, parameters));
    } finally {
      this.unlock();
    }
  }

  /**
   * Runs `statement`, again while another process holds the file (nothing was written then), and lets the
   * event loop turn after a slice of work, since a chain of our promises alone never would.
   */
  async attempt<T>(name: string, statement: () => T): Promise<T> {
    if (this.#busyMs > sliceMs) {
      this.#busyMs = 0;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const { clock, observe } = this.context;
    const started = clock.monotonic();
    for (;;) {
      try {
        const tried = clock.monotonic();
        const result = statement();
        const now = clock.monotonic();
        this.#busyMs += now - tried;
        observe(name, now - started, true);
        return result;
      } catch (thrown) {
        const error = toStoreError("sqlite", thrown);
        const waitedMs = clock.monotonic() - started;
        if (error instanceof StoreBusy && waitedMs < this.#timeoutMs) {
          await new Promise<void>((resolve) => clock.after(busyRetryMs, resolve));
          continue;
        }
        observe(name, waitedMs, false);
        throw error;
      }
    }
  }
}

/** What Kysely holds while it runs a query or a transaction; it becomes the writer only when it must. */
class SqliteHandle implements DatabaseConnection {
  readonly #file: SqliteFile;
  inTransaction = false;

  constructor(file: SqliteFile) {
    this.#file = file;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const file = this.#file;
    const parameters = bindAll(query.parameters);
    const name = queryName(query.query);
    if (this.inTransaction) {
      return file.attempt(name, () => file.writer.run(query.sql, parameters) as QueryResult<R>);
    }
    if (query.query.kind === "SelectQueryNode" && file.reader !== undefined) {
      return file.attempt(name, () => (file.reader ?? file.writer).run(query.sql, parameters) as QueryResult<R>);
    }
    await file.lock();
    try {
      return await file.attempt(name, () => file.writer.run(query.sql, parameters) as QueryResult<R>);
    } finally {
      file.unlock();
    }
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    const connection = this.inTransaction ? this.#file.writer : (this.#file.reader ?? this.#file.writer);
    try {
      for (const row of connection.iterate(query.sql, bindAll(query.parameters))) yield { rows: [row as R] };
    } catch (error) {
      throw toStoreError("sqlite", error);
    }
  }
}

class SqliteDriver implements Driver {
  readonly #file: SqliteFile;

  constructor(file: SqliteFile) {
    this.#file = file;
  }

  async init(): Promise<void> {
    this.#file.writer; // throws when the file is not open
  }

  async acquireConnection(): Promise<SqliteHandle> {
    return new SqliteHandle(this.#file);
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}

  async beginTransaction(handle: SqliteHandle, settings: TransactionSettings): Promise<void> {
    const file = this.#file;
    await file.lock();
    try {
      // "immediate" takes the write lock now: a later upgrade could fail after half of the work.
      const begin = settings.accessMode === "read only" ? "begin" : "begin immediate";
      await file.attempt("begin", () => file.writer.exec(begin));
      handle.inTransaction = true;
    } catch (error) {
      file.unlock();
      throw error;
    }
  }

  async commitTransaction(handle: SqliteHandle): Promise<void> {
    await this.#file.attempt("commit", () => this.#file.writer.exec("commit"));
    this.#leave(handle);
  }

  async rollbackTransaction(handle: SqliteHandle): Promise<void> {
    if (!handle.inTransaction) return;
    try {
      this.#file.writer.exec("rollback");
    } catch (error) {
      // Some errors (disk full, I/O) have rolled back already.
      this.#file.context.log.warn({ what: "store_rollback_failed", error }, "SQLite had no transaction to roll back");
    } finally {
      this.#leave(handle);
    }
  }

  async savepoint(handle: SqliteHandle, name: string): Promise<void> {
    await this.#run(handle, `savepoint ${quoted(name)}`);
  }

  async rollbackToSavepoint(handle: SqliteHandle, name: string): Promise<void> {
    await this.#run(handle, `rollback to ${quoted(name)}`);
  }

  async releaseSavepoint(handle: SqliteHandle, name: string): Promise<void> {
    await this.#run(handle, `release ${quoted(name)}`);
  }

  async #run(_handle: SqliteHandle, sql: string): Promise<void> {
    await this.#file.attempt("savepoint", () => this.#file.writer.exec(sql));
  }

  #leave(handle: SqliteHandle): void {
    handle.inTransaction = false;
    this.#file.unlock();
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function closedError(): StoreUnavailable {
  return new StoreUnavailable("the store is closed", { outcome: "not-applied" });
}
