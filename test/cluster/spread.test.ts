/** The tests of one server, unchanged, with their clients spread over three nodes, on each fabric. */
import { afterAll, describe, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readReport, strayErrors, told } from "../../scripts/test-report.ts";
import { testDatabases } from "../support/databases.ts";
import { natsInstalled, OwnNats } from "../support/nats.ts";

const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres");
const nats = natsInstalled ? await OwnNats.start() : undefined;
const folder = mkdtempSync(join(tmpdir(), "meerkat-spread-"));
afterAll(async () => {
  await nats?.end();
  rmSync(folder, { recursive: true, force: true });
});

const names = ["xmpp-client", "strophe", "stanza-js", "slixmpp", "archive", "muc-light", "inbox", "push"];
const files = names.map((name) => `./test/e2e/${name}.test.ts`);

/** What failed, and why; nothing when all pass. */
async function complaints(fabric: string, reportFile: string): Promise<string> {
  const env = { ...process.env, MEERKAT_TEST_NODES: "3", MEERKAT_TEST_FABRIC: fabric };
  const args = ["test", "--timeout=60000", "--reporter=junit", `--reporter-outfile=${reportFile}`];
  const child = spawn(process.execPath, [...args, ...files], { env });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk));
  const code = await new Promise<number | null>((done) => child.once("close", done));
  if (code === 0) return "";
  const reported = existsSync(reportFile) ? readReport(readFileSync(reportFile, "utf8")).failures : [];
  const failures = [...reported, ...strayErrors(output)];
  return failures.length > 0 ? failures.map(told).join("\n\n") : output;
}

const possible = postgres !== undefined && postgres.unavailable === undefined;
describe.skipIf(!possible)("clients spread over three nodes pass the tests of a single one", () => {
  const ways = [
    { title: "Unix sockets", lines: 'fabric = "local"' },
    { title: "NATS", lines: nats && `fabric = "nats"\n[cluster.nats]\nservers = ["${nats.url}"]` },
  ];
  // Both at once: most of the time each waits.
  const runs = ways.map(({ title, lines }) =>
    possible && lines !== undefined ? complaints(lines, join(folder, `${title}.xml`)) : undefined,
  );
  for (const [at, { title }] of ways.entries()) {
    test.skipIf(runs[at] === undefined)(
      title,
      async () => {
        const failed = await runs[at];
        if (failed !== "") throw new Error(`With three nodes:\n\n${failed}`);
      },
      400_000,
    );
  }
});
