/** Databases that are servers (PostgreSQL, MySQL, MariaDB): pool, time limits, circuit breaker, and the Kysely driver over them. */

import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  MysqlAdapter,
  MysqlIntrospector,
  MysqlQueryCompiler,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from "kysely";
import { type BoundValue, bindAll } from "./bind.ts";
import type { AnyDatabase, Engine, EngineContext } from "./engine.ts";
import { QueryFailed, StoreUnavailable, toStoreError } from "./errors.ts";
import { Health } from "./health.ts";
import { mysqlProtocol } from "./mysql.ts";
import { Pool } from "./pool.ts";
import { postgresProtocol } from "./postgres.ts";
import { queryName } from "./query-name.ts";
import { quote } from "./schema.ts";
import type { ServerSettings } from "./settings.ts";
import { bounded, type Wire, type WireProtocol } from "./wire.ts";

/** Callers that may wait for a connection, for each connection of the pool. */
const waitersPerConnection = 1_000;
/** The server stops a slow statement itself; our own timer comes after it, for the server that says nothing at all. */
const patienceFactor = 1.25;
const closeGraceMs = 5_000;

/** Opens nothing yet; `open` does. */
export function serverEngine(settings: ServerSettings, context: EngineContext): Engine {
  const protocol = settings.driver === "pgsql" ? postgresProtocol() : mysqlProtocol();
  return new ServerEngine(settings, protocol, context);
}

class ServerEngine implements Engine {
  readonly dialect: WireProtocol["dialect"];
  readonly kysely: Dialect;
  readonly #settings: ServerSettings;
  readonly #protocol: WireProtocol;
  readonly #context: EngineContext;
  readonly #health: Health;
  readonly #pool: Pool<ServerConnection>;

  constructor(settings: ServerSettings, protocol: WireProtocol, context: EngineContext) {
    this.#settings = settings;
    this.#protocol = protocol;
    this.#context = context;
    this.dialect = protocol.dialect;
    this.#health = new Health({
      clock: context.clock,
      probe: () => this.#probe(),
      onChange: (ready, reason) => this.#changed(ready, reason),
    });
    this.#pool = new Pool({
      clock: context.clock,
      connect: () => this.#connect(settings.queryTimeoutMs),
      size: settings.poolSize,
      waitMs: settings.connectTimeoutMs,
      waitersMax: settings.poolSize * waitersPerConnection,
      onIdleLost: () => this.#health.suspect(),
    });
    const acquire = () => this.#acquire();
    const release = (connection: ServerConnection) => this.#pool.release(connection);
    this.kysely = kyselyDialect(this.dialect, () => new ServerDriver(this.dialect, acquire, release));
  }

  get ready(): boolean {
    return this.#health.ready;
  }

  get stats(): { used: number; idle: number; waiting: number } {
    return this.#pool.stats;
  }

  async select(name: string, sql: string, parameters: BoundValue[]): Promise<unknown[]> {
    const connection = await this.#acquire();
    try {
      return (await connection.run(name, sql, parameters, true)).rows;
    } finally {
      this.#pool.release(connection);
    }
  }

  async open(): Promise<void> {
    this.#pool.release(await this.#pool.acquire());
  }

  async dedicated<T>(use: (db: AnyDatabase) => Promise<T>): Promise<T> {
    this.#health.check();
    const connection = await this.#connect(0);
    // Kysely takes and returns it for each statement; it is always the same one, so session locks hold.
    const driver = () =>
      new ServerDriver(
        this.dialect,
        async () => connection,
        () => {},
      );
    try {
      return await use(new Kysely({ dialect: kyselyDialect(this.dialect, driver) }));
    } finally {
      await connection.end();
    }
  }

  async close(): Promise<void> {
    this.#health.close();
    await this.#pool.close(closeGraceMs);
  }

  async #acquire(): Promise<ServerConnection> {
    this.#health.check();
    try {
      return await this.#pool.acquire();
    } catch (error) {
      if (error instanceof StoreUnavailable) this.#health.suspect();
      throw error;
    }
  }

  async #connect(queryTimeoutMs: number): Promise<ServerConnection> {
    const { host, port, database, username } = this.#settings;
    try {
      const wire = await this.#protocol.connect(this.#settings, this.#context.clock, queryTimeoutMs);
      return new ServerConnection(wire, this.dialect, this.#context, queryTimeoutMs, () => this.#health.suspect());
    } catch (cause) {
      const reason =
        cause instanceof Error ? cause.message || String((cause as { code?: unknown }).code) : String(cause);
      throw new StoreUnavailable(
        `${this.#protocol.label} at ${host}:${port}, database "${database}", user "${username}": ${reason}`,
        { cause, outcome: "not-applied" },
      );
    }
  }

  async #probe(): Promise<void> {
    const connection = await this.#connect(this.#settings.queryTimeoutMs);
    try {
      await connection.executeQuery(CompiledQuery.raw("select 1"));
    } finally {
      await connection.end();
    }
  }

  #changed(ready: boolean, reason: StoreUnavailable | undefined): void {
    if (reason === undefined) {
      this.#context.log.info({ what: "store_ready", ready }, "The database answers again");
      return;
    }
    this.#pool.interrupt(new StoreUnavailable(reason.message, { cause: reason, outcome: "not-applied" }));
    this.#context.log.warn(
      { what: "store_unavailable", ready, reason: reason.message },
      "The database does not answer",
    );
  }
}

/** A wire with what every statement gets: a time limit, our errors, the observer. */
class ServerConnection implements DatabaseConnection {
  inTransaction = false;
  readonly #wire: Wire;
  readonly #dialect: WireProtocol["dialect"];
  readonly #context: EngineContext;
  readonly #timeoutMs: number;
  readonly #suspect: () => void;

  constructor(
    wire: Wire,
    dialect: WireProtocol["dialect"],
    context: EngineContext,
    queryTimeoutMs: number,
    suspect: () => void,
  ) {
    this.#wire = wire;
    this.#dialect = dialect;
    this.#context = context;
    this.#timeoutMs = queryTimeoutMs * patienceFactor;
    this.#suspect = suspect;
  }

  get broken(): boolean {
    return this.#wire.broken;
  }

  get onBroken(): (() => void) | undefined {
    return this.#wire.onBroken;
  }

  set onBroken(run: (() => void) | undefined) {
    this.#wire.onBroken = run;
  }

  destroy(): void {
    this.#wire.destroy();
  }

  end(): Promise<void> {
    return this.#wire.end();
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const parameters = bindAll(query.parameters);
    const readsOnly = query.query.kind === "SelectQueryNode";
    const result = await this.run(queryName(query.query), query.sql, parameters, this.inTransaction || readsOnly);
    const rows = result.rows as R[];
    if (result.affected === undefined) return { rows };
    return { rows, numAffectedRows: BigInt(result.affected), insertId: result.insertId };
  }

  // biome-ignore lint/correctness/useYield: the interface wants a generator, and there is nothing to yield.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new QueryFailed("streaming is not supported; read in pages with eachRow()");
  }

  /** `harmless`: when the connection breaks meanwhile, nothing will have been applied. */
  async run(name: string, sql: string, parameters: ReturnType<typeof bindAll>, harmless: boolean) {
    const { clock, observe } = this.#context;
    const started = clock.monotonic();
    try {
      const sent = this.#wire.query(sql, parameters);
      const result = await bounded(clock, this.#timeoutMs, `query "${name}"`, sent, () => this.#wire.destroy());
      observe(name, clock.monotonic() - started, true);
      return result;
    } catch (thrown) {
      observe(name, clock.monotonic() - started, false);
      const error = toStoreError(this.#dialect, thrown);
      if (!(error instanceof StoreUnavailable)) throw error;
      if (error.outcome === "unknown") this.#wire.destroy();
      this.#suspect();
      if (!harmless || error.outcome === "not-applied") throw error;
      throw new StoreUnavailable(error.message, { cause: error.cause ?? error, outcome: "not-applied" });
    }
  }
}

class ServerDriver implements Driver {
  readonly #dialect: WireProtocol["dialect"];
  readonly #acquire: () => Promise<ServerConnection>;
  readonly #release: (connection: ServerConnection) => void;

  constructor(
    dialect: WireProtocol["dialect"],
    acquire: () => Promise<ServerConnection>,
    release: (connection: ServerConnection) => void,
  ) {
    this.#dialect = dialect;
    this.#acquire = acquire;
    this.#release = release;
  }

  async init(): Promise<void> {}

  async destroy(): Promise<void> {}

  acquireConnection(): Promise<ServerConnection> {
    return this.#acquire();
  }

  async releaseConnection(connection: ServerConnection): Promise<void> {
    this.#release(connection);
  }

  async beginTransaction(connection: ServerConnection, settings: TransactionSettings): Promise<void> {
    const modes: string[] = [];
    if (settings.isolationLevel !== undefined) modes.push(`isolation level ${settings.isolationLevel}`);
    if (settings.accessMode !== undefined) modes.push(settings.accessMode);
    if (this.#dialect === "mysql" && modes.length > 0) {
      await connection.run("begin", `set transaction ${modes.join(", ")}`, [], true); // for the next one only
      modes.length = 0;
    }
    await connection.run("begin", ["begin", ...modes].join(" "), [], true);
    connection.inTransaction = true;
  }

  async commitTransaction(connection: ServerConnection): Promise<void> {
    const result = await connection.run("commit", "commit", [], false);
    connection.inTransaction = false;
    // PostgreSQL answers so when a statement failed before and its error was swallowed.
    if (result.command === "ROLLBACK") throw new QueryFailed("the transaction had failed before and was rolled back");
  }

  async rollbackTransaction(connection: ServerConnection): Promise<void> {
    if (!connection.inTransaction) return;
    try {
      if (!connection.broken) await connection.run("rollback", "rollback", [], true);
    } catch (error) {
      // Dropping the connection rolls back as well, and the error that led here matters more than this one.
      connection.destroy();
      if (!(error instanceof StoreUnavailable)) throw error;
    } finally {
      connection.inTransaction = false;
    }
  }

  async savepoint(connection: ServerConnection, name: string): Promise<void> {
    await connection.run("savepoint", `savepoint ${quote(this.#dialect, name)}`, [], true);
  }

  async rollbackToSavepoint(connection: ServerConnection, name: string): Promise<void> {
    await connection.run("savepoint", `rollback to savepoint ${quote(this.#dialect, name)}`, [], true);
  }

  async releaseSavepoint(connection: ServerConnection, name: string): Promise<void> {
    await connection.run("savepoint", `release savepoint ${quote(this.#dialect, name)}`, [], true);
  }
}

function kyselyDialect(dialect: WireProtocol["dialect"], createDriver: () => Driver): Dialect {
  if (dialect === "postgres") {
    return {
      createDriver,
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
    };
  }
  return {
    createDriver,
    createAdapter: () => new MysqlAdapter(),
    createQueryCompiler: () => new MysqlQueryCompiler(),
    createIntrospector: (db) => new MysqlIntrospector(db),
  };
}
