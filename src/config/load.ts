/** Reads a configuration file: TOML in, checked settings out, or everything that is wrong with it at once. */
import { readFileSync } from "node:fs";
import { dirname, resolve as resolvePath } from "node:path";
import { parse, TomlError } from "smol-toml";
import { systemReason } from "../util/system-reason.ts";
import { normalDomain } from "./checks.ts";
import { clusterSettings } from "./cluster.ts";
import { databaseSettings } from "./database.ts";
import { checkReferences, hostSettings, readHostConfigs, readModules } from "./hosts.ts";
import { FIXED_LIMITS, type Limits, limitConflicts } from "./limits.ts";
import { c2sListener, certificateFiles, checkAddresses, httpListener } from "./listeners.ts";
import type { ModuleSchemaRegistry } from "./option.ts";
import { findPositions } from "./positions.ts";
import { type Entry, type Note, note, type Problem, problem, type Reading, resolveTable } from "./resolve.ts";
import type { HostSettings, HttpPool, Settings } from "./settings.ts";
import { otherTopNames, type RootOptions, rootOptions } from "./spec.ts";

export interface LoadOptions {
  /** How messages name the file; files it names are relative to its folder. */
  readonly file?: string;
  /** The modules there are. */
  readonly modules: ModuleSchemaRegistry;
  /** For `${NAME}`; by default that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Reads a file that holds a secret; the path is absolute. */
  readonly readFile?: (path: string) => string;
}

/** A file that was taken. */
export interface Config {
  readonly settings: Settings;
  /** Every effective value with its origin, in the order of the reference; for `config show`. */
  readonly entries: readonly Entry[];
  /** What has no effect, or another one than it says. */
  readonly notes: readonly Note[];
}

/** A file that was not taken: `problems` in the order of the file, `message` one line for each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(problemText).join("\n"));
    this.problems = problems;
  }
}

/** `meerkat.toml:12:3: listen.c2s[0].port: found 70000; allowed: an integer from 0 to 65535`; also for notes. */
export function problemText({ file, line, column, option, text }: Problem): string {
  return `${file}:${line}:${column}: ${option === "" ? "" : `${option}: `}${text}`;
}

/**
 * Reads a configuration file.
 * @throws ConfigError when it cannot be read or something in it is wrong.
 */
export function loadConfigFile(file: string, options: Omit<LoadOptions, "file">): Config {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const reason = `the file cannot be read: ${systemReason(error)}`;
    throw new ConfigError([{ file, line: 1, column: 1, option: "", text: reason }]);
  }
  return loadConfig(text, { ...options, file });
}

/**
 * Checks a configuration.
 * @throws ConfigError with every problem found.
 */
export function loadConfig(toml: string, options: LoadOptions): Config {
  const file = options.file ?? "meerkat.toml";
  const raw = parseToml(toml, file);
  const absolute = (path: string): string => resolvePath(dirname(file), path);
  const readFile = options.readFile ?? ((path: string) => readFileSync(path, "utf8"));
  const reading: Reading = {
    file,
    positions: findPositions(toml),
    environment: options.environment ?? process.env,
    readSecret: (path) => readFile(absolute(path)),
    problems: [],
    notes: [],
    entries: [],
    references: [],
  };
  const { modules, host_config: hostConfigs, ...rest } = raw;
  const found = resolveTable(
    { shape: rootOptions, ...otherTopNames, others: ["modules", "host_config"] },
    rest,
    [],
    reading,
  ) as unknown as RootOptions;
  const general = readModules(modules, ["modules"], options.modules, reading);
  // What spans several options is checked only where each for itself is right.
  const domains = new Set((found.general?.hosts ?? []).flatMap((host) => normalDomain(String(host)) ?? []));
  const overrides = readHostConfigs(hostConfigs, domains, options.modules, reading);
  refuseProblems(reading);

  const shapers = new Map([["none", Number.POSITIVE_INFINITY]]);
  for (const [name, { maxRate }] of found.shaper) shapers.set(name, maxRate);
  checkReferences(found, overrides, shapers, reading);
  const authMethods = [found.auth, ...[...overrides.values()].flatMap(({ auth }) => auth ?? [])];
  const context = {
    reading,
    shapers,
    absolute,
    authMethods: [...new Set(authMethods.flatMap(({ methods }) => methods))],
  };
  const listen = Object.freeze({
    c2s: Object.freeze(found.listen.c2s.map((listener, index) => c2sListener(listener, index, context))),
    http: Object.freeze(found.listen.http.map((listener, index) => httpListener(listener, index, context))),
  });
  checkAddresses(
    [...listen.c2s, ...listen.http],
    [
      ...listen.c2s.map((_, index) => ["listen", "c2s", index]),
      ...listen.http.map((_, index) => ["listen", "http", index]),
    ],
    reading,
  );
  const limits: Limits = Object.freeze({ ...FIXED_LIMITS, ...found.limits });
  const clients = [...listen.c2s, ...listen.http.flatMap(({ handlers }) => handlers.webSocket)];
  if (clients.length === 0) note(reading, ["listen"], "takes no clients: there is no c2s and no WebSocket handler");
  else {
    const stanzaBytesMax = Math.max(...clients.map((client) => client.stanzaBytesMax));
    for (const { option, text } of limitConflicts(limits, stanzaBytesMax)) problem(reading, ["limits", option], text);
  }
  const defaults = { options: found, modules: general, certificates: certificates(found, domains, absolute, reading) };
  const hosts = new Map(
    [...domains].map((domain) => [domain, hostSettings(domain, domains, defaults, overrides.get(domain))]),
  );
  const settings: Settings = Object.freeze({
    file,
    logLevel: found.general.loglevel,
    processes: processes(found, reading),
    language: found.general.language,
    registrationTimeoutMs: found.general.registrationTimeoutMs,
    httpPools: httpPools(found),
    defaultDomain: defaultDomain(found, domains, reading),
    hosts,
    listen,
    database: databaseSettings(found.outgoingPools.rdbms.default, absolute, reading),
    cluster: clusterSettings(found.cluster, found.internalDatabases.cets, absolute, reading),
    shapers,
    limits,
  });
  refuseProblems(reading);
  return { settings, entries: reading.entries, notes: reading.notes };
}

/** One a core at the most by default, but an operator may know better. */
const processesMax = 256;

function processes({ general }: RootOptions, reading: Reading): number | "auto" {
  const found = general.processes;
  if (found === "auto") return found;
  if (typeof found === "number" && found >= 1 && found <= processesMax) return found;
  const text = `found ${JSON.stringify(found)}; allowed: an integer from 1 to ${processesMax}, or "auto"`;
  problem(reading, ["general", "processes"], text);
  return 1;
}

function parseToml(toml: string, file: string): Readonly<Record<string, unknown>> {
  try {
    return parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    throw new ConfigError([{ file, line: error.line, column: error.column, option: "", text: `not TOML: ${reason}` }]);
  }
}

function refuseProblems({ problems }: Reading): void {
  if (problems.length === 0) return;
  throw new ConfigError(problems.toSorted((one, other) => one.line - other.line || one.column - other.column));
}

function defaultDomain({ general }: RootOptions, domains: ReadonlySet<string>, reading: Reading): string {
  const [first] = domains;
  if (general.defaultServerDomain === undefined) return first!;
  const domain = normalDomain(general.defaultServerDomain)!;
  if (!domains.has(domain)) {
    const allowed = [...domains].map((name) => JSON.stringify(name)).join(", ");
    problem(
      reading,
      ["general", "default_server_domain"],
      `found "${domain}"; allowed: one of general.hosts, ${allowed}`,
    );
  }
  return domain;
}

function certificates(
  { general }: RootOptions,
  domains: ReadonlySet<string>,
  absolute: (path: string) => string,
  reading: Reading,
): Map<string, HostSettings["certificate"]> {
  const files = new Map<string, HostSettings["certificate"]>();
  general.domainCertfile.forEach(({ domain: written, certfile, keyfile }, index) => {
    const domain = normalDomain(written)!;
    const table = ["general", "domain_certfile", index];
    const path = [...table, "domain"];
    if (!domains.has(domain)) {
      const allowed = [...domains].map((name) => JSON.stringify(name)).join(", ");
      problem(reading, path, `found "${written}"; allowed: one of general.hosts, ${allowed}`);
    } else if (files.has(domain)) problem(reading, path, `found "${written}" twice; allowed: one certificate each`);
    files.set(domain, certificateFiles(table, certfile, keyfile, absolute));
  });
  return files;
}

function httpPools({ outgoingPools }: RootOptions): ReadonlyMap<string, HttpPool> {
  const pools = new Map<string, HttpPool>();
  for (const [name, { workers, connection }] of outgoingPools.http) {
    const url = `${connection.host.replace(/\/+$/, "")}/${connection.pathPrefix}`.replace(/([^:/])\/+/g, "$1/");
    pools.set(name, { url: url.replace(/\/+$/, ""), workers, requestTimeoutMs: connection.requestTimeoutMs });
  }
  return pools;
}
