/** What a run of `bun test` has to say: its report in JUnit's format read back, and its failures told so that one sees at once which and why. */

export interface Failure {
  /** With the line, where it is known. */
  readonly place: string;
  /** The names of what it is described in, and its own. */
  readonly name: string;
  /** The message with its comparison, and where it was thrown. */
  readonly error: string;
}

export interface Report {
  readonly passed: number;
  readonly failures: readonly Failure[];
  /** `file: name` of each. */
  readonly skipped: readonly string[];
}

/** A comparison of long texts, or the output of a server, is shown from both ends. */
const firstLines = 40;
const lastLines = 20;
const lineCharsMax = 400;

export function readReport(xml: string): Report {
  let passed = 0;
  const failures: Failure[] = [];
  const skipped: string[] = [];
  for (const [, attributes = "", body = ""] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const file = attribute(attributes, "file") || attribute(attributes, "classname");
    const failure = /<(?:failure|error)\b([^>]*?)(?:\/>|>([\s\S]*?)<\/(?:failure|error)>)/.exec(body);
    if (failure !== null) {
      const line = attribute(attributes, "line");
      // Bun names the innermost first.
      const around = attribute(attributes, "classname").split(" > ").reverse();
      failures.push({
        place: line === "" ? file : `${file}:${line}`,
        name: [...around, attribute(attributes, "name")].filter((part) => part !== "" && part !== file).join(" > "),
        error: plainText(failure[2] ?? "").trim() || attribute(failure[1] ?? "", "message"),
      });
    } else if (body.includes("<skipped")) skipped.push(`${file}: ${attribute(attributes, "name")}`);
    else passed++;
  }
  return { passed, failures, skipped };
}

/** Errors that belong to no test, such as that of a file which cannot be loaded: Bun tells of them in its output only. */
export function strayErrors(output: string): Failure[] {
  const found: Failure[] = [];
  let file = "";
  const lines = output.split("\n");
  for (const [at, line] of lines.entries()) {
    if (/^\S+\.test\.ts:$/.test(line)) file = line.slice(0, -1);
    if (line !== "# Unhandled error between tests") continue;
    const end = lines.indexOf(lines[at + 1]!, at + 2);
    found.push({ place: file, name: "(in no test)", error: lines.slice(at + 2, end < 0 ? undefined : end).join("\n") });
  }
  return found;
}

/** A failure as it stands at the end of a run. */
export function told({ place, name, error }: Failure): string {
  const indented = ends(error).map((line) => `    ${line}`.trimEnd());
  return [`${place}: ${name}`, ...indented].join("\n");
}

/** What a run printed, without the tests that passed and the files that have nothing else to say. */
export function withoutPassed(output: string): string {
  const kept: string[] = [];
  for (const line of output.split("\n")) {
    if (line.startsWith("(pass) ")) continue;
    // The header of a file, of which nothing came; before it stands an empty line.
    if (/^\S+\.test\.ts:$/.test(line)) while (kept.length > 0 && isHeading(kept.at(-1)!)) kept.pop();
    kept.push(line);
  }
  return kept.join("\n");
}

const isHeading = (line: string): boolean => line === "" || /^\S+\.test\.ts:$/.test(line);

function ends(text: string): string[] {
  const lines = text
    .split("\n")
    .map((line) => (line.length > lineCharsMax ? `${line.slice(0, lineCharsMax)} …` : line));
  const left = lines.length - firstLines - lastLines;
  if (left <= 1) return lines;
  return [...lines.slice(0, firstLines), `… ${left} lines are left out here …`, ...lines.slice(-lastLines)];
}

function attribute(text: string, name: string): string {
  return plainText(new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(text)?.[1] ?? "");
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function plainText(xml: string): string {
  return xml.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hexadecimal, decimal, name) => {
    if (name !== undefined) return entities[name] ?? whole;
    return String.fromCodePoint(hexadecimal === undefined ? Number(decimal) : Number.parseInt(hexadecimal, 16));
  });
}
