import { expect, test } from "bun:test";
import { messages } from "../scenarios/messages.ts";
import type { Result, Row } from "./result.ts";
import { ratioText, tableOf } from "./table.ts";

test("how much of the peer's cost", () => {
  expect(ratioText(2, 8)).toBe("1/4.0");
  expect(ratioText(8, 2)).toBe("×4.0");
  expect(ratioText(undefined, 2)).toBe("");
  expect(ratioText(2, 0)).toBe("");
});

test("a row for each case and server, with ratios within the case", () => {
  const row = (name: string, server: string, cpu: number): Row => ({
    case: name,
    users: 2,
    server,
    medians: { cpu, rate: 1234.5 },
    spread: 0.1,
    otherCores: { median: 0.05, max: 0.2 },
    loadCores: 0.5,
    outcomes: [],
  });
  const result: Result = {
    scenario: "messages",
    at: "",
    command: "",
    machine: { cpu: "", cores: 2, kernel: "", bun: "" },
    versions: {},
    rounds: 3,
    rows: [row("a", "meerkat", 2), row("a", "ejabberd", 9), row("b", "meerkat", 1), row("b", "ejabberd", 8)],
  };
  const lines = tableOf(messages, result).split("\n");
  const columns = (line: string) => line.split("│").map((cell) => cell.trim());
  expect(columns(lines[1]!)).not.toContain("p99 ms");
  expect(columns(lines[3]!).slice(1, 6)).toEqual(["a", "meerkat", "2.00", "1/4.5", "1235"]);
  expect(columns(lines[6]!).slice(1, 6)).toEqual(["", "ejabberd", "8.00", "", "1235"]);
});
