/** `meerkat start`: runs a node in the foreground until it is told to stop. */
import { rmSync, writeFileSync } from "node:fs";
import { Command } from "commander";
import { CliFailure, exitCode, startFailureLines } from "./failure.ts";
import { configFile, dataFolder, pidFile } from "./places.ts";
import { isListenFailure, portHint } from "./port-hint.ts";

/** What a shell reports for a process that a signal ended: 128 and its number. */
const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export function startCommand(): Command {
  return new Command("start")
    .summary("Start a node, and run it until Ctrl-C")
    .description(
      "Starts a node and runs it until Ctrl-C, SIGTERM or 'meerkat stop'.\n" +
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
  const signals = new StopSignals();
  // The server is most of the house; loaded here, it costs the other commands nothing.
  const { startServer } = await import("../server.ts");
  const server = await startServer({ configFile: configuration, dataDir }).catch(async (error: unknown) => {
    const lines = startFailureLines(error);
    const hint = isListenFailure(error) ? await portHint(error, configuration) : undefined;
    if (hint !== undefined) lines.push(hint);
    throw new CliFailure(exitCode.failed, `the server did not start:\n${indented(lines)}`, { cause: error });
  });
  leavePid(dataDir);
  signals.whenAsked((reason) => void stopOrFail(server, reason));
  // Where standard output is not a terminal the log goes there, for programs; they find the same in it.
  if (process.stdout.isTTY === true) process.stdout.write(`\n${indented(server.summary())}\n\n`);
  await server.stopped;
  // Whatever a library may still wait for is of no interest any more.
  process.exit(exitCode.done);
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

/** The first signal asks for a clean stop, a second one ends the process at once, and so does one before all is up. */
class StopSignals {
  #ask: ((reason: string) => void) | undefined;
  #asked = false;

  constructor() {
    process.on("SIGINT", () => this.#take("SIGINT"));
    process.on("SIGTERM", () => this.#take("SIGTERM"));
    // The terminal was closed. Without one it is a custom among daemons to take this signal for "read the files again".
    if (process.stdin.isTTY === true) process.on("SIGHUP", () => this.#take("SIGHUP"));
  }

  whenAsked(ask: (reason: string) => void): void {
    this.#ask = ask;
  }

  #take(signal: keyof typeof signalCodes): void {
    if (this.#ask === undefined || this.#asked) process.exit(signalCodes[signal]);
    this.#asked = true;
    if (process.stderr.isTTY === true && signal !== "SIGHUP") {
      process.stderr.write("\nStopping; press Ctrl-C again to end it at once.\n");
    }
    this.#ask(signal);
  }
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}
