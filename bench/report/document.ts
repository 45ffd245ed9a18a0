/** Puts the figures of the last runs into docs/performance.md, between its markers, and draws its plots. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { microNames } from "../micro.ts";
import { scenarios } from "../scenarios/catalogue.ts";
import type { Scenario } from "../scenarios/scenario.ts";
import { type Budget, budgets, type Results } from "./budgets.ts";
import { writeBars, writeLine } from "./plot.ts";
import { groupsOf, type Result, readResult } from "./result.ts";
import { cellsOf, markdownTable } from "./table.ts";

const docs = fileURLToPath(new URL("../../docs", import.meta.url));

export function resultsIn(folder: string): Results {
  return {
    of: (scenario) => readResult(folder, scenario),
    micro(name) {
      try {
        return readFileSync(join(folder, `micro-${name}.txt`), "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
  };
}

/** Scenarios whose section stands elsewhere than with the others, each at a mark of its name. */
const apart: readonly string[] = ["cluster"];

/** Writes the document's generated parts and its plots. What has no figures in `folder` stays as it is; says which scenarios those are. */
export function writeDocument(folder: string): string[] {
  const results = resultsIn(folder);
  const file = join(docs, "performance.md");
  let text = readFileSync(file, "utf8");
  text = replacePart(text, "budgets", budgetTable(budgets(results), partOf(text, "budgets")));
  const missing: string[] = [];
  const sections = new Map<string, string>();
  for (const scenario of scenarios) {
    const result = results.of(scenario.name);
    if (result === undefined) {
      missing.push(scenario.name);
      continue;
    }
    const section = sectionOf(scenario, result, drawAll(scenario, result));
    if (apart.includes(scenario.name)) text = replacePart(text, scenario.name, section);
    else sections.set(scenario.name, section);
  }
  const names = scenarios.map(({ name }) => name).filter((name) => !apart.includes(name));
  text = replacePart(text, "scenarios", withSections(partOf(text, "scenarios"), names, sections));
  const micro = microNames.map((name) => results.micro(name)?.trimEnd());
  if (micro.includes(undefined)) missing.push("micro");
  else text = replacePart(text, "micro", `\`\`\`text\n${micro.join("\n\n")}\n\`\`\``);
  writeFileSync(file, text);
  return missing;
}

/** New sections in the place of old ones, in the order of `names`; old ones without a new one stay. */
export function withSections(old: string, names: readonly string[], sections: ReadonlyMap<string, string>): string {
  const before = old.split(/^(?=### )/m).map((section) => section.trim());
  return names
    .flatMap((name) => sections.get(name) ?? before.find((section) => section.startsWith(`### ${name}:`)) ?? [])
    .join("\n\n");
}

function boundsOf(text: string, name: string): [number, number] {
  const begin = `<!-- bench: ${name} -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf("<!-- bench end -->", from);
  if (from < 0 || to < 0) throw new Error(`the document has no place for '${name}'`);
  return [from + begin.length, to];
}

function partOf(text: string, name: string): string {
  return text.slice(...boundsOf(text, name)).trim();
}

/** The part between `<!-- bench: name -->` and `<!-- bench end -->`. Throws if the document has no such part. */
export function replacePart(text: string, name: string, content: string): string {
  const [from, to] = boundsOf(text, name);
  return `${text.slice(0, from)}\n\n${content}\n\n${text.slice(to)}`;
}

/** What was not measured stands as it stood in the table before. */
export function budgetTable(all: readonly Budget[], before: string): string {
  const known = new Map(before.split("\n").map((line) => [line.split(" | ")[0]!.slice(2), line]));
  const head = ["what", "must be at most", "aim", "measured", "met", "`npm run bench --` …"];
  const [first, second, ...lines] = markdownTable({ head, rows: all.map(rowOf) }).split("\n");
  const rows = all.map(
    ({ what, measured }, at) => (measured === undefined ? known.get(what) : undefined) ?? lines[at]!,
  );
  return [first, second, ...rows].join("\n");
}

function rowOf({ what, must, aim, measured, met, command }: Budget): string[] {
  const verdict = met === undefined ? "" : met ? "yes" : "**no**";
  return [what, must, aim, measured ?? "not measured", verdict, `\`${command}\``];
}

function sectionOf(scenario: Scenario, result: Result, images: readonly string[]): string {
  const versions = Object.entries(result.versions).map(([name, version]) => `${name} ${version}`);
  const head = [
    `### ${scenario.name}: ${scenario.summary}`,
    `\`${result.command}\`, ${result.at.slice(0, 10)}, medians of ${result.rounds}; ${versions.join(", ")}`,
  ];
  const parts = groupsOf(scenario, result).flatMap(({ group, part }) => {
    const table = markdownTable(cellsOf(scenario, part));
    return group === undefined ? [table] : [`**${group.title}**`, table];
  });
  return [...head, ...parts, ...images.map((name) => `![${scenario.summary}](images/${name})`)].join("\n\n");
}

/** The figures of each group side by side; names of the files. */
function drawGroups(scenario: Scenario, result: Result): string[] {
  return groupsOf(scenario, result).map(({ group, part }) => {
    const name = `bench-${scenario.name}-${group!.name}.svg`;
    const figures = scenario.figures.filter(({ key }) => group!.plotted.includes(key));
    const rows = part.rows.filter(({ medians }) => figures.some(({ key }) => medians[key] !== undefined));
    const series = figures.map(({ key, title }) => ({ name: title, values: rows.map(({ medians }) => medians[key]) }));
    const categories = rows.map((row) => row.case);
    const { digits } = figures[0]!;
    writeBars(join(docs, "images", name), { title: group!.title, categories, series, digits });
    return name;
  });
}

/** The first figure as bars, the latencies of what has a rate, and memory over time; names of the files. */
function drawAll(scenario: Scenario, result: Result): string[] {
  const drawn: string[] = [];
  if (scenario.groups !== undefined) return drawGroups(scenario, result);
  const servers = [...new Set(result.rows.map(({ server }) => server))];
  const bars = (key: string, name: string, title: string, digits: number, rows = result.rows) => {
    const categories = [...new Set(rows.filter(({ medians }) => medians[key] !== undefined).map((row) => row.case))];
    const value = (category: string, server: string) =>
      rows.find((row) => row.case === category && row.server === server)?.medians[key];
    const series = servers.map((server) => ({ name: server, values: categories.map((each) => value(each, server)) }));
    writeBars(join(docs, "images", name), { title, categories, series, digits });
    drawn.push(name);
  };
  const samples = result.rows[0]?.outcomes[0]?.samples ?? [];
  if (samples.length > 1) {
    const points = samples.map(({ seconds, bytes }) => [seconds / 60, bytes / 1e6] as const);
    const name = `bench-${scenario.name}.svg`;
    writeLine(join(docs, "images", name), { title: "MB of memory", xName: "minutes", points });
    return [name];
  }
  const first = scenario.figures[0]!;
  bars(first.key, `bench-${scenario.name}.svg`, first.title, first.digits);
  const open = result.rows.filter(({ case: name }) => name.includes("open loop"));
  if (open.length > 0) bars("p99", `bench-${scenario.name}-latency.svg`, "p99 of latency, ms", 2, open);
  return drawn;
}
