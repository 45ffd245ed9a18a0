/** Exactly what is said about a wrong configuration file. */
import { describe, expect, test } from "bun:test";
import { about, complaints, modules } from "./load.fixture.ts";
import { loadConfigFile } from "./load.ts";

describe("a file that is wrong", () => {
  test("all that is wrong is said, in the order of the file", () => {
    expect(
      complaints(`[general]
hosts = []
loglevel = "warnin"
[[listen.c2s]]
prot = 5222
max_stanza_size = "big"
[modules.mod_rooster]
[modules.mod_muc]
[modules.mod_roster]
max_items = 0
versionning = true
[generall]
`),
    ).toEqual([
      "m.toml:2:1: general.hosts: found an empty array; allowed: an array of at least 1, each a domain",
      'm.toml:3:1: general.loglevel: found "warnin"; allowed: "none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "all"; did you mean "warning"?',
      "m.toml:4:1: listen.c2s[0].port: missing; allowed: an integer from 0 to 65535",
      'm.toml:5:1: listen.c2s[0].prot: unknown option; did you mean "port"? Allowed here: port, ip_address, ip_version, proto, shaper, access, max_stanza_size, state_timeout, backwards_compatible_session, allowed_auth_methods, max_connections, reuse_port, proxy_protocol, tls',
      'm.toml:6:1: listen.c2s[0].max_stanza_size: found "big"; allowed: an integer from 10000 to 10485760 (bytes) or "infinity"',
      'm.toml:7:1: modules.mod_rooster: unknown module; did you mean "mod_roster"? Allowed here: mod_roster, mod_stream_management, mod_offline',
      "m.toml:8:1: modules.mod_muc: known to MongooseIM, not supported by Meerkat yet",
      "m.toml:10:1: modules.mod_roster.max_items: found 0; allowed: an integer of at least 1",
      'm.toml:11:1: modules.mod_roster.versionning: unknown option; did you mean "versioning"? Allowed here: versioning, max_items',
      'm.toml:12:1: generall: unknown option; did you mean "general"? Allowed here: general, listen, auth, outgoing_pools, cluster, internal_databases, shaper, acl, access, limits, modules, host_config',
    ]);
  });

  const cases: [name: string, toml: string, expected: string[]][] = [
    [
      "a number out of range",
      "[[listen.c2s]]\nport = 70000",
      ["m.toml:4:1: listen.c2s[0].port: found 70000; allowed: an integer from 0 to 65535"],
    ],
    [
      "a password where none is taken, which is not shown",
      "[cluster.nats]\nservers = ['meerkat:s3cret@nats.example.org:4222']\n" +
        "[outgoing_pools.http.push.connection]\nhost = 'https://meerkat:s3cret@push.example.org'",
      [
        'm.toml:4:12: cluster.nats.servers[0]: found "********@nats.example.org:4222"; allowed: a host with or without port, such as "nats.example.org:4222"',
        'm.toml:6:1: outgoing_pools.http.push.connection.host: found "https://********@push.example.org"; allowed: the beginning of a URL, such as "https://push.example.org:8443"',
      ],
    ],
    [
      "a number with a fraction",
      "[[listen.c2s]]\nport = 1.5",
      ["m.toml:4:1: listen.c2s[0].port: found 1.5; allowed: an integer from 0 to 65535"],
    ],
    [
      "infinity as TOML has it",
      "[[listen.c2s]]\nport = 1\nmax_connections = inf",
      [
        'm.toml:5:1: listen.c2s[0].max_connections: found Infinity; allowed: an integer of at least 1 (connections) or "infinity"',
      ],
    ],
    [
      "a date",
      "[[listen.c2s]]\nport = 2020-01-01",
      ["m.toml:4:1: listen.c2s[0].port: found a date; allowed: an integer from 0 to 65535"],
    ],
    [
      "a table instead of an array of tables",
      "[listen.c2s]\nport = 1",
      ["m.toml:3:1: listen.c2s: found a table; allowed: an array, each a table"],
    ],
    [
      "no address",
      '[[listen.c2s]]\nport = 1\nip_address = "localhost"',
      ['m.toml:5:1: listen.c2s[0].ip_address: found "localhost"; allowed: an IPv4 or IPv6 address'],
    ],
    [
      "families that differ",
      '[[listen.c2s]]\nport = 1\nip_address = "::1"\nip_version = 4',
      ['m.toml:6:1: listen.c2s[0].ip_version: found 4, but ip_address is "::1"; allowed: its family'],
    ],
    [
      "no family",
      "[[listen.c2s]]\nport = 1\nip_version = 5",
      ["m.toml:5:1: listen.c2s[0].ip_version: found 5; allowed: 4 or 6"],
    ],
    [
      "a port twice",
      "[[listen.c2s]]\nport = 1\n[[listen.http]]\nport = 1",
      ["m.toml:6:1: listen.http[0].port: found 1 at 0.0.0.0, which listen.c2s[0] has; allowed: a port of its own"],
    ],
    [
      "a path twice",
      "[[listen.http]]\nport = 1\n[[listen.http.handlers.meerkat_chat_handler]]\npath = '/x'\n[[listen.http.handlers.mongoose_prometheus_handler]]\npath = '/x'",
      [
        'm.toml:8:1: listen.http[0].handlers.mongoose_prometheus_handler[0].path: found "/x", which listen.http[0].handlers.meerkat_chat_handler[0] has; allowed: a path of its own',
      ],
    ],
    [
      "a path that is a pattern",
      "[[listen.http]]\nport = 1\n[[listen.http.handlers.meerkat_chat_handler]]\npath = '/:chat'",
      [
        'm.toml:6:1: listen.http[0].handlers.meerkat_chat_handler[0].path: found "/:chat"; allowed: a path that begins with "/", without : * and %',
      ],
    ],
    [
      "a public URL without TLS",
      "[[listen.http]]\nport = 1\n[[listen.http.handlers.meerkat_host_meta_handler]]\npublic_url = 'http://chat.example.org'",
      [
        'm.toml:6:1: listen.http[0].handlers.meerkat_host_meta_handler[0].public_url: found "http://chat.example.org"; allowed: the beginning of an https: URL, such as "https://chat.example.org"',
      ],
    ],
    [
      "a path that is none",
      "[[listen.http]]\nport = 1\n[[listen.http.handlers.meerkat_chat_handler]]\npath = 'chat'",
      [
        'm.toml:6:1: listen.http[0].handlers.meerkat_chat_handler[0].path: found "chat"; allowed: a path that begins with "/", without : * and %',
      ],
    ],
    [
      "federation",
      "[[listen.s2s]]\nport = 5269",
      ["m.toml:3:1: listen.s2s: known to MongooseIM, not supported by Meerkat yet: there is no federation yet"],
    ],
    [
      "a handler we do not have",
      "[[listen.http]]\nport = 1\n[[listen.http.handlers.mongoose_bosh_handler]]",
      [
        "m.toml:5:1: listen.http[0].handlers.mongoose_bosh_handler: known to MongooseIM, not supported by Meerkat yet: clients may use the WebSocket",
      ],
    ],
    [
      "old TLS",
      "[[listen.c2s]]\nport = 1\ntls.versions = ['tlsv1.1']",
      ['m.toml:5:17: listen.c2s[0].tls.versions[0]: found "tlsv1.1": it is broken; allowed: "tlsv1.2", "tlsv1.3"'],
    ],
    [
      "a key without a certificate",
      "[[listen.c2s]]\nport = 1\ntls.keyfile = 'k'",
      ["m.toml:5:1: listen.c2s[0].tls.keyfile: found without certfile; allowed: both or none"],
    ],
    [
      "another account store",
      "[auth]\nmethods = ['ldap']",
      [
        'm.toml:4:12: auth.methods[0]: found "ldap": known to MongooseIM, not supported by Meerkat yet; allowed: "internal", "rdbms"',
      ],
    ],
    [
      "its section",
      "[auth.ldap]\nbase = 'x'",
      ["m.toml:3:1: auth.ldap: known to MongooseIM, not supported by Meerkat yet"],
    ],
    [
      "passwords that can be read",
      "[auth.password]\nformat = 'plain'",
      [
        'm.toml:4:1: auth.password.format: found "plain": Meerkat never stores passwords that can be read; allowed: "scram"',
      ],
    ],
    [
      "a mechanism twice",
      "[auth]\nsasl_mechanisms = ['PLAIN', 'PLAIN']",
      ['m.toml:4:29: auth.sasl_mechanisms[1]: found "PLAIN" twice; allowed: once'],
    ],
    [
      "a listener nobody can use",
      "[auth]\nmethods = ['internal']\n[[listen.c2s]]\nport = 1\nallowed_auth_methods = ['rdbms']",
      [
        'm.toml:7:1: listen.c2s[0].allowed_auth_methods: found none of auth.methods, so nobody could log in; allowed: "internal"',
      ],
    ],
    [
      "a shaper that does not exist",
      "[[listen.c2s]]\nport = 1\nshaper = 'norml'\n[shaper.normal]\nmax_rate = 1",
      [
        'm.toml:5:1: listen.c2s[0].shaper: found "norml", but there is no such shaper; did you mean "normal"? Allowed here: none, normal',
      ],
    ],
    [
      "a rule that does not exist",
      "[[listen.c2s]]\nport = 1\naccess = 'c2s'",
      ['m.toml:5:1: listen.c2s[0].access: found "c2s", but there is no such access rule; allowed here: all, none'],
    ],
    [
      "a list that does not exist",
      "[[access.c2s]]\nacl = 'bloked'\nvalue = 'deny'\n[[acl.blocked]]\nuser = 'x'",
      [
        'm.toml:4:1: access.c2s[0].acl: found "bloked", but there is no such access list; did you mean "blocked"? Allowed here: all, none, blocked',
      ],
    ],
    [
      "a rule that a module names",
      "[modules.mod_offline]\naccess_max_user_messages = 'x'",
      [
        'm.toml:4:1: modules.mod_offline.access_max_user_messages: found "x", but there is no such access rule; allowed here: all, none',
      ],
    ],
    [
      "a pattern that is none",
      "[[acl.x]]\nuser_regexp = '('",
      ['m.toml:4:1: acl.x[0].user_regexp: found "("; allowed: a regular expression'],
    ],
    [
      "a pattern that goes backwards",
      "[[acl.x]]\nuser_glob = '[z-a]'",
      ['m.toml:4:1: acl.x[0].user_glob: found "[z-a]"; allowed: a shell pattern'],
    ],
    [
      "options of a server for SQLite",
      "[outgoing_pools.rdbms.default.connection]\nhost = 'db'",
      [
        'm.toml:4:1: outgoing_pools.rdbms.default.connection.host: found with driver "sqlite", which has none; allowed: with "pgsql" or "mysql"',
      ],
    ],
    [
      "a server without its options",
      "[outgoing_pools.rdbms.default.connection]\ndriver = 'pgsql'\nhost = 'db'\nusername = 'm'",
      ['m.toml:3:1: outgoing_pools.rdbms.default.connection.database: missing; the driver "pgsql" needs it'],
    ],
    [
      "a default domain that is not served",
      'default_server_domain = "example.com"',
      [
        'm.toml:3:1: general.default_server_domain: found "example.com"; allowed: one of general.hosts, "localhost", "example.org"',
      ],
    ],
    [
      "a certificate of another domain",
      '[[general.domain_certfile]]\ndomain = "x.org"\ncertfile = "c"',
      [
        'm.toml:4:1: general.domain_certfile[0].domain: found "x.org"; allowed: one of general.hosts, "localhost", "example.org"',
      ],
    ],
    [
      "a queue smaller than a stanza",
      "[[listen.c2s]]\nport = 1\n[limits]\nwrite_queue_bytes_max = 65536",
      [
        "m.toml:6:1: limits.write_queue_bytes_max: found 65536; allowed: at least the largest max_stanza_size of a listener, 262144",
      ],
    ],
    [
      "a stranger's stanza larger than a user's",
      "[[listen.c2s]]\nport = 1\nmax_stanza_size = 10000\n[limits]\npre_auth_stanza_bytes_max = 20000",
      [
        "m.toml:7:1: limits.pre_auth_stanza_bytes_max: found 20000; allowed: at most the largest max_stanza_size of a listener, 10000",
      ],
    ],
    [
      "one address more than all",
      "[[listen.c2s]]\nport = 1\n[limits]\nconnections_per_address_max = 30000",
      [
        "m.toml:6:1: limits.connections_per_address_max: found 30000; allowed: at most unauthenticated_connections_max, 20000",
      ],
    ],
    [
      "a module's data elsewhere",
      "[modules.mod_roster]\nbackend = 'ldap'",
      ['m.toml:4:1: modules.mod_roster.backend: found "ldap": known to MongooseIM, not supported by Meerkat yet'],
    ],
    [
      "a module that is no table",
      "[modules]\nmod_roster = true",
      ["m.toml:4:1: modules.mod_roster: found true; allowed: a table"],
    ],
    [
      "a host twice",
      "[[host_config]]\nhost = 'example.org'\n[[host_config]]\nhost = 'Example.org'",
      ['m.toml:6:1: host_config[1].host: found "Example.org" twice; allowed: one host_config each'],
    ],
    [
      "a host that is not served",
      "[[host_config]]\nhost = 'x.org'",
      ['m.toml:4:1: host_config[0].host: found "x.org"; allowed: one of general.hosts, "localhost", "example.org"'],
    ],
    [
      "a host without a name",
      "[[host_config]]\n[host_config.modules]",
      ["m.toml:3:1: host_config[0].host: missing; allowed: one of general.hosts"],
    ],
    [
      "a shaper of one host",
      "[[host_config]]\nhost = 'example.org'\n[host_config.shaper.x]\nmax_rate = 1",
      [
        "m.toml:5:1: host_config[0].shaper: known to MongooseIM, not supported by Meerkat yet: shapers are global; define it in [shaper]",
      ],
    ],
    [
      "a global option of one host",
      "[[host_config]]\nhost = 'example.org'\n[host_config.general]\nloglevel = 'info'",
      ["m.toml:6:1: host_config[0].general.loglevel: unknown option; allowed here: nothing"],
    ],
    [
      "a module of one host",
      "[[host_config]]\nhost = 'example.org'\n[host_config.modules.mod_offlin]",
      [
        'm.toml:5:1: host_config[0].modules.mod_offlin: unknown module; did you mean "mod_offline"? Allowed here: mod_roster, mod_stream_management, mod_offline',
      ],
    ],
  ];
  for (const [name, toml, expected] of cases) test(name, () => expect(about(toml)).toEqual(expected));

  test("no TOML at all", () => {
    expect(complaints("[general\n")).toEqual([expect.stringMatching(/^m\.toml:1:\d+: not TOML: ./)]);
    expect(complaints("a = 1\na = 2\n")).toEqual([
      "m.toml:2:1: not TOML: trying to redefine an already defined table or value",
    ]);
  });

  test("nothing at all", () => {
    expect(complaints("")).toEqual([
      "m.toml:1:1: general.hosts: missing; allowed: an array of at least 1, each a domain",
    ]);
  });

  test("no file", () => {
    expect(() => loadConfigFile("/nonexistent/m.toml", { modules })).toThrow(
      /^\/nonexistent\/m\.toml:1:1: the file cannot be read: no such file or directory$/,
    );
  });

  test("names that JavaScript knows are not options", () => {
    expect(about("[constructor]\n[modules.constructor]").map((line) => line.split(";")[0])).toEqual([
      "m.toml:3:1: constructor: unknown option",
      "m.toml:4:1: modules.constructor: unknown module",
    ]);
    expect(about("toString = 1")[0]).toStartWith("m.toml:3:1: general.toString: unknown option;");
  });
});
