/** The tables of XEP-0060: nodes, their items, and who is affiliated and subscribed. */
import { autoId, bigint, key, millis, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";

/** A bare address: localpart and domain of 250 characters each at most. */
const address = () => key({ chars: 501 });

export const pubsubMigrations: readonly Migration[] = [
  {
    name: "pubsub/1-create",
    async up(schema) {
      await schema.createTable("pubsub_node", {
        columns: {
          id: autoId(),
          server: key(),
          username: key(),
          name: key(),
          config: text(),
          created_at: millis(),
          creator: text(),
        },
        unique: { pubsub_node_by_name: ["server", "username", "name"] },
      });
      await schema.createTable("pubsub_item", {
        columns: {
          id: autoId(),
          node_id: bigint(),
          item: key(),
          publisher: address(),
          payload: text(),
          published_at: millis(),
        },
        unique: { pubsub_item_by_name: ["node_id", "item"] },
        indexes: { pubsub_item_by_age: ["node_id", "id"], pubsub_item_by_publisher: ["publisher"] },
      });
      await schema.createTable("pubsub_affiliation", {
        columns: { node_id: bigint(), jid: address(), affiliation: key({ chars: 16 }) },
        primaryKey: ["node_id", "jid"],
        indexes: { pubsub_affiliation_by_jid: ["jid", "node_id"] },
      });
      await schema.createTable("pubsub_subscription", {
        columns: {
          node_id: bigint(),
          jid: address(),
          resource: key(),
          subid: key({ chars: 40 }),
          state: key({ chars: 16 }),
          options: text(),
          expires_at: millis({ initial: 0 }),
        },
        primaryKey: ["node_id", "jid", "resource"],
        indexes: { pubsub_subscription_by_jid: ["jid", "node_id"] },
      });
    },
  },
];

export interface PubSubTables {
  pubsub_node: {
    id: number;
    server: string;
    /** "" where the service is a domain. */
    username: string;
    name: string;
    /** JSON, see node-config.ts. */
    config: string;
    created_at: number;
    /** Bare address. */
    creator: string;
  };
  pubsub_item: {
    /** Order of publication. */
    id: number;
    node_id: number;
    item: string;
    /** Bare address. */
    publisher: string;
    /** XML, "" for none. */
    payload: string;
    published_at: number;
  };
  pubsub_affiliation: { node_id: number; jid: string; affiliation: string };
  pubsub_subscription: {
    node_id: number;
    jid: string;
    resource: string;
    subid: string;
    state: string;
    /** JSON, see subscribe-options.ts. */
    options: string;
    /** 0 for never. */
    expires_at: number;
  };
}

export const affiliations = ["owner", "publisher", "publish-only", "member", "outcast"] as const;
export type Affiliation = (typeof affiliations)[number];

export interface Item {
  /** Order of publication. */
  readonly serial: number;
  readonly id: string;
  /** Bare address. */
  readonly publisher: string;
  readonly payload: string;
  readonly publishedAt: number;
}

export interface Subscription {
  readonly nodeId: number;
  /** Bare or full. */
  readonly jid: string;
  readonly subid: string;
  readonly state: "subscribed" | "pending";
  readonly options: string;
  /** Milliseconds since the epoch; 0 for never. */
  readonly expiresAt: number;
}
