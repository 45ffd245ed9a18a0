/** Which mechanisms each host offers, by what its accounts have keys for; checks of passwords for the operator. */
import { iterationsOf, parseCredentials, type ScramHash, scramHashes } from "../auth/credentials.ts";
import type { IterationShare } from "../auth/exchange.ts";
import { deriveScramKeys, type PasswordHasher } from "../auth/password-hashing.ts";
import { saslprep } from "../auth/saslprep.ts";
import { LoginThrottle } from "../auth/throttle.ts";
import type { Log } from "../observe/log.ts";
import type { Host } from "../router/host.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Accounts } from "../store/accounts.ts";
import { type HostAuthentication, Mechanisms } from "../stream/mechanisms.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import type { AccountDirectory } from "./account-directory.ts";

/** How each hash is named in stored credentials. */
const markers: Readonly<Record<ScramHash, string>> = {
  sha1: "===SHA1===",
  sha224: "==SHA224==",
  sha256: "==SHA256==",
  sha384: "==SHA384==",
  sha512: "==SHA512==",
};

/** So many of the first and of the last accounts by name stand for all, where it is about iterations. */
const accountsLookedAt = 500;

/** Which iteration counts accounts have and how many have each; `otherwise` where there is no account yet. */
export function iterationShares(credentials: readonly string[], otherwise: number): IterationShare[] {
  const counts = new Map<number, number>();
  let all = 0;
  for (const text of credentials) {
    const iterations = iterationsOf(text);
    if (iterations === undefined) continue;
    counts.set(iterations, (counts.get(iterations) ?? 0) + 1);
    all++;
  }
  if (all === 0) return [{ iterations: otherwise, upTo: 1 }];
  let before = 0;
  return [...counts]
    .sort(([left], [right]) => left - right)
    .map(([iterations, count]) => {
      before += count;
      return { iterations, upTo: before / all };
    });
}

export interface AuthenticationPlan {
  readonly domain: string;
  readonly hashes: readonly ScramHash[];
  readonly iterations: number;
  readonly mechanisms: readonly string[];
}

export interface AuthenticationParts {
  readonly accounts: AccountDirectory;
  readonly rows: Accounts;
  readonly hasher: PasswordHasher;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly decoySecret: Uint8Array;
  readonly plans: readonly AuthenticationPlan[];
  readonly log: Log;
  /** Word from and to the other nodes: returns how to tell them. */
  notices(topic: string, heard: () => void): (key: string) => void;
}

export class Authentication {
  readonly mechanisms: Mechanisms;
  readonly #parts: AuthenticationParts;
  readonly #hosts = new Map<string, HostAuthentication>();
  readonly #tellOthers: (key: string) => void;

  constructor(parts: AuthenticationParts) {
    this.#parts = parts;
    this.#tellOthers = parts.notices("sasl hashes", () => {
      this.refresh().catch((error: unknown) => {
        parts.log.warn({ err: error }, "which keys all accounts have could not be looked up; what was known stays");
      });
    });
    this.mechanisms = new Mechanisms({
      clock: parts.clock,
      randomness: parts.random,
      hasher: parts.hasher,
      throttle: new LoginThrottle(parts.clock),
      of: (host: Host) => this.#hosts.get(host.domain)!,
    });
  }

  /** Many accounts were made, or given more keys. */
  async accountsChanged(): Promise<void> {
    await this.refresh();
    this.#tellOthers("");
  }

  /**
   * Looks which hashes every account of each host has keys for. A client takes the strongest mechanism it knows and
   * seldom a second one, so one that some accounts lack would lock them out. Run at start, and on every node after an import.
   */
  async refresh(): Promise<void> {
    for (const plan of this.#parts.plans) {
      const hashes: ScramHash[] = [];
      for (const hash of scramHashes) {
        if (!plan.hashes.includes(hash)) continue;
        if (!(await this.#parts.rows.anyWithout(plan.domain, markers[hash]))) hashes.push(hash);
      }
      this.#hosts.set(plan.domain, {
        accounts: this.#parts.accounts,
        configured: plan.mechanisms,
        hashes,
        decoys: {
          secret: this.#parts.decoySecret,
          iterations: iterationShares(
            await this.#parts.rows.someCredentials(plan.domain, accountsLookedAt),
            plan.iterations,
          ),
          hashes,
        },
      });
    }
  }

  async checkPassword(account: Jid, password: string): Promise<boolean> {
    const text = await this.#parts.rows.credentials(account.domain, account.local);
    const stored = text === undefined ? undefined : parseCredentials(text);
    const prepared = saslprep(password);
    if (stored === undefined || prepared === undefined) return false;
    for (const hash of scramHashes) {
      const keys = stored[hash];
      if (keys === undefined) continue;
      const derived = await deriveScramKeys(prepared, keys.salt, keys.iterations, hash);
      return Buffer.from(derived.storedKey).equals(Buffer.from(keys.storedKey));
    }
    return false;
  }
}
