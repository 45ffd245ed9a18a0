/** What the fabric does not take: counted by reason, and said once of each life of a node. */
import type { Log } from "../../observe/log.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import type { Refusal } from "./envelope.ts";
import type { NodeIdentity } from "./fabric.ts";

/** Lives that are remembered as complained of. */
const rememberedMax = 1024;

export class Refusals {
  readonly counts: Record<Refusal, number> = {
    garbage: 0,
    "unknown version": 0,
    "another cluster": 0,
    "another node": 0,
    "a dead incarnation": 0,
    "an impostor": 0,
  };
  readonly #log: Log;
  readonly #said = new BoundedMap<string, true>(rememberedMax);

  constructor(log: Log) {
    this.#log = log;
  }

  add(reason: Refusal, number: number, incarnation: number, identity: NodeIdentity | undefined): void {
    this.counts[reason]++;
    const key = `${reason} ${number} ${incarnation}`;
    if (this.#said.get(key) !== undefined) return;
    this.#said.set(key, true);
    const fields = { reason, number, incarnation, node: identity?.name, address: identity?.address };
    if (reason === "an impostor")
      this.#log.error(fields, "Two nodes have the same number; each node of a cluster needs its own");
    else this.#log.warn(fields, "What came from a node was refused; this is logged once");
  }
}
