/** A PostgreSQL server for those that can use one, and databases in it for one measurement: PGHOST, PGUSER, PGPASSWORD say where. */
import { existsSync } from "node:fs";
import pg from "pg";

export const postgres = {
  host: process.env.PGHOST ?? "127.0.0.1",
  port: 5432,
  username: process.env.PGUSER ?? "postgres",
  password: process.env.PGPASSWORD ?? "",
};

/** Whether one is likely to answer: it has been named, or listens where Debian's does. */
export const postgresHere = process.env.PGHOST !== undefined || existsSync("/var/run/postgresql/.s.PGSQL.5432");

/** One statement, or several without parameters, in a database. */
export async function runSql(statements: string, database = "postgres"): Promise<void> {
  const { host, port, username, password } = postgres;
  const client = new pg.Client({ host, port, user: username, password, database });
  await client.connect();
  try {
    await client.query(statements);
  } finally {
    await client.end();
  }
}

/** An empty database of this name; what was there before is gone. */
export async function freshDatabase(name: string): Promise<void> {
  await dropDatabase(name);
  await runSql(`create database ${name}`);
}

export function dropDatabase(name: string): Promise<void> {
  return runSql(`drop database if exists ${name} with (force)`);
}
