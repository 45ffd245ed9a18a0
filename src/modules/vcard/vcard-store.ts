/** XEP-0054 vCards in the database: the XML as the client sent it, and the hash of its picture. */
import { isoTime, personalRows } from "../../hooks/personal-rows.ts";
import type { PersonalData } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { key, millis, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import { upsertRow } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";

interface VcardTables {
  vcard: {
    server: string;
    username: string;
    vcard: string;
    /** SHA-1 in hex, or "". */
    avatar: string;
    changed_at: number;
  };
}

export const vcardMigrations: readonly Migration[] = [
  {
    name: "vcard/1-create",
    up: (schema) =>
      schema.createTable("vcard", {
        columns: {
          server: key(),
          username: key(),
          vcard: text(),
          avatar: key({ chars: 40 }),
          changed_at: millis(),
        },
        primaryKey: ["server", "username"],
      }),
  },
];

/** All methods may throw the errors of the store. */
export class VcardStore {
  readonly #store: Store;

  readonly #avatar: PreparedSelect<[domain: string, username: string], { avatar: string }>;

  constructor(store: Store) {
    this.#store = store;
    this.#avatar = store.prepare((server: string, username: string) => this.#rowOf(server, username).select("avatar"));
  }

  /** The vCard as XML; undefined when there is none. */
  async get(account: Jid): Promise<string | undefined> {
    const row = await this.#rowOf(account.domain, account.local).select("vcard").executeTakeFirst();
    return row?.vcard;
  }

  /** SHA-1 in hex of the picture; "" when there is none. */
  avatar(account: Jid): MaybePromise<string> {
    return then(this.#avatar.first(account.domain, account.local), (row) => row?.avatar ?? "");
  }

  async set(account: Jid, vcard: string, avatar: string): Promise<void> {
    const row = { server: account.domain, username: account.local, vcard, avatar, changed_at: this.#store.clock.now() };
    await upsertRow(this.#store.tables<VcardTables>(), "vcard", row, ["server", "username"]);
  }

  async remove(account: Jid): Promise<void> {
    await this.#store
      .tables<VcardTables>()
      .deleteFrom("vcard")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }

  personalData(account: Jid): PersonalData {
    const query = this.#rowOf(account.domain, account.local).select(["username", "vcard", "avatar", "changed_at"]);
    return personalRows("vcard", this.#store.tables<VcardTables>(), query, ["username"], {
      vcard: (row) => row.vcard,
      avatar: (row) => row.avatar,
      changed_at: (row) => isoTime(row.changed_at),
    });
  }

  #rowOf(server: string, username: string) {
    return this.#store
      .tables<VcardTables>()
      .selectFrom("vcard")
      .where("server", "=", server)
      .where("username", "=", username);
  }
}
