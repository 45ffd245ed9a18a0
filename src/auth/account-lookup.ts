/** What the SASL mechanisms ask of the account back end; the back ends implement it. */
import type { Credentials, ScramHash } from "./credentials.ts";

export interface AccountLookup {
  /**
   * The stored keys of the account, undefined when there is none that may log in. `username` is a prepared localpart. A rejection
   * passes through the exchange to its caller, who answers `temporary-auth-failure`. Who needs the keys of one hash only says
   * so, and may get no others.
   */
  credentials(
    username: string,
    domain: string,
    only?: ScramHash,
  ): Credentials | undefined | Promise<Credentials | undefined>;
  /**
   * Told the prepared password after it proved right over PLAIN, the one moment at which keys for hashes that are not stored yet can
   * be made. Must return at once and must not throw.
   */
  passwordVerified?(username: string, domain: string, password: string, stored: Credentials): void;
}

/** A token of XEP-0484 as stored. */
export interface FastToken {
  /** The HT mechanism the token was issued for; it works with no other. */
  readonly mechanism: string;
  /** The text the client was given; the key of the HMAC is its UTF-8. */
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
  /** The highest `count` a client has used it with; -1 when none. */
  readonly count: number;
}

export interface FastTokenLookup {
  /** The tokens of one client of the account: the current one and, while rotating, the new one. */
  tokens(username: string, domain: string, userAgentId: string): readonly FastToken[] | Promise<readonly FastToken[]>;
}
