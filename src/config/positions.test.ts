/** Places of options in a file, and guesses at misspelt names. */
import { describe, expect, test } from "bun:test";
import { editDistance, guess } from "./guess.ts";
import { findPositions, type Path, pathText } from "./positions.ts";

const TOML = `# first
a.b = 1
[x]
c = [1,
   2]
d = { e = 'f', "g.h" = 2 }
text = """
[no.table]
key = 1
"""
[[l.c2s]]
  port = 1
[[l.c2s]]
port = 2
[l.c2s.tls]
mode = 'x'
[[l.c2s.h.w]]
k = 1
`;

describe("the place of", () => {
  const positions = findPositions(TOML);
  const cases: [path: Path, line: number, column: number][] = [
    [["a"], 2, 1],
    [["a", "b"], 2, 1],
    [["x"], 3, 1],
    [["x", "c"], 4, 1],
    [["x", "c", 0], 4, 6],
    [["x", "c", 1], 5, 4],
    [["x", "d", "e"], 6, 7],
    [["x", "d", "g.h"], 6, 16],
    [["x", "text"], 7, 1],
    [["l", "c2s", 0], 11, 1],
    [["l", "c2s", 0, "port"], 12, 3],
    [["l", "c2s", 1], 13, 1],
    [["l", "c2s", 1, "port"], 14, 1],
    [["l", "c2s", 1, "tls", "mode"], 16, 1],
    [["l", "c2s", 1, "h", "w", 0, "k"], 18, 1],
    // What is not there stands where the nearest thing around it does.
    [["l", "c2s", 1, "tls", "certfile"], 15, 1],
    [["no", "table"], 1, 1],
    [[], 1, 1],
  ];
  for (const [path, line, column] of cases) {
    test(pathText(path) || "the file", () => expect(positions.of(path)).toEqual({ line, column }));
  }
});

test("a document the place finder does not take has no places", () => {
  expect(findPositions("[a").of(["a"])).toEqual({ line: 1, column: 1 });
});

test("paths are quoted where they need it", () => {
  expect(pathText(["acl", "a b", 0, "x.y"])).toBe('acl."a b"[0]."x.y"');
  expect(pathText([])).toBe("");
});

test("edits are counted, two neighbours swapped as one", () => {
  const cases: [string, string, number][] = [
    ["", "abc", 3],
    ["abc", "abc", 0],
    ["port", "prot", 1],
    ["kitten", "sitting", 3],
    ["ca", "abc", 3],
  ];
  for (const [from, to, edits] of cases) {
    expect(editDistance(from, to)).toBe(edits);
    expect(editDistance(to, from)).toBe(edits);
  }
});

test("guesses are near or are not made", () => {
  const known = ["port", "ip_address", "max_stanza_size", "tls"];
  expect(guess("prt", known)).toBe("port");
  expect(guess("PORT", known)).toBe("port");
  expect(guess("max_stanza_siz", known)).toBe("max_stanza_size");
  expect(guess("ipaddres", known)).toBe("ip_address");
  expect(guess("shaper", known)).toBeUndefined();
  expect(guess("", known)).toBeUndefined();
  expect(guess("x".repeat(100_000), known)).toBeUndefined();
});
