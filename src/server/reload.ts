/** SIGHUP: what of the configuration can change while the node runs is taken up, and the log says what cannot. */
import { type Config, ConfigError, problemText } from "../config/load.ts";
import { pathText } from "../config/positions.ts";
import type { Entry } from "../config/resolve.ts";
import type { RootLog } from "../observe/log.ts";
import type { NodeCertificates } from "./certificates.ts";

export interface ReloadParts {
  /** As the node was started with it. */
  readonly running: Config;
  readonly log: RootLog;
  readonly certificates: Pick<NodeCertificates, "reload">;
  /** Reads the file again. Throws `ConfigError`. */
  load(): Config;
}

/** Takes up certificates and the log level. A bad file changes nothing but the certificates. */
export function reload({ running, log, certificates, load }: ReloadParts): void {
  try {
    certificates.reload();
    log.info({}, "certificates were read again");
  } catch (error) {
    log.error({ err: error }, "a certificate cannot be used; the old ones stay");
  }
  let fresh: Config;
  try {
    fresh = load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(problemText);
    log.error(
      { problems },
      "the configuration was not read again, because it is wrong; the node goes on with the old one",
    );
    return;
  }
  log.level = fresh.settings.logLevel;
  const waiting = changedOptions(running.entries, fresh.entries).filter((option) => option !== "general.loglevel");
  if (waiting.length === 0) log.info({ loglevel: log.level }, "the configuration was read again");
  else
    log.warn(
      { loglevel: log.level, options: waiting },
      "the configuration was read again; these options need a restart",
    );
}

/**
 * The names of options whose effective values differ, in the order of the reference; those that are gone come last. What
 * came or went as a whole, such as a module or a listener, is named alone.
 */
export function changedOptions(before: readonly Entry[], after: readonly Entry[]): string[] {
  const [old, fresh] = [before, after].map((entries) => new Map(entries.map((entry) => [pathText(entry.path), entry])));
  const changed = new Set<string>();
  for (const [name, entry] of fresh!) {
    const former = old!.get(name);
    if (former === undefined) changed.add(largestOnlyIn(entry, old!));
    else if (comparable(former) !== comparable(entry)) changed.add(name);
  }
  for (const [name, entry] of old!) if (!fresh!.has(name)) changed.add(largestOnlyIn(entry, fresh!));
  return [...changed];
}

/** The name of the largest thing around this option of which the other file has nothing. */
function largestOnlyIn({ path }: Entry, other: ReadonlyMap<string, Entry>): string {
  for (let length = 1; length < path.length; length++) {
    const name = pathText(path.slice(0, length));
    const inside = (option: string) =>
      option === name || option.startsWith(`${name}.`) || option.startsWith(`${name}[`);
    if (![...other.keys()].some(inside)) return name;
  }
  return pathText(path);
}

/** A table is there or not; what is in it has entries of its own. */
function comparable({ option, value }: Entry): string {
  if (option.kind === "table") return "table";
  return JSON.stringify(value, (_, part) => (part === Number.POSITIVE_INFINITY ? "infinity" : part)) ?? "absent";
}
