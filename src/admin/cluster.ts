/** `cluster` and `node`: the nodes that act as one server, what they know of each other, and taking one out. */
import { type AdminContext, AdminError, argument, type Command } from "./command.ts";

/** What an operator sees of a node; times in seconds. */
export interface ClusterNodeView {
  readonly name: string;
  readonly number: number;
  readonly incarnation: number;
  readonly version: string;
  readonly address: string;
  /** `self`; `up`; `down`: registered, but nothing is heard of it; `draining`: self, on its way out. */
  readonly state: "self" | "up" | "down" | "draining";
  readonly sessions: number;
  readonly uptime: number | null;
  /** Since it last told the registry that it lives. */
  readonly heartbeatAge: number | null;
}

/** One table as this node has it of one owner. */
export interface ClusterTableView {
  readonly table: string;
  readonly owner: string;
  readonly state: string;
  readonly records: number;
  readonly bytes: number;
  /** Changes that are not here yet, as far as is known. */
  readonly lag: number;
  readonly gapsRepaired: number;
  readonly snapshots: number;
}

/** The cluster, as the administration asks for it. */
export interface AdminCluster {
  /** Its name. */
  readonly name: string;
  /** Also without the registry, as far as this node knows them itself. */
  nodes(): Promise<readonly ClusterNodeView[]>;
  tables(): readonly ClusterTableView[];
  /** What is wrong, in plain words; empty when nothing is. */
  problems(): Promise<readonly string[]>;
  /** Moves all rooms and sessions away and stops this node; resolves to how many. */
  drain(): Promise<{ rooms: number; moved: number; closed: number }>;
  forget(name: string): Promise<"forgotten" | "unknown" | "alive">;
  /** Runs a command on another node, and throws what it throws there. */
  at(node: number, category: string, name: string, args: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Runs a command on all other nodes that are up. */
  everywhere(category: string, name: string, args: Readonly<Record<string, unknown>>): Promise<PartsOfOthers>;
}

/** What the other nodes had of an answer. */
export interface PartsOfOthers {
  readonly parts: readonly unknown[];
  /** Names of nodes that have not given theirs. */
  readonly silent: readonly string[];
}

function clusterOf(context: AdminContext): AdminCluster {
  if (context.cluster === undefined) {
    throw new AdminError("no_cluster", "This node is alone; [cluster] in the configuration makes it one of several");
  }
  return context.cluster;
}

/** All of it in one answer; a node alone says so. */
async function overview({ cluster, ...node }: AdminContext): Promise<unknown> {
  if (cluster !== undefined) {
    const [nodes, problems] = await Promise.all([cluster.nodes(), cluster.problems()]);
    return { cluster: cluster.name, node: node.nodeName, nodes, tables: cluster.tables(), problems };
  }
  const { nodeName: name, version } = node;
  const uptime = Math.floor((node.clock.now() - node.startedAt) / 1000);
  return {
    cluster: null,
    node: name,
    note: "This node is alone: the cluster is off. [cluster] in the configuration makes it one of several.",
    nodes: [{ name, version, state: "self", sessions: node.router.sessions.size, uptime }],
    tables: [],
    problems: [],
  };
}

export const clusterCommands: readonly Command[] = [
  {
    category: "cluster",
    name: "overview",
    byDefault: true,
    doc: "Nodes, tables, and what is wrong, in one go; 'cluster' alone means this.",
    example: "meerkat ctl cluster overview",
    arguments: {},
    run: overview,
  },
  {
    category: "cluster",
    name: "nodes",
    doc: "The nodes of the cluster, as this one sees them.",
    example: "meerkat ctl cluster nodes",
    arguments: {},
    run: (context) => clusterOf(context).nodes(),
  },
  {
    category: "cluster",
    name: "tables",
    doc: "What this node knows of the sessions and rooms of each node, and whether it is up to date.",
    example: "meerkat ctl cluster tables",
    arguments: {},
    run: (context) => clusterOf(context).tables(),
  },
  {
    category: "cluster",
    name: "problems",
    doc: "What is wrong with the cluster, in plain words.",
    example: "meerkat ctl cluster problems",
    arguments: {},
    run: async (context) => {
      const problems = await clusterOf(context).problems();
      return problems.length === 0 ? ["Nothing: all known nodes are up and their tables are in sync."] : problems;
    },
  },
  {
    category: "node",
    name: "drain",
    doc: "Moves the rooms and sessions of this node to others, then stops it.",
    example: "meerkat ctl node drain",
    arguments: {},
    run: (context) => clusterOf(context).drain(),
  },
  {
    category: "node",
    name: "forget",
    doc: "Removes a dead node from the registry, so that its number is free again.",
    example: "meerkat ctl node forget --name node-3",
    arguments: { name: argument.required("text", "the name of the node") },
    async run(context, args) {
      const name = args.text("name");
      switch (await clusterOf(context).forget(name)) {
        case "forgotten":
          return `Node ${name} is forgotten`;
        case "unknown":
          throw new AdminError("unknown_node", `There is no node ${name} in the registry`);
        case "alive":
          throw new AdminError(
            "node_alive",
            `Node ${name} has been heard of a moment ago: drain it, or stop it. If it was killed, try again in half a minute`,
          );
      }
    },
  },
];
