/** XEP-0012 Last Activity 2.0: when a user was last there, for those who may know, and how long the server is up. */
import { option } from "../config/option.ts";
import { defineModule, type ModuleContext } from "../hooks/define-module.ts";
import { type MaybePromise, type Outcome, reply } from "../hooks/effect.ts";
import type { LastActivity, LastService } from "../hooks/services.ts";
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { presence, type Stanza } from "../stanza/stanza.ts";
import { bigint, key, text } from "../store/columns.ts";
import type { Migration } from "../store/migrations.ts";
import { xml } from "../xml/xml.ts";

/** Longest status kept; the rest is cut. */
const statusCharsMax = 1_023;
/** Records that travel to the database at once: a mass disconnect must not fill the queue that messages share. */
const batchMax = 500;
/** After a failure to write, the records wait this long; they are read from memory meanwhile. */
const retryAfterMs = 5_000;
/** Records that may wait for a database that is away; further ones are lost, and said to be. */
const pendingMax = 500_000;

interface LastTables {
  last_activity: { domain: string; username: string; seconds: number; status: string };
}

export const lastMigrations: readonly Migration[] = [
  {
    name: "last/1-create",
    up: (schema) =>
      schema.createTable("last_activity", {
        // Seconds since the epoch, as people count them.
        columns: { domain: key(), username: key(), seconds: bigint(), status: text() },
        primaryKey: ["domain", "username"],
        indexes: { last_activity_seconds: ["domain", "seconds"] },
      }),
  },
];

export const last = defineModule({
  name: "mod_last",
  summary: "Contacts can ask when a user was last online, and with which words he left.",
  xeps: [{ number: 12, version: "2.0" }],
  options: {
    backend: option.choice({
      doc: "Where last activity is kept.",
      values: ["rdbms"],
      default: "rdbms",
      unsupported: { mnesia: "last activity is kept in the SQL database" },
    }),
  },
  features: { server: [ns.last], account: [ns.last] },
  migrations: lastMigrations,

  setup(on, context) {
    const book = new LastBook(context);

    on.iq("get", "server", ns.last, "query", () => {
      const seconds = Math.max(0, Math.floor((context.clock.now() - context.nodeStartedAt) / 1000));
      return reply(xml`<query xmlns='${ns.last}' seconds='${seconds}'/>`);
    });
    on.iq("get", "account", ns.last, "query", (_request, { target }) => book.answer(target));
    on.iq("get", "user", ns.last, "query", async (_request, { target, from }) => {
      await requirePermission(context, target, from);
      return book.answer(target);
    });
    // Section 4: a resource is asked only by who may see its presence.
    on.stage("incoming", "iq", (stanza, account) => {
      if (stanza.type !== "get" || stanza.to!.isBare || !stanza.has("query", ns.last)) return undefined;
      const from = stanza.from!;
      const own = from.bare === account.bare || (from.local === "" && from.domain === context.domain);
      return own ? undefined : requirePermission(context, account, from);
    });

    on.session("unavailable", (session, goodbye) => {
      if (!context.isAvailable(session.account)) book.left(session.account, goodbye);
      return undefined;
    });
    on.account("removed", (account) => book.forget(account));
    on.answer("personalData", (account) => [
      {
        name: "last_activity",
        columns: ["time", "status"],
        async *rows() {
          const activity = await book.get(account);
          if (activity !== undefined) yield [new Date(activity.at).toISOString(), activity.status];
        },
      },
    ]);
    on.provide("last", book);
    return () => book.stop();
  },
});

/** Only who may see the presence of an account may know this; throws `StanzaError` forbidden. */
async function requirePermission(
  house: Pick<ModuleContext<unknown>, "ask">,
  account: Jid,
  asking: Jid,
): Promise<undefined> {
  const item = await house.ask("rosterItem", account, asking.toBare());
  const subscribed = item?.subscription === "from" || item?.subscription === "both";
  const shown = presence({ from: account, to: asking });
  if (!subscribed || (await house.ask("blocked", account, undefined, shown, "out")) === true) {
    throw new StanzaError("forbidden");
  }
  return undefined;
}

type House = Pick<ModuleContext<unknown>, "domain" | "store" | "writes" | "clock" | "log" | "resourcesOf">;

/** Who left when: in memory until it is written, so that a mass disconnect costs few transactions and no waiting. */
export class LastBook implements LastService {
  readonly #house: House;
  readonly #pending = new Map<string, LastActivity>();
  /** Set while records are on their way to the database. */
  #writing: Promise<void> | undefined;
  #lost = 0;

  constructor(house: House) {
    this.#house = house;
  }

  /** Sections 3 and 4, for an account of this host. */
  async answer(account: Jid): Promise<Outcome> {
    if (this.#house.resourcesOf(account).length > 0) return reply(xml`<query xmlns='${ns.last}' seconds='0'/>`);
    const activity = await this.get(account);
    if (activity === undefined) throw new StanzaError("service-unavailable");
    const seconds = Math.max(0, Math.floor((this.#house.clock.now() - activity.at) / 1000));
    return reply(xml`<query xmlns='${ns.last}' seconds='${seconds}'>${activity.status}</query>`);
  }

  /** The last resource of an account has become unavailable, with this presence. */
  left(account: Jid, goodbye: Stanza): void {
    const status = goodbye.has("status", ns.client) ? (goodbye.text("status") ?? "") : "";
    this.#put(account.local, { at: this.#house.clock.now(), status: cut(status) });
    this.#start();
  }

  #put(local: string, activity: LastActivity): void {
    if (this.#pending.size >= pendingMax && !this.#pending.has(local)) {
      this.#lost++;
      return;
    }
    this.#pending.set(local, activity);
  }

  #start(): void {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Writes all that is pending, batch after batch; after a failure what is left is tried again later. */
  async #write(): Promise<void> {
    const { log, clock } = this.#house;
    while (this.#pending.size > 0) {
      const batch: [string, LastActivity][] = [];
      for (const entry of this.#pending) {
        batch.push(entry);
        if (batch.length === batchMax) break;
      }
      try {
        await Promise.all(batch.map(([local, activity]) => this.#add(local, activity)));
      } catch (error) {
        log.warn({ err: error, pending: this.#pending.size }, "Last activity could not be written; trying again later");
        clock.after(retryAfterMs, () => this.#start());
        return;
      }
    }
    if (this.#lost > 0)
      log.warn({ lost: this.#lost }, "Last activity of some users was lost while the database was away");
    this.#lost = 0;
  }

  async #add(local: string, activity: LastActivity): Promise<void> {
    const { writes, domain } = this.#house;
    await writes.add({
      table: "last_activity",
      row: { domain, username: local, seconds: Math.floor(activity.at / 1000), status: activity.status },
      onConflict: { key: ["domain", "username"], update: "all" },
    });
    // A newer one may have come meanwhile.
    if (this.#pending.get(local) === activity) this.#pending.delete(local);
  }

  async stop(): Promise<void> {
    if (this.#pending.size > 0) this.#start();
    while (this.#writing !== undefined) await this.#house.writes.flush();
  }

  get #db() {
    return this.#house.store.tables<LastTables>();
  }

  async get(account: Jid): Promise<LastActivity | undefined> {
    const pending = this.#pending.get(account.local);
    if (pending !== undefined) return pending;
    const row = await this.#db
      .selectFrom("last_activity")
      .select(["seconds", "status"])
      .where("domain", "=", this.#house.domain)
      .where("username", "=", account.local)
      .executeTakeFirst();
    return row === undefined ? undefined : { at: row.seconds * 1000, status: row.status };
  }

  async set(account: Jid, activity: LastActivity): Promise<void> {
    const wanted = { at: activity.at, status: cut(activity.status) };
    this.#pending.delete(account.local);
    await this.#add(account.local, wanted);
  }

  async countActive(since: number): Promise<number> {
    await this.#settle();
    const row = await this.#db
      .selectFrom("last_activity")
      .select((on) => on.fn.countAll<number>().as("number"))
      .where("domain", "=", this.#house.domain)
      .where("seconds", ">=", Math.ceil(since / 1000))
      .executeTakeFirstOrThrow();
    return Number(row.number);
  }

  async listOld(before: number, limit: number, after = ""): Promise<readonly { local: string; at: number }[]> {
    await this.#settle();
    const rows = await this.#db
      .selectFrom("last_activity")
      .select(["username", "seconds"])
      .where("domain", "=", this.#house.domain)
      .where("username", ">", after)
      .where("seconds", "<", Math.ceil(before / 1000))
      .orderBy("username")
      .limit(limit)
      .execute();
    return rows.map((row) => ({ local: row.username, at: row.seconds * 1000 }));
  }

  #settle(): MaybePromise<void> {
    return this.#writing === undefined ? undefined : this.#house.writes.flush();
  }

  async forget(account: Jid): Promise<void> {
    this.#pending.delete(account.local);
    await this.#house.writes.flush();
    await this.#db
      .deleteFrom("last_activity")
      .where("domain", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }
}

/** Not between the two halves of a character. */
function cut(status: string): string {
  if (status.length <= statusCharsMax) return status;
  const end = /[\uD800-\uDBFF]/.test(status[statusCharsMax - 1]!) ? statusCharsMax - 1 : statusCharsMax;
  return status.slice(0, end);
}
