/** The metrics of the cluster: what its parts count, read at each scrape. docs/cluster.md says what each means to an operator. */
import type { Discovery } from "../../cluster/discovery/discovery.ts";
import type { Metrics } from "../../observe/metrics.ts";
import { readCounter, readGauge, readGauges, type Samples } from "../../observe/read-metrics.ts";
import type { ClusterNode } from "./cluster-node.ts";

export interface ClusterMetricsParts {
  readonly cluster: ClusterNode;
  readonly discovery: Discovery;
  readonly draining: () => boolean;
}

export function declareClusterMetrics({ registry }: Metrics, parts: ClusterMetricsParts): void {
  const gauge = (name: string, help: string, read: () => number): void =>
    readGauge(registry, `meerkat_cluster_${name}`, help, read);
  const gauges = (name: string, help: string, labels: readonly string[], read: () => Samples): void =>
    readGauges(registry, `meerkat_cluster_${name}`, help, labels, read);
  const totals = (name: string, help: string, labels: readonly string[], read: () => Samples): void =>
    readCounter(registry, `meerkat_cluster_${name}_total`, help, labels, read);
  const total = (name: string, help: string, read: () => number): void => totals(name, help, [], () => [[{}, read()]]);
  const declare = { gauge, gauges, total, totals };
  nodes(declare, parts);
  tables(declare, parts.cluster);
  fabric(declare, parts.cluster);
  stanzas(declare, parts.cluster);
  moves(declare, parts.cluster);
}

interface Declare {
  gauge(name: string, help: string, read: () => number): void;
  gauges(name: string, help: string, labels: readonly string[], read: () => Samples): void;
  total(name: string, help: string, read: () => number): void;
  totals(name: string, help: string, labels: readonly string[], read: () => Samples): void;
}

const bit = (on: boolean): number => (on ? 1 : 0);

function nodes({ gauge, gauges, totals }: Declare, { cluster, discovery, draining }: ClusterMetricsParts): void {
  const { fabric, replicator } = cluster;
  gauges("peers", "Other nodes: up, and registered without being heard of", ["state"], () => [
    [{ state: "up" }, fabric.peers.size],
    [{ state: "down" }, discovery.others.filter(({ number }) => !fabric.peers.has(number)).length],
  ]);
  gauge("ready", "1 once the tables of all nodes were here", () => bit(replicator.ready));
  gauge("in_sync", "1 while the tables of all nodes that are up are up to date here", () => bit(replicator.inSync));
  gauge("registered", "1 while this node has its place in the registry", () =>
    bit(discovery.standing.is === "registered" && !fabric.replaced),
  );
  gauge("draining", "1 while this node is on its way out", () => bit(draining()));
  totals("owners", "Lives of other nodes that have gone, come back, and were cleaned up after here", ["event"], () => {
    const { ownersGone, ownersReturned, ownersCleaned } = replicator.counters;
    return [
      [{ event: "gone" }, ownersGone],
      [{ event: "returned" }, ownersReturned],
      [{ event: "cleaned" }, ownersCleaned],
    ];
  });
}

function tables({ gauges, totals }: Declare, { replicator }: ClusterNode): void {
  const labels = ["table", "owner"];
  type Field = "records" | "bytes" | "behind" | "gaps" | "repairs" | "snapshots";
  const read = (field: Field) => (): Samples =>
    Array.from(replicator.states(), (state) => [{ table: state.table, owner: state.owner.name }, state[field]]);
  gauges("table_records", "Records of a table, by the node they belong to", labels, read("records"));
  gauges("table_bytes", "Memory that these records take here, about", labels, read("bytes"));
  gauges("table_lag", "Changes of that node that are not here yet", labels, read("behind"));
  totals("table_gaps", "Changes that were found missing", labels, read("gaps"));
  totals("table_repairs", "Gaps that were filled; of this node's own tables, that others had", labels, read("repairs"));
  totals("table_snapshots", "Times that all of a table was sent", labels, read("snapshots"));
}

function fabric({ gauges, total, totals }: Declare, { fabric }: ClusterNode): void {
  const { counters } = fabric;
  totals("fabric_messages", "Messages between nodes", ["direction"], () => [
    [{ direction: "in" }, counters.messagesIn],
    [{ direction: "out" }, counters.messagesOut],
  ]);
  totals("fabric_bytes", "Bytes of these messages", ["direction"], () => [
    [{ direction: "in" }, counters.bytesIn],
    [{ direction: "out" }, counters.bytesOut],
  ]);
  totals("fabric_envelopes", "Envelopes that carried them", ["direction"], () => [
    [{ direction: "in" }, counters.envelopesIn],
    [{ direction: "out" }, counters.envelopesOut],
  ]);
  totals("fabric_requests", "Questions between nodes", ["direction"], () => [
    [{ direction: "in" }, counters.requestsIn],
    [{ direction: "out" }, counters.requestsOut],
  ]);
  total("fabric_gaps", "Times that messages of a node were lost on the way", () => counters.gaps);
  total("fabric_dropped", "Messages not sent, since too much waited for the node", () => counters.dropped);
  totals("fabric_refused", "What came and was not taken, by reason", ["reason"], () =>
    Object.entries(fabric.refusals).map(([reason, count]) => [{ reason: reason.replace(/^an? /, "") }, count]),
  );
  gauges("fabric_queue_bytes", "Bytes that wait to leave for a node", ["peer"], () =>
    Array.from(fabric.peers.values(), ({ name, number }) => [{ peer: name }, fabric.queuedBytes(number)]),
  );
}

function stanzas({ gauges, total, totals }: Declare, cluster: ClusterNode): void {
  const { fabric, link, replicator } = cluster;
  const { counters } = link;
  gauges("link_in_flight", "Stanzas and the like that a node has not dealt with yet", ["peer"], () =>
    Array.from(fabric.peers.values(), ({ name, number }) => [{ peer: name }, link.unacknowledged(number).frames]),
  );
  gauges("link_in_flight_bytes", "Bytes of these", ["peer"], () =>
    Array.from(fabric.peers.values(), ({ name, number }) => [{ peer: name }, link.unacknowledged(number).bytes]),
  );
  totals("link_frames", "Stanzas and the like between nodes", ["direction"], () => [
    [{ direction: "in" }, counters.framesIn],
    [{ direction: "out" }, counters.framesOut],
  ]);
  total("link_repeated", "Of these, sent again after a loss", () => counters.repeated);
  total("link_doubled", "Of these, came twice, and were dealt with once", () => counters.doubled);
  total("not_understood", "What other nodes said and this one did not understand", () => {
    const { refused, unknownTables, malformedEntries } = replicator.counters;
    return cluster.refused + refused + unknownTables + malformedEntries;
  });
}

function moves({ total, totals }: Declare, cluster: ClusterNode): void {
  const { counters } = cluster.mover;
  totals("sessions_moved", "Sessions handed over to this node and by it", ["direction"], () => [
    [{ direction: "in" }, counters.in],
    [{ direction: "out" }, counters.out],
  ]);
  const rooms = cluster.placeMover.counters;
  totals("rooms_moved", "Rooms handed over to this node and by it", ["direction"], () => [
    [{ direction: "in" }, rooms.in],
    [{ direction: "out" }, rooms.out],
  ]);
  totals("moves_failed", "What was to move and has not", ["what"], () => [
    [{ what: "session" }, counters.failed],
    [{ what: "room" }, rooms.failed],
  ]);
  total("drain_closed", "Sessions closed while draining, since they could not move", () => cluster.closedByDrain);
  const notices = cluster.noticeCounters;
  totals(
    "notices",
    "Word from module to module: told, heard, and times that some may have been missed",
    ["kind"],
    () => [
      [{ kind: "told" }, notices.told],
      [{ kind: "heard" }, notices.heard],
      [{ kind: "missed" }, notices.missed],
    ],
  );
}
