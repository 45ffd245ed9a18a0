/** The SQL database of a node, whichever it is: opened, watched, and handed out as a Kysely instance. */

import { type CompiledQuery, Kysely } from "kysely";
import type { Clock } from "../util/clock.ts";
import type { SqlValue } from "./bind.ts";
import type { AnyDatabase, Engine, StoreLog, StoreObserver } from "./engine.ts";
import { PreparedSelect } from "./prepared.ts";
import { serverEngine } from "./server.ts";
import type { StoreDialect, StoreSettings } from "./settings.ts";
import { sqliteEngine } from "./sqlite.ts";

export interface StoreOptions {
  clock: Clock;
  log: StoreLog;
  /** Told of every statement, for metrics. */
  observe?: StoreObserver;
}

export class Store {
  readonly dialect: StoreDialect;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly #engine: Engine;
  readonly #db: AnyDatabase;
  #closing: Promise<void> | undefined;

  /** For `openStore`. */
  constructor(engine: Engine, options: StoreOptions) {
    this.dialect = engine.dialect;
    this.clock = options.clock;
    this.log = options.log;
    this.#engine = engine;
    this.#db = new Kysely({ dialect: engine.kysely });
  }

  /**
   * The database, its tables unknown to the compiler. Queries throw the errors of errors.ts and always end: in the
   * time the settings allow, or at once while the server is known to be away.
   */
  get db(): AnyDatabase {
    return this.#db;
  }

  /** The same database, with the tables a part of the house declares for itself. */
  tables<T>(): Kysely<T> {
    return this.#db as Kysely<T>;
  }

  /**
   * A SELECT whose SQL is made once, at its first use; for queries that run at each login or message. `build` gets
   * stand-ins for the arguments, which it may only hand on to the query builder.
   */
  prepare<Args extends SqlValue[], Row>(
    build: (...args: Args) => { compile(): CompiledQuery<Row> },
  ): PreparedSelect<Args, Row> {
    return new PreparedSelect(this.#engine, build);
  }

  /** The database is in this process: prepared selects are answered at once unless it is busy. */
  get embedded(): boolean {
    return this.dialect === "sqlite";
  }

  /** Whether the database answers, as far as is known now. */
  get ready(): boolean {
    return this.#engine.ready && this.#closing === undefined;
  }

  /** Connections in use and idle, and callers waiting for one. */
  get stats(): { used: number; idle: number; waiting: number } {
    return this.#engine.stats;
  }

  /** Runs `use` on a connection of its own without query timeout; for migrations and long maintenance. */
  dedicated<T>(use: (db: AnyDatabase) => Promise<T>): Promise<T> {
    return this.#engine.dedicated(use);
  }

  /** Lets running queries finish (a few seconds at most) and closes every connection. */
  close(): Promise<void> {
    this.#closing ??= this.#engine.close();
    return this.#closing;
  }
}

/**
 * Connects once, to be sure the settings work.
 * @throws StoreUnavailable saying where the database was looked for and what happened; see `retryWithBackoff`.
 */
export async function openStore(settings: StoreSettings, options: StoreOptions): Promise<Store> {
  const context = { clock: options.clock, log: options.log, observe: options.observe ?? (() => {}) };
  const engine = settings.driver === "sqlite" ? sqliteEngine(settings, context) : serverEngine(settings, context);
  await engine.open();
  return new Store(engine, options);
}
