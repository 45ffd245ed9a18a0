/** `[outgoing_pools.rdbms.default]`: from checked options to what the store opens. */
import { problem, type Reading } from "./resolve.ts";
import type { DatabaseSettings, ServerDatabase } from "./settings.ts";
import type { RootOptions } from "./spec.ts";

type Pool = RootOptions["outgoingPools"]["rdbms"]["default"];

const PATH = ["outgoing_pools", "rdbms", "default", "connection"];
const PORTS = { pgsql: 5432, mysql: 3306 };

/** @param absolute makes a path of the file absolute */
export function databaseSettings(pool: Pool, absolute: (path: string) => string, reading: Reading): DatabaseSettings {
  const { connection } = pool;
  if (connection.driver !== "pgsql" && connection.driver !== "mysql") {
    for (const name of ["host", "port", "username", "password", "tls"] as const) {
      if (connection[name] !== undefined) {
        problem(
          reading,
          [...PATH, name],
          'found with driver "sqlite", which has none; allowed: with "pgsql" or "mysql"',
        );
      }
    }
    const { synchronous, queryTimeoutMs } = connection;
    return Object.freeze({
      driver: "sqlite",
      path: connection.database ?? "meerkat.sqlite",
      synchronous,
      queryTimeoutMs,
    });
  }
  for (const name of ["host", "database", "username"] as const) {
    if (connection[name] === undefined) {
      problem(reading, [...PATH, name], `missing; the driver "${connection.driver}" needs it`);
    }
  }
  return Object.freeze({
    driver: connection.driver,
    host: connection.host ?? "",
    port: connection.port ?? PORTS[connection.driver],
    database: connection.database ?? "",
    username: connection.username ?? "",
    password: connection.password ?? "",
    tls: connection.tls && tlsSettings(connection.tls, absolute),
    poolSize: pool.workers,
    connectTimeoutMs: connection.connectTimeoutMs,
    queryTimeoutMs: connection.queryTimeoutMs,
  });
}

function tlsSettings(
  tls: NonNullable<Pool["connection"]["tls"]>,
  absolute: (path: string) => string,
): ServerDatabase["tls"] {
  return Object.freeze({
    required: tls.required,
    verify: tls.verifyMode,
    caFile: tls.cacertfile && absolute(tls.cacertfile),
    certFile: tls.certfile && absolute(tls.certfile),
    keyFile: tls.keyfile && absolute(tls.keyfile),
    serverName: tls.serverNameIndication.host,
  });
}
