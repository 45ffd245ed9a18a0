/** Access lists and rules: who gets what. */
import { describe, expect, test } from "bun:test";
import { AccessRules, type AclEntry, globPattern, mergeRule } from "./access.ts";

const alice = { local: "alice", domain: "example.org", resource: "Phone" };
const hosted = new Set(["example.org", "example.com"]);

/** Whether one entry, on the list of example.org, matches. */
function matches(entry: Partial<AclEntry>, subject = alice): boolean {
  const acl = new Map([["them", [{ match: "all" as const, ...entry }]]]);
  const rules = new Map([["rule", [{ acl: "them", value: "allow" }]]]);
  return new AccessRules("example.org", hosted, acl, rules).allow("rule", subject);
}

describe("an entry", () => {
  const elsewhere = { ...alice, domain: "example.com" };
  const stranger = { ...alice, domain: "example.net" };

  test("looks at the servers it says", () => {
    const of = (match: AclEntry["match"]) => [alice, elsewhere, stranger].map((subject) => matches({ match }, subject));
    expect(of("all")).toEqual([true, true, true]);
    expect(of("current_domain")).toEqual([true, false, false]);
    expect(of("any_hosted_domain")).toEqual([true, true, false]);
    expect(of("none")).toEqual([false, false, false]);
  });

  test("compares parts whole and without case", () => {
    expect(matches({ user: "Alice" })).toBe(true);
    expect(matches({ user: "alic" })).toBe(false);
    expect(matches({ server: "EXAMPLE.org" })).toBe(true);
    expect(matches({ resource: "phone" })).toBe(true);
    expect(matches({ user: "" })).toBe(false);
    expect(matches({ user: "" }, { ...alice, local: "" })).toBe(true);
  });

  test("finds regular expressions anywhere, patterns only as a whole", () => {
    expect(matches({ userRegexp: "li" })).toBe(true);
    expect(matches({ userRegexp: "^li" })).toBe(false);
    expect(matches({ userGlob: "li" })).toBe(false);
    expect(matches({ userGlob: "*li*" })).toBe(true);
    expect(matches({ serverGlob: "example.*" })).toBe(true);
    expect(matches({ serverRegexp: "\\.org$", resourceGlob: "P?one" })).toBe(true);
  });

  test("must hold in all it says", () => {
    expect(matches({ user: "alice", server: "example.com" })).toBe(false);
    expect(matches({ match: "current_domain", user: "alice", server: "example.com" }, elsewhere)).toBe(false);
    expect(matches({ user: "alice", userRegexp: "b" })).toBe(false);
  });
});

describe("a rule", () => {
  const acl = new Map([
    [
      "few",
      [
        { match: "all" as const, user: "alice" },
        { match: "all" as const, user: "bob" },
      ],
    ],
  ]);
  const access = new AccessRules(
    "example.org",
    hosted,
    acl,
    new Map([
      [
        "speed",
        [
          { acl: "few", value: "fast" },
          { acl: "all", value: "normal" },
        ],
      ],
      ["count", [{ acl: "few", value: 7 }]],
      ["endless", [{ acl: "all", value: "infinity" }]],
      ["lost", [{ acl: "gone", value: "allow" }]],
    ]),
  );
  const carol = { ...alice, local: "carol" };

  test("gives the value of the first clause that fits", () => {
    expect(access.value("speed", alice)).toBe("fast");
    expect(access.value("speed", { ...alice, local: "bob" })).toBe("fast");
    expect(access.value("speed", carol)).toBe("normal");
    expect(access.allow("speed", alice)).toBe(false);
  });

  test("denies where nothing fits or nothing is defined", () => {
    expect(access.value("count", carol)).toBe("deny");
    expect(access.value("unknown", alice)).toBe("deny");
    expect(access.allow("lost", alice)).toBe(false);
    expect(access.has("unknown")).toBe(false);
  });

  test("all and none are there", () => {
    expect(access.allow("all", carol)).toBe(true);
    expect(access.allow("none", carol)).toBe(false);
    expect(access.has("none")).toBe(true);
  });

  test("numbers, with infinity and something else where there is none", () => {
    expect(access.number("count", alice, 1)).toBe(7);
    expect(access.number("count", carol, 1)).toBe(1);
    expect(access.number("endless", carol, 1)).toBe(Number.POSITIVE_INFINITY);
    expect(access.number("speed", alice, 1)).toBe(1);
  });
});

test("clauses of a host stand before a last one that allows everybody", () => {
  const own = [{ acl: "x", value: "deny" }];
  const everybody = { acl: "all", value: "allow" };
  const other = { acl: "y", value: "allow" };
  expect(mergeRule([other, everybody], own)).toEqual([other, ...own, everybody]);
  expect(mergeRule([everybody, other], own)).toEqual([everybody, other, ...own]);
  expect(mergeRule([{ acl: "all", value: 5 }], own)).toEqual([{ acl: "all", value: 5 }, ...own]);
  expect(mergeRule([], own)).toEqual(own);
});

test("shell patterns", () => {
  const cases: [glob: string, text: string, fits: boolean][] = [
    ["a*c", "abbc", true],
    ["a*c", "abbcd", false],
    ["a.c", "abc", false],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["a?c", "a😀c", true],
    ["[a-c]x", "bx", true],
    ["[!a-c]x", "bx", false],
    ["[^a-c]x", "dx", true],
    ["[]]x", "]x", true],
    ["[ab", "[ab", true],
    ["a|b", "a", false],
    ["[a&&b]", "&", true],
    ["(a)+", "(a)+", true],
    ["a\\b", "a\\b", true],
    ["*", "line\nbreak", true],
  ];
  for (const [glob, text, fits] of cases)
    expect([glob, text, globPattern(glob).test(text)]).toEqual([glob, text, fits]);
});
