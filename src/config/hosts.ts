/** `[[host_config]]` and `[modules]`: what holds for each domain. */
import {
  type AccessClause,
  AccessRules,
  type AclEntry,
  mergeRule,
  PREDEFINED_ACLS,
  PREDEFINED_RULES,
} from "./access.ts";
import { normalDomain } from "./checks.ts";
import { MODULE_BACKENDS_IGNORED, MODULE_IGNORED, MODULE_OPTIONS_IGNORED, MONGOOSEIM_MODULES } from "./mongooseim.ts";
import type { ModuleSchema, ModuleSchemaRegistry, Reasons } from "./option.ts";
import type { Path } from "./positions.ts";
import {
  choices,
  foundText,
  isTable,
  mark,
  NOT_YET,
  note,
  problem,
  type Reading,
  resolveTable,
  unknownText,
} from "./resolve.ts";
import type { AuthSettings, HostSettings, ModuleOptions, PasswordHash } from "./settings.ts";
import { hostOptions, type RootOptions } from "./spec.ts";

type AuthOptions = RootOptions["auth"];
type Acls = ReadonlyMap<string, readonly AclEntry[]>;
type Rules = ReadonlyMap<string, readonly AccessClause[]>;

/** One checked `[[host_config]]`. */
interface HostOverrides {
  readonly path: Path;
  readonly auth: AuthOptions | undefined;
  readonly modules: ModuleOptions | undefined;
  readonly acl: Acls;
  readonly access: Rules;
}

const HOST_UNSUPPORTED: Reasons = {
  host_type: 'name the domain: host = "…"',
  s2s: "there is no federation yet",
  outgoing_pools: "one database serves all hosts",
  shaper: "shapers are global; define it in [shaper]",
};

/** Reads `[modules]` of the file or of a host; options are those the modules declare. */
export function readModules(raw: unknown, path: Path, registry: ModuleSchemaRegistry, reading: Reading): ModuleOptions {
  const modules = new Map<string, Readonly<Record<string, unknown>>>();
  if (raw === undefined) return modules;
  if (!isTable(raw)) {
    problem(reading, path, `found ${foundText(raw)}; allowed: a table`);
    return modules;
  }
  for (const [name, options] of Object.entries(raw)) {
    const place = [...path, name];
    const schema = registry.get(name);
    if (schema === undefined) {
      const known = MONGOOSEIM_MODULES.includes(name);
      problem(reading, place, known ? NOT_YET : unknownText("module", name, registry.keys()));
    } else if (!isTable(options)) problem(reading, place, `found ${foundText(options)}; allowed: a table`);
    else modules.set(name, readModule(name, schema, options, place, reading));
  }
  return modules;
}

function readModule(
  name: string,
  { options: shape, summary }: ModuleSchema,
  raw: Readonly<Record<string, unknown>>,
  path: Path,
  reading: Reading,
): Readonly<Record<string, unknown>> {
  mark(reading, path, { kind: "table", shape, doc: summary ?? "" });
  const ignored = { ...MODULE_IGNORED, ...MODULE_OPTIONS_IGNORED[name] };
  const { backend, ...rest } = raw;
  if (backend === undefined || Object.hasOwn(shape, "backend")) {
    return resolveTable({ shape, ignored }, raw, path, reading);
  }
  if (typeof backend === "string" && MODULE_BACKENDS_IGNORED.includes(backend)) {
    note(
      reading,
      [...path, "backend"],
      "has no effect: persistent data are in SQL, volatile ones replicated in memory",
    );
  } else problem(reading, [...path, "backend"], `found ${foundText(backend)}: ${NOT_YET}`);
  return resolveTable({ shape, ignored }, rest, path, reading);
}

/** Reads every `[[host_config]]`, by domain. */
export function readHostConfigs(
  raw: unknown,
  hosts: ReadonlySet<string>,
  registry: ModuleSchemaRegistry,
  reading: Reading,
): ReadonlyMap<string, HostOverrides> {
  const configs = new Map<string, HostOverrides>();
  if (raw === undefined) return configs;
  if (!Array.isArray(raw)) {
    problem(reading, ["host_config"], `found ${foundText(raw)}; allowed: an array of tables, [[host_config]]`);
    return configs;
  }
  raw.forEach((found: unknown, index) => {
    const path = ["host_config", index];
    if (!isTable(found)) {
      problem(reading, path, `found ${foundText(found)}; allowed: a table`);
      return;
    }
    const { modules, ...rest } = found;
    const options = resolveTable(
      { shape: hostOptions, unsupported: HOST_UNSUPPORTED, others: ["modules"] },
      rest,
      path,
      reading,
    ) as unknown as Omit<HostOverrides, "path" | "modules"> & { readonly host: string | undefined };
    const own = modules === undefined ? undefined : readModules(modules, [...path, "modules"], registry, reading);
    const { host } = options;
    const domain = host === undefined ? undefined : normalDomain(host);
    if (domain === undefined) return; // which is said already
    if (!hosts.has(domain) && hosts.size > 0) {
      const allowed = [...hosts].map((name) => JSON.stringify(name)).join(", ");
      problem(reading, [...path, "host"], `found ${foundText(host)}; allowed: one of general.hosts, ${allowed}`);
    } else if (configs.has(domain)) {
      problem(reading, [...path, "host"], `found ${foundText(host)} twice; allowed: one host_config each`);
    }
    configs.set(domain, { ...options, path, modules: own });
  });
  return configs;
}

/** What all hosts begin with. */
export interface HostDefaults {
  readonly options: RootOptions;
  readonly modules: ModuleOptions;
  readonly certificates: ReadonlyMap<string, HostSettings["certificate"]>;
}

/** The settings of one host; section 3.2 of its rules: `auth` and `modules` are replaced, lists and rules are joined. */
export function hostSettings(
  domain: string,
  hosts: ReadonlySet<string>,
  { options, modules, certificates }: HostDefaults,
  own: HostOverrides | undefined,
): HostSettings {
  const acls = new Map(options.acl as Acls);
  for (const [name, entries] of own?.acl ?? []) acls.set(name, [...(acls.get(name) ?? []), ...entries]);
  const rules = new Map(options.access as Rules);
  for (const [name, clauses] of own?.access ?? []) rules.set(name, mergeRule(rules.get(name) ?? [], clauses));
  return Object.freeze({
    domain,
    auth: authSettings(own?.auth ?? options.auth),
    modules: own?.modules ?? modules,
    access: new AccessRules(domain, hosts, acls, rules),
    certificate: certificates.get(domain),
  });
}

/** Whatever is named must exist: lists of clauses, rules and shapers of options. */
export function checkReferences(
  options: RootOptions,
  configs: ReadonlyMap<string, HostOverrides>,
  shapers: ReadonlyMap<string, number>,
  reading: Reading,
): void {
  const checkClauses = (rules: Rules, path: Path, lists: Iterable<string>): void => {
    const known = new Set(lists);
    for (const [rule, clauses] of rules) {
      clauses.forEach(({ acl }, index) => {
        if (!known.has(acl))
          problem(reading, [...path, "access", rule, index, "acl"], missing("access list", acl, known));
      });
    }
  };
  const acls = [...PREDEFINED_ACLS.keys(), ...options.acl.keys()];
  checkClauses(options.access as Rules, [], acls);
  const rules = new Set([...PREDEFINED_RULES.keys(), ...options.access.keys()]);
  const rulesOfHost = new Map<string | number, Set<string>>();
  for (const config of configs.values()) {
    checkClauses(config.access, config.path, [...acls, ...config.acl.keys()]);
    rulesOfHost.set(config.path[1]!, new Set([...rules, ...config.access.keys()]));
  }
  for (const { path, kind, name } of reading.references) {
    if (kind === "shaper") {
      if (!shapers.has(name)) problem(reading, path, missing("shaper", name, shapers.keys()));
    } else {
      // Options of a host may name its own rules; those outside of hosts must be defined for all.
      const known = (path[0] === "host_config" ? rulesOfHost.get(path[1]!) : undefined) ?? rules;
      if (!known.has(name)) problem(reading, path, missing("access rule", name, known));
    }
  }
}

const missing = (what: string, name: string, known: Iterable<string>): string =>
  `found "${name}", but there is no such ${what}${choices(name, known)}`;

const HASHES: Readonly<Record<string, PasswordHash>> = {
  sha: "sha1",
  sha224: "sha224",
  sha256: "sha256",
  sha384: "sha384",
  sha512: "sha512",
};

function authSettings(auth: AuthOptions): AuthSettings {
  return Object.freeze({
    hashes: Object.freeze(auth.password.hash.map((name) => HASHES[name]!)),
    scramIterations: auth.scramIterations,
    saslMechanisms: auth.saslMechanisms,
    usersMax: auth.maxUsersPerDomain,
  });
}
