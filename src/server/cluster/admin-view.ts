/** The cluster as the administration shows it. */

import type { AdminCluster, ClusterNodeView, ClusterTableView } from "../../admin/cluster.ts";
import { AdminError } from "../../admin/command.ts";
import type { AdminLine } from "../../admin/socket-api.ts";
import type { Discovery, RegisteredNode } from "../../cluster/discovery/discovery.ts";
import type { Log } from "../../observe/log.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { diagnose } from "./diagnosis.ts";
import { Call, withJson } from "./frames.ts";

/** Another node's part of an answer. */
const partWaitMs = 10_000;

export interface AdminViewParts {
  readonly cluster: ClusterNode;
  readonly discovery: Discovery;
  readonly log: Log;
  readonly draining: () => boolean;
  readonly drain: () => Promise<{ rooms: number; moved: number; closed: number }>;
}

export function adminCluster(parts: AdminViewParts): AdminCluster {
  const { cluster, discovery, log } = parts;
  const { fabric, replicator, directory } = cluster;

  const stateOf = (number: number): ClusterNodeView["state"] => {
    if (number === fabric.self.number) return parts.draining() ? "draining" : "self";
    return fabric.peers.has(number) ? "up" : "down";
  };

  /** Nobody while the registry does not answer: those that are heard are shown all the same. */
  const registered = async (): Promise<readonly RegisteredNode[]> => {
    try {
      return await discovery.list();
    } catch (error) {
      log.warn({ err: error }, "the registry of nodes does not answer");
      return [];
    }
  };

  const nodes = async (): Promise<ClusterNodeView[]> => {
    const sessions = new Map<number, number>();
    for (const [owner, count] of directory.counts()) sessions.set(owner.number, count);
    const views: ClusterNodeView[] = [];
    const seen = new Set<string>();
    for (const node of await registered()) {
      seen.add(node.name);
      views.push({
        name: node.name,
        number: node.number,
        incarnation: node.incarnation,
        version: node.version,
        address: node.address,
        state: stateOf(node.number),
        sessions: sessions.get(node.number) ?? 0,
        uptime: Math.round((node.heartbeatAt + node.silentMs - node.startedAt) / 1000),
        heartbeatAge: Math.round(node.silentMs / 1000),
      });
    }
    // Known by the fabric, but not registered: the registry does not answer, or is another's.
    for (const { name, number, incarnation, version, address } of [fabric.self, ...fabric.peers.values()]) {
      if (seen.has(name)) continue;
      views.push({
        name,
        number,
        incarnation,
        version,
        address,
        state: stateOf(number),
        sessions: sessions.get(number) ?? 0,
        uptime: null,
        heartbeatAge: null,
      });
    }
    return views.sort((one, other) => one.number - other.number);
  };

  const at: AdminCluster["at"] = async (node, category, name, args) => {
    const question = withJson(Call.admin, { category, command: name, args });
    const answer = await fabric.channel(cluster.callsChannel).request(node, question, partWaitMs);
    const line = JSON.parse(new TextDecoder().decode(answer)) as AdminLine;
    if ("error" in line) throw new AdminError(line.error.code, line.error.message);
    return "result" in line ? line.result : undefined;
  };

  return {
    name: fabric.self.cluster,
    nodes,
    problems: () => diagnose(cluster, discovery),
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
    at,
    async everywhere(category, name, args) {
      const silent: string[] = [];
      const answers = await Promise.all(
        Array.from(fabric.peers.values(), async (peer) => {
          try {
            return [await at(peer.number, category, name, args)];
          } catch (error) {
            log.warn({ err: error, node: peer.name }, "a node has not given its part of an answer");
            silent.push(peer.name);
            return [];
          }
        }),
      );
      return { parts: answers.flat(1), silent };
    },
  };
}
