/** The part of a node that has no sockets: hosts with their modules, router, sessions, accounts. Tests run it whole. */

import type { ScramHash } from "../auth/credentials.ts";
import { PasswordHasher } from "../auth/password-hashing.ts";
import type { AccessRules } from "../config/access.ts";
import type { HttpPool } from "../config/settings.ts";
import type { InstalledModule } from "../hooks/define-module.ts";
import type { MaybePromise } from "../hooks/effect.ts";
import type { Log } from "../observe/log.ts";
import { type ModuleMetrics, unwatched } from "../observe/metrics.ts";
import { Host } from "../router/host.ts";
import { PendingRequests } from "../router/pending-requests.ts";
import { Router } from "../router/route.ts";
import { carryOut } from "../router/stages.ts";
import { SessionTable } from "../session/session-table.ts";
import { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { presence } from "../stanza/stanza.ts";
import { Accounts, accountMigrations } from "../store/accounts.ts";
import { GroupCommit } from "../store/group-commit.ts";
import { type Migration, migrate } from "../store/migrations.ts";
import type { Store } from "../store/store.ts";
import { SessionKeeper } from "../stream/session-keeper.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import { AccountDirectory } from "./account-directory.ts";
import { alone, installModules, type ModuleCluster } from "./install-modules.ts";

export interface HostPlan {
  readonly domain: string;
  /** In the order of the catalogue. */
  readonly modules: readonly InstalledModule[];
  readonly access: AccessRules;
  readonly hashes: readonly ScramHash[];
  readonly iterations: number;
  readonly usersMax: number;
}

export interface CoreParts {
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  readonly store: Store;
  readonly hosts: readonly HostPlan[];
  /** Migrations of parts that are no modules. */
  readonly migrations?: readonly Migration[];
  readonly sessionsPerAccountMax: (account: Jid) => number;
  readonly requestsMax: number;
  /** The metrics of a module, by its name; by default nobody counts. */
  readonly metrics?: (module: string) => ModuleMetrics;
  /** Told the condition of every stanza error. */
  readonly bounced?: (condition: string) => void;
  /** `[general] registration_timeout`; by default 600,000. */
  readonly registrationTimeoutMs?: number;
  /** `[outgoing_pools.http]`; by default there are none. */
  readonly httpPools?: ReadonlyMap<string, HttpPool>;
  readonly rememberedSessionsMax: number;
  readonly unacknowledgedBytesMax: number;
  /** Bytes a second by the names of shapers; by default there are none. */
  readonly shapers?: ReadonlyMap<string, number>;
  /** The other nodes; by default there are none. */
  readonly cluster?: ModuleCluster;
  /** Where modules keep files; by default the working folder. */
  readonly dataDir?: string;
  /** The base of URLs of a host's files; by default no listener serves any. */
  readonly uploadsUrl?: (domain: string) => string | undefined;
}

export interface Core {
  readonly router: Router;
  readonly keeper: SessionKeeper;
  readonly accounts: AccountDirectory;
  readonly accountRows: Accounts;
  readonly hasher: PasswordHasher;
  readonly writes: GroupCommit;
  /** Resolves when what any node took in before is in the database. */
  written(): Promise<boolean>;
  readonly startedAt: number;
  /** Modules say a last word to those whose sessions are still there; once. */
  announceStop(): Promise<void>;
  /** Ends all sessions, then everything else in reverse order. The store is its owner's to close. */
  stop(): Promise<void>;
}

/** Brings the tables up to date, then builds every host. Throws what `migrate` throws. */
export async function startCore(parts: CoreParts): Promise<Core> {
  const { clock, random, log, store } = parts;
  await migrate(store, migrationsOf(parts), { clock });

  const startedAt = clock.now();
  const router = new Router(
    new SessionTable(),
    new PendingRequests(clock, random, parts.requestsMax),
    log,
    parts.bounced,
  );
  const keeper = new SessionKeeper(router, clock, log, {
    sessionsPerAccountMax: parts.sessionsPerAccountMax,
    isOpen: (account) => accounts.isOpen(account),
    rememberedMax: parts.rememberedSessionsMax,
    unacknowledgedBytesMax: parts.unacknowledgedBytesMax,
  });
  const accountRows = new Accounts(store);
  const hasher = new PasswordHasher();
  const writes = new GroupCommit(store, clock);
  const cluster = parts.cluster ?? alone;
  const written = async (): Promise<boolean> => {
    const elsewhere = cluster.written();
    await writes.flush();
    return (await elsewhere) ?? true;
  };
  const plans = new Map(parts.hosts.map((plan) => [plan.domain, plan]));
  const accounts = new AccountDirectory({
    accounts: accountRows,
    hasher,
    random,
    log,
    hosts: router.hosts,
    policyOf: (domain) => plans.get(domain)!,
    keeper: () => keeper,
    written,
  });
  const stops: (() => MaybePromise<void>)[] = [];
  for (const plan of parts.hosts) {
    const host = new Host(plan.domain, router);
    router.hosts.set(plan.domain, host);
    stops.unshift(
      ...installModules(host, plan.modules, plan.access, {
        router,
        store,
        writes,
        clock,
        random,
        log,
        metrics: parts.metrics ?? (() => unwatched),
        accounts,
        httpPools: parts.httpPools ?? new Map(),
        registrationTimeoutMs: parts.registrationTimeoutMs ?? 600_000,
        nodeStartedAt: startedAt,
        dataDir: parts.dataDir ?? ".",
        uploadsUrl: parts.uploadsUrl ?? (() => undefined),
        shapers: parts.shapers ?? new Map(),
        cluster,
        written,
      }),
    );
  }
  let announced: Promise<void> | undefined;
  const announceStop = (): Promise<void> => {
    announced ??= sayGoodbye(router, log);
    return announced;
  };
  return {
    router,
    keeper,
    accounts,
    accountRows,
    hasher,
    writes,
    written,
    startedAt,
    announceStop,
    async stop() {
      await announceStop();
      for (const session of [...router.sessions.all()]) {
        await keeper.close(session, new StreamError("system-shutdown"), "shutdown");
      }
      for (const stop of stops) await stop();
      keeper.stop();
      await writes.close();
    },
  };
}

async function sayGoodbye(router: Router, log: Log): Promise<void> {
  for (const host of router.hosts.values()) {
    for (const stopping of host.registry.stoppings) {
      try {
        await carryOut(stopping(), presence({}), router, undefined);
      } catch (error) {
        log.error({ err: error, host: host.domain }, "a module could not say its last word");
      }
    }
  }
}

/** Each migration once, however many hosts have its module. */
function migrationsOf(parts: CoreParts): Migration[] {
  const migrations = new Map<string, Migration>();
  for (const migration of accountMigrations) migrations.set(migration.name, migration);
  for (const migration of parts.migrations ?? []) migrations.set(migration.name, migration);
  for (const plan of parts.hosts) {
    for (const { definition } of plan.modules) {
      for (const migration of definition.migrations ?? []) migrations.set(migration.name, migration);
    }
  }
  return [...migrations.values()];
}
