/** What modules offer to the rest of the house, such as the admin API, by name: `host.registry.service("roster")`. */
import type { Jid } from "../stanza/jid.ts";
import type { RosterEntry } from "./points.ts";

/** Each service with the module that provides it; a host without that module has none. */
export interface Services {
  /** mod_roster. */
  roster: RosterService;
}

/** What an account's own client could do: ask, allow, refuse or revoke, and stop. */
export type SubscriptionAction = "invite" | "accept" | "decline" | "cancel";

/**
 * Rosters of a host's accounts, changed as the account's own client would: with pushes, presence and word to the contact.
 * Accounts are bare addresses of this host. All methods may throw `StanzaError` with the conditions RFC 6121 gives for
 * the same request of a client, item-not-found when the account does not exist, and the errors of the store.
 */
export interface RosterService {
  list(account: Jid): Promise<readonly RosterEntry[]>;
  get(account: Jid, contact: Jid): Promise<RosterEntry | undefined>;
  /** Adds a contact, or changes the name and groups of one. */
  set(account: Jid, contact: Jid, name: string, groups: readonly string[]): Promise<void>;
  /** Removes a contact and ends the subscriptions in both directions. */
  remove(account: Jid, contact: Jid): Promise<void>;
  subscription(account: Jid, contact: Jid, action: SubscriptionAction): Promise<void>;
  /**
   * Makes two accounts contacts of each other that see each other's presence, or no contacts any more, without asking
   * them. Both must be of this host. An existing name and groups stay; a new contact gets those given.
   */
  setMutual(first: MutualContact, second: MutualContact, action: "connect" | "disconnect"): Promise<void>;
}

/** One side of `setMutual`: an account, and how the other's new roster item names it. */
export interface MutualContact {
  readonly account: Jid;
  readonly name?: string;
  readonly groups?: readonly string[];
}
