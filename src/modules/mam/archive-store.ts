/** The messages of archives, in the database. All methods may throw the errors of store/errors.ts. */
import { type SelectQueryBuilder, type SqlBool, sql, type Transaction } from "kysely";
import type { GroupCommit } from "../../store/group-commit.ts";
import { pages } from "../../store/keyset.ts";
import { plannedAnew } from "../../store/planned-anew.ts";
import { insertRows } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import {
  type ArchiveTables,
  conversationOf,
  deleteWordsForGood,
  ownerWord,
  referenceToMessage,
  referenceToSender,
} from "./archive-tables.ts";

/** Which messages of one archive are meant. */
export interface ArchiveFilter {
  readonly owner: string;
  /** In a user's archive: the contact. */
  readonly peer?: { readonly bare: string; readonly resource?: string };
  /** In a room's archive: the sender by his nick. */
  readonly nick?: string;
  /** In a room's archive: the sender by his real bare address. */
  readonly sender?: string;
  /** Both are ids that match too. */
  readonly from?: bigint;
  readonly to?: bigint;
  readonly ids?: readonly bigint[];
  /** False: none of groups. */
  readonly groupchat?: boolean;
  /** All of them must be there; as `wordsOf` cuts them. */
  readonly words?: readonly string[];
}

export interface PageOf {
  readonly limit: number;
  /** The last ones instead of the first ones; they come in order all the same. */
  readonly backwards?: boolean;
  /** How many to leave out at the beginning. */
  readonly skip?: number;
}

/** Ids of the first and the last message. */
export interface ArchiveEnds {
  readonly first: bigint;
  readonly last: bigint;
}

export interface ArchiveRow {
  readonly id: bigint;
  readonly peer: string;
  readonly stanza: string;
}

/** A message on its way into an archive. */
export interface NewRow {
  readonly owner: string;
  readonly id: bigint;
  readonly peer: string;
  readonly resource: string;
  readonly conversation: number;
  readonly reference: number | null;
  readonly outgoing: boolean;
  readonly groupchat: boolean;
  readonly stanza: string;
  /** Undefined where nobody searches. */
  readonly words: readonly string[] | undefined;
}

/** Rows removed by one statement; small, because others wait for its locks. */
const removedAtOnce = 500;
/** The same where each takes about a millisecond. */
const removedForGoodAtOnce = 10;
const lastId = 2n ** 63n - 1n;

type Messages = SelectQueryBuilder<ArchiveTables, "archive_messages", object>;

export class ArchiveStore {
  readonly #store: Store;
  /** MariaDB looks for no words of fewer than three letters, nor for some common ones: a prefix makes all of them others. */
  readonly #wordPrefix: string;

  constructor(store: Store) {
    this.#store = store;
    this.#wordPrefix = store.dialect === "mysql" ? "w_" : "";
  }

  get #db() {
    return this.#store.tables<ArchiveTables>();
  }

  /** Resolves when the message is committed. */
  add(writes: GroupCommit, row: NewRow): Promise<void> {
    return writes.add({
      table: "archive_messages",
      row: {
        owner: row.owner,
        id: row.id.toString(),
        peer: row.peer,
        resource: row.resource,
        conversation: row.conversation,
        reference: row.reference,
        outgoing: row.outgoing ? 1 : 0,
        groupchat: row.groupchat ? 1 : 0,
        stanza: row.stanza,
        words: row.words === undefined ? null : this.#wordText(row.owner, row.words),
      },
    });
  }

  #wordText(owner: string, words: readonly string[]): string {
    let text = this.#wordPrefix + ownerWord(owner);
    for (const word of words) text += ` ${this.#wordPrefix}${word}`;
    return text;
  }

  /** A page of the messages that match, oldest first. */
  async page(filter: ArchiveFilter, { limit, backwards = false, skip }: PageOf): Promise<ArchiveRow[]> {
    let query = this.pageQuery(filter, limit, backwards);
    if (skip !== undefined) query = query.offset(skip);
    const rows = await query.execute();
    const page = rows.map(({ id, peer, stanza }) => ({ id: BigInt(id), peer, stanza }));
    return backwards ? page.reverse() : page;
  }

  /** The statement of `page`; a test looks at its plan. */
  pageQuery(filter: ArchiveFilter, limit: number, backwards: boolean) {
    const order = backwards ? "desc" : "asc";
    let query = this.#matching(filter).select(["id", "peer", "stanza"]);
    // The same order, since that column is the same in all rows; said so that PostgreSQL takes it from the index.
    if (this.#store.dialect === "postgres") query = query.orderBy(stretchColumn(filter), order);
    return query.orderBy("id", order).limit(limit).modifyEnd(plannedAnew);
  }

  /** How many match, and how many of them are older than `first`; counting ends at `most`. */
  async count(filter: ArchiveFilter, most: number, first?: bigint): Promise<{ total: number; earlier: number }> {
    const { total, earlier } = await this.countQuery(filter, most, first).executeTakeFirstOrThrow();
    return { total: Number(total), earlier: Number(earlier ?? 0) };
  }

  /** The statement of `count`; a test looks at its plan. */
  countQuery(filter: ArchiveFilter, most: number, first = 0n) {
    return this.#db
      .selectFrom(this.#matching(filter, false).select("id").limit(most).as("counted"))
      .select((on) => [
        on.fn.countAll<number>().as("total"),
        sql<number | null>`sum(case when ${sql.ref("id")} < ${first} then 1 else 0 end)`.as("earlier"),
      ])
      .modifyEnd(plannedAnew);
  }

  /** The ids among these that the archive has. */
  async existing(owner: string, ids: readonly bigint[]): Promise<Set<bigint>> {
    if (ids.length === 0) return new Set();
    const rows = await this.#db
      .selectFrom("archive_messages")
      .select("id")
      .where("owner", "=", owner)
      .where("id", "in", ids)
      .execute();
    return new Set(rows.map(({ id }) => BigInt(id)));
  }

  /** The oldest and the newest id; undefined for an empty archive. */
  async ends(owner: string): Promise<ArchiveEnds | undefined> {
    const [first, last] = await Promise.all([this.#end(owner, "asc"), this.newest(owner)]);
    return first === undefined || last === undefined ? undefined : { first, last };
  }

  newest(owner: string): Promise<bigint | undefined> {
    return this.#end(owner, "desc");
  }

  async #end(owner: string, order: "asc" | "desc"): Promise<bigint | undefined> {
    const query = this.#db.selectFrom("archive_messages").select("id").where("owner", "=", owner);
    const row = await query.orderBy("id", order).limit(1).executeTakeFirst();
    return row === undefined ? undefined : BigInt(row.id);
  }

  #matching(filter: ArchiveFilter, inOrder = true): Messages {
    const { owner, peer, nick, sender, ids, words } = filter;
    let query = this.#db.selectFrom("archive_messages") as Messages;
    if (peer !== undefined) {
      query = this.#stretch(query, "conversation", conversationOf(owner, peer.bare), filter, inOrder);
      query = query.where(this.#isSo(sql`owner = ${owner} and peer = ${peer.bare}`));
      if (peer.resource !== undefined) query = query.where("resource", "=", peer.resource);
    } else if (nick !== undefined) {
      query = this.#stretch(query, "conversation", conversationOf(owner, `/${nick}`), filter, inOrder);
      query = query.where(this.#isSo(sql`owner = ${owner} and resource = ${nick}`));
    } else if (sender !== undefined) {
      query = this.#stretch(query, "reference", referenceToSender(sender), filter, inOrder);
      query = query.where(this.#isSo(sql`owner = ${owner} and ${sentBy(sender)}`));
    } else query = this.#stretch(query, "owner", owner, filter, inOrder);
    if (ids !== undefined) query = query.where("owner", "=", owner).where("id", "in", ids);
    if (filter.groupchat === false) query = query.where("groupchat", "=", 0);
    if (words !== undefined) query = query.where(this.#contains(owner, words));
    return query;
  }

  /**
   * The rows of one value in a column whose index goes on with the id, from one id to another. PostgreSQL guesses how many
   * they are, and where it guesses few (an archive or a conversation much longer than others) it would read and sort all of
   * them for one page. Written as a comparison of rows it walks the index. Counting needs no order.
   */
  #stretch(
    query: Messages,
    column: "owner" | "conversation" | "reference",
    value: string | number,
    filter: ArchiveFilter,
    inOrder: boolean,
  ) {
    const { from, to } = filter;
    if (this.#store.dialect === "postgres" && inOrder) {
      const name = sql.ref(column);
      return query
        .where(sql<SqlBool>`(${name}, id) >= (${value}, ${from ?? -1n})`)
        .where(sql<SqlBool>`(${name}, id) <= (${value}, ${to ?? lastId})`);
    }
    let stretch = query.where(column, "=", value);
    if (from !== undefined) stretch = stretch.where("id", ">=", from);
    if (to !== undefined) stretch = stretch.where("id", "<=", to);
    return stretch;
  }

  /** A condition that is true of nearly all rows found by a hash, and by which nobody shall look for an index. */
  #isSo(condition: ReturnType<typeof sql>) {
    return sql<SqlBool>`case when ${condition} then true else false end`;
  }

  #contains(owner: string, words: readonly string[]) {
    const all = [ownerWord(owner), ...words];
    switch (this.#store.dialect) {
      case "postgres":
        return sql<SqlBool>`words @@ ${all.join(" & ")}::tsquery`;
      case "mysql":
        return sql<SqlBool>`match (words) against (${all.map((word) => `+${this.#wordPrefix}${word}`).join(" ")} in boolean mode)`;
      case "sqlite": {
        const phrase = all.map((word) => `"${word}"`).join(" AND ");
        return sql<SqlBool>`number in (select rowid from archive_words where archive_words match ${phrase})`;
      }
    }
  }

  /**
   * Replaces the newest message that bears this `id` attribute, went to or came from `peer`, and was sent in that direction.
   * `tombstone` makes the new stanza of the old one, or says undefined where it is another message (it was found by a hash).
   * Resolves, once committed, with whether it was there and was replaced.
   */
  async retract(
    writes: GroupCommit,
    original: SentMessage,
    tombstone: (stanza: string) => string | undefined,
  ): Promise<boolean> {
    let done = false;
    await writes.add({
      run: async (trx) => {
        done = false;
        const db = trx as Transaction<ArchiveTables>;
        const rows = await db
          .selectFrom("archive_messages")
          .select(["id", "stanza"])
          .where("reference", "=", referenceToMessage(original.owner, original.messageId))
          .where("owner", "=", original.owner)
          .where("peer", "=", original.peer)
          .where("outgoing", "=", original.outgoing ? 1 : 0)
          .orderBy("id", "desc")
          .limit(sameHashMost)
          .execute();
        for (const { id, stanza } of rows) {
          const replaced = tombstone(stanza);
          if (replaced === undefined) continue;
          await replaceStanza(db, original.owner, id, replaced);
          done = true;
          return;
        }
      },
    });
    return done;
  }

  /** Replaces one message, as `retract` does; resolves with whether it is there and was replaced. */
  async replace(owner: string, id: bigint, tombstone: (row: ArchiveRow) => string | undefined): Promise<boolean> {
    return this.#db.transaction().execute((trx) => replaceById(trx, owner, id, tombstone));
  }

  /** As `replace`, in the order of other writes. */
  async replaceLater(
    writes: GroupCommit,
    owner: string,
    id: bigint,
    tombstone: (row: ArchiveRow) => string | undefined,
  ): Promise<boolean> {
    let done = false;
    await writes.add({
      run: async (trx) => {
        done = await replaceById(trx as Transaction<ArchiveTables>, owner, id, tombstone);
      },
    });
    return done;
  }

  /** Removes some of the oldest messages up to this id; true when there may be more. */
  async removeSome(owner: string, upTo: bigint): Promise<boolean> {
    const rows = await this.#db
      .selectFrom("archive_messages")
      .select("id")
      .where("owner", "=", owner)
      .where("id", "<=", upTo)
      .orderBy("id")
      .limit(removedAtOnce)
      .execute();
    const last = rows.at(-1);
    if (last === undefined) return false;
    await this.#db.deleteFrom("archive_messages").where("owner", "=", owner).where("id", "<=", last.id).execute();
    return rows.length === removedAtOnce;
  }

  /** Removes a whole archive, in steps, and its words from every index. */
  async removeAll(owner: string): Promise<void> {
    if (this.#store.dialect !== "sqlite") while (await this.removeSome(owner, lastId));
    else while (await this.#removeForGood(owner)) await this.#pause();
  }

  /** As `removeSome`, of SQLite, whose index of words would keep those of messages that are gone. */
  #removeForGood(owner: string): Promise<boolean> {
    return this.#db.transaction().execute(async (trx) => {
      const query = trx.selectFrom("archive_messages").select("id").where("owner", "=", owner);
      const rows = await query.orderBy("id").limit(removedForGoodAtOnce).execute();
      const last = rows.at(-1);
      if (last === undefined) return false;
      await deleteWordsForGood(trx, true);
      await trx.deleteFrom("archive_messages").where("owner", "=", owner).where("id", "<=", last.id).execute();
      await deleteWordsForGood(trx, false);
      return rows.length === removedForGoodAtOnce;
    });
  }

  /** Others have their turn: SQLite works in this thread. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#store.clock.after(1, resolve);
    });
  }

  /** The newest id that is too many where `keep` messages may stay; undefined when there are no more than that. */
  async surplus(owner: string, keep: number): Promise<bigint | undefined> {
    const query = this.#db.selectFrom("archive_messages").select("id").where("owner", "=", owner);
    const row = await query.orderBy("id", "desc").offset(keep).limit(1).executeTakeFirst();
    return row === undefined ? undefined : BigInt(row.id);
  }

  /** The next archive in the order of addresses; undefined behind the last. */
  async ownerAfter(owner: string): Promise<string | undefined> {
    const query = this.#db.selectFrom("archive_messages").select("owner").where("owner", ">", owner);
    return (await query.orderBy("owner").limit(1).executeTakeFirst())?.owner;
  }

  /** Everything of one archive, in pages. */
  owned(owner: string): AsyncGenerator<{ id: bigint | number; peer: string; stanza: string }[]> {
    const query = this.#db.selectFrom("archive_messages").select(["id", "peer", "stanza"]).where("owner", "=", owner);
    return pages(this.#db, query, { key: ["id"] });
  }

  /** Everything an account has sent to rooms, in pages. `sender` is a bare address. */
  sentToRooms(sender: string): AsyncGenerator<{ id: bigint | number; owner: string; stanza: string }[]> {
    const query = this.#db
      .selectFrom("archive_messages")
      .select(["id", "owner", "stanza"])
      .where("reference", "=", referenceToSender(sender))
      .where(sentBy(sender));
    return pages(this.#db, query, { key: ["id", "owner"] });
  }

  /** The rooms' messages stay, but nobody can tell any more whose they were. */
  async forgetSender(sender: string): Promise<void> {
    for await (const rows of this.sentToRooms(sender)) {
      const byRoom = Map.groupBy(rows, (row) => row.owner);
      for (const [owner, messages] of byRoom) {
        await this.#db
          .updateTable("archive_messages")
          .set({ peer: "", reference: null })
          .where("owner", "=", owner)
          .where(
            "id",
            "in",
            messages.map((message) => message.id),
          )
          .execute();
      }
    }
  }

  /** Whether the archives of a host are due to be cleaned now; then they are not again until `next`. One node gets a yes. */
  async claimCleanup(domain: string, now: number, next: number): Promise<boolean> {
    await insertRows(this.#db, "archive_cleanup", [{ domain, due_at: now }], "ignore");
    const { numUpdatedRows } = await this.#db
      .updateTable("archive_cleanup")
      .set({ due_at: next })
      .where("domain", "=", domain)
      .where("due_at", "<=", now)
      .executeTakeFirst();
    return Number(numUpdatedRows) > 0;
  }
}

/** Where a message may be found again by the `id` its sender gave it. */
export interface SentMessage {
  readonly owner: string;
  readonly messageId: string;
  readonly peer: string;
  readonly outgoing: boolean;
}

/** Different messages of one archive with the same hash that are looked at: there is hardly ever a second one. */
const sameHashMost = 10;

function stretchColumn({ peer, nick, sender }: ArchiveFilter): "owner" | "conversation" | "reference" {
  if (peer !== undefined || nick !== undefined) return "conversation";
  return sender === undefined ? "owner" : "reference";
}

async function replaceById(
  db: Transaction<ArchiveTables>,
  owner: string,
  id: bigint,
  tombstone: (row: ArchiveRow) => string | undefined,
): Promise<boolean> {
  const row = await db
    .selectFrom("archive_messages")
    .select(["id", "peer", "stanza"])
    .where("owner", "=", owner)
    .where("id", "=", id)
    .executeTakeFirst();
  const replaced = row === undefined ? undefined : tombstone({ id, peer: row.peer, stanza: row.stanza });
  if (replaced === undefined) return false;
  await replaceStanza(db, owner, id, replaced);
  return true;
}

/** A tombstone is found by nobody's search. */
async function replaceStanza(
  db: Transaction<ArchiveTables>,
  owner: string,
  id: number | bigint,
  stanza: string,
): Promise<void> {
  await db
    .updateTable("archive_messages")
    .set({ stanza, words: null })
    .where("owner", "=", owner)
    .where("id", "=", id)
    .execute();
}

/** The hash was of this very sender. */
function sentBy(sender: string) {
  return sql<SqlBool>`(peer = ${sender} or substr(peer, 1, ${[...sender].length + 1}) = ${`${sender}/`})`;
}
