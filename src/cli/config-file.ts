/** Reads a configuration for the commands that look at one. */
import type { Config } from "../config/load.ts";

export type ConfigReading =
  | { readonly config: Config; readonly problems: readonly []; readonly notes: readonly string[] }
  | { readonly config: undefined; readonly problems: readonly string[]; readonly notes: readonly [] };

/** What the file says, or each problem in a line that begins with its place; reads what `meerkat start` would read. */
export async function readConfig(file: string): Promise<ConfigReading> {
  // Every module of the house, because each declares its own options.
  const [{ ConfigError, loadConfigFile, problemText }, { moduleRegistry }, { knownModules }] = await Promise.all([
    import("../config/load.ts"),
    import("../config/option.ts"),
    import("../server/module-files.ts"),
  ]);
  try {
    const config = loadConfigFile(file, { modules: moduleRegistry(await knownModules(file)) });
    return { config, problems: [], notes: config.notes.map(problemText) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: undefined, problems: error.problems.map(problemText), notes: [] };
  }
}
