/** The composition root: builds every part of a node in order, and disposes of them in reverse. */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Config, loadConfigFile } from "./config/load.ts";
import { moduleRegistry } from "./config/option.ts";
import type { Settings } from "./config/settings.ts";
import type { InstalledModule } from "./hooks/define-module.ts";
import type { MetricsSource } from "./http/app.ts";
import type { AnyModule } from "./modules/catalogue.ts";
import { createLog, type RootLog } from "./observe/log.ts";
import { Metrics } from "./observe/metrics.ts";
import { systemClock } from "./runtime/bun/clock.ts";
import { systemRandom } from "./runtime/bun/random.ts";
import { turnBatch } from "./runtime/bun/turn.ts";
import { adminContext } from "./server/admin-context.ts";
import { adminSocketName, answerPart, openAdminSocket } from "./server/admin-socket.ts";
import { Authentication } from "./server/authentication.ts";
import { loadCertificates } from "./server/certificates.ts";
import { adminCluster } from "./server/cluster/admin-view.ts";
import { declareClusterMetrics } from "./server/cluster/cluster-metrics.ts";
import { type DrainReport, drain } from "./server/cluster/drain.ts";
import { nodeName, type OpenCluster, openCluster } from "./server/cluster/open-cluster.ts";
import { sharedPage } from "./server/cluster/shared-page.ts";
import { KeyCompletion } from "./server/complete-keys.ts";
import { type HostPlan, startCore } from "./server/core.ts";
import { listenC2s, StrangerGate } from "./server/listen-c2s.ts";
import { listenHttp } from "./server/listen-http.ts";
import { knownModules } from "./server/module-files.ts";
import type { NodeParts } from "./server/node-parts.ts";
import { processCount } from "./server/processes.ts";
import { reload } from "./server/reload.ts";
import { secretMigrations, sharedSecret } from "./server/secrets.ts";
import { type OpenPort, summaryOf } from "./server/summary.ts";
import { checkUploads, UploadPlaces } from "./server/uploads.ts";
import type { StoreSettings } from "./store/settings.ts";
import { openStore } from "./store/store.ts";
import { C2sStream } from "./stream/c2s-stream.ts";
import { systemReason } from "./util/system-reason.ts";
import { TimerWheel } from "./util/timer-wheel.ts";

export interface StartOptions {
  readonly configFile: string;
  readonly dataDir: string;
  readonly log?: RootLog;
  /** Which of several processes of this machine that act as one server, from 1; undefined for the only one. */
  readonly process?: number;
  /** Stops all processes of this machine; without it, an administrator's word stops this one. */
  readonly stopAll?: (reason: string) => void;
}

export interface RunningServer {
  /** What is open and what to do next, in lines for people; `ctl` is how they give commands. */
  summary(ctl: string): string[];
  readonly ports: readonly OpenPort[];
  /** Resolves when the node has stopped, whoever asked. */
  readonly stopped: Promise<void>;
  /** Moves sessions to other nodes first where there are any; `avoid` says which nodes stop too. */
  stop(reason: string, avoid?: (node: string) => boolean): Promise<void>;
  /** Reads certificates and configuration again; the log says what was taken up. */
  reload(): void;
}

/** What ends one part of the node. */
type Disposal = () => Promise<void> | void;

/** How long a closing connection may take to read what is queued for it. */
const lingerMs = 5_000;
/** How long a stopping node may take to move its sessions. */
const drainMs = 60_000;
/** Time for an answer to leave through the administration's socket. */
const answerMs = 200;

/**
 * Starts a node. Throws `ConfigError` for a bad configuration, `PortTaken` or `CannotListen` for a port, and what the
 * store throws when its settings are wrong; whatever was opened before is closed again.
 */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const modules = await knownModules(options.configFile);
  const load = () => loadConfigFile(options.configFile, { modules: moduleRegistry(modules) });
  const config = load();
  const { settings, notes } = config;
  const log = options.log ?? createLog(settings.logLevel, { process: options.process });
  for (const note of notes) log.warn({ option: note.option, line: note.line }, note.text);
  makeDataFolder(options.dataDir);
  const disposals: Disposal[] = [];
  try {
    return await build(config, modules, load, options, log, disposals);
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
  modules: readonly AnyModule[],
  load: () => Config,
  options: StartOptions,
  log: RootLog,
  disposals: Disposal[],
): Promise<RunningServer> {
  const { settings } = config;
  const { dataDir } = options;
  const clock = systemClock;
  const random = systemRandom;
  const metrics = new Metrics(clock);
  disposals.push(() => metrics.stop());
  const store = await openStore(storeSettings(settings, dataDir), { clock, log, observe: metrics.storeQuery });
  disposals.push(() => store.close());
  const cluster = await openCluster({ settings, dataDir, process: options.process, store, clock, random, log });
  if (cluster !== undefined) disposals.push(() => cluster.discovery.stop());
  const uploads = new UploadPlaces();
  const core = await startCore({
    clock,
    random,
    log,
    store,
    hosts: hostPlans(settings, modules),
    migrations: secretMigrations,
    sessionsPerAccountMax: (account) =>
      settings.hosts.get(account.domain)!.access.number("max_user_sessions", account, settings.limits.userSessionsMax),
    requestsMax: settings.limits.iqPendingMax,
    metrics: (module) => metrics.forModule(module),
    bounced: (condition) => metrics.stanzaError(condition),
    rememberedSessionsMax: settings.limits.rememberedSessionsMax,
    unacknowledgedBytesMax: settings.limits.unacknowledgedBytesMax,
    registrationTimeoutMs: settings.registrationTimeoutMs,
    shapers: settings.shapers,
    cluster: cluster?.node,
    httpPools: settings.httpPools,
    dataDir,
    uploadsUrl: (domain) => uploads.urlOf(domain),
  });
  if (cluster !== undefined) disposals.push(() => cluster.node.stop());
  disposals.push(() => core.stop());
  const authentication = new Authentication({
    accounts: core.accounts,
    rows: core.accountRows,
    hasher: core.hasher,
    clock,
    random,
    decoySecret: await sharedSecret(store, random, "sasl decoys"),
    log,
    notices: (topic, heard) => cluster?.node.notices(topic, heard) ?? (() => undefined),
    plans: hostPlans(settings, modules).map((plan) => ({
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
    completed: () => authentication.accountsChanged(),
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
    sharesPorts: options.process !== undefined,
    cluster,
    draining: false,
    core,
    authentication,
    certificates,
    metrics,
    metricsPage: pageOf(metrics, cluster, settings, options.process),
    store,
    gate,
    uploads,
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
  if (cluster !== undefined) {
    await cluster.node.join(core.router, core.keeper);
    const { node: own, discovery } = cluster;
    declareClusterMetrics(metrics, { cluster: own, discovery, draining: () => node.draining });
  }

  let stopping: Promise<void> | undefined;
  let announce: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const doors: Disposal[] = [];
  let drained: Promise<DrainReport> | undefined;
  const drainNode = (avoid: (name: string) => boolean = () => false): Promise<DrainReport> => {
    drained ??= (async () => {
      node.draining = true;
      for (const close of doors) await close();
      if (cluster === undefined) return { rooms: 0, moved: 0, closed: 0 };
      return drain({ core, cluster: cluster.node, clock, log, avoid, withinMs: drainMs });
    })();
    return drained;
  };
  const stop = (reason: string, avoid?: (name: string) => boolean): Promise<void> => {
    stopping ??= (async () => {
      log.info({ reason }, "stopping");
      await drainNode(avoid);
      for (const dispose of disposals.reverse()) await dispose();
      log.info({}, "stopped");
      log.flush();
      announce();
    })();
    return stopping;
  };
  /** The answer leaves before the node does. */
  const drainThenStop = async (): Promise<DrainReport> => {
    const report = await drainNode();
    clock.after(answerMs, () => void stop("drained by an administrator"));
    return report;
  };
  const ports: OpenPort[] = [];
  for (const plan of settings.listen.c2s) {
    const listener = listenC2s(node, plan);
    doors.push(() => listener.stop());
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
  checkUploads(settings, core.router.hosts, uploads, log);
  const context = adminContext({
    node,
    nodeName: nodeName(settings, options.process),
    completion,
    cluster:
      cluster &&
      adminCluster({
        cluster: cluster.node,
        discovery: cluster.discovery,
        log,
        draining: () => node.draining,
        drain: drainThenStop,
      }),
    stop: options.stopAll ?? ((reason) => void stop(reason)),
  });
  if (cluster !== undefined) {
    cluster.node.answerAdmin = (question) => answerPart(context, question, log);
    cluster.node.write = () => core.writes.flush();
  }
  const admin = await openAdminSocket(join(dataDir, adminSocketName(options.process)), context, log);
  disposals.push(() => admin.stop());
  for (const port of ports)
    log.info({ option: port.option, address: port.address, port: port.port }, `${port.kind} open`);
  const again = () => reload({ running: config, log, certificates, load });
  return { ports, stopped, stop, reload: again, summary: (ctl) => summaryOf(node, ports, ctl) };
}

function pageOf(
  metrics: Metrics,
  cluster: OpenCluster | undefined,
  settings: Settings,
  process: number | undefined,
): MetricsSource {
  if (cluster === undefined || process === undefined) return metrics;
  const seats = Array.from({ length: processCount(settings.processes) }, (_, at) => nodeName(settings, at + 1));
  return sharedPage(metrics, cluster.node, seats);
}

function storeSettings(settings: Settings, dataDir: string): StoreSettings {
  const { database } = settings;
  if (database.driver !== "sqlite" || database.path === ":memory:") return database;
  return { ...database, path: resolve(dataDir, database.path) };
}

function hostPlans(settings: Settings, known: readonly AnyModule[]): HostPlan[] {
  return Array.from(settings.hosts.values(), (host) => ({
    domain: host.domain,
    modules: known
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
    overloaded: () => counters.overloaded,
    storeQueueLength: () => store.stats.waiting,
    storeReady: () => (store.ready ? 1 : 0),
    writeQueueBytes: () => {
      let bytes = 0;
      for (const { link } of sessions.all()) if (link instanceof C2sStream) bytes += link.socket.queuedBytes;
      return bytes;
    },
  });
}
