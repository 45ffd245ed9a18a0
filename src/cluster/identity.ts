/** What a node is called where the configuration does not say. */
import type { Clock } from "../util/clock.ts";
import type { NodeClaim } from "./discovery/discovery.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";

/** The machine's name; with several processes on one machine each has its number from 1 behind it. */
export function defaultNodeName(hostname: string, process: number | undefined): string {
  const machine = hostname.trim().toLowerCase() || "localhost";
  return process === undefined ? machine : `${machine}-${process}`;
}

/** A node that has no others needs no registry. */
export function singleNode(claim: NodeClaim, clock: Clock): NodeIdentity {
  return { ...claim, number: 1, incarnation: Math.floor(clock.now() / 1000) };
}
