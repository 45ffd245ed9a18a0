/** The accounts of the internal and SQL back ends: who exists on a domain, and the keys that prove it. */

import { type MaybePromise, then } from "../util/maybe-promise.ts";
import { key, millis, text } from "./columns.ts";
import { StoreConflict } from "./errors.ts";
import { pages } from "./keyset.ts";
import type { Migration } from "./migrations.ts";
import type { PreparedSelect } from "./prepared.ts";
import { insertRows } from "./rows.ts";
import type { Store } from "./store.ts";

export interface AccountTables {
  users: {
    domain: string;
    username: string;
    /** Salted SCRAM keys as text; this file does not look inside. Never a password. */
    pass_details: string;
    /** Milliseconds since the epoch. */
    created_at: number;
  };
}

export const accountMigrations: readonly Migration[] = [
  {
    name: "accounts/1-create",
    up: (schema) =>
      schema.createTable("users", {
        columns: { domain: key(), username: key(), pass_details: text(), created_at: millis() },
        primaryKey: ["domain", "username"],
      }),
  },
];

/** The credentials of an account that is being removed. */
const locked = "";

/** The account is there already; nothing was changed. */
export class AccountExists extends Error {
  override readonly name = "AccountExists";
}

export interface NewAccount {
  domain: string;
  username: string;
  passDetails: string;
}

export interface CredentialsChange {
  readonly domain: string;
  readonly username: string;
  readonly from: string;
  readonly to: string;
}

const importChunk = 500;
const importAttemptsMax = 5;

/** Names are taken as they are: the caller prepares them (PRECIS). All methods may throw the errors of errors.ts. */
export class Accounts {
  readonly #store: Store;
  readonly #credentials: PreparedSelect<[domain: string, username: string], { pass_details: string }>;
  readonly #exists: PreparedSelect<[domain: string, username: string], unknown>;

  constructor(store: Store) {
    this.#store = store;
    const row = (domain: string, username: string) =>
      this.#db.selectFrom("users").where("domain", "=", domain).where("username", "=", username);
    this.#credentials = store.prepare((domain: string, username: string) =>
      row(domain, username).select("pass_details"),
    );
    this.#exists = store.prepare((domain: string, username: string) => row(domain, username).select("created_at"));
  }

  /** @throws AccountExists; ValueTooLong for a name of more than 250 characters. */
  async create({ domain, username, passDetails }: NewAccount): Promise<void> {
    const row = { domain, username, pass_details: passDetails, created_at: this.#store.clock.now() };
    try {
      await this.#db.insertInto("users").values(row).execute();
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      throw new AccountExists(`${username}@${domain} exists`, { cause: error });
    }
  }

  /** The text given at creation or last set; undefined when there is no such account, or it is locked. */
  credentials(domain: string, username: string): MaybePromise<string | undefined> {
    return then(this.#credentials.first(domain, username), (row) => row?.pass_details || undefined);
  }

  /** When the account was made, milliseconds since the epoch; undefined when there is none. */
  async createdAt(domain: string, username: string): Promise<number | undefined> {
    const row = await this.#store
      .tables<AccountTables>()
      .selectFrom("users")
      .select("created_at")
      .where("domain", "=", domain)
      .where("username", "=", username)
      .executeTakeFirst();
    return row?.created_at;
  }

  /** False when there is no such account, or it is locked. */
  async setCredentials(domain: string, username: string, passDetails: string): Promise<boolean> {
    const result = await this.#db
      .updateTable("users")
      .set({ pass_details: passDetails })
      .where("domain", "=", domain)
      .where("username", "=", username)
      .where("pass_details", "!=", locked)
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /**
   * From now on nobody can log in to the account, on no node, nor give it credentials: it is about to be removed. Its name stays taken until
   * `remove`, so that a removal that was broken off can be repeated.
   */
  async lock(domain: string, username: string): Promise<void> {
    await this.setCredentials(domain, username, locked);
  }

  /**
   * Puts `to` in the place of `from` for each, in one transaction; who has got other credentials meanwhile keeps those.
   * Says of each whether it was done.
   */
  async replaceCredentials(changes: readonly CredentialsChange[]): Promise<boolean[]> {
    return await this.#db.transaction().execute(async (trx) => {
      const done: boolean[] = [];
      for (const { domain, username, from, to } of changes) {
        const result = await trx
          .updateTable("users")
          .set({ pass_details: to })
          .where("domain", "=", domain)
          .where("username", "=", username)
          .where("pass_details", "=", from)
          .executeTakeFirst();
        done.push(result.numUpdatedRows > 0n);
      }
      return done;
    });
  }

  /** Whether there is such an account and nobody removes it just now. */
  isOpen(domain: string, username: string): MaybePromise<boolean> {
    return then(this.credentials(domain, username), (credentials) => credentials !== undefined);
  }

  exists(domain: string, username: string): MaybePromise<boolean> {
    return then(this.#exists.first(domain, username), (row) => row !== undefined);
  }

  /** False when there was no such account. */
  async remove(domain: string, username: string): Promise<boolean> {
    const result = await this.#db
      .deleteFrom("users")
      .where("domain", "=", domain)
      .where("username", "=", username)
      .executeTakeFirst();
    return result.numDeletedRows > 0n;
  }

  /** Removes every account of a domain and says how many there were. */
  async removeDomain(domain: string): Promise<number> {
    const result = await this.#db.deleteFrom("users").where("domain", "=", domain).executeTakeFirst();
    return Number(result.numDeletedRows);
  }

  async count(domain: string): Promise<number> {
    const row = await this.#db
      .selectFrom("users")
      .select((columns) => columns.fn.countAll().as("total"))
      .where("domain", "=", domain)
      .executeTakeFirstOrThrow();
    return Number(row.total);
  }

  /** Whether any account of the domain has credentials without this text; reads them all in the worst case. */
  async anyWithout(domain: string, marker: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom("users")
      .select("username")
      .where("domain", "=", domain)
      .where("pass_details", "not like", `%${marker}%`)
      .where("pass_details", "!=", locked)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** Credentials of some accounts of the domain: the first and the last by name, up to so many of each. */
  async someCredentials(domain: string, eachMax: number): Promise<string[]> {
    const query = this.#db
      .selectFrom("users")
      .select(["username", "pass_details"])
      .where("domain", "=", domain)
      .where("pass_details", "!=", locked)
      .limit(eachMax);
    const found = new Map<string, string>();
    for (const order of ["asc", "desc"] as const) {
      for (const row of await query.orderBy("username", order).execute()) found.set(row.username, row.pass_details);
    }
    return [...found.values()];
  }

  /** Names in the order of their code points, `limit` of them from number `index` (counting from 0). */
  async list(domain: string, { limit = 1_000, index = 0 } = {}): Promise<string[]> {
    const rows = await this.#db
      .selectFrom("users")
      .select("username")
      .where("domain", "=", domain)
      .orderBy("username")
      .limit(limit)
      .offset(index)
      .execute();
    return rows.map((row) => row.username);
  }

  /** All names of a domain, page by page. */
  async *names(domain: string): AsyncGenerator<string> {
    const query = this.#db.selectFrom("users").select("username").where("domain", "=", domain);
    for await (const page of pages(this.#db, query, { key: ["username"] })) {
      for (const row of page) yield row.username;
    }
  }

  /**
   * Creates many accounts, some hundreds per transaction; those that exist stay as they are and are returned.
   * An error leaves the chunks before it created: run it again, it goes on where it stopped.
   */
  async importMany(accounts: readonly NewAccount[], onProgress?: (done: number) => void): Promise<NewAccount[]> {
    const existing: NewAccount[] = [];
    for (let from = 0; from < accounts.length; from += importChunk) {
      const chunk = accounts.slice(from, from + importChunk);
      existing.push(...(await this.#importChunk(chunk)));
      onProgress?.(from + chunk.length);
    }
    return existing;
  }

  async #importChunk(chunk: readonly NewAccount[]): Promise<NewAccount[]> {
    for (let attempt = 1; ; attempt++) {
      const taken = await this.#existing(chunk);
      const skipped: NewAccount[] = [];
      const rows: AccountTables["users"][] = [];
      for (const account of chunk) {
        const id = accountId(account.domain, account.username);
        if (taken.has(id)) {
          skipped.push(account);
          continue;
        }
        taken.add(id); // a second line for the same name
        const { domain, username, passDetails } = account;
        rows.push({ domain, username, pass_details: passDetails, created_at: this.#store.clock.now() });
      }
      try {
        await this.#db.transaction().execute((trx) => insertRows(trx, "users", rows));
        return skipped;
      } catch (error) {
        // Somebody registered one of these names since we looked: look again.
        if (!(error instanceof StoreConflict) || attempt === importAttemptsMax) throw error;
      }
    }
  }

  async #existing(chunk: readonly NewAccount[]): Promise<Set<string>> {
    const byDomain = new Map<string, string[]>();
    for (const { domain, username } of chunk) {
      const names = byDomain.get(domain);
      if (names === undefined) byDomain.set(domain, [username]);
      else names.push(username);
    }
    const ids = new Set<string>();
    for (const [domain, names] of byDomain) {
      const rows = await this.#db
        .selectFrom("users")
        .select("username")
        .where("domain", "=", domain)
        .where("username", "in", names)
        .execute();
      for (const row of rows) ids.add(accountId(domain, row.username));
    }
    return ids;
  }

  get #db() {
    return this.#store.tables<AccountTables>();
  }
}

function accountId(domain: string, username: string): string {
  return `${domain}\u0000${username}`;
}
