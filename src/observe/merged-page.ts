/** The metrics of several processes as one page of Prometheus' text format, each sample with the name of its node. */

export interface NodePage {
  readonly node: string;
  /** Undefined when it did not answer. */
  readonly text: string | undefined;
}

interface Family {
  /** HELP and TYPE. */
  readonly head: string[];
  readonly samples: string[];
}

/** All samples of a metric stand together, as the format demands, whoever they are of. */
export function mergedPage(pages: readonly NodePage[]): string {
  const families = new Map<string, Family>();
  let family: Family = { head: [], samples: [] };
  for (const { node, text } of pages) {
    const label = `node="${escaped(node)}"`;
    for (const line of (text ?? "").split("\n")) {
      if (line === "") continue;
      if (line.startsWith("# ")) {
        const name = line.split(" ", 3)[2]!;
        family = families.get(name) ?? { head: [], samples: [] };
        families.set(name, family);
        if (!family.head.includes(line)) family.head.push(line);
      } else family.samples.push(labelled(line, label));
    }
  }
  const lines = ["# HELP meerkat_node_up 1 when this process has told its metrics", "# TYPE meerkat_node_up gauge"];
  for (const { node, text } of pages)
    lines.push(`meerkat_node_up{node="${escaped(node)}"} ${text === undefined ? 0 : 1}`);
  for (const { head, samples } of families.values()) lines.push("", ...head, ...samples);
  return `${lines.join("\n")}\n`;
}

/** `name{a="b"} 1` or `name 1`. */
function labelled(line: string, label: string): string {
  const space = line.indexOf(" ");
  const brace = line.indexOf("{");
  if (brace < 0 || brace > space) return `${line.slice(0, space)}{${label}}${line.slice(space)}`;
  return `${line.slice(0, brace + 1)}${label},${line.slice(brace + 1)}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
