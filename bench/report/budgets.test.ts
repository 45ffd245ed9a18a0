import { expect, test } from "bun:test";
import { budgets, scannerRate } from "./budgets.ts";
import { budgetTable, replacePart, withSections } from "./document.ts";
import type { Result } from "./result.ts";

const scannerText = `stanza          chunk     parser         MB/s    stanzas/s
message 200 B   1 stanza  meerkat       320.2      1600000
message 200 B   64 KB     meerkat       310.5      1500000
message 200 B   64 KB     saxes          50.0       250000
message 200 B   64 KB     ltx            40.0       200000
message 4 KB    64 KB     meerkat       900.0       200000
`;

function resultOf(rows: readonly [string, string, Record<string, number>][]): Result {
  return {
    scenario: "",
    at: "",
    command: "",
    machine: { cpu: "", cores: 2, kernel: "", bun: "" },
    versions: {},
    rounds: 1,
    rows: rows.map(([name, server, medians]) => ({
      case: name,
      users: 1,
      server,
      medians,
      spread: 0,
      otherCores: { median: 0, max: 0 },
      loadCores: 0,
      outcomes: [],
    })),
  };
}

test("the scanner's rate is read off its table", () => {
  expect(scannerRate(scannerText, "meerkat")).toBe(310.5);
  expect(scannerRate(scannerText, "other")).toBeUndefined();
  expect(scannerRate(undefined, "meerkat")).toBeUndefined();
});

test("budgets are met, missed or not measured", () => {
  const known: Record<string, Result> = {
    messages: resultOf([
      ["plain, 1 outstanding", "meerkat", { cpu: 3 }],
      ["plain, 1 outstanding", "ejabberd", { cpu: 15 }],
      ["plain, 10 outstanding", "meerkat", { cpu: 2 }],
      ["plain, 10 outstanding", "ejabberd", { cpu: 7 }],
    ]),
    connect: resultOf([["plain", "meerkat", { bytes: 6 }]]),
    growth: resultOf([
      ["1,000 users", "meerkat", { cpu: 2, bytes: 5 }],
      ["15,000 users", "meerkat", { cpu: 2.6, bytes: 4 }],
    ]),
  };
  const all = budgets({ of: (name) => known[name], micro: () => scannerText });
  const of = (what: string) => all.find((budget) => budget.what.startsWith(what))!;
  expect(of("messages, 1 outstanding")).toMatchObject({ met: true, measured: "1/5.0 (3.00 of 15.00 s)" });
  expect(of("messages, 10 outstanding")).toMatchObject({ met: false, measured: "1/3.5 (2.00 of 7.00 s)" });
  expect(of("over TLS, 1")).toMatchObject({ met: undefined, measured: undefined });
  expect(of("idle user, plain")).toMatchObject({ met: true, measured: "6.0 KB" });
  expect(of("scanner")).toMatchObject({ met: true, measured: "311 MB/s, 6.2 and 7.8 times" });
  expect(of("growth, 1,000 users to 15,000 users: CPU")).toMatchObject({ met: false, measured: "1.30 times" });
  expect(of("growth, 1,000 users to 15,000 users: memory")).toMatchObject({ met: true });
});

test("a generated part is replaced, and only it", () => {
  const text = "a\n<!-- bench: x -->\nold\n<!-- bench end -->\nb\n<!-- bench: y -->\n<!-- bench end -->\n";
  const once = replacePart(text, "x", "new");
  expect(once).toBe("a\n<!-- bench: x -->\n\nnew\n\n<!-- bench end -->\nb\n<!-- bench: y -->\n<!-- bench end -->\n");
  expect(replacePart(once, "x", "new")).toBe(once);
  expect(() => replacePart(text, "z", "")).toThrow("no place for 'z'");
});

test("what was not measured anew stays as it was", () => {
  const row = (what: string, measured: string | undefined) => ({
    what,
    must: "1 s",
    aim: "",
    measured,
    met: measured === undefined ? undefined : true,
    command: "x",
  });
  const before = budgetTable([row("a", "0.5 s"), row("gone", "0.1 s"), row("b", "0.6 s")], "");
  const after = budgetTable([row("a", undefined), row("b", "0.7 s"), row("new", undefined)], before);
  expect(after.split("\n").slice(2)).toEqual([
    "| a | 1 s |  | 0.5 s | yes | `x` |",
    "| b | 1 s |  | 0.7 s | yes | `x` |",
    "| new | 1 s |  | not measured |  | `x` |",
  ]);
  const sections = withSections(
    "### a: old\n\nold a\n\n### b: old\n\nold b",
    ["b", "a", "c"],
    new Map([["b", "### b: new"]]),
  );
  expect(sections).toBe("### b: new\n\n### a: old\n\nold a");
});

test("a cluster's budgets are those of its largest directory", () => {
  const row = (name: string, group: string, medians: Record<string, number>) => ({
    ...resultOf([[name, "meerkat", medians]]).rows[0]!,
    group,
  });
  const rows = [
    row("sockets, pairs across, 1 outstanding", "messages", { ratio: 2.5 }),
    row("sockets, pairs across, 10 outstanding", "messages", { ratio: 3.5 }),
    row("1,000 sessions", "directory", { bytes: 90, hit: 100 }),
    row("10,000 sessions", "directory", { bytes: 60, hit: 301 }),
    row("joining 1,000 sessions", "join", { readySeconds: 3, giverTurn: 20 }),
  ];
  const known: Record<string, Result> = { cluster: { ...resultOf([]), rows } };
  const all = budgets({ of: (name) => known[name], micro: () => undefined });
  const said = (text: string) =>
    all.filter(({ what }) => what.includes(text)).map(({ measured, met }) => [measured, met]);
  expect(said("message to another node, sockets")).toEqual([
    ["2.5 times one on one node", true],
    ["3.5 times one on one node", false],
  ]);
  expect(said("message to another node, NATS, 1 ")).toEqual([[undefined, undefined]]);
  expect(said("remote session in each node (10,000 sessions)")).toEqual([["60.0 bytes", true]]);
  expect(said("lookup of an account")).toEqual([["301 ns", false]]);
  expect(said("a node is ready")).toEqual([["3.0 s", true]]);
  expect(said("giver is deaf")).toEqual([["20 ms", true]]);
});
