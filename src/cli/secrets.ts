/** Passwords for commands: from standard input, so that they stand in no list of processes and no shell history. */
import type { ReadStream } from "node:tty";
import { CliFailure, exitCode } from "./failure.ts";

/** Where a secret is read from, and where it is asked for. */
export interface SecretSource {
  readonly input: NodeJS.ReadableStream & Partial<Pick<ReadStream, "isTTY" | "setRawMode">>;
  prompt(text: string): void;
}

export interface WantedSecret {
  /** The argument: `--password`. */
  readonly flag: string;
  /** It will be set, so on a terminal it is asked for twice. */
  readonly isNew: boolean;
}

/** A password is shorter than this, in bytes; a larger input is the wrong file. */
const inputBytesMax = 64 * 1024;

/**
 * Reads each wanted secret, in order: the first lines of what is piped in, or what is typed without echo.
 * @throws CliFailure when the input ends before, or the two typed ones differ.
 */
export async function readSecrets(wanted: readonly WantedSecret[], source: SecretSource): Promise<string[]> {
  if (wanted.length === 0) return [];
  if (source.input.isTTY !== true) return readPiped(wanted, source.input);
  const secrets: string[] = [];
  const keyboard = new Keyboard(source);
  try {
    for (const { flag, isNew } of wanted) {
      const secret = await keyboard.ask(`${flag}: `);
      if (isNew && (await keyboard.ask(`${flag} again: `)) !== secret) {
        throw new CliFailure(exitCode.usage, "the two differ; nothing was changed");
      }
      secrets.push(secret);
    }
  } finally {
    keyboard.close();
  }
  return secrets;
}

async function readPiped(wanted: readonly WantedSecret[], input: NodeJS.ReadableStream): Promise<string[]> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let lineEnds = 0;
  for await (const chunk of input) {
    const buffer = Buffer.from(chunk as Buffer | string);
    chunks.push(buffer);
    bytes += buffer.length;
    for (const byte of buffer) if (byte === 0x0a) lineEnds++;
    if (lineEnds >= wanted.length) break;
    if (bytes > inputBytesMax) {
      throw new CliFailure(exitCode.usage, `the line on standard input is longer than ${inputBytesMax} bytes`);
    }
  }
  const lines = Buffer.concat(chunks).toString("utf8").split("\n");
  return wanted.map(({ flag }, index) => {
    const line = lines[index]?.replace(/\r$/, "") ?? "";
    if (line === "") {
      const place = wanted.length === 1 ? "standard input" : `line ${index + 1} of standard input`;
      throw new CliFailure(exitCode.usage, `${flag} is to be read from ${place}, and nothing is there`);
    }
    return line;
  });
}

/** Reads lines of a terminal that shows nothing of them. */
class Keyboard {
  readonly #source: SecretSource;
  readonly #waiting: string[] = [];
  #wake: (() => void) | undefined;
  readonly #onData = (chunk: Buffer | string): void => {
    this.#waiting.push(...chunk.toString());
    this.#wake?.();
  };

  constructor(source: SecretSource) {
    this.#source = source;
    source.input.setRawMode?.(true);
    source.input.on("data", this.#onData);
    source.input.resume();
  }

  close(): void {
    this.#source.input.off("data", this.#onData);
    this.#source.input.setRawMode?.(false);
    this.#source.input.pause();
  }

  async ask(prompt: string): Promise<string> {
    this.#source.prompt(prompt);
    const typed: string[] = [];
    while (true) {
      const key = await this.#key();
      switch (key) {
        case "\r":
        case "\n":
          this.#source.prompt("\n");
          return typed.join("");
        case "\u0003": // Ctrl-C, which raw mode makes an ordinary character
        case "\u0004": // Ctrl-D
          this.#source.prompt("\n");
          throw new CliFailure(130, "cancelled; nothing was changed");
        case "\u007f":
        case "\b":
          typed.pop();
          break;
        case "\u0015": // Ctrl-U
          typed.length = 0;
          break;
        default:
          typed.push(key);
      }
    }
  }

  async #key(): Promise<string> {
    while (this.#waiting.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#waiting.shift()!;
  }
}
