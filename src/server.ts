/** The composition root: builds every part of a node in order, and disposes of them in reverse. */
import { mkdirSync } from "node:fs";
import { availableParallelism, hostname } from "node:os";
import { join, resolve } from "node:path";
import type { AdminContext } from "./admin/command.ts";
import { type Config, loadConfigFile } from "./config/load.ts";
import { moduleRegistry } from "./config/option.ts";
import type { Settings } from "./config/settings.ts";
import type { InstalledModule } from "./hooks/define-module.ts";
import { catalogue } from "./modules/catalogue.ts";
import { createLog, type RootLog } from "./observe/log.ts";
import { Metrics } from "./observe/metrics.ts";
import { systemClock } from "./runtime/bun/clock.ts";
import { systemRandom } from "./runtime/bun/random.ts";
import { turnBatch } from "./runtime/bun/turn.ts";
import { openAdminSocket } from "./server/admin-socket.ts";
import { Authentication } from "./server/authentication.ts";
import { loadCertificates } from "./server/certificates.ts";
import { type IncompleteAccount, KeyCompletion } from "./server/complete-keys.ts";
import { type HostPlan, startCore } from "./server/core.ts";
import { importUsers } from "./server/import-users.ts";
import { listenC2s, StrangerGate } from "./server/listen-c2s.ts";
import { listenHttp } from "./server/listen-http.ts";
import type { NodeParts } from "./server/node-parts.ts";
import { readLines } from "./server/read-lines.ts";
import { reload } from "./server/reload.ts";
import { secretMigrations, sharedSecret } from "./server/secrets.ts";
import type { StoreSettings } from "./store/settings.ts";
import { openStore } from "./store/store.ts";
import { C2sStream } from "./stream/c2s-stream.ts";
import { systemReason } from "./util/system-reason.ts";
import { TimerWheel } from "./util/timer-wheel.ts";
import { version } from "./util/version.ts";

export interface StartOptions {
  readonly configFile: string;
  readonly dataDir: string;
  readonly log?: RootLog;
}

export interface OpenPort {
  readonly option: string;
  readonly kind: "c2s" | "c2s-tls" | "http";
  readonly address: string;
  readonly port: number;
}

export interface RunningServer {
  /** What is open and what to do next, in lines for people. */
  summary(): string[];
  readonly ports: readonly OpenPort[];
  /** Resolves when the node has stopped, whoever asked. */
  readonly stopped: Promise<void>;
  stop(reason: string): Promise<void>;
  /** Reads certificates and configuration again; the log says what was taken up. */
  reload(): void;
}

/** What ends one part of the node. */
type Disposal = () => Promise<void> | void;

/** How long a closing connection may take to read what is queued for it. */
const lingerMs = 5_000;

/**
 * Starts a node. Throws `ConfigError` for a bad configuration, `PortTaken` or `CannotListen` for a port, and what the
 * store throws when its settings are wrong; whatever was opened before is closed again.
 */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const load = () => loadConfigFile(options.configFile, { modules: moduleRegistry(catalogue) });
  const config = load();
  const { settings, notes } = config;
  const log = options.log ?? createLog(settings.logLevel);
  for (const note of notes) log.warn({ option: note.option, line: note.line }, note.text);
  makeDataFolder(options.dataDir);
  const disposals: Disposal[] = [];
  try {
    return await build(config, load, options.dataDir, log, disposals);
  } catch (error) {
    for (const dispose of disposals.reverse()) await dispose();
    throw error;
  }
}

function makeDataFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    // What the system said is in the message; the cause would only repeat it.
    throw new Error(`the data folder ${folder} cannot be made: ${systemReason(error)}`);
  }
}

async function build(
  config: Config,
  load: () => Config,
  dataDir: string,
  log: RootLog,
  disposals: Disposal[],
): Promise<RunningServer> {
  const { settings } = config;
  const clock = systemClock;
  const random = systemRandom;
  const metrics = new Metrics(clock);
  disposals.push(() => metrics.stop());
  const store = await openStore(storeSettings(settings, dataDir), { clock, log, observe: metrics.storeQuery });
  disposals.push(() => store.close());
  const core = await startCore({
    clock,
    random,
    log,
    store,
    hosts: hostPlans(settings),
    migrations: secretMigrations,
    sessionsPerAccountMax: (account) =>
      settings.hosts.get(account.domain)!.access.number("max_user_sessions", account, settings.limits.userSessionsMax),
    requestsMax: settings.limits.iqPendingMax,
    bounced: (condition) => metrics.stanzaError(condition),
    rememberedSessionsMax: settings.limits.rememberedSessionsMax,
    registrationTimeoutMs: settings.registrationTimeoutMs,
    shapers: settings.shapers,
  });
  disposals.push(() => core.stop());
  const authentication = new Authentication({
    accounts: core.accounts,
    rows: core.accountRows,
    hasher: core.hasher,
    clock,
    random,
    decoySecret: await sharedSecret(store, random, "sasl decoys"),
    plans: hostPlans(settings).map((plan) => ({
      ...plan,
      mechanisms: settings.hosts.get(plan.domain)!.auth.saslMechanisms,
    })),
  });
  await authentication.refresh();
  const completion = new KeyCompletion({
    accounts: core.accountRows,
    clock,
    random,
    log,
    hashesOf: (domain) => settings.hosts.get(domain)?.auth.hashes ?? [],
    completed: () => authentication.refresh(),
  });
  disposals.push(() => completion.stop());
  const certificates = await loadCertificates(settings, dataDir, clock, log);
  disposals.push(() => certificates.stop());

  const { limits } = settings;
  const gate = new StrangerGate(limits.connectionsPerAddressMax, limits.unauthenticatedConnectionsMax);
  const wheel = new TimerWheel(clock, (error) => log.error({ err: error }, "a timeout failed"));
  disposals.push(() => wheel.stop());
  const node: NodeParts = {
    settings,
    dataDir,
    core,
    authentication,
    certificates,
    metrics,
    store,
    gate,
    log,
    clock,
    random,
    streams: {
      router: core.router,
      keeper: core.keeper,
      mechanisms: authentication.mechanisms,
      clock,
      wheel,
      random,
      log,
      observer: metrics,
      strangers: gate,
      language: settings.language,
      defaultHost: core.router.hosts.get(settings.defaultDomain)!,
    },
    sockets: {
      batch: turnBatch((error) => log.error({ err: error }, "a write failed")),
      wheel,
      writeQueueBytesMax: limits.writeQueueBytesMax,
      lingerMs,
      failed: (error) => log.error({ err: error }, "a stream failed"),
    },
  };
  watch(node);

  let stopping: Promise<void> | undefined;
  let announce: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const stop = (reason: string): Promise<void> => {
    stopping ??= (async () => {
      log.info({ reason }, "stopping");
      for (const dispose of disposals.reverse()) await dispose();
      log.info({}, "stopped");
      log.flush();
      announce();
    })();
    return stopping;
  };
  const ports: OpenPort[] = [];
  for (const plan of settings.listen.c2s) {
    const listener = listenC2s(node, plan);
    disposals.push(() => listener.stop());
    ports.push({
      option: plan.option,
      kind: plan.tls?.mode === "tls" ? "c2s-tls" : "c2s",
      address: plan.ipAddress,
      port: listener.port,
    });
  }
  for (const plan of settings.listen.http) {
    const listener = listenHttp(node, plan);
    disposals.push(() => listener.abort());
    ports.push({ option: plan.option, kind: "http", address: plan.ipAddress, port: listener.port });
  }
  const admin = await openAdminSocket(
    join(dataDir, "meerkat.sock"),
    adminContext(node, completion, (reason) => void stop(reason)),
    log,
  );
  disposals.push(() => admin.stop());
  for (const port of ports)
    log.info({ option: port.option, address: port.address, port: port.port }, `${port.kind} open`);
  const again = () => reload({ running: config, log, certificates, load });
  return { ports, stopped, stop, reload: again, summary: () => summaryOf(node, ports) };
}

function storeSettings(settings: Settings, dataDir: string): StoreSettings {
  const { database } = settings;
  if (database.driver !== "sqlite" || database.path === ":memory:") return database;
  return { ...database, path: resolve(dataDir, database.path) };
}

function hostPlans(settings: Settings): HostPlan[] {
  return Array.from(settings.hosts.values(), (host) => ({
    domain: host.domain,
    modules: catalogue
      .filter((definition) => host.modules.has(definition.name))
      .map((definition): InstalledModule => ({ definition, options: host.modules.get(definition.name)! })),
    access: host.access,
    hashes: host.auth.hashes,
    iterations: host.auth.scramIterations,
    usersMax: host.auth.usersMax,
  }));
}

/** Connects the numbers that parts of the node keep to the metrics. */
function watch({ core, metrics, store }: NodeParts): void {
  const { counters, sessions } = core.router;
  metrics.read({
    sessions: () => sessions.size,
    resumableSessions: () => core.keeper.resumptions.detached,
    routed: () => counters.routed,
    bounced: () => counters.bounced,
    dropped: () => counters.dropped,
    failed: () => counters.failures,
    storeQueueLength: () => store.stats.waiting,
    storeReady: () => (store.ready ? 1 : 0),
    writeQueueBytes: () => {
      let bytes = 0;
      for (const { link } of sessions.all()) if (link instanceof C2sStream) bytes += link.socket.queuedBytes;
      return bytes;
    },
  });
}

function adminContext(node: NodeParts, completion: KeyCompletion, stop: (reason: string) => void): AdminContext {
  const { core, authentication, settings, log } = node;
  const { accounts } = core;
  return {
    router: core.router,
    keeper: core.keeper,
    accounts: {
      address: (domain, username) => accounts.address(domain, username),
      register: (account, password) => accounts.register(account, password),
      changePassword: (account, password) => accounts.changePassword(account, password),
      remove: (account) => accounts.remove(account),
      exists: (account) => accounts.exists(account),
      list: (domain, limit, index) => accounts.list(domain, limit, index),
      count: (domain) => accounts.count(domain),
      checkPassword: (account, password) => authentication.checkPassword(account, password),
      async importUsers(lines, progress) {
        const parts = {
          accounts: core.accountRows,
          random: node.random,
          parallel: availableParallelism(),
          hashesOf: (domain: string) => settings.hosts.get(domain)?.auth.hashes,
          incomplete: (account: IncompleteAccount) => completion.add(account),
        };
        try {
          return await importUsers(parts, lines, progress);
        } finally {
          await authentication.refresh();
          completion.start();
        }
      },
    },
    clock: node.clock,
    random: node.random,
    nodeName: hostname(),
    version,
    startedAt: core.startedAt,
    get logLevel() {
      return log.level;
    },
    set logLevel(level: string) {
      log.level = level as RootLog["level"];
    },
    counters: core.router.counters,
    stop: () => stop("asked to by an administrator"),
    readLines,
  };
}

function summaryOf({ settings, certificates, dataDir }: NodeParts, ports: readonly OpenPort[]): string[] {
  const domains = [...settings.hosts.keys()];
  const lines = [`Meerkat ${version} serves ${domains.join(", ")}. Its data is in ${dataDir}.`, ""];
  for (const { kind, address, port } of ports) {
    const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;
    const what = {
      c2s: "XMPP clients (STARTTLS)",
      "c2s-tls": "XMPP clients (TLS)",
      http: "HTTP: WebSocket, web chat, health, metrics",
    }[kind];
    lines.push(`  ${where.padEnd(22)} ${what}`);
  }
  if (certificates.selfSigned) {
    lines.push(
      "",
      "The certificate is self-signed: clients will ask whether to trust it. docs/install.md says how to use your own.",
    );
  }
  const web = ports.find((port) => port.kind === "http");
  lines.push(
    "",
    `Make an account:  ./bin/meerkat ctl account registerUser --domain ${domains[0]} --username alice --password -`,
  );
  if (web !== undefined) lines.push(`Then chat:        http://localhost:${web.port}/chat`);
  lines.push("Stop with Ctrl-C.");
  return lines;
}
