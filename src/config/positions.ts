/** Where in the file an option stands, so that every complaint can point at it. */
import { parseTOML } from "toml-eslint-parser";

/** Both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The way to a value: names of tables and options, numbers of array elements from 0. */
export type Path = readonly (string | number)[];

export interface Positions {
  /** The place of the name that was written for this path, or of the nearest thing around it. */
  of(path: Path): Position;
}

/** A path as people read it: `listen.c2s[0].port`, with quotes where a name needs them. */
export function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += (text === "" ? "" : ".") + (/^[A-Za-z0-9_-]+$/.test(step) ? step : JSON.stringify(step));
  }
  return text;
}

/**
 * Finds every name of a TOML document. The values themselves are read by another parser; where the two should ever
 * disagree, a place may be coarser, but nothing is lost.
 */
export function findPositions(toml: string): Positions {
  const places = new Map<string, Position>();
  const start: Position = { line: 1, column: 1 };

  function note(path: Path, at: { line: number; column: number }): void {
    // A table that exists only through its inner names stands where the first of them does.
    for (let length = 1; length <= path.length; length++) {
      const key = pathText(path.slice(0, length));
      if (!places.has(key)) places.set(key, { line: at.line, column: at.column + 1 });
    }
  }

  function visit(path: Path, content: Content): void {
    if (content.type === "TOMLArray") {
      content.elements.forEach((element, index) => {
        note([...path, index], element.loc.start);
        visit([...path, index], element);
      });
    } else if (content.type === "TOMLInlineTable") {
      for (const pair of content.body) visitPair(path, pair);
    }
  }

  function visitPair(path: Path, pair: Pair): void {
    const inner = [...path, ...pair.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value))];
    note(inner, pair.loc.start);
    visit(inner, pair.value);
  }

  try {
    for (const node of parseTOML(toml).body[0].body) {
      if (node.type === "TOMLKeyValue") visitPair([], node);
      else {
        note(node.resolvedKey, node.loc.start);
        for (const pair of node.body) visitPair(node.resolvedKey, pair);
      }
    }
  } catch (error) {
    // The other parser took the document, so complaints are about values; they then name the option only.
    if (!(error instanceof SyntaxError)) throw error;
  }

  return {
    of(path) {
      for (let length = path.length; length > 0; length--) {
        const place = places.get(pathText(path.slice(0, length)));
        if (place !== undefined) return place;
      }
      return start;
    },
  };
}

type Program = ReturnType<typeof parseTOML>;
type TopNode = Program["body"][0]["body"][number];
type Pair = Extract<TopNode, { type: "TOMLKeyValue" }>;
type Content = Pair["value"];
