/** Several started servers that are one cluster, over a real database and a real NATS (or Unix sockets), for tests from outside. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FreshDatabase } from "./databases.ts";
import { eventually } from "./eventually.ts";
import { startServer, type TestServer } from "./server.ts";
import { connectionToml } from "./server-database.ts";

export interface ClusterPlan {
  readonly nodes: number;
  /** One for all, or each node's own way to it, by its number from 1. */
  readonly database: FreshDatabase | ((node: number) => FreshDatabase);
  /** Lines of `[cluster]` beside its name, for all or for each: by default the local fabric. */
  readonly fabric?: string | ((node: number) => string);
  /** Tables of modules; by default all. */
  readonly modules?: string;
}

export class TestCluster {
  readonly nodes: readonly TestServer[];
  /** Its name in the configuration. */
  readonly name: string;

  private constructor(nodes: readonly TestServer[], name: string) {
    this.nodes = nodes;
    this.name = name;
  }

  static async start(plan: ClusterPlan): Promise<TestCluster> {
    const name = `test-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
    const nodes: TestServer[] = [];
    const { database, fabric = 'fabric = "local"' } = plan;
    const start = (number: number) => {
      const lines = typeof fabric === "string" ? fabric : fabric(number);
      return startServer({
        database: connectionToml(typeof database === "function" ? database(number) : database),
        modules: plan.modules,
        general: "",
        extra: `[cluster]\nname = "${name}"\nnode_name = "n${number}"\n${lines}\n`,
      });
    };
    try {
      // The first makes the tables, which takes it as long as all others together.
      nodes.push(await start(1));
      const others = Array.from({ length: plan.nodes - 1 }, (_, at) => start(at + 2));
      const settled = await Promise.allSettled(others);
      for (const other of settled) if (other.status === "fulfilled") nodes.push(other.value);
      for (const other of settled) if (other.status === "rejected") throw other.reason;
      const cluster = new TestCluster(nodes, name);
      await cluster.ready();
      return cluster;
    } catch (error) {
      for (const node of nodes) await node.stop();
      throw error;
    }
  }

  get ports(): number[] {
    return this.nodes.map((node) => node.c2sPort);
  }

  /** Makes accounts u0, u1, … with the password "secret". */
  async accounts(count: number): Promise<void> {
    const [node] = this.nodes;
    const file = join(node!.dataDir, "users.csv");
    writeFileSync(file, Array.from({ length: count }, (_, at) => `u${at},localhost,secret\n`).join(""));
    await node!.ctl("account", "importUsers", "--filename", file);
  }

  /** Waits until every node sees all others up and in sync. */
  async ready(withinMs = 40_000): Promise<void> {
    await eventually(withinMs, async () => {
      for (const node of this.nodes) {
        const response = await fetch(`http://127.0.0.1:${node.httpPort}/health/ready`);
        if (response.status !== 200) throw new Error(`not ready: ${await response.text()}`);
      }
      for (const node of this.nodes) {
        const states = (await node.ask("cluster", "nodes")) as { state: string }[];
        const up = states.filter(({ state }) => state === "up").length;
        if (up !== this.nodes.length - 1) throw new Error(`sees ${JSON.stringify(states)}`);
      }
    });
  }

  /** How many sessions each node believes each node to have, by name; equal on all when tables are. */
  async sessionCounts(nodes: readonly TestServer[] = this.nodes): Promise<Record<string, number>[]> {
    const views: Record<string, number>[] = [];
    for (const node of nodes) {
      const seen = (await node.ask("cluster", "nodes")) as { name: string; state: string; sessions: number }[];
      views.push(Object.fromEntries(seen.map(({ name, sessions }) => [name, sessions])));
    }
    return views;
  }

  /** Resolves when all nodes believe the same of how many sessions each has; to that. Throws when they do not within the time. */
  agreed(withinMs: number): Promise<Record<string, number>> {
    return eventually(withinMs, async () => {
      const views = await this.sessionCounts();
      const texts = views.map((view) => JSON.stringify(Object.entries(view).sort()));
      if (new Set(texts).size !== 1) throw new Error(`nodes disagree: ${texts.join(" ")}`);
      return views[0]!;
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
