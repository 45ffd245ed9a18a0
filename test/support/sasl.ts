/** What the tests of SASL mechanisms share: a context over made-up accounts, and the client's side of SCRAM. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import type { FastToken } from "../../src/auth/account-lookup.ts";
import type { ChannelBindingType } from "../../src/auth/channel-bindings.ts";
import { type Credentials, keyBytes, type ScramHash } from "../../src/auth/credentials.ts";
import type { SaslContext, SaslExchange, SaslStep } from "../../src/auth/exchange.ts";
import { PasswordHasher } from "../../src/auth/password-hashing.ts";
import type { Clock } from "../../src/util/clock.ts";
import type { Randomness } from "../../src/util/random.ts";

export const domain = "example.com";

/** A clock that stands until moved, and starts no timers. */
export class StillClock implements Clock {
  time = 1_000_000;
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  after(): never {
    throw new Error("this clock starts no timers");
  }
  every(): never {
    throw new Error("this clock starts no timers");
  }
}

/** Counts up, so that no two results are equal; `nonce` fixes the ids. */
export function countingRandomness(nonce?: string): Randomness {
  let calls = 0;
  return {
    bytes: (count) => new Uint8Array(createHash("sha512").update(`${++calls}`).digest().subarray(0, count)),
    id: () => nonce ?? `nonce${++calls}`,
    next: () => 0.5,
  };
}

export interface World {
  accounts?: Record<string, Credentials>;
  bindings?: Partial<Record<ChannelBindingType, Uint8Array>>;
  nonce?: string;
  plusAdvertised?: boolean;
  fast?: { tokens: FastToken[]; count?: number; userAgentId?: string };
  later?: boolean;
}

/** Accounts by name; `later` makes the lookup asynchronous. */
export function context(world: World): SaslContext & { clock: StillClock; verified: string[] } {
  const verified: string[] = [];
  const bindings = world.bindings;
  return {
    verified,
    domain,
    accounts: {
      credentials: (username) => {
        const found = world.accounts?.[username];
        return world.later ? Promise.resolve(found) : found;
      },
      passwordVerified: (username, _domain, password) => verified.push(`${username}:${password}`),
    },
    channelBindings: bindings && { data: (type) => bindings[type] },
    plusAdvertised: world.plusAdvertised ?? false,
    clock: new StillClock(),
    randomness: countingRandomness(world.nonce),
    hasher: new PasswordHasher({ parallel: 2, waitingMax: 10 }),
    decoys: { secret: new Uint8Array(32).fill(7), iterations: [{ iterations: 4096, upTo: 1 }], hashes: ["sha256"] },
    fast: world.fast && {
      tokens: {
        tokens: (username, _domain, userAgentId) =>
          username === "user" && userAgentId === "agent" ? (world.fast as { tokens: FastToken[] }).tokens : [],
      },
      userAgentId: world.fast.userAgentId ?? "agent",
      count: world.fast.count,
    },
  };
}

export const bytes = (text: string): Uint8Array => Buffer.from(text, "utf8");

export function challengeOf(step: SaslStep): string {
  if (!("challenge" in step)) throw new Error(`not a challenge: ${JSON.stringify(step)}`);
  return Buffer.from(step.challenge).toString("utf8");
}

export function conditionOf(step: SaslStep): string {
  return "failure" in step ? step.failure : `no failure: ${Object.keys(step)}`;
}

export interface ScramLogin {
  hash: ScramHash;
  username?: string;
  password?: string;
  gs2?: string;
  binding?: Uint8Array;
  /** Changes the last message before it is sent. */
  tamper?: (final: string) => string;
}

/** A client logs in: returns the server's last step, and the signature the client expects of it. */
export async function scramLogin(
  exchange: SaslExchange,
  { hash, username = "user", password = "pencil", gs2 = "n,,", binding, tamper }: ScramLogin,
): Promise<{ step: SaslStep; signature: string }> {
  const bare = `n=${username},r=clientnonce`;
  const first = await exchange.start(bytes(gs2 + bare));
  if (!("challenge" in first)) return { step: first, signature: "" };
  const { final, signature } = scramFinal(bare, challengeOf(first), { hash, password, gs2, binding });
  const step = await exchange.next(bytes(tamper ? tamper(final) : final));
  return { step, signature };
}

/** The client's last message, and the signature it expects of the server. */
export function scramFinal(
  bare: string,
  serverFirst: string,
  {
    hash,
    password,
    gs2 = "n,,",
    binding,
  }: Pick<ScramLogin, "hash" | "gs2" | "binding"> & { readonly password: string },
): { readonly final: string; readonly signature: string } {
  const [nonce, salt, iterations] = serverFirst.split(",").map((field) => field.slice(2)) as [string, string, string];
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(iterations), keyBytes[hash], hash);
  const clientKey = createHmac(hash, salted).update("Client Key").digest();
  const storedKey = createHash(hash).update(clientKey).digest();
  const cbind = Buffer.concat([bytes(gs2), binding ?? new Uint8Array(0)]).toString("base64");
  const withoutProof = `c=${cbind},r=${nonce}`;
  const authMessage = `${bare},${serverFirst},${withoutProof}`;
  const mask = createHmac(hash, storedKey).update(authMessage).digest();
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (mask[index] as number))).toString("base64");
  const serverKey = createHmac(hash, salted).update("Server Key").digest();
  const signature = `v=${createHmac(hash, serverKey).update(authMessage).digest("base64")}`;
  return { final: `${withoutProof},p=${proof}`, signature };
}
