/** Files and slots of all hosts, in the database: any node takes a file for a slot that another node gave out. */
import type { Jid } from "../../stanza/jid.ts";
import { bigint, integer, key, millis, text } from "../../store/columns.ts";
import { pages } from "../../store/keyset.ts";
import type { Migration } from "../../store/migrations.ts";
import { insertRows } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";

export const uploadMigrations: readonly Migration[] = [
  {
    name: "http-upload/1-create",
    up: (schema) =>
      schema.createTable("http_upload", {
        columns: {
          token: key({ chars: 100 }),
          server: key(),
          username: key(),
          name: text(),
          content_type: text({ nullable: true }),
          size: bigint(),
          secret: key({ chars: 64 }),
          place: key({ chars: 16 }),
          state: integer(),
          created_at: millis(),
          put_until: millis(),
          stored_at: millis({ nullable: true }),
          expires_at: millis({ nullable: true }),
          due_at: millis(),
        },
        primaryKey: ["token"],
        indexes: {
          http_upload_account: ["server", "username", "created_at", "token"],
          http_upload_due: ["server", "due_at"],
        },
      }),
  },
];

/** A slot waits; a file of it is being received; it is stored; its account is gone, and only the file is left to remove. */
const states = { slot: 0, receiving: 1, stored: 2, orphan: 3 } as const;

export type Place = "local" | "s3";

export interface UploadRow {
  token: string;
  server: string;
  /** "" for the operator's, and once the account is gone. */
  username: string;
  name: string;
  content_type: string | null;
  size: number;
  /** Part of the URL that takes the file; "" once it has. */
  secret: string;
  place: string;
  state: number;
  created_at: number;
  put_until: number;
  stored_at: number | null;
  /** When a file is gone; null for never. */
  expires_at: number | null;
  /** When the cleaner has to look at it. */
  due_at: number;
}

interface UploadTables {
  http_upload: UploadRow;
}

/** What the cleaner and whoever removes an account need of a row. */
export type RemovableUpload = Pick<UploadRow, "token" | "name" | "content_type" | "place" | "state" | "expires_at">;

const removable = ["token", "name", "content_type", "place", "state", "expires_at"] as const;

export interface NewSlot {
  readonly token: string;
  /** An account, or the host for the operator's. */
  readonly owner: Jid;
  readonly name: string;
  readonly contentType: string | undefined;
  readonly size: number;
  readonly secret: string;
  readonly place: Place;
  readonly now: number;
  readonly putUntil: number;
  readonly expiresAt: number | undefined;
  /** When a slot that was not used is removed. */
  readonly dueAt: number;
}

/** What an account has, the slots it may still fill included. */
export interface Usage {
  readonly files: number;
  readonly bytes: number;
}

/** A time that never comes, for files that are kept. */
const never = 253_402_300_799_000;
/** Files looked at for when there will be room again. */
const retryRowsMax = 1_000;

export class UploadStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get #db() {
    return this.#store.tables<UploadTables>();
  }

  async addSlot(slot: NewSlot): Promise<void> {
    await insertRows(this.#db, "http_upload", [
      {
        token: slot.token,
        server: slot.owner.domain,
        username: slot.owner.local,
        name: slot.name,
        content_type: slot.contentType ?? null,
        size: slot.size,
        secret: slot.secret,
        place: slot.place,
        state: states.slot,
        created_at: slot.now,
        put_until: slot.putUntil,
        stored_at: null,
        expires_at: slot.expiresAt ?? null,
        due_at: slot.dueAt,
      },
    ]);
  }

  async usage(account: Jid, now: number): Promise<Usage> {
    const row = await this.#db
      .selectFrom("http_upload")
      .select(({ fn }) => [fn.countAll<number>().as("files"), fn.sum<number | null>("size").as("bytes")])
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      // What is over and only not removed yet takes no room.
      .where("due_at", ">", now)
      .executeTakeFirstOrThrow();
    return { files: Number(row.files), bytes: Number(row.bytes ?? 0) };
  }

  /** When so many bytes and files less will be there than now; undefined when that is not known. */
  async roomAt(account: Jid, now: number, bytes: number, files: number): Promise<number | undefined> {
    const rows = await this.#db
      .selectFrom("http_upload")
      .select(["size", "due_at"])
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("due_at", ">", now)
      .where("due_at", "<", never)
      .orderBy("due_at")
      .limit(retryRowsMax)
      .execute();
    let [bytesLeft, filesLeft] = [bytes, files];
    for (const row of rows) {
      bytesLeft -= row.size;
      filesLeft--;
      if (bytesLeft <= 0 && filesLeft <= 0) return row.due_at;
    }
    return undefined;
  }

  find(token: string): Promise<UploadRow | undefined> {
    return this.#db.selectFrom("http_upload").selectAll().where("token", "=", token).executeTakeFirst();
  }

  /** One upload at a time gets a slot. False when it was used, is in use, or its time is over. */
  async claim(token: string, now: number): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable("http_upload")
      .set({ state: states.receiving })
      .where("token", "=", token)
      .where("state", "=", states.slot)
      .where("put_until", ">=", now)
      .executeTakeFirst();
    return Number(numUpdatedRows) > 0;
  }

  /** The upload failed: the client may try again while the slot holds. */
  async release(token: string): Promise<void> {
    await this.#db
      .updateTable("http_upload")
      .set({ state: states.slot })
      .where("token", "=", token)
      .where("state", "=", states.receiving)
      .execute();
  }

  /** The file is there. False when its account has been removed meanwhile. */
  async stored(token: string, now: number, contentType: string | null, expiresAt: number | null): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable("http_upload")
      .set({
        state: states.stored,
        secret: "",
        stored_at: now,
        content_type: contentType,
        due_at: expiresAt ?? never,
      })
      .where("token", "=", token)
      .where("state", "<>", states.orphan)
      .executeTakeFirst();
    return Number(numUpdatedRows) > 0;
  }

  /** What the cleaner has to look at, oldest first. */
  due(domain: string, now: number, limit: number): Promise<RemovableUpload[]> {
    return this.#db
      .selectFrom("http_upload")
      .select(removable)
      .where("server", "=", domain)
      .where("due_at", "<=", now)
      .orderBy("due_at")
      .limit(limit)
      .execute();
  }

  async remove(token: string): Promise<void> {
    await this.#db.deleteFrom("http_upload").where("token", "=", token).execute();
  }

  /** Looks at it again later. */
  async postpone(token: string, until: number): Promise<void> {
    await this.#db.updateTable("http_upload").set({ due_at: until }).where("token", "=", token).execute();
  }

  /** The account is gone: from now on nobody reads its files, and they are nobody's. Returns them, for removal. */
  async orphan(account: Jid, now: number): Promise<RemovableUpload[]> {
    const files = await this.#db
      .selectFrom("http_upload")
      .select(removable)
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
    await this.#db
      .updateTable("http_upload")
      .set({ username: "", state: states.orphan, due_at: now, expires_at: now, secret: "" })
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
    return files;
  }

  /** What an account has, oldest first. */
  ofAccount(account: Jid): AsyncGenerator<UploadRow[]> {
    const query = this.#db
      .selectFrom("http_upload")
      .selectAll()
      .where("server", "=", account.domain)
      .where("username", "=", account.local);
    return pages(this.#db, query, { key: ["created_at", "token"] });
  }
}

export function isOrphan(row: Pick<UploadRow, "state">): boolean {
  return row.state === states.orphan;
}

export function isStored(row: Pick<UploadRow, "state">): boolean {
  return row.state === states.stored;
}
