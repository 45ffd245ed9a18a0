/** The accounts of this node's hosts: who may log in, registration, removal. The SQL is the store's, the keys are auth's. */
import type { AccountLookup } from "../auth/account-lookup.ts";
import { type Credentials, formatCredentials, parseCredentials, type ScramHash } from "../auth/credentials.ts";
import { makeCredentials, type PasswordHasher } from "../auth/password-hashing.ts";
import type { AccountService } from "../hooks/define-module.ts";
import type { Log } from "../observe/log.ts";
import type { Host } from "../router/host.ts";
import { StanzaError, StreamError } from "../stanza/errors.ts";
import { Jid } from "../stanza/jid.ts";
import { AccountExists, type Accounts } from "../store/accounts.ts";
import type { SessionKeeper } from "../stream/session-keeper.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import type { Randomness } from "../util/random.ts";

/** What the configuration says about the accounts of one host. */
export interface AccountPolicy {
  readonly hashes: readonly ScramHash[];
  readonly iterations: number;
  /** Infinity for no limit. */
  readonly usersMax: number;
}

export interface AccountDirectoryParts {
  readonly accounts: Accounts;
  readonly hasher: PasswordHasher;
  readonly random: Randomness;
  readonly log: Log;
  readonly hosts: ReadonlyMap<string, Host>;
  policyOf(domain: string): AccountPolicy;
  keeper(): SessionKeeper;
  /** Resolves when what any node took in before is in the database. */
  written(): Promise<unknown>;
}

export class AccountDirectory implements AccountService, AccountLookup {
  readonly #parts: AccountDirectoryParts;

  constructor(parts: AccountDirectoryParts) {
    this.#parts = parts;
  }

  credentials(username: string, domain: string, only?: ScramHash): MaybePromise<Credentials | undefined> {
    return then(this.#parts.accounts.credentials(domain, username), (text) => {
      if (text === undefined) return undefined;
      const credentials = parseCredentials(text, only);
      if (credentials === undefined)
        this.#parts.log.error({ account: `${username}@${domain}` }, "stored credentials are unreadable");
      return credentials;
    });
  }

  /** An account whose keys are few (an import) gets the rest at the one moment its password is known. */
  passwordVerified(username: string, domain: string, password: string, stored: Credentials): void {
    const { hashes } = this.#parts.policyOf(domain);
    if (hashes.every((hash) => stored[hash] !== undefined)) return;
    this.#store(new Map([[username, password]]), domain).catch((error: unknown) => {
      this.#parts.log.warn(
        { err: error, account: `${username}@${domain}` },
        "keys of an account could not be completed",
      );
    });
  }

  async #store(passwords: ReadonlyMap<string, string>, domain: string): Promise<void> {
    for (const [username, password] of passwords) {
      await this.#parts.accounts.setCredentials(domain, username, await this.#keys(domain, password));
    }
  }

  async #keys(domain: string, password: string): Promise<string> {
    const { hashes, iterations } = this.#parts.policyOf(domain);
    const options = { hashes, iterations, randomness: this.#parts.random };
    const credentials = await makeCredentials(password, options, this.#parts.hasher);
    if (credentials === undefined) throw new StanzaError("not-acceptable", { text: "That cannot be a password" });
    return formatCredentials(credentials);
  }

  exists(account: Jid): MaybePromise<boolean> {
    return this.#parts.accounts.exists(account.domain, account.local);
  }

  /** As `exists`, but for an account that is being removed: nothing may be kept for it any more. */
  isOpen(account: Jid): MaybePromise<boolean> {
    return this.#parts.accounts.isOpen(account.domain, account.local);
  }

  list(domain: string, limit?: number, index?: number): Promise<string[]> {
    this.#host(domain);
    return this.#parts.accounts.list(domain, { limit, index });
  }

  count(domain: string): Promise<number> {
    this.#host(domain);
    return this.#parts.accounts.count(domain);
  }

  #host(domain: string): Host {
    const host = this.#parts.hosts.get(domain);
    if (host === undefined) throw new StanzaError("item-not-found", { text: `This server does not serve ${domain}` });
    return host;
  }

  async register(account: Jid, password: string): Promise<void> {
    const host = this.#host(account.domain);
    if (account.local === "") throw new StanzaError("not-acceptable", { text: "An account needs a name" });
    const { usersMax } = this.#parts.policyOf(account.domain);
    if (usersMax !== Number.POSITIVE_INFINITY && (await this.count(account.domain)) >= usersMax) {
      throw new StanzaError("resource-constraint", { text: "This host takes no more accounts" });
    }
    const passDetails = await this.#keys(account.domain, password);
    try {
      await this.#parts.accounts.create({ domain: account.domain, username: account.local, passDetails });
    } catch (error) {
      if (error instanceof AccountExists)
        throw new StanzaError("conflict", { text: "That account exists", cause: error });
      throw error;
    }
    for (const handler of host.registry.accounts.registered) await handler(account);
  }

  async changePassword(account: Jid, password: string): Promise<void> {
    const host = this.#host(account.domain);
    const changed = await this.#parts.accounts.setCredentials(
      account.domain,
      account.local,
      await this.#keys(account.domain, password),
    );
    if (!changed) throw new StanzaError("item-not-found", { text: "There is no such account" });
    for (const handler of host.registry.accounts.passwordChanged) await handler(account);
  }

  /** Closes the account's sessions and removes every trace of it. */
  async remove(account: Jid): Promise<void> {
    const host = this.#host(account.domain);
    if (!(await this.exists(account))) throw new StanzaError("item-not-found", { text: "There is no such account" });
    await this.#parts.accounts.lock(account.domain, account.local);
    const close = () =>
      this.#parts.keeper().closeAll(account, new StreamError("not-authorized", "The account was removed"), "kicked");
    await close();
    // What was for the account is there to be removed: whoever gets the name next must not find it.
    await this.#parts.written();
    for (const handler of host.registry.accounts.removed) await handler(account);
    for (const other of this.#parts.hosts.values()) {
      if (other === host) continue;
      for (const handler of other.registry.accounts.guestRemoved) await handler(account);
    }
    await this.#parts.accounts.remove(account.domain, account.local);
    // Who had shown a password just before, and was bound since.
    await close();
  }

  /** The address of an account of one of our hosts. Throws `StanzaError` jid-malformed, item-not-found. */
  address(domain: string, username: string): Jid {
    this.#host(domain);
    const jid = Jid.of(username, domain, "");
    if (jid.local === "") throw new StanzaError("jid-malformed", { text: "That is no name for an account" });
    return jid;
  }
}
