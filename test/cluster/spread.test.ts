/** The tests of one server, unchanged, with their clients spread over three nodes, on each fabric. */
import { afterAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { testDatabases } from "../support/databases.ts";
import { natsInstalled, OwnNats } from "../support/nats.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const nats = natsInstalled ? await OwnNats.start() : undefined;
afterAll(() => nats?.kill());

/** Ways of tests through sessions, which are the fabric's matter most. */
const sessions = ["xmpp-client", "strophe", "stanza-js"];
const more = ["slixmpp", "archive", "muc-light", "inbox"];
const fabrics = [
  { title: "Unix sockets", lines: 'fabric = "local"', files: sessions },
  {
    title: "NATS",
    lines: nats && `fabric = "nats"\n[cluster.nats]\nservers = ["${nats.url}"]`,
    files: [...sessions, ...more],
  },
];

describe.skipIf(postgres === undefined || postgres.unavailable !== undefined)("clients spread over three nodes", () => {
  for (const { title, lines, files } of fabrics) {
    test.skipIf(lines === undefined)(
      `pass the tests of a single one: ${title}`,
      async () => {
        const env = { ...process.env, MEERKAT_TEST_NODES: "3", MEERKAT_TEST_FABRIC: lines };
        const paths = files.map((name) => `./test/e2e/${name}.test.ts`);
        const child = spawn(process.execPath, ["test", "--timeout=60000", ...paths], { env });
        let output = "";
        child.stdout.on("data", (chunk: Buffer) => (output += chunk));
        child.stderr.on("data", (chunk: Buffer) => (output += chunk));
        const code = await new Promise<number | null>((done) => child.once("close", done));
        expect(code === 0 ? "" : output).toBe("");
      },
      400_000,
    );
  }
});
