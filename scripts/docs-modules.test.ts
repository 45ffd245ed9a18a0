/** The generated documents are those of the modules as they are now, and what they say of the house is there. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogue } from "../src/modules/catalogue.ts";
import { coreRfcs, coreXeps, documents, modulesDocument, xepsDocument } from "./docs-modules.ts";

describe("up to date (else run ./bin/run-bun scripts/docs-modules.ts)", () => {
  for (const { path, text } of documents) {
    test(`docs/${basename(path)}`, () => expect(readFileSync(path, "utf8")).toBe(text()));
  }
});

test("every module is described, with each of its options", () => {
  const document = modulesDocument();
  for (const module of catalogue) {
    const start = document.indexOf(`\n## ${module.name}\n`);
    expect(start).toBeGreaterThan(0);
    const section = document.slice(start, document.indexOf("\n## ", start + 1) >>> 0);
    expect(section).toContain(module.summary);
    for (const name of Object.keys(module.options)) expect(section).toContain(name);
  }
});

test("every XEP a module declares is listed with its version", () => {
  const document = xepsDocument();
  for (const module of catalogue) {
    for (const { number, version } of module.xeps ?? []) {
      const row = document.split("\n").filter((line) => line.includes(`xep-${String(number).padStart(4, "0")}.html`));
      expect(row.some((line) => line.includes(`| ${version} |`) && line.includes(module.name))).toBe(true);
    }
  }
});

test("what the house does without modules is where the list says", () => {
  for (const by of [...coreXeps.map((xep) => xep.by), ...coreRfcs.map(([, , file]) => file)]) {
    expect(existsSync(fileURLToPath(new URL(`../${by}`, import.meta.url)))).toBe(true);
  }
});
