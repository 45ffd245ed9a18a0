/** A result as a table: a row for each case and server, compared with ejabberd. */
import Table from "cli-table3";
import type { Scenario } from "../scenarios/scenario.ts";
import { groupsOf, type Result } from "./result.ts";

export interface Cells {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function cellsOf(scenario: Scenario, result: Result): Cells {
  const figures = scenario.figures.filter(({ key }) => result.rows.some(({ medians }) => medians[key] !== undefined));
  const peers = result.rows.some(({ server }) => server === "ejabberd");
  const compares = (figure: (typeof figures)[number]) => peers && figure.compared === true;
  const head = ["case", "server"];
  for (const figure of figures) head.push(figure.title, ...(compares(figure) ? ["to ejabberd"] : []));
  const rows = result.rows.map((row) => {
    const cells = [row.case, row.server];
    for (const figure of figures) {
      const value = row.medians[figure.key];
      cells.push(value === undefined ? "" : value.toFixed(figure.digits));
      if (!compares(figure)) continue;
      const peer = result.rows.find((other) => other.case === row.case && other.server === "ejabberd");
      cells.push(row.server === "ejabberd" ? "" : ratioText(value, peer?.medians[figure.key]));
    }
    cells.push(`${Math.round(row.spread * 100)} %`, row.loadCores.toFixed(2), row.otherCores.median.toFixed(2));
    return cells;
  });
  return { head: [...head, "±", "load", "other CPU"], rows };
}

/** For a terminal. */
export function tableOf(scenario: Scenario, result: Result): string {
  return groupsOf(scenario, result)
    .map(({ group, part }) => (group === undefined ? "" : `${group.title}\n`) + tableOfPart(scenario, part))
    .join("\n");
}

function tableOfPart(scenario: Scenario, result: Result): string {
  const { head, rows } = cellsOf(scenario, result);
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  let last = "";
  for (const [name, ...cells] of rows) {
    const first = name === last ? "" : name!;
    last = name!;
    table.push([first, ...cells].map((content, at) => ({ content, hAlign: at < 2 ? "left" : "right" })));
  }
  return table.toString();
}

export function markdownTable({ head, rows }: Cells): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** How much of the peer's cost: "1/4.2" for less, "×1.3" for more. */
export function ratioText(value: number | undefined, peer: number | undefined): string {
  if (value === undefined || peer === undefined || peer <= 0 || value <= 0) return "";
  return value <= peer ? `1/${(peer / value).toFixed(1)}` : `×${(value / peer).toFixed(1)}`;
}
