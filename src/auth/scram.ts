/** RFC 5802 and RFC 7677: SCRAM, the server's side, with and without channel binding. */
import { createHmac, hash as digestOf, timingSafeEqual } from "node:crypto";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type ChannelBindingType, channelBindingTypes } from "./channel-bindings.ts";
import { base64, type Credentials, decodeBase64, keyBytes, type ScramHash, type ScramKeys } from "./credentials.ts";
import { decodeMessage, failure, malformed, type SaslContext, type SaslExchange, type SaslStep } from "./exchange.ts";
import { authzidFits, decoyKeys, localOf } from "./identity.ts";

/** The name of the mechanism for a hash. */
export const scramName: Readonly<Record<ScramHash, string>> = {
  sha1: "SCRAM-SHA-1",
  sha224: "SCRAM-SHA-224",
  sha256: "SCRAM-SHA-256",
  sha384: "SCRAM-SHA-384",
  sha512: "SCRAM-SHA-512",
};

interface ClientFirst {
  gs2Header: string;
  flag: string;
  authzid: string;
  bare: string;
  username: string;
  nonce: string;
}

interface ClientFinal {
  withoutProof: string;
  binding: Uint8Array;
  nonce: string;
  proof: Uint8Array;
}

type State =
  | { at: "first" }
  | { at: "looking-up" }
  | {
      at: "final";
      first: ClientFirst;
      serverFirst: string;
      nonce: string;
      username: string;
      /** Made up, so that even a proof that fits them must fail. */
      decoy: boolean;
      keys: ScramKeys;
    }
  | { at: "done" };

const nonceBytes = 18;
const nobody = new Uint8Array(0);

export class ScramExchange implements SaslExchange {
  private state: State = { at: "first" };
  private readonly hash: ScramHash;
  private readonly plus: boolean;
  private readonly context: SaslContext;

  constructor(hash: ScramHash, plus: boolean, context: SaslContext) {
    this.hash = hash;
    this.plus = plus;
    this.context = context;
  }

  start(initial: Uint8Array | undefined): SaslStep | Promise<SaslStep> {
    return initial === undefined ? { challenge: nobody } : this.next(initial);
  }

  next(response: Uint8Array): SaslStep | Promise<SaslStep> {
    const state = this.state;
    this.state = { at: "done" };
    if (state.at === "first") return this.takeFirst(response);
    if (state.at === "final") return this.takeFinal(state, response);
    return malformed("nothing was asked");
  }

  private takeFirst(message: Uint8Array): SaslStep | Promise<SaslStep> {
    const text = decodeMessage(message);
    const first = text === undefined ? undefined : parseClientFirst(text);
    if (first === undefined) return malformed("not a client-first-message");
    const refused = this.bindingRefused(first.flag);
    if (refused !== undefined) return refused;
    const { username, known } = localOf(first.username);
    if (!authzidFits(first.authzid, username, this.context.domain))
      return failure("invalid-authzid", undefined, username);
    if (!known) return this.challenge(first, username, undefined);
    const found = this.context.accounts.credentials(username, this.context.domain, this.hash);
    if (!(found instanceof Promise)) return this.challenge(first, username, found);
    this.state = { at: "looking-up" };
    return found.then((credentials) => this.challenge(first, username, credentials));
  }

  /** RFC 5802 section 6: what the client says of channel binding must agree with the mechanism and with what we offered. */
  private bindingRefused(flag: string): SaslStep | undefined {
    if (flag === "n") return this.plus ? malformed("a -PLUS mechanism binds to a channel") : undefined;
    if (flag === "y") {
      if (this.plus) return malformed("a -PLUS mechanism binds to a channel");
      // The client could bind and believes that we cannot: somebody took the -PLUS mechanisms out of our features.
      return this.context.plusAdvertised ? misfit("channel binding was offered") : undefined;
    }
    if (!this.plus) return malformed("channel binding needs a -PLUS mechanism");
    return this.bindingData(flag) === undefined ? misfit("unsupported channel binding type") : undefined;
  }

  private bindingData(flag: string): Uint8Array | undefined {
    const type = channelBindingTypes.find((known) => flag === `p=${known}`) as ChannelBindingType | undefined;
    return type === undefined ? undefined : this.context.channelBindings?.data(type);
  }

  private challenge(first: ClientFirst, username: string, credentials: Credentials | undefined): SaslStep {
    const { domain, decoys, randomness } = this.context;
    const stored = credentials?.[this.hash];
    const keys = stored ?? decoyKeys(username, domain, this.hash, decoys);
    const nonce = first.nonce + randomness.id(nonceBytes);
    const serverFirst = `r=${nonce},s=${base64(keys.salt)},i=${keys.iterations}`;
    this.state = { at: "final", first, serverFirst, nonce, username, decoy: stored === undefined, keys };
    return { challenge: Buffer.from(serverFirst, "utf8") };
  }

  private takeFinal(state: Extract<State, { at: "final" }>, message: Uint8Array): MaybePromise<SaslStep> {
    const heard = this.context.heard?.(state.username) ?? true;
    if (!(heard instanceof Promise)) return this.check(state, message);
    return heard.then((waits) => (waits ? this.check(state, message) : failure("aborted")));
  }

  private check(state: Extract<State, { at: "final" }>, message: Uint8Array): SaslStep {
    const { first, serverFirst, nonce, username, decoy, keys } = state;
    const text = decodeMessage(message);
    const final = text === undefined ? undefined : parseClientFinal(text);
    if (final === undefined) return failure("malformed-request", "not a client-final-message", username);
    if (final.proof.length !== keyBytes[this.hash])
      return failure("malformed-request", "proof of wrong length", username);

    const data = first.flag.startsWith("p=") ? this.bindingData(first.flag) : nobody;
    if (data === undefined || !equal(final.binding, Buffer.concat([Buffer.from(first.gs2Header, "utf8"), data]))) {
      return failure("not-authorized", "the channel binding differs", username);
    }
    if (final.nonce !== nonce) return failure("not-authorized", "the nonce differs", username);

    const authMessage = `${first.bare},${serverFirst},${final.withoutProof}`;
    const clientKey = createHmac(this.hash, keys.storedKey).update(authMessage).digest();
    for (let index = 0; index < clientKey.length; index++) {
      clientKey[index] = (clientKey[index] as number) ^ (final.proof[index] as number);
    }
    const right = equal(digestOf(this.hash, clientKey, "buffer"), keys.storedKey);
    const signature = createHmac(this.hash, keys.serverKey).update(authMessage).digest();
    if (!right || decoy) return failure("not-authorized", undefined, username);
    const mechanism = scramName[this.hash] + (this.plus ? "-PLUS" : "");
    return { success: { username, mechanism, additionalData: Buffer.from(`v=${base64(signature)}`, "latin1") } };
  }
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

// client-first-message = gs2-cbind-flag "," [a=authzid] "," n=user "," r=nonce ["," extensions]. "m=" before "n=" is a mandatory
// extension, which we know none of; the grammar then does not match.
const clientFirst =
  /^((n|y|p=[A-Za-z0-9.-]+),(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*)$/u;
const clientFinal = /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*),p=([A-Za-z0-9+/=]+)$/u;

function parseClientFirst(text: string): ClientFirst | undefined {
  const match = clientFirst.exec(text);
  if (match === null) return undefined;
  const [, gs2Header, flag, authzidText = "", bare, usernameText, nonce] = match as unknown as string[];
  const authzid = saslName(authzidText as string);
  const username = saslName(usernameText as string);
  if (authzid === undefined || username === undefined) return undefined;
  return {
    gs2Header: gs2Header as string,
    flag: flag as string,
    authzid,
    bare: bare as string,
    username,
    nonce: nonce as string,
  };
}

function parseClientFinal(text: string): ClientFinal | undefined {
  const match = clientFinal.exec(text);
  if (match === null) return undefined;
  const [, withoutProof, bindingText, nonce, proofText] = match as unknown as string[];
  const binding = decodeBase64(bindingText as string);
  const proof = decodeBase64(proofText as string);
  if (binding === undefined || proof === undefined) return undefined;
  return { withoutProof: withoutProof as string, binding, nonce: nonce as string, proof };
}

/** RFC 5802 section 5.1: "," is written =2C and "=" is written =3D; any other "=" makes the name invalid, and so does NUL. */
function saslName(text: string): string | undefined {
  if (/=(?!2C|3D)|\0/.test(text)) return undefined;
  return text.replaceAll("=2C", ",").replaceAll("=3D", "=");
}

function misfit(text: string): SaslStep {
  return { failure: "not-authorized", text, misfit: true };
}
