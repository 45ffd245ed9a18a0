/** The rules of the house that no linter knows: who may import whom, which calls are banned, which files nobody imports. */
import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";

/** From the leaves up. A folder imports from its own row only itself, and from any row above. */
const rows: readonly (readonly string[])[] = [
  ["util"],
  ["config", "observe"],
  ["xml"],
  ["stanza"],
  ["socket", "store", "cluster", "auth"],
  ["session"],
  ["hooks"],
  ["router"],
  ["stream", "modules", "http", "admin"],
  ["runtime"],
  ["server"],
  ["main", "cli"],
];

/** Imports within a row that the design allows. */
const neighbours = new Set(["main>cli", "cluster>store"]);

/** A file beyond this is a room to divide; a test may be a longer table. */
const linesMax = 650;
const testLinesMax = 900;

const banned: readonly { pattern: RegExp; instead: string }[] = [
  { pattern: /\bDate\.now\(/, instead: "Clock.now()" },
  { pattern: /\bnew Date\(\)/, instead: "Clock.now()" },
  { pattern: /\bMath\.random\(/, instead: "Randomness" },
  { pattern: /\bset(Timeout|Interval)\(/, instead: "Clock.after() or Clock.every()" },
  { pattern: /\bBun\.|from "bun(:[a-z]+)?"/, instead: "a seam in src/runtime/" },
  { pattern: /\bconsole\.(log|error|warn|info)\(/, instead: "the log, or src/cli for people" },
  { pattern: /\b(TODO|FIXME|XXX)\b/, instead: "doing it, or an issue" },
];

/** Where a banned thing has its home. */
function mayUse(file: string): boolean {
  return file.startsWith("src/runtime/") || file.startsWith("src/cli/") || file === "src/main.ts";
}

function rowOf(file: string): { row: number; name: string } {
  const name = file.split("/")[1]!.replace(/\.ts$/, "");
  const folder = name === "server" || file.startsWith("src/server/") ? "server" : name;
  return { row: rows.findIndex((row) => row.includes(folder)), name: folder };
}

/** Every breach, as `file:line: what and what instead`. */
export async function findings(root: string): Promise<string[]> {
  const found: string[] = [];
  const imported = new Set<string>();
  const files: string[] = [];
  for await (const file of glob("{src,test,scripts,bench}/**/*.ts", { cwd: root })) files.push(file);
  for (const file of files.sort()) {
    const text = await readFile(join(root, file), "utf8");
    const lines = text.split("\n");
    const test = file.endsWith(".test.ts");
    const most = test ? testLinesMax : linesMax;
    if (lines.length > most) found.push(`${file}: ${lines.length} lines; divide it along its seams (${most} at most)`);
    if (!test && !/^(#!|\/\*\*|\/\/)/.test(text)) found.push(`${file}:1: the first line says what the file is`);
    lines.forEach((line, at) => {
      const target = /(?:from|import\()\s*"(\.[^"]+)"/.exec(line)?.[1];
      if (target !== undefined) {
        const path = normalize(join(dirname(file), target));
        imported.add(path);
        const breach = file.startsWith("src/") && !file.endsWith(".test.ts") ? directionBreach(file, path) : undefined;
        if (breach !== undefined) found.push(`${file}:${at + 1}: ${breach}`);
      }
      if (!file.startsWith("src/") || file.endsWith(".test.ts") || mayUse(file)) return;
      const code = line.replace(/\/\/.*$|^\s*\*.*$|\/\*\*.*$/, "");
      for (const { pattern, instead } of banned) {
        if (pattern.test(code)) found.push(`${file}:${at + 1}: ${pattern.source} is banned here; use ${instead}`);
      }
    });
  }
  for (const file of files) {
    if (!file.startsWith("src/") || file.endsWith(".test.ts") || file === "src/main.ts" || imported.has(file)) continue;
    found.push(`${file}: nobody imports it`);
  }
  return found;
}

function directionBreach(file: string, target: string): string | undefined {
  if (!target.startsWith("src/"))
    return target.endsWith(".json") ? undefined : `src imports ${target} from outside src`;
  const from = rowOf(file);
  const to = rowOf(target);
  if (from.row < 0) return `the folder '${from.name}' is in no row of the house`;
  if (to.row < 0) return `the folder '${to.name}' is in no row of the house`;
  if (from.name === to.name) {
    return from.name === "modules" && !sameModule(file, target) ? "modules never import each other" : undefined;
  }
  if (to.row > from.row) return `${from.name} must not import ${to.name}`;
  if (to.row === from.row && !neighbours.has(`${from.name}>${to.name}`))
    return `${from.name} and ${to.name} are neighbours and do not import each other`;
  return undefined;
}

/** `src/modules/x.ts`, or anything in `src/modules/x/`; the catalogue lists them all. */
function sameModule(file: string, target: string): boolean {
  const module = (path: string) => path.split("/")[2]!.replace(/\.ts$/, "");
  return module(file) === module(target) || file === "src/modules/catalogue.ts";
}
