/** Everything the store throws, by what the caller can do about it; drivers' own errors travel along as `cause`. */

import type { StoreDialect } from "./settings.ts";

/** The parent of all of them; `kind` is for `switch`. */
export abstract class StoreError extends Error {
  abstract readonly kind: "unavailable" | "busy" | "conflict" | "too-long" | "overloaded" | "failed";
}

/**
 * The database did not answer: away, refusing, timed out, or the store is closed. Trying later is right.
 * `outcome` says whether the write may have happened: "unknown" only when the connection broke during a commit
 * or a statement outside a transaction.
 */
export class StoreUnavailable extends StoreError {
  override readonly name = "StoreUnavailable";
  readonly kind = "unavailable";
  readonly outcome: "not-applied" | "unknown";
  constructor(message: string, options: { cause?: unknown; outcome?: "not-applied" | "unknown" } = {}) {
    super(message, { cause: options.cause });
    this.outcome = options.outcome ?? "unknown";
  }
}

/** Somebody else held the row or file too long (deadlock, lock timeout). Nothing was written; an immediate retry is right. */
export class StoreBusy extends StoreError {
  override readonly name = "StoreBusy";
  readonly kind = "busy";
}

/** A row with that key exists already. */
export class StoreConflict extends StoreError {
  override readonly name = "StoreConflict";
  readonly kind = "conflict";
}

/** A value does not fit its column, such as a key over its length or a row over the server's packet size. */
export class ValueTooLong extends StoreError {
  override readonly name = "ValueTooLong";
  readonly kind = "too-long";
}

/** A bounded queue in front of the database is full. Nothing was written. */
export class StoreOverloaded extends StoreError {
  override readonly name = "StoreOverloaded";
  readonly kind = "overloaded";
}

/** The database refused the query for another reason: wrong SQL, a missing table, a wrong type. */
export class QueryFailed extends StoreError {
  override readonly name = "QueryFailed";
  readonly kind = "failed";
}

interface DriverError {
  message?: string;
  code?: unknown;
  errno?: unknown;
  errcode?: unknown;
  fatal?: unknown;
}

/** Turns what a driver threw into one of ours; ours pass unchanged. */
export function toStoreError(dialect: StoreDialect, thrown: unknown): StoreError {
  if (thrown instanceof StoreError) return thrown;
  const error = (typeof thrown === "object" && thrown !== null ? thrown : { message: String(thrown) }) as DriverError;
  const message = error.message || String(error.code ?? thrown);
  const options = { cause: thrown };
  switch (kindOf(dialect, error, message)) {
    case "unavailable":
      return new StoreUnavailable(message, options);
    case "refused":
      return new StoreUnavailable(message, { cause: thrown, outcome: "not-applied" });
    case "busy":
      return new StoreBusy(message, options);
    case "conflict":
      return new StoreConflict(message, options);
    case "too-long":
      return new ValueTooLong(message, options);
    default:
      return new QueryFailed(message, options);
  }
}

type Kind = "unavailable" | "refused" | "busy" | "conflict" | "too-long" | "failed";

function kindOf(dialect: StoreDialect, error: DriverError, message: string): Kind {
  switch (dialect) {
    case "sqlite":
      return sqliteKind(error, message);
    case "postgres":
      return postgresKind(error);
    case "mysql":
      return mysqlKind(error);
  }
}

/** By SQLite's result codes (sqlite.org/rescode.html); the low byte is the primary code. */
function sqliteKind(error: DriverError, message: string): Kind {
  const code = typeof error.errcode === "number" ? error.errcode : -1;
  if (code === 1555 || code === 2067 || code === 2579) return "conflict"; // PRIMARYKEY, UNIQUE, ROWID
  if (code === 275) return message.includes(tooLongMark) ? "too-long" : "failed"; // CHECK
  switch (code & 0xff) {
    case 5: // BUSY
    case 6: // LOCKED
      return "busy";
    case 18: // TOOBIG
      return "too-long";
    case 8: // READONLY
    case 10: // IOERR
    case 11: // CORRUPT
    case 13: // FULL
    case 14: // CANTOPEN
    case 26: // NOTADB
      return code === -1 ? "failed" : "refused";
    default:
      return "failed";
  }
}

/** Part of the name of the CHECK that stands in for a column's length where the database has none (SQLite). */
export const tooLongMark = "_too_long";

const systemErrors = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ERR_SOCKET_CLOSED",
  "ERR_STREAM_DESTROYED",
]);

/** By SQLSTATE (PostgreSQL manual, appendix A). An error without one did not come from the server: the connection failed. */
function postgresKind(error: DriverError): Kind {
  const code = typeof error.code === "string" ? error.code : "";
  if (!/^[0-9A-Z]{5}$/.test(code) || systemErrors.has(code)) return "unavailable";
  switch (code) {
    case "23505":
      return "conflict";
    case "22001": // string too long for varchar(n)
    case "54000": // row too big for an index
      return "too-long";
    case "40001":
    case "40P01":
    case "55P03":
      return "busy";
    case "57014": // statement_timeout, or an administrator cancelled it
    case "25006": // we talk to a standby
      return "refused";
    case "57P01":
    case "57P02":
    case "57P03":
    case "57P05":
      return "unavailable";
    default:
      // 08 connection, 53 out of resources (connections, memory, disk).
      if (code.startsWith("08")) return "unavailable";
      return code.startsWith("53") ? "refused" : "failed";
  }
}

/** By errno (MySQL and MariaDB server error reference). `fatal` marks errors after which the connection is gone. */
function mysqlKind(error: DriverError): Kind {
  const errno = typeof error.errno === "number" ? error.errno : 0;
  switch (errno) {
    case 1062:
    case 1586:
      return "conflict";
    case 1153: // max_allowed_packet
    case 1406: // data too long
      return "too-long";
    case 1205:
    case 1213:
      return "busy";
    case 1021: // disk full
    case 1040: // too many connections
    case 1203: // too many connections of this user
    case 1226: // a resource limit of this user
    case 1290: // read-only server
    case 1317: // query interrupted
    case 1969: // MariaDB max_statement_time
    case 3024: // MySQL max_execution_time
      return "refused";
    case 1053: // server shutdown
    case 1152:
    case 1158:
    case 1159:
    case 1160:
    case 1161:
    case 1927: // connection killed
    case 4031: // disconnected for inactivity
      return "unavailable";
    default:
      if (error.fatal === true || errno <= 0 || systemErrors.has(String(error.code))) return "unavailable";
      return "failed";
  }
}

/**
 * True for errors a later attempt may not meet, and which left nothing behind. Everything else either will fail
 * again or may have been applied.
 */
export function isRetriable(error: unknown): boolean {
  return error instanceof StoreBusy || (error instanceof StoreUnavailable && error.outcome === "not-applied");
}
