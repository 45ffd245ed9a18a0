/** The protocol of the administration socket: one JSON request, answered by lines of JSON: progress and notes, then the result. */
import type { Log } from "../observe/log.ts";
import { StanzaError } from "../stanza/errors.ts";
import { findCommand } from "./catalogue.ts";
import { type AdminContext, AdminError, namedIn, readArguments } from "./command.ts";

export interface AdminRequest {
  readonly category: string;
  readonly command: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** One line of an answer. */
export type AdminLine =
  | { readonly progress: number }
  /** What the result lacks, for people. */
  | { readonly note: string }
  | { readonly result: unknown }
  | { readonly error: { readonly code: string; readonly message: string } };

/** A request may be so long, in bytes. */
export const requestBytesMax = 1024 * 1024;

/** Runs one command, and yields what goes back. Never throws: what goes wrong is the last line. */
export async function* runCommand(context: AdminContext, request: AdminRequest, log: Log): AsyncGenerator<AdminLine> {
  const command = findCommand(request.category, request.command);
  if (command === undefined) {
    yield {
      error: { code: "unknown_command", message: `There is no command '${request.category} ${request.command}'` },
    };
    return;
  }
  const steps: number[] = [];
  const notes: string[] = [];
  let wake: (() => void) | undefined;
  let settled: AdminLine | undefined;
  const finish = (line: AdminLine): void => {
    settled = line;
    wake?.();
  };
  void perform().then(
    (result) => finish({ result: result ?? null }),
    (error: unknown) => finish({ error: explain(error, log) }),
  );
  async function perform(): Promise<unknown> {
    const args = readArguments(command!, request.args);
    log.info(
      { command: `${request.category} ${request.command}`, ...namedIn(command!, request.args) },
      "administration",
    );
    const node = command!.node?.(context, args);
    if (node !== undefined && context.cluster !== undefined)
      return context.cluster.at(node, request.category, request.command, request.args);
    const own = await command!.run(context, args, (done) => {
      steps.push(done);
      wake?.();
    });
    await context.flushed();
    if (command!.across === undefined || context.cluster === undefined) return own;
    const { category, command: name, args: given } = request;
    const { parts, silent } = await context.cluster.everywhere(category, name, given);
    for (const one of silent) notes.push(`node ${one} has not answered in time: its part is missing`);
    return combine(command!.across, own, parts);
  }
  while (settled === undefined) {
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (settled !== undefined || steps.length > 0) resolve();
    });
    const latest = steps.pop();
    steps.length = 0;
    if (latest !== undefined) yield { progress: latest };
  }
  for (const note of notes) yield { note };
  yield settled;
}

function combine(across: "join" | "add", own: unknown, others: readonly unknown[]): unknown {
  if (across === "add") return others.reduce((sum: number, one) => sum + Number(one), own as number);
  return [own, ...others].flat();
}

/** A command, or its part of one, that another node has from its operator. Never throws: what goes wrong is the answer. */
export async function runPart(
  context: AdminContext,
  { category, command, args }: AdminRequest,
  log: Log,
): Promise<AdminLine> {
  const found = findCommand(category, command);
  try {
    if (found === undefined || (found.across === undefined && found.node === undefined))
      throw new AdminError("unknown_command", `${category} ${command} is not for other nodes`);
    const result = await found.run(context, readArguments(found, args), () => undefined);
    await context.flushed();
    return { result: result ?? null };
  } catch (error) {
    return { error: explain(error, log) };
  }
}

function explain(error: unknown, log: Log): { code: string; message: string } {
  if (error instanceof AdminError) return { code: error.code, message: error.message };
  if (error instanceof StanzaError) return { code: error.condition, message: error.text ?? error.condition };
  log.error({ err: error }, "administration command failed");
  return { code: "internal_error", message: error instanceof Error ? error.message : String(error) };
}

/** The HTTP face of it, for the Unix socket only its owner can open. */
export async function answerAdminRequest(context: AdminContext, request: Request, log: Log): Promise<Response> {
  if (request.method !== "POST") return new Response("POST a command\n", { status: 405 });
  const text = await request.text();
  if (text.length > requestBytesMax) return new Response("too long\n", { status: 413 });
  let asked: AdminRequest;
  try {
    asked = JSON.parse(text) as AdminRequest;
  } catch (error) {
    return new Response(`not JSON: ${(error as Error).message}\n`, { status: 400 });
  }
  if (
    typeof asked?.category !== "string" ||
    typeof asked.command !== "string" ||
    typeof asked.args !== "object" ||
    asked.args === null
  ) {
    return new Response("category, command and args are needed\n", { status: 400 });
  }
  const lines = runCommand(context, asked, log);
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await lines.next();
      if (next.done === true) controller.close();
      else controller.enqueue(encoder.encode(`${JSON.stringify(next.value)}\n`));
    },
  });
  return new Response(stream, { headers: { "content-type": "application/x-ndjson" } });
}
