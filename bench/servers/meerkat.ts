/** This clone, as it ships: every feature on that the others have too, SQLite, no limits of speed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogue } from "../../src/modules/catalogue.ts";
import {
  domain,
  firstLineOf,
  freePort,
  type RunningServer,
  type ServerKind,
  scramIterations,
  startOnCore,
} from "./server.ts";

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));

/** They say where other servers are, or need one: no part of a comparison. */
const leftOut = new Set(["mod_extdisco", "mod_register"]);
const archive = new Set(["mod_mam"]);
const rooms = new Set(["mod_muc"]);

export const meerkat: ServerKind = {
  name: "meerkat",
  hint: "npm ci",
  async version() {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const commit = await firstLineOf("git", ["-C", root, "rev-parse", "--short", "HEAD"]);
    return commit === undefined ? version : `${version} (${commit})`;
  },
  async start({ folder, certificate, key, core, features, runtimeArguments = [] }): Promise<RunningServer> {
    const [plainPort, tlsPort] = [await freePort(), await freePort()];
    const names = catalogue
      .map(({ name }) => name)
      .filter(
        (name) =>
          !leftOut.has(name) &&
          (features.archive === true || !archive.has(name)) &&
          (features.rooms === true || !rooms.has(name)),
      );
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
    writeFileSync(
      join(folder, "meerkat.toml"),
      `
[general]
hosts = ["${domain}"]
loglevel = "warning"
registration_timeout = 0
${listener(plainPort, "starttls")}${listener(tlsPort, "tls")}
[auth]
scram_iterations = ${scramIterations}
[outgoing_pools.rdbms.default.connection]
driver = "sqlite"
database = "meerkat.sqlite"
[limits]
connections_per_address_max = 20000
[[access.max_user_offline_messages]]
acl = "all"
value = "infinity"
${names.map((name) => `[modules.${name}]`).join("\n")}
[modules.mod_register]
`,
    );
    const args = [join(root, "src/main.ts"), "start", "--config", join(folder, "meerkat.toml"), "--data", folder];
    return startOnCore({
      core,
      command: process.execPath,
      args: [...runtimeArguments, ...args],
      folder,
      plainPort,
      tlsPort,
    });
  },
};
