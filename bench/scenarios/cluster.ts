/** What it costs that a server is several nodes: messages that cross, sessions that every node knows, nodes that join, logins that all hear of. */
import type { Outcome } from "../load/plan.ts";
import { median } from "../measure/statistics.ts";
import type { Row } from "../report/result.ts";
import { natsInstalled } from "../servers/nats.ts";
import { type Case, cpuPer, type Figure, type Group, latencies, type Scale, type Scenario } from "./scenario.ts";

const groups: readonly Group[] = [
  {
    name: "messages",
    title: "Messages between users of one node and of two; all nodes share one core",
    plotted: ["cpu", "nats"],
  },
  { name: "directory", title: "The directory of all sessions, which every node has", plotted: ["hit", "miss", "find"] },
  { name: "join", title: "A node that joins", plotted: ["readySeconds"] },
  {
    name: "logins",
    title: "Logins: what every node pays so that all know of a session",
    plotted: ["ownNode", "eachOther"],
  },
];

/** CPU of a process that is told apart. */
function apart(name: string, key: string, title: string, scale: number, digits: number): Figure {
  return {
    key,
    title,
    digits,
    of({ units, usage }) {
      const cpu = usage.apart?.[name];
      return cpu === undefined ? undefined : (cpu * scale) / units;
    },
  };
}

function value(key: string, title: string, digits: number): Figure {
  return { key, title, digits, of: ({ values }) => values?.[key] };
}

/** Follows from several cases: see `completed`. */
function derived(key: string, title: string, digits: number): Figure {
  return { key, title, digits, of: () => undefined };
}

/** Figures of messages have nothing to say of logins, and the other way round. */
function ofMessages(figure: Figure): Figure {
  return { ...figure, of: (outcome) => (outcome.verdict === undefined ? undefined : figure.of(outcome)) };
}

const figures: readonly Figure[] = [
  ofMessages({ ...cpuPer(100_000, "100k messages"), compared: false }),
  derived("ratio", "to one node", 2),
  ofMessages(apart("nats", "nats", "NATS's own CPU s", 100_000, 2)),
  ofMessages({ key: "rate", title: "messages/s", digits: 0, of: ({ units, usage }) => units / usage.seconds }),
  ...latencies.slice(0, 2).map(ofMessages),
  value("bytes", "bytes a session", 1),
  value("hit", "ns, an account with a session", 0),
  value("miss", "ns, an account without", 0),
  value("find", "ns, a full address", 0),
  value("read", "ns, one read of memory", 0),
  value("least", "ns, a name hashed and one read", 0),
  value("readySeconds", "s until it is ready", 2),
  value("giverTurn", "giver's longest turn, ms", 1),
  value("takerTurn", "taker's longest turn, ms", 1),
  value("giverCpu", "giver's CPU s", 2),
  value("takerCpu", "taker's CPU s", 2),
  value("megabytes", "MB sent", 1),
  {
    key: "login",
    title: "µs a login, all of it, at its node",
    digits: 0,
    of: ({ units, usage, verdict, values, latency }) =>
      verdict !== undefined || values !== undefined || latency === undefined
        ? undefined
        : ((usage.serverCpu - (usage.apart?.n2 ?? 0)) * 1e6) / units,
  },
  value("ownNode", "µs of it for the tables", 1),
  {
    ...value("eachOther", "µs at each other node", 1),
    of: ({ units, usage, verdict, values }) =>
      values?.eachOther ??
      (verdict === undefined && usage.apart?.n2 !== undefined ? (usage.apart.n2 * 1e6) / units : undefined),
  },
  value("bytesSent", "bytes sent", 0),
  derived("clusterRate", "logins/s, a core a node", 0),
];

const shared = { tls: "none", mechanism: "SCRAM-SHA-1", begins: "available", servers: ["meerkat"] } as const;

function messageCases({ quick, users = quick ? 100 : 400, seconds = quick ? 3 : 5 }: Scale): Case[] {
  const cases: Case[] = [];
  for (const window of [1, 10]) {
    const load = {
      kind: "pairs",
      users,
      inflight: 50,
      window,
      rate: 0,
      bodyBytes: 64,
      warmupSeconds: quick ? 2 : 3,
      seconds,
      sampleSeconds: 0,
    } as const;
    const add = (name: string, more: Partial<Case>) =>
      cases.push({ ...shared, name: `${name}, ${window} outstanding`, group: "messages", load, ...more });
    add("one node", {});
    for (const fabric of natsInstalled ? (["local", "nats"] as const) : (["local"] as const)) {
      const features = { cluster: { nodes: 2, fabric } };
      add(`${namesOf[fabric]}, pairs on one node`, { features, spread: "pairs" });
      add(`${namesOf[fabric]}, pairs across`, { features, spread: "users" });
    }
  }
  return cases;
}

const namesOf = { local: "sockets", nats: "NATS" } as const;

function program(group: string, name: string, micro: string, users: number, args: readonly string[]): Case {
  return { ...shared, name, group, roundsMax: 1, load: { kind: "program", users, micro, args } };
}

function directoryCases({ quick }: Scale): Case[] {
  const sizes = quick ? [200_000] : [1_000_000, 10_000_000];
  return sizes.map((sessions) =>
    program("directory", `${sessions.toLocaleString("en")} sessions`, "session-directory", sessions, [
      "--sessions",
      String(sessions),
    ]),
  );
}

function joinCases({ quick }: Scale): Case[] {
  const sessions = quick ? 50_000 : 1_000_000;
  const args = ["--sessions", String(sessions)];
  return [program("join", `joining ${sessions.toLocaleString("en")} sessions`, "cluster-join", sessions, args)];
}

function loginCases({ quick, users = 200, seconds = quick ? 3 : 8 }: Scale): Case[] {
  const load = { kind: "logins", users, inflight: 20, warmupSeconds: quick ? 1 : 3, seconds } as const;
  const real = { ...shared, group: "logins", spread: "first", load } as const;
  const count = quick ? 2000 : 20_000;
  const simulated = [1, 2, 4, 8, 16].map((nodes) =>
    program("logins", simulatedName(nodes), "replication", count, [
      "--logins",
      String(count),
      "--nodes",
      String(nodes),
    ]),
  );
  return [
    { ...real, name: loginName },
    { ...real, name: "2 nodes, processes", features: { cluster: { nodes: 2, fabric: "local" } } },
    ...simulated,
  ];
}

const loginName = "1 node, a process";

function simulatedName(nodes: number): string {
  return `${nodes} ${nodes === 1 ? "node" : "nodes"}, tables simulated`;
}

/** Adds what a message costs in times of one on one node, and how many logins a cluster takes in a second. */
function completed(rows: readonly Row[]): Row[] {
  const login = rows.find((row) => row.case === loginName)?.medians.login;
  return rows.map((row) => {
    const more: Record<string, number> = {};
    const window = row.case.split(", ").at(-1)!;
    const alone = rows.find((other) => other.case === `one node, ${window}`);
    if (row.group === "messages" && alone !== undefined) more.ratio = ratioOf(row, alone);
    const { ownNode, eachOther } = row.medians;
    const nodes = Number.parseInt(row.case, 10);
    if (login !== undefined && ownNode !== undefined) {
      more.clusterRate = (nodes * 1e6) / (login + ownNode + (nodes - 1) * (eachOther ?? 0));
    }
    return { ...row, medians: { ...row.medians, ...more } };
  });
}

/** The median of each round's: what else the machine does changes from round to round, less within one. */
function ratioOf(row: Row, alone: Row): number {
  const cost = ({ usage, units }: Outcome) => usage.serverCpu / units;
  return median(row.outcomes.map((outcome, round) => cost(outcome) / cost(alone.outcomes[round]!)));
}

export const cluster: Scenario = {
  name: "cluster",
  summary: "what several nodes cost: messages across, the directory of sessions, joining, logins",
  servers: ["meerkat"],
  figures,
  groups,
  completed,
  cases: (scale) => [...messageCases(scale), ...directoryCases(scale), ...joinCases(scale), ...loginCases(scale)],
};
