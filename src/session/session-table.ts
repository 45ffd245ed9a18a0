/** The sessions bound on this node, by account and by resource. Lookups are the router's hot path. */
import { type Jid, rememberAddressesOf } from "../stanza/jid.ts";
import type { Session } from "./session.ts";

const none: readonly Session[] = [];

export class SessionTable {
  /** One session is by far the usual number: it stands here without an array around it. */
  readonly #byAccount = new Map<string, Session | Session[]>();
  #size = 0;
  /** For so many sessions there is room among the addresses that are remembered. */
  #expected = 5_000;

  get size(): number {
    return this.#size;
  }

  /** Accounts with at least one session. */
  get accounts(): number {
    return this.#byAccount.size;
  }

  /** The session at this full JID. */
  find(jid: Jid): Session | undefined {
    const entry = this.#byAccount.get(jid.bare);
    if (entry === undefined) return undefined;
    if (!Array.isArray(entry)) return entry.jid.resource === jid.resource ? entry : undefined;
    for (const session of entry) if (session.jid.resource === jid.resource) return session;
    return undefined;
  }

  /** All sessions of an account; the list must not be kept or changed. */
  of(bare: string): readonly Session[] {
    const entry = this.#byAccount.get(bare);
    if (entry === undefined) return none;
    return Array.isArray(entry) ? entry : [entry];
  }

  /** The one session of an account, without an array; undefined when there are none or several. */
  single(bare: string): Session | undefined {
    const entry = this.#byAccount.get(bare);
    return Array.isArray(entry) ? undefined : entry;
  }

  /** Adds a session; the caller has closed any other one at the same full JID before. */
  add(session: Session): void {
    const bare = session.account.bare;
    const entry = this.#byAccount.get(bare);
    if (entry === undefined) this.#byAccount.set(bare, session);
    else if (Array.isArray(entry)) this.#byAccount.set(bare, [...entry, session]);
    else this.#byAccount.set(bare, [entry, session]);
    if (++this.#size <= this.#expected) return;
    this.#expected *= 2;
    rememberAddressesOf(this.#expected);
  }

  /** Removes this very session; a newer one at the same JID stays. */
  remove(session: Session): boolean {
    const bare = session.account.bare;
    const entry = this.#byAccount.get(bare);
    if (entry === session) this.#byAccount.delete(bare);
    else if (Array.isArray(entry) && entry.includes(session)) {
      const rest = entry.filter((other) => other !== session);
      this.#byAccount.set(bare, rest.length === 1 ? rest[0]! : rest);
    } else return false;
    this.#size--;
    return true;
  }

  *all(): Generator<Session> {
    for (const entry of this.#byAccount.values()) {
      if (Array.isArray(entry)) yield* entry;
      else yield entry;
    }
  }
}
