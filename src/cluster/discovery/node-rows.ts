/** The table of nodes and what is asked of it. All times are those of the database, so nodes' own clocks do not matter. */
import { type RawBuilder, sql } from "kysely";
import { bigint, integer, key, millis, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";
import { insertRows } from "../../store/rows.ts";
import type { StoreDialect } from "../../store/settings.ts";
import type { Store } from "../../store/store.ts";
import { NODE_NUMBER_MAX } from "../fabric/envelope.ts";
import { type NodeClaim, NoNumberFree, type RegisteredNode } from "./discovery.ts";

export interface ClusterTables {
  cluster_nodes: {
    cluster_name: string;
    node_name: string;
    node_number: number;
    incarnation: number;
    address: string;
    version: string;
    started: number;
    heartbeat: number;
  };
  /** The last incarnation that a node of the cluster was given; its row is also the lock of all who register. */
  cluster_incarnations: { cluster_name: string; last: number };
}

export const clusterMigrations: readonly Migration[] = [
  {
    name: "cluster/1-create",
    up: async (schema) => {
      await schema.createTable("cluster_nodes", {
        columns: {
          cluster_name: key({ chars: 64 }),
          node_name: key(),
          node_number: integer(),
          incarnation: bigint(),
          address: text(),
          version: text(),
          started: millis(),
          heartbeat: millis(),
        },
        primaryKey: ["cluster_name", "node_name"],
        unique: { cluster_nodes_number: ["cluster_name", "node_number"] },
      });
      await schema.createTable("cluster_incarnations", {
        columns: { cluster_name: key({ chars: 64 }), last: bigint() },
        primaryKey: ["cluster_name"],
      });
    },
  },
];

/** Milliseconds since the epoch by the database's clock, not by the transaction's beginning. */
const NOW: Record<StoreDialect, RawBuilder<number>> = {
  sqlite: sql<number>`cast(unixepoch('subsec') * 1000 as integer)`,
  postgres: sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`,
  mysql: sql<number>`cast(unix_timestamp(sysdate(3)) * 1000 as signed)`,
};

/** The life a claim was given. */
export interface Claimed {
  readonly number: number;
  readonly incarnation: number;
}

/** All methods may throw the errors of the store. */
export class NodeRows {
  readonly #store: Store;
  readonly #cluster: string;
  readonly #now: RawBuilder<number>;

  constructor(store: Store, cluster: string) {
    this.#store = store;
    this.#cluster = cluster;
    this.#now = NOW[store.dialect];
  }

  /** All nodes of the cluster, by number. */
  async list(): Promise<RegisteredNode[]> {
    const rows = await this.#db
      .selectFrom("cluster_nodes")
      .selectAll()
      .select(this.#now.as("now"))
      .where("cluster_name", "=", this.#cluster)
      .orderBy("node_number")
      .execute();
    return rows.map((row) => ({
      name: row.node_name,
      number: row.node_number,
      incarnation: row.incarnation,
      address: row.address,
      version: row.version,
      startedAt: row.started,
      heartbeatAt: row.heartbeat,
      silentMs: Math.max(row.now - row.heartbeat, 0),
    }));
  }

  /** Before the first claim: the row that claims lock. */
  async prepare(): Promise<void> {
    await insertRows(this.#db, "cluster_incarnations", [{ cluster_name: this.#cluster, last: 0 }], "ignore");
  }

  /**
   * Gives the node a new incarnation, and a number: that of its row, or the lowest free one. Undefined when somebody
   * else has this name meanwhile: `dead` is the incarnation that is known to be dead, undefined when there was no row.
   * @throws NoNumberFree
   */
  async claim(claim: NodeClaim, dead: number | undefined): Promise<Claimed | undefined> {
    const cluster = this.#cluster;
    return this.#db.transaction().execute(async (trx) => {
      // Takes the lock, before anything is read. Seconds keep the numbers growing when an old backup is restored.
      const next = sql<number>`case when last >= ${this.#seconds} then last + 1 else ${this.#seconds} end`;
      await trx.updateTable("cluster_incarnations").set({ last: next }).where("cluster_name", "=", cluster).execute();
      const { last: incarnation } = await trx
        .selectFrom("cluster_incarnations")
        .select("last")
        .where("cluster_name", "=", cluster)
        .executeTakeFirstOrThrow();
      const rows = await trx
        .selectFrom("cluster_nodes")
        .select(["node_name", "node_number", "incarnation"])
        .where("cluster_name", "=", cluster)
        .orderBy("node_number")
        .execute();
      const own = rows.find((row) => row.node_name === claim.name);
      if (own?.incarnation !== dead) return undefined;
      const life = {
        incarnation,
        address: claim.address,
        version: claim.version,
        started: this.#now,
        heartbeat: this.#now,
      };
      if (own !== undefined) {
        await trx
          .updateTable("cluster_nodes")
          .set(life)
          .where("cluster_name", "=", cluster)
          .where("node_name", "=", claim.name)
          .execute();
        return { number: own.node_number, incarnation };
      }
      let number = 1;
      for (const row of rows) if (row.node_number === number) number++;
      if (number > NODE_NUMBER_MAX) throw new NoNumberFree(cluster);
      await trx
        .insertInto("cluster_nodes")
        .values({ cluster_name: cluster, node_name: claim.name, node_number: number, ...life })
        .execute();
      return { number, incarnation };
    });
  }

  /** Says that this life goes on. */
  async beat(name: string, incarnation: number): Promise<void> {
    await this.#db
      .updateTable("cluster_nodes")
      .set({ heartbeat: this.#now })
      .where("cluster_name", "=", this.#cluster)
      .where("node_name", "=", name)
      .where("incarnation", "=", incarnation)
      .execute();
  }

  /** Puts the row of a living node back. @throws StoreConflict when name or number are another's now. */
  async restore(claim: NodeClaim, life: Claimed): Promise<void> {
    await this.#db
      .insertInto("cluster_nodes")
      .values({
        cluster_name: this.#cluster,
        node_name: claim.name,
        node_number: life.number,
        incarnation: life.incarnation,
        address: claim.address,
        version: claim.version,
        started: this.#now,
        heartbeat: this.#now,
      })
      .execute();
  }

  /** Deletes the row of one life, unless its heart has beaten since `heartbeatAt`. Whether it was there. */
  async remove(name: string, incarnation: number, heartbeatAt = Number.MAX_SAFE_INTEGER): Promise<boolean> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("cluster_nodes")
      .where("cluster_name", "=", this.#cluster)
      .where("node_name", "=", name)
      .where("incarnation", "=", incarnation)
      .where("heartbeat", "<=", heartbeatAt)
      .executeTakeFirst();
    return numDeletedRows > 0n;
  }

  get #db() {
    return this.#store.tables<ClusterTables>();
  }

  get #seconds(): RawBuilder<number> {
    return this.#store.dialect === "mysql" ? sql<number>`floor(${this.#now} / 1000)` : sql<number>`${this.#now} / 1000`; // both divide integers to integers
  }
}
