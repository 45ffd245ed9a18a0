/** The cluster as the administration shows it. */
import type { AdminCluster, ClusterNodeView, ClusterTableView } from "../../admin/cluster.ts";
import type { Discovery } from "../../cluster/discovery/discovery.ts";
import type { Log } from "../../observe/log.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { Call, withJson } from "./frames.ts";

/** Another node's part of an answer. */
const partWaitMs = 10_000;

export interface AdminViewParts {
  readonly cluster: ClusterNode;
  readonly discovery: Discovery;
  readonly log: Log;
  readonly draining: () => boolean;
  readonly drain: () => Promise<{ moved: number; closed: number }>;
}

export function adminCluster(parts: AdminViewParts): AdminCluster {
  const { cluster, discovery, log } = parts;
  const { fabric, replicator, directory } = cluster;

  const nodes = async (): Promise<ClusterNodeView[]> => {
    const sessions = new Map<number, number>();
    for (const [owner, count] of directory.counts()) sessions.set(owner.number, count);
    const views: ClusterNodeView[] = [];
    const seen = new Set<string>();
    for (const node of await discovery.list()) {
      seen.add(node.name);
      const self = node.number === fabric.self.number;
      const up = fabric.peers.has(node.number);
      views.push({
        name: node.name,
        number: node.number,
        incarnation: node.incarnation,
        version: node.version,
        address: node.address,
        state: self ? (parts.draining() ? "draining" : "self") : up ? "up" : "down",
        sessions: sessions.get(node.number) ?? 0,
        uptime: Math.round((node.heartbeatAt + node.silentMs - node.startedAt) / 1000),
        heartbeatAge: Math.round(node.silentMs / 1000),
      });
    }
    // Heard over the fabric, but not registered: the database may be another's.
    for (const { name, number, incarnation, version, address } of fabric.peers.values()) {
      if (seen.has(name)) continue;
      const count = sessions.get(number) ?? 0;
      views.push({
        name,
        number,
        incarnation,
        version,
        address,
        state: "up",
        sessions: count,
        uptime: null,
        heartbeatAge: null,
      });
    }
    return views.sort((one, other) => one.number - other.number);
  };

  const problems = (): string[] => {
    const found: string[] = [];
    const { standing } = discovery;
    if (standing.is === "lost") found.push(`This node is not registered any more: ${standing.reason}`);
    for (const other of discovery.others) {
      if (!fabric.peers.has(other.number)) {
        found.push(
          `Node ${other.name} (number ${other.number}) is registered, but nothing is heard of it: it has stopped without a word, or the network between is cut. If it is gone for good: meerkat ctl node forget --name ${other.name}`,
        );
      }
    }
    for (const state of replicator.states()) {
      if (state.own || state.phase === "synced" || state.phase === "gone") continue;
      found.push(
        `Table ${state.table} of node ${state.owner.name} is not up to date (${state.phase}, ${state.behind} changes behind); it repairs itself`,
      );
    }
    if (!replicator.ready) found.push(`Not ready: waits for the tables of nodes ${replicator.awaited.join(", ")}`);
    return found;
  };

  return {
    nodes,
    problems,
    tables: () =>
      Array.from(
        replicator.states(),
        (state): ClusterTableView => ({
          table: state.table,
          owner: state.owner.name,
          state: state.own ? "own" : state.phase,
          records: state.records,
          bytes: state.bytes,
          lag: state.behind,
          gapsRepaired: state.repairs,
          snapshots: state.snapshots,
        }),
      ),
    drain: parts.drain,
    forget: (name) => discovery.forget(name),
    async everywhere(category, name, args) {
      const question = withJson(Call.admin, { category, command: name, args });
      const calls = fabric.channel(cluster.callsChannel);
      const answers = await Promise.all(
        Array.from(fabric.peers.values(), async (peer) => {
          try {
            return [JSON.parse(new TextDecoder().decode(await calls.request(peer.number, question, partWaitMs)))];
          } catch (error) {
            log.warn({ err: error, node: peer.name }, "a node has not given its part of an answer");
            return [];
          }
        }),
      );
      return answers.flat(1);
    },
  };
}
