/** Exports of what is kept of a person: the file, its tables, and what happens when something fails. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readZip } from "../../test/support/zip.ts";
import type { PersonalData } from "../hooks/points.ts";
import { Registry } from "../hooks/registry.ts";
import { Jid } from "../stanza/jid.ts";
import { exportPersonalData } from "./personal-data.ts";

const alice = Jid.of("alice", "localhost", "");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "meerkat-export-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Rows = readonly (readonly (string | number | null)[])[];
const table = (name: string, columns: readonly string[], rows: () => AsyncIterable<Rows[number]>): PersonalData => ({
  name,
  columns,
  rows,
});
async function* each(rows: Rows) {
  yield* rows;
}

function partsWith(own: readonly PersonalData[], guest: readonly PersonalData[] = []) {
  const hosts = new Map<string, unknown>();
  for (const [domain, question, tables] of [
    ["localhost", "personalData", own],
    ["other.example", "guestData", guest],
  ] as const) {
    const registry = new Registry();
    registry.answer(question, () => tables);
    hosts.set(domain, { domain, registry });
  }
  return {
    hosts: hosts as never,
    accounts: { createdAt: async () => 0 } as never,
    written: async () => {},
    clock: {
      now: () => Date.UTC(2026, 0, 2),
      monotonic: () => 0,
      after: () => ({ cancel() {} }),
      every: () => ({ cancel() {} }),
    },
  };
}

test("texts of any kind come through, and a file for each table is there, empty or not", async () => {
  const file = join(folder, "texts.zip");
  const odd: Rows = [
    ['say "hi", please', "two\r\nlines", "ü😀", ""],
    [1, null, -2.5, "=1+1"],
  ];
  const columns = ["a", "b", "c", "d"];
  const tables = [table("zoo", columns, () => each(odd)), table("nothing", ["x"], () => each([]))];
  const seen: number[] = [];
  const report = await exportPersonalData(
    partsWith(tables, [table("rooms", ["room"], () => each([["den"]]))]),
    alice,
    file,
    (rows) => seen.push(rows),
  );
  expect(report.rows).toEqual({ account: 1, zoo: 2, nothing: 0, "rooms (other.example)": 1 });
  expect(Object.fromEntries(readZip(readFileSync(file)))).toEqual({
    "account.csv": '"username","domain","created_at"\r\n"alice","localhost","1970-01-01T00:00:00.000Z"\r\n',
    "nothing.csv": '"x"\r\n',
    "rooms (other.example).csv": '"room"\r\n"den"\r\n',
    "zoo.csv": '"a","b","c","d"\r\n"say ""hi"", please","two\r\nlines","ü😀",""\r\n1,,-2.5,"=1+1"\r\n',
  });
  expect(seen.at(-1)).toBe(4);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a large table is read as fast as it is written, not faster", async () => {
  const file = join(folder, "large.zip");
  let read = 0;
  let ahead = 0;
  async function* rows() {
    for (; read < 20_000; read++) {
      if (read % 1_000 === 0 && existsSync(file)) ahead = Math.max(ahead, read * 1_000 - statSync(file).size);
      yield ["x".repeat(1_000)];
    }
  }
  const report = await exportPersonalData(partsWith([table("archive", ["text"], rows)]), alice, file, () => {});
  expect(report.rows.archive).toBe(20_000);
  expect(statSync(file).size).toBeGreaterThan(20_000_000);
  expect(ahead).toBeLessThan(1_000_000);
});

test("what fails leaves no file, and one that is there is not touched", async () => {
  const file = join(folder, "broken.zip");
  async function* broken(): AsyncGenerator<string[]> {
    yield ["one"];
    throw new Error("the database is away");
  }
  const parts = partsWith([table("broken", ["x"], broken)]);
  await expect(exportPersonalData(parts, alice, file, () => {})).rejects.toThrow("the database is away");
  expect(existsSync(file)).toBe(false);
  writeFileSync(file, "mine");
  await expect(exportPersonalData(parts, alice, file, () => {})).rejects.toThrow(/cannot be written/);
  expect(readFileSync(file, "utf8")).toBe("mine");
  await expect(exportPersonalData(parts, alice, join(folder, "no", "such.zip"), () => {})).rejects.toThrow(
    /cannot be written/,
  );
});

test("a table that tells of all hosts is there once, whichever host has it", async () => {
  const all = (name: string) => ({ ...table(name, ["x"], () => each([[name]])), everyHost: true });
  const file = join(folder, "hosts.zip");
  const parts = partsWith([all("both")], [all("both"), all("theirs")]);
  const report = await exportPersonalData(parts, alice, file, () => {});
  expect(report.rows).toEqual({ account: 1, both: 1, "theirs (other.example)": 1 });
});

test("two tables of one name are a mistake, not a loss", async () => {
  const same = table("same", ["x"], () => each([]));
  await expect(exportPersonalData(partsWith([same, same]), alice, join(folder, "same.zip"), () => {})).rejects.toThrow(
    "one name",
  );
  expect(existsSync(join(folder, "same.zip"))).toBe(false);
});
