/** After an import: the keys of the remaining hashes, made in the background, so that all mechanisms are offered again. */
import { type Credentials, formatCredentials, parseCredentials, type ScramHash } from "../auth/credentials.ts";
import { deriveScramKeys, saltBytes } from "../auth/password-hashing.ts";
import { saslprep } from "../auth/saslprep.ts";
import type { Log } from "../observe/log.ts";
import type { Accounts, CredentialsChange } from "../store/accounts.ts";
import type { Clock, Timer } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";

/** An account that lacks keys, and its password, known for this one time. */
export interface IncompleteAccount {
  readonly domain: string;
  readonly username: string;
  readonly password: string;
  readonly passDetails: string;
}

/** In the order in which clients miss them. */
const order: readonly ScramHash[] = ["sha256", "sha1", "sha512", "sha384", "sha224"];
/** Accounts that may wait; those beyond get their keys when they log in with PLAIN. */
const waitingMax = 200_000;
/** Accounts written in one transaction. */
const batchSize = 100;

export interface KeyCompletionParts {
  readonly accounts: Pick<Accounts, "replaceCredentials">;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  /** The hashes configured for a host. */
  hashesOf(domain: string): readonly ScramHash[];
  /** All accounts here have keys of one more hash. */
  completed(): Promise<void>;
}

export class KeyCompletion {
  readonly #parts: KeyCompletionParts;
  #waiting: IncompleteAccount[] = [];
  #leftOut = 0;
  #running: Promise<void> | undefined;
  #stopped = false;
  #pause: { readonly timer: Timer; end(): void } | undefined;

  constructor(parts: KeyCompletionParts) {
    this.#parts = parts;
  }

  add(account: IncompleteAccount): void {
    if (this.#waiting.length < waitingMax) this.#waiting.push(account);
    else this.#leftOut++;
  }

  /** Begins with those that were added. */
  start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause?.timer.cancel();
    this.#pause?.end();
    await this.idle();
  }

  async #run(): Promise<void> {
    const { log } = this.#parts;
    while (this.#waiting.length > 0 && !this.#stopped) {
      let accounts = this.#waiting;
      this.#waiting = [];
      const leftOut = this.#leftOut;
      this.#leftOut = 0;
      log.info({ accounts: accounts.length, leftOut }, "imported accounts get their remaining keys in the background");
      try {
        for (const hash of order) accounts = await this.#complete(accounts, hash);
        if (!this.#stopped) log.info({ accounts: accounts.length }, "imported accounts have all their keys");
      } catch (error) {
        log.warn({ err: error }, "keys of imported accounts could not be completed; logging in with PLAIN does it");
      }
    }
  }

  /** The keys of one hash, for all; returns the accounts that nobody changed meanwhile. */
  async #complete(accounts: readonly IncompleteAccount[], hash: ScramHash): Promise<IncompleteAccount[]> {
    const { clock } = this.#parts;
    const going: IncompleteAccount[] = [];
    let made = 0;
    for (let from = 0; from < accounts.length && !this.#stopped; from += batchSize) {
      const began = clock.monotonic();
      const batch = accounts.slice(from, from + batchSize);
      const changes: CredentialsChange[] = [];
      for (const account of batch) changes.push(await this.#change(account, hash));
      const needed = changes.filter((change) => change.from !== change.to);
      if (needed.length === 0) {
        going.push(...batch);
        continue;
      }
      const done = await this.#parts.accounts.replaceCredentials(needed);
      const lost = new Set(needed.filter((_, at) => !done[at]));
      for (const [at, account] of batch.entries()) {
        const change = changes[at]!;
        if (!lost.has(change)) going.push({ ...account, passDetails: change.to });
      }
      made += needed.length;
      // One core at most, and half of its time: people log in meanwhile.
      await this.#rest(clock.monotonic() - began);
    }
    if (made > 0 && !this.#stopped) await this.#parts.completed();
    return going;
  }

  async #change(account: IncompleteAccount, hash: ScramHash): Promise<CredentialsChange> {
    const { domain, username, passDetails } = account;
    const same = { domain, username, from: passDetails, to: passDetails };
    if (!this.#parts.hashesOf(domain).includes(hash)) return same;
    const credentials: Credentials = parseCredentials(passDetails)!;
    const prepared = saslprep(account.password);
    const iterations = Object.values(credentials)[0]!.iterations;
    if (credentials[hash] !== undefined || prepared === undefined) return same;
    const keys = await deriveScramKeys(prepared, this.#parts.random.bytes(saltBytes), iterations, hash);
    return { ...same, to: formatCredentials({ ...credentials, [hash]: keys }) };
  }

  #rest(milliseconds: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#pause = { timer: this.#parts.clock.after(milliseconds, resolve), end: resolve };
    });
  }
}
