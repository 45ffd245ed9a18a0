/** What the server needs of its process: signals, standard input, the memory it takes, files that change. */
import { readFileSync, statSync } from "node:fs";
import type { Clock, Timer } from "../../util/clock.ts";

export type StopSignal = "SIGTERM" | "SIGINT";

export interface SignalHandlers {
  /** Asked to stop; a second signal of the kind comes here as well. */
  stop(signal: StopSignal): void;
  /** SIGHUP: read certificates and reopen files. */
  reload(): void;
}

/** Takes the process's signals over, until the returned function is called. */
export function onSignals(handlers: SignalHandlers): () => void {
  const terminate = () => handlers.stop("SIGTERM");
  const interrupt = () => handlers.stop("SIGINT");
  const hangUp = () => handlers.reload();
  process.on("SIGTERM", terminate);
  process.on("SIGINT", interrupt);
  process.on("SIGHUP", hangUp);
  return () => {
    process.off("SIGTERM", terminate);
    process.off("SIGINT", interrupt);
    process.off("SIGHUP", hangUp);
  };
}

/** More was sent to standard input than is taken. */
export class InputTooLong extends Error {
  override readonly name = "InputTooLong";
}

/** All of standard input as text. Throws `InputTooLong` above `bytesMax`, and where the bytes are not UTF-8. */
export async function readStandardInput(
  bytesMax: number,
  input: AsyncIterable<Uint8Array> = process.stdin,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new InputTooLong(`standard input is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
}

/** The first line of standard input, without its end: a password typed or piped in. */
export async function readSecret(bytesMax = 4096, input: AsyncIterable<Uint8Array> = process.stdin): Promise<string> {
  const text = await readStandardInput(bytesMax, input);
  const end = text.search(/\r?\n/);
  return end < 0 ? text : text.slice(0, end);
}

/** Bytes of physical memory the process occupies. */
export function residentBytes(): number {
  // On Linux pages shared with other processes of the machine are told apart only here.
  return process.memoryUsage.rss();
}

/** Open files and sockets this process may have at one time; Infinity where it is unlimited, undefined where unknown. */
export function openFilesMax(): number | undefined {
  let limits: string;
  try {
    limits = readFileSync("/proc/self/limits", "utf8");
  } catch {
    // Only Linux has this file; elsewhere nobody knows.
    return undefined;
  }
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * Calls `changed` when one of the files was replaced or written since the last look. It looks by time and size instead
 * of asking the kernel: that also works on network file systems and for the links that Kubernetes swaps.
 */
export function watchFiles(clock: Clock, files: readonly string[], everyMs: number, changed: () => void): Timer {
  let seen = files.map(stampOf).join(" ");
  return clock.every(everyMs, () => {
    const now = files.map(stampOf).join(" ");
    if (now === seen) return;
    seen = now;
    changed();
  });
}

function stampOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs}:${size}:${ino}`;
  } catch (error) {
    // A file that is being replaced may be missing for a moment; its return is a change.
    return String((error as NodeJS.ErrnoException).code);
  }
}
