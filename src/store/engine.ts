/** What the store asks of each kind of database; sqlite.ts and server.ts implement it. */

import type { Dialect, Kysely } from "kysely";
import type { Clock } from "../util/clock.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { BoundValue } from "./bind.ts";
import type { StoreDialect } from "./settings.ts";

/** A database whose tables the type system does not know. Typed users get theirs from `store.tables<T>()`. */
// biome-ignore lint/suspicious/noExplicitAny: Kysely's own type for "any table"; this alias is its only spelling here.
export type AnyDatabase = Kysely<any>;

/** Called after every statement: a short name such as "select users", how long it took, and whether it succeeded. */
export type StoreObserver = (query: string, ms: number, ok: boolean) => void;

/** The part of a pino logger that is needed. */
export interface StoreLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface EngineContext {
  clock: Clock;
  log: StoreLog;
  observe: StoreObserver;
}

export interface Engine {
  readonly dialect: StoreDialect;
  /** The dialect as Kysely takes it. */
  readonly kysely: Dialect;
  /** Whether queries are accepted now. */
  readonly ready: boolean;
  /** Connections in use, idle, and callers waiting for one. */
  readonly stats: { used: number; idle: number; waiting: number };
  /** Runs a SELECT outside of any transaction; at once where that needs no waiting. Every error is a rejection. */
  select(name: string, sql: string, parameters: BoundValue[]): MaybePromise<unknown[]>;
  /** Reaches the database once. @throws StoreUnavailable saying where it was looked for. */
  open(): Promise<void>;
  /** Runs `use` with a connection of its own that is exempt from the query timeout (for migrations and their lock). */
  dedicated<T>(use: (db: AnyDatabase) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
