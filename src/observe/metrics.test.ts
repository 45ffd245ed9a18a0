/** Metrics as Prometheus reads them. */
import { describe, expect, test } from "bun:test";
import { SimClock } from "../runtime/sim/clock.ts";
import { Metrics } from "./metrics.ts";

/** The value of one line of the text format; undefined when it is not there. */
async function value(metrics: Metrics, line: string): Promise<number | undefined> {
  const found = (await metrics.text()).split("\n").find((each) => each.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

const started = () => new Metrics(new SimClock());

describe("streams", () => {
  test("count in plain fields, which a scrape sums over listeners", async () => {
    const metrics = started();
    const tcp = metrics.streamCounters("tcp", "starttls");
    const second = metrics.streamCounters("tcp", "starttls");
    const web = metrics.streamCounters("websocket", "none");
    tcp.connections = 2;
    second.connections++;
    web.connections = 5;
    tcp.messagesIn = 10;
    web.messagesIn = 1;
    web.iqsOut = 4;
    tcp.bytesOut = 1000;
    expect(await value(metrics, 'meerkat_connections{transport="tcp",tls="starttls"}')).toBe(3);
    expect(await value(metrics, 'meerkat_connections{transport="websocket",tls="none"}')).toBe(5);
    expect(await value(metrics, 'meerkat_stanzas_total{kind="message",direction="in"}')).toBe(11);
    expect(await value(metrics, 'meerkat_stanzas_total{kind="iq",direction="out"}')).toBe(4);
    expect(await value(metrics, 'meerkat_stanzas_total{kind="presence",direction="out"}')).toBe(0);
    expect(await value(metrics, 'meerkat_bytes_total{direction="out"}')).toBe(1000);
    tcp.connections = 0;
    tcp.messagesIn++;
    expect(await value(metrics, 'meerkat_connections{transport="tcp",tls="starttls"}')).toBe(1);
    expect(await value(metrics, 'meerkat_stanzas_total{kind="message",direction="in"}')).toBe(12);
    metrics.stop();
  });

  test("logins and errors by name", async () => {
    const metrics = started();
    metrics.login("PLAIN", "success");
    metrics.login("PLAIN", "success");
    metrics.login("PLAIN", "failure");
    metrics.streamError("policy-violation");
    metrics.stanzaError("item-not-found");
    expect(await value(metrics, 'meerkat_logins_total{mechanism="PLAIN",outcome="success"}')).toBe(2);
    expect(await value(metrics, 'meerkat_logins_total{mechanism="PLAIN",outcome="failure"}')).toBe(1);
    expect(await value(metrics, 'meerkat_stream_errors_total{condition="policy-violation"}')).toBe(1);
    expect(await value(metrics, 'meerkat_stanza_errors_total{condition="item-not-found"}')).toBe(1);
    metrics.stop();
  });
});

test("numbers that others keep are read at each scrape, and are 0 until somebody does", async () => {
  const metrics = started();
  expect(await value(metrics, "meerkat_sessions")).toBe(0);
  let sessions = 3;
  metrics.read({ sessions: () => sessions, routed: () => 100, storeQueueLength: () => 7 });
  metrics.read({ storeReady: () => 1 });
  expect(await value(metrics, "meerkat_sessions")).toBe(3);
  sessions = 2;
  expect(await value(metrics, "meerkat_sessions")).toBe(2);
  expect(await value(metrics, "meerkat_routed_total")).toBe(100);
  expect(await value(metrics, "meerkat_store_queue_length")).toBe(7);
  expect(await value(metrics, "meerkat_store_ready")).toBe(1);
  expect(await value(metrics, "meerkat_write_queue_bytes")).toBe(0);
  metrics.stop();
});

test("queries are timed in seconds, failures counted", async () => {
  const metrics = started();
  const { storeQuery } = metrics;
  storeQuery("select users", 4, true);
  storeQuery("select users", 40, false);
  expect(await value(metrics, 'meerkat_store_seconds_sum{query="select users"}')).toBeCloseTo(0.044);
  expect(await value(metrics, 'meerkat_store_seconds_bucket{le="0.005",query="select users"}')).toBe(1);
  expect(await value(metrics, 'meerkat_store_errors_total{query="select users"}')).toBe(1);
  metrics.stop();
});

test("a client cannot make up endless label values", async () => {
  const metrics = started();
  for (let index = 0; index < 1000; index++) {
    metrics.login(`X-${index}`, "failure");
    metrics.storeQuery(`q${index}`, 1, true);
  }
  const text = await metrics.text();
  expect(text.match(/^meerkat_logins_total\{/gm)).toHaveLength(201);
  expect(text.match(/^meerkat_store_seconds_count\{/gm)).toHaveLength(201);
  expect(await value(metrics, 'meerkat_logins_total{mechanism="other",outcome="failure"}')).toBe(800);
  metrics.stop();
});

test("the lag of the event loop is how late timers run", async () => {
  const clock = new SimClock();
  const late = { ...lateBy(clock, 300) };
  const metrics = new Metrics(late);
  clock.advance(500);
  expect(await value(metrics, "meerkat_event_loop_lag_seconds_count")).toBe(1);
  expect(await value(metrics, "meerkat_event_loop_lag_seconds_sum")).toBeCloseTo(0.3);
  metrics.stop();
  clock.advance(5000);
  expect(await metrics.text()).toBe("\n");
});

/** A clock on which, when a timer runs, `ms` more have passed than it asked for. */
function lateBy(clock: SimClock, ms: number) {
  let extra = 0;
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic() + extra,
    after: (wait: number, run: () => void) => clock.after(wait, run),
    every: (wait: number, run: () => void) =>
      clock.every(wait, () => {
        extra += ms;
        run();
      }),
  };
}

describe("modules", () => {
  test("add their own, shared by the hosts", async () => {
    const metrics = started();
    const first = metrics.forModule("mod_ping");
    const second = metrics.forModule("mod_ping");
    first.counter("sent_total", "Pings sent", ["outcome"]).add(1, "ok");
    second.counter("sent_total", "Pings sent", ["outcome"]).add(2, "ok");
    first.gauge("waiting", "Pings waiting", () => 3);
    second.gauge("waiting", "Pings waiting", () => 4);
    second.histogram("seconds", "Round trip", [0.1, 1], ["host"]).observe(0.5, "localhost");
    expect(await value(metrics, 'meerkat_ping_sent_total{outcome="ok"}')).toBe(3);
    first.total("lost_total", "Pings lost", () => 1);
    second.total("lost_total", "Pings lost", () => 5);
    expect(await value(metrics, "meerkat_ping_lost_total")).toBe(6);
    expect(await metrics.text()).toContain("# TYPE meerkat_ping_lost_total counter");
    expect(await value(metrics, "meerkat_ping_waiting")).toBe(7);
    expect(await value(metrics, 'meerkat_ping_seconds_bucket{le="0.1",host="localhost"}')).toBe(0);
    expect(await value(metrics, 'meerkat_ping_seconds_bucket{le="1",host="localhost"}')).toBe(1);
    metrics.stop();
  });
});

test("two nodes in one process do not share anything", async () => {
  const one = started();
  const other = started();
  one.login("PLAIN", "success");
  expect(await value(other, 'meerkat_logins_total{mechanism="PLAIN",outcome="success"}')).toBeUndefined();
  one.stop();
  expect(await value(other, "meerkat_sessions")).toBe(0);
  other.stop();
});

test("the process is there by its usual names, and every metric has a help line", async () => {
  const metrics = started();
  expect(await value(metrics, "process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
  expect(await value(metrics, "process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(await value(metrics, "process_start_time_seconds")).toBeGreaterThan(1_600_000_000);
  const text = await metrics.text();
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm)) {
    expect(name).toMatch(/^(meerkat|process)_[a-z_]+$/);
    expect(text).toContain(`# HELP ${name} `);
  }
  expect(metrics.contentType).toContain("text/plain");
  metrics.stop();
});
