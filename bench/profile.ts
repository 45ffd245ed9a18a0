/** Where the server's time goes: a CPU profile of Meerkat under a case of a scenario, summed up by part of the house. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Outcome } from "./load/plan.ts";
import { run } from "./run.ts";
import type { Case, Scenario } from "./scenarios/scenario.ts";
import { meerkat } from "./servers/meerkat.ts";

/** The format of Chrome's developer tools. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
}

/** A folder of src/ (a module with its name), a library, or the runtime's own code below it. */
export function partOf(url: string): string | undefined {
  const own = /\/src\/(modules\/[^/]+|[^/]+)/.exec(url)?.[1];
  if (own !== undefined && !url.includes("/node_modules/")) return own.replace(/\.ts$/, "");
  const library = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  return library === undefined ? undefined : `library ${library}`;
}

export interface Share {
  readonly name: string;
  /** Of all samples in which the process did something. */
  readonly share: number;
}

/**
 * Time by part, most first. Native code (no file) counts for the part that called it, as its own line: what JSC's
 * built-ins and system calls cost is paid there.
 */
export function sharesOf({ nodes, samples }: CpuProfile): { parts: Share[]; functions: Share[] } {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node.id);
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  let total = 0;
  for (const sample of samples) {
    const frame = byId.get(sample)?.callFrame;
    if (frame === undefined || frame.functionName === "(idle)") continue;
    total++;
    const part = partOf(frame.url);
    let name = part;
    for (let at = parents.get(sample); name === undefined && at !== undefined; at = parents.get(at)) {
      const caller = partOf(byId.get(at)!.callFrame.url);
      if (caller !== undefined) name = `${caller}, native`;
    }
    name ??= frame.functionName === "(garbage collector)" ? "garbage collector" : "runtime";
    parts.set(name, (parts.get(name) ?? 0) + 1);
    const label = `${frame.functionName || "(anonymous)"} (${name})`;
    functions.set(label, (functions.get(label) ?? 0) + 1);
  }
  const sorted = (counts: Map<string, number>) =>
    [...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => ({ name, share: count / total }));
  return { parts: sorted(parts), functions: sorted(functions) };
}

/** Runs the case once with the profiler on. */
export async function profile(
  scenario: Scenario,
  each: Case,
  cores: { serverCore: number; loadCore: number },
  progress: (line: string) => void,
): Promise<{ outcome: Outcome; profile: CpuProfile }> {
  const folder = mkdtempSync(join(tmpdir(), "meerkat-profile-"));
  try {
    const runtimeArguments = ["--cpu-prof", `--cpu-prof-dir=${folder}`];
    const kind = {
      ...meerkat,
      start: (plan: Parameters<typeof meerkat.start>[0]) => {
        rmSync(folder, { recursive: true, force: true }); // Only the last server's profile is of interest.
        return meerkat.start({ ...plan, runtimeArguments });
      },
    };
    const series = await run(scenario, { kinds: [kind], cases: [each], rounds: 1, ...cores, progress });
    const file = readdirSync(folder).find((name) => name.endsWith(".cpuprofile"));
    if (file === undefined) throw new Error("the runtime has left no profile");
    return {
      outcome: series[0]!.outcomes[0]!,
      profile: JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
