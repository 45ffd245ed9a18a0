/** Connections to PostgreSQL through `pg`. */

import pg from "pg";
import type { Clock } from "../util/clock.ts";
import { type BoundValue, exactInteger } from "./bind.ts";
import { StoreUnavailable } from "./errors.ts";
import { plannedAnewMark } from "./planned-anew.ts";
import type { ServerSettings } from "./settings.ts";
import { bounded, tlsOptions, type Wire, type WireProtocol, type WireResult } from "./wire.ts";

/** Statements a connection keeps parsed; beyond, and for long multi-row inserts, they are parsed each time. */
const namedStatementsMax = 500;
const namedSqlCharsMax = 2_000;

const int8 = 20;
const numeric = 1700;

export function postgresProtocol(): WireProtocol {
  const names = new Map<string, string>();
  let serverSpeaksTls = true;
  return {
    dialect: "postgres",
    label: "PostgreSQL",
    async connect(settings, clock, queryTimeoutMs) {
      const { tls } = settings;
      if (tls !== undefined && (tls.required || serverSpeaksTls)) {
        try {
          return await PostgresWire.open(settings, clock, queryTimeoutMs, names, true);
        } catch (error) {
          if (tls.required || !(error instanceof Error) || !/does not support SSL/.test(error.message)) throw error;
          serverSpeaksTls = false;
        }
      }
      return PostgresWire.open(settings, clock, queryTimeoutMs, names, false);
    },
  };
}

class PostgresWire implements Wire {
  broken = false;
  onBroken: (() => void) | undefined;
  readonly #client: pg.Client;
  readonly #names: Map<string, string>;

  private constructor(client: pg.Client, names: Map<string, string>) {
    this.#client = client;
    this.#names = names;
    const markBroken = () => this.#markBroken();
    client.on("error", markBroken);
    client.on("end", markBroken);
  }

  static async open(
    settings: ServerSettings,
    clock: Clock,
    queryTimeoutMs: number,
    names: Map<string, string>,
    encrypted: boolean,
  ): Promise<PostgresWire> {
    const client = new pg.Client({
      host: settings.host,
      port: settings.port,
      database: settings.database,
      user: settings.username,
      password: settings.password,
      application_name: "meerkat",
      keepAlive: true,
      ssl: encrypted && settings.tls !== undefined ? postgresTls(settings) : false,
      types: { getTypeParser },
    });
    const wire = new PostgresWire(client, names);
    const connecting = client.connect().then(async () => {
      // Not as startup parameters, which connection poolers in between refuse.
      const idleMs = queryTimeoutMs === 0 ? 0 : Math.max(2 * queryTimeoutMs, 60_000);
      await client.query(
        `set statement_timeout = ${queryTimeoutMs}; set idle_in_transaction_session_timeout = ${idleMs}; set client_min_messages = warning`,
      );
      return wire;
    });
    try {
      return await bounded(clock, settings.connectTimeoutMs, "connecting", connecting, () => wire.destroy());
    } catch (error) {
      wire.destroy();
      throw error;
    }
  }

  async query(sql: string, parameters: BoundValue[]): Promise<WireResult> {
    if (this.broken) throw new StoreUnavailable("the connection to PostgreSQL is gone", { outcome: "not-applied" });
    const name = this.#nameOf(sql);
    try {
      return toResult(await this.#client.query({ name, text: sql, values: parameters }));
    } catch (error) {
      if (!isStalePlan(error)) throw error;
      // Another node's migration added a column to a table we select with "*": only a fresh parse sees it.
      this.destroy();
      throw new StoreUnavailable("a table changed under a prepared statement", {
        cause: error,
        outcome: "not-applied",
      });
    }
  }

  destroy(): void {
    this.#markBroken();
    this.end();
  }

  async end(): Promise<void> {
    this.broken = true;
    // Rejects only when the socket fails on the way out, which ends it as well.
    await this.#client.end().catch(() => undefined);
  }

  #markBroken(): void {
    if (this.broken) return;
    this.broken = true;
    this.onBroken?.();
  }

  #nameOf(sql: string): string | undefined {
    const known = this.#names.get(sql);
    if (known !== undefined) return known;
    if (sql.endsWith(plannedAnewMark)) return undefined;
    if (sql.length > namedSqlCharsMax || this.#names.size >= namedStatementsMax) return undefined;
    const name = `meerkat_${this.#names.size}`;
    this.#names.set(sql, name);
    return name;
  }
}

function toResult(result: pg.QueryResult): WireResult {
  const counts = result.command === "INSERT" || result.command === "UPDATE" || result.command === "DELETE";
  return {
    rows: result.rows ?? [],
    affected: counts ? (result.rowCount ?? 0) : undefined,
    insertId: undefined,
    command: result.command ?? "",
  };
}

function isStalePlan(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === "0A000" && typeof message === "string" && message.includes("cached plan");
}

/** Integers and sums come back as numbers where a number is exact. */
function getTypeParser(oid: number, format?: string): (text: string) => unknown {
  if (format !== "binary") {
    if (oid === int8) return exactInteger;
    if (oid === numeric) return Number;
  }
  return pg.types.getTypeParser(oid, format as "text");
}

function postgresTls(settings: ServerSettings): object {
  const tls = settings.tls;
  if (tls === undefined) return {};
  const servername = tls.serverName;
  return servername === undefined ? tlsOptions(tls) : { ...tlsOptions(tls), servername };
}
