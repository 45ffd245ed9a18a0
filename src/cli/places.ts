/**
 * Where the command finds things when it is not told: the same for `start` and for `ctl`, from any folder.
 * In a clone that is the clone itself; where Meerkat is installed as a dependency, it is the current folder, because
 * what lies inside `node_modules` does not survive the next installation.
 */
import { existsSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

export interface Surroundings {
  /** The folder of package.json. */
  readonly packageRoot: string;
  readonly currentFolder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  exists(path: string): boolean;
}

export function processSurroundings(): Surroundings {
  return {
    packageRoot: resolve(dirname(fileURLToPath(import.meta.url)), "../.."),
    currentFolder: process.cwd(),
    environment: process.env,
    exists: existsSync,
  };
}

function homeOf({ packageRoot, currentFolder }: Surroundings): string {
  return packageRoot.split(sep).includes("node_modules") ? currentFolder : packageRoot;
}

/** The data folder as an absolute path: what was given, else `MEERKAT_DATA`, else `data` in the clone. */
export function dataFolder(given: string | undefined, around = processSurroundings()): string {
  const named = given ?? (around.environment.MEERKAT_DATA || undefined);
  return named === undefined ? join(homeOf(around), "data") : resolve(around.currentFolder, named);
}

/**
 * The configuration file as an absolute path: what was given, else `MEERKAT_CONFIG`, else `meerkat.toml` in the
 * clone. An installed package falls back to the file it brought along.
 */
export function configFile(given: string | undefined, around = processSurroundings()): string {
  const named = given ?? (around.environment.MEERKAT_CONFIG || undefined);
  if (named !== undefined) return resolve(around.currentFolder, named);
  const own = join(homeOf(around), "meerkat.toml");
  return around.exists(own) ? own : join(around.packageRoot, "meerkat.toml");
}

/** The socket on which a node takes the commands of its operator. */
export function adminSocket(dataDir: string): string {
  return join(dataDir, "meerkat.sock");
}

/** Holds the process id of the node that runs with this data folder. */
export function pidFile(dataDir: string): string {
  return join(dataDir, "meerkat.pid");
}

/** How somebody in the same folder gives commands to the node of this data folder, as text for a shell. */
export function ctlInvocation(dataDir: string, around = processSurroundings()): string {
  const home = homeOf(around);
  const program = home === around.packageRoot ? near(join(home, "bin/meerkat"), around) : "npx meerkat";
  // The next terminal need not have the environment of this one.
  const data = dataDir === join(home, "data") ? "" : ` --data ${near(dataDir, around)}`;
  return `${program} ctl${data}`;
}

/** A path from the current folder where it lies in there. */
function near(path: string, { currentFolder }: Surroundings): string {
  const text = relative(currentFolder, path).startsWith("..") ? path : `./${relative(currentFolder, path)}`;
  return /^[\w./@:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
