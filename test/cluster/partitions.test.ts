/**
 * Nodes that are cut from NATS, from the database, or find their name taken (DESIGN sections 5 and 6): real processes, whose wires to a real
 * PostgreSQL and a real NATS a test can cut one by one.
 */
import { afterEach, describe, expect, test } from "bun:test";
import type { ServerSettings } from "../../src/store/settings.ts";
import { TestCluster } from "../support/cluster.ts";
import { type FreshDatabase, testDatabases } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { LeakyWire } from "../support/leaky-wire.ts";
import { ManagedClient } from "../support/managed-client.ts";
import { natsInstalled, OwnNats } from "../support/nats.ts";
import { startServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const possible = natsInstalled && postgres !== undefined && postgres.unavailable === undefined;
const suite = describe.skipIf(!possible);
const modules = ["presence", "roster", "stream_management", "offline"]
  .map((name) => `[modules.mod_${name}]`)
  .join("\n");
/** As configured below; what is cut is cut for longer. */
const expiryMs = 2_000;

let nats: OwnNats | undefined;
let database: FreshDatabase | undefined;
let cluster: TestCluster | undefined;
let natsWires: LeakyWire[] = [];
let databaseWires: LeakyWire[] = [];
let clients: ManagedClient[] = [];

afterEach(async () => {
  for (const client of clients) client.stop();
  for (const wire of [...natsWires, ...databaseWires]) await wire.listen().catch(() => undefined);
  await cluster?.stop();
  for (const wire of [...natsWires, ...databaseWires]) await wire.goAway();
  await nats?.kill();
  await database?.drop();
  [nats, database, cluster, natsWires, databaseWires, clients] = [undefined, undefined, undefined, [], [], []];
});

async function wired(target: { host: string; port: number }, count: number): Promise<LeakyWire[]> {
  const wires = Array.from({ length: count }, () => new LeakyWire(target));
  for (const wire of wires) await wire.listen();
  return wires;
}

function fabricLines(server: string): string {
  return `fabric = "nats"\nheartbeat = 500\nexpiry = ${expiryMs}\n[cluster.nats]\nservers = ["${server}"]`;
}

async function start(nodes = 3): Promise<TestCluster> {
  nats = await OwnNats.start();
  database = await postgres!.fresh();
  const settings = database.settings as ServerSettings;
  natsWires = await wired({ host: "127.0.0.1", port: nats.port }, nodes);
  databaseWires = await wired(settings, nodes);
  cluster = await TestCluster.start({
    nodes,
    database: (node) => ({ ...database!, settings: { ...settings, ...databaseWires[node - 1]!.address } }),
    fabric: (node) => fabricLines(`127.0.0.1:${natsWires[node - 1]!.address.port}`),
    modules,
  });
  await cluster.accounts(6);
  return cluster;
}

/** A user at one node; resources of one user have to be apart. */
async function login(user: number, node: number, resource = "test"): Promise<ManagedClient> {
  const client = new ManagedClient(`u${user}`, () => [cluster!.ports[node]!], 0, resource);
  clients.push(client);
  await client.start();
  return client;
}

/** Each writes to each, and gets it. */
async function allTalk(word: string): Promise<void> {
  for (const from of clients) {
    for (const to of clients) if (to !== from) from.message(`${to.bare}/${to.resource}`, `${word} from ${from.user}`);
  }
  await eventually(20_000, () => {
    for (const to of clients) {
      const got = to.received.filter(({ body }) => body.startsWith(`${word} `)).map(({ body }) => body);
      expect(got.sort()).toEqual(clients.filter((from) => from !== to).map(({ user }) => `${word} from ${user}`));
    }
  });
}

async function health(node: number): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${cluster!.nodes[node]!.httpPort}/health/ready`);
  return { status: response.status, text: await response.text() };
}

suite("nodes that are cut off", () => {
  test("from the database: users keep chatting, the node says so, and recovers by itself", async () => {
    await start();
    for (const node of [0, 1, 2]) await login(node, node);
    await databaseWires[2]!.goAway();
    await eventually(20_000, async () => expect((await health(2)).status).toBe(503));
    expect((await health(0)).status).toBe(200);
    await allTalk("one cut");
    // Now nobody has one, for longer than a node may be silent.
    for (const wire of databaseWires.slice(0, 2)) await wire.goAway();
    await eventually(20_000, async () => expect((await health(0)).status).toBe(503));
    await new Promise((resolve) => setTimeout(resolve, 2 * expiryMs));
    await allTalk("all cut");
    // What has to be stored for somebody who is away is refused, or waits and is acknowledged once it is safe.
    clients[0]!.message("u5@localhost", "while away");
    for (const wire of databaseWires) await wire.listen();
    await cluster!.ready();
    await allTalk("healed");
    clients[0]!.message("u5@localhost", "stored again");
    await eventually(20_000, () => expect(clients[0]!.settled).toBe(true));
    const late = await login(5, 2);
    await eventually(20_000, () => expect(late.received.map(({ body }) => body)).toContain("stored again"));
    expect(
      [...clients[0]!.bounced, ...late.received.map(({ body }) => body)].filter((it) => it === "while away").length,
    ).toBe(1);
    expect(clients.map(({ bound }) => bound)).toEqual([1, 1, 1, 1]);
    expect(clients.flatMap(({ errors }) => errors)).toEqual([]);
  }, 90_000);

  test("from NATS: each side goes on, an address bound on both ends as one session, nobody else logs in again", async () => {
    await start();
    for (const node of [0, 1, 2]) await login(node, node);
    const bystanders = [...clients];
    await cluster!.agreed(20_000);
    await natsWires[2]!.goAway();
    await eventually(20_000, async () => {
      const states = (await cluster!.nodes[0]!.ask("cluster", "nodes")) as { name: string; state: string }[];
      expect(states.find(({ name }) => name === "n3")?.state).toBe("down");
    });
    const earlier = await login(4, 0, "both");
    // Tables tell times apart by 100 ms: by this much the second is the later one on any clock.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const later = await login(4, 2, "both");
    expect(earlier.errors).toEqual([]);
    await natsWires[2]!.listen();
    const healed = performance.now();
    // Four everywhere: until they hear of each other the nodes agree about nothing.
    const counts = await eventually(20_000, async () => {
      const seen = await cluster!.agreed(2_000);
      expect(Object.keys(seen).length).toBe(3);
      expect(Object.values(seen).reduce((sum, count) => sum + count)).toBe(4);
      return seen;
    });
    const agreedMs = performance.now() - healed;
    console.log(`tables were equal ${Math.round(agreedMs)} ms after the heal`);
    await cluster!.ready();
    expect(Object.values(counts).reduce((sum, count) => sum + count)).toBe(4);
    await eventually(20_000, () => expect(earlier.errors).toEqual(["conflict"]));
    expect([later.bound, later.errors]).toEqual([1, []]);
    expect(bystanders.map(({ bound, errors }) => [bound, errors])).toEqual([1, 2, 3].map(() => [1, []]));
    clients = [...bystanders, later];
    await allTalk("healed");
  }, 90_000);

  test("a second node of a name that lives is refused, told why, and the first goes on", async () => {
    await start(2);
    await login(0, 0);
    await login(1, 1);
    const second = startServer({
      database: connectionToml(database!),
      modules,
      extra: `[cluster]\nname = "${cluster!.name}"\nnode_name = "n1"\n${fabricLines(nats!.url)}\n`,
    });
    await expect(second).rejects.toThrow(/"n1" of cluster .* is running already.*node_name/);
    await allTalk("undisturbed");
    expect(clients.map(({ bound }) => bound)).toEqual([1, 1]);
  }, 90_000);
});
