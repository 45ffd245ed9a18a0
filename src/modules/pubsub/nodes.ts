/** The nodes of services, remembered: publishing and logging in look them up each time, and they seldom change. */

import { StanzaError } from "../../stanza/errors.ts";
import { StoreConflict } from "../../store/errors.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import type { PubSubHouse, PubSubNode, PubSubService } from "./core.ts";
import { type NodeConfig, readConfig, writeConfig } from "./node-config.ts";
import type { NodeRow } from "./pubsub-rows.ts";
import type { PubSubStore, ServiceKey } from "./pubsub-store.ts";

const rememberedMax = 20_000;
const none: readonly PubSubNode[] = [];

export class Nodes {
  readonly #store: PubSubStore;
  readonly #pepDefaults: NodeConfig;
  /** All nodes of an account, or the one of that name of a domain; see `#keyOf`. */
  readonly #remembered = new BoundedMap<string, readonly PubSubNode[]>(rememberedMax);
  /** Changes so far; what was read before a change is not remembered. */
  #changes = 0;
  readonly #tell: (key: string) => void;

  constructor(house: Pick<PubSubHouse, "notices">, store: PubSubStore, pepDefaults: NodeConfig) {
    this.#store = store;
    this.#pepDefaults = pepDefaults;
    this.#tell = house.notices("pubsub nodes", (key) => this.#forget(key));
  }

  async find(service: PubSubService, name: string): Promise<PubSubNode | undefined> {
    if (service.account !== undefined) {
      const nodes = await this.ofAccount(service.key);
      return nodes.find((node) => node.name === name);
    }
    const key = keyOf(service.key, name);
    const known = this.#remembered.touch(key);
    if (known !== undefined) return known[0];
    const changes = this.#changes;
    const row = await this.#store.node(service.key, name);
    if (row === undefined) return undefined;
    const node = nodeFrom(row, service.defaults);
    if (changes === this.#changes) this.#remembered.set(key, [node]);
    return node;
  }

  ofAccount(service: ServiceKey): MaybePromise<readonly PubSubNode[]> {
    const key = keyOf(service, "");
    const known = this.#remembered.touch(key);
    if (known !== undefined) return known;
    const changes = this.#changes;
    return then(this.#store.ofAccount(service.server, service.username), (rows) => {
      const nodes = rows.length === 0 ? none : rows.map((row) => nodeFrom(row, this.#pepDefaults));
      if (changes === this.#changes) this.#remembered.set(key, nodes);
      return nodes;
    });
  }

  /** The nodes of several accounts; of accounts without nodes the list is empty. */
  async ofAccounts(server: string, usernames: readonly string[]): Promise<ReadonlyMap<string, readonly PubSubNode[]>> {
    const found = new Map<string, readonly PubSubNode[]>();
    const missing: string[] = [];
    for (const username of usernames) {
      const known = this.#remembered.touch(keyOf({ server, username }, ""));
      if (known === undefined) missing.push(username);
      else found.set(username, known);
    }
    if (missing.length === 0) return found;
    const changes = this.#changes;
    const loaded = new Map<string, PubSubNode[]>();
    for (const row of await this.#store.nodesOf(server, missing)) {
      const list = loaded.get(row.username);
      const node = nodeFrom(row, this.#pepDefaults);
      if (list === undefined) loaded.set(row.username, [node]);
      else list.push(node);
    }
    for (const username of missing) {
      const nodes = loaded.get(username) ?? none;
      found.set(username, nodes);
      if (changes === this.#changes) this.#remembered.set(keyOf({ server, username }, ""), nodes);
    }
    return found;
  }

  /** Nodes of a service in the order of their names, behind `after`. */
  async list(service: PubSubService, after: string, limit: number): Promise<readonly PubSubNode[]> {
    if (service.account === undefined) {
      const rows = await this.#store.listNodes(service.key, after, limit);
      return rows.map((row) => nodeFrom(row, service.defaults));
    }
    const nodes = await this.ofAccount(service.key);
    return nodes.filter((node) => node.name > after).slice(0, limit);
  }

  /** @throws StanzaError conflict when there is one of that name. */
  async create(service: PubSubService, name: string, config: NodeConfig, creator: string): Promise<PubSubNode> {
    // An account owns its nodes without it being written down.
    const owner = service.account?.bare === creator ? undefined : creator;
    try {
      await this.#store.createNode(service.key, name, writeConfig(config), creator, owner);
    } catch (error) {
      if (error instanceof StoreConflict) throw new StanzaError("conflict", { text: "There is a node of that name" });
      throw error;
    }
    this.changed(service, name);
    return (await this.find(service, name))!;
  }

  async configure(service: PubSubService, node: PubSubNode, config: NodeConfig): Promise<PubSubNode> {
    await this.#store.configure(node.id, writeConfig(config));
    this.changed(service, node.name);
    return { ...node, config };
  }

  async delete(service: PubSubService, nodes: readonly PubSubNode[]): Promise<void> {
    await this.#store.deleteNodes(nodes.map((node) => node.id));
    for (const node of nodes) this.changed(service, node.name);
  }

  /** A node was created, changed or deleted, or somebody's relation to it. */
  changed(service: Pick<PubSubService, "key">, name: string): void {
    const key = keyOf(service.key, name);
    this.#forget(key);
    this.#tell(key);
  }

  #forget(key: string | undefined): void {
    this.#changes++;
    if (key === undefined) this.#remembered.clear();
    else this.#remembered.delete(key);
  }
}

/** Of an account all nodes together. */
function keyOf({ server, username }: ServiceKey, name: string): string {
  return username === "" ? `${server} ${name}` : `${username}@${server}`;
}

export function nodeFrom(row: NodeRow, defaults: NodeConfig): PubSubNode {
  const { id, name, createdAt, creator, shared } = row;
  return { id, name, config: readConfig(row.config, defaults), createdAt, creator, shared };
}
