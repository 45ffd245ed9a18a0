/** What a scenario is: cases, each a load for one server and the figures that come of it. */
import type { Spread, Target } from "../load/client.ts";
import type { FanoutPlan, IdlePlan, LoginsPlan, OfflinePlan, Outcome, PairsPlan, PresencePlan } from "../load/plan.ts";
import type { Row } from "../report/result.ts";
import type { Features } from "../servers/server.ts";

/** How much of everything: the usual measure, or a quick look whose figures are rough. */
export interface Scale {
  readonly quick: boolean;
  /** Overrides what a case would have. */
  readonly users?: number;
  readonly seconds?: number;
  /** Messages a second in all, where a case would have as many as go. */
  readonly rate?: number;
}

/** Measured by a program of its own instead of a server under load: it prints an outcome as JSON as its last line. */
export interface ProgramLoad {
  readonly kind: "program";
  readonly users: number;
  /** A micro benchmark. */
  readonly micro: string;
  readonly args: readonly string[];
}

type Without<P> = Omit<P, "target" | "serverPid" | "first">;
export type Load =
  | Without<IdlePlan>
  | Without<LoginsPlan>
  | Without<PairsPlan>
  | Without<PresencePlan>
  | Without<OfflinePlan>
  | Without<FanoutPlan>
  | ProgramLoad;

export interface Case {
  /** Unique in its scenario. */
  readonly name: string;
  readonly load: Load;
  readonly tls: Target["tls"];
  readonly mechanism: Target["mechanism"];
  readonly begins: Target["begins"];
  readonly features?: Features;
  /** Only these can do it; all, if not given. */
  readonly servers?: readonly string[];
  /** Who goes to which node of a cluster. */
  readonly spread?: Spread;
  /** The name of the scenario's group that it belongs to. */
  readonly group?: string;
  /** More would only take longer. */
  readonly roundsMax?: number;
}

/** Cases that have a table and a plot of their own. */
export interface Group {
  readonly name: string;
  readonly title: string;
  /** Keys of the figures that are drawn. */
  readonly plotted: readonly string[];
}

/** A column of the table. Less is better in all that are compared. */
export interface Figure {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
  /** Print the ratio to ejabberd too. */
  readonly compared?: boolean;
  /** Undefined where the case has none. */
  of(outcome: Outcome): number | undefined;
}

export interface Scenario {
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  /** Servers that take part unless told otherwise. */
  readonly servers: readonly string[];
  readonly figures: readonly Figure[];
  /** More would only take longer. */
  readonly roundsMax?: number;
  /** Every case of a scenario with groups belongs to one. */
  readonly groups?: readonly Group[];
  cases(scale: Scale): Case[];
  /** Figures that follow from several cases. */
  completed?(rows: readonly Row[]): Row[];
}

/** The first figure that the case has. */
export function headline(scenario: Scenario, outcome: Outcome): { figure: Figure; value: number } {
  for (const figure of scenario.figures) {
    const value = figure.of(outcome);
    if (value !== undefined) return { figure, value };
  }
  throw new Error(`${scenario.name} has no figure`);
}

export const peers = ["meerkat", "ejabberd", "prosody"];

/** CPU seconds of the server for so many units. */
export function cpuPer(units: number, of: string): Figure {
  return {
    key: "cpu",
    title: `CPU s per ${of}`,
    digits: 2,
    compared: true,
    of: (outcome) => (outcome.usage.serverCpu * units) / outcome.units,
  };
}

export function perSecond(what: string): Figure {
  return { key: "rate", title: `${what}/s`, digits: 0, of: ({ units, usage }) => units / usage.seconds };
}

export const latencies: readonly Figure[] = [
  { key: "p50", title: "p50 ms", digits: 2, of: ({ latency }) => latency?.p50Ms },
  { key: "p99", title: "p99 ms", digits: 2, of: ({ latency }) => latency?.p99Ms },
  { key: "max", title: "max ms", digits: 1, of: ({ latency }) => latency?.maxMs },
];
