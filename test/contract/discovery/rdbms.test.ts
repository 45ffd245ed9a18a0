/** Nodes that find each other through each kind of database. */
import { describe, expect, test } from "bun:test";
import { sql } from "kysely";
import { type NodeClaim, NodeNameTaken, type RegisteredNode } from "../../../src/cluster/discovery/discovery.ts";
import { type ClusterTables, clusterMigrations } from "../../../src/cluster/discovery/node-rows.ts";
import { RdbmsDiscovery, type RdbmsDiscoveryOptions } from "../../../src/cluster/discovery/rdbms.ts";
import { migrate } from "../../../src/store/migrations.ts";
import type { ServerSettings } from "../../../src/store/settings.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase, openTestStore, realClock } from "../../support/databases.ts";
import { LeakyWire } from "../../support/leaky-wire.ts";
import { type LoggedLine, recordingLog } from "../../support/recording-log.ts";

const claimOf = (name: string): NodeClaim => ({ cluster: "c", name, address: `/run/${name}`, version: "1.0" });
const migrations = clusterMigrations;

interface TestDiscovery {
  readonly discovery: RdbmsDiscovery;
  readonly lines: LoggedLine[];
  /** Lets one heartbeat happen and waits until it has been dealt with. */
  beat(): Promise<void>;
}

/** Heartbeats come when the test says so. */
function discoveryOf(store: Store, name: string, options: Partial<RdbmsDiscoveryOptions> = {}): TestDiscovery {
  const { log, lines } = recordingLog();
  let tick: () => void = () => {};
  const clock = {
    ...realClock,
    every: (_: number, run: () => void) => {
      tick = run;
      return { cancel: () => {} };
    },
  };
  const isAlive = () => Promise.resolve(false);
  const discovery = new RdbmsDiscovery({ store, claim: claimOf(name), clock, log, isAlive, ...options });
  const beat = async () => {
    tick();
    await discovery.settled();
  };
  return { discovery, lines, beat };
}

const names = (nodes: readonly { name: string }[]) => nodes.map((node) => node.name);

/** Makes a node's last heartbeat that much older. */
async function age(store: Store, name: string, ms: number): Promise<void> {
  const db = store.tables<ClusterTables>();
  await db
    .updateTable("cluster_nodes")
    .set({ heartbeat: sql`heartbeat - ${sql.lit(ms)}` })
    .where("node_name", "=", name)
    .execute();
}

await eachDatabase(describe, (database) => {
  const inStore = (use: (store: Store) => Promise<void>) => () => database.withStore(use, { migrations });

  test("twenty nodes that start at once get the numbers 1 to 20 and twenty incarnations", () =>
    database.withStore(
      async (store, { settings }) => {
        const stores = await Promise.all([0, 1, 2].map(() => openTestStore(settings)));
        stores.push(store);
        const all = Array.from({ length: 20 }, (_, index) => discoveryOf(stores[index % 4]!, `node-${index}`));
        const identities = await Promise.all(all.map(({ discovery }) => discovery.register()));
        const numbers = identities.map(({ number }) => number).toSorted((a, b) => a - b);
        expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
        expect(new Set(identities.map(({ incarnation }) => incarnation)).size).toBe(20);
        await all[0]!.beat();
        expect(all[0]!.discovery.others.length).toBe(19);
        await Promise.all(all.map(({ discovery }) => discovery.stop()));
        expect(await new RdbmsDiscovery(optionsOf(store)).list()).toEqual([]);
        await Promise.all(stores.slice(0, 3).map((other) => other.close()));
      },
      { migrations },
    ));

  test(
    "a node that stops gives its number back; numbers and incarnations together are never used twice",
    inStore(async (store) => {
      const lives = new Set<string>();
      let last = 0;
      for (let round = 0; round < 5; round++) {
        const { discovery } = discoveryOf(store, `node-${round}`);
        const { number, incarnation, name, address } = await discovery.register();
        expect([number, name, address]).toEqual([1, `node-${round}`, `/run/node-${round}`]);
        expect(incarnation).toBeGreaterThan(last);
        expect(incarnation).toBeLessThan(2 ** 32);
        last = incarnation;
        lives.add(`${number} ${incarnation}`);
        expect(discovery.standing).toEqual({ is: "registered" });
        await discovery.stop();
        expect(discovery.standing).toEqual({ is: "stopped" });
      }
      expect(lives.size).toBe(5);
    }),
  );

  test(
    "times are the database's, and lists tell who is silent",
    inStore(async (store) => {
      const a = discoveryOf(store, "a");
      const b = discoveryOf(store, "b");
      await a.discovery.register();
      await b.discovery.register();
      await age(store, "b", 3_600_000);
      const [first, second] = await a.discovery.list();
      expect(first).toMatchObject({ name: "a", number: 1, address: "/run/a", version: "1.0" });
      expect(Math.abs(first!.startedAt - Date.now())).toBeLessThan(60_000); // the databases of tests run here
      expect(first!.silentMs).toBeLessThan(30_000);
      expect(second!.silentMs).toBeGreaterThan(3_599_000);
      await b.beat();
      expect((await a.discovery.list())[1]!.silentMs).toBeLessThan(30_000);
    }),
  );

  test(
    "a name that lives is refused, with where it is and what to do",
    inStore(async (store) => {
      await discoveryOf(store, "a").discovery.register();
      const asked: RegisteredNode[] = [];
      const second = discoveryOf(store, "a", {
        isAlive: async (node) => {
          asked.push(node);
          return true;
        },
      });
      const error = await second.discovery.register().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(NodeNameTaken);
      for (const word of ['"a"', '"c"', "/run/a", "number 1", "node_name"])
        expect((error as Error).message).toContain(word);
      expect(asked.map(({ number, address }) => [number, address])).toEqual([[1, "/run/a"]]);
      expect(second.discovery.standing).toEqual({ is: "new" });
    }),
  );

  test(
    "the place of a node that died is taken over with its number; the dead one, should it live, knows",
    inStore(async (store) => {
      await discoveryOf(store, "other").discovery.register();
      const first = discoveryOf(store, "a");
      const before = await first.discovery.register();
      const second = discoveryOf(store, "a");
      const after = await second.discovery.register();
      expect([after.number, before.number]).toEqual([2, 2]);
      expect(after.incarnation).toBeGreaterThan(before.incarnation);
      expect(second.lines.some(({ msg }) => /died; this one takes its place/.test(msg))).toBe(true);
      await first.beat();
      expect(first.discovery.standing).toMatchObject({ is: "lost" });
      expect(first.lines.at(-1)).toMatchObject({ level: "error", msg: expect.stringContaining("lost its place") });
      // Neither its heartbeats nor its end touch what is another's now.
      await first.beat();
      await first.discovery.stop();
      await second.beat();
      expect(second.discovery.standing).toEqual({ is: "registered" });
      expect(names(await second.discovery.list())).toEqual(["other", "a"]);
    }),
  );

  test(
    "of two that take the same dead place only one gets it",
    inStore(async (store) => {
      const dead = await discoveryOf(store, "a").discovery.register();
      let asked = 0;
      const bothHaveAsked = Promise.withResolvers<void>();
      // Both find the dead one before either takes its place; whoever is slower asks again, and finds a living one.
      const isAlive = async (node: RegisteredNode) => {
        if (node.incarnation !== dead.incarnation) return true;
        if (++asked === 2) bothHaveAsked.resolve();
        await bothHaveAsked.promise;
        return false;
      };
      const both = [discoveryOf(store, "a", { isAlive }), discoveryOf(store, "a", { isAlive })];
      const results = await Promise.allSettled(both.map(({ discovery }) => discovery.register()));
      expect(results.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
      const refused = results.find(({ status }) => status === "rejected") as PromiseRejectedResult;
      expect(refused.reason).toBeInstanceOf(NodeNameTaken);
    }),
  );

  test(
    "nodes that are dead for a day are forgotten by the others, unless the fabric hears them",
    inStore(async (store) => {
      for (const name of ["dead", "deaf", "quiet"]) await discoveryOf(store, name).discovery.register();
      const a = discoveryOf(store, "a", { isUp: ({ name }) => name === "deaf" });
      await a.discovery.register();
      await age(store, "dead", 25 * 3_600_000);
      await age(store, "deaf", 25 * 3_600_000);
      await age(store, "quiet", 23 * 3_600_000);
      const seen: string[][] = [];
      a.discovery.onOthers((others) => seen.push(names(others)));
      await a.beat();
      expect(seen).toEqual([
        ["dead", "deaf", "quiet"],
        ["deaf", "quiet"],
      ]);
      expect(names(await a.discovery.list())).toEqual(["deaf", "quiet", "a"]);
      expect((await discoveryOf(store, "new").discovery.register()).number).toBe(1);
    }),
  );

  test(
    "an operator forgets a dead node by name, and no living one",
    inStore(async (store) => {
      const a = discoveryOf(store, "a");
      await a.discovery.register();
      await discoveryOf(store, "b").discovery.register();
      expect(await a.discovery.forget("nobody")).toBe("unknown");
      expect(await a.discovery.forget("b")).toBe("alive");
      await age(store, "b", 60_000);
      expect(await a.discovery.forget("b")).toBe("forgotten");
      expect(a.discovery.others).toEqual([]);
    }),
  );

  test(
    "a living node's row that is gone is put back; where its number is another's, the node has lost its place",
    inStore(async (store) => {
      const a = discoveryOf(store, "a");
      const { number, incarnation } = await a.discovery.register();
      const db = store.tables<ClusterTables>();
      await db.deleteFrom("cluster_nodes").execute();
      await a.beat();
      expect(a.discovery.standing).toEqual({ is: "registered" });
      expect(await a.discovery.list()).toMatchObject([{ name: "a", number, incarnation }]);
      await db.deleteFrom("cluster_nodes").execute();
      await discoveryOf(store, "b").discovery.register();
      await a.beat();
      expect(a.discovery.standing).toMatchObject({ is: "lost", reason: expect.stringContaining("number 1") });
    }),
  );

  test(
    "clusters in one database do not see each other",
    inStore(async (store) => {
      const a = discoveryOf(store, "a");
      const b = discoveryOf(store, "a", { claim: { ...claimOf("a"), cluster: "d" } });
      const numbers = [(await a.discovery.register()).number, (await b.discovery.register()).number];
      await a.beat();
      expect([numbers, a.discovery.others, b.discovery.others]).toEqual([[1, 1], [], []]);
    }),
  );

  test(
    "waiting to register ends when it is told to",
    inStore(async (store) => {
      await discoveryOf(store, "a").discovery.register();
      const abort = new AbortController();
      const second = discoveryOf(store, "a", {
        isAlive: async () => {
          abort.abort(new Error("stopped"));
          return false;
        },
      });
      await expect(second.discovery.register(abort.signal)).rejects.toThrow("stopped");
    }),
  );

  if (database.dialect === "sqlite") return;

  test("a database that is away: the start waits for it, a running node goes on and says so once", async () => {
    const fresh = await database.fresh();
    const wire = new LeakyWire(fresh.settings as ServerSettings);
    try {
      await wire.listen();
      const store = await openTestStore({ ...(fresh.settings as ServerSettings), ...wire.address });
      await migrate(store, migrations, { clock: realClock });
      await wire.goAway();
      const a = discoveryOf(store, "a");
      const b = discoveryOf(store, "b");
      const registered = a.discovery.register();
      await until(() => a.lines.some(({ msg }) => /cannot join its cluster; trying again/.test(msg)));
      await wire.listen();
      expect((await registered).number).toBe(1);
      await b.discovery.register();
      await a.beat();
      await wire.goAway();
      const before = a.lines.length;
      for (let round = 0; round < 5; round++) await a.beat();
      expect(a.lines.slice(before).map(({ msg }) => msg)).toEqual([
        "The database does not answer; the nodes go on with those they know",
      ]);
      expect([a.discovery.standing, names(a.discovery.others)]).toEqual([{ is: "registered" }, ["b"]]);
      await wire.listen();
      await until(() => store.ready);
      await a.beat();
      expect(a.lines.at(-1)!.msg).toBe("The database answers again");
      await wire.goAway();
      await a.discovery.stop(); // its row stays
      expect(a.lines.at(-1)!.msg).toContain("the row of this node stays");
      await store.close();
    } finally {
      await wire.goAway();
      await fresh.drop();
    }
  }, 60_000);
});

function optionsOf(store: Store): RdbmsDiscoveryOptions {
  return { store, claim: claimOf("x"), clock: realClock, log: recordingLog().log, isAlive: async () => false };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it did not happen");
    await new Promise<void>((resolve) => realClock.after(20, resolve));
  }
}
