/** `config show`: effective values with their origin, secrets masked, as JSON and as a file that loads again. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is what the files say
import { expect, test } from "bun:test";
import { load } from "./load.fixture.ts";
import { MASK, shownEntries, shownToml } from "./show.ts";

const TOML = `[general]
hosts = ["localhost", "\${HOST}"]
[[listen.c2s]]
port = 0
[listen.c2s.tls]
mode = "tls"
[[listen.c2s]]
port = 5222
max_connections = "infinity"
[[listen.http]]
port = 5280
[[listen.http.handlers.meerkat_chat_handler]]
[outgoing_pools.rdbms.default.connection]
driver = "pgsql"
host = "db"
database = "$\${x}"
username = "\${USER_NAME:-m}"
password = { file = "secret" }
[[acl."a b"]]
user = "q\\"uote"
[[access.c2s]]
acl = "a b"
value = 5
[modules.mod_offline]
[[host_config]]
host = "localhost"
[host_config.modules.mod_roster]
`;
const config = load(TOML, {
  environment: { HOST: "example.org" },
  readFile: () => "hunter2",
});

test("every value says where it comes from", () => {
  const entries = new Map(shownEntries(config).map(({ option, value, origin }) => [option, [value, origin]]));
  expect(entries.get("general.language")).toEqual(["en", "default"]);
  expect(entries.get("general.hosts")).toEqual([["localhost", "example.org"], "environment HOST (m.toml:2)"]);
  expect(entries.get("general.default_server_domain")).toEqual([null, "default"]);
  expect(entries.get("general.registration_timeout")).toEqual([600, "default"]);
  expect(entries.get("listen.c2s[1].port")).toEqual([5222, "m.toml:8"]);
  expect(entries.get("listen.c2s[1].max_connections")).toEqual(["infinity", "m.toml:9"]);
  expect(entries.get("listen.http[0].handlers.meerkat_chat_handler[0].path")).toEqual(["/chat", "default"]);
  expect(entries.get("outgoing_pools.rdbms.default.connection.username")).toEqual([
    "m",
    "environment USER_NAME (m.toml:17)",
  ]);
  expect(entries.get("outgoing_pools.rdbms.default.connection.password")).toEqual([MASK, "file secret (m.toml:18)"]);
  expect(entries.get('acl."a b"[0].user')).toEqual(['q"uote', "m.toml:20"]);
  expect(entries.get("host_config[0].modules.mod_roster.max_items")).toEqual([100, "default"]);
});

test("no secret is in what is shown, whatever its length", () => {
  expect(JSON.stringify(shownEntries(config))).not.toContain("hunter2");
  expect(shownToml(config)).not.toContain("hunter2");
  expect(shownToml(config)).toContain(`password = "${MASK}"`);
});

test("what is shown is a file that means the same", () => {
  const shown = shownToml(config);
  const again = load(shown);
  const plain = (one: typeof config) => {
    const { hosts, database, file, ...rest } = one.settings;
    const ofHosts = [...hosts].map(([name, { access, ...host }]) => [
      name,
      host,
      access.value("c2s", { local: 'q"uote', domain: name, resource: "" }),
    ]);
    return { ...rest, database: { ...database, password: "" }, ofHosts };
  };
  expect(plain(again)).toEqual(plain(config));
  // And showing that file changes nothing but the origins.
  const values = (one: typeof config) => shownEntries(one).map(({ option, value }) => [option, value]);
  expect(values(again)).toEqual(values(config));
});

test("it is laid out for reading", () => {
  const lines = shownToml(config).split("\n");
  expect(lines.slice(0, 3)).toEqual([
    "[general]",
    `loglevel = "warning"${" ".repeat(28)} # default`,
    `hosts = ["localhost", "example.org"]${" ".repeat(12)} # environment HOST (m.toml:2)`,
  ]);
  expect(lines).toContain(`# default_server_domain is not set${" ".repeat(14)} # default`);
  expect(lines.filter((line) => line.startsWith("["))).toEqual(
    expect.arrayContaining([
      "[[listen.c2s]]",
      "[listen.c2s.tls]",
      '[[acl."a b"]]',
      "[modules.mod_offline]",
      "[host_config.modules.mod_roster]",
    ]),
  );
});
