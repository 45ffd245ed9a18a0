/** SASL on a client's stream: the profile of RFC 6120 section 6, and what it shares with XEP-0388's. */
import { decodeBase64 } from "../auth/credentials.ts";
import type { SaslCondition, SaslStep, SaslSuccess } from "../auth/exchange.ts";
import { isHashedToken } from "../auth/ht.ts";
import type { MaybePromise } from "../hooks/effect.ts";
import type { Host } from "../router/host.ts";
import { StreamError } from "../stanza/errors.ts";
import { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { isLoopbackAddress } from "../util/ip-address.ts";
import type { Frame } from "../xml/scanner.ts";
import { frameAttribute } from "../xml/scanner.ts";
import { escapeText } from "../xml/xml.ts";
import type { C2sStream, State } from "./c2s-stream.ts";

export type Stranger = State & { readonly at: "stranger" };
export type Exchanging = State & { readonly at: "sasl" };

/** How a profile writes what an exchange yields. */
export interface SaslProfile {
  readonly namespace: string;
  succeeded(stream: C2sStream, state: Exchanging, account: Jid, success: SaslSuccess): MaybePromise<void>;
}

/** One attempt to log in by RFC 6120's profile. */
export const saslProfile: SaslProfile = {
  namespace: ns.sasl,
  succeeded(stream, _state, account, success) {
    const data = success.additionalData;
    stream.write(
      data === undefined
        ? `<success xmlns='${ns.sasl}'/>`
        : `<success xmlns='${ns.sasl}'>${Buffer.from(data).toString("base64")}</success>`,
    );
    stream.authenticated(account);
  },
};

/** `<auth mechanism='…'>initial response</auth>`: an empty body means none, `=` an empty one (RFC 6120 section 6.4.2). */
export function startSasl(stream: C2sStream, state: Stranger, frame: Frame): MaybePromise<void> {
  const mechanism = frameAttribute(frame, "mechanism") ?? "";
  const exchange = stream.environment.mechanisms.begin(
    state.host,
    mechanism,
    stream.connection,
    hearing(stream, state.host),
  );
  const initial = decodeResponse(frame.inner);
  if (exchange === undefined) return fail(stream, state, saslProfile, "", "invalid-mechanism");
  if (initial === undefined) return fail(stream, state, saslProfile, mechanism, "incorrect-encoding");
  const next: Exchanging = { ...state, at: "sasl", exchange, mechanism, profile: saslProfile, request: undefined };
  stream.become(next);
  return advance(stream, next, () => exchange.start(frame.inner === "" ? undefined : initial));
}

/** What a client may send amid an exchange. */
export function continueSasl(stream: C2sStream, state: Exchanging, frame: Frame): MaybePromise<void> {
  if (frame.ns !== state.profile.namespace) throw new StreamError("not-authorized", "Finish authentication first");
  if (frame.name === "abort") return fail(stream, state, state.profile, state.mechanism, "aborted");
  if (frame.name !== "response") throw new StreamError("not-authorized", "Finish authentication first");
  const response = decodeResponse(frame.inner);
  if (response === undefined) return fail(stream, state, state.profile, state.mechanism, "incorrect-encoding");
  return advance(stream, state, () => state.exchange.next(response));
}

/** The bytes of a base64 text; undefined when it is none. `=` stands for no bytes at all. */
export function decodeResponse(text: string): Uint8Array | undefined {
  if (text === "" || text === "=") return new Uint8Array(0);
  return decodeBase64(text.trim());
}

/** Runs one step. A back end that fails is told as temporary-auth-failure and logged. */
export function advance(stream: C2sStream, state: Exchanging, run: () => MaybePromise<SaslStep>): MaybePromise<void> {
  const broke = (error: unknown): MaybePromise<void> => {
    stream.environment.log.error(
      { err: error, remote: stream.remoteAddress },
      "authentication failed for want of the account store",
    );
    return fail(stream, state, state.profile, state.mechanism, "temporary-auth-failure");
  };
  let step: MaybePromise<SaslStep>;
  try {
    step = run();
  } catch (error) {
    return broke(error);
  }
  // What `take` throws, such as the error that ends the stream after too many tries, is no trouble of the store's.
  return step instanceof Promise
    ? step.then((settled) => take(stream, state, settled), broke)
    : take(stream, state, step);
}

function take(stream: C2sStream, state: Exchanging, step: SaslStep): MaybePromise<void> {
  if (!stream.isOpen) return;
  const namespace = state.profile.namespace;
  if ("challenge" in step) {
    const data = Buffer.from(step.challenge).toString("base64");
    stream.write(`<challenge xmlns='${namespace}'>${data === "" && namespace === ns.sasl ? "=" : data}</challenge>`);
    return;
  }
  if ("failure" in step) {
    if (step.misfit === true) return refuseMisfit(stream, state, step.text);
    return fail(stream, state, state.profile, state.mechanism, step.failure, step.text, step.username);
  }
  const account = Jid.of(step.success.username, state.host.domain, "");
  // XEP-0388 section 2.3, and RFC 6120 section 6.3.8: the stream's `from`, when given, is who logs in.
  if (state.claimed !== undefined && state.claimed.local !== "" && state.claimed.full !== account.full) {
    return fail(stream, state, state.profile, state.mechanism, "invalid-authzid");
  }
  stream.environment.mechanisms.throttle.succeeded(account.full);
  stream.environment.observer.login(state.mechanism, "success");
  return state.profile.succeeded(stream, state, account, step.success);
}

/**
 * A mechanism that cannot work on this connection is no guess at a password: the client may go on down its list. Some
 * clients claim "tls-unique" for each -PLUS mechanism over TLS 1.3, which has none, before they come to another.
 */
function refuseMisfit(stream: C2sStream, state: Exchanging, text: string | undefined): void {
  stream.environment.observer.login(state.mechanism, "failure");
  writeFailure(stream, state.profile, "not-authorized", text);
  if (++stream.saslMisfits >= misfitsMax)
    throw new StreamError("policy-violation", "No mechanism fits this connection");
  stream.become({ at: "stranger", host: state.host, triesLeft: state.triesLeft, claimed: state.claimed });
}

/** As many mechanisms as there are, with room. */
const misfitsMax = 16;

function writeFailure(
  stream: C2sStream,
  profile: SaslProfile,
  condition: SaslCondition,
  text: string | undefined,
): void {
  const note = text === undefined ? "" : `<text xml:lang='en'>${escapeText(text)}</text>`;
  const name = profile.namespace === ns.sasl ? `<${condition}/>` : `<${condition} xmlns='${ns.sasl}'/>`;
  stream.write(`<failure xmlns='${profile.namespace}'>${name}${note}</failure>`);
}

/**
 * When a password is heard: after wrong ones it waits ever longer, for the address and for the account, and so does a right one. The
 * connection is not read meanwhile; false when it is gone.
 */
export function hearing(stream: C2sStream, host: Host): (username: string) => MaybePromise<boolean> {
  return (username) => {
    const { clock, mechanisms } = stream.environment;
    const delay = mechanisms.throttle.delayMs(countedAddress(stream), accountOf(host, username));
    if (delay === 0) return true;
    // The wait is ours, not the client's.
    stream.stopTimeout();
    return new Promise<void>((resolve) => clock.after(delay, resolve)).then(() => {
      if (stream.isOpen) stream.startStateTimeout();
      return stream.isOpen;
    });
  };
}

/** A proxy on this machine may stand for anybody, so one who guesses there must not slow the others. */
function countedAddress(stream: C2sStream): string {
  return isLoopbackAddress(stream.remoteAddress) ? "" : stream.remoteAddress;
}

function accountOf(host: Host, username: string | undefined): string {
  return username === undefined ? "" : `${username}@${host.domain}`;
}

/** Tells a failure; after too many the stream ends. */
export function fail(
  stream: C2sStream,
  state: Stranger | Exchanging,
  profile: SaslProfile,
  mechanism: string,
  condition: SaslCondition,
  text?: string,
  username?: string,
): void {
  const { environment } = stream;
  environment.observer.login(mechanism, "failure");
  if (condition === "not-authorized") {
    const account = accountOf(state.host, username);
    environment.log.info({ remote: stream.remoteAddress, account, mechanism }, "wrong credentials");
    // Nobody guesses a token: a client with an old one, after a new password perhaps, is no attack.
    if (!isHashedToken(mechanism)) environment.mechanisms.throttle.failed(countedAddress(stream), account);
  }
  stream.startStateTimeout();
  writeFailure(stream, profile, condition, text);
  if (state.triesLeft <= 1) throw new StreamError("policy-violation", "Too many failed attempts to authenticate");
  stream.become({ at: "stranger", host: state.host, triesLeft: state.triesLeft - 1, claimed: state.claimed });
}
