/**
 * Databases for tests: SQLite always; PostgreSQL and MariaDB from a running server, or from one started here out of
 * installed binaries, once per process. Each test gets a database of its own.
 */

import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mysql from "mysql2/promise";
import pg from "pg";
import { type Migration, migrate } from "../../src/store/migrations.ts";
import type { ServerSettings, StoreDialect, StoreSettings } from "../../src/store/settings.ts";
import { openStore, type Store, type StoreOptions } from "../../src/store/store.ts";
import type { Clock } from "../../src/util/clock.ts";
import { freePort } from "./free-port.ts";

/** Time limits short enough that a test of them is quick, long enough for a busy machine. */
const connectTimeoutMs = 10_000;
const queryTimeoutMs = 10_000;
const startTimeoutMs = 90_000;

/** The machine's clock, for tests whose other side is a real server. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  every: (ms, run) => {
    const timer = setInterval(run, ms);
    return { cancel: () => clearInterval(timer) };
  },
};

export interface LogLine {
  level: "info" | "warn";
  fields: Record<string, unknown>;
  message: string;
}

export interface UseOptions {
  migrations?: readonly Migration[];
  /** Changes the settings of the fresh database, such as its pool size. */
  settings?: Partial<ServerSettings>;
  observe?: StoreOptions["observe"];
  /** Receives what the store logs. */
  log?: LogLine[];
}

/** One kind of database. */
export interface TestDatabase {
  readonly dialect: StoreDialect;
  readonly title: string;
  /** Why there is none here; undefined when there is. */
  readonly unavailable: string | undefined;
  /** A new, empty database; `drop` it at the end. */
  fresh(): Promise<FreshDatabase>;
  /** Whether the binaries of a server are installed here, so that `startWithTls` can work. */
  readonly startable: boolean;
  /** Starts a server of this kind that speaks TLS; it takes a second or two. */
  startWithTls(pem: ServerPem): Promise<ServerSettings>;
  /** Opens a store on a fresh database, migrates it, and cleans up after `use`. */
  withStore(use: (store: Store, database: FreshDatabase) => Promise<void>, options?: UseOptions): Promise<void>;
}

/** Certificate and key of a server, as PEM. */
export interface ServerPem {
  certificate: string;
  key: string;
}

export interface FreshDatabase {
  readonly settings: StoreSettings;
  /** What a server would do when it is restarted: every connection to this database is cut. Resolves with their number, once the server has ended them. */
  cutConnections(): Promise<number>;
  drop(): Promise<void>;
}

type Suite = ((title: string, body: () => void) => void) & { skip(title: string, body: () => void): void };

/**
 * Runs `body` once for each kind of database, in a `describe` of its own; kinds that cannot be had here are
 * described as skipped, with the reason. Usage: `await eachDatabase(describe, (database) => { test(...) })`.
 */
export async function eachDatabase(suite: Suite, body: (database: TestDatabase) => void): Promise<void> {
  // Spread over several nodes a test is about what they share, not about each database.
  const spread = Number(process.env.MEERKAT_TEST_NODES ?? 1) > 1;
  for (const database of await testDatabases()) {
    if (spread && database.dialect !== "postgres") continue;
    if (database.unavailable === undefined) suite(database.title, () => body(database));
    else suite.skip(`${database.title} (${database.unavailable})`, () => body(database));
  }
}

/** Opens a store with the real clock. */
export function openTestStore(settings: StoreSettings, options: UseOptions = {}): Promise<Store> {
  const write = (level: LogLine["level"]) => (fields: object, message: string) => {
    options.log?.push({ level, fields: fields as Record<string, unknown>, message });
  };
  const log = { info: write("info"), warn: write("warn") };
  return openStore(settings, { clock: realClock, log, observe: options.observe });
}

const cacheKey = Symbol.for("meerkat.test.databases");

/** SQLite, PostgreSQL and MySQL or MariaDB, found or started at the first call in this process. */
export function testDatabases(): Promise<TestDatabase[]> {
  const cache = globalThis as { [cacheKey]?: Promise<TestDatabase[]> };
  cache[cacheKey] ??= Promise.all([sqlite(), provide(postgresKind), provide(mysqlKind)]);
  return cache[cacheKey];
}

async function sqlite(): Promise<TestDatabase> {
  return testDatabase("sqlite", "SQLite", undefined, async () => {
    const folder = mkdtempSync(join(tmpdir(), "meerkat-sqlite-"));
    return {
      settings: { driver: "sqlite", path: join(folder, "meerkat.db"), queryTimeoutMs },
      cutConnections: async () => 0,
      drop: async () => rmSync(folder, { recursive: true, force: true }),
    };
  });
}

const notStartable: Pick<TestDatabase, "startable" | "startWithTls"> = {
  startable: false,
  startWithTls: () => Promise.reject(new Error("there is no server to start")),
};

function testDatabase(
  dialect: StoreDialect,
  title: string,
  unavailable: string | undefined,
  fresh: () => Promise<FreshDatabase>,
  start: Pick<TestDatabase, "startable" | "startWithTls"> = notStartable,
): TestDatabase {
  return {
    dialect,
    title,
    unavailable,
    fresh,
    ...start,
    async withStore(use, options = {}) {
      const database = await fresh();
      try {
        const store = await openTestStore({ ...database.settings, ...options.settings } as StoreSettings, options);
        try {
          if (options.migrations !== undefined) await migrate(store, options.migrations, { clock: realClock });
          await use(store, database);
        } finally {
          await store.close();
        }
      } finally {
        await database.drop();
      }
    },
  };
}

/** Where a server is and who may create databases there. */
interface ServerAccess {
  host: string;
  port: number;
  username: string;
  password: string;
}

interface ServerKind {
  dialect: "postgres" | "mysql";
  title: string;
  driver: ServerSettings["driver"];
  environment: string;
  /** Places to look for a running server. */
  usual: ServerAccess[];
  /** Runs statements as administrator. @throws when the server cannot be used. */
  admin(access: ServerAccess, statements: readonly string[]): Promise<void>;
  create(name: string): string;
  drop(name: string): string;
  cut(access: ServerAccess, name: string): Promise<number>;
  installed(): boolean;
  /** Starts a server in a temporary folder; a text says why that is impossible. */
  start(pem?: ServerPem): Promise<ServerAccess | string>;
}

async function provide(kind: ServerKind): Promise<TestDatabase> {
  const access = await findOrStart(kind);
  if (typeof access === "string") {
    return testDatabase(kind.dialect, kind.title, access, () => Promise.reject(new Error(access)));
  }
  const settings = { driver: kind.driver, poolSize: 4, connectTimeoutMs, queryTimeoutMs };
  const fresh = async () => {
    const database = `meerkat_test_${randomBytes(8).toString("hex")}`;
    await kind.admin(access, [kind.create(database)]);
    return {
      settings: { ...settings, ...access, database },
      cutConnections: () => kind.cut(access, database),
      drop: () => kind.admin(access, [kind.drop(database)]),
    };
  };
  return testDatabase(kind.dialect, kind.title, undefined, fresh, {
    startable: kind.installed(),
    async startWithTls(pem) {
      const started = await kind.start(pem);
      if (typeof started === "string") throw new Error(started);
      await kind.admin(started, [kind.create("meerkat")]);
      return { ...settings, ...started, database: "meerkat" };
    },
  });
}

async function findOrStart(kind: ServerKind): Promise<ServerAccess | string> {
  const url = process.env[kind.environment];
  // A server that was named must work: falling back would test something else than was asked for.
  const candidates = url === undefined ? kind.usual : [accessOf(new URL(url), kind)];
  let failure: unknown;
  for (const access of candidates) {
    try {
      const probe = `meerkat_test_${randomBytes(8).toString("hex")}`;
      await kind.admin(access, [kind.create(probe), kind.drop(probe)]);
      return access;
    } catch (error) {
      failure = error;
    }
  }
  if (url !== undefined) throw new Error(`${kind.environment} names a server that cannot be used`, { cause: failure });
  const access = await kind.start();
  if (typeof access !== "string") startedHere.set(kind.environment, access);
  return access;
}

/** By the variable of the environment that names such a server. */
const startedHere = new Map<string, ServerAccess>();

/** The environment in which other processes use the servers that this one has started: so that not each starts its own. They end with this one. */
export async function startedDatabases(): Promise<Record<string, string>> {
  await testDatabases();
  const urls = [...startedHere].map(([name, { host, port, username }]) => [name, `sql://${username}@${host}:${port}`]);
  return Object.fromEntries(urls);
}

function accessOf(url: URL, kind: ServerKind): ServerAccess {
  const [usual] = kind.usual;
  return {
    host: url.hostname || "127.0.0.1",
    port: url.port === "" ? (usual?.port ?? 0) : Number(url.port),
    username: decodeURIComponent(url.username) || (usual?.username ?? ""),
    password: decodeURIComponent(url.password),
  };
}

const isRoot = process.getuid?.() === 0;
// Not userInfo(): Bun's goes by the environment, which services and containers leave empty.
const me = spawnSync("id", ["-un"]).stdout.toString().trim();

const postgresKind: ServerKind = {
  dialect: "postgres",
  title: "PostgreSQL",
  driver: "pgsql",
  environment: "MEERKAT_TEST_POSTGRES_URL",
  usual: [
    { host: "127.0.0.1", port: 5432, username: "postgres", password: "" },
    { host: "127.0.0.1", port: 5432, username: me, password: "" },
    { host: "/var/run/postgresql", port: 5432, username: me, password: "" },
  ],
  async admin(access, statements) {
    await withPostgres(access, async (client) => {
      for (const statement of statements) await client.query(statement);
    });
  },
  create: (name) => `create database ${name} template template0 encoding 'UTF8'`,
  drop: (name) => `drop database ${name} with (force)`,
  async cut(access, name) {
    let count = 0;
    await withPostgres(access, async (client) => {
      const theirs = "from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()";
      const { rows } = await client.query(`select pid, pg_terminate_backend(pid) ${theirs}`, [name]);
      count = rows.length;
      const pids = rows.map(({ pid }) => pid);
      await untilNone(async () => (await client.query(`select pid ${theirs} and pid = any($2)`, [name, pids])).rows);
    });
    return count;
  },
  installed: () => newestPostgres() !== undefined,
  async start(pem) {
    const folder = newestPostgres();
    if (folder === undefined) return "no PostgreSQL runs here and none is installed";
    const user = isRoot ? firstUser(["postgres", "nobody"]) : me;
    const data = mkdtempSync(join(tmpdir(), "meerkat-postgres-"));
    const port = await freePort();
    const tls =
      pem === undefined ? "" : ` -c ssl=on -c ssl_cert_file="${data}/cert.pem" -c ssl_key_file="${data}/key.pem"`;
    const script = [
      `"${folder}/initdb" -D "${data}/data" -A trust -U postgres -E UTF8 --no-locale --no-sync >"${data}/initdb.log" 2>&1`,
      `exec "${folder}/postgres" -D "${data}/data" -p ${port} -h 127.0.0.1 -k "${data}" -c fsync=off -c max_connections=200${tls} >"${data}/server.log" 2>&1`,
    ].join(" && ");
    writePem(data, pem);
    return startServer(postgresKind, data, user, script, {
      host: "127.0.0.1",
      port,
      username: "postgres",
      password: "",
    });
  },
};

const mysqlKind: ServerKind = {
  dialect: "mysql",
  title: "MariaDB",
  driver: "mysql",
  environment: "MEERKAT_TEST_MYSQL_URL",
  usual: [
    { host: "127.0.0.1", port: 3306, username: "root", password: "" },
    { host: "/run/mysqld/mysqld.sock", port: 0, username: me, password: "" },
  ],
  async admin(access, statements) {
    await withMysql(access, async (connection) => {
      for (const statement of statements) await connection.query(statement);
    });
  },
  create: (name) => `create database ${name} character set utf8mb4`,
  drop: (name) => `drop database ${name}`,
  async cut(access, name) {
    let count = 0;
    await withMysql(access, async (connection) => {
      const theirs = "select id from information_schema.processlist where db = ? and id <> connection_id()";
      const [rows] = await connection.query<mysql.RowDataPacket[]>(theirs, [name]);
      const ids = rows.map((row) => Number(row.id ?? row.ID));
      for (const id of ids) await connection.query(`kill connection ${id}`).catch(unlessGone);
      count = ids.length;
      if (count === 0) return;
      await untilNone(async () => {
        const [left] = await connection.query<mysql.RowDataPacket[]>(`${theirs} and id in (?)`, [name, ids]);
        return left;
      });
    });
    return count;
  },
  installed: () => mariadb().server !== undefined && mariadb().install !== undefined,
  async start(pem) {
    const { server, install } = mariadb();
    if (server === undefined || install === undefined) return "no MariaDB runs here and none is installed";
    const user = isRoot ? firstUser(["mysql", "nobody"]) : me;
    const data = mkdtempSync(join(tmpdir(), "meerkat-mariadb-"));
    const port = await freePort();
    const tls = pem === undefined ? "" : ` --ssl-cert="${data}/cert.pem" --ssl-key="${data}/key.pem"`;
    const script = [
      `"${install}" --no-defaults --datadir="${data}/data" --auth-root-authentication-method=normal --skip-test-db >"${data}/install.log" 2>&1`,
      `exec "${server}" --no-defaults --datadir="${data}/data" --port=${port} --bind-address=127.0.0.1 --socket="${data}/socket" --pid-file="${data}/pid" --innodb-flush-log-at-trx-commit=0${tls} >"${data}/server.log" 2>&1`,
    ].join(" && ");
    writePem(data, pem);
    return startServer(mysqlKind, data, user, script, { host: "127.0.0.1", port, username: "root", password: "" });
  },
};

/** A connection that ended by itself meanwhile cannot be killed. */
function unlessGone(error: { readonly code?: string }): void {
  if (error.code !== "ER_NO_SUCH_THREAD") throw error;
}

/** The server has been told to end connections, which takes it a moment. */
async function untilNone(left: () => Promise<readonly unknown[]>): Promise<void> {
  while ((await left()).length > 0) await new Promise<void>((resolve) => realClock.after(5, resolve));
}

async function withPostgres(access: ServerAccess, use: (client: pg.Client) => Promise<void>): Promise<void> {
  const { username, ...rest } = access;
  const client = new pg.Client({ ...rest, user: username, database: "postgres", connectionTimeoutMillis: 5_000 });
  client.on("error", () => {}); // also told to whoever waits for a query
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

async function withMysql(access: ServerAccess, use: (connection: mysql.Connection) => Promise<void>): Promise<void> {
  const { username, password, host, port } = access;
  const where = host.startsWith("/") ? { socketPath: host } : { host, port };
  const connection = await mysql.createConnection({ ...where, user: username, password, connectTimeout: 5_000 });
  try {
    await use(connection);
  } finally {
    await connection.end();
  }
}

/**
 * Runs `script` as `user` and waits until the server answers. It ends, and its folder goes, when the pipe to it
 * closes: that happens however this process ends.
 */
async function startServer(
  kind: ServerKind,
  folder: string,
  user: string,
  script: string,
  access: ServerAccess,
): Promise<ServerAccess | string> {
  const drop = !isRoot ? [] : ["setpriv", `--reuid=${user}`, `--regid=${groupOf(user)}`, "--clear-groups"];
  if (isRoot) spawnSync("chown", ["-R", user, folder]);
  chmodSync(folder, 0o700);
  const watch = `"$@" & server=$!; cat >/dev/null; kill -9 $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "${folder}"`;
  const keeper = spawn("sh", ["-c", watch, "sh", ...drop, "sh", "-c", script], {
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true, // an interrupt of the terminal is for the tests; the server goes when they are done
  });
  keeper.unref();
  (keeper.stdin as unknown as { unref?(): void } | null)?.unref?.();
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      await kind.admin(access, ["select 1"]);
      return access;
    } catch (error) {
      if (performance.now() > deadline || keeper.exitCode !== null) {
        const reason = lastLogLine(folder) ?? (error instanceof Error ? error.message : String(error));
        keeper.stdin?.end();
        return `${kind.title} is installed but did not start: ${reason}`;
      }
    }
    await new Promise<void>((resolve) => realClock.after(100, resolve));
  }
}

function writePem(folder: string, pem: ServerPem | undefined): void {
  if (pem === undefined) return;
  writeFileSync(join(folder, "cert.pem"), pem.certificate);
  writeFileSync(join(folder, "key.pem"), pem.key, { mode: 0o600 });
}

function lastLogLine(folder: string): string | undefined {
  const logs = readdirSync(folder).filter((name) => name.endsWith(".log"));
  const lines = logs.flatMap((name) => readFileSync(join(folder, name), "utf8").trimEnd().split("\n"));
  return lines.findLast((line) => /error|fatal|denied|failed/i.test(line)) ?? lines.at(-1);
}

function newestPostgres(): string | undefined {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  versions.sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => `/usr/lib/postgresql/${version}/bin`).find((bin) => existsSync(`${bin}/initdb`));
}

function mariadb(): { server: string | undefined; install: string | undefined } {
  return {
    server: ["/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "/usr/bin/mariadbd"].find(existsSync),
    install: ["/usr/bin/mariadb-install-db", "/usr/local/bin/mariadb-install-db"].find(existsSync),
  };
}

function firstUser(names: readonly string[]): string {
  return names.find((name) => spawnSync("id", ["-u", name]).status === 0) ?? "nobody";
}

function groupOf(user: string): string {
  return spawnSync("id", ["-g", user]).stdout.toString().trim();
}
