/** Opens this node's part of the cluster as the configuration has it: who it is, by which fabric, and how it finds the others. */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Discovery, NodeClaim, RegisteredNode } from "../../cluster/discovery/discovery.ts";
import { FileDiscovery } from "../../cluster/discovery/file.ts";
import { clusterMigrations } from "../../cluster/discovery/node-rows.ts";
import { probeByHello, probeLocal } from "../../cluster/discovery/probe.ts";
import { RdbmsDiscovery } from "../../cluster/discovery/rdbms.ts";
import { ClusterFabric } from "../../cluster/fabric/engine.ts";
import { LocalTransport, localAddress } from "../../cluster/fabric/local.ts";
import { NatsTransport } from "../../cluster/fabric/nats.ts";
import type { Transport } from "../../cluster/fabric/transport.ts";
import { defaultNodeName } from "../../cluster/identity.ts";
import type { Settings } from "../../config/settings.ts";
import type { Log } from "../../observe/log.ts";
import { atTurnEnd } from "../../runtime/bun/turn.ts";
import { StoreUnavailable } from "../../store/errors.ts";
import { migrate } from "../../store/migrations.ts";
import { retryWithBackoff } from "../../store/retry.ts";
import type { Store } from "../../store/store.ts";
import type { Clock } from "../../util/clock.ts";
import type { Randomness } from "../../util/random.ts";
import { version } from "../../util/version.ts";
import { ClusterNode } from "./cluster-node.ts";

/** A node that told the registry so lately that it lives, probably does. */
const freshMs = 35_000;
/** More than the time of expiry, for nodes that have to connect first. */
const graceMs = 3_000;

export interface OpenClusterParts {
  readonly settings: Settings;
  readonly dataDir: string;
  /** Which of several processes of this machine this is, from 1; undefined when it is the only one. */
  readonly process: number | undefined;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
}

export interface OpenCluster {
  readonly node: ClusterNode;
  readonly discovery: Discovery;
}

/**
 * Registers this node; undefined when the configuration has it alone. Waits for a registry that does not answer.
 * @throws NodeNameTaken, NodeNotListed, NoNumberFree, NodeFileError.
 */
export async function openCluster(parts: OpenClusterParts): Promise<OpenCluster | undefined> {
  const { settings, clock, random, log } = parts;
  const { cluster } = settings;
  // Processes of one machine need no server between them.
  const kind = cluster.fabric === "none" && parts.process !== undefined ? "local" : cluster.fabric;
  if (kind === "none") return undefined;
  const name = nodeName(settings, parts.process);
  const address = kind === "local" ? localAddress(join(parts.dataDir, "nodes"), name) : hostname();
  const claim: NodeClaim = { cluster: cluster.name, name, address, version };
  const transport = (number: number): Transport =>
    kind === "local"
      ? new LocalTransport({ number, path: address, clock, randomness: random, log })
      : new NatsTransport({
          settings: cluster.nats,
          cluster: cluster.name,
          number,
          name: `meerkat ${name}`,
          clock,
          randomness: random,
          log,
        });
  let fabric: ClusterFabric | undefined;
  const discovery: Discovery =
    cluster.discovery === "file"
      ? new FileDiscovery({ file: cluster.discoveryFile!, claim, clock, log })
      : new RdbmsDiscovery({
          store: parts.store,
          claim,
          clock,
          log,
          isAlive: (node, signal) =>
            kind === "local"
              ? probeLocal(node)
              : probeByHello(transport(0), cluster.name, node, cluster.expiryMs, clock, signal),
          isUp: (node: RegisteredNode) => fabric?.peers.get(node.number)?.incarnation === node.incarnation,
        });
  // As long as the database does not answer this node is not ready; it comes up by itself once it does.
  await retryWithBackoff(() => migrate(parts.store, clusterMigrations, { clock }), {
    clock,
    retriable: (error) => error instanceof StoreUnavailable,
    onFailure: (error) => log.warn({ err: error }, "the database does not answer; trying again until it does"),
  });
  const self = await discovery.register();
  const carrier = transport(self.number);
  fabric = new ClusterFabric({
    self,
    transport: carrier,
    clock,
    log,
    atTurnEnd,
    heartbeatMs: cluster.heartbeatMs,
    expiryMs: cluster.expiryMs,
    queueBytesMax: settings.limits.fabricQueueBytesMax,
  });
  const windowBytes = settings.limits.linkWindowBytesMax;
  const node = new ClusterNode({ fabric, clock, random, log, atTurnEnd, windowBytes });
  discovery.onOthers((others) => {
    if (carrier instanceof LocalTransport) carrier.setKnown(others);
  });
  await awaitTables(node, discovery, clock, cluster.expiryMs);
  return { node, discovery };
}

/** Readiness waits for the tables of nodes that seem to live; one that is not heard within the time of expiry does not. */
async function awaitTables(node: ClusterNode, discovery: Discovery, clock: Clock, expiryMs: number): Promise<void> {
  const living = (await discovery.list()).filter((other) => other.silentMs < freshMs);
  node.replicator.expect(living.map(({ number }) => number));
  clock.after(expiryMs + graceMs, () => node.replicator.expect(node.fabric.peers.keys()));
}

/** What this node is called where the configuration does not say. */
export function nodeName(settings: Settings, process: number | undefined): string {
  const given = settings.cluster.nodeName;
  if (given === undefined) return defaultNodeName(hostname(), process);
  return process === undefined ? given : `${given}-${process}`;
}
