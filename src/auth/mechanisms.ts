/** Which SASL mechanisms a stream offers, in which order, and the exchange behind each name. */
import { availableBindings, type ChannelBindings } from "./channel-bindings.ts";
import { type ScramHash, scramHashes } from "./credentials.ts";
import type { SaslContext, SaslExchange } from "./exchange.ts";
import { HashedTokenExchange, isHashedToken } from "./ht.ts";
import { PlainExchange } from "./plain.ts";
import { ScramExchange, scramName } from "./scram.ts";

interface Scram {
  hash: ScramHash;
  plus: boolean;
}

const scramByName = new Map<string, Scram>();
for (const hash of [...scramHashes].reverse()) {
  scramByName.set(`${scramName[hash]}-PLUS`, { hash, plus: true });
  scramByName.set(scramName[hash], { hash, plus: false });
}

/** The default of `auth.sasl_mechanisms`: strongest first. */
export const defaultMechanisms: readonly string[] = [...scramByName.keys(), "PLAIN"];

export interface MechanismConditions {
  /** `auth.sasl_mechanisms`: what is allowed, in this order. */
  configured: readonly string[];
  /** Whether the stream is encrypted. */
  tls: boolean;
  /** Whether the peer is on this machine. */
  loopback: boolean;
  channelBindings: ChannelBindings | undefined;
  /**
   * The hashes for which every account of the domain has keys. A client takes the strongest mechanism it knows and seldom a second
   * one, so a mechanism that some accounts lack would lock them out.
   */
  hashes: readonly ScramHash[];
}

/** The mechanisms to list in the stream features. PLAIN shows the password to who listens, so it needs TLS or loopback. */
export function offeredMechanisms(conditions: MechanismConditions): string[] {
  const canBind = availableBindings(conditions.channelBindings).length > 0;
  return conditions.configured.filter((name) => {
    if (name === "PLAIN") return conditions.tls || conditions.loopback;
    const scram = scramByName.get(name);
    return (
      scram !== undefined && conditions.hashes.includes(scram.hash) && (!scram.plus || (conditions.tls && canBind))
    );
  });
}

/** Whether a list of offered mechanisms has one with channel binding: `SaslContext.plusAdvertised`, and when XEP-0440 is announced. */
export function offersPlus(offered: readonly string[]): boolean {
  return offered.some((name) => name.endsWith("-PLUS"));
}

/** The exchange of this mechanism; undefined when there is none of that name. Whether it was offered is for the caller to check. */
export function createExchange(name: string, context: SaslContext): SaslExchange | undefined {
  if (name === "PLAIN") return new PlainExchange(context);
  const scram = scramByName.get(name);
  if (scram !== undefined) return new ScramExchange(scram.hash, scram.plus, context);
  return isHashedToken(name) && context.fast !== undefined
    ? new HashedTokenExchange(name, context, context.fast)
    : undefined;
}
