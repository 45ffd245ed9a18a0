/** What an operator sees of a cluster, and what is said to be wrong with it. */
import { afterEach, expect, test } from "bun:test";
import type { ClusterNodeView, ClusterTableView } from "../../../src/admin/cluster.ts";
import type { Discovery, RegisteredNode, Standing } from "../../../src/cluster/discovery/discovery.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { adminCluster } from "../../../src/server/cluster/admin-view.ts";
import { ClusterTalk, quiet, type TalkNode } from "../../support/cluster-talk.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

/** A registry as the test has it. */
class TestRegistry implements Pick<Discovery, "standing" | "others" | "list"> {
  standing: Standing = { is: "registered" };
  away = false;
  readonly rows: RegisteredNode[];
  readonly #self: number;

  constructor(node: TalkNode, nodes: readonly TalkNode[]) {
    this.#self = node.number;
    this.rows = nodes.map(({ cluster }) => ({
      ...cluster.fabric.self,
      startedAt: 1_000,
      heartbeatAt: 61_000,
      silentMs: 4_000,
    }));
  }

  get others() {
    return this.rows.filter(({ number }) => number !== this.#self);
  }

  async list() {
    if (this.away) throw new Error("no route to the database");
    return this.rows;
  }
}

async function start() {
  talk = await ClusterTalk.start(3, [streamManagement]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  const [one] = talk.nodes;
  one!.cluster.replicator.expect([2, 3]);
  const registry = new TestRegistry(one!, talk.nodes);
  let draining = false;
  const view = adminCluster({
    cluster: one!.cluster,
    discovery: registry as unknown as Discovery,
    log: quiet,
    draining: () => draining,
    drain: async () => ({ rooms: 0, moved: 0, closed: 0 }),
  });
  return { one: one!, registry, view, drains: () => (draining = true) };
}

const states = (nodes: readonly ClusterNodeView[]) => nodes.map(({ name, state }) => `${name} ${state}`);

test("a healthy cluster: every node with its sessions, every table by owner, nothing wrong", async () => {
  const { view, drains } = await start();
  await talk.login(talk.nodes[1]!, "alice@localhost/a");
  await talk.login(talk.nodes[1]!, "bob@localhost/b");
  const nodes = await view.nodes();
  expect(states(nodes)).toEqual(["n1 self", "n2 up", "n3 up"]);
  expect(nodes[1]).toMatchObject({ number: 2, incarnation: 2, sessions: 2, uptime: 64, heartbeatAge: 4 });
  const table = (owner: string): ClusterTableView =>
    view.tables().find((each) => each.table === "sessions" && each.owner === owner)!;
  expect(table("n2")).toMatchObject({ state: "synced", records: 2, lag: 0, gapsRepaired: 0 });
  expect(table("n2").bytes).toBeGreaterThan(40);
  expect(table("n1")).toMatchObject({ state: "own", records: 0 });
  const ofTwo = { ...view, tables: talk.nodes[1]!.cluster.replicator.states() };
  expect([...ofTwo.tables].find(({ table: name, own }) => own && name === "sessions")!.bytes).toBe(table("n2").bytes);
  // The fabric's nodes bear another version than this software.
  expect((await view.problems()).filter((problem) => !problem.includes("version"))).toEqual([]);
  drains();
  expect(states(await view.nodes())[0]).toBe("n1 draining");
});

test("a node that died, one that does not reach the database, and an upgrade are told in words", async () => {
  const { view, registry } = await start();
  talk.kill(talk.nodes[2]!);
  await talk.settle(8_000);
  registry.rows[1] = { ...registry.rows[1]!, silentMs: 90_000 };
  expect(states(await view.nodes())).toEqual(["n1 self", "n2 up", "n3 down"]);
  const problems = await view.problems();
  expect(problems).toContainEqual(expect.stringMatching(/^Node n3 \(number 3\) is registered, but nothing is heard/));
  expect(problems).toContainEqual(
    "Node n2 lives, but has not told the registry for 90 s: it does not reach the database.",
  );
  expect(problems).toContainEqual(expect.stringMatching(/^Node n2 has version 1, this one /));
});

test("without the database, the nodes that are heard are shown all the same", async () => {
  const { view, registry } = await start();
  registry.away = true;
  expect(states(await view.nodes())).toEqual(["n1 self", "n2 up", "n3 up"]);
  expect(await view.problems()).toContainEqual(
    "The registry of nodes does not answer (no route to the database); the nodes go on with those they know.",
  );
});

test("cut off from all, and without its registration, a node says both", async () => {
  const { view, registry } = await start();
  registry.standing = { is: "lost", reason: "another process has registered" };
  talk.network.part([1], [2, 3]);
  await talk.settle(8_000);
  const problems = await view.problems();
  expect(problems).toContain("This node is not registered any more, restart it: another process has registered");
  expect(problems).toContain("Nothing is heard of any other node: NATS, or the network of this node, is away.");
});
