/**
 * The metrics of one node, in the manner of Prometheus: all are declared here, but for those that modules add.
 *
 * What happens for each stanza is counted in plain numbers (`StreamCounters`), which are read when somebody scrapes;
 * nothing on that path calls the metrics library. Label values are bounded: a client cannot make up new ones.
 */
import { readdirSync, readFileSync } from "node:fs";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Clock, Timer } from "../util/clock.ts";
import { PlainHistogram } from "./plain-histogram.ts";
import { readCounter, readGauge } from "./read-metrics.ts";

export type Transport = "tcp" | "websocket";
/** How a listener encrypts. */
export type TlsMode = "none" | "starttls" | "starttls_required" | "tls";

/** What the streams of one listener count, each by adding to a field. */
export interface StreamCounters {
  /** Open now. */
  connections: number;
  bytesIn: number;
  bytesOut: number;
  messagesIn: number;
  messagesOut: number;
  presencesIn: number;
  presencesOut: number;
  iqsIn: number;
  iqsOut: number;
}

/** Numbers that others keep; read at each scrape. All that are missing are reported as 0. */
export interface MetricSources {
  /** Sessions open on this node. */
  sessions(): number;
  /** Sessions without a connection that wait to be resumed. */
  resumableSessions(): number;
  /** Stanzas the router has taken, answered with an error, dropped, failed on, and refused in overload, since the start. */
  routed(): number;
  bounced(): number;
  dropped(): number;
  failed(): number;
  overloaded(): number;
  /** Queries that wait for a connection to the database. */
  storeQueueLength(): number;
  /** 1 when the database answers, else 0. */
  storeReady(): number;
  /** Bytes waiting for clients that read too slowly. */
  writeQueueBytes(): number;
}

/** A number that only grows, of a module. */
export interface ModuleCounter {
  /** Adds `amount`; label values in the order they were declared. */
  add(amount: number, ...labels: string[]): void;
}

/** A distribution, of a module. */
export interface ModuleHistogram {
  observe(value: number, ...labels: string[]): void;
}

/** Adds metrics of one module: `pings_sent_total` of mod_ping is `meerkat_ping_pings_sent_total`. */
export interface ModuleMetrics {
  counter(name: string, help: string, labels?: readonly string[]): ModuleCounter;
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): ModuleHistogram;
  /** A number that is read at each scrape. A host that has the same one adds to it. */
  gauge(name: string, help: string, read: () => number): void;
  /** As a gauge, of a number that only grows. */
  total(name: string, help: string, read: () => number): void;
}

/** For where nobody scrapes. */
export const unwatched: ModuleMetrics = {
  counter: () => ({ add() {} }),
  histogram: () => ({ observe() {} }),
  gauge() {},
  total() {},
};

/** How often the lag of the event loop is measured, in milliseconds. */
const LAG_EVERY_MS = 500;
/** Different values one label may have; more become "other". */
const LABEL_VALUES_MAX = 200;

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class Metrics {
  readonly registry = new Registry();
  /** For the Content-Type of the answer to a scrape. */
  readonly contentType: string = this.registry.contentType;
  readonly #streams: { readonly transport: Transport; readonly tls: TlsMode; readonly counters: StreamCounters }[] = [];
  readonly #sources: Partial<MetricSources> = {};
  readonly #logins: BoundedCounter;
  readonly #streamErrors: BoundedCounter;
  readonly #stanzaErrors: BoundedCounter;
  readonly #storeErrors: BoundedCounter;
  readonly #storeSeconds: PlainHistogram;
  readonly #storeQueries = new Labels();
  readonly #ofModules = new Map<string, unknown>();
  readonly #lag: Timer;

  constructor(clock: Clock) {
    const { registry } = this;
    this.#declareStreams();
    const sources = this.#sources;
    const gauge = (name: string, help: string, read: () => number | undefined): void => {
      readGauge(registry, name, help, () => read() ?? 0);
    };
    const total = (name: string, help: string, read: () => number | undefined): void => {
      readCounter(registry, name, help, [], () => [[{}, read() ?? 0]]);
    };
    gauge("meerkat_sessions", "Sessions open on this node", () => sources.sessions?.());
    gauge("meerkat_sessions_resumable", "Sessions waiting to be resumed", () => sources.resumableSessions?.());
    total("meerkat_routed_total", "Stanzas the router has taken", () => sources.routed?.());
    total("meerkat_bounced_total", "Stanzas answered with an error by the router", () => sources.bounced?.());
    total("meerkat_dropped_total", "Stanzas dropped by rule", () => sources.dropped?.());
    total("meerkat_failures_total", "Stanzas on which the server itself failed", () => sources.failed?.());
    total("meerkat_overloaded_total", "Stanzas refused since too much waited for the database", () =>
      sources.overloaded?.(),
    );
    gauge("meerkat_store_queue_length", "Queries waiting for a database connection", () =>
      sources.storeQueueLength?.(),
    );
    gauge("meerkat_store_ready", "1 when the database answers", () => sources.storeReady?.());
    gauge("meerkat_write_queue_bytes", "Bytes waiting for slow clients", () => sources.writeQueueBytes?.());

    this.#logins = new BoundedCounter(registry, "meerkat_logins_total", "Logins", ["mechanism", "outcome"]);
    this.#streamErrors = new BoundedCounter(registry, "meerkat_stream_errors_total", "Streams closed with an error", [
      "condition",
    ]);
    this.#stanzaErrors = new BoundedCounter(registry, "meerkat_stanza_errors_total", "Stanza errors sent", [
      "condition",
    ]);
    this.#storeErrors = new BoundedCounter(registry, "meerkat_store_errors_total", "Queries that failed", ["query"]);
    this.#storeSeconds = new PlainHistogram(
      registry,
      "meerkat_store_seconds",
      "Duration of database queries",
      "query",
      SECONDS,
    );
    this.#lag = measureLag(registry, clock);
    declareProcess(registry, clock);
  }

  /** What the streams of a listener count with; each listener has its own. */
  streamCounters(transport: Transport, tls: TlsMode): StreamCounters {
    const counters: StreamCounters = {
      connections: 0,
      bytesIn: 0,
      bytesOut: 0,
      messagesIn: 0,
      messagesOut: 0,
      presencesIn: 0,
      presencesOut: 0,
      iqsIn: 0,
      iqsOut: 0,
    };
    this.#streams.push({ transport, tls, counters });
    return counters;
  }

  /** Connects numbers that others keep; a later call for the same number replaces the earlier. */
  read(sources: Partial<MetricSources>): void {
    Object.assign(this.#sources, sources);
  }

  login(mechanism: string, outcome: "success" | "failure"): void {
    this.#logins.add(1, mechanism, outcome);
  }

  streamError(condition: string): void {
    this.#streamErrors.add(1, condition);
  }

  stanzaError(condition: string): void {
    this.#stanzaErrors.add(1, condition);
  }

  /** To give to the store as its observer: every query, its milliseconds, and whether it succeeded. */
  readonly storeQuery = (query: string, ms: number, ok: boolean): void => {
    const label = this.#storeQueries.bounded(query);
    this.#storeSeconds.observe(label, ms / 1000);
    if (!ok) this.#storeErrors.add(1, label);
  };

  /**
   * For metrics of a module's own. Hosts share them: the second that declares a metric gets the first one's.
   * @param module its name in the configuration, `mod_ping`
   */
  forModule(module: string): ModuleMetrics {
    const prefix = `meerkat_${module.replace(/^mod_/, "")}_`;
    const once = <T>(name: string, make: (fullName: string) => T): T => {
      const found = this.#ofModules.get(prefix + name) as T | undefined;
      if (found !== undefined) return found;
      const made = make(prefix + name);
      this.#ofModules.set(prefix + name, made);
      return made;
    };
    const sum = (name: string, read: () => number, declare: (full: string, all: () => number) => void): void => {
      const readers = once(name, (full) => {
        const all: (() => number)[] = [];
        declare(full, () => all.reduce((total, each) => total + each(), 0));
        return all;
      });
      readers.push(read);
    };
    return {
      counter: (name, help, labels = []) => once(name, (full) => new BoundedCounter(this.registry, full, help, labels)),
      histogram: (name, help, buckets, labels = []) =>
        once(name, (full) => boundedHistogram(this.registry, full, help, buckets, labels)),
      gauge: (name, help, read) => {
        sum(name, read, (full, all) => readGauge(this.registry, full, help, all));
      },
      total: (name, help, read) => {
        sum(name, read, (full, all) => readCounter(this.registry, full, help, [], () => [[{}, all()]]));
      },
    };
  }

  /** All metrics in the text format of Prometheus. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  stop(): void {
    this.#lag.cancel();
    this.registry.clear();
  }

  #declareStreams(): void {
    const { registry } = this;
    const connections = new Gauge({
      name: "meerkat_connections",
      help: "Connections open now, by transport and the listener's encryption",
      labelNames: ["transport", "tls"],
      registers: [registry],
      collect: () => {
        connections.reset();
        for (const { transport, tls, counters } of this.#streams)
          connections.inc({ transport, tls }, counters.connections);
      },
    });
    const sum = (field: keyof StreamCounters): number =>
      this.#streams.reduce((total, { counters }) => total + counters[field], 0);
    readCounter(registry, "meerkat_stanzas_total", "Stanzas of clients", ["kind", "direction"], () => [
      [{ kind: "message", direction: "in" }, sum("messagesIn")],
      [{ kind: "message", direction: "out" }, sum("messagesOut")],
      [{ kind: "presence", direction: "in" }, sum("presencesIn")],
      [{ kind: "presence", direction: "out" }, sum("presencesOut")],
      [{ kind: "iq", direction: "in" }, sum("iqsIn")],
      [{ kind: "iq", direction: "out" }, sum("iqsOut")],
    ]);
    readCounter(registry, "meerkat_bytes_total", "Bytes of XML from and to clients", ["direction"], () => [
      [{ direction: "in" }, sum("bytesIn")],
      [{ direction: "out" }, sum("bytesOut")],
    ]);
  }
}

/** The values one label has had; beyond the most there may be, new ones are "other". */
class Labels {
  readonly #seen = new Set<string>();

  bounded(value: string): string {
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= LABEL_VALUES_MAX) return "other";
    this.#seen.add(value);
    return value;
  }
}

class BoundedCounter implements ModuleCounter {
  readonly #counter: Counter;
  readonly #labels: readonly Labels[];

  constructor(registry: Registry, name: string, help: string, labels: readonly string[]) {
    this.#counter = new Counter({ name, help, labelNames: [...labels], registers: [registry] });
    this.#labels = labels.map(() => new Labels());
  }

  add(amount: number, ...values: string[]): void {
    this.#counter.labels(...values.map((value, index) => this.#labels[index]!.bounded(value))).inc(amount);
  }
}

function boundedHistogram(
  registry: Registry,
  name: string,
  help: string,
  buckets: readonly number[],
  labels: readonly string[],
): ModuleHistogram {
  const histogram = new Histogram({
    name,
    help,
    buckets: [...buckets],
    labelNames: [...labels],
    registers: [registry],
  });
  const seen = labels.map(() => new Labels());
  return {
    observe: (value, ...values) =>
      histogram.labels(...values.map((label, index) => seen[index]!.bounded(label))).observe(value),
  };
}

/** How much later than asked a timer runs: the time a stanza may have to wait for its turn. */
function measureLag(registry: Registry, clock: Clock): Timer {
  const lag = new Histogram({
    name: "meerkat_event_loop_lag_seconds",
    help: "How late timers ran",
    buckets: SECONDS,
    registers: [registry],
  });
  let last = clock.monotonic();
  return clock.every(LAG_EVERY_MS, () => {
    const now = clock.monotonic();
    lag.observe(Math.max(0, now - last - LAG_EVERY_MS) / 1000);
    last = now;
  });
}

/** The metrics that Prometheus expects of every process, by their usual names. */
function declareProcess(registry: Registry, clock: Clock): void {
  const startedAt = clock.now() / 1000 - process.uptime();
  readCounter(registry, "process_cpu_seconds_total", "CPU time of the process in seconds", [], () => {
    const { user, system } = process.cpuUsage();
    return [[{}, (user + system) / 1e6]];
  });
  readGauge(registry, "process_start_time_seconds", "When the process started, since the epoch", () => startedAt);
  readGauge(registry, "process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());
  readGauge(registry, "process_heap_bytes", "Heap of JavaScript in use", () => process.memoryUsage().heapUsed);
  if (process.platform !== "linux") return;
  readGauge(registry, "process_open_fds", "Open file descriptors", () => readdirSync("/proc/self/fd").length);
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  if (limit !== null) readGauge(registry, "process_max_fds", "Most file descriptors", () => Number(limit[1]));
}
