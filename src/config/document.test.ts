/** The reference is up to date, and the default file is right. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { configurationDocument, withReference } from "../../scripts/docs-config.ts";
import { catalogue } from "../modules/catalogue.ts";
import { configurationReference, optionTable } from "./document.ts";
import { DEFAULT_LIMITS, limitConflicts } from "./limits.ts";
import { load } from "./load.fixture.ts";
import { type Config, loadConfigFile } from "./load.ts";
import { moduleRegistry, option } from "./option.ts";

describe("the document", () => {
  test("is what the declarations say; else run scripts/docs-config.ts", () => {
    const document = readFileSync(configurationDocument, "utf8");
    expect(withReference(document)).toBe(document);
  });

  test("needs its marker", () => {
    expect(() => withReference("# Configuration\n")).toThrow("has lost its line");
  });

  test("has every section", () => {
    const headings = configurationReference().match(/^#+ `.*`$/gm);
    expect(headings).toEqual(
      expect.arrayContaining([
        "### `[general]`",
        "#### `[[listen.c2s]]`",
        "##### `[listen.c2s.tls]`",
        "### `[shaper.NAME]`",
        "### `[[access.NAME]]`",
        "### `[limits]`",
        "### `[[host_config]]`",
      ]),
    );
  });

  test("shows options of a module the same way", () => {
    const table = optionTable(
      {
        resume_timeout: option.duration({ default: 600, min: 0, unit: "s", doc: "How | long." }),
        boxes: option.list(option.string({ doc: "A box." }), { doc: "Boxes." }),
        stale: option.table({ enabled: option.boolean({ default: false, doc: "On." }) }, { doc: "Stale." }),
      },
      ["modules", "mod_x"],
    );
    expect(table).toBe(`| option | allowed | default | meaning |
| --- | --- | --- | --- |
| \`resume_timeout\` | an integer of at least 0 (seconds) | \`600\` seconds | How \\| long. |
| \`boxes\` | an array, each a string | none | Boxes. |

#### \`[modules.mod_x.stale]\`

Stale.

| option | allowed | default | meaning |
| --- | --- | --- | --- |
| \`enabled\` | true or false | \`false\` | On. |
`);
  });
});

describe("meerkat.toml", () => {
  const path = fileURLToPath(new URL("../../meerkat.toml", import.meta.url));
  const text = readFileSync(path, "utf8");
  const defaults = (): Config => loadConfigFile(path, { modules: moduleRegistry(catalogue), environment: {} });

  test("is what a newcomer starts with", () => {
    const { settings, notes } = defaults();
    expect(notes).toEqual([]);
    expect(settings.listen.c2s.map(({ port, tls }) => [port, tls?.mode])).toEqual([
      [5222, "starttls"],
      [5223, "tls"],
    ]);
    const [http] = settings.listen.http;
    expect([http?.port, Object.values(http!.handlers).map((places) => places.map(({ path }) => path))]).toEqual([
      5280,
      [["/ws-xmpp"], ["/chat"], ["/metrics"], ["/health"], ["/.well-known"], ["/upload"]],
    ]);
    expect(settings.database).toMatchObject({ driver: "sqlite", path: "meerkat.sqlite" });
    const host = settings.hosts.get("localhost")!;
    const anybody = { local: "a", domain: "localhost", resource: "" };
    expect(host.access.allow("c2s", anybody)).toBe(true);
    expect(host.access.number("max_user_sessions", anybody, 0)).toBe(10);
    expect(host.modules.has("mod_roster")).toBe(true);
    expect(host.modules.has("mod_mam")).toBe(true);
    expect(host.modules.has("mod_register")).toBe(false);
  });

  test("what it comments out would work too", () => {
    const example = text.slice(
      text.indexOf("# [outgoing_pools.rdbms.default]\n"),
      text.indexOf("# ------", text.indexOf("# [outgoing_pools.rdbms.default]\n")),
    );
    const { settings } = load(`general.hosts = ["localhost"]\n${example.replace(/^# ?/gm, "")}`, {
      environment: { MEERKAT_DB_PASSWORD: "x" },
    });
    expect(settings.database).toMatchObject({ driver: "pgsql", password: "x", tls: { required: true } });
  });
});

describe("limits", () => {
  test("their defaults contradict each other nowhere", () => {
    expect(limitConflicts(DEFAULT_LIMITS, 262_144)).toEqual([]);
    expect(limitConflicts(DEFAULT_LIMITS, DEFAULT_LIMITS.stanzaBytesFloor)).toEqual([]);
  });

  test("are those of an empty file", () => {
    expect(load('general.hosts = ["localhost"]').settings.limits).toEqual(DEFAULT_LIMITS);
  });

  test("contradictions name the option to change", () => {
    expect(
      limitConflicts({ ...DEFAULT_LIMITS, writeQueueBytesMax: 100_000 }, 200_000).map(({ option: name }) => name),
    ).toEqual(["write_queue_bytes_max"]);
    expect(
      limitConflicts({ ...DEFAULT_LIMITS, preAuthStanzaBytesMax: 60_000 }, 50_000).map(({ option: name }) => name),
    ).toEqual(["pre_auth_stanza_bytes_max"]);
  });
});
