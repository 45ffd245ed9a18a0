/** What all parts of the engine share: the services there are, their nodes, and where to look things up. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import type { Access } from "./access.ts";
import type { ConfigLimits, NodeConfig } from "./node-config.ts";
import type { Nodes } from "./nodes.ts";
import type { Notifier } from "./notifier.ts";
import { noSuchNode, pubsubError } from "./pubsub-errors.ts";
import type { PubSubStore, ServiceKey } from "./pubsub-store.ts";

export type PubSubHouse = Pick<
  ModuleContext<unknown>,
  | "domain"
  | "clock"
  | "random"
  | "log"
  | "access"
  | "sessionsOf"
  | "resourcesOf"
  | "isAvailable"
  | "ask"
  | "service"
  | "notices"
  | "run"
>;

/** A domain with nodes, or an account that is one (XEP-0163). */
export interface PubSubService {
  readonly key: ServiceKey;
  readonly address: Jid;
  /** Whose nodes these are; undefined where the service is a domain. */
  readonly account: Jid | undefined;
  readonly defaults: NodeConfig;
}

export interface PubSubNode {
  readonly id: number;
  readonly name: string;
  readonly config: NodeConfig;
  readonly createdAt: number;
  /** Bare address, "" when it is not known any more. */
  readonly creator: string;
  /** Somebody is affiliated or subscribed. */
  readonly shared: boolean;
}

export interface PubSubSettings extends ConfigLimits {
  readonly nodesMax: number;
  readonly subscriptionsMax: number;
  readonly itemPublisher: boolean;
  readonly ignoreOffline: boolean;
  readonly createRule: string;
  /** Nodes of type "push" may be made. */
  readonly pushNodes: boolean;
}

export interface Core {
  readonly house: PubSubHouse;
  readonly settings: PubSubSettings;
  readonly store: PubSubStore;
  readonly nodes: Nodes;
  readonly access: Access;
  readonly notifier: Notifier;
}

/** A request inside `<pubsub/>`, of either namespace. */
export interface PubSubRequest {
  readonly service: PubSubService;
  readonly from: Jid;
  readonly pubsub: Element;
  /** The child that says what is wanted. */
  readonly action: Element;
}

export const nameCharsMax = 250;

/** The node a request names. @throws StanzaError bad-request when it names none. */
export function nodeNameOf(action: Element): string {
  const name = action.attr("node");
  if (name === undefined || name === "") throw pubsubError("bad-request", "nodeid-required");
  return name;
}

export async function nodeOf(core: Core, { service, action }: PubSubRequest): Promise<PubSubNode> {
  const node = await core.nodes.find(service, nodeNameOf(action));
  if (node === undefined) throw noSuchNode();
  return node;
}

/** Sections 6.3.7 and 8.1.3: what says more of a request follows it and names no node or subscriber itself. @throws StanzaError bad-request. */
export function requireBehind(pubsub: Element, action: Element, more: Element): void {
  const elements = pubsub.elements();
  const behind = elements.indexOf(more) > elements.indexOf(action);
  if (behind && more.attr("node") === undefined && more.attr("jid") === undefined) return;
  throw new StanzaError("bad-request", { text: `<${more.name}/> stands behind <${action.name}/> and names nothing` });
}

/** @throws StanzaError not-acceptable for a name that does not fit the database. */
export function checkName(name: string, what: string): void {
  if (name.length > nameCharsMax) {
    throw new StanzaError("not-acceptable", { text: `${what} has ${nameCharsMax} characters at most` });
  }
}

export const pubsubElement = (inside: Xml): Xml => xml`<pubsub xmlns='${ns.pubsub}'>${inside}</pubsub>`;
export const ownerElement = (inside: Xml): Xml => xml`<pubsub xmlns='${ns.pubsubOwner}'>${inside}</pubsub>`;

/** Items published before this moment have expired; 0 when none has. */
export function expiredBefore(config: NodeConfig, now: number): number {
  return config.item_expire === "max" ? 0 : Math.max(0, now - config.item_expire * 1000);
}

export function itemsMaxOf(config: NodeConfig, limits: ConfigLimits): number {
  return config.max_items === "max" ? limits.maxItems : config.max_items;
}
