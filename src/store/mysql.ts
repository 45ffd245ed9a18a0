/** Connections to MySQL and MariaDB through `mysql2`. */

import { connect as connectSocket, type Socket } from "node:net";
import mysql from "mysql2";
import type { Clock } from "../util/clock.ts";
import { type BoundValue, exactInteger } from "./bind.ts";
import { StoreUnavailable } from "./errors.ts";
import type { ServerSettings } from "./settings.ts";
import { bounded, tlsOptions, type Wire, type WireProtocol, type WireResult } from "./wire.ts";

export function mysqlProtocol(): WireProtocol {
  let serverSpeaksTls = true;
  return {
    dialect: "mysql",
    label: "MySQL",
    async connect(settings, clock, queryTimeoutMs) {
      const { tls } = settings;
      if (tls !== undefined && (tls.required || serverSpeaksTls)) {
        try {
          return await MysqlWire.open(settings, clock, queryTimeoutMs, true);
        } catch (error) {
          if (tls.required || (error as { code?: unknown }).code !== "HANDSHAKE_NO_SSL_SUPPORT") throw error;
          serverSpeaksTls = false;
        }
      }
      return MysqlWire.open(settings, clock, queryTimeoutMs, false);
    },
  };
}

class MysqlWire implements Wire {
  broken = false;
  onBroken: (() => void) | undefined;
  readonly #connection: mysql.Connection;
  readonly #socket: Socket;

  private constructor(connection: mysql.Connection, socket: Socket) {
    this.#connection = connection;
    this.#socket = socket;
    const markBroken = () => this.#markBroken();
    connection.on("error", markBroken);
    connection.on("end", markBroken);
    socket.on("close", markBroken);
    socket.on("error", markBroken);
  }

  static async open(
    settings: ServerSettings,
    clock: Clock,
    queryTimeoutMs: number,
    encrypted: boolean,
  ): Promise<MysqlWire> {
    const { tls } = settings;
    const ssl =
      encrypted && tls !== undefined ? { ...tlsOptions(tls), verifyIdentity: tls.verify === "peer" } : undefined;
    const socket = settings.host.startsWith("/")
      ? connectSocket({ path: settings.host })
      : connectSocket({ host: settings.host, port: settings.port, keepAlive: true, noDelay: true });
    const connection = mysql.createConnection({
      // mysql2 checks the certificate against this name; where we connect to is the socket's business.
      host: tls?.serverName ?? settings.host,
      stream: () => socket,
      user: settings.username,
      password: settings.password,
      database: settings.database,
      charset: "utf8mb4_bin",
      connectTimeout: 0,
      multipleStatements: false,
      typeCast,
      ...(ssl === undefined ? {} : { ssl }),
    });
    const wire = new MysqlWire(connection, socket);
    const connecting = new Promise<void>((resolve, reject) => {
      connection.connect((error) => (error ? reject(error) : resolve()));
    }).then(async () => {
      await wire.#prepare(queryTimeoutMs);
      return wire;
    });
    try {
      return await bounded(clock, settings.connectTimeoutMs, "connecting", connecting, () => wire.destroy());
    } catch (error) {
      wire.destroy();
      throw error;
    }
  }

  query(sql: string, parameters: BoundValue[]): Promise<WireResult> {
    if (this.broken) {
      throw new StoreUnavailable("the connection to MySQL is gone", { outcome: "not-applied" });
    }
    return new Promise<WireResult>((resolve, reject) => {
      const done = (error: unknown, result: unknown) => {
        if (error) {
          if ((error as { fatal?: unknown }).fatal === true) this.#markBroken();
          reject(error);
        } else {
          resolve(toResult(result));
        }
      };
      if (parameters.length === 0) this.#connection.query(sql, done);
      else this.#connection.query(sql, parameters.map(escapable), done);
    });
  }

  destroy(): void {
    this.#markBroken();
    this.#connection.destroy();
    this.#socket.destroy();
  }

  async end(): Promise<void> {
    if (this.broken) return;
    this.broken = true;
    await new Promise<void>((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#connection.end(() => {
        this.#socket.destroy();
        resolve();
      });
    });
  }

  /** Makes the session behave the same whatever the server's own defaults are. */
  async #prepare(queryTimeoutMs: number): Promise<void> {
    const { rows } = await this.query("select version() as version", []);
    const isMariaDb = /mariadb/i.test(String((rows[0] as { version?: unknown } | undefined)?.version));
    // Too long is an error, not a cut; and backslashes escape, on which mysql2 relies when it writes parameters into the SQL.
    const settings = [
      "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
      "transaction_isolation = 'READ-COMMITTED'",
    ];
    if (isMariaDb) settings[1] = "tx_isolation = 'READ-COMMITTED'"; // MariaDB before 11.1 knows only the old name
    if (queryTimeoutMs > 0) {
      settings.push(
        isMariaDb
          ? `max_statement_time = ${queryTimeoutMs / 1000}`
          : `max_execution_time = ${Math.ceil(queryTimeoutMs)}`,
        `innodb_lock_wait_timeout = ${Math.max(1, Math.floor(queryTimeoutMs / 1000))}`,
      );
    }
    await this.query(`set ${settings.map((setting) => `session ${setting}`).join(", ")}`, []);
  }

  #markBroken(): void {
    if (this.broken) return;
    this.broken = true;
    this.onBroken?.();
  }
}

/** mysql2 writes Buffers as hexadecimal, but other byte arrays as JSON. */
function escapable(value: BoundValue): string | number | bigint | Buffer | null {
  if (!(value instanceof Uint8Array)) return value;
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function toResult(result: unknown): WireResult {
  if (Array.isArray(result)) return { rows: result, affected: undefined, insertId: undefined, command: "" };
  const { affectedRows, insertId } = result as mysql.ResultSetHeader;
  return {
    rows: [],
    affected: affectedRows,
    insertId: insertId > 0 ? BigInt(insertId) : undefined,
    command: "",
  };
}

interface Field {
  type: string;
  string(): string | null;
}

/** Integers and sums come back as numbers where a number is exact. */
function typeCast(field: Field, next: () => unknown): unknown {
  if (field.type === "LONGLONG") {
    const digits = field.string();
    return digits === null ? null : exactInteger(digits);
  }
  if (field.type === "NEWDECIMAL") {
    const digits = field.string();
    return digits === null ? null : Number(digits);
  }
  return next();
}
