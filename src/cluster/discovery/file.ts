/**
 * A cluster without a database: a file lists its nodes, the same one for all, and is read again every ten seconds.
 *
 *     # nodes.toml                         # nodes.json
 *     [[node]]                             [{ "name": "a", "number": 1, "address": "10.0.0.1" }]
 *     name = "a"
 *     number = 1
 *     address = "10.0.0.1"                 # optional
 *
 * Any other file has one name a line, as MongooseIM's `node_list_file`; a node's number is then its place in the list,
 * so names are only ever added at the end. The incarnation is the time of the start in seconds.
 */
import { readFileSync } from "node:fs";
import { parse } from "smol-toml";
import type { Log } from "../../observe/log.ts";
import type { Clock, Timer } from "../../util/clock.ts";
import { NODE_NUMBER_MAX } from "../fabric/envelope.ts";
import type { NodeIdentity } from "../fabric/fabric.ts";
import type { KnownNode } from "../fabric/transport.ts";
import {
  type Discovery,
  type Forgotten,
  type NodeClaim,
  NodeNotListed,
  Others,
  type RegisteredNode,
  type Standing,
} from "./discovery.ts";

export interface FileDiscoveryOptions {
  readonly file: string;
  readonly claim: NodeClaim;
  readonly clock: Clock;
  readonly log: Log;
  /** Between two looks at the file (default 10 s). */
  readonly rereadMs?: number;
}

/** What is wrong with the file of nodes. */
export class NodeFileError extends Error {
  override readonly name = "NodeFileError";
}

export class FileDiscovery implements Discovery {
  readonly #options: FileDiscoveryOptions;
  readonly #log: Log;
  readonly #others = new Others();
  #standing: Standing = { is: "new" };
  #nodes: readonly KnownNode[] = [];
  #startedAt = 0;
  #number = 0;
  #timer: Timer | undefined = undefined;
  #failing = false;

  constructor(options: FileDiscoveryOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: "discovery" });
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

  /** @throws NodeNotListed, NodeFileError */
  async register(): Promise<NodeIdentity> {
    if (this.#standing.is !== "new") throw new Error("a node registers once");
    const { claim, clock, file, rereadMs = 10_000 } = this.#options;
    this.#take(readNodeFile(file));
    const own = this.#nodes.find((node) => node.name === claim.name);
    if (own === undefined)
      throw new NodeNotListed(
        file,
        claim.name,
        this.#nodes.map((node) => node.name),
      );
    this.#number = own.number;
    this.#startedAt = clock.now();
    this.#standing = { is: "registered" };
    this.#timer = clock.every(rereadMs, () => this.#reread());
    const address = own.address === "" ? claim.address : own.address;
    return { ...claim, address, number: own.number, incarnation: Math.floor(this.#startedAt / 1000) };
  }

  /** What a file does not know of a node is 0 or empty. */
  async list(): Promise<readonly RegisteredNode[]> {
    const { claim } = this.#options;
    return this.#nodes.map((node) => {
      const own = node.name === claim.name && this.#number !== 0;
      return {
        ...node,
        incarnation: own ? Math.floor(this.#startedAt / 1000) : 0,
        version: own ? claim.version : "",
        startedAt: own ? this.#startedAt : 0,
        heartbeatAt: 0,
        silentMs: 0,
      };
    });
  }

  /** The file is the operator's to change. */
  async forget(name: string): Promise<Forgotten> {
    return this.#nodes.some((node) => node.name === name) ? "alive" : "unknown";
  }

  async stop(): Promise<void> {
    this.#standing = { is: "stopped" };
    this.#timer?.cancel();
  }

  #reread(): void {
    const { claim, file } = this.#options;
    try {
      this.#take(readNodeFile(file));
    } catch (error) {
      if (!this.#failing) this.#log.error({ err: error }, "The file of nodes cannot be read; those known before stay");
      this.#failing = true;
      return;
    }
    this.#failing = false;
    if (this.#standing.is !== "registered") return;
    const own = this.#nodes.find((node) => node.name === claim.name);
    if (own?.number === this.#number) return;
    const reason = own === undefined ? `${file} lists it no more` : `${file} gives it the number ${own.number} now`;
    this.#standing = { is: "lost", reason };
    this.#log.error({ node: claim.name, reason }, "This node has lost its place in the cluster; restart it");
  }

  #take(nodes: readonly KnownNode[]): void {
    this.#nodes = nodes;
    this.#others.set(nodes.filter((node) => node.name !== this.#options.claim.name));
  }
}

/** @throws NodeFileError naming the file and what is wrong. */
export function readNodeFile(file: string): KnownNode[] {
  let nodes: KnownNode[];
  try {
    const text = readFileSync(file, "utf8");
    if (file.endsWith(".toml")) nodes = asList(parse(text).node);
    else if (file.endsWith(".json")) nodes = asList(JSON.parse(text));
    else nodes = linesOf(text);
  } catch (error) {
    throw new NodeFileError(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const { name, number } of nodes) {
    if (names.has(name)) throw new NodeFileError(`${file}: the node "${name}" is there twice`);
    if (numbers.has(number)) throw new NodeFileError(`${file}: two nodes have the number ${number}`);
    names.add(name);
    numbers.add(number);
  }
  return nodes.toSorted((a, b) => a.number - b.number);
}

function linesOf(text: string): KnownNode[] {
  const names = text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  return names.map((name, index) => ({ name, number: numberOf(index + 1), address: "" }));
}

function asList(value: unknown): KnownNode[] {
  if (!Array.isArray(value)) throw new Error("a list of nodes is expected");
  return value.map((item) => {
    const { name, number, address = "" } = Object(item) as Record<string, unknown>;
    if (typeof name !== "string" || name === "") throw new Error("every node needs a name");
    if (typeof address !== "string") throw new Error(`the address of "${name}" is no text`);
    return { name, number: numberOf(number), address };
  });
}

function numberOf(value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= NODE_NUMBER_MAX) return value;
  throw new Error(`found the number ${JSON.stringify(value)}; allowed: an integer from 1 to ${NODE_NUMBER_MAX}`);
}
