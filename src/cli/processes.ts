/** `meerkat start` where the configuration asks for several processes: one that watches, and nodes that share the ports. */
import { loadConfigFile } from "../config/load.ts";
import { moduleRegistry } from "../config/option.ts";
import type { Settings } from "../config/settings.ts";
import { createLog } from "../observe/log.ts";
import { systemClock } from "../runtime/bun/clock.ts";
import { nodeName } from "../server/cluster/open-cluster.ts";
import { knownModules } from "../server/module-files.ts";
import { type NodeOrder, type NodeReport, Processes, processCount } from "../server/processes.ts";
import type { RunningServer } from "../server.ts";
import type { StopSignals } from "./stop-signals.ts";

export interface WatchOptions {
  readonly configFile: string;
  readonly signals: StopSignals;
  /** The first node is up. */
  readonly ready: (summary: readonly string[]) => void;
}

/** Runs the processes that the configuration asks for. Resolves to the exit code, at once to undefined when that is one process. */
export async function watchProcesses(options: WatchOptions): Promise<number | undefined> {
  const settings = await settingsOf(options.configFile);
  const count = processCount(settings.processes);
  if (count < 2) return undefined;
  const processes = new Processes({
    count,
    command: [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    clock: systemClock,
    log: createLog(settings.logLevel),
    ready: options.ready,
  });
  options.signals.whenAsked((signal) => processes.stop(signal));
  if (process.stdin.isTTY !== true) process.on("SIGHUP", () => processes.signal("SIGHUP"));
  processes.start();
  return processes.ended;
}

/** Tells the watching process that this node is up, and obeys it. The node ends with that process. */
export async function reportToWatcher(
  server: RunningServer,
  configFile: string,
  summary: readonly string[],
): Promise<void> {
  const settings = await settingsOf(configFile);
  const report: NodeReport = { ready: summary };
  process.send?.(report);
  const siblings = new Set<string>();
  for (let seat = 1; seat <= processCount(settings.processes); seat++) siblings.add(nodeName(settings, seat));
  const stop = (reason: string) => void server.stop(reason, (node) => siblings.has(node));
  process.on("message", (order: NodeOrder) => stop(order.stop));
  process.on("disconnect", () => stop("the process that watches over this one is gone"));
}

async function settingsOf(configFile: string): Promise<Settings> {
  return loadConfigFile(configFile, { modules: moduleRegistry(await knownModules(configFile)) }).settings;
}

/** Asks for the end of all processes. */
export function stopAll(reason: string): void {
  const report: NodeReport = { stop: reason };
  process.send?.(report);
}
