/**
 * `npm test`: runs every `*.test.ts` and ends with one line, `N passed, N failed, N skipped`.
 *
 *     npm test                    all of them
 *     npm test -- src/xml carbons only files whose path contains one of these
 *     npm test -- --no-skips      a skipped test counts as a failure (for CI)
 *
 * Files that start servers or browsers run in processes of their own, one after the other, so that none waits for another.
 * Each such group says when it has ended. What it printed follows when something in it failed; at the end of everything stand skipped
 * tests by name, and failed ones with their errors.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { glob } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Failure, type Report, readReport, strayErrors, told, withoutPassed } from "./test-report.ts";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
/** For one test; so long that only a test that hangs meets it, also on a busy machine. */
const testTimeoutMs = 60_000;

/** For one group; so long that only one that hangs meets it, and short enough that what it printed is still seen. */
const groupTimeoutMs = 9 * 60_000;

interface Run {
  readonly report: Report;
  readonly output: string;
  readonly seconds: number;
}

let endRunning = (): void => {};

const isAlone = (file: string): boolean =>
  ["test/e2e/", "test/cluster/", "bench/smoke.test.ts"].some((start) => file.startsWith(start));

/** Database servers that run nowhere yet are started once for all. */
async function databasesFor(files: readonly string[]): Promise<Record<string, string>> {
  const some = files.some((file) => readFileSync(join(root, file), "utf8").includes("support/databases.ts"));
  return some ? (await import("../test/support/databases.ts")).startedDatabases() : {};
}

/** Each folder of end-to-end tests starts servers of its own, so those files run apart from each other. */
function groupsOf(files: readonly string[]): string[][] {
  const alone = files.filter(isAlone);
  const together = files.filter((file) => !alone.includes(file));
  return [together, ...alone.map((file) => [file])].filter((group) => group.length > 0);
}

async function findTests(wanted: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob("{src,test,scripts,docs,bench}/**/*.test.ts", { cwd: root })) files.push(file);
  return files.filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part))).sort();
}

async function runGroup(files: readonly string[], reportFile: string, env: NodeJS.ProcessEnv): Promise<Run> {
  const args = ["test", `--timeout=${testTimeoutMs}`, "--reporter=junit", `--reporter-outfile=${reportFile}`];
  const started = performance.now();
  const child = spawn(process.execPath, [...args, ...files.map((file) => `./${file}`)], {
    cwd: root,
    env,
    detached: true, // so that it can be ended with all that it has started
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk));
  const end = () => process.kill(-child.pid!, "SIGKILL");
  const timer = setTimeout(end, groupTimeoutMs);
  endRunning = end;
  const ending = await new Promise<string | number>((done) => {
    child.on("close", (code, signal) => done(signal ?? code ?? "an unknown error"));
  });
  endRunning = () => {};
  clearTimeout(timer);
  const seconds = (performance.now() - started) / 1000;
  return { report: reportOf(reportFile, files, ending, output), output, seconds };
}

/** Whatever made the group end badly is among the failures, also where its report says nothing of it. */
function reportOf(file: string, files: readonly string[], ending: string | number, output: string): Report {
  let report: Report = { passed: 0, failures: [], skipped: [] };
  try {
    report = readReport(readFileSync(file, "utf8"));
  } catch {
    // It died before it could write one; then it did not end with 0.
  }
  const failures: Failure[] = [...report.failures, ...strayErrors(output)];
  if (ending !== 0 && failures.length === 0) {
    const error = `The process of the tests ended with ${ending}. It printed last:\n${output.trimEnd().slice(-4_000)}`;
    failures.push({ place: files.length === 1 ? files[0]! : `one of ${files.length} files`, name: "(all)", error });
  }
  return { ...report, failures };
}

function progressOf(files: readonly string[], { report, seconds }: Run): string {
  const { passed, failures, skipped } = report;
  const counts = [`${passed} passed`];
  if (failures.length > 0) counts.push(`${failures.length} FAILED`);
  if (skipped.length > 0) counts.push(`${skipped.length} skipped`);
  return `${files.length === 1 ? files[0] : `${files.length} files`}: ${counts.join(", ")} in ${seconds.toFixed(1)} s`;
}

const args = process.argv.slice(2);
const noSkips = args.includes("--no-skips");
const groups = groupsOf(await findTests(args.filter((arg) => !arg.startsWith("--"))));
const reports = mkdtempSync(join(tmpdir(), "meerkat-test-"));
const failures: Failure[] = [];
const skipped: string[] = [];
let passed = 0;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    interrupted = true;
    endRunning();
  });
}
const env = { ...process.env, ...(await databasesFor(groups.flat())) };

for (const [at, group] of groups.entries()) {
  if (interrupted) break;
  const run = await runGroup(group, join(reports, `${at}.xml`), env);
  console.log(progressOf(group, run));
  if (run.report.failures.length > 0) console.log(withoutPassed(run.output));
  passed += run.report.passed;
  failures.push(...run.report.failures);
  skipped.push(...run.report.skipped);
}
rmSync(reports, { recursive: true, force: true });

if (skipped.length > 0) {
  console.log(`Skipped, because something they need is not on this machine:\n  ${skipped.join("\n  ")}\n`);
}
if (failures.length > 0) console.log(`Failed:\n\n${failures.map(told).join("\n\n")}\n`);
console.log(`${passed} passed, ${failures.length} failed, ${skipped.length} skipped`);
process.exitCode = interrupted || failures.length > 0 || passed === 0 || (noSkips && skipped.length > 0) ? 1 : 0;
