/** `[cluster]`, and MongooseIM's names for it. */
import { describe, expect, test } from "bun:test";
import { DEFAULT_LIMITS } from "./limits.ts";
import { about, HOSTS, load } from "./load.fixture.ts";
import { problemText } from "./load.ts";

const cluster = (toml: string) => load(HOSTS + toml, { file: "/etc/m.toml" }).settings.cluster;

describe("the cluster section", () => {
  test("left out, it is a single node", () => {
    const settings = cluster("");
    expect(settings).toMatchObject({
      name: "meerkat",
      nodeName: undefined,
      discovery: "rdbms",
      discoveryFile: undefined,
      fabric: "none",
      heartbeatMs: 1000,
      expiryMs: 5000,
    });
    expect(settings.nats.servers).toEqual(["127.0.0.1:4222"]);
    expect([settings.nats.tls, Object.isFrozen(settings), Object.isFrozen(settings.nats)]).toEqual([
      undefined,
      true,
      true,
    ]);
  });

  test("says how nodes find each other and what they speak over; paths are relative to the file", () => {
    const settings = cluster(`[cluster]
name = "chat"
node_name = "chat@host-1"
discovery = "file"
discovery_file = "nodes.toml"
fabric = "nats"
heartbeat = 500
expiry = 3000
[cluster.nats]
servers = ["nats://one:4222", "two", "tls://[::1]:4223"]
username = "meerkat"
password = "secret"
[cluster.nats.tls]
cacertfile = "ca.pem"
verify_mode = "none"`);
    expect(settings).toEqual({
      name: "chat",
      nodeName: "chat@host-1",
      discovery: "file",
      discoveryFile: "/etc/nodes.toml",
      fabric: "nats",
      heartbeatMs: 500,
      expiryMs: 3000,
      nats: {
        servers: ["nats://one:4222", "two", "tls://[::1]:4223"],
        username: "meerkat",
        password: "secret",
        token: undefined,
        credentialsFile: undefined,
        tls: {
          verify: false,
          caFile: "/etc/ca.pem",
          certFile: undefined,
          keyFile: undefined,
          handshakeFirst: false,
        },
      },
    });
  });

  test("secrets may come from files; the file of credentials is a path like any other", () => {
    const read = load(`${HOSTS}[cluster.nats]\ntoken = { file = "t" }`, { readFile: () => "secret\n" });
    expect(read.settings.cluster.nats.token).toBe("secret");
    expect(cluster('[cluster.nats]\ncredentials_file = "user.creds"').nats.credentialsFile).toBe("/etc/user.creds");
  });

  test.each([
    ['[cluster]\ndiscovery = "file"', 'cluster.discovery_file: missing; discovery "file" needs it'],
    ["[cluster]\nheartbeat = 3000", "cluster.expiry: found 5000; allowed: at least twice cluster.heartbeat, 6000"],
    ['[cluster]\nname = "a b"', "cluster.name: found"],
    ['[cluster]\nnode_name = "a b"', "cluster.node_name: found"],
    ['[cluster]\nfabric = "erlang"', "cluster.fabric: found"],
    ['[cluster.nats]\nservers = ["http://one"]', "cluster.nats.servers[0]: found"],
    ['[cluster.nats]\nservers = ["one:70000"]', "cluster.nats.servers[0]: found"],
    ["[cluster.nats]\nservers = []", "cluster.nats.servers: found"],
    ['[cluster.nats]\npassword = "x"', "cluster.nats.username: missing"],
    ['[cluster.nats]\ntoken = "x"\nusername = "y"', "cluster.nats.token: found with username or password"],
    ['[cluster.nats]\ntoken = "x"\ncredentials_file = "y"', "cluster.nats.credentials_file: found with username"],
    ['[cluster.nats]\ntls.certfile = "x"', "cluster.nats.tls.keyfile: missing; both are needed"],
    ["[limits]\nlink_window_bytes_max = 16777216\n[[listen.c2s]]\nport = 1", "limits.link_window_bytes_max: found"],
  ])("%s", (toml, complaint) => {
    const complaints = about(toml);
    expect(complaints.length).toBe(1);
    expect(complaints[0]).toContain(complaint);
  });

  test("limits hold against each other: the largest stanza fits a message, and that the queue", () => {
    const { stanzaBytesCeiling, fabricMessageBytesMax, fabricQueueBytesMax, linkWindowBytesMax } = DEFAULT_LIMITS;
    expect(stanzaBytesCeiling + 65_536).toBeLessThan(fabricMessageBytesMax);
    expect(fabricMessageBytesMax).toBeLessThanOrEqual(fabricQueueBytesMax);
    expect(2 * linkWindowBytesMax).toBeLessThanOrEqual(fabricQueueBytesMax);
  });
});

describe("MongooseIM's [internal_databases]", () => {
  test("cets is understood as the same thing, and it is noted that the fabric is missing", () => {
    const { settings, notes } = load(
      `${HOSTS}[[listen.c2s]]\nport = 5222\n[internal_databases.cets]\nbackend = "file"\ncluster_name = "im"\nnode_list_file = "/etc/nodes"`,
    );
    expect(settings.cluster).toMatchObject({ name: "im", discovery: "file", discoveryFile: "/etc/nodes" });
    expect(notes.map(problemText)).toEqual([
      'm.toml:5:1: internal_databases.cets: this is a single node until cluster.fabric is "nats" (or "local", on one machine)',
    ]);
    const file = `${HOSTS}[[listen.c2s]]\nport = 5222\n[cluster]\nfabric = "local"\n[internal_databases.cets]\nnode_name_to_ip_file = "ips"`;
    expect(load(file).notes.map(problemText)).toEqual([
      "m.toml:8:1: internal_databases.cets.node_name_to_ip_file: has no effect: nodes are reached through cluster.fabric",
    ]);
  });

  test("both names may say the same, not different things", () => {
    const both = (name: string) => `[cluster]\nname = "im"\n[internal_databases.cets]\ncluster_name = "${name}"`;
    expect(cluster(both("im")).name).toBe("im");
    expect(about(both("other"))).toEqual([
      'm.toml:6:1: internal_databases.cets.cluster_name: found "other"; allowed: the same as cluster.name, "im", or only one of them',
    ]);
  });

  test("mnesia and redis have no effect", () => {
    const { notes, settings } = load(`${HOSTS}[internal_databases.mnesia]\n[internal_databases.redis]`);
    expect(notes.filter(({ option }) => option.startsWith("internal_databases.")).length).toBe(2);
    expect(settings.cluster.fabric).toBe("none");
  });
});
