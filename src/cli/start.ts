/** `meerkat start`: runs a node in the foreground until it is told to stop. */
import { rmSync, writeFileSync } from "node:fs";
import { Command } from "commander";
import { socketState } from "./admin-client.ts";
import { CliFailure, exitCode, startFailureLines } from "./failure.ts";
import { configFile, ctlInvocation, dataFolder, pidFile } from "./places.ts";
import { isListenFailure, portHint } from "./port-hint.ts";
import { ownSeat } from "./seat.ts";
import { type StopSignal, StopSignals } from "./stop-signals.ts";

export function startCommand(): Command {
  return new Command("start")
    .summary("Start a node, and run it until Ctrl-C")
    .description(
      "Starts a node and runs it until Ctrl-C, SIGTERM or 'meerkat stop'.\n" +
        "SIGHUP reads certificates and the log level again, unless it runs on a terminal.\n" +
        "The data folder is made when it is not there; a second start keeps all data.",
    )
    .option("--config <file>", "the configuration (MEERKAT_CONFIG; default: the clone's meerkat.toml)")
    .option("--data <folder>", "where it keeps its data (MEERKAT_DATA; default: the clone's data)")
    .addHelpText(
      "after",
      "\nExamples:\n  $ meerkat start\n  $ meerkat start --config /etc/meerkat/meerkat.toml --data /var/lib/meerkat",
    )
    .action(({ config, data }: { config?: string; data?: string }) => runNode(configFile(config), dataFolder(data)));
}

async function runNode(configuration: string, dataDir: string): Promise<void> {
  const seat = ownSeat();
  // Of several processes only the watching one hears the terminal's Ctrl-C; it tells the others.
  const signals = seat === undefined ? stopSignals() : undefined;
  if (signals !== undefined) await refuseSecondNode(dataDir);
  // The server is most of the house; loaded here, it costs the other commands nothing.
  const { startServer } = await import("../server.ts");
  const processes = await import("./processes.ts");
  if (signals !== undefined) {
    const ended = await watched(() =>
      processes.watchProcesses({
        configFile: configuration,
        signals,
        ready: (summary) => {
          leavePid(dataDir);
          show(summary);
        },
      }),
    );
    if (ended !== undefined) process.exit(ended);
  } else {
    process.on("SIGINT", () => undefined);
  }
  const stopAll = seat === undefined ? undefined : processes.stopAll;
  const options = { configFile: configuration, dataDir, process: seat, stopAll };
  const server = await startServer(options).catch(async (error: unknown) => {
    const lines = startFailureLines(error);
    const hint = isListenFailure(error) ? await portHint(error, configuration) : undefined;
    if (hint !== undefined) lines.push(hint);
    throw new CliFailure(exitCode.failed, `the server did not start:\n${indented(lines)}`, { cause: error });
  });
  const summary = server.summary(ctlInvocation(dataDir));
  if (seat === undefined) leavePid(dataDir);
  else {
    await processes.reportToWatcher(server, configuration, summary);
    process.on("SIGTERM", () => void stopOrFail(server, "SIGTERM"));
  }
  signals?.whenAsked((signal) => {
    if (process.stderr.isTTY === true && signal !== "SIGHUP") {
      process.stderr.write("\nStopping; press Ctrl-C again to end it at once.\n");
    }
    void stopOrFail(server, signal);
  });
  // Of a closed terminal the signal means to stop, see below; for what runs without one it means to read the files again.
  if (process.stdin.isTTY !== true) process.on("SIGHUP", () => server.reload());
  // Where standard output is not a terminal the log goes there, for programs; they find the same in it.
  if (seat === undefined) show(summary);
  await server.stopped;
  // Whatever a library may still wait for is of no interest any more.
  process.exit(exitCode.done);
}

/** The server would notice too, but by the port they share, which says less. */
async function refuseSecondNode(dataDir: string): Promise<void> {
  if ((await socketState(dataDir)) !== "answers") return;
  const hint = "'meerkat stop' stops it, 'meerkat status' asks it; another node needs a folder of its own (--data).";
  throw new CliFailure(exitCode.failed, `a node is running already with this data folder, ${dataDir}\n${hint}`);
}

/** A configuration that is wrong is told as when the server itself had met it. */
async function watched<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const lines = indented(startFailureLines(error));
    throw new CliFailure(exitCode.failed, `the server did not start:\n${lines}`, { cause: error });
  }
}

function show(summary: readonly string[]): void {
  if (process.stdout.isTTY === true) process.stdout.write(`\n${indented(summary)}\n\n`);
}

/** Says which process runs with this data folder, as long as it does; `meerkat stop` waits for its end. */
function leavePid(dataDir: string): void {
  writeFileSync(pidFile(dataDir), `${process.pid}\n`);
  process.on("exit", () => rmSync(pidFile(dataDir), { force: true }));
}

async function stopOrFail(server: { stop(reason: string): Promise<void> }, reason: string): Promise<void> {
  try {
    await server.stop(reason);
  } catch (error) {
    process.stderr.write(`meerkat: stopping failed:\n${indented(startFailureLines(error))}\n`);
    process.exit(exitCode.failed);
  }
}

/** Listens to the signals; until all is up, one ends the process. */
function stopSignals(): StopSignals {
  const signals = new StopSignals({
    exit: (code) => process.exit(code),
    monotonic: () => performance.now(),
  });
  const kinds: readonly StopSignal[] = ["SIGINT", "SIGTERM"];
  for (const kind of kinds) process.on(kind, () => signals.take(kind));
  process.on("SIGHUP", () => {
    // The terminal was closed.
    if (process.stdin.isTTY === true) signals.take("SIGHUP");
  });
  return signals;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => (line === "" ? "" : `  ${line}`)).join("\n");
}
