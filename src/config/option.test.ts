/** Declarations of options: what they become in code, by value and by type. */
import { expect, test } from "bun:test";
import { load } from "./load.fixture.ts";
import { moduleRegistry, nameInCode, type OptionsOf, option, toMs } from "./option.ts";

const declared = {
  buffer_max: option.infinityOr(
    option.integer({ default: Number.POSITIVE_INFINITY, min: 1, unit: "stanzas", doc: "a" }),
  ),
  resume_timeout: option.duration({ default: 10, unit: "min", doc: "b" }),
  never: option.infinityOr(option.duration({ default: Number.POSITIVE_INFINITY, unit: "s", doc: "c" })),
  ratio: option.number({ default: 0.5, min: 0, max: 1, doc: "d" }),
  kind: option.choice({ values: ["one", "two"], default: "one", doc: "e" }),
  note: option.string({ doc: "f" }),
  ids: option.list(option.integer({ doc: "g" }), { default: [1, 2], doc: "h" }),
  waits: option.list(option.duration({ unit: "s", doc: "i" }), { default: [1], doc: "j" }),
  steps: option.list(
    option.table(
      {
        after_all: option.duration({ unit: "s", required: true, doc: "j1" }),
        name: option.string({ default: "step", doc: "j2" }),
      },
      { doc: "j3" },
    ),
    { default: [{ after_all: 2 }, { after_all: 3, name: "last" }], doc: "j4" },
  ),
  inner: option.table({ deep_one: option.boolean({ default: true, doc: "k" }) }, { doc: "l" }),
  maybe: option.optionalTable({ x: option.integer({ default: 1, doc: "m" }) }, { doc: "n" }),
  named: option.map(option.integer({ doc: "o" }), { doc: "p" }),
};

/** A compile error here means that types and values have parted. */
const byType: OptionsOf<typeof declared> = {
  bufferMax: Number.POSITIVE_INFINITY,
  resumeTimeoutMs: 600_000,
  neverMs: Number.POSITIVE_INFINITY,
  ratio: 0.5,
  kind: "one",
  note: undefined,
  ids: [1, 2],
  waits: [1000],
  steps: [
    { afterAllMs: 2000, name: "step" },
    { afterAllMs: 3000, name: "last" },
  ],
  inner: { deepOne: true },
  maybe: undefined,
  named: new Map(),
};

const registry = moduleRegistry([{ name: "mod_x", options: declared }]);
const read = (toml: string) =>
  load(`general.hosts = ["localhost"]\n[modules.mod_x]\n${toml}`, { modules: registry })
    .settings.hosts.get("localhost")!
    .modules.get("mod_x");

test("defaults are what the types say", () => {
  expect(read("")).toEqual({ ...byType });
});

test("values are what the types say", () => {
  const toml = `buffer_max = 3
resume_timeout = 1
never = "infinity"
ratio = 1
kind = "two"
note = ""
ids = []
waits = [2, 3]
steps = [{ after_all = 5 }]
inner.deep_one = false
maybe = {}
named = { a = 1, "b c" = 2 }`;
  const expected: typeof byType = {
    bufferMax: 3,
    resumeTimeoutMs: 60_000,
    neverMs: Number.POSITIVE_INFINITY,
    ratio: 1,
    kind: "two",
    note: "",
    ids: [],
    waits: [2000, 3000],
    steps: [{ afterAllMs: 5000, name: "step" }],
    inner: { deepOne: false },
    maybe: { x: 1 },
    named: new Map([
      ["a", 1],
      ["b c", 2],
    ]),
  };
  expect(read(toml)).toEqual({ ...expected });
});

test("a choice is its values to the compiler", () => {
  const kind: "one" | "two" = byType.kind;
  // @ts-expect-error: an option without a default may be missing
  const note: string = byType.note;
  expect([kind, note]).toEqual(["one", undefined] as unknown as [typeof kind, string]);
});

test("numbers out of range, of either end", () => {
  expect(() => read("ratio = 1.5")).toThrow("found 1.5; allowed: a number from 0 to 1");
  expect(() => read("buffer_max = 0")).toThrow('found 0; allowed: an integer of at least 1 (stanzas) or "infinity"');
  expect(() => read('resume_timeout = "infinity"')).toThrow('found "infinity"; allowed: an integer (minutes)');
});

test("names in code", () => {
  expect(nameInCode("max_stanza_size", "integer")).toBe("maxStanzaSize");
  expect(nameInCode("state_timeout", "duration")).toBe("stateTimeoutMs");
  expect(nameInCode("port", "integer")).toBe("port");
  expect([toMs(1, "ms"), toMs(1, "s"), toMs(1, "min"), toMs(1, "h"), toMs(1, "d")]).toEqual([
    1, 1000, 60_000, 3_600_000, 86_400_000,
  ]);
});

test("two modules of one name are a mistake", () => {
  const module = { name: "mod_x", options: {} };
  expect(() => moduleRegistry([module, module])).toThrow("two modules are named mod_x");
});
