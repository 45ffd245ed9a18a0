/** What is kept of one account, for whoever wants to know. */
import type { PersonalData } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { pages } from "../../store/keyset.ts";
import type { Store } from "../../store/store.ts";
import type { PubSubTables } from "./pubsub-tables.ts";

export function personalTables(store: Store, account: Jid): readonly PersonalData[] {
  const db = store.tables<PubSubTables>();
  return [
    {
      name: "pubsub_nodes",
      columns: ["node_name", "config"],
      async *rows() {
        const query = db
          .selectFrom("pubsub_node")
          .select(["name", "config"])
          .where("server", "=", account.domain)
          .where("username", "=", account.local);
        for await (const page of pages(db, query, { key: ["name"] }))
          for (const row of page) yield [row.name, row.config];
      },
    },
    {
      name: "pubsub_payloads",
      everyHost: true,
      columns: ["node_name", "item_id", "published_at", "payload"],
      async *rows() {
        // Everything he has published, on his own nodes and on others'.
        const query = db
          .selectFrom("pubsub_item as i")
          .innerJoin("pubsub_node as n", "n.id", "i.node_id")
          .select(["i.id as id", "n.name as name", "i.item as item", "i.published_at as at", "i.payload as payload"])
          .where("i.publisher", "=", account.bare);
        let after = 0;
        for (;;) {
          const rows = await query.where("i.id", ">", after).orderBy("i.id").limit(100).execute();
          for (const row of rows) {
            after = row.id;
            yield [row.name, row.item, new Date(row.at).toISOString(), row.payload];
          }
          if (rows.length < 100) return;
        }
      },
    },
    {
      name: "pubsub_subscriptions",
      everyHost: true,
      columns: ["service", "node_name", "state"],
      async *rows() {
        const rows = await db
          .selectFrom("pubsub_subscription as s")
          .innerJoin("pubsub_node as n", "n.id", "s.node_id")
          .select(["n.server", "n.username", "n.name", "s.state"])
          .where("s.jid", "=", account.bare)
          .orderBy("n.id")
          .execute();
        for (const row of rows)
          yield [row.username === "" ? row.server : `${row.username}@${row.server}`, row.name, row.state];
      },
    },
    {
      name: "pubsub_affiliations",
      everyHost: true,
      columns: ["service", "node_name", "affiliation"],
      async *rows() {
        const rows = await db
          .selectFrom("pubsub_affiliation as a")
          .innerJoin("pubsub_node as n", "n.id", "a.node_id")
          .select(["n.server", "n.username", "n.name", "a.affiliation"])
          .where("a.jid", "=", account.bare)
          .orderBy("n.id")
          .execute();
        for (const row of rows)
          yield [row.username === "" ? row.server : `${row.username}@${row.server}`, row.name, row.affiliation];
      },
    },
  ];
}
