/** Who an account shares presence with: asked at every login, change of presence and logout, so remembered, bounded. */
import type { PresenceContact } from "../../hooks/points.ts";

export interface Contacts {
  readonly presence: readonly PresenceContact[];
  /** Whether requests wait for the account's answer. */
  readonly waiting: boolean;
}

/**
 * The least recently used accounts are forgotten first. A change made on another node reaches it a moment later.
 */
export class ContactCache {
  readonly #accounts = new Map<string, Contacts>();
  readonly #contactsMax: number;
  #contacts = 0;
  #changes = 0;

  /** `contactsMax`: contacts remembered over all accounts; an account counts as one more. */
  constructor(contactsMax: number) {
    this.#contactsMax = contactsMax;
  }

  /** Grows with each change of any roster; tells a reader whether what it has just read may be old already. */
  get changes(): number {
    return this.#changes;
  }

  /** Contacts remembered now, and one for each account. */
  get size(): number {
    return this.#contacts;
  }

  get(account: string): Contacts | undefined {
    const found = this.#accounts.get(account);
    if (found === undefined) return undefined;
    this.#accounts.delete(account);
    this.#accounts.set(account, found);
    return found;
  }

  /** Remembers what was read, unless a roster has changed since `changes` was asked for. */
  learn(account: string, contacts: Contacts, changes: number): void {
    if (changes !== this.#changes) return;
    this.#drop(account);
    const cost = contacts.presence.length + 1;
    if (cost > this.#contactsMax) return;
    this.#accounts.set(account, contacts);
    this.#contacts += cost;
    for (const oldest of this.#accounts.keys()) {
      if (this.#contacts <= this.#contactsMax) break;
      this.#drop(oldest);
    }
  }

  /** The account's roster has changed. */
  forget(account: string): void {
    this.#changes++;
    this.#drop(account);
  }

  /** Any roster may have changed. */
  forgetAll(): void {
    this.#changes++;
    this.#accounts.clear();
    this.#contacts = 0;
  }

  #drop(account: string): void {
    const known = this.#accounts.get(account);
    if (known === undefined) return;
    this.#accounts.delete(account);
    this.#contacts -= known.presence.length + 1;
  }
}
