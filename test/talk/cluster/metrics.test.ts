/** The cluster's numbers on the page of metrics. */
import { afterEach, expect, test } from "bun:test";
import type { Discovery } from "../../../src/cluster/discovery/discovery.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { Metrics } from "../../../src/observe/metrics.ts";
import { declareClusterMetrics } from "../../../src/server/cluster/cluster-metrics.ts";
import { ClusterTalk } from "../../support/cluster-talk.ts";

let talk: ClusterTalk;
let metrics: Metrics;
let discovery: { standing: { is: string }; others: { number: number }[] };
let draining = false;

afterEach(async () => {
  metrics.stop();
  await talk.stop();
});

async function start() {
  talk = await ClusterTalk.start(3, [streamManagement]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  metrics = new Metrics(talk.clock);
  discovery = { standing: { is: "registered" }, others: [{ number: 2 }, { number: 3 }] };
  const [one, two, three] = talk.nodes;
  one!.cluster.replicator.expect([2, 3]);
  const parts = { cluster: one!.cluster, discovery: discovery as unknown as Discovery, draining: () => draining };
  declareClusterMetrics(metrics, parts);
  return [one!, two!, three!] as const;
}

/** By name and labels, without `meerkat_cluster_`. */
async function numbers(): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split("\n").filter((line) => line.startsWith("meerkat_cluster_"));
  return Object.fromEntries(
    lines.map((line) => [line.slice(16, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

test("nodes, tables, traffic and moves are told", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one, "alice@localhost/a", false);
  const bob = await talk.login(two, "bob@localhost/b");
  const before = await numbers();
  await alice.sends("<message type='chat' to='bob@localhost/b'><body>hi</body></message>");
  await talk.settle();
  expect(bob.bodies()).toEqual(["hi"]);
  const after = await numbers();
  expect(after).toMatchObject({
    'peers{state="up"}': 2,
    'peers{state="down"}': 0,
    ready: 1,
    in_sync: 1,
    registered: 1,
    draining: 0,
    'table_records{table="sessions",owner="n1"}': 1,
    'table_records{table="sessions",owner="n2"}': 1,
    'table_records{table="sessions",owner="n3"}': 0,
    'table_lag{table="sessions",owner="n2"}': 0,
    'link_in_flight{peer="n2"}': 0,
    'fabric_queue_bytes{peer="n2"}': 0,
    'fabric_refused_total{reason="garbage"}': 0,
    'fabric_refused_total{reason="unknown version"}': 0,
    'link_frames_total{direction="out"}': before['link_frames_total{direction="out"}']! + 1,
  });
  expect(after['table_bytes{table="sessions",owner="n2"}']).toBeGreaterThan(20);
  const out = 'fabric_bytes_total{direction="out"}';
  expect(after[out]).toBeGreaterThan(before[out]! + 10);

  await alice.breaks();
  expect(await alice.resumes(two)).toBe(true);
  expect((await numbers())['sessions_moved_total{direction="out"}']).toBe(1);
  await alice.breaks();
  expect(await alice.resumes(one)).toBe(true);
  expect(await numbers()).toMatchObject({
    'sessions_moved_total{direction="in"}': 1,
    'moves_failed_total{what="session"}': 0,
  });
});

test("what waits for a node that does not answer is in flight; once it is given up the node is down", async () => {
  const [one, , three] = await start();
  const alice = await talk.login(one, "alice@localhost/a", false);
  await talk.login(three, "bob@localhost/b");
  talk.kill(three);
  for (let count = 0; count < 3; count++) {
    await alice.sends(`<message type='chat' to='bob@localhost/b'><body>${count}</body></message>`);
  }
  expect((await numbers())['link_in_flight{peer="n3"}']).toBe(3);
  expect((await numbers())['link_in_flight_bytes{peer="n3"}']).toBeGreaterThan(50);
  await talk.settle(8_000);
  discovery.standing = { is: "lost" };
  draining = true;
  const now = await numbers();
  draining = false;
  expect(now).toMatchObject({
    'peers{state="up"}': 1,
    'peers{state="down"}': 1,
    'owners_total{event="gone"}': 1,
    registered: 0,
    draining: 1,
  });
  expect(now['link_in_flight{peer="n3"}']).toBeUndefined();
});

test("notices and losses are counted, garbage by its reason", async () => {
  const [one, two, three] = await start();
  const tell = two.cluster.notices("topic", () => undefined);
  one.cluster.notices("topic", () => undefined);
  tell("key");
  await talk.settle();
  expect((await numbers())['notices_total{kind="heard"}']).toBe(1);
  three.machine.send(1, Uint8Array.of(1, 2, 3));
  await talk.settle();
  expect((await numbers())['fabric_refused_total{reason="garbage"}']).toBe(1);
  talk.network.part([1], [2]);
  two.cluster.fabric.broadcast(new Uint8Array(100));
  await talk.settle(50);
  talk.network.mend();
  await talk.settle(3_000);
  expect(await numbers()).toMatchObject({ fabric_gaps_total: 1, 'notices_total{kind="missed"}': 1 });
});
