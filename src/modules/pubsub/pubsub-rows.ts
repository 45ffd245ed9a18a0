/** What the database says of nodes, items and subscriptions, as the rest of publish-subscribe knows it. */
import { parseJid } from "../../stanza/jid.ts";
import type { Item, Subscription } from "./pubsub-tables.ts";

export interface NodeRow {
  readonly id: number;
  readonly username: string;
  readonly name: string;
  readonly config: string;
  readonly createdAt: number;
  readonly creator: string;
  /** Somebody is affiliated or subscribed. */
  readonly shared: boolean;
}

export interface SelectedNode {
  readonly id: number;
  readonly username: string;
  readonly name: string;
  readonly config: string;
  readonly created_at: number;
  readonly creator: string;
  readonly affiliated: number;
  readonly subscribed: number;
}

export function nodeRow(row: SelectedNode): NodeRow {
  return {
    id: row.id,
    username: row.username,
    name: row.name,
    config: row.config,
    createdAt: row.created_at,
    creator: row.creator,
    shared: Number(row.affiliated) + Number(row.subscribed) > 0,
  };
}

export function itemOf(row: {
  id: number;
  item: string;
  publisher: string;
  payload: string;
  published_at: number;
}): Item {
  return {
    serial: row.id,
    id: row.item,
    publisher: row.publisher,
    payload: row.payload,
    publishedAt: row.published_at,
  };
}

export function subscriptionOf(row: {
  node_id: number;
  jid: string;
  resource: string;
  subid: string;
  state: string;
  options: string;
  expires_at: number;
}): Subscription {
  const jid = row.resource === "" ? row.jid : (parseJid(row.jid)?.withResource(row.resource).full ?? row.jid);
  return {
    nodeId: row.node_id,
    jid,
    subid: row.subid,
    state: row.state as Subscription["state"],
    options: row.options,
    expiresAt: row.expires_at,
  };
}
