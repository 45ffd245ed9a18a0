/** How results look on a terminal and in a pipe. */
import { describe, expect, test } from "bun:test";
import { plainText } from "./plain-text.ts";
import { renderForTerminal, renderJson } from "./render.ts";

const style = { columns: 80, bold: false };

describe("on a terminal", () => {
  test.each<[string, unknown, string]>([
    ["a number", 42, "42\n"],
    ["a text", "Stopping", "Stopping\n"],
    ["nothing", null, "–\n"],
    ["a list of texts", ["a@localhost", "b@localhost"], "a@localhost\nb@localhost\n"],
    ["an empty list", [], "(none)\n"],
    ["a record", { jid: "alice@localhost", exist: true, port: null }, "jid    alice@localhost\nexist  yes\nport   –\n"],
    [
      "a record with lists",
      { created: 1, existing: ["x", "y"], bad: [] },
      "created   1\nexisting  x\n          y\nbad       (none)\n",
    ],
    [
      "a list of records",
      [
        { user: "alice@localhost/phone", priority: 5 },
        { user: "bob@localhost/home", priority: 127, groups: ["a", "b"] },
      ],
      [
        "user                   priority  groups",
        "alice@localhost/phone         5  –",
        "bob@localhost/home          127  a, b",
        "",
      ].join("\n"),
    ],
  ])("%s", (_, result, shown) => {
    expect(renderForTerminal(result, style)).toBe(shown);
  });

  test("a record with tables in it has them below each other, each under its name", () => {
    const result = { cluster: "xmpp", nodes: [{ name: "n1", number: 1 }], tables: [], problems: ["one", "two"] };
    expect(renderForTerminal(result, style)).toBe(
      "cluster  xmpp\n\nnodes\nname  number\nn1         1\n\ntables\n(none)\n\nproblems\none\ntwo\n",
    );
  });

  test("a record inside a record has its lines under its name", () => {
    const result = { file: "/a.zip", rows: { account: 1, roster: 2 }, message: "done" };
    expect(renderForTerminal(result, style)).toBe("file     /a.zip\nmessage  done\n\nrows\naccount  1\nroster   2\n");
  });

  test("a table wider than the terminal becomes blocks", () => {
    const shown = renderForTerminal(
      [
        { user: "alice", text: "x".repeat(20) },
        { user: "bob", text: "" },
      ],
      { columns: 20, bold: false },
    );
    expect(shown).toBe(`user  alice\ntext  ${"x".repeat(20)}\n\nuser  bob\ntext\n`);
  });

  test("headings may be bold, which changes no width", () => {
    const records = [{ user: "alice", n: 1 }];
    const bold = renderForTerminal(records, { columns: 10, bold: true });
    expect(bold).toContain("\u001b[1muser\u001b[22m");
    expect(bold.replaceAll("\u001b[1m", "").replaceAll("\u001b[22m", "")).toBe(
      renderForTerminal(records, { columns: 10, bold: false }),
    );
  });

  test("a long list inside a record is cut, and says so", () => {
    const existing = Array.from({ length: 1000 }, (_, index) => `user${index}@localhost`);
    const shown = renderForTerminal({ existing }, style);
    expect(shown.trimEnd().split("\n")).toHaveLength(21);
    expect(shown).toContain("… and 980 more");
  });

  test("what others wrote cannot steer the terminal", () => {
    const shown = renderForTerminal([{ user: "a", text: "\u001b[2J\u009b1mred\u202egnp\nx" }], style);
    for (const harmful of ["\u001b", "\u009b", "\u202e"]) expect(shown).not.toContain(harmful);
    expect(shown).toContain("\\u{1b}[2J\\u{9b}1mred\\u{202e}gnp ⏎ x");
    expect(plainText("grüße 你好 🦦")).toBe("grüße 你好 🦦");
  });

  test("names in other scripts keep the columns in line", () => {
    const lines = renderForTerminal(
      [
        { user: "你好", n: 1 },
        { user: "abcd", n: 2 },
      ],
      style,
    ).split("\n");
    expect(lines[1]).toBe("你好  1");
    expect(lines[2]).toBe("abcd  2");
  });
});

test("in a pipe it is JSON", () => {
  for (const result of [null, 3, "x", [], { a: ["\u001b"] }]) expect(JSON.parse(renderJson(result))).toEqual(result);
});
