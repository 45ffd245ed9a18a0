/** This clone, as it ships: every feature on that the others have too, SQLite, no limits of speed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createLog } from "../../src/observe/log.ts";
import { systemClock } from "../../src/runtime/bun/clock.ts";
import { Accounts } from "../../src/store/accounts.ts";
import { openStore } from "../../src/store/store.ts";
import { startCluster } from "./cluster.ts";
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
const noLog = createLog("none");

export const meerkat: ServerKind = {
  name: "meerkat",
  hint: "npm ci",
  async version() {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const commit = await firstLineOf("git", ["-C", root, "rev-parse", "--short", "HEAD"]);
    return commit === undefined ? version : `${version} (${commit})`;
  },
  async start(plan): Promise<RunningServer> {
    const { folder, core, features, runtimeArguments = [] } = plan;
    const program = join(root, "bin/meerkat");
    if (features.cluster !== undefined) return startCluster(plan, features.cluster, configOf, program);
    const [plainPort, tlsPort] = [await freePort(), await freePort()];
    writeFileSync(join(folder, "meerkat.toml"), configOf(plan, plainPort, tlsPort));
    return startOnCore({
      core,
      command: program,
      args: ["start", "--config", join(folder, "meerkat.toml"), "--data", folder],
      folder,
      environment: { BUN_OPTIONS: runtimeArguments.join(" ") },
      plainPort,
      tlsPort,
    });
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
driver = "sqlite"
database = "${join(folder, database)}"
[limits]
connections_per_address_max = 20000
[[access.max_user_offline_messages]]
acl = "all"
value = "infinity"
${names.map((name) => `[modules.${name}]`).join("\n")}
${features.rooms ? roomsSection : ""}${features.lightRooms ? lightRoomsSection : ""}${extra}
`;
}
