/** This clone, as it ships: every feature on that the others have too, SQLite, no limits of speed. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createLog } from "../../src/observe/log.ts";
import { systemClock } from "../../src/runtime/bun/clock.ts";
import { Accounts, accountMigrations } from "../../src/store/accounts.ts";
import { migrate } from "../../src/store/migrations.ts";
import { openStore } from "../../src/store/store.ts";
import { startCluster } from "./cluster.ts";
import { dropDatabase, freshDatabase, postgres } from "./postgres.ts";
import {
  domain,
  firstLineOf,
  freePort,
  type RunningServer,
  type ServerKind,
  type StartPlan,
  scramIterations,
  startOnCore,
} from "./server.ts";

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));

/** What the others have too, or what only gives clients a better way in. */
export const modules = [
  "mod_roster",
  "mod_presence",
  "mod_disco",
  "mod_caps",
  "mod_sasl2",
  "mod_bind2",
  "mod_fast_auth_token",
  "mod_stream_management",
  "mod_carboncopy",
  "mod_csi",
  "mod_stanzaid",
  "mod_privacy",
  "mod_blocking",
  "mod_offline",
  "mod_last",
  "mod_private",
  "mod_vcard",
  "mod_version",
  "mod_time",
  "mod_ping",
  "mod_register",
];
const roomsSection = "[modules.mod_muc]\nmax_users = 5000\n[modules.mod_muc.default_room]\nmax_users = 5000\n";
const lightRoomsSection = "[modules.mod_muc_light]\n[modules.mod_muc_light.cache_affs]\n";
const database = "meerkat.sqlite";
const postgresDatabase = "meerkat_bench_server";
const postgresLines = `driver = "pgsql"
host = "${postgres.host}"
port = ${postgres.port}
database = "${postgresDatabase}"
username = "${postgres.username}"
${postgres.password === "" ? "" : `password = "${postgres.password}"`}`;
const noLog = createLog("none");

export const meerkat: ServerKind = {
  name: "meerkat",
  hint: "npm ci",
  async version() {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const commit = await firstLineOf("git", ["-C", root, "rev-parse", "--short", "HEAD"]);
    return commit === undefined ? version : `${version} (${commit})`;
  },
  async start(given): Promise<RunningServer> {
    const { folder, core, runtimeArguments = [] } = given;
    // Accounts are made in the folder's file, and moved from there for each measurement.
    const features = { ...given.features, postgres: given.features.postgres && existsSync(join(folder, database)) };
    const plan = { ...given, features };
    const program = join(root, "bin/meerkat");
    if (features.cluster !== undefined) return startCluster(plan, features.cluster, configOf, program);
    const [plainPort, tlsPort] = [await freePort(), await freePort()];
    if (features.postgres) await moveAccounts(folder);
    writeFileSync(join(folder, "meerkat.toml"), configOf(plan, plainPort, tlsPort));
    const running = await startOnCore({
      core,
      command: program,
      args: ["start", "--config", join(folder, "meerkat.toml"), "--data", folder],
      folder,
      environment: { BUN_OPTIONS: runtimeArguments.join(" ") },
      plainPort,
      tlsPort,
    });
    if (!features.postgres) return running;
    const stop = () => running.stop().then(() => dropDatabase(postgresDatabase));
    return { ...running, stop };
  },
  async copyAccounts(folder, users) {
    const store = await openStore(
      { driver: "sqlite", path: join(folder, database) },
      { clock: systemClock, log: noLog },
    );
    try {
      const accounts = new Accounts(store);
      const passDetails = (await accounts.credentials(domain, "u0"))!;
      const names = Array.from({ length: users - 1 }, (_, at) => `u${at + 1}`);
      await accounts.importMany(names.map((username) => ({ domain, username, passDetails })));
    } finally {
      await store.close();
    }
  },
};

/** From the folder's file into a fresh database of PostgreSQL. */
async function moveAccounts(folder: string): Promise<void> {
  await freshDatabase(postgresDatabase);
  const parts = { clock: systemClock, log: noLog };
  const from = await openStore({ driver: "sqlite", path: join(folder, database) }, parts);
  const waits = { poolSize: 2, connectTimeoutMs: 10_000, queryTimeoutMs: 60_000 };
  const to = await openStore({ driver: "pgsql", ...postgres, database: postgresDatabase, ...waits }, parts);
  try {
    await migrate(to, accountMigrations, parts);
    const accounts = new Accounts(from);
    const all: { domain: string; username: string; passDetails: string }[] = [];
    for await (const username of accounts.names(domain)) {
      all.push({ domain, username, passDetails: (await accounts.credentials(domain, username))! });
    }
    await new Accounts(to).importMany(all);
  } finally {
    await from.close();
    await to.close();
  }
}

/** What a node is told; `extra` is TOML added to the end. */
function configOf(
  { folder, certificate, key, features }: StartPlan,
  plainPort: number,
  tlsPort: number,
  extra = "",
): string {
  const names = [...modules, ...(features.archive ? ["mod_mam"] : [])];
  const listener = (port: number, mode: string) => `
[[listen.c2s]]
port = ${port}
ip_address = "127.0.0.1"
state_timeout = 60000
[listen.c2s.tls]
mode = "${mode}"
certfile = "${certificate}"
keyfile = "${key}"
`;
  return `
[general]
hosts = ["${domain}"]
loglevel = "warning"
registration_timeout = 0
${listener(plainPort, "starttls")}${listener(tlsPort, "tls")}
[auth]
scram_iterations = ${scramIterations}
password.hash = ["sha", "sha256"]
[outgoing_pools.rdbms.default.connection]
${features.postgres ? postgresLines : `driver = "sqlite"\ndatabase = "${join(folder, database)}"`}
[limits]
connections_per_address_max = 20000
[[access.max_user_offline_messages]]
acl = "all"
value = "infinity"
${names.map((name) => `[modules.${name}]`).join("\n")}
${features.rooms ? roomsSection : ""}${features.lightRooms ? lightRoomsSection : ""}${extra}
`;
}
