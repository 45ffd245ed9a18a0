/** Installs the configured modules of a host: each gets its context, and fills the host's extension points. */
import type { AccessRules } from "../config/access.ts";
import type { HttpPool } from "../config/settings.ts";
import type { InstalledModule, ModuleContext } from "../hooks/define-module.ts";
import type { MaybePromise } from "../hooks/effect.ts";
import { allHere, type Placement } from "../hooks/placement.ts";
import type { Log } from "../observe/log.ts";
import type { ModuleMetrics } from "../observe/metrics.ts";
import type { Host } from "../router/host.ts";
import type { Router } from "../router/route.ts";
import { carryOut } from "../router/stages.ts";
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { presence } from "../stanza/stanza.ts";
import type { GroupCommit } from "../store/group-commit.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import type { AccountDirectory } from "./account-directory.ts";

/** What all modules of a node share. */
export interface ModuleSurroundings {
  readonly router: Router;
  readonly store: Store;
  readonly writes: GroupCommit;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  /** The metrics of a module, by its name. */
  readonly metrics: (module: string) => ModuleMetrics;
  readonly accounts: AccountDirectory;
  readonly shapers: ReadonlyMap<string, number>;
  readonly httpPools: ReadonlyMap<string, HttpPool>;
  readonly registrationTimeoutMs: number;
  readonly nodeStartedAt: number;
  readonly dataDir: string;
  /** The base of URLs of a host's files. */
  uploadsUrl(domain: string): string | undefined;
  readonly cluster: ModuleCluster;
  /** Resolves when what any node took in before is in the database. */
  readonly written: () => Promise<boolean>;
}

/** What modules see of the other nodes. */
export interface ModuleCluster {
  readonly nodeNumber: number;
  /** Milliseconds by which some other node's clock is ahead of ours, as far as that is credible. */
  readonly aheadMs: number;
  notices(topic: string, heard: (key: string | undefined) => void): (key: string) => void;
  told(): undefined | Promise<void>;
  /** Resolves when the other nodes have written what they had to write. */
  written(): undefined | Promise<boolean>;
  placement(name: string): Placement;
}

/** A node that is alone. */
export const alone: ModuleCluster = {
  nodeNumber: 0,
  aheadMs: 0,
  notices: () => () => undefined,
  told: () => undefined,
  written: () => undefined,
  placement: () => allHere,
};

/** Returns what has to run, in reverse order, when the host stops. */
export function installModules(
  host: Host,
  modules: readonly InstalledModule[],
  access: AccessRules,
  surroundings: ModuleSurroundings,
): (() => MaybePromise<void>)[] {
  const { router } = surroundings;
  const names = new Set(modules.map((module) => module.definition.name));
  const stops: (() => MaybePromise<void>)[] = [];
  host.installed.push(...modules);
  for (const module of modules) {
    for (const required of module.definition.requires ?? []) {
      if (!names.has(required)) throw new Error(`${module.definition.name} needs ${required} on ${host.domain}`);
    }
    const context = contextFor(host, module, access, surroundings);
    const stop = module.definition.setup(host.registry, context as never);
    if (stop !== undefined) stops.unshift(stop);
  }
  for (const [domain, handler] of host.registry.domains) {
    if (router.domains.has(domain) || router.hosts.has(domain))
      throw new Error(`Two services want the domain ${domain}`);
    router.domains.set(domain, handler);
  }
  return stops;
}

/** What effects without a cause are carried out for. */
const nothing = presence({});

function contextFor(
  host: Host,
  module: InstalledModule,
  access: AccessRules,
  surroundings: ModuleSurroundings,
): ModuleContext<unknown> {
  const { router, accounts, log } = surroundings;
  return {
    domain: host.domain,
    address: host.address,
    options: module.options,
    store: surroundings.store,
    writes: surroundings.writes,
    clock: surroundings.clock,
    random: surroundings.random,
    log: log.child({ module: module.definition.name, host: host.domain }),
    metrics: surroundings.metrics(module.definition.name),
    access,
    shapers: surroundings.shapers,
    installed: host.installed,
    sessionsOf: (account: Jid) => router.sessions.of(account.bare),
    resourcesOf: (account: Jid) => router.resourcesOf(account),
    isAvailable: (account: Jid) => router.isAvailable(account),
    *allSessions() {
      for (const session of router.sessions.all()) if (session.host === host) yield session;
    },
    ask: (question, ...args) => host.registry.ask(question, ...args),
    askAll: (question, ...args) => host.registry.askAll(question, ...args),
    service: (name) => host.registry.service(name),
    rooms: host.registry.rooms,
    servedDomains: () => host.registry.domains.keys(),
    notices: (topic, heard) => surroundings.cluster.notices(`${host.domain} ${topic}`, heard),
    told: () => surroundings.cluster.told(),
    written: surroundings.written,
    writtenElsewhere: () => surroundings.cluster.written(),
    placement: (name) => surroundings.cluster.placement(name),
    clusterNow: () => surroundings.clock.now() + surroundings.cluster.aheadMs,
    nodeNumber: surroundings.cluster.nodeNumber,
    run: (effects, cause = nothing, origin) => {
      const done = carryOut(effects, cause, router, origin);
      return done instanceof Promise ? done.then(() => undefined) : undefined;
    },
    accountExists: (account) => accounts.isOpen(account),
    accounts,
    request: (type, to, payload, timeoutMs) => {
      const session = router.sessions.find(to);
      if (session === undefined && router.hosts.has(to.domain))
        return Promise.reject(new StanzaError("service-unavailable"));
      return router.requests.send(type, host.address, to, payload, timeoutMs, (request) => {
        if (session !== undefined) session.deliver(request);
        else void router.route(request, undefined);
      });
    },
    httpPools: surroundings.httpPools,
    registrationTimeoutMs: surroundings.registrationTimeoutMs,
    nodeStartedAt: surroundings.nodeStartedAt,
    dataDir: surroundings.dataDir,
    uploadsUrl: () => surroundings.uploadsUrl(host.domain),
  };
}
