/** XEP-0484 Fast Authentication Streamlining Tokens 0.2.0: the HT-* mechanisms (draft-schmaus-kitten-sasl-ht), the server's side. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { FastToken } from "./account-lookup.ts";
import { type ChannelBindings, type ChannelBindingType, hasBinding } from "./channel-bindings.ts";
import {
  decodeMessage,
  type FastRequest,
  failure,
  malformed,
  type SaslContext,
  type SaslExchange,
  type SaslStep,
} from "./exchange.ts";
import { localOf } from "./identity.ts";

/** Strongest first. */
const bindingOf: Readonly<Record<string, ChannelBindingType | "none">> = {
  "HT-SHA-256-EXPR": "tls-exporter",
  "HT-SHA-256-ENDP": "tls-server-end-point",
  "HT-SHA-256-NONE": "none",
};
const hashBytes = 32;

export function isHashedToken(mechanism: string): boolean {
  return Object.hasOwn(bindingOf, mechanism);
}

/** The HT mechanisms a connection can use, strongest first: the children of `<fast xmlns='urn:xmpp:fast:0'/>`. */
export function offeredHashedTokens(bindings: ChannelBindings | undefined): string[] {
  return Object.keys(bindingOf).filter((mechanism) => {
    const type = bindingOf[mechanism]!;
    return type === "none" || (bindings !== undefined && hasBinding(bindings, type));
  });
}

function bindingData(mechanism: string, bindings: ChannelBindings | undefined): Uint8Array | undefined {
  const type = bindingOf[mechanism];
  if (type === undefined) return undefined;
  return type === "none" ? new Uint8Array(0) : bindings?.data(type);
}

export class HashedTokenExchange implements SaslExchange {
  private readonly mechanism: string;
  private readonly context: SaslContext;
  private readonly fast: FastRequest;
  private answered = false;

  constructor(mechanism: string, context: SaslContext, fast: FastRequest) {
    this.mechanism = mechanism;
    this.context = context;
    this.fast = fast;
  }

  start(initial: Uint8Array | undefined): SaslStep | Promise<SaslStep> {
    return initial === undefined ? { challenge: new Uint8Array(0) } : this.next(initial);
  }

  next(response: Uint8Array): SaslStep | Promise<SaslStep> {
    if (this.answered) return malformed("nothing was asked");
    this.answered = true;
    const binding = bindingData(this.mechanism, this.context.channelBindings);
    if (binding === undefined) return failure("not-authorized", "this connection has no such channel binding");
    // The hash may hold NUL bytes itself, so the first one ends the name.
    const end = response.indexOf(0);
    const name = end > 0 ? decodeMessage(response.subarray(0, end)) : undefined;
    const hashed = response.subarray(end + 1);
    if (name === undefined || hashed.length !== hashBytes) return malformed("HT is authcid NUL hashed token");
    return this.check(name, hashed, binding);
  }

  private async check(name: string, hashed: Uint8Array, binding: Uint8Array): Promise<SaslStep> {
    const { domain, clock } = this.context;
    const { username, known } = localOf(name);
    const tokens = known ? await this.fast.tokens.tokens(username, domain, this.fast.userAgentId) : [];
    let found: FastToken | undefined;
    for (const token of tokens) {
      const expected = hmac(token.secret, "Initiator", binding);
      if (timingSafeEqual(expected, hashed) && token.mechanism === this.mechanism) found = token;
    }
    if (found === undefined) return failure("not-authorized", undefined, username);
    if (found.expires <= clock.now()) return failure("credentials-expired", undefined, username);
    const { count } = this.fast;
    // The count guards against replay of TLS 0-RTT data, where the client must send one. We accept no 0-RTT data, so it may be absent.
    if (count !== undefined && count <= found.count) {
      return failure("not-authorized", "the count was used before", username);
    }
    const additionalData = hmac(found.secret, "Responder", binding);
    return { success: { username, mechanism: this.mechanism, additionalData, token: found } };
  }
}

function hmac(secret: string, role: string, binding: Uint8Array): Buffer {
  return createHmac("sha256", secret).update(role).update(binding).digest();
}
