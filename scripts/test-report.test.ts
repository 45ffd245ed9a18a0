/** What is told of failures: read from the report of a real run, in which tests fail in every way there is. */
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readReport, strayErrors, told, withoutPassed } from "./test-report.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What Bun reports and prints of these files. */
function run(files: Readonly<Record<string, string>>): { xml: string; output: string } {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const args = ["test", "--reporter=junit", "--reporter-outfile=report.xml"];
  const { stdout, stderr } = spawnSync(process.execPath, [...args, ...Object.keys(files).map((name) => `./${name}`)], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1" },
  });
  return { xml: readFileSync(join(folder, "report.xml"), "utf8"), output: `${stdout}${stderr}` };
}

const failing = `
import { beforeAll, describe, expect, test } from "bun:test";
test("passes", () => {});
test.skip("is <left> out", () => {});
describe("a house", () => describe("of cards", () => {
  test("falls & \\"breaks\\"", () => { expect({ cards: 1 }).toEqual({ cards: 2 }); });
  test("is slow", () => new Promise(() => {}), 20);
}));
describe("a broken hook", () => {
  beforeAll(() => { throw new TypeError("no hammer"); });
  test("never runs", () => {});
});
`;

test("each failure is told with its place, its whole name, and why; passed and skipped tests are counted", () => {
  const { xml } = run({ "failing.test.ts": failing });
  const { passed, failures, skipped } = readReport(xml);
  expect([passed, skipped]).toEqual([1, ["failing.test.ts: is <left> out"]]);
  const texts = failures.map(told);
  expect(texts[0]).toStartWith('failing.test.ts:6: a house > of cards > falls & "breaks"\n    AssertionError: expect(');
  expect(texts[0]).toContain('\n    -   "cards": 2,\n    +   "cards": 1,\n');
  expect(texts[0]).toContain("at failing.test.ts:6:");
  expect(texts[1]).toStartWith("failing.test.ts:7: a house > of cards > is slow\n    test timed out");
  expect(texts[2]).toContain("a broken hook");
  expect(texts[2]).toContain("TypeError: no hammer");
  expect(texts.length).toBe(3);
});

test("a file that cannot be loaded is told of, though no test of it is in the report", () => {
  const broken = 'throw new Error("no wood");\n';
  const good = 'import { test } from "bun:test";\ntest("passes", () => {});\n';
  const { xml, output } = run({ "good.test.ts": good, "broken.test.ts": broken });
  expect(readReport(xml).failures).toEqual([]);
  const [error, ...more] = strayErrors(output);
  expect([error!.place, more]).toEqual(["broken.test.ts", []]);
  expect(told(error!)).toContain("error: no wood");
});

test("of a long error both ends are told", () => {
  const error = ["Error: lines", ...Array.from({ length: 5_000 }, (_, at) => `line ${at}`), "x".repeat(9_000)].join(
    "\n",
  );
  const text = told({ place: "a.test.ts:1", name: "is long", error });
  expect(text).toStartWith("a.test.ts:1: is long\n    Error: lines\n    line 0\n");
  expect(text).toContain("lines are left out here");
  expect(text).toContain("line 4999");
  expect(text.length).toBeLessThan(4_000);
});

test("of what a run printed only what passed is left out", () => {
  const output = [
    "bun test",
    ...["", "a.test.ts:", "(pass) one"],
    ...["", "b.test.ts:", "said", "(pass) two", "why", "(fail) three"],
    ...["", "c.test.ts:", "(pass) four"],
    ...["", " 3 pass"],
  ];
  const kept = ["bun test", "b.test.ts:", "said", "why", "(fail) three", "c.test.ts:", "", " 3 pass"];
  expect(withoutPassed(output.join("\n"))).toBe(kept.join("\n"));
});
