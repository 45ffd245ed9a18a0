/** From what a TOML file says to what the code sees: checks every value against its declaration and notes its origin. */
import { systemReason } from "../util/system-reason.ts";
import { guess } from "./guess.ts";
import { nameInCode, type Option, type TableOption, toMs } from "./option.ts";
import type { Path, Positions } from "./positions.ts";
import { pathText } from "./positions.ts";

/** One thing that is wrong with the configuration. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `listen.c2s[0].port`; "" when it is about the file as a whole. */
  readonly option: string;
  readonly text: string;
}

/** Something without effect, worth telling the operator. */
export type Note = Problem;

/** Where an effective value comes from. */
export type Origin =
  | { readonly from: "default" }
  | { readonly from: "file"; readonly line: number }
  | { readonly from: "environment"; readonly line: number; readonly names: readonly string[] }
  | { readonly from: "secret file"; readonly line: number; readonly path: string };

/** One effective value, as the file would spell it (durations in their unit, "infinity" as Infinity). */
export interface Entry {
  readonly path: Path;
  readonly option: Option;
  readonly value: unknown;
  readonly origin: Origin;
}

/** What reading one file has at hand, and gathers. */
export interface Reading {
  readonly file: string;
  readonly positions: Positions;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Reads a file that holds a secret; throws when it cannot. */
  readonly readSecret: (path: string) => string;
  readonly problems: Problem[];
  readonly notes: Note[];
  readonly entries: Entry[];
  /** Names of rules and shapers that the file uses, looked up when all of it is read. */
  readonly references: { readonly path: Path; readonly kind: "access" | "shaper"; readonly name: string }[];
}

/** Stands for a value that was refused, until the whole reading fails. */
const REFUSED = undefined;
export const NOT_YET = "known to MongooseIM, not supported by Meerkat yet";

export function problem(reading: Reading, path: Path, text: string): void {
  reading.problems.push(remark(reading, path, text));
}

export function note(reading: Reading, path: Path, text: string): void {
  reading.notes.push(remark(reading, path, text));
}

function remark(reading: Reading, path: Path, text: string): Problem {
  return { file: reading.file, ...reading.positions.of(path), option: pathText(path), text };
}

/** The value in code of `raw` (undefined: not in the file). Complaints go to `reading`; what is returned then is of no use. */
export function resolve(option: Option, raw: unknown, path: Path, reading: Reading): unknown {
  if (raw === undefined) return absent(option, path, reading);
  switch (option.kind) {
    case "table":
      if (!isTable(raw)) return refuse(option, raw, path, reading);
      if (option.optional) mark(reading, path, option);
      return resolveTable(option, raw, path, reading);
    case "map":
      if (!isTable(raw)) return refuse(option, raw, path, reading);
      return new Map(
        Object.entries(raw).map(([name, inner]) => [name, resolve(option.item, inner, [...path, name], reading)]),
      );
    case "list": {
      if (!Array.isArray(raw)) return refuse(option, raw, path, reading);
      return resolveList(option, raw, path, reading);
    }
    default:
      return resolveLeaf(option, raw, path, reading);
  }
}

function absent(option: Option, path: Path, reading: Reading): unknown {
  if (option.required) {
    problem(reading, path, `missing; allowed: ${allowedText(option)}`);
    return REFUSED;
  }
  switch (option.kind) {
    case "table":
      return option.optional ? undefined : resolveTable(option, {}, path, reading);
    case "map":
      return new Map();
    case "list": {
      const items = option.default ?? [];
      if (isLeaf(option.item)) record(reading, path, option, items, { from: "default" });
      if (isLeaf(option.item)) return Object.freeze(items.map((item) => inCode(option.item, item)));
      // Tables are declared as they would stand in the file; `config show` has no line of it to name.
      const aside = { ...reading, entries: [] };
      return Object.freeze(items.map((item, index) => resolve(option.item, item, [...path, index], aside)));
    }
    default:
      record(reading, path, option, option.default, { from: "default" });
      return inCode(option, option.default);
  }
}

/**
 * Reads the options of one table; used for modules too, whose tables no fixed specification lists.
 * `others` are names that are read elsewhere.
 */
export function resolveTable(
  table: Pick<TableOption, "shape" | "ignored" | "unsupported"> & { readonly others?: readonly string[] },
  raw: Readonly<Record<string, unknown>>,
  path: Path,
  reading: Reading,
): Readonly<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(table.shape)) {
    result[nameInCode(name, option.kind)] = resolve(option, raw[name], [...path, name], reading);
  }
  for (const name of Object.keys(raw)) {
    if (Object.hasOwn(table.shape, name)) continue;
    const place = [...path, name];
    const ignored = own(table.ignored, name);
    const unsupported = own(table.unsupported, name);
    const isEmptyList = Array.isArray(raw[name]) && raw[name].length === 0;
    if (ignored !== undefined) note(reading, place, `has no effect: ${ignored}`);
    // What MongooseIM's own file has as a reminder, such as `host_types = []`.
    else if (unsupported !== undefined && isEmptyList) note(reading, place, "has no effect: nothing is in it");
    else if (unsupported !== undefined)
      problem(reading, place, unsupported === "" ? NOT_YET : `${NOT_YET}: ${unsupported}`);
    else problem(reading, place, unknownText("option", name, [...Object.keys(table.shape), ...(table.others ?? [])]));
  }
  return Object.freeze(result);
}

/** `unknown option; did you mean "port"? Allowed here: …` */
export function unknownText(what: string, name: string, known: Iterable<string>): string {
  return `unknown ${what}${choices(name, known)}`;
}

/** `; did you mean "port"? Allowed here: …`, or without the guess where nothing is near. */
export function choices(found: string, known: Iterable<string>): string {
  const names = [...known];
  const list = names.length === 0 ? "nothing" : names.join(", ");
  const meant = guess(found, names);
  return meant === undefined ? `; allowed here: ${list}` : `; did you mean "${meant}"? Allowed here: ${list}`;
}

function resolveList(
  option: Extract<Option, { kind: "list" }>,
  raw: readonly unknown[],
  path: Path,
  reading: Reading,
): unknown {
  if (raw.length < (option.minItems ?? 0)) return refuse(option, raw, path, reading);
  const before = reading.entries.length;
  const items = raw.map((item, index) => resolve(option.item, item, [...path, index], reading));
  if (isLeaf(option.item)) {
    // One line of `config show` for the whole array.
    const parts = reading.entries.splice(before);
    const names = parts.flatMap(({ origin }) => (origin.from === "environment" ? origin.names : []));
    const { line } = reading.positions.of(path);
    const origin: Origin = names.length > 0 ? { from: "environment", line, names } : { from: "file", line };
    const values = parts.map(({ value }) => value);
    record(reading, path, option, values, origin);
    if (option.distinct) {
      values.forEach((value, index) => {
        if (values.indexOf(value) < index)
          problem(reading, [...path, index], `found ${foundText(value)} twice; allowed: once`);
      });
    }
  }
  return Object.freeze(items);
}

function resolveLeaf(option: Option, raw: unknown, path: Path, reading: Reading): unknown {
  const { line } = reading.positions.of(path);
  let origin: Origin = { from: "file", line };
  let found = raw;
  if (option.secret && isTable(raw)) {
    const path_ = raw.file;
    if (typeof path_ !== "string" || Object.keys(raw).length !== 1) {
      problem(reading, path, 'found a table; allowed: a string or { file = "path" }');
      return REFUSED;
    }
    try {
      found = reading.readSecret(path_).replace(/\r?\n$/, "");
    } catch (error) {
      problem(reading, path, `the file ${JSON.stringify(path_)} cannot be read: ${systemReason(error)}`);
      return REFUSED;
    }
    origin = { from: "secret file", line, path: path_ };
  } else if (typeof raw === "string" && raw.includes("${")) {
    const expanded = expand(raw, path, reading);
    if (expanded === undefined) return REFUSED;
    found = expanded.names.length > 0 ? asKind(option, expanded.text) : expanded.text;
    if (expanded.names.length > 0) origin = { from: "environment", line, names: expanded.names };
  }
  if (!accepts(option, found)) return refuse(option, found, path, reading);
  const value = found === "infinity" && hasInfinity(option) ? Number.POSITIVE_INFINITY : found;
  record(reading, path, option, value, origin);
  // A default may name a rule that nobody has to define, and saying it is no worse than leaving it out.
  if (option.kind === "string" && option.refersTo !== undefined && value !== option.default) {
    reading.references.push({ path, kind: option.refersTo, name: value as string });
  }
  return inCode(option, value);
}

/** Puts the environment into a text: `${NAME}`, `${NAME:-when unset or empty}`; `$${` is `${` itself. */
function expand(text: string, path: Path, reading: Reading): { text: string; names: readonly string[] } | undefined {
  const names: string[] = [];
  let bad = false;
  const expanded = text.replace(/\$\$\{|\$\{([^}]*)(\}?)/g, (whole, inner: string | undefined, closed: string) => {
    if (whole === "$${") return "${";
    const parts = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/.exec(inner ?? "");
    if (parts === null || closed === "") {
      problem(
        reading,
        path,
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is about them
        'found "${" without a name and "}"; allowed: "${NAME}", "${NAME:-default}", and "$${" for the characters themselves',
      );
      bad = true;
      return "";
    }
    const [, name, otherwise] = parts;
    const value = reading.environment[name!];
    names.push(name!);
    if (otherwise !== undefined) return value === undefined || value === "" ? otherwise : value;
    if (value === undefined) {
      problem(reading, path, `the environment variable ${name} is not set`);
      bad = true;
    }
    return value ?? "";
  });
  return bad ? undefined : { text: expanded, names };
}

/** The environment holds texts only; where an option is none, its text is read as TOML would. */
function asKind(option: Option, text: string): unknown {
  switch (option.kind) {
    case "integer":
    case "duration":
      return /^[+-]?\d+$/.test(text) ? Number(text) : text;
    case "number":
    case "scalar":
      return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    default:
      return text;
  }
}

function accepts(option: Option, found: unknown): boolean {
  switch (option.kind) {
    case "integer":
    case "duration":
      if (found === "infinity") return option.infinity === true;
      return Number.isSafeInteger(found) && inRange(option, found as number);
    case "number":
      return typeof found === "number" && Number.isFinite(found) && inRange(option, found);
    case "string":
      return typeof found === "string" && (option.check?.(found) ?? true);
    case "boolean":
      return typeof found === "boolean" && (option.only === undefined || found === option.only);
    case "choice":
      return typeof found === "string" && option.values.includes(found);
    case "scalar":
      return typeof found === "string" || Number.isSafeInteger(found);
    default:
      return false;
  }
}

function inRange(option: { min?: number; max?: number }, number: number): boolean {
  return number >= (option.min ?? Number.NEGATIVE_INFINITY) && number <= (option.max ?? Number.POSITIVE_INFINITY);
}

function refuse(option: Option, found: unknown, path: Path, reading: Reading): undefined {
  problem(reading, path, refusalText(option, found));
  return REFUSED;
}

function refusalText(option: Option, found: unknown): string {
  const shown = option.secret ? "a value that is not allowed" : foundText(found);
  const plain = `found ${shown}; allowed: ${allowedText(option)}`;
  if (option.kind === "boolean" && typeof found === "boolean") return `found ${found}: ${NOT_YET}`;
  if (option.kind === "choice" && typeof found === "string") {
    const reason = own(option.unsupported, found);
    if (reason !== undefined)
      return `found ${shown}: ${reason === "" ? NOT_YET : reason}; allowed: ${allowedText(option)}`;
    const meant = guess(found, option.values);
    return meant === undefined ? plain : `${plain}; did you mean "${meant}"?`;
  }
  return plain;
}

/** What was found, in a few words. */
export function foundText(found: unknown): string {
  if (typeof found === "string") {
    // A URL or a server may come with a password in it, where none is taken.
    const shown = found.replace(/[^\s/@]+:[^\s/@]*@/g, "********@");
    return JSON.stringify(shown.length > 60 ? `${shown.slice(0, 60)}…` : shown);
  }
  if (Array.isArray(found)) return found.length === 0 ? "an empty array" : "an array";
  if (found instanceof Date) return "a date";
  if (isTable(found)) return "a table";
  return String(found);
}

/** What an option takes, in words. */
export function allowedText(option: Option): string {
  switch (option.kind) {
    case "integer":
    case "duration":
    case "number": {
      const unit = option.kind === "duration" ? UNIT_NAMES[option.unit] : option.unit;
      const number = `${option.kind === "number" ? "a number" : "an integer"}${rangeText(option)}`;
      return number + (unit === undefined ? "" : ` (${unit})`) + (hasInfinity(option) ? ' or "infinity"' : "");
    }
    case "string":
      return `${option.allowed ?? "a string"}${option.secret ? ' or { file = "path" }' : ""}`;
    case "boolean":
      return option.only === undefined ? "true or false" : String(option.only);
    case "choice":
      return option.values.map((choice) => JSON.stringify(choice)).join(", ");
    case "scalar":
      return "a string or an integer";
    case "list":
      return `an array${(option.minItems ?? 0) > 0 ? ` of at least ${option.minItems}` : ""}, each ${allowedText(option.item)}`;
    case "table":
    case "map":
      return "a table";
  }
}

export const UNIT_NAMES = { ms: "milliseconds", s: "seconds", min: "minutes", h: "hours", d: "days" };

function rangeText({ min, max }: { min?: number; max?: number }): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? "" : ` of at most ${max}`;
}

function hasInfinity(option: Option): boolean {
  return (option.kind === "integer" || option.kind === "duration") && option.infinity === true;
}

function inCode(option: Option, value: unknown): unknown {
  return option.kind === "duration" && typeof value === "number" ? toMs(value, option.unit) : value;
}

function record(reading: Reading, path: Path, option: Option, value: unknown, origin: Origin): void {
  reading.entries.push({ path, option, value, origin });
}

/** Notes a table whose mere presence means something, even when all in it is default. */
export function mark(reading: Reading, path: Path, option: Option): void {
  record(reading, path, option, undefined, { from: "file", line: reading.positions.of(path).line });
}

export function isLeaf(option: Option): boolean {
  return option.kind !== "table" && option.kind !== "map" && option.kind !== "list";
}

function own<T>(table: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return table !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Whether this is a TOML table. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
