/** Tables of several nodes over a simulated network: they become equal, whatever was lost, and the dead are cleaned up after. */
import { describe, expect, test } from "bun:test";
import { SimNode, type SimNodeOptions } from "../../test/sim/sim-node.ts";
import { SimClock } from "../runtime/sim/clock.ts";
import { SimNetwork } from "../runtime/sim/network.ts";
import { SimRandom } from "../runtime/sim/random.ts";

class Cluster {
  readonly clock = new SimClock();
  readonly network = new SimNetwork(this.clock, new SimRandom(7));

  async node(number: number, options: Partial<SimNodeOptions> = {}): Promise<SimNode> {
    const node = new SimNode(this.network, { number, incarnation: 1, ...options });
    await node.start();
    return node;
  }

  async nodes(count: number): Promise<SimNode[]> {
    const nodes = [];
    for (let number = 1; number <= count; number++) nodes.push(await this.node(number));
    await this.pass(100);
    for (const node of nodes) node.story.length = 0;
    return nodes;
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 20) {
      this.clock.advance(20);
      await Promise.resolve();
    }
  }
}

function equal(...nodes: SimNode[]): void {
  for (const node of nodes) {
    expect(node.view()).toEqual(nodes[0]!.view());
    expect(node.roomView()).toEqual(nodes[0]!.roomView());
  }
}

/** Where all sessions of an account are, as one node knows it. */
function found(node: SimNode, local: string): string[] {
  const places: string[] = [];
  node.directory.forEach({ local, domain: "example.org" }, (session) =>
    places.push(`${session.resource} ${session.priority} ${session.marks} at ${session.owner.name}`),
  );
  return places.sort();
}

describe("writes", () => {
  test("a session that is bound, changed and ended is so on all nodes at once", async () => {
    const cluster = new Cluster();
    const [a, b, c] = (await cluster.nodes(3)) as [SimNode, SimNode, SimNode];
    const phone = a.bind("alice", "phone", 5);
    const tablet = b.bind("alice", "tablet");
    await cluster.pass(20);
    expect(found(c, "alice")).toEqual(["phone 5 0 at node1", "tablet 0 0 at node2"]);
    expect(found(a, "alice")).toEqual(["tablet 0 0 at node2"]);
    a.change(phone, -1, 3);
    b.unbind(tablet);
    await cluster.pass(20);
    expect(found(c, "alice")).toEqual(["phone -1 3 at node1"]);
    expect(b.directory.count({ local: "alice", domain: "example.org" })).toBe(1);
    expect(b.directory.find({ local: "alice", domain: "example.org", resource: "phone" })?.owner.number).toBe(1);
    expect(b.directory.find({ local: "alice", domain: "example.org", resource: "tablet" })).toBeUndefined();
    a.unbind(phone);
    await cluster.pass(20);
    expect(found(c, "alice")).toEqual([]);
    equal(a, b, c);
  });

  test("nobody waits for tables that have never come; for those that were here and miss something everybody does", async () => {
    const cluster = new Cluster();
    const [a, b] = (await cluster.nodes(2)) as [SimNode, SimNode];
    cluster.network.cut(1, 2);
    a.bind("alice", "phone");
    await cluster.pass(20);
    cluster.network.mend();
    a.bind("alice", "tablet");
    let told: Promise<void> | undefined;
    for (let steps = 0; told === undefined && steps < 200; steps++) {
      cluster.clock.advance(0.05);
      told = b.replicator.whenTold(1);
    }
    expect(told).toBeInstanceOf(Promise);
    let known: string[] = [];
    void told!.then(() => {
      known = found(b, "alice");
    });
    await cluster.pass(100);
    expect(known).toEqual(["phone 0 0 at node1", "tablet 0 0 at node1"]);

    const c = new SimNode(cluster.network, { number: 3, incarnation: 1 });
    cluster.network.weather.delayMsMin = cluster.network.weather.delayMsMax = 40;
    await c.start();
    while (!c.fabric.peers.has(1)) await cluster.pass(20);
    expect(c.replicator.inSync).toBe(false);
    expect(c.replicator.whenTold(1)).toBeUndefined();
  });

  test("the writes of a turn leave as one message", async () => {
    const cluster = new Cluster();
    const [a, b] = (await cluster.nodes(2)) as [SimNode, SimNode];
    const before = a.fabric.counters.messagesOut;
    for (let index = 0; index < 100; index++) a.bind(`user${index}`, "x");
    await cluster.pass(20);
    expect(a.fabric.counters.messagesOut - before).toBe(1);
    equal(a, b);
  });
});

describe("what was missed", () => {
  test("a node that joins takes in what was there before, and is ready then", async () => {
    const cluster = new Cluster();
    const [a, b] = (await cluster.nodes(2)) as [SimNode, SimNode];
    for (let index = 0; index < 5000; index++) a.bind(`user${index}`, "resource");
    for (let index = 0; index < 300; index++) b.openRoom(`room${index}`, "subject");
    const c = await cluster.node(3);
    c.replicator.expect([1, 2]);
    expect(c.replicator.ready).toBe(false);
    await cluster.pass(500);
    expect(c.replicator.ready).toBe(true);
    expect(c.view().length).toBe(5000);
    expect(c.roomView().length).toBe(300);
    equal(a, b, c);
  });

  test("a lost write is repaired from the owner's log, without a snapshot", async () => {
    const cluster = new Cluster();
    const [a, b] = (await cluster.nodes(2)) as [SimNode, SimNode];
    a.bind("alice", "before");
    await cluster.pass(20);
    cluster.network.cut(1, 2);
    a.bind("alice", "lost");
    await cluster.pass(20);
    cluster.network.mend();
    a.bind("alice", "after");
    await cluster.pass(100);
    expect(found(b, "alice")).toEqual(["after 0 0 at node1", "before 0 0 at node1", "lost 0 0 at node1"]);
    const state = [...b.replicator.states()].find(({ table, own }) => table === "sessions" && !own)!;
    expect([state.phase, state.snapshots, state.behind]).toEqual(["synced", 0, 0]);
    expect(state.repairs).toBeGreaterThan(0);
  });

  test("a log that does not reach back far enough means a snapshot", async () => {
    const cluster = new Cluster();
    const a = await cluster.node(1, { replicator: { logBytesMax: 200 } });
    const b = await cluster.node(2);
    await cluster.pass(100);
    const old = a.bind("alice", "old");
    await cluster.pass(20);
    cluster.network.cut(1, 2);
    a.unbind(old);
    for (let index = 0; index < 50; index++) {
      a.bind("alice", `resource${index}`);
      await cluster.pass(20);
    }
    cluster.network.mend();
    await cluster.pass(2000);
    expect(found(b, "alice").length).toBe(50);
    const state = [...b.replicator.states()].find(({ table, own }) => table === "sessions" && !own)!;
    expect([state.phase, state.snapshots]).toEqual(["synced", 1]);
    equal(a, b);
  });

  test("writes during a snapshot are in it or beside it, never lost", async () => {
    const cluster = new Cluster();
    const a = await cluster.node(1, { replicator: { messageBytes: 512, chunksAhead: 1 } });
    const sessions = Array.from({ length: 500 }, (_, index) => a.bind(`user${index}`, "resource"));
    const b = await cluster.node(2);
    for (let index = 0; index < 250; index++) {
      cluster.clock.advance(1);
      a.unbind(sessions[index * 2]!);
      a.change(sessions[index * 2 + 1]!, index % 100, 1);
      a.bind(`late${index}`, "resource");
    }
    await cluster.pass(2000);
    expect(b.view().length).toBe(500);
    equal(a, b);
  });
});

describe("owners that go", () => {
  test("its sessions are out of all reads at once, and one survivor cleans up", async () => {
    const cluster = new Cluster();
    const [a, b, c] = (await cluster.nodes(3)) as [SimNode, SimNode, SimNode];
    for (let index = 0; index < 100; index++) c.bind(`user${index}`, "resource");
    await cluster.pass(20);
    expect(a.directory.count({ local: "user7", domain: "example.org" })).toBe(1);
    c.machine.kill();
    await cluster.pass(7000);
    expect([a.view(), b.view()]).toEqual([[], []]);
    expect([...a.cleaned, ...b.cleaned]).toEqual(["3.1"]);
    expect(a.story).toContain("3.1 is gone (silent)");
  });

  test("when the cleaner dies before it has finished, another one cleans up", async () => {
    const cluster = new Cluster();
    const nodes = [];
    for (let number = 1; number <= 4; number++) nodes.push(await cluster.node(number, { cleanMs: 3000 }));
    await cluster.pass(100);
    nodes[3]!.machine.kill();
    await cluster.pass(7000);
    const cleaner = nodes.find(({ cleaningBegun }) => cleaningBegun.length > 0)!;
    expect(cleaner.cleaned).toEqual([]);
    cleaner.machine.kill();
    await cluster.pass(15_000);
    const survivors = nodes.slice(0, 3).filter((node) => node !== cleaner);
    expect(survivors.flatMap(({ cleaned }) => cleaned).sort()).toEqual(["4.1", `${cleaner.identity.number}.1`].sort());
  });

  test("a node that was frozen and returns has its sessions back, and nobody logs in again", async () => {
    const cluster = new Cluster();
    const [a, b] = (await cluster.nodes(2)) as [SimNode, SimNode];
    b.bind("bob", "phone");
    await cluster.pass(20);
    b.machine.freeze();
    await cluster.pass(10_000);
    expect(found(a, "bob")).toEqual([]);
    a.bind("alice", "phone");
    b.machine.thaw();
    await cluster.pass(3000);
    expect(found(a, "bob")).toEqual(["phone 0 0 at node2"]);
    expect(found(b, "alice")).toEqual(["phone 0 0 at node1"]);
    expect(a.story.at(-1)).toBe("2.1 has returned");
    expect(b.sessions.size).toBe(1);
    equal(a, b);
  });

  test("a node that is started again has nothing of its life before", async () => {
    const cluster = new Cluster();
    const [a, b] = (await cluster.nodes(2)) as [SimNode, SimNode];
    b.bind("bob", "phone");
    await cluster.pass(20);
    b.machine.kill();
    const again = await cluster.node(2, { incarnation: 2 });
    again.bind("bob", "laptop");
    await cluster.pass(500);
    expect(found(a, "bob")).toEqual(["laptop 0 0 at node2"]);
    expect(a.cleaned).toEqual(["2.1"]);
    equal(a, again);
  });
});

describe("one session per address", () => {
  test("the later of two stays, whatever the clocks say", async () => {
    const cluster = new Cluster();
    const a = await cluster.node(1, { skewMs: 3_600_000 });
    const b = await cluster.node(2);
    await cluster.pass(100);
    a.bind("alice", "phone");
    await cluster.pass(20);
    b.bind("alice", "phone");
    await cluster.pass(100);
    expect([a.sessions.size, b.sessions.size]).toEqual([0, 1]);
    expect(a.story).toContain("session 1 gives way to 2.1");
    equal(a, b);
  });

  test("bound on both sides of a cut, one is left once it has healed", async () => {
    const cluster = new Cluster();
    const [a, b, c] = (await cluster.nodes(3)) as [SimNode, SimNode, SimNode];
    cluster.network.part([1], [2, 3]);
    b.bind("alice", "phone");
    await cluster.pass(8000);
    a.bind("alice", "phone");
    a.openRoom("lobby", "by a");
    await cluster.pass(200);
    b.openRoom("lobby", "by b");
    cluster.network.mend();
    await cluster.pass(5000);
    expect([a.sessions.size, b.sessions.size]).toEqual([1, 0]);
    expect(c.roomView()).toEqual(["lobby=by b at 2.1"]);
    equal(a, b, c);
  });

  test("a session of an owner that is gone gives way when it returns, though its clock is ahead", async () => {
    const cluster = new Cluster();
    const a = await cluster.node(1);
    const b = await cluster.node(2, { skewMs: 3_600_000 });
    await cluster.pass(100);
    b.bind("alice", "phone");
    await cluster.pass(20);
    cluster.network.part([1], [2]);
    await cluster.pass(8000);
    a.bind("alice", "phone");
    cluster.network.mend();
    await cluster.pass(5000);
    // By the clocks that of b is the later one; that there is one is what counts.
    expect([a.sessions.size, b.sessions.size]).toEqual([0, 1]);
    equal(a, b);
  });
});
