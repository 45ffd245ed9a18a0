/**
 * `npm run bench -- <scenario> [options]`: measures this server beside others, in turns on the same core with the same
 * load, prints a table of medians, and leaves the figures in bench/out as JSON.
 */
import { availableParallelism, platform } from "node:os";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { archivePages } from "./archive-pages.ts";
import { microNames, runMicro } from "./micro.ts";
import { profile, sharesOf } from "./profile.ts";
import { writeDocument } from "./report/document.ts";
import { resultOf, writeResult } from "./report/result.ts";
import { tableOf } from "./report/table.ts";
import { run } from "./run.ts";
import { scenarios } from "./scenarios/catalogue.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { serverKinds } from "./servers/catalogue.ts";
import { firstLineOf, type ServerKind } from "./servers/server.ts";

interface Options {
  readonly quick: boolean;
  readonly servers?: readonly string[];
  readonly rounds?: number;
  readonly users?: number;
  readonly seconds?: number;
  readonly rate?: number;
  readonly cases?: string;
  readonly cores: readonly number[];
  readonly out: string;
}

const defaultOut = fileURLToPath(new URL("out", import.meta.url));

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("a number from 1 on.");
  return value;
}

function list(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !serverKinds.some((kind) => kind.name === name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`known are ${serverKinds.map(({ name }) => name).join(", ")}.`);
  }
  return names;
}

function twoCores(text: string): number[] {
  const cores = text.split(",").map(Number);
  if (cores.length !== 2 || !cores.every((core) => Number.isInteger(core) && core >= 0)) {
    throw new InvalidArgumentError("two numbers, such as 0,1.");
  }
  return cores;
}

/** Those of the wanted that are installed; says what is missing. */
async function installed(names: readonly string[]): Promise<{ kinds: ServerKind[]; versions: Record<string, string> }> {
  const kinds: ServerKind[] = [];
  const versions: Record<string, string> = {};
  for (const kind of serverKinds.filter(({ name }) => names.includes(name))) {
    const version = await kind.version();
    if (version === undefined) console.error(`${kind.name} is not installed, so it is left out (${kind.hint}).`);
    else {
      kinds.push(kind);
      versions[kind.name] = version;
    }
  }
  return { kinds, versions };
}

async function measure(scenario: Scenario, options: Options): Promise<void> {
  const { kinds, versions } = await installed(options.servers ?? scenario.servers);
  const cases = scenario
    .cases(options)
    .filter(({ name }) => options.cases === undefined || name.includes(options.cases));
  if (cases.length === 0) throw new Error(`no case of ${scenario.name} has "${options.cases}" in its name`);
  const rounds = Math.min(options.rounds ?? (options.quick ? 1 : 3), scenario.roundsMax ?? Number.POSITIVE_INFINITY);
  const [serverCore, loadCore] = options.cores as [number, number];
  const progress = (line: string) => console.error(line);
  const series = await run(scenario, { kinds, cases, rounds, serverCore, loadCore, progress });
  const command = `npm run bench -- ${process.argv.slice(2).join(" ")}`;
  const result = resultOf(scenario, series, { command, versions, rounds });
  const file = writeResult(options.out, result);
  console.log(tableOf(scenario, result));
  console.log(`Medians of ${rounds}; ±: how far the rounds lie apart. All rounds: ${file}`);
}

async function checkMachine(): Promise<void> {
  if (platform() !== "linux") throw new Error("the bench reads /proc and pins processes to cores, so it needs Linux");
  if ((await firstLineOf("taskset", ["--version"])) === undefined) throw new Error("taskset (util-linux) is missing");
}

/** What all scenarios, one after the other, take too. */
function measuring(command: Command): Command {
  return command
    .option("--quick", "one short round: rough figures in a minute or two", false)
    .option("--servers <names>", `of ${serverKinds.map(({ name }) => name).join(",")}`, list)
    .option("--rounds <n>", "how often each is measured (3, quick 1)", positive)
    .addOption(
      new Option("--cores <server,load>", "the core of the servers and that of the load")
        .argParser(twoCores)
        .default(availableParallelism() > 1 ? [0, 1] : [0, 0], "0,1"),
    )
    .option("--out <folder>", "where the figures go", defaultOut);
}

async function microBenchmarks(names: readonly string[], options: readonly string[]): Promise<void> {
  for (const name of names) await runMicro(name, 0, options, defaultOut);
}

interface ProfileOptions {
  readonly scenario: string;
  readonly case: string;
  readonly seconds: number;
  readonly functions: number;
}

async function showProfile(options: ProfileOptions): Promise<void> {
  const scenario = scenarios.find(({ name }) => name === options.scenario);
  if (scenario === undefined) throw new Error(`there is no scenario "${options.scenario}"`);
  const cases = scenario.cases({ quick: false, seconds: options.seconds });
  const each = cases.find(({ name }) => name === options.case);
  if (each === undefined) {
    throw new Error(`${scenario.name} has no case "${options.case}", but ${cases.map(({ name }) => name).join("; ")}`);
  }
  const loadCore = availableParallelism() > 1 ? 1 : 0;
  const { profile: found } = await profile(scenario, each, { serverCore: 0, loadCore }, (line) => console.error(line));
  const { parts, functions } = sharesOf(found);
  const large = parts.filter(({ share }) => share >= 0.005);
  const rest = parts.filter(({ share }) => share < 0.005).reduce((sum, { share }) => sum + share, 0);
  for (const { name, share } of [...large, { name: "everything else, and starting", share: rest }]) {
    console.log(`${(share * 100).toFixed(1).padStart(5)} %  ${name}`);
  }
  console.log("");
  for (const { name, share } of functions.slice(0, options.functions)) {
    console.log(`${(share * 100).toFixed(1).padStart(5)} %  ${name}`);
  }
}

function report(out: string): void {
  const missing = writeDocument(out);
  console.log("docs/performance.md and its plots are written.");
  if (missing.length > 0) console.log(`As they were, since ${out} has no figures of them: ${missing.join(", ")}.`);
}

const program = new Command("npm run bench --")
  .description("Measures Meerkat beside other servers. Figures are CPU seconds first: they are steadier than rates.")
  .showHelpAfterError();
for (const scenario of scenarios) {
  const command = measuring(program.command(scenario.name).summary(scenario.summary))
    .option("--users <n>", "how many users", positive)
    .option("--seconds <n>", "how long each is measured", positive)
    .option("--cases <text>", "only cases with this in their name")
    .action((options: Options) => measure(scenario, options));
  if (scenario.name === "soak") command.option("--rate <n>", "messages a second; as many as go without it", positive);
}
program
  .command("archive-pages")
  .summary("how long pages of an archive of ten million messages take in PostgreSQL; makes it first, for minutes")
  .option("--rows <n>", "how many messages", positive, 10_000_000)
  .option("--keep", "leave the database there", false)
  .option("--reuse", "take the database that an earlier run has left", false)
  .action(archivePages);

program
  .command("micro [name] [options...]")
  .summary(`micro benchmarks: all, or one of ${microNames.join(", ")} with options of its own`)
  .allowUnknownOption()
  .action(async (name: string | undefined, options: string[]) => {
    if (name !== undefined && !microNames.includes(name)) throw new Error(`known are ${microNames.join(", ")}`);
    await microBenchmarks(name === undefined ? microNames : [name], options);
  });
program
  .command("profile")
  .summary("a CPU profile of this server under a case of a scenario, by part")
  .option("--scenario <name>", "such as login", "messages")
  .option("--case <name>", "the case of it", "plain, 10 outstanding")
  .option("--seconds <n>", "how long", positive, 8)
  .option("--functions <n>", "how many of the costliest functions to list", positive, 25)
  .action(showProfile);
measuring(
  program
    .command("all")
    .summary("every scenario and micro benchmark, then report: a few hours; --quick: less than one"),
)
  .option("--without <names>", "scenarios to leave out", (text: string) => text.split(","), [])
  .action(async (options: Options & { without: readonly string[] }) => {
    for (const scenario of scenarios) if (!options.without.includes(scenario.name)) await measure(scenario, options);
    await microBenchmarks(microNames, []);
    report(options.out);
  });
program
  .command("report")
  .summary("writes tables and plots of docs/performance.md from the figures in bench/out; others stay as they are")
  .option("--out <folder>", "where the figures are", defaultOut)
  .action(({ out }: { out: string }) => report(out));

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

try {
  await checkMachine();
  await program.parseAsync();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
