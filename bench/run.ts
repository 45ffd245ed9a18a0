/** Runs a scenario: each case on each server in turn, round after round, always on a fresh server with known accounts. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { selfSigned } from "../src/runtime/bun/certificate.ts";
import type { Target } from "./load/client.ts";
import { complaintOf } from "./load/ledger.ts";
import type { Outcome, Plan } from "./load/plan.ts";
import { machineBusySeconds } from "./measure/process.ts";
import type { ProgramOutcome } from "./measure/program.ts";
import { type Case, headline, type ProgramLoad, type Scenario } from "./scenarios/scenario.ts";
import { domain, password, type RunningServer, type ServerKind } from "./servers/server.ts";

const loadProgram = fileURLToPath(new URL("load/main.ts", import.meta.url));

export interface RunOptions {
  readonly kinds: readonly ServerKind[];
  readonly cases: readonly Case[];
  readonly rounds: number;
  readonly serverCore: number;
  readonly loadCore: number;
  /** A line of what goes on, for who waits. */
  progress(line: string): void;
}

/** All rounds of one case on one server. */
export interface Series {
  readonly case: Case;
  readonly server: string;
  readonly outcomes: Outcome[];
}

/** Messages were lost, doubled, overtaken or changed: no figure counts. */
export class Damaged extends Error {
  override readonly name = "Damaged";
}

export async function run(scenario: Scenario, options: RunOptions): Promise<Series[]> {
  await using bench = await Bench.open(options);
  const series = options.cases.flatMap((each) =>
    options.kinds
      .filter(({ name }) => each.servers === undefined || each.servers.includes(name))
      .map((kind) => ({ case: each, server: kind.name, kind, outcomes: [] as Outcome[] })),
  );
  const roundsOf = ({ roundsMax = options.rounds }: Case) => Math.min(options.rounds, roundsMax);
  const total = series.reduce((sum, { case: each }) => sum + roundsOf(each), 0);
  let at = 0;
  for (let round = 1; round <= options.rounds; round++) {
    for (const { case: each, kind, outcomes } of series.filter((one) => round <= roundsOf(one.case))) {
      const outcome = await bench.measureTwice(kind, each);
      const complaint = outcome.verdict === undefined ? undefined : complaintOf(outcome.verdict);
      if (complaint !== undefined) throw new Damaged(`${scenario.name}, ${each.name}, ${kind.name}: ${complaint}`);
      outcomes.push(outcome);
      const { figure, value } = headline(scenario, outcome);
      const other = outcome.usage.otherCores.toFixed(2);
      const place = `[${++at}/${total}] ${scenario.name}, ${each.name}`;
      options.progress(
        `${place}, ${kind.name}, round ${round}: ${value.toFixed(figure.digits)} ${figure.title} (other CPU ${other})`,
      );
    }
  }
  return series;
}

/** The temporary folder of a run: the certificate, and for each server folders with accounts, made once. */
class Bench {
  readonly #options: RunOptions;
  readonly #folder: string;
  readonly #seeds = new Map<string, string>();
  #count = 0;

  private constructor(options: RunOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  static async open(options: RunOptions): Promise<Bench> {
    const folder = mkdtempSync(join(tmpdir(), "meerkat-bench-"));
    const { certificate, key } = await selfSigned([domain]);
    writeFileSync(join(folder, "certificate.pem"), certificate);
    writeFileSync(join(folder, "key.pem"), key);
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    return new Bench(options, folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Hours of figures are not thrown away because a login timed out on a busy machine; a second time it is no accident. */
  async measureTwice(kind: ServerKind, each: Case): Promise<Outcome> {
    try {
      return await this.measure(kind, each);
    } catch (error) {
      this.#options.progress(`${each.name}, ${kind.name}: once more, since ${(error as Error).message}`);
      return await this.measure(kind, each);
    }
  }

  async measure(kind: ServerKind, each: Case): Promise<Outcome> {
    if (each.load.kind === "program") return this.#runProgram(each.load);
    const seed = await this.#seed(kind, each);
    const folder = this.#newFolder(kind.name);
    cpSync(seed, folder, { recursive: true });
    const server = await this.#start(kind, folder, each);
    try {
      return await this.#load(server, { ...each.load, ...this.#common(server, each, false) } as Plan);
    } finally {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** A folder of data with the accounts that the case needs. */
  async #seed(kind: ServerKind, each: Case): Promise<string> {
    // One node of a cluster makes them for all.
    const alone = { ...each, features: { ...each.features, cluster: undefined } };
    const key = `${kind.name} ${each.load.users} ${JSON.stringify(alone.features)}`;
    const known = this.#seeds.get(key);
    if (known !== undefined) return known;
    const folder = this.#newFolder(kind.name);
    mkdirSync(folder);
    if (kind.copyAccounts === undefined) {
      this.#seeds.set(key, folder);
      return folder;
    }
    this.#options.progress(`making ${each.load.users} accounts on ${kind.name}`);
    const server = await this.#start(kind, folder, alone);
    try {
      await this.#load(server, { ...this.#common(server, alone, true), kind: "register", users: 1, inflight: 1 });
    } finally {
      await server.stop();
    }
    await kind.copyAccounts(folder, each.load.users);
    this.#seeds.set(key, folder);
    return folder;
  }

  #newFolder(name: string): string {
    return join(this.#folder, `${name}-${this.#count++}`);
  }

  #start(kind: ServerKind, folder: string, { features = {} }: Case): Promise<RunningServer> {
    return kind.start({
      folder,
      certificate: join(this.#folder, "certificate.pem"),
      key: join(this.#folder, "key.pem"),
      core: this.#options.serverCore,
      features,
    });
  }

  #common(
    server: RunningServer,
    each: Case,
    register: boolean,
  ): Pick<Plan, "target" | "serverPid" | "apart" | "first"> {
    const tls = register ? "none" : each.tls;
    const target: Target = {
      port: tls === "direct" ? server.tlsPort : server.plainPort,
      ports: server.ports,
      spread: each.spread,
      domain,
      tls,
      mechanism: each.mechanism,
      password,
      resource: "load",
      register,
      begins: register ? "silent" : each.begins,
    };
    return { target, serverPid: server.pid, apart: server.apart, first: 0 };
  }

  /** Carries the plan out in a process on a core of its own. */
  async #load(server: RunningServer, plan: Plan): Promise<Outcome> {
    const output = await this.#outputOf(
      this.#options.loadCore,
      [loadProgram, JSON.stringify(plan)],
      `the load (process ${server.pid} is the server)`,
    );
    return JSON.parse(output) as Outcome;
  }

  /** The figures of a micro benchmark; what it prints for people goes to whoever waits. */
  async #runProgram({ micro, args }: ProgramLoad): Promise<Outcome> {
    const busyBefore = machineBusySeconds();
    const begun = performance.now();
    const program = fileURLToPath(new URL(`micro/${micro}.ts`, import.meta.url));
    const output = await this.#outputOf(this.#options.serverCore, [program, ...args, "--json"], micro);
    const seconds = (performance.now() - begun) / 1000;
    const lines = output.trimEnd().split("\n");
    const { cpuSeconds, units, values } = JSON.parse(lines.pop()!) as ProgramOutcome;
    for (const line of lines) this.#options.progress(line);
    const otherCores = Math.max(0, (machineBusySeconds() - busyBefore - cpuSeconds) / seconds);
    return { units, users: units, values, usage: { seconds, serverCpu: cpuSeconds, loadCpu: 0, otherCores } };
  }

  #outputOf(core: number, command: readonly string[], what: string): Promise<string> {
    const args = ["-c", String(core), process.execPath, ...command];
    const child = spawn("taskset", args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let complaint = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      complaint += chunk;
    });
    return new Promise((done, fail) => {
      child.once("error", fail);
      child.once("close", (code) => {
        if (code === 0) {
          if (complaint !== "") this.#options.progress(complaint.trimEnd());
          done(output);
        } else fail(new Error(`${what} failed: ${complaint.trim()}`));
      });
    });
  }
}
