/** SASL as XMPP uses it (RFC 6120 section 6, XEP-0388): what a mechanism is told, and what it answers. */
import type { Clock } from "../util/clock.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Randomness } from "../util/random.ts";
import type { AccountLookup, FastToken, FastTokenLookup } from "./account-lookup.ts";
import type { ChannelBindings } from "./channel-bindings.ts";
import type { ScramHash } from "./credentials.ts";
import type { PasswordHasher } from "./password-hashing.ts";

/** RFC 6120 section 6.5. */
export type SaslCondition =
  | "aborted"
  | "account-disabled"
  | "credentials-expired"
  | "encryption-required"
  | "incorrect-encoding"
  | "invalid-authzid"
  | "invalid-mechanism"
  | "malformed-request"
  | "mechanism-too-weak"
  | "not-authorized"
  | "temporary-auth-failure";

export interface SaslSuccess {
  /** The prepared localpart. */
  username: string;
  mechanism: string;
  /** Goes with `<success/>`. */
  additionalData?: Uint8Array;
  /** The token an HT mechanism accepted, for its owner to count and rotate. */
  token?: FastToken;
}

export type SaslStep =
  | { challenge: Uint8Array }
  | { success: SaslSuccess }
  | {
      failure: SaslCondition;
      text?: string;
      /** The prepared localpart the peer claimed, if it got that far: for the throttle and the log. */
      username?: string;
      /** The two sides cannot agree on a channel binding; no password was tried, so it is no wrong guess. */
      misfit?: true;
    };

/**
 * One attempt to log in. `start` once, then `next` until the step is a success or a failure; after that, nothing. A rejected promise
 * means that the account back end failed: answer `temporary-auth-failure` and log it.
 */
export interface SaslExchange {
  /** @param initial undefined when the peer sent no initial response; of length 0 when it sent an empty one (`=`). */
  start(initial: Uint8Array | undefined): SaslStep | Promise<SaslStep>;
  next(response: Uint8Array): SaslStep | Promise<SaslStep>;
}

export interface SaslContext {
  /** The domain logged in to; prepared. */
  domain: string;
  accounts: AccountLookup;
  /** What binds to the TLS connection; undefined without TLS. */
  channelBindings: ChannelBindings | undefined;
  /** Whether the features we sent named any -PLUS mechanism. */
  plusAdvertised: boolean;
  clock: Clock;
  randomness: Randomness;
  hasher: PasswordHasher;
  /** Makes answers for accounts that do not exist; see `Decoys`. */
  decoys: Decoys;
  /**
   * Called when a password is about to be checked, for this prepared localpart: resolves when the attempt may be heard, to false when
   * nobody waits for its answer any more.
   */
  heard?(username: string): MaybePromise<boolean>;
  /** XEP-0484; undefined outside SASL2 or where FAST is off. */
  fast?: FastRequest | undefined;
}

/** What an HT mechanism needs from the `<authenticate/>` around it. */
export interface FastRequest {
  tokens: FastTokenLookup;
  /** `user-agent id`. */
  userAgentId: string;
  /** `<fast count='…'/>`, undefined when the client counts nothing. */
  count: number | undefined;
}

/** An account that does not exist gets made-up keys which stay the same, so that nobody can ask us who has an account. */
export interface Decoys {
  /** Known to this cluster only, and constant; 32 bytes or more. */
  secret: Uint8Array;
  /** The iteration counts that real accounts of the domain have, at least one; a made-up account gets one of them. */
  iterations: readonly IterationShare[];
  /** The hashes that real accounts have keys of. */
  hashes: readonly ScramHash[];
}

export interface IterationShare {
  readonly iterations: number;
  /** The share of accounts that have these or those before, from 0 to 1; the last is 1. */
  readonly upTo: number;
}

/** No message of a mechanism is longer, in bytes. */
export const saslMessageBytesMax = 8192;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a message, or undefined when it is too long or no UTF-8. */
export function decodeMessage(bytes: Uint8Array): string | undefined {
  if (bytes.length > saslMessageBytesMax) return undefined;
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

export function failure(condition: SaslCondition, text?: string, username?: string): SaslStep {
  return { failure: condition, text, username };
}

export const malformed = (text: string): SaslStep => failure("malformed-request", text);
