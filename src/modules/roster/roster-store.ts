/** RFC 6121 rosters in the database: one row a contact, and one row an account that numbers its changes. */
import type { Transaction } from "kysely";
import { isoTime, personalRows } from "../../hooks/personal-rows.ts";
import type { PersonalData } from "../../hooks/points.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { flag, key, millis, text } from "../../store/columns.ts";
import { isRetriable, ValueTooLong } from "../../store/errors.ts";
import type { Migration } from "../../store/migrations.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import { retryWithBackoff } from "../../store/retry.ts";
import { insertRows, upsertRow } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { APPROVED, FROM, PENDING_IN, PENDING_OUT, type SubscriptionState, TO } from "./subscription.ts";

export interface RosterTables {
  rosterusers: RosterRow;
  roster_version: { server: string; username: string; version: number };
}

interface RosterRow {
  server: string;
  username: string;
  jid: string;
  nick: string;
  /** N, T, F, B: none, to, from, both. */
  subscription: string;
  /** N, O, I, B: nothing pending, out, in, both. */
  ask: string;
  approved: number | boolean;
  /** 0 for a mere request of somebody who is not in the roster. */
  listed: number | boolean;
  /** Group names, each followed by `separator`. */
  grps: string;
  /** The inside of a pending request's stanza. */
  askmessage: string;
  created_at: number;
}

export const rosterMigrations: readonly Migration[] = [
  {
    name: "roster/1-create",
    async up(schema) {
      await schema.createTable("rosterusers", {
        columns: {
          server: key(),
          username: key(),
          jid: key(),
          nick: text(),
          subscription: key({ chars: 1 }),
          ask: key({ chars: 1 }),
          approved: flag({ initial: 0 }),
          listed: flag({ initial: 1 }),
          grps: text(),
          askmessage: text(),
          created_at: millis(),
        },
        primaryKey: ["server", "username", "jid"],
        indexes: { rosterusers_by_jid: ["jid", "server"] },
      });
      await schema.createTable("roster_version", {
        columns: { server: key(), username: key(), version: millis() },
        primaryKey: ["server", "username"],
      });
    },
  },
];

/** What the roster of an account says of one contact. */
export interface RosterItem {
  readonly jid: string;
  readonly name: string;
  readonly groups: readonly string[];
  readonly state: SubscriptionState;
  /** False for a mere request: RFC 6121 section 3.1.3 keeps it out of the roster that clients see. */
  readonly listed: boolean;
  /** The inside of the request that waits for an answer; "" when none waits or when it was not asked for. */
  readonly request: string;
}

/** A roster change that happened. `after` is undefined when the item is gone. */
export interface RosterChange {
  readonly before: RosterItem | undefined;
  readonly after: RosterItem | undefined;
  /** The roster's new version. */
  readonly version: number;
}

export interface Owner {
  readonly domain: string;
  readonly local: string;
}

export interface RosterLimits {
  /** Items a client may see. */
  readonly items: number;
  /** Requests of strangers that wait for an answer. */
  readonly requests: number;
}

/** Says what becomes of an item, given how it stands: the new item, "remove", or undefined for no change. May run several times. */
export type Decision = (current: RosterItem | undefined) => RosterItem | "remove" | undefined;

/** Forbidden in XML, so in no name of a group. */
const separator = "\u001f";
const attemptsMax = 6;

const plainColumns = ["jid", "nick", "subscription", "ask", "approved", "listed", "grps"] as const;
const allColumns = [...plainColumns, "askmessage"] as const;
type StoredItem = Pick<RosterRow, (typeof plainColumns)[number]> & { askmessage?: string };

class NothingChanged extends Error {
  override readonly name = "NothingChanged";
}

/** All methods may throw the errors of `store/errors.ts`. Accounts and contacts are given in their prepared form. */
export class RosterStore {
  readonly #store: Store;
  readonly #limits: RosterLimits;

  // What every login asks.
  readonly #list: PreparedSelect<[server: string, username: string], StoredItem>;
  readonly #related: PreparedSelect<
    [server: string, username: string],
    Pick<RosterRow, "jid" | "subscription" | "ask" | "approved">
  >;
  readonly #sharing: PreparedSelect<[server: string, jid: string], { username: string }>;
  readonly #version: PreparedSelect<[server: string, username: string], { version: number }>;

  constructor(store: Store, limits: RosterLimits) {
    this.#store = store;
    this.#limits = limits;
    this.#list = store.prepare((domain: string, local: string) =>
      this.#items({ domain, local }).select(plainColumns).where("listed", "=", 1),
    );
    this.#related = store.prepare((domain: string, local: string) =>
      this.#items({ domain, local })
        .select(["jid", "subscription", "ask", "approved"])
        .where((where) => where.or([where("subscription", "<>", "N"), where("ask", "in", ["I", "B"])])),
    );
    this.#sharing = store.prepare((domain: string, viewer: string) =>
      this.#db
        .selectFrom("rosterusers")
        .select("username")
        .where("jid", "=", viewer)
        .where("server", "=", domain)
        .where("subscription", "in", ["F", "B"]),
    );
    this.#version = store.prepare((domain: string, local: string) => this.#versions(this.#db, { domain, local }));
  }

  /** Everything clients see of a roster, in one query. */
  list(owner: Owner): MaybePromise<RosterItem[]> {
    return then(this.#list.all(owner.domain, owner.local), (rows) => rows.map(itemOf));
  }

  /** One item with the request that may wait in it. */
  async find(owner: Owner, jid: string): Promise<RosterItem | undefined> {
    const row = await this.#items(owner).select(allColumns).where("jid", "=", jid).executeTakeFirst();
    return row === undefined ? undefined : itemOf(row);
  }

  /** Those items between which and the account presence flows, or that wait for the account's answer. */
  related(owner: Owner): MaybePromise<{ jid: string; state: SubscriptionState }[]> {
    return then(this.#related.all(owner.domain, owner.local), (rows) =>
      rows.map((row) => ({ jid: row.jid, state: stateOf(row) })),
    );
  }

  /** Requests that wait for the account's answer, oldest first. */
  async requests(owner: Owner): Promise<{ jid: string; request: string }[]> {
    const rows = await this.#items(owner)
      .select(["jid", "askmessage"])
      .where("ask", "in", ["I", "B"])
      .orderBy("created_at")
      .orderBy("jid")
      .execute();
    return rows.map((row) => ({ jid: row.jid, request: row.askmessage }));
  }

  /** Local parts of the accounts of `domain` that let `viewer` see their presence, by their own word. */
  sharingWith(domain: string, viewer: string): MaybePromise<string[]> {
    return then(this.#sharing.all(domain, viewer), (rows) => rows.map((row) => row.username));
  }

  /** The number of the last change; 0 before the first. */
  version(owner: Owner): MaybePromise<number> {
    return then(this.#version.first(owner.domain, owner.local), (row) => (row === undefined ? 0 : Number(row.version)));
  }

  /**
   * Changes one item. Atomic: the row that numbers an account's changes is locked first, so that changes of one roster
   * happen one after the other, whichever nodes make them. Undefined when nothing changed.
   * @throws what `decide` throws; `StanzaError` resource-constraint when the roster is full, not-acceptable for an
   * address of more than 250 characters.
   */
  async change(owner: Owner, jid: string, decide: Decision): Promise<RosterChange | undefined> {
    // Most stanzas that change nothing are found out here, without a lock and without a new version.
    const seen = await this.find(owner, jid);
    if (isSame(seen, decide(seen))) return undefined;
    try {
      return await retryWithBackoff(() => this.#changeOnce(owner, jid, decide), {
        clock: this.#store.clock,
        delayMinMs: 5,
        attemptsMax,
        retriable: isRetriable,
      });
    } catch (error) {
      if (error instanceof NothingChanged) return undefined;
      if (error instanceof ValueTooLong) {
        throw new StanzaError("not-acceptable", {
          text: "A roster holds addresses of at most 250 characters",
          cause: error,
        });
      }
      throw error;
    }
  }

  #changeOnce(owner: Owner, jid: string, decide: Decision): Promise<RosterChange> {
    return this.#db.transaction().execute(async (trx) => {
      const version = await this.#nextVersion(trx, owner);
      const row = await this.#items(owner, trx).select(allColumns).where("jid", "=", jid).executeTakeFirst();
      const before = row === undefined ? undefined : itemOf(row);
      const decided = decide(before);
      if (isSame(before, decided)) throw new NothingChanged(); // rolls the version back
      const after = decided === "remove" ? undefined : (decided as RosterItem);
      if (after === undefined) {
        await trx
          .deleteFrom("rosterusers")
          .where("server", "=", owner.domain)
          .where("username", "=", owner.local)
          .where("jid", "=", jid)
          .execute();
      } else {
        await this.#checkLimits(trx, owner, before, after);
        const update = ["nick", "subscription", "ask", "approved", "listed", "grps", "askmessage"] as const;
        await upsertRow(
          trx,
          "rosterusers",
          rowOf(owner, after, this.#store.clock.now()),
          ["server", "username", "jid"],
          update,
        );
      }
      return { before, after, version };
    });
  }

  /** Takes the account's lock. Versions begin at the time of day, so that an account made anew never repeats one. */
  async #nextVersion(trx: Transaction<RosterTables>, owner: Owner): Promise<number> {
    const bump = () =>
      trx
        .updateTable("roster_version")
        .set((column) => ({ version: column("version", "+", 1) }))
        .where("server", "=", owner.domain)
        .where("username", "=", owner.local)
        .executeTakeFirst();
    const bumped = await bump();
    if (bumped.numUpdatedRows === 0n) {
      const first = { server: owner.domain, username: owner.local, version: this.#store.clock.now() };
      await insertRows(trx, "roster_version", [first], "ignore");
      await bump();
    }
    const row = await this.#versions(trx, owner).executeTakeFirstOrThrow();
    return Number(row.version);
  }

  async #checkLimits(
    trx: Transaction<RosterTables>,
    owner: Owner,
    before: RosterItem | undefined,
    after: RosterItem,
  ): Promise<void> {
    const appears = after.listed ? before?.listed !== true : before === undefined;
    if (!appears) return;
    const { total } = await this.#items(owner, trx)
      .select((columns) => columns.fn.countAll().as("total"))
      .where("listed", "=", after.listed ? 1 : 0)
      .executeTakeFirstOrThrow();
    if (Number(total) < (after.listed ? this.#limits.items : this.#limits.requests)) return;
    const what = after.listed ? `${this.#limits.items} items` : `${this.#limits.requests} requests`;
    throw new StanzaError("resource-constraint", { text: `A roster holds at most ${what}` });
  }

  /** Removes an account's roster and returns what was in it. */
  async removeAll(owner: Owner): Promise<RosterItem[]> {
    const rows = await this.#db.transaction().execute(async (trx) => {
      const found = await this.#items(owner, trx).select(plainColumns).execute();
      for (const table of ["rosterusers", "roster_version"] as const) {
        await trx.deleteFrom(table).where("server", "=", owner.domain).where("username", "=", owner.local).execute();
      }
      return found;
    });
    return rows.map(itemOf);
  }

  #items(owner: Owner, db: Transaction<RosterTables> | undefined = undefined) {
    return (db ?? this.#db)
      .selectFrom("rosterusers")
      .where("server", "=", owner.domain)
      .where("username", "=", owner.local);
  }

  #versions(db: Pick<Transaction<RosterTables>, "selectFrom">, owner: Owner) {
    return db
      .selectFrom("roster_version")
      .select("version")
      .where("server", "=", owner.domain)
      .where("username", "=", owner.local);
  }

  get #db() {
    return this.#store.tables<RosterTables>();
  }
}

function isSame(before: RosterItem | undefined, decided: RosterItem | "remove" | undefined): boolean {
  if (decided === undefined || decided === before) return true;
  return decided === "remove" && before === undefined;
}

function itemOf(row: StoredItem): RosterItem {
  return {
    jid: row.jid,
    name: row.nick,
    groups: row.grps === "" ? [] : row.grps.slice(0, -1).split(separator),
    state: stateOf(row),
    listed: Number(row.listed) === 1,
    request: row.askmessage ?? "",
  };
}

const subscriptionFlags: Record<string, number> = { N: 0, T: TO, F: FROM, B: TO | FROM };
const askFlags: Record<string, number> = { N: 0, O: PENDING_OUT, I: PENDING_IN, B: PENDING_OUT | PENDING_IN };

function stateOf(row: Pick<RosterRow, "subscription" | "ask" | "approved">): SubscriptionState {
  const approved = Number(row.approved) === 1 ? APPROVED : 0;
  return (subscriptionFlags[row.subscription] ?? 0) | (askFlags[row.ask] ?? 0) | approved;
}

function rowOf(owner: Owner, item: RosterItem, now: number): RosterRow {
  const { state } = item;
  return {
    server: owner.domain,
    username: owner.local,
    jid: item.jid,
    nick: item.name,
    subscription: "NTFB".charAt(state & (TO | FROM)),
    ask: "NOIB".charAt((state & (PENDING_OUT | PENDING_IN)) / PENDING_OUT),
    approved: state & APPROVED ? 1 : 0,
    listed: item.listed ? 1 : 0,
    grps: item.groups.map((group) => group + separator).join(""),
    askmessage: item.request,
    created_at: now,
  };
}

/** Everything that is kept of an account's contacts, mere requests included. */
export function personalRoster(store: Store, account: Owner): PersonalData {
  const db = store.tables<RosterTables>();
  const query = db
    .selectFrom("rosterusers")
    .select([...allColumns, "created_at"])
    .where("server", "=", account.domain)
    .where("username", "=", account.local);
  return personalRows("roster", db, query, ["jid"], {
    jid: (row) => row.jid,
    name: (row) => row.nick,
    subscription: (row) => subscriptionWords[row.subscription] ?? row.subscription,
    ask: (row) => askWords[row.ask] ?? row.ask,
    groups: (row) => row.grps.split(separator).filter(Boolean).join("\n"),
    request: (row) => row.askmessage,
    created_at: (row) => isoTime(row.created_at),
  });
}

const subscriptionWords: Readonly<Record<string, string>> = { N: "none", T: "to", F: "from", B: "both" };
const askWords: Readonly<Record<string, string>> = { N: "none", O: "out", I: "in", B: "both" };
