/** Who this node is, and which others there are: asked of the database, or of a file. */
import { NODE_NUMBER_MAX } from "../fabric/envelope.ts";
import type { NodeIdentity } from "../fabric/fabric.ts";
import type { KnownNode } from "../fabric/transport.ts";

/** What a node says of itself when it registers. */
export interface NodeClaim {
  readonly cluster: string;
  readonly name: string;
  readonly address: string;
  readonly version: string;
}

/** A registered node. Times are in milliseconds, by the registry's own clock. */
export interface RegisteredNode extends KnownNode {
  readonly incarnation: number;
  readonly version: string;
  readonly startedAt: number;
  readonly heartbeatAt: number;
  /** Since its last heartbeat. */
  readonly silentMs: number;
}

/** How this node stands with the registry. Readiness asks for "registered". */
export type Standing =
  | { readonly is: "new" }
  | { readonly is: "registered" }
  /** The registration is gone or another process has taken it: this node must not serve. */
  | { readonly is: "lost"; readonly reason: string }
  | { readonly is: "stopped" };

export type Forgotten = "forgotten" | "unknown" | "alive";

export interface Discovery {
  readonly standing: Standing;
  /** All other nodes, as last seen. */
  readonly others: readonly KnownNode[];
  /**
   * Registers this node. Tries for as long as the registry does not answer, and logs that.
   * @throws NodeNameTaken, NodeNotListed, NoNumberFree, or the signal's reason.
   */
  register(signal?: AbortSignal): Promise<NodeIdentity>;
  /** From now on `listener` hears of the others: at once, and when they change. */
  onOthers(listener: (others: readonly KnownNode[]) => void): void;
  /** All nodes, this one too. */
  list(): Promise<readonly RegisteredNode[]>;
  /** Removes a dead node's registration, so that its number is free again. */
  forget(name: string): Promise<Forgotten>;
  /** Takes this node out of the registry. */
  stop(): Promise<void>;
}

/** A living node has this name. */
export class NodeNameTaken extends Error {
  override readonly name = "NodeNameTaken";
  constructor(cluster: string, node: RegisteredNode) {
    const where = node.address === "" ? "" : ` at ${node.address}`;
    super(
      `the node "${node.name}" of cluster "${cluster}" is running already (number ${node.number}${where}, version ${node.version}); ` +
        "each node needs a name of its own: set node_name in [cluster], or stop the other one",
    );
  }
}

/** The file of nodes does not have this one. */
export class NodeNotListed extends Error {
  override readonly name = "NodeNotListed";
  constructor(file: string, node: string, names: readonly string[]) {
    super(`${file} does not list the node "${node}"; it has ${names.map((name) => `"${name}"`).join(", ") || "none"}`);
  }
}

/** Every number belongs to a registered node. */
export class NoNumberFree extends Error {
  override readonly name = "NoNumberFree";
  constructor(cluster: string) {
    super(
      `all ${NODE_NUMBER_MAX} numbers of cluster "${cluster}" belong to registered nodes; forget those that are gone for good`,
    );
  }
}

/** Tells listeners of the others when they have changed. */
export class Others {
  #list: readonly KnownNode[] = [];
  readonly #listeners: ((others: readonly KnownNode[]) => void)[] = [];

  get list(): readonly KnownNode[] {
    return this.#list;
  }

  listen(listener: (others: readonly KnownNode[]) => void): void {
    this.#listeners.push(listener);
    listener(this.#list);
  }

  set(list: readonly KnownNode[]): void {
    const same =
      list.length === this.#list.length &&
      list.every((node, index) => {
        const before = this.#list[index]!;
        return node.number === before.number && node.name === before.name && node.address === before.address;
      });
    if (same) return;
    this.#list = list;
    for (const listener of this.#listeners) listener(list);
  }
}
