/** Which SASL mechanisms a stream is offered, and the exchange for the one its client chooses: `auth/` for our streams. */
import type { AccountLookup } from "../auth/account-lookup.ts";
import { availableBindings, type ChannelBindings } from "../auth/channel-bindings.ts";
import type { ScramHash } from "../auth/credentials.ts";
import type { Decoys, FastRequest, SaslExchange } from "../auth/exchange.ts";
import { offeredHashedTokens } from "../auth/ht.ts";
import { createExchange, offeredMechanisms, offersPlus } from "../auth/mechanisms.ts";
import type { PasswordHasher } from "../auth/password-hashing.ts";
import type { LoginThrottle } from "../auth/throttle.ts";
import type { FastTokenService } from "../hooks/services.ts";
import type { Host } from "../router/host.ts";
import type { Clock } from "../util/clock.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Randomness } from "../util/random.ts";

/** What a stream tells about its connection. */
export interface ConnectionSecurity {
  readonly secure: boolean;
  readonly loopback: boolean;
  readonly bindings: ChannelBindings | undefined;
}

/** What authentication needs to know about one host. */
export interface HostAuthentication {
  readonly accounts: AccountLookup;
  /** `auth.sasl_mechanisms`. */
  readonly configured: readonly string[];
  /** The hashes for which every account has keys. */
  readonly hashes: readonly ScramHash[];
  readonly decoys: Decoys;
}

export interface Offer {
  /** Names in the order of preference; empty when TLS has to come first. */
  readonly mechanisms: readonly string[];
  /** XEP-0440: the channel bindings of these connections. */
  readonly bindings: readonly string[];
}

export interface MechanismParts {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly hasher: PasswordHasher;
  readonly throttle: LoginThrottle;
  of(host: Host): HostAuthentication;
}

export class Mechanisms {
  readonly throttle: LoginThrottle;
  readonly #parts: MechanismParts;
  /** By what is known of a host's accounts, which is replaced when it changes; then by kind of connection. */
  readonly #offers = new WeakMap<HostAuthentication, Map<string, Offer>>();

  constructor(parts: MechanismParts) {
    this.#parts = parts;
    this.throttle = parts.throttle;
  }

  /** Names in the order of preference; empty when TLS has to come first. */
  offered(host: Host, connection: ConnectionSecurity): readonly string[] {
    return this.offer(host, connection).mechanisms;
  }

  /** What connections of this kind are offered; the same object as long as nothing changes. */
  offer(host: Host, connection: ConnectionSecurity): Offer {
    const authentication = this.#parts.of(host);
    let offers = this.#offers.get(authentication);
    if (offers === undefined) {
      offers = new Map();
      this.#offers.set(authentication, offers);
    }
    const bindings = availableBindings(connection.bindings);
    const kind = `${connection.secure} ${connection.loopback} ${bindings.join()}`;
    let offer = offers.get(kind);
    if (offer === undefined) {
      const { configured, hashes } = authentication;
      const mechanisms = offeredMechanisms({
        configured,
        hashes,
        tls: connection.secure,
        loopback: connection.loopback,
        channelBindings: connection.bindings,
      });
      offer = { mechanisms, bindings };
      offers.set(kind, offer);
    }
    return offer;
  }

  /** XEP-0484: the token mechanisms this connection can use; none where tokens are off. */
  tokenMechanisms(host: Host, connection: ConnectionSecurity): string[] {
    return this.tokenKeeper(host) === undefined ? [] : offeredHashedTokens(connection.bindings);
  }

  tokenKeeper(host: Host): FastTokenService | undefined {
    return host.registry.service("fastTokens");
  }

  /** Begins an exchange; undefined when that mechanism is not on offer here. */
  begin(
    host: Host,
    mechanism: string,
    connection: ConnectionSecurity,
    heard: (username: string) => MaybePromise<boolean>,
    fast?: FastRequest,
  ): SaslExchange | undefined {
    const offered = this.offered(host, connection);
    const byToken = fast !== undefined && this.tokenMechanisms(host, connection).includes(mechanism);
    if (!byToken && !offered.includes(mechanism)) return undefined;
    const authentication = this.#parts.of(host);
    return createExchange(mechanism, {
      domain: host.domain,
      accounts: authentication.accounts,
      channelBindings: connection.bindings,
      plusAdvertised: offersPlus(offered),
      clock: this.#parts.clock,
      randomness: this.#parts.randomness,
      hasher: this.#parts.hasher,
      decoys: authentication.decoys,
      heard,
      fast: byToken ? fast : undefined,
    });
  }
}
