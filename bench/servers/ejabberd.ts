/** Debian's ejabberd: Mnesia, SCRAM keys instead of passwords, no shapers; without the distribution of Erlang nodes. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dropDatabase, freshDatabase, postgres, runSql } from "./postgres.ts";
import {
  domain,
  freePort,
  outputOf,
  packageVersion,
  type RunningServer,
  type ServerKind,
  startOnCore,
} from "./server.ts";

const database = "meerkat_bench_peer";
const schema = "/usr/share/ejabberd/sql/pg.sql";
/** Needs Debian's erlang-p1-pgsql. Accounts stay where they are. */
const sqlLines = `sql_type: pgsql
sql_server: "${postgres.host}"
sql_port: ${postgres.port}
sql_database: "${database}"
sql_username: "${postgres.username}"
sql_password: "${postgres.password}"
`;

export const ejabberd: ServerKind = {
  name: "ejabberd",
  hint: "apt-get install ejabberd",
  version: () => packageVersion("ejabberd"),
  async start({ folder, certificate, key, core, features }): Promise<RunningServer> {
    const [plainPort, tlsPort] = [await freePort(), await freePort()];
    const config = join(folder, "ejabberd.yml");
    if (features.postgres === true) {
      await freshDatabase(database);
      await runSql(readFileSync(schema, "utf8"), database);
    }
    writeFileSync(
      config,
      `
hosts: [${domain}]
loglevel: warning
certfiles: ["${certificate}", "${key}"]
listen:
  - { port: ${plainPort}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, max_stanza_size: 262144, backlog: 1024 }
  - { port: ${tlsPort}, ip: "127.0.0.1", module: ejabberd_c2s, tls: true, max_stanza_size: 262144, backlog: 1024 }
auth_method: internal
auth_password_format: scram
registration_timeout: infinity
${features.postgres === true ? sqlLines : ""}shaper_rules:
  max_user_offline_messages: infinity
modules:
  mod_blocking: {}
  mod_caps: {}
  mod_carboncopy: {}
  mod_client_state: {}
  mod_disco: {}
  mod_last: {}
  mod_offline: { access_max_user_messages: max_user_offline_messages }
  mod_ping: {}
  mod_privacy: {}
  mod_private: {}
  mod_register: { access: all, ip_access: all }
  mod_roster: { versioning: true }
  mod_stream_mgmt: {}
  mod_time: {}
  mod_vcard: { search: false }
  mod_version: {}
${features.archive === true ? `  mod_mam: { default: always${features.postgres === true ? ", db_type: sql" : ""} }\n` : ""}${
  features.rooms === true
    ? "  mod_muc: { access: all, access_create: all, max_users: 5000, default_room_options: { max_users: 5000, mam: false } }\n"
    : ""
}`,
    );
    const running = await startOnCore({
      core,
      command: "erl",
      // As its start script has it, but without waiting busily, which only burns the one core it has here, and without a node name: no daemon for names is started, nothing else listens.
      args: [
        "-noinput",
        "+sbwt",
        "none",
        "+sbwtdcpu",
        "none",
        "+sbwtdio",
        "none",
        "+K",
        "true",
        "+P",
        "250000",
        "-mnesia",
        "dir",
        `"${join(folder, "spool")}"`,
        "-s",
        "ejabberd",
      ],
      folder,
      environment: {
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(folder, "ejabberd.log"),
        ERL_MAX_PORTS: "32000",
        ERL_MAX_ETS_TABLES: "1400",
        ERL_CRASH_DUMP_BYTES: "0",
        ERL_LIBS: "/usr/lib/x86_64-linux-gnu",
      },
      plainPort,
      tlsPort,
    });
    return features.postgres === true
      ? { ...running, stop: () => running.stop().then(() => dropDatabase(database)) }
      : running;
  },
  async copyAccounts(folder, users) {
    const program = [
      "ok = mnesia:start()",
      "ok = mnesia:wait_for_tables([passwd], 20000)",
      `[Account] = mnesia:dirty_read(passwd, {<<"u0">>, <<"${domain}">>})`,
      `Copy = fun(User) -> setelement(2, Account, {<<"u", (integer_to_binary(User))/binary>>, <<"${domain}">>}) end`,
      `lists:foreach(fun(User) -> mnesia:dirty_write(Copy(User)) end, lists:seq(1, ${users - 1}))`,
      "stopped = mnesia:stop()",
      'io:format("copied~n")',
      "halt()",
    ].join(", ");
    const args = ["-noinput", "-mnesia", "dir", `"${join(folder, "spool")}"`, "-eval", `${program}.`];
    // It may say before that it has repaired files, and behind that Mnesia has stopped.
    const said = await outputOf("erl", args);
    if (said?.split("\n").includes("copied") !== true)
      throw new Error(`ejabberd's accounts could not be copied: ${said?.slice(-300) ?? "no answer of erl"}`);
  },
};
