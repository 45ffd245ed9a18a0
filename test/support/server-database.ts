/** The configuration of a database that a test was given, for a started server. */
import type { FreshDatabase } from "./databases.ts";

/** Lines of `[outgoing_pools.rdbms.default.connection]`. */
export function connectionToml({ settings }: FreshDatabase): string {
  if (settings.driver === "sqlite") return `driver = "sqlite"\ndatabase = ${JSON.stringify(settings.path)}`;
  const { driver, host, port, database, username, password } = settings;
  const fields = { driver, host, port: port || undefined, database, username, password: password || undefined };
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
    .join("\n");
}
