/** What a configuration file becomes, and values from the environment and from files. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is what the files say
import { describe, expect, test } from "bun:test";
import { about, complaints, HOSTS, load } from "./load.fixture.ts";
import { problemText } from "./load.ts";
import { moduleRegistry } from "./option.ts";

describe("a file that is right", () => {
  test("the smallest one has every default", () => {
    const { settings, notes } = load('general.hosts = ["localhost"]');
    expect(notes.map(problemText)).toEqual([
      "m.toml:1:1: listen: takes no clients: there is no c2s and no WebSocket handler",
    ]);
    expect(settings).toMatchObject({
      file: "m.toml",
      logLevel: "warning",
      language: "en",
      registrationTimeoutMs: 600_000,
      defaultDomain: "localhost",
      listen: { c2s: [], http: [] },
      database: { driver: "sqlite", path: "meerkat.sqlite", synchronous: "normal", queryTimeoutMs: 5000 },
      limits: { preAuthStanzaBytesMax: 10_000, writeQueueBytesMax: 1_048_576, saslTriesMax: 3 },
    });
    const host = settings.hosts.get("localhost")!;
    expect(host.auth).toMatchObject({
      hashes: ["sha1", "sha224", "sha256", "sha384", "sha512"],
      scramIterations: 10_000,
      usersMax: Number.POSITIVE_INFINITY,
    });
    expect(host.auth.saslMechanisms).toHaveLength(11);
    expect([...host.modules]).toEqual([]);
  });

  test("a listener with encryption, a shaper and a rule", () => {
    const { settings } = load(
      `${HOSTS}
[[listen.c2s]]
port = 0
ip_version = 6
shaper = "slow"
access = "c2s"
max_connections = 5
reuse_port = true
proxy_protocol = true
[listen.c2s.tls]
mode = "tls"
certfile = "cert.pem"
versions = ["tlsv1.3"]
[shaper.slow]
max_rate = 1000
[[access.c2s]]
acl = "all"
value = "allow"`,
      { file: "/etc/meerkat/m.toml" },
    );
    expect(settings.listen.c2s[0]).toEqual({
      option: "listen.c2s[0]",
      port: 0,
      ipAddress: "::",
      bytesPerSecond: 1000,
      access: "c2s",
      stanzaBytesMax: 262_144,
      stateTimeoutMs: 5000,
      backwardsCompatibleSession: true,
      connectionsMax: 5,
      reusePort: true,
      proxyProtocol: true,
      tls: {
        mode: "tls",
        certificate: {
          option: "listen.c2s[0].tls",
          certfile: "/etc/meerkat/cert.pem",
          keyfile: "/etc/meerkat/cert.pem",
        },
        passphrase: undefined,
        ciphers: undefined,
        versions: ["tlsv1.3"],
      },
    });
  });

  test("what HTTP serves", () => {
    const { settings } = load(`${HOSTS}
[[listen.http]]
port = 5280
ip_address = "127.0.0.1"
[[listen.http.handlers.mongoose_websocket_handler]]
timeout = "infinity"
[[listen.http.handlers.meerkat_chat_handler]]
host = "Chat.Example.org"
path = "/"
[[listen.http.handlers.mongoose_prometheus_handler]]`);
    const [http] = settings.listen.http;
    expect(http).toMatchObject({
      port: 5280,
      ipAddress: "127.0.0.1",
      tls: undefined,
      connectionsMax: Number.POSITIVE_INFINITY,
    });
    expect(http?.handlers).toMatchObject({
      webSocket: [{ host: "_", path: "/ws-xmpp", timeoutMs: Number.POSITIVE_INFINITY, access: "all" }],
      chat: [{ host: "chat.example.org", path: "/" }],
      prometheus: [{ host: "_", path: "/metrics" }],
      health: [],
      hostMeta: [],
      upload: [],
    });
  });

  test("domains are compared in lower case and Unicode", () => {
    const { settings } = load(
      '[general]\nhosts = ["EXAMPLE.org", "xn--mnchen-3ya.de"]\ndefault_server_domain = "MÜNCHEN.de"',
    );
    expect([...settings.hosts.keys()]).toEqual(["example.org", "münchen.de"]);
    expect(settings.defaultDomain).toBe("münchen.de");
  });

  test("options of modules are camel case, durations milliseconds, in the order of the file", () => {
    const { settings } = load(`${HOSTS}[modules.mod_stream_management]\nresume_timeout = 2\n[modules.mod_roster]`);
    expect([...settings.hosts.get("localhost")!.modules]).toEqual([
      ["mod_stream_management", { resumeTimeoutMs: 2000 }],
      ["mod_roster", { versioning: false, maxItems: 100 }],
    ]);
  });

  test("settings cannot be changed", () => {
    const { settings } = load(`${HOSTS}[[listen.c2s]]\nport = 0\n[modules.mod_roster]`);
    const host = settings.hosts.get("localhost")!;
    for (const part of [
      settings,
      settings.limits,
      settings.listen,
      settings.listen.c2s,
      settings.listen.c2s[0],
      host,
      host.auth,
      host.auth.hashes,
      host.modules.get("mod_roster"),
    ]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  test("a PostgreSQL server", () => {
    const { settings } = load(
      `${HOSTS}[outgoing_pools.rdbms.default]
workers = 3
[outgoing_pools.rdbms.default.connection]
driver = "pgsql"
host = "db"
database = "meerkat"
username = "m"
password = "secret"
[outgoing_pools.rdbms.default.connection.tls]
required = true
cacertfile = "ca.pem"`,
      { file: "/etc/m.toml" },
    );
    expect(settings.database).toEqual({
      driver: "pgsql",
      host: "db",
      port: 5432,
      database: "meerkat",
      username: "m",
      password: "secret",
      tls: {
        required: true,
        verify: "peer",
        caFile: "/etc/ca.pem",
        certFile: undefined,
        keyFile: undefined,
        serverName: undefined,
      },
      poolSize: 3,
      connectTimeoutMs: 5000,
      queryTimeoutMs: 5000,
    });
  });

  test("an unlimited stanza is the largest there is, and that is said", () => {
    const { settings, notes } = load(
      `${HOSTS}[[listen.c2s]]\nport = 0\nmax_stanza_size = "infinity"\n[limits]\nwrite_queue_bytes_max = 20000000`,
    );
    expect(settings.listen.c2s[0]?.stanzaBytesMax).toBe(10_485_760);
    expect(notes.map(problemText)).toEqual([
      'm.toml:5:1: listen.c2s[0].max_stanza_size: "infinity" means 10485760 bytes',
    ]);
  });

  test("what MongooseIM's own file has and asks for nothing is noted", () => {
    const { notes } = load(
      `${HOSTS}host_types = []\n[[listen.c2s]]\nport = 5222\n[modules.mod_vcard]\nhost = "vjud.@HOST@"`,
      { modules: moduleRegistry([{ name: "mod_vcard", options: {} }]) },
    );
    expect(notes.map(problemText).toSorted()).toEqual([
      "m.toml:3:1: general.host_types: has no effect: nothing is in it",
      "m.toml:7:1: modules.mod_vcard.host: has no effect: profiles cannot be searched",
    ]);
    expect(about('host_types = ["team"]')).toEqual([
      expect.stringContaining("general.host_types: known to MongooseIM"),
    ]);
  });

  test("what MongooseIM has and Meerkat does not need is noted", () => {
    const { notes } = load(`${HOSTS}sm_backend = "mnesia"
[[listen.c2s]]
port = 5222
num_acceptors = 10
hibernate_after = 0
tls.dhfile = "dh.pem"
[modules.mod_roster]
backend = "rdbms"
iqdisc.type = "one_queue"
[instrumentation.prometheus]`);
    expect(notes.map(problemText).toSorted()).toEqual([
      "m.toml:10:1: modules.mod_roster.backend: has no effect: persistent data are in SQL, volatile ones replicated in memory",
      "m.toml:11:1: modules.mod_roster.iqdisc: has no effect: requests are handled in the order they come",
      "m.toml:12:1: instrumentation: has no effect: metrics are always on; mongoose_prometheus_handler serves them",
      "m.toml:3:1: general.sm_backend: has no effect: volatile data are always in the cluster's replicated tables",
      "m.toml:6:1: listen.c2s[0].num_acceptors: has no effect: one event loop accepts all connections",
      "m.toml:7:1: listen.c2s[0].hibernate_after: has no effect: a connection is not a process here",
      "m.toml:8:1: listen.c2s[0].tls.dhfile: has no effect: TLS 1.3 and ECDHE have their own groups",
    ]);
  });
});

describe("values from elsewhere", () => {
  const environment = { NAME: "example.org", PORT: "5333", YES: "true", EMPTY: "" };

  test("the environment fills texts, numbers and booleans", () => {
    const { settings } = load(
      '[general]\nhosts = ["${NAME}", "chat.${NAME}"]\nlanguage = "${EMPTY:-de}"\nregistration_timeout = "${UNSET:-infinity}"\n[[listen.c2s]]\nport = "${PORT}"\nreuse_port = "${YES}"',
      { environment },
    );
    expect([...settings.hosts.keys()]).toEqual(["example.org", "chat.example.org"]);
    expect(settings.language).toBe("de");
    expect(settings.registrationTimeoutMs).toBe(Number.POSITIVE_INFINITY);
    expect(settings.listen.c2s[0]).toMatchObject({ port: 5333, reusePort: true });
  });

  test("a variable that is not set names the option", () => {
    expect(about('[outgoing_pools.rdbms.default.connection]\npassword = "${DB_PASSWORD}"', { environment })).toEqual([
      "m.toml:4:1: outgoing_pools.rdbms.default.connection.password: the environment variable DB_PASSWORD is not set",
    ]);
  });

  test("what the environment gives is checked like what the file says", () => {
    expect(about('[[listen.c2s]]\nport = "${NAME}"', { environment })).toEqual([
      'm.toml:4:1: listen.c2s[0].port: found "example.org"; allowed: an integer from 0 to 65535',
    ]);
  });

  test("a text without a variable is no number, and a broken one is said to be broken", () => {
    expect(about('[[listen.c2s]]\nport = "5222"')).toEqual([
      'm.toml:4:1: listen.c2s[0].port: found "5222"; allowed: an integer from 0 to 65535',
    ]);
    for (const broken of ["${", "${}", "${1A}", "${A", "${A-b}"]) {
      expect(
        complaints(`[general]\nhosts = ["localhost"]\nlanguage = "${broken}"`, { environment: { A: "x" } }),
      ).toEqual([
        'm.toml:3:1: general.language: found "${" without a name and "}"; allowed: "${NAME}", "${NAME:-default}", and "$${" for the characters themselves',
      ]);
    }
  });

  test("the characters themselves, and what the environment gives is not read again", () => {
    const { settings } = load(
      `${HOSTS}[outgoing_pools.rdbms.default.connection]\ndriver = "pgsql"\nhost = "db"\ndatabase = "$\${x}"\nusername = "\${OTHER}"`,
      { environment: { OTHER: "${NAME}" } },
    );
    expect(settings.database).toMatchObject({ database: "${x}", username: "${NAME}" });
  });

  test("a secret comes from a file beside the configuration, without its last line break", () => {
    const read: string[] = [];
    const { settings } = load(
      `${HOSTS}[outgoing_pools.rdbms.default.connection]\ndriver = "mysql"\nhost = "db"\ndatabase = "m"\nusername = "m"\npassword = { file = "secrets/db" }`,
      {
        file: "/etc/meerkat/m.toml",
        readFile: (path) => {
          read.push(path);
          return " pass word\n\n";
        },
      },
    );
    expect(read).toEqual(["/etc/meerkat/secrets/db"]);
    expect(settings.database).toMatchObject({ password: " pass word\n", port: 3306 });
  });

  test("a secret file that cannot be read, and a table that is none", () => {
    const readFile = (): string => {
      throw new Error("permission denied");
    };
    const connection = "[outgoing_pools.rdbms.default.connection]\n";
    expect(about(`${connection}password = { file = "db" }`, { readFile })).toEqual([
      'm.toml:4:1: outgoing_pools.rdbms.default.connection.password: the file "db" cannot be read: permission denied',
    ]);
    expect(about(`${connection}password = { path = "db" }`)).toEqual([
      'm.toml:4:1: outgoing_pools.rdbms.default.connection.password: found a table; allowed: a string or { file = "path" }',
    ]);
    expect(about(`${connection}host = { file = "db" }`)).toEqual([
      "m.toml:4:1: outgoing_pools.rdbms.default.connection.host: found a table; allowed: a host name, an IP address, or the folder of a Unix socket",
    ]);
  });

  test("a secret of the wrong type is not repeated in the error", () => {
    expect(about("[outgoing_pools.rdbms.default.connection]\npassword = 12345")).toEqual([
      'm.toml:4:1: outgoing_pools.rdbms.default.connection.password: found a value that is not allowed; allowed: a string or { file = "path" }',
    ]);
  });
});
