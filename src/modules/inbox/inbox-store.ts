/** Reading inboxes, and changing them by their owner's word. All methods may throw the errors of store/errors.ts. */
import { type SelectQueryBuilder, sql } from "kysely";
import type { Jid } from "../../stanza/jid.ts";
import { pages } from "../../store/keyset.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import type { Store } from "../../store/store.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import type { InboxTables } from "./inbox-tables.ts";

/** What is shown of a conversation. */
export interface Entry extends Properties {
  readonly peer: string;
  readonly content: string;
  readonly lastAt: number;
}

export interface Properties {
  readonly box: string;
  readonly unread: number;
  readonly mutedUntil: number;
}

/** A place between two conversations in the order of their last messages. */
export interface Place {
  readonly at: number;
  readonly peer: string;
}

export interface EntryFilter {
  /** Both are times that match too. */
  readonly start?: number;
  readonly end?: number;
  /** Undefined: all but the bin. */
  readonly box: string | "all" | undefined;
  readonly unreadOnly: boolean;
}

export interface EntryPage {
  readonly order: "asc" | "desc";
  /** Only what lies beyond this place, in the direction of `order`. */
  readonly beyond?: Place;
  readonly limit: number;
}

/** A change of what the owner sets; what is undefined stays. */
export interface PropertyChange {
  readonly box?: string;
  readonly read?: boolean;
  readonly mutedUntil?: number;
}

const shown = [
  "peer",
  "content",
  "last_at as lastAt",
  "box",
  "unread_count as unread",
  "muted_until as mutedUntil",
] as const;
/** Rows removed by one statement; small, because others wait for its locks. */
const removedAtOnce = 500;

/** Conversations that are read at once, and how much text an answer holds at most: the last message of each may be long. */
const readAtOnce = 100;
const answerChars = 1_000_000;

type Entries = SelectQueryBuilder<InboxTables, "inbox", object>;

export class InboxStore {
  readonly #store: Store;
  readonly #mutedUntil: PreparedSelect<[server: string, username: string, peer: string], { until: number }>;

  constructor(store: Store) {
    this.#store = store;
    this.#mutedUntil = store.prepare((server: string, username: string, peer: string) =>
      this.#db
        .selectFrom("inbox")
        .select("muted_until as until")
        .where("server", "=", server)
        .where("username", "=", username)
        .where("peer", "=", peer),
    );
  }

  get #db() {
    return this.#store.tables<InboxTables>();
  }

  #of(account: Jid): Entries {
    const rows = this.#db.selectFrom("inbox") as Entries;
    return rows.where("server", "=", account.domain).where("username", "=", account.local);
  }

  /** Conversations in the order asked for; fewer than `limit`, though there are more, where they have much text. */
  async page(account: Jid, filter: EntryFilter, { order, beyond, limit }: EntryPage): Promise<Entry[]> {
    const entries: Entry[] = [];
    let chars = 0;
    let place = beyond;
    while (entries.length < limit && chars < answerChars) {
      const some = Math.min(readAtOnce, limit - entries.length);
      const read = await this.#page(account, filter, {
        order,
        limit: some,
        ...(place === undefined ? {} : { beyond: place }),
      });
      for (const entry of read) {
        entries.push(entry);
        chars += entry.content.length;
        if (chars >= answerChars) return entries;
      }
      const last = read.at(-1);
      if (last === undefined || read.length < some) return entries;
      place = { at: last.lastAt, peer: last.peer };
    }
    return entries;
  }

  async #page(account: Jid, filter: EntryFilter, { order, beyond, limit }: EntryPage): Promise<Entry[]> {
    let query = this.#of(account);
    if (filter.start !== undefined) query = query.where("last_at", ">=", filter.start);
    if (filter.end !== undefined) query = query.where("last_at", "<=", filter.end);
    if (filter.box === undefined) query = query.where("box", "!=", "bin");
    else if (filter.box !== "all") query = query.where("box", "=", filter.box);
    if (filter.unreadOnly) query = query.where("unread_count", ">", 0);
    if (beyond !== undefined) {
      const [further, inclusive] = order === "asc" ? ([">", ">="] as const) : (["<", "<="] as const);
      query = query
        .where("last_at", inclusive, beyond.at)
        .where((on) => on.or([on("last_at", further, beyond.at), on("peer", further, beyond.peer)]));
    }
    return query.select(shown).orderBy("last_at", order).orderBy("peer", order).limit(limit).execute();
  }

  entry(account: Jid, peer: Jid): Promise<Entry | undefined> {
    return this.#of(account).where("peer", "=", peer.bare).select(shown).executeTakeFirst();
  }

  /** Until when a conversation is muted, 0 where it is not; at once where the database is in this process. */
  mutedUntil(account: Jid, peer: Jid): MaybePromise<number> {
    return then(this.#mutedUntil.all(account.domain, account.local, peer.bare), ([row]) => row?.until ?? 0);
  }

  /** Messages not read in all conversations that are not in the bin. */
  async unread(account: Jid): Promise<number> {
    const { sum } = await this.#of(account)
      .where("box", "!=", "bin")
      .select((on) => on.fn.sum<number | string | null>("unread_count").as("sum"))
      .executeTakeFirstOrThrow();
    return Number(sum ?? 0);
  }

  /** Undefined when there is no such conversation. */
  async change(account: Jid, peer: Jid, change: PropertyChange, now: number): Promise<Properties | undefined> {
    return this.#db.transaction().execute(async (trx) => {
      await trx
        .updateTable("inbox")
        .set((on) => ({
          // Looks at the box there was, so it comes before.
          ...(change.box === undefined
            ? {}
            : change.box === "bin"
              ? { binned_at: on.fn.coalesce("binned_at", on.val(now)), box: "bin" }
              : { binned_at: null, box: change.box }),
          ...(change.mutedUntil === undefined ? {} : { muted_until: change.mutedUntil }),
          ...(change.read === undefined ? {} : { unread_count: change.read ? 0 : leastOne }),
        }))
        .where("server", "=", account.domain)
        .where("username", "=", account.local)
        .where("peer", "=", peer.bare)
        .execute();
      return trx
        .selectFrom("inbox")
        .select(["box", "unread_count as unread", "muted_until as mutedUntil"])
        .where("server", "=", account.domain)
        .where("username", "=", account.local)
        .where("peer", "=", peer.bare)
        .executeTakeFirst();
    });
  }

  async reset(account: Jid, peer: Jid): Promise<void> {
    await this.#db
      .updateTable("inbox")
      .set({ unread_count: 0 })
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("peer", "=", peer.bare)
      .execute();
  }

  /** Removes what has been in an account's bin since before `before`; resolves with the number of conversations. */
  async emptyBin(account: Jid, before: number): Promise<number> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("inbox")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("binned_at", "<", before)
      .executeTakeFirst();
    return Number(numDeletedRows);
  }

  /** As `emptyBin`, of all accounts of a domain, in steps. */
  async emptyBins(domain: string, before: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const rows = await this.#db
        .selectFrom("inbox")
        .select(["username", "peer"])
        .where("server", "=", domain)
        .where("binned_at", "<", before)
        .limit(removedAtOnce)
        .execute();
      for (const [username, entries] of Map.groupBy(rows, (row) => row.username)) {
        const peers = entries.map((row) => row.peer);
        const { numDeletedRows } = await this.#db
          .deleteFrom("inbox")
          .where("server", "=", domain)
          .where("username", "=", username)
          .where("peer", "in", peers)
          // One that was taken out of the bin just now stays.
          .where("binned_at", "<", before)
          .executeTakeFirst();
        removed += Number(numDeletedRows);
      }
      if (rows.length < removedAtOnce) return removed;
    }
  }

  /**
   * Leaves an account `most` conversations: what is in its bin goes first, then what is read, then the rest, the oldest of each first.
   * Resolves with the number of those that went.
   */
  async trim(server: string, username: string, most: number): Promise<number> {
    const own = (this.#db.selectFrom("inbox") as Entries).where("server", "=", server).where("username", "=", username);
    let removed = 0;
    for (;;) {
      const { count } = await own
        .select((on) => on.fn.countAll<number | string>().as("count"))
        .executeTakeFirstOrThrow();
      const surplus = Number(count) - most;
      if (surplus <= 0) return removed;
      const rows = await own
        .select(["peer", "last_at"])
        .orderBy(sql`case when box = 'bin' then 0 when unread_count = 0 then 1 else 2 end`)
        .orderBy("last_at")
        .orderBy("peer")
        .limit(Math.min(surplus, removedAtOnce))
        .execute();
      const { numDeletedRows } = await this.#db
        .deleteFrom("inbox")
        .where("server", "=", server)
        .where("username", "=", username)
        .where(
          "peer",
          "in",
          rows.map((row) => row.peer),
        )
        // One in which somebody has written just now stays.
        .where("last_at", "<=", Math.max(...rows.map((row) => row.last_at)))
        .executeTakeFirst();
      if (numDeletedRows === 0n) return removed;
      removed += Number(numDeletedRows);
    }
  }

  async removeAll(account: Jid): Promise<void> {
    await this.#db
      .deleteFrom("inbox")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }

  /** Everything of one account, in pages. */
  all(account: Jid): AsyncGenerator<Entry[]> {
    return pages(this.#db, this.#of(account).select(shown), { key: ["peer"] });
  }
}

const leastOne = sql<number>`case when unread_count = 0 then 1 else unread_count end`;
