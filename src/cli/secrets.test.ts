/** Passwords from a pipe and from the keyboard. */
import { describe, expect, test } from "bun:test";
import { PassThrough, Readable } from "node:stream";
import { CliFailure } from "./failure.ts";
import { readSecrets, type WantedSecret } from "./secrets.ts";

const one: WantedSecret[] = [{ flag: "--password", isNew: false }];
const fresh: WantedSecret[] = [{ flag: "--newPassword", isNew: true }];

function piped(...chunks: (string | Buffer)[]) {
  return { input: Readable.from(chunks.map((chunk) => Buffer.from(chunk as string))), prompt: () => {} };
}

/** A keyboard: what is typed, and what was shown meanwhile. */
function keyboard() {
  const shown: string[] = [];
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true as const,
    setRawMode(raw: boolean) {
      modes.push(raw);
      return input as never;
    },
  });
  return { shown, modes, input, source: { input, prompt: (text: string) => void shown.push(text) } };
}

describe("from a pipe", () => {
  test.each<[string, (string | Buffer)[], string]>([
    ["a line", ["secret\n"], "secret"],
    ["no line end", ["secret"], "secret"],
    ["a Windows line end", ["secret\r\n"], "secret"],
    ["only the first line", ["secret\nmore\n"], "secret"],
    ["spaces belong to it", [" se cret \n"], " se cret "],
    ["a character cut in two", [Buffer.from([0xc3]), Buffer.from([0xbc, 0x0a])], "ü"],
  ])("%s", async (_, chunks, secret) => {
    expect(await readSecrets(one, piped(...chunks))).toEqual([secret]);
  });

  test("several, a line each", async () => {
    expect(await readSecrets([...one, ...fresh], piped("old\nnew\n"))).toEqual(["old", "new"]);
  });

  test("nothing wanted reads nothing", async () => {
    const source = piped("kept\n");
    expect(await readSecrets([], source)).toEqual([]);
    expect(source.input.readableDidRead).toBe(false);
  });

  test.each<[string, string[], WantedSecret[], RegExp]>([
    ["nothing", [], one, /--password is to be read from standard input, and nothing is there/],
    ["an empty line", ["\n"], one, /nothing is there/],
    ["a line too few", ["old\n"], [...one, ...fresh], /--newPassword is to be read from line 2/],
    ["a file that is none", ["x".repeat(70_000)], one, /longer than 65536 bytes/],
  ])("refuses %s", async (_, chunks, wanted, message) => {
    const failed = readSecrets(wanted, piped(...chunks));
    expect(failed).rejects.toThrow(CliFailure);
    expect(failed).rejects.toThrow(message);
  });
});

describe("from a keyboard", () => {
  test("echoes nothing, and gives the terminal back", async () => {
    const { shown, modes, input, source } = keyboard();
    const read = readSecrets(one, source);
    input.write("sekx\u007fret\r");
    expect(await read).toEqual(["sekret"]);
    expect(shown).toEqual(["--password: ", "\n"]);
    expect(modes).toEqual([true, false]);
  });

  test("a new one is asked for twice", async () => {
    const { shown, input, source } = keyboard();
    const read = readSecrets(fresh, source);
    input.write("wrong\u0015better\rbetter\r");
    expect(await read).toEqual(["better"]);
    expect(shown.join("")).toBe("--newPassword: \n--newPassword again: \n");
  });

  test("two that differ are refused", async () => {
    const { modes, input, source } = keyboard();
    const read = readSecrets(fresh, source);
    input.write("better\rbetetr\r");
    expect(read).rejects.toThrow("the two differ");
    await read.catch(() => undefined);
    expect(modes).toEqual([true, false]);
  });

  test("Ctrl-C cancels", async () => {
    const { modes, input, source } = keyboard();
    const read = readSecrets(one, source);
    input.write("sec\u0003");
    const failure = await read.catch((error: unknown) => error);
    expect(failure).toMatchObject({ exitCode: 130 });
    expect(modes).toEqual([true, false]);
  });
});
