/**
 * `npm test`: runs every `*.test.ts` and ends with one line, `N passed, N failed, N skipped`.
 *
 *     npm test                    all of them
 *     npm test -- src/xml carbons only files whose path contains one of these
 *     npm test -- --no-skips      a skipped test counts as a failure (for CI)
 *
 * Files that start servers or browsers run in processes of their own, one after the other, so that none waits for another.
 * The output of a group is printed when something in it failed. Skipped tests are listed by name.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { glob } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const testTimeoutMs = 30_000;

interface Tally {
  passed: number;
  failed: number;
  skipped: string[];
}

/** Each folder of end-to-end tests starts servers of its own, so those files run apart from each other. */
function groupsOf(files: readonly string[]): string[][] {
  const apart = ["test/e2e/", "test/cluster/", "bench/smoke.test.ts"];
  const alone = files.filter((file) => apart.some((start) => file.startsWith(start)));
  const together = files.filter((file) => !alone.includes(file));
  return [together, ...alone.map((file) => [file])].filter((group) => group.length > 0);
}

async function findTests(wanted: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob("{src,test,scripts,docs,bench}/**/*.test.ts", { cwd: root })) files.push(file);
  return files.filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part))).sort();
}

async function runGroup(files: readonly string[], reportFile: string): Promise<{ code: number; output: string }> {
  const args = ["test", `--timeout=${testTimeoutMs}`, "--reporter=junit", `--reporter-outfile=${reportFile}`];
  const child = spawn(process.execPath, [...args, ...files.map((file) => `./${file}`)], { cwd: root });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk));
  const code = await new Promise<number>((done) => child.on("close", (status) => done(status ?? 1)));
  return { code, output };
}

/** Counts by JUnit's report; a group that died without one has failed. */
function tallyOf(reportFile: string, code: number): Tally {
  let report: string;
  try {
    report = readFileSync(reportFile, "utf8");
  } catch (cause) {
    console.error(`no report: ${(cause as Error).message}`);
    return { passed: 0, failed: 1, skipped: [] };
  }
  const tally: Tally = { passed: 0, failed: 0, skipped: [] };
  for (const [, attributes, body] of report.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    if (body?.includes("<skipped")) tally.skipped.push(nameOf(attributes!));
    else if (body?.includes("<failure") || body?.includes("<error")) tally.failed++;
    else tally.passed++;
  }
  if (code !== 0 && tally.failed === 0) tally.failed = 1;
  return tally;
}

function nameOf(attributes: string): string {
  const attribute = (name: string) => new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return `${attribute("file") || attribute("classname")}: ${attribute("name")}`;
}

const args = process.argv.slice(2);
const noSkips = args.includes("--no-skips");
const groups = groupsOf(await findTests(args.filter((arg) => !arg.startsWith("--"))));
const reports = mkdtempSync(join(tmpdir(), "meerkat-test-"));
const total: Tally = { passed: 0, failed: 0, skipped: [] };
for (const [at, group] of groups.entries()) {
  const report = join(reports, `${at}.xml`);
  const { code, output } = await runGroup(group, report);
  const tally = tallyOf(report, code);
  if (tally.failed > 0) console.log(output);
  total.passed += tally.passed;
  total.failed += tally.failed;
  total.skipped.push(...tally.skipped);
}
rmSync(reports, { recursive: true, force: true });

if (total.skipped.length > 0) {
  console.log(`Skipped, because something they need is not on this machine:\n  ${total.skipped.join("\n  ")}\n`);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped.length} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 || (noSkips && total.skipped.length > 0) ? 1 : 0;
