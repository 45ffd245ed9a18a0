/** Modules outside of the source tree: the files that `general.module_files` names are loaded before the rest of the configuration is read. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parse } from "smol-toml";
import { ConfigError } from "../config/load.ts";
import { findPositions, pathText } from "../config/positions.ts";
import type { Problem } from "../config/resolve.ts";
import { type AnyModule, catalogue, catalogueWith } from "../modules/catalogue.ts";

/**
 * Every module that a node with this configuration knows.
 * @throws ConfigError naming each file that cannot be loaded or has no module in it.
 */
export async function knownModules(configFile: string): Promise<readonly AnyModule[]> {
  const { files, toml } = namedFiles(configFile);
  const others: AnyModule[] = [];
  const problems: Problem[] = [];
  for (const [index, file] of files.entries()) {
    const path = ["general", "module_files", index];
    const refuse = (text: string): void => {
      problems.push({ file: configFile, ...findPositions(toml).of(path), option: pathText(path), text });
    };
    try {
      const found = await modulesIn(resolve(dirname(configFile), file));
      if (found.length === 0) refuse(`found "${file}", which exports no module made by defineModule`);
      for (const module of found) {
        if ([...catalogue, ...others].some(({ name }) => name === module.name))
          refuse(`found "${file}", whose ${module.name} is there already; allowed: a name of its own`);
        else others.push(module);
      }
    } catch (error) {
      refuse(`found "${file}", which cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return catalogueWith(others);
}

/** What is wrong with the file itself is said when all of it is read. */
function namedFiles(configFile: string): { readonly files: readonly string[]; readonly toml: string } {
  try {
    const toml = readFileSync(configFile, "utf8");
    const { general } = parse(toml) as { general?: { module_files?: unknown } };
    const named = general?.module_files;
    const isRight = Array.isArray(named) && named.every((file) => typeof file === "string" && file !== "");
    return { files: isRight ? named : [], toml };
  } catch {
    return { files: [], toml: "" };
  }
}

async function modulesIn(file: string): Promise<AnyModule[]> {
  const exported = Object.values((await import(pathToFileURL(file).href)) as Record<string, unknown>);
  return exported.filter(isModule);
}

function isModule(value: unknown): value is AnyModule {
  if (typeof value !== "object" || value === null) return false;
  const { name, options, setup } = value as Partial<Record<keyof AnyModule, unknown>>;
  return (
    typeof name === "string" && name.startsWith("mod_") && typeof options === "object" && typeof setup === "function"
  );
}
