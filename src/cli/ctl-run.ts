/** Runs one administration command: gathers its arguments, asks the node, shows what came back. */
import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { SingleBar } from "cli-progress";
import { AdminError, type Command, readArguments } from "../admin/command.ts";
import { systemReason } from "../util/system-reason.ts";
import { askNode, expectNode } from "./admin-client.ts";
import { CliFailure, exitCode } from "./failure.ts";
import { dataFolder } from "./places.ts";
import { renderForTerminal, renderJson } from "./render.ts";
import { readSecrets, type WantedSecret } from "./secrets.ts";

export interface CtlOptions {
  readonly data?: string;
  readonly json?: boolean;
}

/** What was given, sorted by what has to happen before it can be sent. */
export interface GivenArguments {
  /** Ready to be sent, secrets from standard input left out. */
  readonly args: Readonly<Record<string, string>>;
  /** Names of secrets that are read from standard input, in the order of the declaration. */
  readonly asked: readonly string[];
  /** Names of secrets that stand on the command line. */
  readonly exposed: readonly string[];
  /** Names of files that are read, which are absolute now. */
  readonly files: readonly string[];
  /** The name of a file that is made, which is absolute now. */
  readonly makes: string | undefined;
}

/**
 * Sorts and checks what was given, as far as this side can.
 * @throws CliFailure naming every argument that is missing, or the one that is wrong.
 */
export function sortArguments(
  command: Command,
  given: Readonly<Record<string, string>>,
  currentFolder: string,
  fullName: string,
): GivenArguments {
  const missing = Object.entries(command.arguments).filter(([name, { required }]) => required && !(name in given));
  if (missing.length > 0) {
    const list = missing.map(([name, { doc }]) => `  --${name}: ${doc}`).join("\n");
    const what = missing.length === 1 ? "an argument is missing" : "arguments are missing";
    throw usage(`${what}:\n${list}`, fullName);
  }
  const args: Record<string, string> = {};
  const asked: string[] = [];
  const exposed: string[] = [];
  const files: string[] = [];
  let makes: string | undefined;
  for (const [name, { kind }] of Object.entries(command.arguments)) {
    const value = given[name];
    if (value === undefined) continue;
    if (kind === "secret" && value === "-") asked.push(name);
    else if (kind === "secret") exposed.push(name);
    else if (kind === "file" && value !== "") files.push(name);
    else if (kind === "newFile") makes = name;
    const isPath = files.includes(name) || (name === makes && value !== "");
    if (kind !== "secret" || value !== "-") args[name] = isPath ? resolve(currentFolder, value) : value;
  }
  try {
    // What the node would refuse is refused before a password is asked for; "-" stands for the ones to come.
    readArguments(command, { ...args, ...Object.fromEntries(asked.map((name) => [name, "-"])) });
  } catch (error) {
    if (error instanceof AdminError) throw usage(error.message, fullName);
    throw error;
  }
  return { args, asked, exposed, files, makes };
}

function usage(message: string, fullName: string): CliFailure {
  return new CliFailure(exitCode.usage, `${message}\nSee '${fullName} --help'.`);
}

/** A password that is compared is asked for once; one that will be set, twice. */
export function wantedSecrets(command: Command, asked: readonly string[]): WantedSecret[] {
  return asked.map((name) => ({ flag: `--${name}`, isNew: !command.name.startsWith("check") }));
}

/** Runs the command and prints its result. @throws CliFailure when it cannot be done. */
export async function runCtl(
  command: Command,
  given: Readonly<Record<string, string>>,
  options: CtlOptions,
  fullName: string,
): Promise<void> {
  const { args, asked, exposed, files, makes } = sortArguments(command, given, process.cwd(), fullName);
  for (const name of exposed) {
    process.stderr.write(
      `meerkat: warning: --${name} on the command line is visible to other users of this machine, and your shell may ` +
        `remember it; with '--${name} -' it is read from standard input.\n`,
    );
  }
  const dataDir = dataFolder(options.data);
  if (asked.length > 0) await expectNode(dataDir);
  const secrets = await readSecrets(wantedSecrets(command, asked), {
    input: process.stdin,
    prompt: (text) => process.stderr.write(text),
  });
  asked.forEach((name, index) => {
    (args as Record<string, string>)[name] = secrets[index]!;
  });
  const bar = makes !== undefined ? rowCounter() : files.length === 1 ? await progressBar(args[files[0]!]!) : undefined;
  const request = { category: command.category, command: command.name, args };
  try {
    const result = await askNode(request, {
      dataDir,
      progress: (done) => bar?.update(done),
      note: (text) => process.stderr.write(`meerkat: ${text}\n`),
    });
    if (makes === undefined) bar?.update(bar.getTotal());
    bar?.stop();
    print(result, options.json === true);
  } catch (error) {
    bar?.stop();
    throw error;
  }
}

/** A bar on standard error as long as the file has lines; none where nobody watches. */
async function progressBar(file: string): Promise<SingleBar | undefined> {
  const lines = await countLines(file);
  if (process.stderr.isTTY !== true || lines === 0) return undefined;
  const bar = new SingleBar({
    format: "{bar} {percentage}% | {value} of {total} | {duration_formatted} | {eta_formatted} to go",
    formatTime: (seconds: number | string) => clockText(Number(seconds)),
    barsize: 30,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    stream: process.stderr,
    // The cursor would stay hidden when somebody presses Ctrl-C.
    hideCursor: null,
    etaBuffer: 50,
  });
  bar.start(lines, 0);
  return bar;
}

/** A number on standard error that grows; what is written has an end that nobody knows. */
function rowCounter(): SingleBar | undefined {
  if (process.stderr.isTTY !== true) return undefined;
  const format = "{value} rows | {duration_formatted}";
  const counter = new SingleBar({ format, stream: process.stderr, hideCursor: null });
  counter.start(0, 0);
  return counter;
}

/** `1:05`; nothing is known of the end before there was a beginning. */
function clockText(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** @throws CliFailure when there is no such file; the node's own reason would not be nearer. */
async function countLines(file: string): Promise<number> {
  let lines = 0;
  let last = 0x0a;
  try {
    for await (const chunk of createReadStream(file)) {
      const bytes = chunk as Buffer;
      for (const byte of bytes) if (byte === 0x0a) lines++;
      last = bytes.at(-1) ?? last;
    }
  } catch (error) {
    throw new CliFailure(exitCode.failed, `${file} cannot be read: ${systemReason(error)}`, { cause: error });
  }
  return last === 0x0a ? lines : lines + 1;
}

function print(result: unknown, json: boolean): void {
  const { stdout } = process;
  if (json || stdout.isTTY !== true) {
    stdout.write(renderJson(result));
    return;
  }
  stdout.write(renderForTerminal(result, { columns: stdout.columns || 80, bold: stdout.hasColors?.() ?? false }));
}
