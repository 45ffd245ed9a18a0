/**
 * Nodes find each other through the SQL database: each has a row that says who it is, and renews it every ten seconds.
 *
 * A node that stops deletes its row; one that died leaves it, and takes it over when it starts again, with the same
 * number and a later incarnation, after asking over the fabric whether the one before still lives. Rows of nodes that
 * are dead for a day are deleted by the others; only then is the number given away. The database may go away while the
 * nodes run: the fabric knows who lives, and the rows are renewed when it is back.
 */
import type { Log } from "../../observe/log.ts";
import { StoreBusy, StoreConflict, StoreUnavailable } from "../../store/errors.ts";
import { retryWithBackoff } from "../../store/retry.ts";
import type { Store } from "../../store/store.ts";
import type { Clock, Timer } from "../../util/clock.ts";
import type { NodeIdentity } from "../fabric/fabric.ts";
import type { KnownNode } from "../fabric/transport.ts";
import {
  type Discovery,
  type Forgotten,
  type NodeClaim,
  NodeNameTaken,
  Others,
  type RegisteredNode,
  type Standing,
} from "./discovery.ts";
import { type Claimed, NodeRows } from "./node-rows.ts";

export interface RdbmsDiscoveryOptions {
  readonly store: Store;
  readonly claim: NodeClaim;
  readonly clock: Clock;
  readonly log: Log;
  /** Asks the node itself, by the fabric; see probe.ts. */
  readonly isAlive: (node: RegisteredNode, signal: AbortSignal | undefined) => Promise<boolean>;
  /** Whether the fabric holds this life to be up, however silent it is in the database. */
  readonly isUp?: (node: RegisteredNode) => boolean;
  /** Between two heartbeats (default 10 s). */
  readonly heartbeatMs?: number;
  /** How long a dead node keeps its row (default 24 h). */
  readonly keepDeadMs?: number;
}

/** So many heartbeats may be missing before a node counts as silent. */
const beatsMissed = 3;

export class RdbmsDiscovery implements Discovery {
  readonly #options: RdbmsDiscoveryOptions;
  readonly #log: Log;
  readonly #rows: NodeRows;
  readonly #others = new Others();
  readonly #heartbeatMs: number;
  #standing: Standing = { is: "new" };
  #life: Claimed | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #beating: Promise<void> | undefined = undefined;
  /** The database's failure has been logged, and has not ended. */
  #failing = false;

  constructor(options: RdbmsDiscoveryOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: "discovery" });
    this.#rows = new NodeRows(options.store, options.claim.cluster);
    this.#heartbeatMs = options.heartbeatMs ?? 10_000;
  }

  get standing(): Standing {
    return this.#standing;
  }

  get others(): readonly KnownNode[] {
    return this.#others.list;
  }

  onOthers(listener: (others: readonly KnownNode[]) => void): void {
    this.#others.listen(listener);
  }

  async register(signal?: AbortSignal): Promise<NodeIdentity> {
    if (this.#standing.is !== "new") throw new Error("a node registers once");
    const { claim, clock } = this.#options;
    let saidWaiting = false;
    this.#life = await retryWithBackoff(() => this.#claim(signal), {
      clock,
      signal,
      retriable: isPassing,
      onFailure: (error) => {
        // Busy and conflict are others who register at the same moment.
        if (saidWaiting || !(error instanceof StoreUnavailable)) return;
        saidWaiting = true;
        this.#log.warn(
          { err: error },
          "The database does not answer, so this node cannot join its cluster; trying again",
        );
      },
    });
    signal?.throwIfAborted();
    const { number, incarnation } = this.#life;
    this.#standing = { is: "registered" };
    this.#log.info({ node: claim.name, number, incarnation, cluster: claim.cluster }, "Registered in the database");
    await this.#beat();
    this.#timer = clock.every(this.#heartbeatMs, () => void this.#beat());
    return { ...claim, number, incarnation };
  }

  list(): Promise<readonly RegisteredNode[]> {
    return this.#rows.list();
  }

  async forget(name: string): Promise<Forgotten> {
    const node = (await this.#rows.list()).find((row) => row.name === name);
    if (node === undefined) return "unknown";
    if (node.silentMs < this.#heartbeatMs * beatsMissed || this.#isUp(node)) return "alive";
    if (!(await this.#rows.remove(name, node.incarnation, node.heartbeatAt))) return "alive";
    this.#log.info({ node: name, number: node.number }, "A dead node was forgotten");
    await this.#beat();
    return "forgotten";
  }

  /** Resolves when no heartbeat is under way. */
  async settled(): Promise<void> {
    await this.#beating;
  }

  async stop(): Promise<void> {
    if (this.#standing.is === "stopped") return;
    const registered = this.#standing.is === "registered";
    this.#standing = { is: "stopped" };
    this.#timer?.cancel();
    await this.#beating;
    if (!registered || this.#life === undefined) return;
    try {
      await this.#rows.remove(this.#options.claim.name, this.#life.incarnation);
    } catch (error) {
      this.#log.warn({ err: error }, "The database does not answer; the row of this node stays until it starts again");
    }
  }

  /** @throws NodeNameTaken, and StoreConflict when others were faster: then it is tried again. */
  async #claim(signal: AbortSignal | undefined): Promise<Claimed> {
    const { claim, isAlive } = this.#options;
    await this.#rows.prepare();
    const before = (await this.#rows.list()).find((node) => node.name === claim.name);
    if (before !== undefined) {
      if (await isAlive(before, signal)) throw new NodeNameTaken(claim.cluster, before);
      signal?.throwIfAborted();
      this.#log.info(
        { node: claim.name, number: before.number, incarnation: before.incarnation },
        "The node of this name died; this one takes its place",
      );
    }
    const life = await this.#rows.claim(claim, before?.incarnation);
    if (life === undefined) throw new StoreConflict(`another process has just registered as "${claim.name}"`);
    return life;
  }

  #isUp(node: RegisteredNode): boolean {
    return this.#options.isUp?.(node) ?? false;
  }

  /** One at a time: a slow database gets no queue of heartbeats. */
  #beat(): Promise<void> {
    this.#beating ??= this.#renew().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #renew(): Promise<void> {
    const { claim } = this.#options;
    try {
      if (this.#standing.is === "registered") await this.#rows.beat(claim.name, this.#life!.incarnation);
      const nodes = await this.#rows.list();
      if (this.#standing.is === "stopped") return;
      await this.#look(nodes);
      if (this.#failing) {
        this.#failing = false;
        this.#log.info({}, "The database answers again");
      }
    } catch (error) {
      if (this.#failing) return;
      this.#failing = true;
      this.#log.warn({ err: error }, "The database does not answer; the nodes go on with those they know");
    }
  }

  /** What the rows say: of us, of the dead, of the others. */
  async #look(nodes: readonly RegisteredNode[]): Promise<void> {
    const { claim, keepDeadMs = 24 * 3_600_000 } = this.#options;
    const life = this.#life!;
    const own = nodes.find((node) => node.name === claim.name);
    if (this.#standing.is === "registered" && own?.incarnation !== life.incarnation) {
      if (own === undefined) await this.#restore(life);
      else this.#lose(`another process has registered as "${claim.name}" (incarnation ${own.incarnation})`);
    }
    const dead = nodes.filter((node) => node !== own && node.silentMs > keepDeadMs && !this.#isUp(node));
    for (const node of dead) {
      if (await this.#rows.remove(node.name, node.incarnation, node.heartbeatAt))
        this.#log.warn(
          { node: node.name, number: node.number, silentMs: node.silentMs },
          "A node that was silent for long is forgotten; its number is free again",
        );
    }
    this.#others.set(nodes.filter((node) => node !== own && !dead.includes(node)));
  }

  /** Somebody has deleted our row, or an old backup was restored. */
  async #restore(life: Claimed): Promise<void> {
    try {
      await this.#rows.restore(this.#options.claim, life);
      this.#log.warn({ number: life.number }, "The row of this node was gone from the database; it is there again");
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      this.#lose(`the row of this node was deleted, and its number ${life.number} belongs to another node`);
    }
  }

  #lose(reason: string): void {
    this.#standing = { is: "lost", reason };
    this.#log.error(
      { node: this.#options.claim.name, reason },
      "This node has lost its place in the cluster; restart it",
    );
  }
}

/** Worth another attempt. */
function isPassing(error: unknown): boolean {
  return error instanceof StoreUnavailable || error instanceof StoreBusy || error instanceof StoreConflict;
}
