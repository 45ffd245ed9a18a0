/** The effective configuration for people and programs: every value with its origin, secrets masked. */
import type { Config } from "./load.ts";
import { type Path, pathText } from "./positions.ts";
import type { Entry, Origin } from "./resolve.ts";

/** Stands for every secret, whatever its length. */
export const MASK = "********";

/** One effective value, as JSON can hold it. */
export interface ShownEntry {
  /** `listen.c2s[0].port` */
  readonly option: string;
  /** In the unit of the file; null when it is not set; "infinity". */
  readonly value: string | number | boolean | null | readonly (string | number | boolean)[];
  /** `default`, `meerkat.toml:12`, `environment NAME (meerkat.toml:12)`, `file PATH (meerkat.toml:12)` */
  readonly origin: string;
}

/** All effective values, in the order of the reference. */
export function shownEntries(config: Config): ShownEntry[] {
  return leaves(config).map((entry) => ({
    option: pathText(entry.path),
    value: shownValue(entry),
    origin: originText(entry.origin, config.settings.file),
  }));
}

/** The effective configuration as a file with comments; with its secrets put in it would load to the same settings. */
export function shownToml(config: Config): string {
  const root: Node = { leaves: [], inner: new Map(), exists: false };
  for (const entry of config.entries) {
    const isTable = entry.option.kind === "table";
    let node = root;
    for (const step of isTable ? entry.path : entry.path.slice(0, -1)) node = child(node, step);
    if (isTable) node.exists = true;
    else node.leaves.push(entry);
  }
  const lines: string[] = [];
  print(root, [], lines, config.settings.file);
  return `${lines.join("\n").trim()}\n`;
}

interface Node {
  readonly leaves: Entry[];
  readonly inner: Map<string | number, Node>;
  /** The table stands in the file, even if nothing is in it. */
  exists: boolean;
}

function child(node: Node, step: string | number): Node {
  let inner = node.inner.get(step);
  if (inner === undefined) {
    inner = { leaves: [], inner: new Map(), exists: false };
    node.inner.set(step, inner);
  }
  return inner;
}

function print(node: Node, path: Path, lines: string[], file: string): void {
  const isElement = typeof path.at(-1) === "number";
  if (path.length > 0 && (node.leaves.length > 0 || node.exists || isElement)) {
    const name = path
      .filter((step) => typeof step === "string")
      .map(keyToml)
      .join(".");
    lines.push("", isElement ? `[[${name}]]` : `[${name}]`);
  }
  for (const { path: leaf, ...entry } of node.leaves) {
    const value = shownValue({ path: leaf, ...entry });
    const name = keyToml(String(leaf.at(-1)));
    const text = value === null ? `# ${name} is not set` : `${name} = ${valueToml(value)}`;
    lines.push(`${text.padEnd(48)} # ${originText(entry.origin, file)}`);
  }
  for (const [step, inner] of node.inner) print(inner, [...path, step], lines, file);
}

/** An entry of a table only says that the table is there. */
const leaves = ({ entries }: Config): Entry[] => entries.filter(({ option }) => option.kind !== "table");

function shownValue({ option, value }: Entry): ShownEntry["value"] {
  if (value === undefined) return null;
  if (option.secret || (option.kind === "list" && option.item.secret)) return MASK;
  if (Array.isArray(value)) return value.map(scalar);
  return scalar(value);
}

function scalar(value: unknown): string | number | boolean {
  if (value === Number.POSITIVE_INFINITY) return "infinity";
  if (typeof value === "number" || typeof value === "boolean") return value;
  return String(value);
}

function valueToml(value: NonNullable<ShownEntry["value"]>): string {
  if (typeof value === "string") {
    // A text that came with "${" in it must not read the environment when it is loaded again.
    return JSON.stringify(value).replaceAll("\u007f", "\\u007f").replaceAll("${", "$$${");
  }
  return typeof value === "object" ? `[${value.map(valueToml).join(", ")}]` : String(value);
}

const keyToml = (name: string): string => (/^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name));

function originText(origin: Origin, file: string): string {
  switch (origin.from) {
    case "default":
      return "default";
    case "file":
      return `${file}:${origin.line}`;
    case "environment":
      return `environment ${[...new Set(origin.names)].join(", ")} (${file}:${origin.line})`;
    case "secret file":
      return `file ${origin.path} (${file}:${origin.line})`;
  }
}
