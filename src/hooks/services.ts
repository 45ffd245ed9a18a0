/** What modules offer to the rest of the house, such as the admin API, by name: `host.registry.service("roster")`. */
import type { FastToken, FastTokenLookup } from "../auth/account-lookup.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Element } from "../xml/element.ts";
import type { RosterEntry } from "./points.ts";

/** Each service with the module that provides it; a host without that module has none. */
export interface Services {
  /** mod_private. */
  privateStorage: PrivateStorageService;
  /** mod_vcard. */
  vcard: VcardService;
  /** mod_extdisco. */
  externalServices: ExternalServicesService;
  /** mod_roster. */
  roster: RosterService;
  /** mod_fast_auth_token. */
  fastTokens: FastTokenService;
  /** mod_offline. */
  offline: OfflineService;
  /** mod_last. */
  last: LastService;
}

/** Messages that wait for accounts of a host. All methods may throw the errors of the store. */
export interface OfflineService {
  count(account: Jid): Promise<number>;
  /** Removes what waits for an account; resolves with the number of messages. */
  clear(account: Jid): Promise<number>;
  /** Removes messages whose time is over (XEP-0023); resolves with their number. */
  removeExpired(): Promise<number>;
  /** Removes messages stored before `before`, in milliseconds since the epoch; resolves with their number. */
  removeOld(before: number): Promise<number>;
}

/** When an account was last there. */
export interface LastActivity {
  /** Milliseconds since the epoch, exact to the second. */
  readonly at: number;
  /** The text of the last unavailable presence, "" when it had none. */
  readonly status: string;
}

/** Last activity of a host's accounts. All methods may throw the errors of the store. */
export interface LastService {
  /** What is recorded; undefined when nothing is. Whether the account is connected now is not asked. */
  get(account: Jid): Promise<LastActivity | undefined>;
  set(account: Jid, activity: LastActivity): Promise<void>;
  /** Accounts recorded at `since` or later. */
  countActive(since: number): Promise<number>;
  /** Up to `limit` accounts recorded before `before`, in order of their names, starting behind `after`. */
  listOld(before: number, limit: number, after?: string): Promise<readonly { local: string; at: number }[]>;
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
  /** Addresses whose requests for presence wait for the account's answer, oldest first; they need not be contacts. */
  requests(account: Jid): Promise<readonly string[]>;
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

/**
 * XEP-0049 data of a host's accounts. Methods throw `StanzaError`: item-not-found for an account that does not exist,
 * not-acceptable for a reserved or missing namespace, and for writes policy-violation and resource-constraint; and the
 * errors of the store.
 */
export interface PrivateStorageService {
  /** The stored XML; an empty element when there is none. */
  get(account: Jid, name: string, namespace: string): Promise<string>;
  set(account: Jid, element: Element): Promise<void>;
}

/**
 * vCards (XEP-0054) of a host's accounts. Methods throw `StanzaError`: item-not-found for an account that does not
 * exist, and for writes the conditions a client's own would meet; and the errors of the store.
 */
export interface VcardService {
  /** Undefined when the account has none. */
  get(account: Jid): Promise<Element | undefined>;
  /** Replaces the whole vCard, and tells contacts about a new picture as when the user had changed it. */
  set(account: Jid, vcard: Element): Promise<void>;
}

/** A service outside of XMPP, such as a TURN relay (XEP-0215), with the credentials it has just now. */
export interface ExternalService {
  readonly type: string;
  readonly host: string;
  readonly port?: number;
  readonly transport?: string;
  readonly username?: string;
  readonly password?: string;
  /** When the credentials end, milliseconds since the epoch. */
  readonly expiresAt?: number;
}

export interface ExternalServicesService {
  /** All services, or those of one type. */
  list(type?: string): readonly ExternalService[];
}

/** The tokens of XEP-0484: one client installation of an account has a current one and, while it is renewed, a new one. */
export interface FastTokenService extends FastTokenLookup {
  /** A new token for this client; an older new one that was never used is void. `expiresAt` in milliseconds since the epoch. */
  issue(account: Jid, userAgentId: string, mechanism: string): Promise<{ token: string; expiresAt: number }>;
  /** The token has let its client in: it becomes the current one and its counter advances. `renew`: it expires soon. */
  used(account: Jid, userAgentId: string, token: FastToken, count: number | undefined): Promise<{ renew: boolean }>;
  /** The client logs out for good: its tokens are void. */
  invalidate(account: Jid, userAgentId: string): Promise<void>;
}
