/** Asks the running node over its Unix socket. The protocol is that of `src/admin/socket-api.ts`. */
import { existsSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { AdminLine, AdminRequest } from "../admin/socket-api.ts";
import { CliFailure, exitCode } from "./failure.ts";
import { adminSocket } from "./places.ts";

export interface AskOptions {
  readonly dataDir: string;
  /** Told how much is done, when the command reports it. */
  readonly progress?: (done: number) => void;
  /** Told what the result lacks, in words. */
  readonly note?: (text: string) => void;
  /** Silence after which the node counts as unreachable, in milliseconds; without it, as long as it takes. */
  readonly silenceMsMax?: number;
}

/** Codes of the node that mean: the question was wrong, not its answer. */
const usageErrors = new Set(["bad_argument", "unknown_command"]);

/**
 * Has the node run one command.
 * @returns what the command results in: plain data.
 * @throws CliFailure with the node's own reason, or saying why no node could be asked.
 */
export async function askNode(asked: AdminRequest, options: AskOptions): Promise<unknown> {
  const response = await post(JSON.stringify(asked), options);
  if (response.statusCode !== 200) {
    const reason = (await textOf(response)).trim();
    throw new CliFailure(exitCode.failed, `the node refused the request (${response.statusCode}): ${reason}`);
  }
  for await (const line of linesOf(response, options)) {
    if ("progress" in line) options.progress?.(line.progress);
    else if ("note" in line) options.note?.(line.note);
    else if ("error" in line) {
      const { code, message } = line.error;
      throw new CliFailure(usageErrors.has(code) ? exitCode.usage : exitCode.failed, message);
    } else return line.result;
  }
  throw new CliFailure(exitCode.unreachable, "the node went away before it answered");
}

function post(body: string, { dataDir, silenceMsMax }: AskOptions): Promise<IncomingMessage> {
  const socketPath = adminSocket(dataDir);
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = httpRequest({ socketPath, path: "/", method: "POST", headers }, resolve);
    sent.once("error", (error) => reject(unreachable(error, dataDir)));
    if (silenceMsMax !== undefined) {
      sent.setTimeout(silenceMsMax, () => sent.destroy(new Error(`no answer within ${silenceMsMax / 1000} seconds`)));
    }
    sent.end(body);
  });
}

async function* linesOf(response: IncomingMessage, { dataDir }: AskOptions): AsyncGenerator<AdminLine> {
  response.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of response) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line !== "") yield JSON.parse(line) as AdminLine;
    }
  } catch (error) {
    throw unreachable(error as Error, dataDir);
  }
  if (rest !== "") yield JSON.parse(rest) as AdminLine;
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response) text += chunk;
  return text;
}

/** Why no node could be asked, and what to do about it. */
function unreachable(error: Error & { code?: string }, dataDir: string): CliFailure {
  return new CliFailure(exitCode.unreachable, unreachableText(error, dataDir), { cause: error });
}

function unreachableText(error: Error & { code?: string }, dataDir: string): string {
  switch (error.code) {
    case "ENOENT":
    case "ECONNREFUSED":
    case "ENOTDIR":
      return (
        `no node is running with the data folder ${dataDir}\n` +
        "Start it with 'meerkat start', or name the folder of the one you mean with --data DIR (or MEERKAT_DATA)."
      );
    case "EACCES":
    case "EPERM":
      return `only the user who started the node may give it commands: ${adminSocket(dataDir)} cannot be opened`;
    case "EINVAL":
    case "ENAMETOOLONG":
      return `the path ${adminSocket(dataDir)} is too long for a socket; use a data folder with a shorter one`;
    default:
      return `the node with the data folder ${dataDir} does not answer: ${error.message}`;
  }
}

/** Nobody shall type a password for a node that is not there. @throws CliFailure */
export async function expectNode(dataDir: string): Promise<void> {
  // One that refuses is asked nevertheless, for the reason it gives.
  if ((await socketState(dataDir)) !== "gone") return;
  throw unreachable(Object.assign(new Error("there is no socket"), { code: "ENOENT" }), dataDir);
}

/** Whether a node listens at the socket of this data folder; "refuses" when one has left its socket behind. */
export function socketState(dataDir: string): Promise<"gone" | "refuses" | "answers"> {
  const socketPath = adminSocket(dataDir);
  if (!existsSync(socketPath)) return Promise.resolve("gone");
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve("answers");
    });
    socket.once("error", () => resolve(existsSync(socketPath) ? "refuses" : "gone"));
  });
}
