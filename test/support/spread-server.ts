/** Several nodes that look like one server to a test: each look at a port gives the next node's. */
import { type FreshDatabase, testDatabases } from "./databases.ts";
import { eventually } from "./eventually.ts";
import { startServer, type TestServer, type TestServerPlan } from "./server.ts";
import { connectionToml } from "./server-database.ts";

let started = 0;

/** `MEERKAT_TEST_FABRIC` holds the lines of `[cluster]` beside the name. They share a database of PostgreSQL. */
export async function startSpreadServer(plan: TestServerPlan, count: number): Promise<TestServer> {
  const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
  if (postgres === undefined) throw new Error("several nodes need PostgreSQL");
  const fresh = plan.database === undefined ? await postgres.fresh() : undefined;
  const database = plan.database ?? connectionToml(fresh!);
  const name = `spread-${process.pid}-${++started}`;
  const fabric = process.env.MEERKAT_TEST_FABRIC ?? 'fabric = "local"';
  const start = (number: number): Promise<TestServer> => {
    const extra = `${plan.extra ?? ""}\n[cluster]\nname = "${name}"\nnode_name = "n${number}"\n${fabric}\n`;
    return startServer({ ...plan, database, extra, alone: true });
  };
  // The first makes the tables.
  const first = await start(1);
  const others = await Promise.allSettled(Array.from({ length: count - 1 }, (_, at) => start(at + 2)));
  const nodes = [first, ...others.flatMap((other) => (other.status === "fulfilled" ? [other.value] : []))];
  const failed = others.find((other) => other.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(nodes.map((node) => node.stop()));
    throw failed.reason;
  }
  const server = new SpreadServer(nodes, fresh);
  await server.ready();
  return server;
}

class SpreadServer implements TestServer {
  readonly #nodes: readonly TestServer[];
  readonly #database: FreshDatabase | undefined;
  #turn = 0;

  constructor(nodes: readonly TestServer[], database: FreshDatabase | undefined) {
    this.#nodes = nodes;
    this.#database = database;
  }

  #next(): TestServer {
    return this.#nodes[this.#turn++ % this.#nodes.length]!;
  }

  get c2sPort(): number {
    return this.#next().c2sPort;
  }

  get tlsPort(): number {
    return this.#next().tlsPort;
  }

  get httpPort(): number {
    return this.#next().httpPort;
  }

  get httpsPort(): number {
    return this.#next().httpsPort;
  }

  get dataDir(): string {
    return this.#nodes[0]!.dataDir;
  }

  get pid(): number {
    return this.#nodes[0]!.pid;
  }

  get log(): readonly string[] {
    return this.#nodes.flatMap((node) => node.log);
  }

  ctl(...args: string[]): Promise<unknown> {
    return this.#next().ctl(...args);
  }

  ask(category: string, command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.#next().ask(category, command, args);
  }

  register(username: string, domain?: string): Promise<void> {
    return this.#nodes[0]!.register(username, domain);
  }

  async ready(): Promise<void> {
    await eventually(40_000, async () => {
      for (const node of this.#nodes) {
        const seen = (await node.ask("cluster", "nodes")) as { state: string }[];
        const up = seen.filter(({ state }) => state === "up").length;
        if (up !== this.#nodes.length - 1) throw new Error(`a node sees ${up} others`);
      }
    });
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.kill(signal)));
  }

  async restart(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.restart()));
    await this.ready();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
    await this.#database?.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
