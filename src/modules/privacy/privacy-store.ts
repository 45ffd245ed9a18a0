/** Privacy lists in the database: all lists of an account in one row, changed only from the version that was read. */
import { personalRows } from "../../hooks/personal-rows.ts";
import type { PersonalData } from "../../hooks/points.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { integer, key, text } from "../../store/columns.ts";
import { StoreConflict } from "../../store/errors.ts";
import type { Migration } from "../../store/migrations.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import type { Store } from "../../store/store.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { PrivacyList, type Rule, type RuleType } from "./privacy-list.ts";

export interface PrivacyTables {
  privacy_lists: {
    domain: string;
    username: string;
    /** Grows with every change. */
    version: number;
    default_list: string | null;
    /** JSON: list name → rules, each [type, value, allow, order, kinds]. */
    lists: string;
  };
}

export const privacyMigrations: readonly Migration[] = [
  {
    name: "privacy/1-create",
    up: (schema) =>
      schema.createTable("privacy_lists", {
        columns: {
          domain: key(),
          username: key(),
          version: integer(),
          default_list: text({ nullable: true }),
          lists: text(),
        },
        primaryKey: ["domain", "username"],
      }),
  },
];

/** Everything an account has decided. Never changed: a change makes a new one. */
export interface PrivacyState {
  /** 0 while nothing is stored. */
  readonly version: number;
  /** The name of the default list; it is one of `lists`. */
  readonly defaultName: string | undefined;
  readonly lists: ReadonlyMap<string, PrivacyList>;
}

export const nothingStored: PrivacyState = { version: 0, defaultName: undefined, lists: new Map() };

/** The parts of a state that a change decides on. */
export type PrivacyWish = Pick<PrivacyState, "defaultName" | "lists">;

/** How often a change starts over because somebody else made one meanwhile. */
const attemptsMax = 5;

const loaded = ["version", "default_list", "lists"] as const;
type Loaded = (typeof loaded)[number];

type StoredRule = [type: RuleType, value: string, allow: 0 | 1, order: number, kinds: number];

/** All methods may throw the errors of store/errors.ts. */
export class PrivacyStore {
  readonly #store: Store;
  readonly #row: PreparedSelect<[domain: string, username: string], Pick<PrivacyTables["privacy_lists"], Loaded>>;

  constructor(store: Store) {
    this.#store = store;
    this.#row = store.prepare((domain: string, username: string) =>
      this.#db.selectFrom("privacy_lists").select(loaded).where("domain", "=", domain).where("username", "=", username),
    );
  }

  get #db() {
    return this.#store.tables<PrivacyTables>();
  }

  load(account: Jid): MaybePromise<PrivacyState> {
    return then(this.#row.first(account.domain, account.local), (row) =>
      row === undefined ? nothingStored : stateOf(row),
    );
  }

  /**
   * Applies `decide` to the newest state and stores what it returns (undefined leaves all as it is). It runs again when
   * another session or node was faster; what it throws ends the change. Resolves with the states before and after.
   * @throws StanzaError resource-constraint when others were faster every time.
   */
  async change(
    account: Jid,
    decide: (state: PrivacyState) => PrivacyWish | undefined,
  ): Promise<{ before: PrivacyState; after: PrivacyState }> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const before = await this.load(account);
      const wish = decide(before);
      if (wish === undefined) return { before, after: before };
      const after: PrivacyState = {
        version: before.version + 1,
        defaultName: wish.defaultName,
        lists: wish.lists,
      };
      if (await this.#write(account, before.version, after)) return { before, after };
    }
    throw new StanzaError("resource-constraint", { text: "Too many changes at once" });
  }

  /** False when the stored version is another one by now. */
  async #write(account: Jid, expected: number, state: PrivacyState): Promise<boolean> {
    const values = {
      version: state.version,
      default_list: state.defaultName ?? null,
      lists: JSON.stringify([...state.lists].map(([name, list]) => [name, list.rules.map(fromRule)])),
    };
    if (expected === 0) {
      const row = { domain: account.domain, username: account.local, ...values };
      try {
        await this.#db.insertInto("privacy_lists").values(row).execute();
        return true;
      } catch (error) {
        if (error instanceof StoreConflict) return false;
        throw error;
      }
    }
    const { numUpdatedRows } = await this.#db
      .updateTable("privacy_lists")
      .set(values)
      .where("domain", "=", account.domain)
      .where("username", "=", account.local)
      .where("version", "=", expected)
      .executeTakeFirst();
    return Number(numUpdatedRows) === 1;
  }

  personalData(account: Jid): PersonalData {
    const query = this.#db
      .selectFrom("privacy_lists")
      .select(["username", "default_list", "lists"])
      .where("domain", "=", account.domain)
      .where("username", "=", account.local);
    return personalRows("privacy_lists", this.#db, query, ["username"], {
      default_list: (row) => row.default_list,
      lists: (row) => row.lists,
    });
  }

  async remove(account: Jid): Promise<void> {
    await this.#db
      .deleteFrom("privacy_lists")
      .where("domain", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }
}

function stateOf(row: Pick<PrivacyTables["privacy_lists"], Loaded>): PrivacyState {
  const lists = new Map<string, PrivacyList>();
  for (const [name, rules] of JSON.parse(row.lists) as [string, StoredRule[]][]) {
    lists.set(name, new PrivacyList(rules.map(toRule)));
  }
  return { version: row.version, defaultName: row.default_list ?? undefined, lists };
}

function toRule([type, value, allow, order, kinds]: StoredRule): Rule {
  return { type, value, allow: allow === 1, order, kinds };
}

function fromRule(rule: Rule): StoredRule {
  return [rule.type, rule.value, rule.allow ? 1 : 0, rule.order, rule.kinds];
}
