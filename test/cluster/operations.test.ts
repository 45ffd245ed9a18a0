/** What operators do with a cluster, with real processes: looking at it, and everything that works from any node. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TestCluster } from "../support/cluster.ts";
import { type FreshDatabase, testDatabases } from "../support/databases.ts";

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
    expect(seen.nodes.map(({ name, state }) => `${name} ${state}`)).toEqual(["n1 self", "n2 up", "n3 up"]);
    expect(seen.nodes[1]).toMatchObject({
      number: 2,
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
});

interface Overview {
  readonly nodes: readonly { readonly name: string; readonly state: string }[];
  readonly tables: readonly { readonly table: string; readonly owner: string }[];
}
