/** Signals, standard input and watched files. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SimClock } from "../sim/clock.ts";
import {
  InputTooLong,
  onSignals,
  openFilesMax,
  readSecret,
  readStandardInput,
  residentBytes,
  watchFiles,
} from "./process.ts";

const directory = mkdtempSync(join(tmpdir(), "process-"));
afterAll(() => rmSync(directory, { recursive: true }));

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, "latin1");
}

test("signals reach the handlers until they are given back", async () => {
  const log: string[] = [];
  let heard = () => {};
  const next = () => new Promise<void>((resolve) => (heard = resolve));
  const note = (entry: string) => {
    log.push(entry);
    heard();
  };
  // Keeps the process alive whatever happens to ours.
  const guard = () => {};
  process.on("SIGHUP", guard);
  const release = onSignals({ stop: note, reload: () => note("reload") });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    const arrived = next();
    process.kill(process.pid, signal);
    await arrived;
  }
  expect(log).toEqual(["SIGTERM", "SIGINT", "reload"]);
  release();
  const last = new Promise<void>((resolve) => process.once("SIGHUP", () => resolve()));
  process.kill(process.pid, "SIGHUP");
  await last;
  process.off("SIGHUP", guard);
  expect(log.length).toBe(3);
});

test("standard input is read whole, within a limit, as UTF-8", async () => {
  expect(await readStandardInput(100, chunks("a\xc3", "\xbc"))).toBe("aü");
  expect(readStandardInput(3, chunks("ab", "cd"))).rejects.toThrow(InputTooLong);
  expect(readStandardInput(100, chunks("\xff"))).rejects.toThrow();
});

test("a secret is the first line", async () => {
  expect(await readSecret(100, chunks("pass word\r\n", "more"))).toBe("pass word");
  expect(await readSecret(100, chunks("no end"))).toBe("no end");
  expect(await readSecret(100, chunks("\n"))).toBe("");
});

test("memory and limits are plausible numbers", () => {
  expect(residentBytes()).toBeGreaterThan(10_000_000);
  const files = openFilesMax();
  if (files !== undefined) expect(files).toBeGreaterThan(10);
});

test("a watched file that is written, replaced, removed or comes back is a change; otherwise there is none", () => {
  const clock = new SimClock();
  const [file, other] = [join(directory, "watched"), join(directory, "other")];
  writeFileSync(file, "one");
  let changes = 0;
  const watch = watchFiles(clock, [file], 1000, () => changes++);
  const lookAgain = () => clock.advance(1000);
  lookAgain();
  expect(changes).toBe(0);
  writeFileSync(file, "longer");
  lookAgain();
  expect(changes).toBe(1);
  writeFileSync(other, "LONGER");
  renameSync(other, file);
  lookAgain();
  expect(changes).toBe(2);
  rmSync(file);
  lookAgain();
  expect(changes).toBe(3);
  writeFileSync(file, "back");
  lookAgain();
  expect(changes).toBe(4);
  watch.cancel();
  writeFileSync(file, "unheard");
  lookAgain();
  expect(changes).toBe(4);
});
