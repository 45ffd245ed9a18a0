import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { busyTicksOf, cpuSeconds, kibibytesOf, processTree, residentBytes, ticksOfStat, usage } from "./process.ts";

test("the name in /proc/PID/stat may hold anything", () => {
  const line =
    "4711 (a (b) c) S 42 4711 4711 0 -1 4194560 100 200 0 0 77 23 5 6 20 0 11 0 12345 1000000 2000 18446744073709551615";
  expect(ticksOfStat(line)).toEqual({ own: 100, ended: 11, parent: 42 });
});

test("kibibytes of a named line only", () => {
  const text =
    "00400000-7ffe ---p 00000000 00:00 0 [rollup]\nRss:               12344 kB\nPss:   100 kB\nShared_Rss: 9 kB\n";
  expect(kibibytesOf(text, "Rss")).toBe(12344);
  expect(kibibytesOf(text, "Pss")).toBe(100);
  expect(kibibytesOf(text, "Swap")).toBe(0);
});

test("idle, waiting and stolen time is not busy", () => {
  expect(busyTicksOf("cpu  1 2 4 1000 500 8 16 300 32 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")).toBe(31);
});

test.skipIf(process.platform !== "linux")("a tree counts its descendants", async () => {
  const child = spawn("sh", ["-c", "sleep 60 & echo started; wait"], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    await new Promise((started) => child.stdout.once("data", started));
    const tree = processTree(child.pid!);
    expect(tree[0]).toBe(child.pid!);
    expect(tree).toHaveLength(2);
    expect(residentBytes(child.pid!)).toBeGreaterThan(100_000);
    expect(cpuSeconds(child.pid!)).toBeGreaterThanOrEqual(0);
    process.kill(tree[1]!);
  } finally {
    child.kill("SIGKILL");
  }
});

test("what is left of the machine's work is others'", () => {
  const before = { at: 1000, serverCpu: 1, loadCpu: 2, machineBusy: 10 };
  const after = { at: 3000, serverCpu: 2.5, loadCpu: 2.5, machineBusy: 13 };
  expect(usage(before, after)).toEqual({ seconds: 2, serverCpu: 1.5, loadCpu: 0.5, otherCores: 0.5 });
  expect(usage(before, { ...after, machineBusy: 11 }).otherCores).toBe(0);
});

test("what a process beside the server has used is told apart, and is not others'", () => {
  const before = { at: 0, serverCpu: 1, loadCpu: 1, machineBusy: 10, apart: { nats: 4, other: 0.25 }, beside: 4 };
  const after = { at: 2000, serverCpu: 2, loadCpu: 2, machineBusy: 14, apart: { nats: 5, other: 0.75 }, beside: 5 };
  const expected = { seconds: 2, serverCpu: 1, loadCpu: 1, otherCores: 0.5, apart: { nats: 1, other: 0.5 } };
  expect(usage(before, after)).toEqual(expected);
});
