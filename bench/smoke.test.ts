/** The whole bench once, small: a server is started, users log in and talk, and every message is accounted for. */
import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { resultOf } from "./report/result.ts";
import { tableOf } from "./report/table.ts";
import { run } from "./run.ts";
import { cluster } from "./scenarios/cluster.ts";
import { messages } from "./scenarios/messages.ts";
import { headline } from "./scenarios/scenario.ts";
import { meerkat } from "./servers/meerkat.ts";
import { natsInstalled } from "./servers/nats.ts";

test.skipIf(process.platform !== "linux")("messages between four users, plain, TLS, and at a rate", async () => {
  const cases = messages
    .cases({ quick: true, users: 4, seconds: 1 })
    .filter(({ name }) => !name.endsWith("10 outstanding"))
    .map((each) => ({ ...each, load: { ...each.load, warmupSeconds: 0 } }));
  const lines: string[] = [];
  const loadCore = availableParallelism() > 1 ? 1 : 0;
  const series = await run(messages, {
    kinds: [meerkat],
    cases,
    rounds: 1,
    serverCore: 0,
    loadCore,
    progress: (line) => lines.push(line),
  });
  expect(series.map(({ case: each }) => each.name)).toEqual([
    "plain, 1 outstanding",
    "TLS, 1 outstanding",
    "plain, 1,000/s open loop",
  ]);
  for (const { outcomes } of series) {
    const [outcome] = outcomes;
    expect(outcome!.verdict!.received).toBe(outcome!.verdict!.sent);
    expect(outcome!.units).toBeGreaterThan(100);
    expect(outcome!.latency!.p50Ms).toBeGreaterThan(0);
    expect(headline(messages, outcome!).value).toBeGreaterThan(0);
  }
  expect(lines.at(-1)).toContain("[3/3] messages, plain, 1,000/s open loop, meerkat, round 1:");
});

test.skipIf(process.platform !== "linux")(
  "a cluster: messages across, a joining node, logins",
  async () => {
    const wanted = [
      "one node, 1 outstanding",
      "sockets, pairs across, 1 outstanding",
      "NATS, pairs across, 1 outstanding",
      "joining 50,000 sessions",
      "1 node, a process",
      "2 nodes, processes",
      "4 nodes, tables simulated",
    ];
    const all = cluster.cases({ quick: true, users: 4, seconds: 1 });
    const cases = all
      .filter(({ name }) => wanted.includes(name))
      .map((each) => ("warmupSeconds" in each.load ? { ...each, load: { ...each.load, warmupSeconds: 0 } } : each));
    const loadCore = availableParallelism() > 1 ? 1 : 0;
    const kinds = [meerkat];
    const series = await run(cluster, { kinds, cases, rounds: 2, serverCore: 0, loadCore, progress: () => {} });
    const { rows } = resultOf(cluster, series, { command: "", versions: {}, rounds: 2 });
    const medians = (name: string) => rows.find((row) => row.case === name)!.medians;
    expect(rows).toHaveLength(natsInstalled ? wanted.length : wanted.length - 1);
    expect(medians("one node, 1 outstanding").ratio).toBe(1);
    // How much more it costs is for a quiet machine to say.
    expect(medians("sockets, pairs across, 1 outstanding").ratio).toBeGreaterThan(0);
    if (natsInstalled) expect(medians("NATS, pairs across, 1 outstanding").nats).toBeGreaterThan(0);
    expect(medians("joining 50,000 sessions").readySeconds).toBeGreaterThan(0);
    expect(medians("2 nodes, processes").eachOther).toBeGreaterThan(0);
    expect(medians("4 nodes, tables simulated").clusterRate).toBeGreaterThan(0);
    // Figures are found by the name of their case.
    const names = cluster.cases({ quick: false }).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    // What is measured by a program is measured once.
    expect(rows.map(({ outcomes }) => outcomes.length)).toContain(1);
    const table = tableOf(cluster, { ...emptyResult, rows });
    expect(table).toContain("A node that joins");
    expect(table).toContain("logins/s, a core a node");
  },
  120_000,
);

const emptyResult = {
  scenario: "cluster",
  at: "",
  command: "",
  versions: {},
  rounds: 2,
  machine: { cpu: "", cores: 1, kernel: "", bun: "" },
};
