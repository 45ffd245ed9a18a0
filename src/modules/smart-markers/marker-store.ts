/** How far people have read, in the database: one row for each account, conversation, thread and kind of marker. */
import { createHash } from "node:crypto";
import type { SelectQueryBuilder } from "kysely";
import type { Jid } from "../../stanza/jid.ts";
import { bigint, key, millis, text } from "../../store/columns.ts";
import type { GroupCommit } from "../../store/group-commit.ts";
import { pages } from "../../store/keyset.ts";
import type { Migration } from "../../store/migrations.ts";
import type { Merge } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { textHash } from "../../util/text-hash.ts";

export interface MarkerTables {
  smart_markers: {
    server: string;
    username: string;
    /** Hash of conversation, thread and kind, which together are too long for a key. */
    target: string;
    /** `textHash` of the peer, by which the markers of a room are found. */
    peer_hash: number;
    /** With whom: bare address of a user or room. */
    peer: string;
    /** "" for the conversation itself. */
    thread: string;
    type: string;
    /** The message that is marked, as the marker names it. */
    msg_id: string;
    marked_at: number;
  };
}

export const markerTypes = ["received", "displayed", "acknowledged"] as const;
export type MarkerType = (typeof markerTypes)[number];

export const markerMigrations: readonly Migration[] = [
  {
    name: "smart-markers/1-create",
    up: (schema) =>
      schema.createTable("smart_markers", {
        columns: {
          server: key(),
          username: key(),
          target: key({ chars: 64 }),
          peer_hash: bigint(),
          peer: text(),
          thread: text(),
          type: key({ chars: 16 }),
          msg_id: text(),
          marked_at: millis(),
        },
        primaryKey: ["server", "username", "target"],
        indexes: { smart_markers_peer: ["peer_hash"] },
      }),
  },
];

export interface Marker {
  readonly server: string;
  readonly username: string;
  readonly type: string;
  readonly id: string;
  readonly at: number;
}

/** Where markers of one account may stand. */
export interface MarkerPlace {
  readonly account: Jid;
  readonly peer: Jid;
  readonly thread: string;
}

/** Two nodes may write in any order: the newest by their clocks stays. */
const newest: Merge = [
  ["msg_id", (old, fresh) => `case when ${newer(old, fresh)} then ${fresh("msg_id")} else ${old("msg_id")} end`],
  // MySQL looks at what was assigned already, so the time comes last.
  [
    "marked_at",
    (old, fresh) => `case when ${newer(old, fresh)} then ${fresh("marked_at")} else ${old("marked_at")} end`,
  ],
];
const onConflict = { key: ["server", "username", "target"], merge: newest } as const;

function newer(old: (column: string) => string, fresh: (column: string) => string): string {
  return `${fresh("marked_at")} >= ${old("marked_at")}`;
}

function targetOf(peer: string, thread: string, type: string): string {
  return createHash("sha256").update(`${type}\n${peer}\n${thread}`).digest("hex");
}

/** Rows removed by one statement; small, because others wait for its locks. */
const removedAtOnce = 500;
const shown = ["server", "username", "type", "msg_id as id", "marked_at as at"] as const;
type Markers = SelectQueryBuilder<MarkerTables, "smart_markers", object>;

/** All methods may throw the errors of store/errors.ts. */
export class MarkerStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get #db() {
    return this.#store.tables<MarkerTables>();
  }

  #of({ domain, local }: Jid): Markers {
    const rows = this.#db.selectFrom("smart_markers") as Markers;
    return rows.where("server", "=", domain).where("username", "=", local);
  }

  /** Resolves when it is committed. */
  add(
    writes: GroupCommit,
    { account, peer, thread }: MarkerPlace,
    type: MarkerType,
    id: string,
    at: number,
  ): Promise<void> {
    const row = {
      server: account.domain,
      username: account.local,
      target: targetOf(peer.bare, thread, type),
      peer_hash: textHash(peer.bare),
      peer: peer.bare,
      thread,
      type,
      msg_id: id,
      marked_at: at,
    };
    return writes.add({ table: "smart_markers", row, onConflict });
  }

  /** What one account has marked in a thread, since a moment that counts too. */
  placed({ account, peer, thread }: MarkerPlace, since: number): Promise<Marker[]> {
    const targets = markerTypes.map((type) => targetOf(peer.bare, thread, type));
    return this.#of(account)
      .where("target", "in", targets)
      .where("marked_at", ">=", since)
      .select(shown)
      .orderBy("marked_at")
      .execute();
  }

  /** What anybody has marked in a thread of a room: the `limit` newest, oldest first. */
  async inRoom(room: Jid, thread: string, since: number, limit: number): Promise<Marker[]> {
    const markers = await this.#db
      .selectFrom("smart_markers")
      .select(shown)
      .where("peer_hash", "=", textHash(room.bare))
      .where("peer", "=", room.bare)
      .where("thread", "=", thread)
      .where("marked_at", ">=", since)
      .orderBy("marked_at", "desc")
      .orderBy("target")
      .limit(limit)
      .execute();
    return markers.reverse();
  }

  /** Leaves an account its `most` newest markers. */
  async trim(account: Jid, most: number): Promise<void> {
    for (;;) {
      const own = this.#of(account);
      const { count } = await own
        .select((on) => on.fn.countAll<number | string>().as("count"))
        .executeTakeFirstOrThrow();
      const surplus = Math.min(Number(count) - most, removedAtOnce);
      if (surplus <= 0) return;
      const rows = await own
        .select(["target", "marked_at"])
        .orderBy("marked_at")
        .orderBy("target")
        .limit(surplus)
        .execute();
      const { numDeletedRows } = await this.#db
        .deleteFrom("smart_markers")
        .where("server", "=", account.domain)
        .where("username", "=", account.local)
        .where(
          "target",
          "in",
          rows.map((row) => row.target),
        )
        // One that was set anew just now stays.
        .where("marked_at", "<=", Math.max(...rows.map((row) => row.marked_at)))
        .executeTakeFirst();
      if (numDeletedRows === 0n) return;
    }
  }

  async removeAccount(account: Jid): Promise<void> {
    await this.#db
      .deleteFrom("smart_markers")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }

  async removeRoom(room: Jid): Promise<void> {
    await this.#db
      .deleteFrom("smart_markers")
      .where("peer_hash", "=", textHash(room.bare))
      .where("peer", "=", room.bare)
      .execute();
  }

  async removeFromRoom(room: Jid, account: Jid): Promise<void> {
    await this.#db
      .deleteFrom("smart_markers")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("peer_hash", "=", textHash(room.bare))
      .where("peer", "=", room.bare)
      .execute();
  }

  /** Everything one account has marked, in pages. */
  all(
    account: Jid,
  ): AsyncGenerator<{ target: string; peer: string; thread: string; type: string; id: string; at: number }[]> {
    const query = this.#of(account).select(["target", "peer", "thread", "type", "msg_id as id", "marked_at as at"]);
    return pages(this.#db, query, { key: ["target"] });
  }
}
