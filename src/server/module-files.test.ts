/** Modules of an operator's own: which files are taken, and what is said of the others. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, loadConfigFile } from "../config/load.ts";
import { moduleRegistry } from "../config/option.ts";
import { catalogue } from "../modules/catalogue.ts";
import { knownModules } from "./module-files.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-modules-"));
afterAll(() => rmSync(folder, { recursive: true }));
const notes = fileURLToPath(new URL("../../docs/examples/notes.ts", import.meta.url));

function configuration(files: string, more = ""): string {
  const file = join(folder, "meerkat.toml");
  writeFileSync(file, `[general]\nhosts = ["localhost"]\nmodule_files = ${files}\n${more}`);
  return file;
}

async function complaints(file: string): Promise<string[]> {
  const error = await knownModules(file).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).message.split("\n").map((line) => line.replaceAll(`${folder}/`, ""));
}

test("a module of a file may be configured like any other, and runs behind all but the last", async () => {
  const file = configuration(`["${notes}"]`, "[modules.mod_example_notes]\nmax_notes = 7\n");
  const modules = await knownModules(file);
  expect(modules.slice(-2).map(({ name }) => name)).toEqual(["mod_example_notes", "mod_csi"]);
  expect(modules.length).toBe(catalogue.length + 1);
  const { settings } = loadConfigFile(file, { modules: moduleRegistry(modules) });
  expect(settings.hosts.get("localhost")!.modules.get("mod_example_notes")).toMatchObject({ maxNotes: 7 });
});

test("without such files there are the modules of the house", async () => {
  expect(await knownModules(configuration("[]"))).toBe(catalogue);
});

test("each file that cannot be used is named, and why", async () => {
  writeFileSync(join(folder, "empty.js"), "export const setup = () => undefined;\n");
  writeFileSync(join(folder, "broken.js"), "throw new Error('out of tea');\n");
  writeFileSync(join(folder, "taken.js"), "export const m = { name: 'mod_ping', options: {}, setup() {} };\n");
  const found = await complaints(configuration('["empty.js", "broken.js", "taken.js", "none.js"]'));
  expect(found.slice(0, 3)).toEqual([
    'meerkat.toml:3:17: general.module_files[0]: found "empty.js", which exports no module made by defineModule',
    'meerkat.toml:3:29: general.module_files[1]: found "broken.js", which cannot be loaded: out of tea',
    'meerkat.toml:3:42: general.module_files[2]: found "taken.js", whose mod_ping is there already; allowed: a name of its own',
  ]);
  expect(found[3]).toStartWith('meerkat.toml:3:54: general.module_files[3]: found "none.js", which cannot be loaded: ');
});

test("a file that is wrong altogether is left to those who read all of it", async () => {
  expect(await knownModules(configuration("[1]"))).toBe(catalogue);
  expect(await knownModules(configuration("["))).toBe(catalogue);
  expect(await knownModules(join(folder, "nowhere.toml"))).toBe(catalogue);
});
