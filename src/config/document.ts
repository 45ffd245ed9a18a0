/** The reference of options as Markdown, made of their declarations, so that it cannot be wrong. */
import type { Option, OptionSpec, Reasons } from "./option.ts";
import { allowedText, UNIT_NAMES } from "./resolve.ts";
import { hostOptions, rootOptions } from "./spec.ts";

/** The sections of a file but `[modules]`, which `docs/modules.md` describes. */
export function configurationReference(): string {
  const sections = Object.entries(rootOptions).map(([name, option]) => section([name], option));
  const host = section(["host_config"], {
    kind: "list",
    doc: "What differs for one host; `[host_config.modules.NAME]` too may be in it, and replaces all `[modules]`.",
    item: {
      kind: "table",
      doc: "",
      shape: { host: hostOptions.host, general: hostOptions.general },
    },
  });
  return [...sections, host].join("\n");
}

/** One table for the options of a section or module; "" when it has none. Tables inside it become tables below it. */
export function optionTable(spec: OptionSpec, path: readonly string[] = [], level = 4): string {
  const { rows, inner } = parts(spec, path, level);
  return [...rows, ...inner].join("\n");
}

/** The lines of the table of the plain options, and the sections of the tables among them. */
function parts(spec: OptionSpec, path: readonly string[], level: number): { rows: string[]; inner: string[] } {
  const rows: string[] = [];
  const inner: string[] = [];
  for (const [name, option] of Object.entries(spec)) {
    if (tableOf(option) === undefined) rows.push(row(name, option));
    else inner.push(section([...path, name], option, level));
  }
  if (rows.length > 0) rows.unshift("| option | allowed | default | meaning |", "| --- | --- | --- | --- |");
  if (rows.length > 0) rows.push("");
  return { rows, inner };
}

function section(path: readonly string[], option: Option, level = 3): string {
  const found = tableOf(option);
  if (found === undefined) throw new Error(`${path.join(".")} is no section`);
  const { shape, suffix, isArray, doc, ignored, unsupported } = found;
  const name = [...path, ...suffix].join(".");
  const lines = [`${"#".repeat(Math.min(level, 6))} \`${isArray ? `[[${name}]]` : `[${name}]`}\``, "", doc, ""];
  const inside = [...path, ...suffix];
  const { rows, inner } = parts(shape, inside, level + 1);
  lines.push(...rows, ...reasons("Accepted without effect", ignored));
  lines.push(...reasons("Of MongooseIM, refused so far", unsupported), ...inner);
  return lines.join("\n");
}

/** The table that an option is, or is a list or map of. */
function tableOf(
  option: Option,
):
  | { shape: OptionSpec; suffix: string[]; isArray: boolean; doc: string; ignored?: Reasons; unsupported?: Reasons }
  | undefined {
  if (option.kind === "table") {
    return {
      shape: option.shape,
      suffix: [],
      isArray: false,
      doc: option.doc,
      ignored: option.ignored,
      unsupported: option.unsupported,
    };
  }
  if (option.kind !== "list" && option.kind !== "map") return undefined;
  const inner = tableOf(option.item);
  if (inner === undefined) return undefined;
  const isMap = option.kind === "map";
  return {
    ...inner,
    doc: option.doc,
    isArray: inner.isArray || !isMap,
    suffix: isMap ? ["NAME", ...inner.suffix] : inner.suffix,
  };
}

function row(name: string, option: Option): string {
  return `| ${[`\`${name}\``, allowedText(option), defaultText(option), option.doc].map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function defaultText(option: Option): string {
  if (option.required) return "**required**";
  switch (option.kind) {
    case "table":
    case "map":
      return "–";
    case "list":
      return option.default === undefined
        ? "none"
        : option.default.map((item) => `\`${JSON.stringify(item)}\``).join(", ");
    default: {
      if (option.default === undefined) return "–";
      if (option.default === Number.POSITIVE_INFINITY) return '`"infinity"`';
      const unit = option.kind === "duration" ? ` ${UNIT_NAMES[option.unit]}` : "";
      return `\`${JSON.stringify(option.default)}\`${unit}`;
    }
  }
}

function reasons(title: string, table: Reasons | undefined): string[] {
  const names = Object.entries(table ?? {});
  if (names.length === 0) return [];
  const items = names.map(([name, reason]) => (reason === "" ? `\`${name}\`` : `\`${name}\` (${reason})`));
  return [`${title}: ${items.join(", ")}.`, ""];
}
