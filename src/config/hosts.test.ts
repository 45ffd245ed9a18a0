/** Hosts that differ: how `[[host_config]]` joins or replaces what holds for all. */
import { describe, expect, test } from "bun:test";
import { about, HOSTS, load } from "./load.fixture.ts";

describe("hosts that differ", () => {
  const alice = { local: "alice", domain: "example.org", resource: "" };

  test("auth and modules are replaced", () => {
    const { settings } = load(`${HOSTS}
[auth]
scram_iterations = 20000
max_users_per_domain = 5
[modules.mod_roster]
[modules.mod_offline]
[[host_config]]
host = "EXAMPLE.ORG"
[host_config.auth]
sasl_mechanisms = ["PLAIN"]
[host_config.modules.mod_roster]
max_items = 7`);
    const own = settings.hosts.get("example.org")!;
    const other = settings.hosts.get("localhost")!;
    expect(own.auth).toMatchObject({
      saslMechanisms: ["PLAIN"],
      scramIterations: 10_000,
      usersMax: Number.POSITIVE_INFINITY,
    });
    expect([...own.modules]).toEqual([["mod_roster", { versioning: false, maxItems: 7 }]]);
    expect(other.auth).toMatchObject({ scramIterations: 20_000, usersMax: 5 });
    expect([...other.modules.keys()]).toEqual(["mod_roster", "mod_offline"]);
  });

  test("a host may have no modules at all", () => {
    const { settings } = load(
      `${HOSTS}[modules.mod_roster]\n[[host_config]]\nhost = "example.org"\n[host_config.modules]`,
    );
    expect(settings.hosts.get("example.org")!.modules.size).toBe(0);
    expect(settings.hosts.get("localhost")!.modules.size).toBe(1);
  });

  test("lists are joined; clauses stand before a last one that allows everybody", () => {
    const { settings } = load(`${HOSTS}
[[acl.blocked]]
user = "mallory"
[[access.c2s]]
acl = "blocked"
value = "deny"
[[access.c2s]]
acl = "all"
value = "allow"
[[access.max_user_sessions]]
acl = "all"
value = 10
[[host_config]]
host = "example.org"
[[host_config.acl.blocked]]
user = "eve"
[[host_config.acl.alices]]
user = "alice"
[[host_config.access.c2s]]
acl = "alices"
value = "deny"
[[host_config.access.max_user_sessions]]
acl = "alices"
value = 99`);
    const { access } = settings.hosts.get("example.org")!;
    expect(access.allow("c2s", alice)).toBe(false);
    expect(access.allow("c2s", { ...alice, local: "eve" })).toBe(false);
    expect(access.allow("c2s", { ...alice, local: "mallory" })).toBe(false);
    expect(access.allow("c2s", { ...alice, local: "bob" })).toBe(true);
    // The last clause allows nobody, it gives a number; so those of the host come after it.
    expect(access.value("max_user_sessions", alice)).toBe(10);
    const elsewhere = settings.hosts.get("localhost")!.access;
    expect(elsewhere.allow("c2s", { ...alice, domain: "localhost" })).toBe(true);
    expect(elsewhere.allow("c2s", { ...alice, local: "eve", domain: "localhost" })).toBe(true);
  });

  test("a rule of one host may be named by its modules only", () => {
    const rule = '[[host_config]]\nhost = "example.org"\n[[host_config.access.few]]\nacl = "all"\nvalue = 1\n';
    const { settings } = load(`${HOSTS}${rule}[host_config.modules.mod_offline]\naccess_max_user_messages = "few"`);
    expect(settings.hosts.get("example.org")!.access.number("few", alice, 5)).toBe(1);
    expect(about(`${rule}[modules.mod_offline]\naccess_max_user_messages = "few"`)).toEqual([
      'm.toml:9:1: modules.mod_offline.access_max_user_messages: found "few", but there is no such access rule; allowed here: all, none',
    ]);
  });

  test("a certificate of its own", () => {
    const { settings } = load(
      `${HOSTS}[[general.domain_certfile]]\ndomain = "example.org"\ncertfile = "c.pem"\nkeyfile = "k.pem"`,
      { file: "/etc/m.toml" },
    );
    expect(settings.hosts.get("example.org")!.certificate).toEqual({
      option: "general.domain_certfile[0]",
      certfile: "/etc/c.pem",
      keyfile: "/etc/k.pem",
    });
    expect(settings.hosts.get("localhost")!.certificate).toBeUndefined();
  });
});
