/** XEP-0484 Fast Authentication Streamlining Tokens 0.2.0: the tokens, issued and renewed. */
import type { FastToken } from "../auth/account-lookup.ts";
import { option } from "../config/option.ts";
import { defineModule } from "../hooks/define-module.ts";
import { isoTime, personalRows } from "../hooks/personal-rows.ts";
import type { PersonalData } from "../hooks/points.ts";
import type { FastTokenService } from "../hooks/services.ts";
import type { Jid } from "../stanza/jid.ts";
import { integer, key, millis, text } from "../store/columns.ts";
import type { Migration } from "../store/migrations.ts";
import { upsertRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";

/** Section 3.3: a token is found in the slot "new" until its first use, then in "current". */
type Slot = "current" | "new";

interface FastTokenTables {
  fast_auth_tokens: {
    domain: string;
    username: string;
    user_agent: string;
    slot: Slot;
    mechanism: string;
    token: string;
    expires_at: number;
    last_count: number;
  };
}

const migrations: readonly Migration[] = [
  {
    name: "fast/1-create",
    up: (schema) =>
      schema.createTable("fast_auth_tokens", {
        columns: {
          domain: key(),
          username: key(),
          user_agent: key({ chars: 36 }),
          slot: key({ chars: 8 }),
          mechanism: text(),
          token: text(),
          expires_at: millis(),
          last_count: integer(),
        },
        primaryKey: ["domain", "username", "user_agent", "slot"],
      }),
  },
];

const tokenBytes = 32;
/** Of an account that has gathered very many, further ones go next time. */
const removedAtOnce = 500;

export const fastAuthToken = defineModule({
  name: "mod_fast_auth_token",
  summary: "Gives clients tokens with which they log in again in one round trip, without the password.",
  xeps: [{ number: 484, version: "0.2.0", note: "no TLS 0-RTT" }],
  options: {
    validity_days: option.integer({
      default: 21,
      min: 1,
      max: 3_650,
      unit: "days",
      doc: "How long a token works. Each one that is renewed starts anew.",
    }),
    max_clients: option.integer({
      default: 50,
      min: 1,
      unit: "installations",
      doc: "Most installations of clients for which one account has tokens; those whose tokens end first give way.",
    }),
    rotate_before_expire_days: option.integer({
      default: 14,
      min: 0,
      max: 3_650,
      unit: "days",
      doc: "A token used with less than this left is renewed; 0 never renews.",
    }),
  },
  migrations,
  requires: ["mod_sasl2"],
  setup(on, context) {
    const tokens = new FastTokens(context.domain, context.store, context.clock, context.random, context.options);
    on.provide("fastTokens", tokens);
    on.account("passwordChanged", (account) => tokens.forget(account));
    on.account("removed", (account) => tokens.forget(account));
    on.answer("personalData", (account) => [tokens.personalData(account)]);
    return undefined;
  },
});

const dayMs = 86_400_000;

interface TokenOptions {
  readonly validityDays: number;
  readonly maxClients: number;
  readonly rotateBeforeExpireDays: number;
}

class FastTokens implements FastTokenService {
  readonly #domain: string;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Randomness;
  readonly #options: TokenOptions;

  constructor(domain: string, store: Store, clock: Clock, random: Randomness, options: TokenOptions) {
    this.#domain = domain;
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
  }

  get #db() {
    return this.#store.tables<FastTokenTables>();
  }

  /** The new one first, as section 4.1 of the XEP has it. */
  async tokens(username: string, domain: string, userAgentId: string): Promise<readonly FastToken[]> {
    if (domain !== this.#domain) return [];
    const rows = await this.#db
      .selectFrom("fast_auth_tokens")
      .select(["mechanism", "token", "expires_at", "last_count"])
      .where("domain", "=", domain)
      .where("username", "=", username)
      .where("user_agent", "=", userAgentId)
      .orderBy("slot", "desc")
      .execute();
    return rows.map((row) => ({
      mechanism: row.mechanism,
      secret: row.token,
      expires: Number(row.expires_at),
      count: Number(row.last_count),
    }));
  }

  async issue(account: Jid, userAgentId: string, mechanism: string): Promise<{ token: string; expiresAt: number }> {
    const token = this.#random.id(tokenBytes);
    const expiresAt = this.#clock.now() + this.#options.validityDays * dayMs;
    await this.#put(account, userAgentId, "new", { mechanism, secret: token, expires: expiresAt, count: -1 });
    await this.#makeRoom(account, userAgentId);
    return { token, expiresAt };
  }

  /** A client may name another installation at each login: what is over, or too many, goes. */
  async #makeRoom(account: Jid, newest: string): Promise<void> {
    const now = this.#clock.now();
    const rows = await this.#db
      .selectFrom("fast_auth_tokens")
      .select(["user_agent", "expires_at"])
      .where("domain", "=", this.#domain)
      .where("username", "=", account.local)
      .orderBy("expires_at", "desc")
      .execute();
    const kept = new Set([newest]);
    const over = new Set<string>();
    for (const { user_agent: agent, expires_at: expires } of rows) {
      if (kept.has(agent)) continue;
      if (kept.size < this.#options.maxClients && Number(expires) > now) kept.add(agent);
      else over.add(agent);
    }
    if (over.size === 0) return;
    await this.#db
      .deleteFrom("fast_auth_tokens")
      .where("domain", "=", this.#domain)
      .where("username", "=", account.local)
      .where("user_agent", "in", [...over].slice(0, removedAtOnce))
      .execute();
  }

  async used(
    account: Jid,
    userAgentId: string,
    token: FastToken,
    count: number | undefined,
  ): Promise<{ renew: boolean }> {
    await this.#put(account, userAgentId, "current", { ...token, count: count ?? token.count });
    await this.#client(account, userAgentId).where("slot", "=", "new").where("token", "=", token.secret).execute();
    const left = token.expires - this.#clock.now();
    return { renew: left < this.#options.rotateBeforeExpireDays * dayMs };
  }

  async invalidate(account: Jid, userAgentId: string): Promise<void> {
    await this.#client(account, userAgentId).execute();
  }

  /** Which installations there are; never the tokens, with which somebody could log in. */
  personalData(account: Jid): PersonalData {
    const query = this.#db
      .selectFrom("fast_auth_tokens")
      .select(["user_agent", "slot", "mechanism", "expires_at"])
      .where("domain", "=", this.#domain)
      .where("username", "=", account.local);
    return personalRows("login_tokens", this.#db, query, ["user_agent", "slot"], {
      user_agent: (row) => row.user_agent,
      mechanism: (row) => row.mechanism,
      expires_at: (row) => isoTime(row.expires_at),
    });
  }

  async forget(account: Jid): Promise<void> {
    await this.#db
      .deleteFrom("fast_auth_tokens")
      .where("domain", "=", this.#domain)
      .where("username", "=", account.local)
      .execute();
  }

  #client(account: Jid, userAgentId: string) {
    return this.#db
      .deleteFrom("fast_auth_tokens")
      .where("domain", "=", this.#domain)
      .where("username", "=", account.local)
      .where("user_agent", "=", userAgentId);
  }

  async #put(account: Jid, userAgentId: string, slot: Slot, token: FastToken): Promise<void> {
    const row = {
      domain: this.#domain,
      username: account.local,
      user_agent: userAgentId,
      slot,
      mechanism: token.mechanism,
      token: token.secret,
      expires_at: token.expires,
      last_count: token.count,
    };
    await upsertRow(this.#db, "fast_auth_tokens", row, ["domain", "username", "user_agent", "slot"]);
  }
}
