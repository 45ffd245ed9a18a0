/** Rooms in use while the nodes of a cluster are restarted one after the other, with real processes and a real PostgreSQL. */
import { afterEach, describe, expect, test } from "bun:test";
import { TestCluster } from "../support/cluster.ts";
import { type FreshDatabase, testDatabases } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { ManagedClient } from "../support/managed-client.ts";
import { natsInstalled, OwnNats } from "../support/nats.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const possible = postgres !== undefined && postgres.unavailable === undefined;

const users = 12;
const rooms = ["den@conference.localhost", "attic@conference.localhost", "cellar@conference.localhost"];
const modules = ["presence", "roster", "disco", "stream_management", "muc", "mam"]
  .map((name) => `[modules.mod_${name}]`)
  .join("\n");

let nats: OwnNats | undefined;
let database: FreshDatabase | undefined;
let cluster: TestCluster | undefined;
let clients: ManagedClient[] = [];
let timer: ReturnType<typeof setInterval> | undefined;

afterEach(async () => {
  clearInterval(timer);
  for (const client of clients) client.stop();
  clients = [];
  await cluster?.stop();
  await nats?.kill();
  await database?.drop();
});

async function start(): Promise<TestCluster> {
  nats = natsInstalled ? await OwnNats.start() : undefined;
  database = await postgres!.fresh();
  const fabric = nats === undefined ? undefined : `fabric = "nats"\n[cluster.nats]\nservers = ["${nats.url}"]`;
  cluster = await TestCluster.start({ nodes: 3, database, fabric, modules });
  await cluster.accounts(users);
  clients = Array.from({ length: users }, (_, at) => new ManagedClient(`u${at}`, () => cluster!.ports, at));
  await Promise.all(clients.map((client) => client.start()));
  return cluster;
}

/** Everybody is in every room; the rooms last as long as somebody is in them. */
async function enterAll(): Promise<void> {
  for (const room of rooms) {
    clients[0]!.enter(room, "u0");
    clients[0]!.open(room);
  }
  await eventually(20_000, () => expect(clients[0]!.settled).toBe(true));
  for (const client of clients.slice(1)) for (const room of rooms) client.enter(room, client.user);
  await eventually(20_000, () => {
    for (const client of clients) {
      for (const room of rooms) {
        const seen = client.presences.filter((line) => line.startsWith(`${room}/`) && line.endsWith(" available"));
        expect(new Set(seen).size).toBe(users);
      }
    }
  });
  for (const client of clients) client.presences.length = 0;
}

/** What each has heard in a room, as `nick body`. */
const heard = (client: ManagedClient, room: string) =>
  client.received
    .filter(({ from }) => from.startsWith(`${room}/`))
    .map(({ from, body }) => `${from.slice(room.length + 1)} ${body}`);

describe.skipIf(!possible)("rooms of three nodes", () => {
  test("a rolling restart is not seen in them: nobody leaves or enters, and all hear the same, once and in one order", async () => {
    const { nodes } = await start();
    await enterAll();
    const counts = new Map<string, number>();
    let turn = 0;
    timer = setInterval(() => {
      const client = clients[turn % users]!;
      const room = rooms[Math.floor(turn++ / users) % rooms.length]!;
      const number = (counts.get(`${client.user} ${room}`) ?? 0) + 1;
      counts.set(`${client.user} ${room}`, number);
      client.say(room, String(number));
    }, 5);
    for (const node of nodes) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await node.kill("SIGTERM");
      await node.restart();
      await cluster!.ready();
    }
    clearInterval(timer);
    // All that was said has come to everybody, or never will.
    await eventually(20_000, () => {
      for (const client of clients) {
        expect(client.online && client.settled).toBe(true);
        const all = rooms.reduce((sum, room) => sum + heard(client, room).length, 0);
        expect(all).toBeGreaterThanOrEqual([...counts.values()].reduce((sum, count) => sum + count, 0));
      }
    });
    for (const room of rooms) {
      const first = heard(clients[0]!, room);
      for (const client of clients) expect(heard(client, room)).toEqual(first);
      for (const { user } of clients) {
        const count = counts.get(`${user} ${room}`) ?? 0;
        const his = first.filter((line) => line.startsWith(`${user} `)).map((line) => Number(line.split(" ")[1]));
        expect(his).toEqual(Array.from({ length: count }, (_, index) => index + 1));
      }
    }
    for (const client of clients) {
      expect(client.presences.filter((line) => line.includes("@conference."))).toEqual([]);
      expect([client.bound, client.bounced]).toEqual([1, []]);
    }
    const page = await (await fetch(`http://127.0.0.1:${nodes[0]!.httpPort}/metrics`)).text();
    // It was restarted first, so the rooms of the second and the third have come to it.
    expect(page).toMatch(/^meerkat_cluster_rooms_moved_total\{direction="in"\} [1-9]/m);
  }, 120_000);
});
