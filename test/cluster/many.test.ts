/** Many real nodes that start at the same moment against an empty database (DESIGN section 5, identity). */
import { describe, expect, test } from "bun:test";
import { testDatabases } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const count = 20;
/** A server of PostgreSQL allows a hundred to all. */
const fewConnections = "[outgoing_pools.rdbms.default]\nworkers = 2\n";

interface NodeLine {
  readonly number: number;
  readonly incarnation: number;
  readonly state: string;
}

describe.skipIf(postgres === undefined || postgres.unavailable !== undefined)("twenty nodes at once", () => {
  test("all come up, each with a number and an incarnation of its own, and see each other", async () => {
    const database = await postgres!.fresh();
    const nodes: TestServer[] = [];
    try {
      const name = `many-${process.pid}`;
      const start = async (number: number) => {
        const extra = `[cluster]\nname = "${name}"\nnode_name = "n${number}"\nfabric = "local"\n${fewConnections}`;
        const modules = "[modules.mod_presence]";
        nodes.push(await startServer({ database: connectionToml(database), modules, extra, alone: true }));
      };
      const started = await Promise.allSettled(Array.from({ length: count }, (_, at) => start(at + 1)));
      for (const each of started) if (each.status === "rejected") throw each.reason;
      const lines = await eventually(30_000, async () => {
        const seen = (await nodes[0]!.ask("cluster", "nodes")) as NodeLine[];
        expect(seen.filter(({ state }) => state === "up").length).toBe(count - 1);
        return seen;
      });
      const numbers = lines.map(({ number }) => number).sort((one, other) => one - other);
      expect(numbers).toEqual(Array.from({ length: count }, (_, at) => at + 1));
      expect(new Set(lines.map(({ incarnation }) => incarnation)).size).toBe(count);
      await eventually(30_000, async () => {
        for (const { httpPort } of nodes) {
          expect((await fetch(`http://127.0.0.1:${httpPort}/health/ready`)).status).toBe(200);
        }
      });
    } finally {
      await Promise.all(nodes.map((node) => node.stop()));
      await database.drop();
    }
  }, 240_000);
});
