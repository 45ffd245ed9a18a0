/** Which services are to be told when an account's devices sleep, in the database; what was read lately is remembered. */
import { createHash } from "node:crypto";
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { Jid } from "../../stanza/jid.ts";
import { key, millis, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";
import type { PreparedSelect } from "../../store/prepared.ts";
import { upsertRow } from "../../store/rows.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";

export const pushMigrations: readonly Migration[] = [
  {
    name: "push/1-create",
    up: (schema) =>
      schema.createTable("push_registration", {
        columns: {
          server: key(),
          username: key(),
          target: key({ chars: 64 }),
          jid: text(),
          node: text(),
          form: text(),
          resource: text(),
          created_at: millis(),
        },
        primaryKey: ["server", "username", "target"],
      }),
  },
];

export interface PushTables {
  push_registration: {
    server: string;
    username: string;
    /** Hash of service and node, which may be too long for a key. */
    target: string;
    jid: string;
    node: string;
    /** XML, "" for none. */
    form: string;
    /** The resource that has enabled it last. */
    resource: string;
    created_at: number;
  };
}

export interface Registration {
  readonly jid: string;
  readonly node: string;
  readonly form: string;
  readonly resource: string;
}

const rememberedMax = 50_000;
const none: readonly Registration[] = [];

export function targetOf(jid: string, node: string): string {
  return createHash("sha256").update(`${jid}\0${node}`).digest("hex");
}

export class PushStore {
  readonly #house: Pick<ModuleContext<unknown>, "store" | "clock" | "notices">;
  readonly #remembered = new BoundedMap<string, readonly Registration[]>(rememberedMax);
  #changes = 0;
  readonly #tell: (account: string) => void;
  readonly #ofAccount: PreparedSelect<[server: string, username: string], Registration>;

  constructor(house: Pick<ModuleContext<unknown>, "store" | "clock" | "notices">) {
    this.#house = house;
    this.#ofAccount = house.store.prepare((server: string, username: string) =>
      this.#db
        .selectFrom("push_registration")
        .select(["jid", "node", "form", "resource"])
        .where("server", "=", server)
        .where("username", "=", username),
    );
    this.#tell = house.notices("push", (account) => this.#forget(account));
  }

  get #db() {
    return this.#house.store.tables<PushTables>();
  }

  /** From memory where it is known. May throw the errors of the store. */
  of(account: Jid): MaybePromise<readonly Registration[]> {
    const known = this.#remembered.get(account.bare);
    if (known !== undefined) return known;
    const loading = this.#load(account);
    // A caller that turns out not to need the answer must not leave its failure unhandled.
    if (loading instanceof Promise) loading.catch(() => undefined);
    return loading;
  }

  #load(account: Jid): MaybePromise<readonly Registration[]> {
    const changes = this.#changes;
    return then(this.#ofAccount.all(account.domain, account.local), (rows) => {
      const found = rows.length === 0 ? none : rows;
      if (changes === this.#changes) this.#remembered.set(account.bare, found);
      return found;
    });
  }

  /** False when the account has `most` others. */
  async enable(account: Jid, registration: Registration, most: number): Promise<boolean> {
    const target = targetOf(registration.jid, registration.node);
    const present = await this.#load(account);
    if (present.filter((one) => targetOf(one.jid, one.node) !== target).length >= most) return false;
    const row = {
      server: account.domain,
      username: account.local,
      target,
      ...registration,
      created_at: this.#house.clock.now(),
    };
    await upsertRow(this.#db, "push_registration", row, ["server", "username", "target"]);
    this.#changed(account);
    return true;
  }

  /** All nodes of a service, or one. */
  async disable(account: Jid, jid: string, node: string | undefined): Promise<void> {
    const present = await this.#load(account);
    const targets = present
      .filter((one) => one.jid === jid && (node === undefined || one.node === node))
      .map((one) => targetOf(one.jid, one.node));
    if (targets.length === 0) return;
    await this.#db
      .deleteFrom("push_registration")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("target", "in", targets)
      .execute();
    this.#changed(account);
  }

  async removeAll(account: Jid): Promise<void> {
    await this.#db
      .deleteFrom("push_registration")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
    this.#changed(account);
  }

  #changed(account: Jid): void {
    this.#forget(account.bare);
    this.#tell(account.bare);
  }

  #forget(account: string | undefined): void {
    this.#changes++;
    if (account === undefined) this.#remembered.clear();
    else this.#remembered.delete(account);
  }
}
