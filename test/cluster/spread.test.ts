/** The tests of one server, unchanged, with their clients spread over three nodes, on each fabric. */
import { afterAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { testDatabases } from "../support/databases.ts";
import { natsInstalled, OwnNats } from "../support/nats.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const nats = natsInstalled ? await OwnNats.start() : undefined;
afterAll(() => nats?.kill());

const names = ["xmpp-client", "strophe", "stanza-js", "slixmpp", "archive", "muc-light", "inbox", "push"];
const files = names.map((name) => `./test/e2e/${name}.test.ts`);

/** What the tests say when one of them fails; nothing when all pass. */
async function complaints(fabric: string): Promise<string> {
  const env = { ...process.env, MEERKAT_TEST_NODES: "3", MEERKAT_TEST_FABRIC: fabric };
  const child = spawn(process.execPath, ["test", "--timeout=60000", ...files], { env });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk));
  const code = await new Promise<number | null>((done) => child.once("close", done));
  return code === 0 ? "" : output;
}

const possible = postgres !== undefined && postgres.unavailable === undefined;
describe.skipIf(!possible)("clients spread over three nodes pass the tests of a single one", () => {
  const ways = [
    { title: "Unix sockets", lines: 'fabric = "local"' },
    { title: "NATS", lines: nats && `fabric = "nats"\n[cluster.nats]\nservers = ["${nats.url}"]` },
  ];
  // Both at once: most of the time each waits.
  const runs = ways.map(({ lines }) => (possible && lines !== undefined ? complaints(lines) : undefined));
  for (const [at, { title }] of ways.entries()) {
    test.skipIf(runs[at] === undefined)(title, async () => expect(await runs[at]).toBe(""), 400_000);
  }
});
