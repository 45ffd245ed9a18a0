/** What operators do with a cluster, with real processes: looking at it, and everything that works from any node. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TestCluster } from "../support/cluster.ts";
import { type FreshDatabase, testDatabases } from "../support/databases.ts";
import { ManagedClient } from "../support/managed-client.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const possible = postgres !== undefined && postgres.unavailable === undefined;

let database: FreshDatabase;
let cluster: TestCluster;

describe.skipIf(!possible)("three nodes", () => {
  beforeAll(async () => {
    database = await postgres!.fresh();
    cluster = await TestCluster.start({ nodes: 3, database });
    await cluster.accounts(4);
  }, 60_000);

  afterAll(async () => {
    await cluster?.stop();
    await database?.drop();
  });

  test("`ctl cluster` shows nodes, tables and what is wrong, in one go", async () => {
    const [first] = cluster.nodes;
    const seen = (await first!.ctl("cluster")) as Overview;
    expect(seen).toMatchObject({ cluster: expect.stringContaining("test-"), node: "n1", problems: [] });
    // The second and the third start together, so either may have the smaller number.
    expect(seen.nodes.map(({ name, state }) => `${name} ${state}`).sort()).toEqual(["n1 self", "n2 up", "n3 up"]);
    expect(seen.nodes.map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(seen.nodes[1]).toMatchObject({
      incarnation: expect.any(Number),
      version: expect.any(String),
      address: expect.any(String),
      sessions: 0,
      uptime: expect.any(Number),
      heartbeatAge: expect.any(Number),
    });
    const owners = seen.tables.filter(({ table }) => table === "sessions").map(({ owner }) => owner);
    expect(owners.sort()).toEqual(["n1", "n2", "n3"]);
    expect(await first!.ctl("cluster", "nodes")).toHaveLength(3);
    expect(await first!.ctl("cluster", "problems")).toEqual([expect.stringContaining("Nothing")]);
  });

  test("the page of metrics tells of peers and tables", async () => {
    const page = await (await fetch(`http://127.0.0.1:${cluster.nodes[0]!.httpPort}/metrics`)).text();
    expect(page).toContain('meerkat_cluster_peers{state="up"} 2');
    expect(page).toContain('meerkat_cluster_table_records{table="sessions",owner="n2"} 0');
    expect(page).toMatch(/^meerkat_cluster_fabric_bytes_total\{direction="in"\} [1-9]/m);
    expect(page).toContain("meerkat_cluster_in_sync 1");
    expect(page).toContain("# HELP meerkat_push_notifications_total Push notifications");
  });

  test("`ctl muc` works on any node, wherever the room is", async () => {
    const mucDomain = "conference.localhost";
    // A room without people would be over at once.
    const owner = new ManagedClient("u0", () => cluster.ports, 0);
    await owner.start();
    for (const at of [0, 1, 2, 3, 4, 5]) {
      const args = ["--room", `r${at}@${mucDomain}`, "--owner", "u0@localhost/test", "--nick", "Owner"];
      await cluster.nodes[at % 3]!.ctl("muc", "createInstantRoom", ...args);
    }
    for (const node of cluster.nodes) {
      const { rooms } = (await node.ctl("muc", "listRooms", "--mucDomain", mucDomain)) as { rooms: unknown[] };
      expect(rooms).toEqual(
        [0, 1, 2, 3, 4, 5].map((at) => ({ jid: `r${at}@${mucDomain}`, title: "", private: false, usersNumber: 1 })),
      );
      for (const at of [0, 1, 2, 3, 4, 5]) {
        const users = await node.ctl("muc", "listRoomUsers", "--room", `r${at}@${mucDomain}`);
        expect(users).toEqual([{ jid: "u0@localhost/test", nick: "Owner", role: "MODERATOR" }]);
      }
    }
    await expect(cluster.nodes[0]!.ctl("muc", "kickUser", "--room", `r0@${mucDomain}`, "--nick", "X")).rejects.toThrow(
      "Nobody in the room is called X",
    );
    owner.stop();
  });
});

interface Overview {
  readonly nodes: readonly { readonly name: string; readonly number: number; readonly state: string }[];
  readonly tables: readonly { readonly table: string; readonly owner: string }[];
}
