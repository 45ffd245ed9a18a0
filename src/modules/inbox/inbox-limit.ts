/** Keeps inboxes from growing for ever: one that has too many conversations loses those that nobody misses first. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { InboxStore } from "./inbox-store.ts";

export type LimitHouse = Pick<ModuleContext<unknown>, "domain" | "random" | "log">;

/**
 * So many messages come before an inbox is looked at, on average. It is left to chance, because nodes would have to agree on a count, and
 * whoever wants to fill the database would know when it is not looked at.
 */
const messagesBetweenLooks = 200;

export class InboxLimit {
  readonly #house: LimitHouse;
  readonly #store: InboxStore;
  readonly #most: number;
  readonly #looking = new Set<string>();

  constructor(house: LimitHouse, store: InboxStore, most: number) {
    this.#house = house;
    this.#store = store;
    this.#most = most;
  }

  /** A message goes into this account's inbox; `stored` resolves when it is there. */
  arrived(username: string, stored: Promise<void>): void {
    if (this.#most === Number.POSITIVE_INFINITY) return;
    const { random } = this.#house;
    if (random.next() * messagesBetweenLooks >= 1 || this.#looking.has(username)) return;
    this.#looking.add(username);
    stored
      .then(() => this.#look(username))
      .catch((error: unknown) => this.#house.log.warn({ err: error }, "an inbox could not be made smaller"))
      .finally(() => this.#looking.delete(username));
  }

  async #look(username: string): Promise<void> {
    const { domain, log } = this.#house;
    const removed = await this.#store.trim(domain, username, this.#most);
    if (removed > 0)
      log.info({ jid: `${username}@${domain}`, removed }, "an inbox has as many conversations as it may");
  }
}
