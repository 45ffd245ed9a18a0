/** What a run leaves behind as JSON: every round's outcome, the medians, and on what it was measured. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import type { Outcome } from "../load/plan.ts";
import { median, spread } from "../measure/statistics.ts";
import type { Series } from "../run.ts";
import { type Group, headline, type Scenario } from "../scenarios/scenario.ts";

export interface Row {
  readonly case: string;
  /** Of the scenario's, if it has groups. */
  readonly group?: string;
  readonly users: number;
  readonly server: string;
  /** By key of figure; absent where the case has none. */
  readonly medians: Readonly<Record<string, number>>;
  /** Of the first figure: (largest − smallest) / median of the rounds. */
  readonly spread: number;
  /** Cores that neither server nor load used, the median and the most of the rounds. */
  readonly otherCores: { readonly median: number; readonly max: number };
  /** Of the one core that the load has. Near 1, the load was the bottleneck of the rate. */
  readonly loadCores: number;
  readonly outcomes: readonly Outcome[];
}

export interface Result {
  readonly scenario: string;
  readonly at: string;
  readonly command: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string; readonly bun: string };
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

export function resultOf(
  scenario: Scenario,
  series: readonly Series[],
  context: { command: string; versions: Record<string, string>; rounds: number },
): Result {
  const rows = series.map((each) => rowOf(scenario, each));
  return {
    scenario: scenario.name,
    at: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: cpus().length,
      kernel: release(),
      bun: process.versions.bun ?? "",
    },
    ...context,
    rows: scenario.completed?.(rows) ?? rows,
  };
}

function rowOf(scenario: Scenario, { case: each, server, outcomes }: Series): Row {
  const medians: Record<string, number> = {};
  for (const figure of scenario.figures) {
    const values = outcomes.map((outcome) => figure.of(outcome)).filter((value) => value !== undefined);
    if (values.length > 0) medians[figure.key] = median(values);
  }
  const first = outcomes.map((outcome) => headline(scenario, outcome).value);
  const other = outcomes.map(({ usage }) => usage.otherCores);
  return {
    case: each.name,
    group: each.group,
    users: each.load.users,
    server,
    medians,
    spread: spread(first),
    otherCores: { median: median(other), max: Math.max(...other) },
    loadCores: median(outcomes.map(({ usage }) => usage.loadCpu / usage.seconds)),
    outcomes,
  };
}

export function writeResult(folder: string, result: Result): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${result.scenario}.json`);
  writeFileSync(file, `${JSON.stringify(result, undefined, 1)}\n`);
  return file;
}

/** What an earlier run has left; undefined if there was none. */
export function readResult(folder: string, scenario: string): Result | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, `${scenario}.json`), "utf8")) as Result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A result for each group, with its rows alone; the whole of a scenario without groups. */
export function groupsOf({ groups = [] }: Scenario, result: Result): { group: Group | undefined; part: Result }[] {
  if (groups.length === 0) return [{ group: undefined, part: result }];
  return groups
    .map((group) => ({ group, part: { ...result, rows: result.rows.filter((row) => row.group === group.name) } }))
    .filter(({ part }) => part.rows.length > 0);
}

/** The median of a figure; undefined if it was not measured. */
export function figureOf(result: Result | undefined, name: string, server: string, key: string): number | undefined {
  return result?.rows.find((row) => row.case === name && row.server === server)?.medians[key];
}
