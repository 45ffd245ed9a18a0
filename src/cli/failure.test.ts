/** What an operator reads when the server does not start. */
import { expect, test } from "bun:test";
import { startFailureLines } from "./failure.ts";

test.each<[string, unknown, string[]]>([
  [
    "lines made for it",
    Object.assign(new Error("two problems"), { lines: ["a.toml:1:1: x", "a.toml:2:1: y"] }),
    ["a.toml:1:1: x", "a.toml:2:1: y"],
  ],
  ["a configuration with two problems", new Error("a.toml:1:1: x\na.toml:2:1: y"), ["a.toml:1:1: x", "a.toml:2:1: y"]],
  [
    "a port that is taken",
    new Error("port 5222 is taken; change listen.c2s[0].port"),
    ["port 5222 is taken; change listen.c2s[0].port"],
  ],
  [
    "a cause",
    new Error("no database", { cause: new Error("connection refused") }),
    ["no database", "because: connection refused"],
  ],
  [
    "a failure with a code, which explains its cause",
    Object.assign(new Error("port 5222 is taken", { cause: new Error("Failed to listen") }), { code: "EADDRINUSE" }),
    ["port 5222 is taken"],
  ],
  [
    "a cause the message repeats",
    new Error("no database: refused", { cause: new Error("refused") }),
    ["no database: refused"],
  ],
  ["no error at all", "gone", ["gone"]],
])("%s", (_, error, lines) => {
  expect(startFailureLines(error)).toEqual(lines);
});

test("a mistake of ours shows where it happened", () => {
  const lines = startFailureLines(new TypeError("x is not a function"));
  expect(lines[0]).toContain("x is not a function");
  expect(lines.join("\n")).toContain("failure.test.ts");
});
