/** Which SASL mechanisms a stream is offered, and the exchange for the one its client chooses. */
import type { SaslExchange } from "../auth/exchange.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Host } from "../router/host.ts";

/** What a stream tells about its connection. */
export interface ConnectionSecurity {
  readonly secure: boolean;
  readonly remoteAddress: string;
  channelBinding(type: "tls-exporter" | "tls-server-end-point"): Uint8Array | undefined;
}

/** The stream's seam to authentication; the composition root builds it from `auth/`. */
export interface Mechanisms {
  /** Names in the order of preference; empty when TLS has to come first. */
  offered(host: Host, connection: ConnectionSecurity): readonly string[];
  /** XEP-0440: the channel bindings this connection supports. */
  channelBindings(connection: ConnectionSecurity): readonly string[];
  /** Begins an exchange; undefined when that mechanism was not offered. */
  begin(host: Host, mechanism: string, connection: ConnectionSecurity): SaslExchange | undefined;
  /** Milliseconds to wait before a failure is told to this address for this account; grows with each failure. */
  failed(connection: ConnectionSecurity, account: string | undefined): number;
  succeeded(connection: ConnectionSecurity, account: Jid): void;
  /** XEP-0484 for this host; undefined where it is off. */
  tokens(host: Host): TokenMechanisms | undefined;
}

/** Tokens instead of passwords (XEP-0484). */
export interface TokenMechanisms {
  readonly mechanisms: readonly string[];
  /** The exchange with the tokens of one client installation; checks expiry, mechanism and replay counter. */
  begin(account: Jid, userAgent: string, mechanism: string, connection: ConnectionSecurity, count: number | undefined): SaslExchange;
  /** A new token for this client. */
  issue(account: Jid, userAgent: string, mechanism: string): Promise<IssuedToken>;
  /** A successor when the token just used is about to expire. */
  rotate(account: Jid, userAgent: string): Promise<IssuedToken | undefined>;
  invalidate(account: Jid, userAgent: string): Promise<void>;
}

export interface IssuedToken {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}
