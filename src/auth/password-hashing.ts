/** Makes SCRAM keys from passwords (RFC 5802 section 3), off the event loop and with a bound on how many at once. */
import { createHash, createHmac, pbkdf2 } from "node:crypto";
import type { Randomness } from "../util/random.ts";
import { type Credentials, keyBytes, type ScramHash, type ScramKeys } from "./credentials.ts";
import { saslprep } from "./saslprep.ts";

export const saltBytes = 16;

/** Thrown when more passwords wait for hashing than the bound allows; a login answers `temporary-auth-failure`. */
export class HashingOverload extends Error {
  override readonly name = "HashingOverload";
}

/**
 * RFC 5802's SaltedPassword, StoredKey and ServerKey. The password is prepared already (`saslprep`).
 * Costs `iterations` × 0.1 to 0.17 µs (SHA-1, 224, 256) or 0.4 to 0.85 µs (SHA-384, 512) of one core, on a thread of the
 * runtime's pool.
 */
export function deriveScramKeys(
  password: string,
  salt: Uint8Array,
  iterations: number,
  hash: ScramHash,
): Promise<ScramKeys> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, keyBytes[hash], hash, (error, salted) => {
      if (error !== null) return reject(error);
      const clientKey = createHmac(hash, salted).update("Client Key").digest();
      const storedKey = createHash(hash).update(clientKey).digest();
      const serverKey = createHmac(hash, salted).update("Server Key").digest();
      resolve({ salt, iterations, storedKey, serverKey });
    });
  });
}

/**
 * The place where a node hashes passwords. `parallel` derivations run at once; up to `waitingMax` wait their turn, so a flood of PLAIN
 * logins neither fills the memory nor starves the thread pool that files and DNS share.
 */
export class PasswordHasher {
  private running = 0;
  private readonly waiting: (() => void)[] = [];
  private readonly parallel: number;
  private readonly waitingMax: number;

  constructor(options: { parallel: number; waitingMax: number } = { parallel: 2, waitingMax: 1000 }) {
    this.parallel = options.parallel;
    this.waitingMax = options.waitingMax;
  }

  /** How many wait; a metric. */
  get queued(): number {
    return this.waiting.length;
  }

  /** @throws HashingOverload */
  async derive(password: string, salt: Uint8Array, iterations: number, hash: ScramHash): Promise<ScramKeys> {
    if (this.running >= this.parallel) {
      if (this.waiting.length >= this.waitingMax) throw new HashingOverload("too many passwords wait for hashing");
      // The one who leaves hands its place over, so `running` does not change.
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else {
      this.running++;
    }
    try {
      return await deriveScramKeys(password, salt, iterations, hash);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}

export interface HashingOptions {
  hashes: readonly ScramHash[];
  iterations: number;
  randomness: Randomness;
}

/**
 * The keys of this password for each hash, each with a salt of its own. Undefined when the password is empty or prohibited (RFC 4013).
 * @throws HashingOverload when `hasher` is given and full
 */
export async function makeCredentials(
  password: string,
  { hashes, iterations, randomness }: HashingOptions,
  hasher?: PasswordHasher,
): Promise<Credentials | undefined> {
  const prepared = saslprep(password);
  if (prepared === undefined) return undefined;
  const credentials: Partial<Record<ScramHash, ScramKeys>> = {};
  for (const hash of hashes) {
    const salt = randomness.bytes(saltBytes);
    credentials[hash] = await (hasher === undefined
      ? deriveScramKeys(prepared, salt, iterations, hash)
      : hasher.derive(prepared, salt, iterations, hash));
  }
  return credentials;
}

/** A password, and for which hashes it gets keys; for none of them it costs nothing. */
export interface HashingRequest {
  readonly password: string;
  readonly hashes: readonly ScramHash[];
}

/**
 * Hashes many passwords, `parallel` at a time, for an import. Yields in the order they came, undefined for one that is no password.
 * The source is read only as far ahead as needed, so a file of any length passes in constant memory.
 */
export async function* hashMany(
  requests: Iterable<HashingRequest> | AsyncIterable<HashingRequest>,
  options: Omit<HashingOptions, "hashes"> & { parallel: number },
): AsyncGenerator<Credentials | undefined, void, undefined> {
  const aheadMax = options.parallel * 4;
  const pending: Promise<Credentials | undefined>[] = [];
  const hasher = new PasswordHasher({ parallel: options.parallel, waitingMax: aheadMax });
  try {
    for await (const { password, hashes } of requests) {
      pending.push(makeCredentials(password, { ...options, hashes }, hasher));
      if (pending.length >= aheadMax) yield await (pending.shift() as Promise<Credentials | undefined>);
    }
    while (pending.length > 0) yield await (pending.shift() as Promise<Credentials | undefined>);
  } finally {
    // When the consumer stops early, what still runs must not become an unhandled rejection.
    await Promise.allSettled(pending);
  }
}
