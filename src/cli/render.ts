/** Results for people: tables on a terminal; and for programs: JSON. */
import Table from "cli-table3";
import { plainText } from "./plain-text.ts";

export interface TerminalStyle {
  /** Its width in characters. */
  readonly columns: number;
  /** Headings may be bold. */
  readonly bold: boolean;
}

/** Of a list inside a record, so many items are shown on a terminal. */
const shownItemsMax = 20;

export function renderJson(result: unknown): string {
  return `${JSON.stringify(result, undefined, 2)}\n`;
}

/**
 * A list of records is a table, a record is lines of `name  value`, a list of values is a value each line. A record with tables or
 * records in it has them, and its other lists, below each other.
 */
export function renderForTerminal(result: unknown, style: TerminalStyle): string {
  if (Array.isArray(result)) {
    if (result.length === 0) return "(none)\n";
    if (result.every(isRecord)) return renderRecords(result, style);
    return lines(result.map(cell));
  }
  if (isRecord(result)) return renderSections(result, style);
  return lines([cell(result)]);
}

function renderSections(record: Readonly<Record<string, unknown>>, style: TerminalStyle): string {
  const entries = Object.entries(record);
  if (!entries.some(([, value]) => isTable(value) || isRecord(value))) return renderRecord(record, style);
  const isPart = (value: unknown): boolean => Array.isArray(value) || isRecord(value);
  const plain = entries.filter(([, value]) => !isPart(value));
  const parts = entries.filter(([, value]) => isPart(value));
  const head = plain.length === 0 ? [] : [renderRecord(Object.fromEntries(plain), style)];
  const sections = parts.map(([name, value]) => `${heading(name, style)}\n${renderForTerminal(value, style)}`);
  return [...head, ...sections].join("\n");
}

function isTable(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isRecord);
}

function renderRecords(records: readonly Readonly<Record<string, unknown>>[], style: TerminalStyle): string {
  const names = [...new Set(records.flatMap(Object.keys))];
  const table = new Table({
    head: names.map((name) => heading(name, style)),
    chars: {
      ...{ top: "", "top-mid": "", "top-left": "", "top-right": "" },
      ...{ bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "" },
      ...{ left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " },
    },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  for (const record of records) {
    table.push(
      names.map((name) => ({
        content: cell(record[name]),
        hAlign: typeof record[name] === "number" ? "right" : "left",
      })),
    );
  }
  const text = table.toString();
  const width = Math.max(...text.split("\n").map((line) => withoutStyle(line).trimEnd().length));
  if (width <= style.columns) return lines(text.split("\n").map((line) => line.trimEnd()));
  // Too wide to read as a table: one block each.
  return records.map((record) => renderRecord(record, style)).join("\n");
}

function renderRecord(record: Readonly<Record<string, unknown>>, style: TerminalStyle): string {
  const width = Math.max(0, ...Object.keys(record).map((name) => name.length));
  const text = Object.entries(record).flatMap(([name, value]) => {
    const label = heading(name.padEnd(width), style);
    const parts = Array.isArray(value) ? items(value) : [cell(value)];
    return parts.map((part, index) => `${index === 0 ? label : " ".repeat(width)}  ${part}`.trimEnd());
  });
  return lines(text);
}

function items(list: readonly unknown[]): string[] {
  if (list.length === 0) return ["(none)"];
  const shown = list.slice(0, shownItemsMax).map(cell);
  if (list.length > shownItemsMax) shown.push(`… and ${list.length - shownItemsMax} more (--json shows them)`);
  return shown;
}

/** One value in one line. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (value === "") return "";
  if (Array.isArray(value)) return value.map(cell).join(", ");
  if (typeof value === "object") return plainText(JSON.stringify(value));
  if (typeof value === "boolean") return value ? "yes" : "no";
  return plainText(String(value));
}

function heading(text: string, { bold }: TerminalStyle): string {
  return bold ? `\u001b[1m${text}\u001b[22m` : text;
}

function withoutStyle(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the two we wrote ourselves
  return line.replace(/\u001b\[(1|22)m/g, "");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function lines(texts: readonly string[]): string {
  return `${texts.join("\n")}\n`;
}
