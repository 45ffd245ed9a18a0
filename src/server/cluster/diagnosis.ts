/** What is wrong with the cluster, as this node sees it, in words for its operator. */
import type { Discovery } from "../../cluster/discovery/discovery.ts";
import { version } from "../../util/version.ts";
import type { ClusterNode } from "./cluster-node.ts";

/** Nodes tell the registry every ten seconds that they live; this is several of those. */
const silentMsMost = 35_000;
/** More than a hello can be late. */
const clockSecondsMost = 3;

/** Empty when nothing is. */
export async function diagnose(cluster: ClusterNode, discovery: Discovery): Promise<string[]> {
  const { fabric, replicator } = cluster;
  const found: string[] = [];
  const { standing } = discovery;
  if (standing.is === "lost") found.push(`This node is not registered any more, restart it: ${standing.reason}`);
  if (fabric.replaced) found.push("Another process has taken the number or name of this node: stop one of the two.");
  const missing = discovery.others.filter(({ number }) => !fabric.peers.has(number));
  if (missing.length > 1 && fabric.peers.size === 0) {
    found.push("Nothing is heard of any other node: NATS, or the network of this node, is away.");
  }
  for (const { name, number } of missing) {
    found.push(
      `Node ${name} (number ${number}) is registered, but nothing is heard of it: it has stopped without a word, or the network between is cut. If it is gone for good: meerkat ctl node forget --name ${name}`,
    );
  }
  found.push(...(await ofRegistry(cluster, discovery)));
  for (const peer of fabric.peers.values()) {
    if (peer.version !== version) {
      found.push(
        `Node ${peer.name} has version ${peer.version}, this one ${version}: right during an upgrade, which is not over yet.`,
      );
    }
    const ahead = Math.round(fabric.aheadMsOf(peer.number) / 1000);
    if (Math.abs(ahead) >= clockSecondsMost) {
      found.push(
        `The clock of node ${peer.name} is ${Math.abs(ahead)} s ${ahead > 0 ? "ahead of" : "behind"} this one's: set both by NTP. Archives sort by these clocks.`,
      );
    }
    if (cluster.link.full(peer.number)) {
      found.push(`Node ${peer.name} deals with stanzas too slowly: senders wait for it. Look at its CPU and its log.`);
    }
  }
  for (const state of replicator.states()) {
    if (state.own || state.phase === "synced" || state.phase === "gone") continue;
    found.push(
      `Table ${state.table} of node ${state.owner.name} is not up to date (${state.phase}, ${state.behind} changes behind); it repairs itself.`,
    );
  }
  if (!replicator.ready) found.push(`Not ready: waits for the tables of nodes ${replicator.awaited.join(", ")}.`);
  return found;
}

/** What the registry says, or that it says nothing. */
async function ofRegistry({ fabric }: ClusterNode, discovery: Discovery): Promise<string[]> {
  try {
    const found: string[] = [];
    for (const { name, number, silentMs } of await discovery.list()) {
      if (silentMs <= silentMsMost || !fabric.peers.has(number)) continue;
      const since = Math.round(silentMs / 1000);
      found.push(`Node ${name} lives, but has not told the registry for ${since} s: it does not reach the database.`);
    }
    return found;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [`The registry of nodes does not answer (${why}); the nodes go on with those they know.`];
  }
}
