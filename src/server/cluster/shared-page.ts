/**
 * The page of metrics where several processes of one machine share its port: whichever is asked asks the others, so that a scrape
 * always sees all.
 */
import type { MetricsSource } from "../../http/app.ts";
import { mergedPage } from "../../observe/merged-page.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { ClusterNode } from "./cluster-node.ts";

/** A process that takes longer is left out: Prometheus waits ten seconds for a page. */
const pageWaitMs = 2_000;

/** `siblings`: the names of all processes of this machine, this one too. */
export function sharedPage(metrics: Metrics, cluster: ClusterNode, siblings: readonly string[]): MetricsSource {
  const { name: own } = cluster.fabric.self;
  cluster.answerMetrics = () => metrics.text();
  const textOf = async (name: string): Promise<string | undefined> => {
    if (name === own) return metrics.text();
    for (const peer of cluster.fabric.peers.values()) {
      if (peer.name === name) return cluster.metricsOf(peer.number, pageWaitMs).catch(() => undefined);
    }
    return undefined;
  };
  return {
    contentType: metrics.contentType,
    text: async () => mergedPage(await Promise.all(siblings.map(async (node) => ({ node, text: await textOf(node) })))),
  };
}
