/** Persistent rooms, their affiliations and nicknames in the database. */
import { sql } from "kysely";
import type { PersonalData } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { flag, key, millis, text } from "../../store/columns.ts";
import type { GroupCommit } from "../../store/group-commit.ts";
import type { Migration } from "../../store/migrations.ts";
import { insertRows, upsertRow } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";

export interface RoomTables {
  muc_rooms: {
    domain: string;
    room: string;
    title: string;
    /** 1: found in the list of rooms. */
    listed: number;
    /** JSON: `RoomConfig`. */
    config: string;
    /** JSON: `StoredRoom` without the configuration. */
    state: string;
    changed_at: number;
  };
  muc_affiliations: {
    domain: string;
    room: string;
    /** A bare address, or a domain. */
    jid: string;
    affiliation: string;
    /** The nickname registered in the room. */
    nick: string | null;
    reason: string | null;
  };
  muc_vcards: { domain: string; room: string; vcard: string };
  /** Nicknames registered with the service, for all its rooms. */
  muc_registered: { domain: string; jid: string; nick: string };
}

export const roomMigrations: readonly Migration[] = [
  {
    name: "muc/1-create",
    async up(schema) {
      await schema.createTable("muc_rooms", {
        columns: {
          domain: key(),
          room: key(),
          title: text(),
          listed: flag(),
          config: text(),
          state: text(),
          changed_at: millis(),
        },
        primaryKey: ["domain", "room"],
        indexes: { muc_rooms_listed: ["domain", "listed", "room"] },
      });
      await schema.createTable("muc_affiliations", {
        columns: {
          domain: key(),
          room: key(),
          jid: key(),
          affiliation: key({ chars: 10 }),
          nick: text({ nullable: true }),
          reason: text({ nullable: true }),
        },
        primaryKey: ["domain", "room", "jid"],
        indexes: { muc_affiliations_jid: ["jid"] },
      });
      await schema.createTable("muc_vcards", {
        columns: { domain: key(), room: key(), vcard: text() },
        primaryKey: ["domain", "room"],
      });
      await schema.createTable("muc_registered", {
        columns: { domain: key(), jid: key(), nick: key() },
        primaryKey: ["domain", "jid"],
        unique: { muc_registered_nick: ["domain", "nick"] },
      });
    },
  },
];

export type StoredAffiliation = "owner" | "admin" | "member" | "outcast";

export interface AffiliationRow {
  readonly jid: string;
  readonly affiliation: StoredAffiliation;
  readonly nick: string | null;
  readonly reason: string | null;
}

/** A room as it rests in the database. */
export interface RoomRow {
  readonly config: string;
  readonly state: string;
}

export interface ListedRoom {
  readonly room: string;
  readonly title: string;
}

export interface FullRow extends RoomRow, ListedRoom {
  /** Found in the list of rooms. */
  readonly listed: boolean;
}

/** A change of one affiliation: a row, or undefined when the address has none any more. */
export interface AffiliationChange {
  readonly jid: string;
  readonly row: AffiliationRow | undefined;
}

/** The rooms of one domain. All methods may throw the errors of store/errors.ts. */
export class RoomStore {
  readonly #store: Store;
  readonly #domain: string;

  constructor(store: Store, domain: string) {
    this.#store = store;
    this.#domain = domain;
  }

  get #db() {
    return this.#store.tables<RoomTables>();
  }

  /** A room with all its affiliations, in one query; undefined when there is none. */
  async load(room: string): Promise<{ row: RoomRow; affiliations: AffiliationRow[] } | undefined> {
    const found = await this.#db
      .selectFrom("muc_rooms")
      .select([sql<string>`''`.as("jid"), "config as first", "state as second", sql<string | null>`null`.as("third")])
      .where("domain", "=", this.#domain)
      .where("room", "=", room)
      .unionAll(
        this.#db
          .selectFrom("muc_affiliations")
          .select(["jid", "affiliation as first", "nick as second", "reason as third"])
          .where("domain", "=", this.#domain)
          .where("room", "=", room) as never,
      )
      .execute();
    const row = found.find(({ jid }) => jid === "");
    if (row === undefined) return undefined;
    const affiliations: AffiliationRow[] = [];
    for (const { jid, first, second, third } of found) {
      if (jid !== "") affiliations.push({ jid, affiliation: first as StoredAffiliation, nick: second, reason: third });
    }
    return { row: { config: row.first, state: row.second }, affiliations };
  }

  /** Writes a room that was not there, with its affiliations, or replaces all of it. */
  async create(row: FullRow, affiliations: readonly AffiliationRow[]): Promise<void> {
    const { room } = row;
    await this.#db.transaction().execute(async (trx) => {
      await upsertRow(trx, "muc_rooms", this.#row(row), ["domain", "room"]);
      await trx.deleteFrom("muc_affiliations").where("domain", "=", this.#domain).where("room", "=", room).execute();
      const rows = affiliations.map((one) => ({ domain: this.#domain, room, ...one }));
      if (rows.length > 0) await insertRows(trx, "muc_affiliations", rows);
    });
  }

  #row({ room, title, listed, config, state }: FullRow) {
    const changed_at = this.#store.clock.now();
    return { domain: this.#domain, room, title, listed: listed ? 1 : 0, config, state, changed_at };
  }

  /** Changes configuration and affiliations of a room that is there, all or nothing. */
  async change(room: string, row: FullRow | undefined, changes: readonly AffiliationChange[]): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      if (row !== undefined) await upsertRow(trx, "muc_rooms", this.#row(row), ["domain", "room"]);
      for (const { jid, row: next } of changes) {
        if (next === undefined) {
          await trx
            .deleteFrom("muc_affiliations")
            .where("domain", "=", this.#domain)
            .where("room", "=", room)
            .where("jid", "=", jid)
            .execute();
        } else {
          await upsertRow(trx, "muc_affiliations", { domain: this.#domain, room, ...next }, ["domain", "room", "jid"]);
        }
      }
    });
  }

  /** Resolves when the subject and the like are committed. */
  saveState(writes: GroupCommit, room: string, state: string): Promise<void> {
    const domain = this.#domain;
    return writes.add({
      chars: state.length,
      async run(trx) {
        await trx
          .updateTable("muc_rooms")
          .set({ state })
          .where("domain", "=", domain)
          .where("room", "=", room)
          .execute();
      },
    });
  }

  async remove(room: string): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      for (const table of ["muc_rooms", "muc_affiliations", "muc_vcards"] as const) {
        await trx.deleteFrom(table).where("domain", "=", this.#domain).where("room", "=", room).execute();
      }
    });
  }

  /** Rooms in the order of their names behind `after`; those that may be found, or all. */
  async list(options: {
    after?: string;
    limit: number;
    offset?: number;
    all?: boolean;
  }): Promise<(ListedRoom & { listed: boolean })[]> {
    let query = this.#db.selectFrom("muc_rooms").select(["room", "title", "listed"]).where("domain", "=", this.#domain);
    if (options.all !== true) query = query.where("listed", "=", 1);
    if (options.after !== undefined) query = query.where("room", ">", options.after);
    query = query.orderBy("room").limit(options.limit);
    if (options.offset !== undefined) query = query.offset(options.offset);
    return (await query.execute()).map((row) => ({ ...row, listed: row.listed === 1 }));
  }

  /** As `list`, the other way round: those before `before`, or the last ones, still in the order of their names. */
  async listBefore(before: string | undefined, limit: number): Promise<ListedRoom[]> {
    let query = this.#db
      .selectFrom("muc_rooms")
      .select(["room", "title"])
      .where("domain", "=", this.#domain)
      .where("listed", "=", 1);
    if (before !== undefined) query = query.where("room", "<", before);
    return (await query.orderBy("room", "desc").limit(limit).execute()).reverse();
  }

  /** Rooms that may be found, or all; with `before`, those whose names come before it. */
  async count(options: { all?: boolean; before?: string } = {}): Promise<number> {
    let query = this.#db
      .selectFrom("muc_rooms")
      .select((on) => on.fn.countAll<number>().as("number"))
      .where("domain", "=", this.#domain);
    if (options.all !== true) query = query.where("listed", "=", 1);
    if (options.before !== undefined) query = query.where("room", "<", options.before);
    return Number((await query.executeTakeFirstOrThrow()).number);
  }

  async vcard(room: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom("muc_vcards")
      .select("vcard")
      .where("domain", "=", this.#domain)
      .where("room", "=", room)
      .executeTakeFirst();
    return row?.vcard;
  }

  async setVcard(room: string, vcard: string): Promise<void> {
    await upsertRow(this.#db, "muc_vcards", { domain: this.#domain, room, vcard }, ["domain", "room"]);
  }

  /** The nickname an account has registered with the service. */
  async registeredNick(account: Jid): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom("muc_registered")
      .select("nick")
      .where("domain", "=", this.#domain)
      .where("jid", "=", account.bare)
      .executeTakeFirst();
    return row?.nick;
  }

  /** Who has registered a nickname with the service. */
  async ownerOfNick(nick: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom("muc_registered")
      .select("jid")
      .where("domain", "=", this.#domain)
      .where("nick", "=", nick)
      .executeTakeFirst();
    return row?.jid;
  }

  /** Throws `StoreConflict` when somebody else has the nickname. Undefined takes it away. */
  async setRegisteredNick(account: Jid, nick: string | undefined): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      await trx
        .deleteFrom("muc_registered")
        .where("domain", "=", this.#domain)
        .where("jid", "=", account.bare)
        .execute();
      if (nick === undefined) return;
      await insertRows(trx, "muc_registered", [{ domain: this.#domain, jid: account.bare, nick }]);
    });
  }

  /** Removes every trace of an account from the rooms of this domain. */
  async removeAccount(account: Jid): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      for (const table of ["muc_affiliations", "muc_registered"] as const) {
        await trx.deleteFrom(table).where("domain", "=", this.#domain).where("jid", "=", account.bare).execute();
      }
    });
  }

  /** What is kept of an account. */
  personalData(account: Jid): readonly PersonalData[] {
    const affiliations = () => this.affiliationsOf(account);
    const nick = () => this.registeredNick(account);
    return [
      {
        name: "muc_affiliations",
        columns: ["room", "affiliation", "nick", "reason"],
        async *rows() {
          for (const { room, affiliation, nick: own, reason } of await affiliations())
            yield [room, affiliation, own, reason];
        },
      },
      {
        name: "muc_registered",
        columns: ["nick"],
        async *rows() {
          const registered = await nick();
          if (registered !== undefined) yield [registered];
        },
      },
    ];
  }

  /** Where an account has affiliations. */
  async affiliationsOf(account: Jid): Promise<(AffiliationRow & { room: string })[]> {
    const rows = await this.#db
      .selectFrom("muc_affiliations")
      .select(["room", "jid", "affiliation", "nick", "reason"])
      .where("domain", "=", this.#domain)
      .where("jid", "=", account.bare)
      .orderBy("room")
      .execute();
    return rows as (AffiliationRow & { room: string })[];
  }
}
