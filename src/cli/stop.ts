/** `meerkat stop`: stops the node cleanly and waits until it is gone. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { askNode, socketState } from "./admin-client.ts";
import { CliFailure, exitCode } from "./failure.ts";
import { dataFolder, pidFile } from "./places.ts";

const pollMs = 50;
/** A socket that stays, but refuses for so long, was left behind by a node that died while it stopped. */
const refusedMsMax = 5000;

export function stopCommand(): Command {
  return new Command("stop")
    .summary("Stop the node cleanly")
    .description("Asks the running node to stop, and waits until it has: its clients are told, its data is safe.")
    .option("--data <folder>", "the data folder of the node (MEERKAT_DATA; default: the clone's data)")
    .option("--timeout <seconds>", "how long to wait for it", seconds, 60)
    .addHelpText("after", "\nExamples:\n  $ meerkat stop\n  $ meerkat stop --data /var/lib/meerkat --timeout 10")
    .action(async ({ data, timeout }: { data?: string; timeout: number }) => {
      const dataDir = dataFolder(data);
      const noted = readPid(dataDir);
      // In another container, its process cannot be seen from here.
      const pid = noted !== undefined && lives(noted) ? noted : undefined;
      await askToStop(dataDir, timeout);
      await waitUntilGone(dataDir, pid, timeout * 1000);
      if (process.stdout.isTTY === true) process.stdout.write("Stopped.\n");
    });
}

async function askToStop(dataDir: string, timeoutSeconds: number): Promise<void> {
  const request = { category: "server", command: "stop", args: {} };
  try {
    await askNode(request, { dataDir, silenceMsMax: timeoutSeconds * 1000 });
  } catch (error) {
    // It may be gone before its answer is: that is what was asked for, unless it had never been there.
    const wentAway = error instanceof CliFailure && error.exitCode === exitCode.unreachable;
    if (!wentAway || (await socketState(dataDir)) !== "gone" || neverThere(error)) throw error;
  }
}

function neverThere({ cause }: Error): boolean {
  const code = (cause as { code?: string } | undefined)?.code;
  return code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR";
}

async function waitUntilGone(dataDir: string, pid: number | undefined, timeoutMs: number): Promise<void> {
  const started = performance.now();
  let refusedSince: number | undefined;
  while (true) {
    const now = performance.now();
    const state = await socketState(dataDir);
    refusedSince = state === "refuses" ? (refusedSince ?? now) : undefined;
    const socketGone = state === "gone" || (refusedSince !== undefined && now - refusedSince > refusedMsMax);
    // The socket is among the first things a node gives up; its database is among the last. Somebody may watch over
    // the node and have started the next one already: then only the process tells.
    if (pid === undefined ? socketGone : !lives(pid) || (socketGone && readPid(dataDir) !== pid)) return;
    if (now - started > timeoutMs) {
      throw new CliFailure(exitCode.failed, `the node was told to stop, but has not after ${timeoutMs / 1000} seconds`);
    }
    await pause(pollMs);
  }
}

/** The process of the node, when it left a note of it. */
function readPid(dataDir: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile(dataDir), "utf8"));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    throw error;
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    return (error as { code?: string }).code !== "ESRCH";
  }
}

function seconds(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 86_400) {
    throw new InvalidArgumentError("It must be a whole number of seconds from 1 to 86400.");
  }
  return number;
}
