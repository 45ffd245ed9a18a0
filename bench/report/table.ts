/** A result as a table for a terminal: a row for each case and server, compared with ejabberd. */
import Table from "cli-table3";
import type { Scenario } from "../scenarios/scenario.ts";
import type { Result } from "./result.ts";

export function tableOf(scenario: Scenario, result: Result): string {
  const figures = scenario.figures.filter(({ key }) => result.rows.some(({ medians }) => medians[key] !== undefined));
  const head = ["case", "server"];
  for (const figure of figures) {
    head.push(figure.title);
    if (figure.compared) head.push("to ejabberd");
  }
  head.push("±", "load", "other CPU");
  const table = new Table({ head, style: { head: [], border: [], compact: true }, colAligns: ["left", "left"] });
  let last = "";
  for (const row of result.rows) {
    const cells = [row.case === last ? "" : row.case, row.server];
    last = row.case;
    for (const { key, digits, compared } of figures) {
      const value = row.medians[key];
      cells.push(value === undefined ? "" : value.toFixed(digits));
      if (!compared) continue;
      const peer = result.rows.find((other) => other.case === row.case && other.server === "ejabberd")?.medians[key];
      cells.push(ratioText(value, peer));
    }
    const percent = `${Math.round(row.spread * 100)} %`;
    cells.push(
      percent,
      row.loadCores.toFixed(2),
      `${row.otherCores.median.toFixed(2)} (${row.otherCores.max.toFixed(2)})`,
    );
    table.push(cells.map((content, at) => ({ content, hAlign: at < 2 ? "left" : "right" })));
  }
  return table.toString();
}

/** How much of the peer's cost: "1/4.2" for less, "×1.3" for more. */
export function ratioText(value: number | undefined, peer: number | undefined): string {
  if (value === undefined || peer === undefined || peer <= 0 || value <= 0) return "";
  return value <= peer ? `1/${(peer / value).toFixed(1)}` : `×${(value / peer).toFixed(1)}`;
}
