/** Nodes, items, affiliations and subscriptions in the database. All methods may throw the errors of the store. */
import { type ExpressionBuilder, sql, type Transaction } from "kysely";
import type { Jid } from "../../stanza/jid.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import { repeatedTransaction } from "../../store/repeated-transaction.ts";
import { insertForId, insertRows, upsertRow } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import type { Clock } from "../../util/clock.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { itemOf, type NodeRow, nodeRow, type SelectedNode, subscriptionOf } from "./pubsub-rows.ts";
import type { Affiliation, Item, PubSubTables, Subscription } from "./pubsub-tables.ts";

/** Where nodes are: a domain of its own, or an account (XEP-0163). */
export interface ServiceKey {
  readonly server: string;
  /** "" where the service is a domain. */
  readonly username: string;
}

export interface ItemToPublish {
  readonly id: string;
  readonly payload: string;
}

export interface Kept {
  readonly itemsMax: number;
  readonly whenFull: "retract-oldest" | "discard-oldest" | "reject";
  /** Items published before are gone; 0 for none. */
  readonly expiredBefore: number;
}

export type Published =
  | { readonly outcome: "published"; readonly removed: readonly string[] }
  | { readonly outcome: "full" }
  /** Somebody has deleted the node. */
  | { readonly outcome: "gone" };

export interface ItemPage {
  readonly items: readonly Item[];
  readonly count: number;
  /** Place of the first one, the newest of all being 0. */
  readonly index: number;
}

type Trx = Transaction<PubSubTables>;
const attemptsMax = 5;
const namesPerQuery = 500;

export class PubSubStore {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #ofAccount: PreparedSelect<[server: string, username: string], SelectedNode>;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#ofAccount = store.prepare((server: string, username: string) =>
      this.#nodes().where("n.server", "=", server).where("n.username", "=", username).orderBy("n.name"),
    );
  }

  get #db() {
    return this.#store.tables<PubSubTables>();
  }

  #transaction<T>(run: (trx: Trx) => Promise<T>): Promise<T> {
    return repeatedTransaction(this.#store, attemptsMax, run);
  }

  // Nodes.

  #nodes() {
    return this.#db
      .selectFrom("pubsub_node as n")
      .select(["n.id", "n.username", "n.name", "n.config", "n.created_at", "n.creator"])
      .select((of) => [
        anyRow(
          of.exists(of.selectFrom("pubsub_affiliation as a").select("a.node_id").whereRef("a.node_id", "=", "n.id")),
        ).as("affiliated"),
        anyRow(
          of.exists(of.selectFrom("pubsub_subscription as s").select("s.node_id").whereRef("s.node_id", "=", "n.id")),
        ).as("subscribed"),
      ]);
  }

  async node({ server, username }: ServiceKey, name: string): Promise<NodeRow | undefined> {
    const row = await this.#nodes()
      .where("n.server", "=", server)
      .where("n.username", "=", username)
      .where("n.name", "=", name)
      .executeTakeFirst();
    return row === undefined ? undefined : nodeRow(row);
  }

  /** All nodes of some accounts of a server, in the order of their names. */
  async nodesOf(server: string, usernames: readonly string[]): Promise<NodeRow[]> {
    const nodes: NodeRow[] = [];
    for (let from = 0; from < usernames.length; from += namesPerQuery) {
      const some = usernames.slice(from, from + namesPerQuery);
      const rows = await this.#nodes()
        .where("n.server", "=", server)
        .where("n.username", "in", some)
        .orderBy("n.username")
        .orderBy("n.name")
        .execute();
      for (const row of rows) nodes.push(nodeRow(row));
    }
    return nodes;
  }

  /** All nodes of one account: what each login and logout may ask. */
  ofAccount(server: string, username: string): MaybePromise<NodeRow[]> {
    return then(this.#ofAccount.all(server, username), (rows) => rows.map(nodeRow));
  }

  /** Nodes of a service by name, behind `after`. */
  async listNodes({ server, username }: ServiceKey, after: string, limit: number): Promise<NodeRow[]> {
    const rows = await this.#nodes()
      .where("n.server", "=", server)
      .where("n.username", "=", username)
      .where("n.name", ">", after)
      .orderBy("n.name")
      .limit(limit)
      .execute();
    return rows.map(nodeRow);
  }

  async nodesById(ids: readonly number[]): Promise<(NodeRow & { readonly server: string })[]> {
    if (ids.length === 0) return [];
    const rows = await this.#nodes().select("n.server").where("n.id", "in", ids).execute();
    return rows.map((row) => ({ ...nodeRow(row), server: row.server }));
  }

  async countNodes({ server, username }: ServiceKey, creator: string): Promise<number> {
    const row = await this.#db
      .selectFrom("pubsub_node")
      .select((of) => of.fn.countAll().as("total"))
      .where("server", "=", server)
      .where("username", "=", username)
      .$if(username === "", (query) => query.where("creator", "=", creator))
      .executeTakeFirstOrThrow();
    return Number(row.total);
  }

  /** @throws StoreConflict when there is one of that name. */
  createNode(
    service: ServiceKey,
    name: string,
    config: string,
    creator: string,
    owner: string | undefined,
  ): Promise<number> {
    const row = { ...service, name, config, creator, created_at: this.#clock.now() };
    return this.#transaction(async (trx) => {
      const id = await insertForId(trx, "pubsub_node", row as never, "id");
      if (owner !== undefined) {
        await insertRows(trx, "pubsub_affiliation", [{ node_id: id, jid: owner, affiliation: "owner" }]);
      }
      return id;
    });
  }

  async configure(nodeId: number, config: string): Promise<void> {
    await this.#db.updateTable("pubsub_node").set({ config }).where("id", "=", nodeId).execute();
  }

  /** With all that belongs to it. */
  deleteNodes(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return Promise.resolve();
    return this.#transaction(async (trx) => {
      // The node first: whoever publishes to it at the same time waits for this row, and finds none.
      await trx.deleteFrom("pubsub_node").where("id", "in", ids).execute();
      for (const table of ["pubsub_item", "pubsub_affiliation", "pubsub_subscription"] as const) {
        await trx.deleteFrom(table).where("node_id", "in", ids).execute();
      }
    });
  }

  // Items.

  /** Stores items, the last one being the newest, and removes what is too many or too old. */
  publish(nodeId: number, publisher: string, items: readonly ItemToPublish[], kept: Kept): Promise<Published> {
    return this.#transaction<Published>(async (trx) => {
      const locked =
        this.#store.dialect === "sqlite" ? trx.selectFrom("pubsub_node") : trx.selectFrom("pubsub_node").forUpdate();
      if ((await locked.select("id").where("id", "=", nodeId).executeTakeFirst()) === undefined)
        return { outcome: "gone" };
      if (kept.expiredBefore > 0) {
        await trx
          .deleteFrom("pubsub_item")
          .where("node_id", "=", nodeId)
          .where("published_at", "<", kept.expiredBefore)
          .execute();
      }
      const ids = items.map((item) => item.id);
      await trx.deleteFrom("pubsub_item").where("node_id", "=", nodeId).where("item", "in", ids).execute();
      if (kept.whenFull === "reject" && (await countItems(trx, nodeId)) + items.length > kept.itemsMax)
        throw new NodeFull();
      const published_at = this.#clock.now();
      for (const { id: item, payload } of items) {
        await insertRows(trx, "pubsub_item", [{ node_id: nodeId, item, publisher, payload, published_at }] as never);
      }
      const newest = await trx
        .selectFrom("pubsub_item")
        .select("id")
        .where("node_id", "=", nodeId)
        .orderBy("id", "desc")
        .offset(kept.itemsMax)
        .limit(1)
        .executeTakeFirst();
      if (newest === undefined) return { outcome: "published", removed: [] };
      const surplus = await trx
        .selectFrom("pubsub_item")
        .select("item")
        .where("node_id", "=", nodeId)
        .where("id", "<=", newest.id)
        .execute();
      await trx.deleteFrom("pubsub_item").where("node_id", "=", nodeId).where("id", "<=", newest.id).execute();
      return { outcome: "published", removed: surplus.map((row) => row.item) };
    }).catch((error: unknown) => {
      if (error instanceof NodeFull) return { outcome: "full" };
      throw error;
    });
  }

  #items(nodeId: number, notBefore: number) {
    return this.#db
      .selectFrom("pubsub_item")
      .select(["id", "item", "publisher", "payload", "published_at"])
      .where("node_id", "=", nodeId)
      .where("published_at", ">=", notBefore);
  }

  /** The newest items, newest first. */
  async newest(nodeId: number, limit: number, notBefore = 0): Promise<Item[]> {
    const rows = await this.#items(nodeId, notBefore).orderBy("id", "desc").limit(limit).execute();
    return rows.map(itemOf);
  }

  async itemsById(nodeId: number, ids: readonly string[], notBefore = 0): Promise<Item[]> {
    if (ids.length === 0) return [];
    const rows = await this.#items(nodeId, notBefore).where("item", "in", ids).orderBy("id", "desc").execute();
    return rows.map(itemOf);
  }

  async item(nodeId: number, id: string): Promise<Item | undefined> {
    return (await this.itemsById(nodeId, [id]))[0];
  }

  /**
   * A page of the items, newest first; `after` and `before` are items that stand beside it. Undefined when such an item
   * is not there.
   */
  async page(
    nodeId: number,
    limit: number,
    place: { after?: string | undefined; before?: string | undefined; index?: number | undefined },
    notBefore = 0,
  ): Promise<ItemPage | undefined> {
    const named = place.after ?? (place.before === "" ? undefined : place.before);
    const beside = named === undefined ? undefined : await this.item(nodeId, named);
    if (named !== undefined && beside === undefined) return undefined;
    const count = await countItems(this.#db, nodeId, notBefore);
    let query = this.#items(nodeId, notBefore).limit(limit);
    if (beside !== undefined) query = query.where("id", place.after === undefined ? ">" : "<", beside.serial);
    if (place.index !== undefined) query = query.offset(place.index);
    const backwards = place.before !== undefined && place.after === undefined;
    const rows = limit === 0 ? [] : await query.orderBy("id", backwards ? "asc" : "desc").execute();
    if (backwards) rows.reverse();
    const items = rows.map(itemOf);
    const first = items[0];
    const index = first === undefined ? 0 : await this.#newerThan(nodeId, first.serial, notBefore);
    return { items, count, index };
  }

  async #newerThan(nodeId: number, serial: number, notBefore: number): Promise<number> {
    const row = await this.#db
      .selectFrom("pubsub_item")
      .select((of) => of.fn.countAll().as("total"))
      .where("node_id", "=", nodeId)
      .where("id", ">", serial)
      .where("published_at", ">=", notBefore)
      .executeTakeFirstOrThrow();
    return Number(row.total);
  }

  async itemIds(nodeId: number, limit: number, notBefore = 0): Promise<string[]> {
    const rows = await this.#db
      .selectFrom("pubsub_item")
      .select("item")
      .where("node_id", "=", nodeId)
      .where("published_at", ">=", notBefore)
      .orderBy("id", "desc")
      .limit(limit)
      .execute();
    return rows.map((row) => row.item);
  }

  /** The newest item of each node that has one. */
  async lastItems(nodeIds: readonly number[]): Promise<Map<number, Item>> {
    const last = new Map<number, Item>();
    for (let from = 0; from < nodeIds.length; from += namesPerQuery) {
      const rows = await this.#db
        .selectFrom("pubsub_node as n")
        .innerJoin("pubsub_item as i", (join) =>
          join.on("i.id", "=", (of) =>
            of
              .selectFrom("pubsub_item as j")
              .select((inner) => inner.fn.max("j.id").as("newest"))
              .whereRef("j.node_id", "=", "n.id"),
          ),
        )
        .select(["i.node_id", "i.id", "i.item", "i.publisher", "i.payload", "i.published_at"])
        .where("n.id", "in", nodeIds.slice(from, from + namesPerQuery))
        .execute();
      for (const row of rows) last.set(row.node_id, itemOf(row));
    }
    return last;
  }

  /** Removes items; returns the ids of those that were there. */
  /** Removes all of these items, or none where one is not there; resolves to whether they were. */
  async retract(nodeId: number, ids: readonly string[]): Promise<boolean> {
    return this.#transaction(async (trx) => {
      const rows = await trx
        .selectFrom("pubsub_item")
        .select("item")
        .where("node_id", "=", nodeId)
        .where("item", "in", ids)
        .execute();
      if (rows.length < new Set(ids).size) return false;
      await trx.deleteFrom("pubsub_item").where("node_id", "=", nodeId).where("item", "in", ids).execute();
      return true;
    });
  }

  async purge(nodeId: number, publisher?: string): Promise<void> {
    await this.#db
      .deleteFrom("pubsub_item")
      .where("node_id", "=", nodeId)
      .$if(publisher !== undefined, (query) => query.where("publisher", "=", publisher as string))
      .execute();
  }

  // Affiliations.

  async affiliation(nodeId: number, jid: string): Promise<Affiliation | undefined> {
    const row = await this.#db
      .selectFrom("pubsub_affiliation")
      .select("affiliation")
      .where("node_id", "=", nodeId)
      .where("jid", "=", jid)
      .executeTakeFirst();
    return row?.affiliation as Affiliation | undefined;
  }

  async affiliations(nodeId: number): Promise<Map<string, Affiliation>> {
    const rows = await this.#db
      .selectFrom("pubsub_affiliation")
      .select(["jid", "affiliation"])
      .where("node_id", "=", nodeId)
      .orderBy("jid")
      .execute();
    return new Map(rows.map((row) => [row.jid, row.affiliation as Affiliation]));
  }

  /** Nodes of a service with which somebody is affiliated. */
  async affiliationsOf(
    { server, username }: ServiceKey,
    jid: string,
  ): Promise<{ node: string; affiliation: Affiliation }[]> {
    const rows = await this.#db
      .selectFrom("pubsub_affiliation as a")
      .innerJoin("pubsub_node as n", "n.id", "a.node_id")
      .select(["n.name", "a.affiliation"])
      .where("a.jid", "=", jid)
      .where("n.server", "=", server)
      .where("n.username", "=", username)
      .orderBy("n.name")
      .execute();
    return rows.map((row) => ({ node: row.name, affiliation: row.affiliation as Affiliation }));
  }

  /** An undefined affiliation is none. Whoever is cast out is subscribed no longer. */
  setAffiliations(nodeId: number, changes: ReadonlyMap<string, Affiliation | undefined>): Promise<void> {
    return this.#transaction(async (trx) => {
      for (const [jid, affiliation] of changes) {
        if (affiliation === undefined) {
          await trx.deleteFrom("pubsub_affiliation").where("node_id", "=", nodeId).where("jid", "=", jid).execute();
          continue;
        }
        await upsertRow(trx, "pubsub_affiliation", { node_id: nodeId, jid, affiliation }, ["node_id", "jid"]);
        if (affiliation !== "outcast") continue;
        await trx.deleteFrom("pubsub_subscription").where("node_id", "=", nodeId).where("jid", "=", jid).execute();
      }
    });
  }

  // Subscriptions.

  #subscriptions() {
    const now = this.#clock.now();
    return this.#db
      .selectFrom("pubsub_subscription as s")
      .select(["s.node_id", "s.jid", "s.resource", "s.subid", "s.state", "s.options", "s.expires_at"])
      .where((of) => of.or([of("s.expires_at", "=", 0), of("s.expires_at", ">", now)]));
  }

  async subscriptions(nodeId: number, jid?: string): Promise<Subscription[]> {
    const rows = await this.#subscriptions()
      .where("s.node_id", "=", nodeId)
      .$if(jid !== undefined, (query) => query.where("s.jid", "=", jid as string))
      .orderBy("s.jid")
      .orderBy("s.resource")
      .execute();
    return rows.map(subscriptionOf);
  }

  /** Subscriptions of somebody at a service, by node. */
  async subscriptionsOf({ server, username }: ServiceKey, jid: string): Promise<(Subscription & { node: string })[]> {
    const rows = await this.#subscriptions()
      .innerJoin("pubsub_node as n", "n.id", "s.node_id")
      .select("n.name")
      .where("s.jid", "=", jid)
      .where("n.server", "=", server)
      .where("n.username", "=", username)
      .orderBy("n.name")
      .orderBy("s.resource")
      .execute();
    return rows.map((row) => ({ ...subscriptionOf(row), node: row.name }));
  }

  /** Those whose time is over are forgotten first. */
  async countSubscriptions(nodeId: number): Promise<number> {
    await this.#db
      .deleteFrom("pubsub_subscription")
      .where("node_id", "=", nodeId)
      .where("expires_at", ">", 0)
      .where("expires_at", "<=", this.#clock.now())
      .execute();
    const row = await this.#db
      .selectFrom("pubsub_subscription")
      .select((of) => of.fn.countAll().as("total"))
      .where("node_id", "=", nodeId)
      .executeTakeFirstOrThrow();
    return Number(row.total);
  }

  async setSubscription(nodeId: number, jid: Jid, subscription: Omit<Subscription, "nodeId" | "jid">): Promise<void> {
    const { subid, state, options, expiresAt } = subscription;
    const row = {
      node_id: nodeId,
      jid: jid.bare,
      resource: jid.resource,
      subid,
      state,
      options,
      expires_at: expiresAt,
    };
    await upsertRow(this.#db, "pubsub_subscription", row, ["node_id", "jid", "resource"]);
  }

  async removeSubscription(nodeId: number, jid: Jid): Promise<void> {
    await this.#db
      .deleteFrom("pubsub_subscription")
      .where("node_id", "=", nodeId)
      .where("jid", "=", jid.bare)
      .where("resource", "=", jid.resource)
      .execute();
  }

  // Accounts that are removed.

  /** Nodes that somebody owns alone, on any service. */
  async ownedAlone(jid: string): Promise<number[]> {
    const rows = await this.#db
      .selectFrom("pubsub_affiliation as a")
      .select("a.node_id")
      .where("a.jid", "=", jid)
      .where("a.affiliation", "=", "owner")
      .where((of) =>
        of.not(
          of.exists(
            of
              .selectFrom("pubsub_affiliation as b")
              .select("b.node_id")
              .whereRef("b.node_id", "=", "a.node_id")
              .where("b.affiliation", "=", "owner")
              .where("b.jid", "!=", jid),
          ),
        ),
      )
      .execute();
    return rows.map((row) => row.node_id);
  }

  /** Every trace outside of nodes of his own. Returns the nodes that had one. */
  async forget(jid: string): Promise<number[]> {
    return this.#transaction(async (trx) => {
      const nodes = new Set<number>();
      for (const table of ["pubsub_affiliation", "pubsub_subscription"] as const) {
        const rows = await trx.selectFrom(table).select("node_id").where("jid", "=", jid).execute();
        for (const row of rows) nodes.add(row.node_id);
        await trx.deleteFrom(table).where("jid", "=", jid).execute();
      }
      await trx.deleteFrom("pubsub_item").where("publisher", "=", jid).execute();
      await trx
        .updateTable("pubsub_node")
        .set({ creator: "" })
        .where("id", "in", [...nodes, 0])
        .where("creator", "=", jid)
        .execute();
      return [...nodes];
    });
  }
}

class NodeFull extends Error {
  override readonly name = "NodeFull";
}

// biome-ignore lint/suspicious/noExplicitAny: an expression of whichever tables the query has
const anyRow = (exists: any) => sql<number>`case when ${exists} then 1 else 0 end`;

// biome-ignore lint/suspicious/noExplicitAny: the database itself or a transaction
async function countItems(db: any, nodeId: number, notBefore = 0): Promise<number> {
  const row = await (db as Trx)
    .selectFrom("pubsub_item")
    .select((of: ExpressionBuilder<PubSubTables, "pubsub_item">) => of.fn.countAll().as("total"))
    .where("node_id", "=", nodeId)
    .where("published_at", ">=", notBefore)
    .executeTakeFirstOrThrow();
  return Number(row.total);
}
