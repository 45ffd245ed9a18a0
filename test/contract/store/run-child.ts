/** Starts child.ts in a process of its own, so that tests can watch several processes, and kill one. */

import { type ChildProcess, spawn } from "node:child_process";
import type { StoreSettings } from "../../../src/store/settings.ts";

export interface Child {
  process: ChildProcess;
  /** Complete lines the child has printed so far. */
  lines: string[];
  /** Resolves when at least `count` lines are there. */
  printed(count: number): Promise<void>;
  finished: Promise<{ exitCode: number | null; lines: string[] }>;
}

export function startChild(task: "migrate" | "write", settings: StoreSettings): Child {
  const script = new URL("./child.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, task, JSON.stringify(settings)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let rest = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    const pieces = (rest + text).split("\n");
    rest = pieces.pop() ?? "";
    lines.push(...pieces);
    for (const waiter of waiting) if (lines.length >= waiter.count) waiter.resolve();
  });
  const finished = new Promise<{ exitCode: number | null; lines: string[] }>((resolve) => {
    child.on("close", (exitCode) => {
      for (const waiter of waiting) waiter.resolve();
      resolve({ exitCode, lines });
    });
  });
  const printed = (count: number) =>
    new Promise<void>((resolve) => {
      if (lines.length >= count) resolve();
      else waiting.push({ count, resolve });
    });
  return { process: child, lines, printed, finished };
}
