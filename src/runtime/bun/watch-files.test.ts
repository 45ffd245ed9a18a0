/** Watched files: what counts as a change. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SimClock } from "../sim/clock.ts";
import { watchFiles } from "./watch-files.ts";

const directory = mkdtempSync(join(tmpdir(), "watch-"));
afterAll(() => rmSync(directory, { recursive: true }));

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
