/** Rooms, who is in them, and who does not want to be, in the database: the one truth, which every node reads and changes. */
import { type SelectQueryBuilder, sql, type Transaction } from "kysely";
import type { PersonalData } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { key, millis, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import { repeatedTransaction } from "../../store/repeated-transaction.ts";
import { insertRows } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import type { Affiliation, AffiliationChange, Occupants } from "./affiliations.ts";
import { parseConfig, type RoomConfig } from "./room-schema.ts";

export interface LightTables {
  muc_light_rooms: {
    domain: string;
    room: string;
    /** Another one after each change of the configuration or of occupants. */
    version: string;
    /** JSON: `RoomConfig`. */
    config: string;
    /** The name in the configuration, for lists. */
    title: string;
    changed_at: number;
  };
  muc_light_occupants: { domain: string; room: string; jid: string; affiliation: string };
  muc_light_blocking: {
    /** Of the rooms. */
    domain: string;
    /** Who does not want to be added. */
    jid: string;
    /** "room" or "user". */
    kind: string;
    /** To this room, or by this user: a bare address. */
    blocked: string;
  };
}

export const lightMigrations: readonly Migration[] = [
  {
    name: "muc-light/1-create",
    async up(schema) {
      await schema.createTable("muc_light_rooms", {
        columns: {
          domain: key(),
          room: key(),
          version: key({ chars: 40 }),
          config: text(),
          title: text(),
          changed_at: millis(),
        },
        primaryKey: ["domain", "room"],
      });
      await schema.createTable("muc_light_occupants", {
        columns: { domain: key(), room: key(), jid: key(), affiliation: key({ chars: 10 }) },
        primaryKey: ["domain", "room", "jid"],
        indexes: { muc_light_occupants_jid: ["jid", "domain", "room"] },
      });
      await schema.createTable("muc_light_blocking", {
        columns: { domain: key(), jid: key(), kind: key({ chars: 4 }), blocked: key() },
        primaryKey: ["domain", "jid", "kind", "blocked"],
      });
    },
  },
];

/** Most characters of an address in these tables. */
export const addressCharsMax = 250;

/** A room at one moment. */
export interface LightRoom {
  readonly version: string;
  readonly config: RoomConfig;
  readonly occupants: Occupants;
}

/** What is to become of a room. */
export interface RoomChange {
  readonly config?: RoomConfig;
  readonly changes?: readonly AffiliationChange[];
  /** It is over, whoever is in it. */
  readonly destroyed?: boolean;
}

export interface RoomItem {
  readonly room: string;
  readonly version: string;
  readonly config: RoomConfig;
}

export interface Blocked {
  readonly kind: "room" | "user";
  readonly jid: string;
}

type Trx = Transaction<LightTables>;

/** One change waits for another of the same room; then a few attempts are enough. */
const attemptsMax = 10;

/** The rooms of one domain. All methods may throw the errors of store/errors.ts. */
export class LightStore {
  readonly #store: Store;
  readonly #domain: string;
  readonly #occupants: PreparedSelect<[string], { jid: string; affiliation: string }>;
  readonly #room: PreparedSelect<[string, string], { jid: string; first: string; second: string }>;

  constructor(store: Store, domain: string) {
    this.#store = store;
    this.#domain = domain;
    this.#occupants = store.prepare((room: string) =>
      this.#db
        .selectFrom("muc_light_occupants")
        .select(["jid", "affiliation"])
        .where("domain", "=", domain)
        .where("room", "=", room)
        .orderBy("jid"),
    );
    // In one query, so that the version is that of what comes with it.
    this.#room = store.prepare((room: string, again: string) =>
      this.#db
        .selectFrom("muc_light_rooms")
        .select([sql<string>`''`.as("jid"), "version as first", "config as second"])
        .where("domain", "=", domain)
        .where("room", "=", room)
        .unionAll(
          this.#db
            .selectFrom("muc_light_occupants")
            .select(["jid", "affiliation as first", sql<string>`''`.as("second")])
            .where("domain", "=", domain)
            .where("room", "=", again) as never,
        ),
    );
  }

  get #db() {
    return this.#store.tables<LightTables>();
  }

  /** Who is in a room, in order; nobody is in one that is not there. */
  occupants(room: string): MaybePromise<Occupants> {
    return then(this.#occupants.all(room), occupantsOf);
  }

  /** Undefined when there is no such room. */
  load(room: string): MaybePromise<LightRoom | undefined> {
    return then(this.#room.all(room, room), (rows) => {
      const self = rows.find(({ jid }) => jid === "");
      if (self === undefined) return undefined;
      const others = rows.filter(({ jid }) => jid !== "").map(({ jid, first }) => ({ jid, affiliation: first }));
      others.sort((a, b) => (a.jid < b.jid ? -1 : 1));
      return { version: self.first, config: parseConfig(self.second), occupants: occupantsOf(others) };
    });
  }

  /** Throws `StoreConflict` when there is such a room. */
  async create(room: string, state: LightRoom, title: string): Promise<void> {
    const { version, config, occupants } = state;
    await this.#transaction(async (trx) => {
      const row = { room, version, config: JSON.stringify(config), title };
      await insertRows(trx, "muc_light_rooms", [{ domain: this.#domain, ...row, changed_at: this.#store.clock.now() }]);
      await this.#write(
        trx,
        room,
        [...occupants].map(([jid, affiliation]) => ({ jid, affiliation })),
      );
    });
  }

  /**
   * Changes a room: `decide` is told what it is, and nobody else changes it until that is done. A room in which nobody is left is
   * removed. Undefined when there is no such room. Throws what `decide` throws, and then nothing has changed.
   */
  change<T extends RoomChange>(
    room: string,
    version: string,
    decide: (before: LightRoom) => T,
    titleOf: (config: RoomConfig) => string,
  ): Promise<{ before: LightRoom; change: T; emptied: boolean } | undefined> {
    return this.#transaction(async (trx) => {
      const row = await locking(
        this.#store,
        trx.selectFrom("muc_light_rooms").where("domain", "=", this.#domain).where("room", "=", room),
      )
        .select(["version", "config"])
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const occupants = await trx
        .selectFrom("muc_light_occupants")
        .select(["jid", "affiliation"])
        .where("domain", "=", this.#domain)
        .where("room", "=", room)
        .orderBy("jid")
        .execute();
      const before = { version: row.version, config: parseConfig(row.config), occupants: occupantsOf(occupants) };
      const change = decide(before);
      const left = new Set(before.occupants.keys());
      for (const { jid, affiliation } of change.changes ?? []) {
        if (affiliation === "none") left.delete(jid);
        else left.add(jid);
      }
      const emptied = change.destroyed === true || left.size === 0;
      if (emptied) {
        for (const table of ["muc_light_rooms", "muc_light_occupants"] as const) {
          await trx.deleteFrom(table).where("domain", "=", this.#domain).where("room", "=", room).execute();
        }
        return { before, change, emptied };
      }
      if (change.changes !== undefined) await this.#write(trx, room, change.changes);
      const config = change.config ?? before.config;
      const changes = { version, config: JSON.stringify(config), title: titleOf(config) };
      await trx
        .updateTable("muc_light_rooms")
        .set({ ...changes, changed_at: this.#store.clock.now() })
        .where("domain", "=", this.#domain)
        .where("room", "=", room)
        .execute();
      return { before, change, emptied };
    });
  }

  async #write(trx: Trx, room: string, changes: readonly AffiliationChange[]): Promise<void> {
    const gone = changes.flatMap(({ jid, affiliation }) => (affiliation === "none" ? [jid] : []));
    for (const jids of slices(gone)) {
      await trx
        .deleteFrom("muc_light_occupants")
        .where("domain", "=", this.#domain)
        .where("room", "=", room)
        .where("jid", "in", jids)
        .execute();
    }
    const kept = changes.filter(({ affiliation }) => affiliation !== "none");
    const rows = kept.map(({ jid, affiliation }) => ({ domain: this.#domain, room, jid, affiliation }));
    const key = ["domain", "room", "jid"] as const;
    if (rows.length > 0) await insertRows(trx, "muc_light_occupants", rows, { key, update: ["affiliation"] });
  }

  #transaction<T>(run: (trx: Trx) => Promise<T>): Promise<T> {
    return repeatedTransaction(this.#store, attemptsMax, run);
  }

  // The rooms of a user.

  #roomsOf(account: string) {
    return this.#db
      .selectFrom("muc_light_occupants as o")
      .where("o.jid", "=", account)
      .where("o.domain", "=", this.#domain);
  }

  async countRoomsOf(account: string, before?: string): Promise<number> {
    let query = this.#roomsOf(account).select((on) => on.fn.countAll<number>().as("number"));
    if (before !== undefined) query = query.where("o.room", "<", before);
    return Number((await query.executeTakeFirstOrThrow()).number);
  }

  /** In the order of their names: those behind `after`, or the last before `before` ("" for the end), or from the place `offset` on. */
  async roomsOf(
    account: string,
    page: { readonly after?: string; readonly before?: string; readonly offset?: number; readonly limit: number },
  ): Promise<RoomItem[]> {
    let query = this.#roomsOf(account)
      .innerJoin("muc_light_rooms as r", (join) =>
        join.onRef("r.domain", "=", "o.domain").onRef("r.room", "=", "o.room"),
      )
      .select(["r.room", "r.version", "r.config"]);
    const backwards = page.before !== undefined;
    if (page.after !== undefined) query = query.where("o.room", ">", page.after);
    if (page.before !== undefined && page.before !== "") query = query.where("o.room", "<", page.before);
    query = query.orderBy("o.room", backwards ? "desc" : "asc").limit(page.limit);
    if (page.offset !== undefined) query = query.offset(page.offset);
    const rows = await query.execute();
    if (backwards) rows.reverse();
    return rows.map(({ room, version, config }) => ({ room, version, config: parseConfig(config) }));
  }

  async isIn(account: string, room: string): Promise<boolean> {
    return (await this.#roomsOf(account).select("o.room").where("o.room", "=", room).executeTakeFirst()) !== undefined;
  }

  /** Those of these accounts that are in `most` rooms or more. */
  async inManyRooms(accounts: readonly string[], most: number): Promise<string[]> {
    const found: string[] = [];
    for (const some of slices(accounts)) {
      const rows = await this.#db
        .selectFrom("muc_light_occupants")
        .select("jid")
        .where("domain", "=", this.#domain)
        .where("jid", "in", some)
        .groupBy("jid")
        .having((on) => on.fn.countAll(), ">=", most)
        .execute();
      for (const { jid } of rows) found.push(jid);
    }
    return found;
  }

  // All rooms, for the operator.

  /** In the order of their names, behind `after`; those whose name or title has `filter` in it. */
  async list(page: { readonly after?: string; readonly filter?: string; readonly limit: number }) {
    let query = this.#filtered(page.filter)
      .select(["r.room", "r.version", "r.config"])
      .select((on) =>
        on
          .selectFrom("muc_light_occupants as o")
          .select((inner) => inner.fn.countAll<number>().as("number"))
          .whereRef("o.domain", "=", "r.domain")
          .whereRef("o.room", "=", "r.room")
          .as("users"),
      );
    if (page.after !== undefined) query = query.where("r.room", ">", page.after);
    const rows = await query.orderBy("r.room").limit(page.limit).execute();
    return rows.map(({ room, version, config, users }) => ({
      room,
      version,
      config: parseConfig(config),
      users: Number(users),
    }));
  }

  async count(filter?: string): Promise<number> {
    const row = await this.#filtered(filter)
      .select((on) => on.fn.countAll<number>().as("number"))
      .executeTakeFirstOrThrow();
    return Number(row.number);
  }

  #filtered(filter: string | undefined) {
    const query = this.#db.selectFrom("muc_light_rooms as r").where("r.domain", "=", this.#domain);
    if (filter === undefined || filter === "") return query;
    const pattern = `%${filter.toLowerCase().replace(/[!%_]/g, "!$&")}%`;
    return query.where(sql<boolean>`(r.room like ${pattern} escape '!' or lower(r.title) like ${pattern} escape '!')`);
  }

  // Blocking.

  async blocking(account: string): Promise<Blocked[]> {
    const rows = await this.#db
      .selectFrom("muc_light_blocking")
      .select(["kind", "blocked"])
      .where("domain", "=", this.#domain)
      .where("jid", "=", account)
      .orderBy("kind")
      .orderBy("blocked")
      .execute();
    return rows.map(({ kind, blocked }) => ({ kind: kind as Blocked["kind"], jid: blocked }));
  }

  /** Those of these accounts that do not want to be added to this room, or by this user. */
  async blockedBy(accounts: readonly string[], room: string | undefined, user: string): Promise<string[]> {
    const found: string[] = [];
    for (const some of slices(accounts)) {
      const rows = await this.#db
        .selectFrom("muc_light_blocking")
        .select("jid")
        .distinct()
        .where("domain", "=", this.#domain)
        .where("jid", "in", some)
        .where((on) =>
          on.or([
            on.and([on("kind", "=", "user"), on("blocked", "=", user)]),
            ...(room === undefined ? [] : [on.and([on("kind", "=", "room"), on("blocked", "=", room)])]),
          ]),
        )
        .execute();
      for (const { jid } of rows) found.push(jid);
    }
    return found;
  }

  /** False, and nothing has changed, when the list would become longer than `most`. */
  async block(account: string, deny: readonly Blocked[], allow: readonly Blocked[], most: number): Promise<boolean> {
    const full = new Error("full");
    try {
      await this.#transaction(async (trx) => {
        const of = { domain: this.#domain, jid: account };
        for (const kind of ["room", "user"] as const) {
          const jids = allow.flatMap((one) => (one.kind === kind ? [one.jid] : []));
          for (const some of slices(jids)) {
            await trx
              .deleteFrom("muc_light_blocking")
              .where("domain", "=", of.domain)
              .where("jid", "=", of.jid)
              .where("kind", "=", kind)
              .where("blocked", "in", some)
              .execute();
          }
        }
        const rows = deny.map(({ kind, jid }) => ({ ...of, kind, blocked: jid }));
        if (rows.length > 0) await insertRows(trx, "muc_light_blocking", rows, "ignore");
        const { number } = await trx
          .selectFrom("muc_light_blocking")
          .select((on) => on.fn.countAll<number>().as("number"))
          .where("domain", "=", of.domain)
          .where("jid", "=", of.jid)
          .executeTakeFirstOrThrow();
        if (deny.length > 0 && Number(number) > most) throw full;
      });
    } catch (error) {
      if (error !== full) throw error;
      return false;
    }
    return true;
  }

  async unblockAll(account: string): Promise<void> {
    await this.#db
      .deleteFrom("muc_light_blocking")
      .where("domain", "=", this.#domain)
      .where("jid", "=", account)
      .execute();
  }

  /** What is kept of an account. */
  personalData(account: Jid): readonly PersonalData[] {
    const rooms = (after: string) => this.#affiliationsOf(account.bare, after);
    const blocking = () => this.blocking(account.bare);
    return [
      {
        name: "muc_light_occupants",
        columns: ["room", "affiliation"],
        async *rows() {
          let after = "";
          for (;;) {
            const page = await rooms(after);
            for (const { room, affiliation } of page) yield [room, affiliation];
            if (page.length === 0) return;
            after = page.at(-1)!.room;
          }
        },
      },
      {
        name: "muc_light_blocking",
        columns: ["kind", "blocked"],
        async *rows() {
          for (const { kind, jid } of await blocking()) yield [kind, jid];
        },
      },
    ];
  }

  #affiliationsOf(account: string, after: string) {
    return this.#roomsOf(account)
      .select(["o.room", "o.affiliation"])
      .where("o.room", ">", after)
      .orderBy("o.room")
      .limit(500)
      .execute();
  }
}

function occupantsOf(rows: readonly { jid: string; affiliation: string }[]): Occupants {
  return new Map(rows.map(({ jid, affiliation }) => [jid, affiliation as Affiliation]));
}

/** SQLite's transactions are alone anyway. */
function locking<DB, TB extends keyof DB, O>(
  store: Store,
  query: SelectQueryBuilder<DB, TB, O>,
): SelectQueryBuilder<DB, TB, O> {
  return store.dialect === "sqlite" ? query : query.forUpdate();
}

/** Lists that fit the parameters of one statement. */
function* slices(list: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < list.length; at += 1_000) yield list.slice(at, at + 1_000);
}
