/** The messages that wait for their recipients, in the database. */
import { isoTime, personalRows } from "../../hooks/personal-rows.ts";
import type { PersonalData } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { autoId, key, millis, text } from "../../store/columns.ts";
import type { GroupCommit } from "../../store/group-commit.ts";
import type { Migration } from "../../store/migrations.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import type { Store } from "../../store/store.ts";
import type { MaybePromise } from "../../util/maybe-promise.ts";

export interface OfflineTables {
  offline_messages: {
    id: number;
    domain: string;
    username: string;
    from_jid: string;
    /** Milliseconds since the epoch. */
    stored_at: number;
    /** From then on it is worthless (XEP-0023); null when it never is. */
    expires_at: number | null;
    /** The whole stanza, valid where the default namespace is `jabber:client`. */
    stanza: string;
  };
}

export const offlineMigrations: readonly Migration[] = [
  {
    name: "offline/1-create",
    up: (schema) =>
      schema.createTable("offline_messages", {
        columns: {
          id: autoId(),
          domain: key(),
          username: key(),
          from_jid: text(),
          stored_at: millis(),
          expires_at: millis({ nullable: true }),
          stanza: text(),
        },
        indexes: {
          offline_messages_account: ["domain", "username", "id"],
          offline_messages_stored: ["domain", "stored_at"],
          offline_messages_expires: ["domain", "expires_at"],
        },
      }),
  },
];

export interface WaitingMessage {
  /** Grows in the order the messages were stored. */
  readonly id: number;
  readonly storedAt: number;
  readonly expiresAt: number | null;
  readonly stanza: string;
}

export interface NewMessage {
  readonly from: string;
  readonly storedAt: number;
  readonly expiresAt: number | null;
  readonly stanza: string;
}

/** All methods may throw the errors of store/errors.ts. */
export class OfflineStore {
  readonly #store: Store;
  readonly #any: PreparedSelect<[domain: string, username: string], unknown>;
  readonly #page: PreparedSelect<[domain: string, username: string, after: number, limit: number], WaitingMessage>;

  constructor(store: Store) {
    this.#store = store;
    const ofAccount = (domain: string, username: string) =>
      this.#db.selectFrom("offline_messages").where("domain", "=", domain).where("username", "=", username);
    this.#any = store.prepare((domain: string, username: string) => ofAccount(domain, username).select("id").limit(1));
    this.#page = store.prepare((domain: string, username: string, after: number, limit: number) =>
      ofAccount(domain, username)
        .select(["id", "stored_at as storedAt", "expires_at as expiresAt", "stanza"])
        .where("id", ">", after)
        .orderBy("id")
        .limit(limit),
    );
  }

  get #db() {
    return this.#store.tables<OfflineTables>();
  }

  /** Resolves when the message is committed. Messages are kept in the order of the calls. */
  add(writes: GroupCommit, account: Jid, message: NewMessage): Promise<void> {
    return writes.add({
      table: "offline_messages",
      row: {
        domain: account.domain,
        username: account.local,
        from_jid: message.from,
        stored_at: message.storedAt,
        expires_at: message.expiresAt,
        stanza: message.stanza,
      },
    });
  }

  /** The oldest `limit` messages of an account with a number above `after`. */
  page(account: Jid, after: number, limit: number): MaybePromise<WaitingMessage[]> {
    return this.#page.all(account.domain, account.local, after, limit);
  }

  /**
   * Whether it is certain, at once, that nothing is stored for an account. False also where the database would have to be
   * waited for: then `page` may as well be asked.
   */
  surelyEmpty(account: Jid): boolean {
    if (!this.#store.embedded) return false;
    const found = this.#any.all(account.domain, account.local);
    if (!(found instanceof Promise)) return found.length === 0;
    // An error will come again where `page` is asked.
    found.catch(() => undefined);
    return false;
  }

  /** How many messages wait for an account. */
  async count(account: Jid): Promise<number> {
    const row = await this.#db
      .selectFrom("offline_messages")
      .select((on) => on.fn.countAll<number>().as("number"))
      .where("domain", "=", account.domain)
      .where("username", "=", account.local)
      .executeTakeFirstOrThrow();
    return Number(row.number);
  }

  /** Resolves when these messages are gone for good; at most a few hundred at once. */
  remove(writes: GroupCommit, ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return Promise.resolve();
    return writes.add({
      async run(trx) {
        await trx.deleteFrom("offline_messages").where("id", "in", ids).execute();
      },
    });
  }

  personalData(account: Jid): PersonalData {
    const query = this.#db
      .selectFrom("offline_messages")
      .select(["id", "from_jid", "stored_at", "stanza"])
      .where("domain", "=", account.domain)
      .where("username", "=", account.local);
    return personalRows("offline_messages", this.#db, query, ["id"], {
      from: (row) => row.from_jid,
      stored_at: (row) => isoTime(row.stored_at),
      message: (row) => row.stanza,
    });
  }

  /** Removes everything that waits for an account; resolves with the number of messages. */
  async clear(account: Jid): Promise<number> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("offline_messages")
      .where("domain", "=", account.domain)
      .where("username", "=", account.local)
      .executeTakeFirst();
    return Number(numDeletedRows);
  }

  /** Removes the messages of a domain that have expired by `now`; resolves with their number. */
  async removeExpired(domain: string, now: number): Promise<number> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("offline_messages")
      .where("domain", "=", domain)
      .where("expires_at", "<=", now)
      .executeTakeFirst();
    return Number(numDeletedRows);
  }

  /** Removes the messages of a domain stored before `before`; resolves with their number. */
  async removeOld(domain: string, before: number): Promise<number> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("offline_messages")
      .where("domain", "=", domain)
      .where("stored_at", "<", before)
      .executeTakeFirst();
    return Number(numDeletedRows);
  }
}
