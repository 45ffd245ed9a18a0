/** Resource binding (RFC 6120 section 7). */
import type { MaybePromise } from "../hooks/effect.ts";
import type { Host } from "../router/host.ts";
import type { Session } from "../session/session.ts";
import { StanzaError, StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { prepareResource } from "../stanza/precis.ts";
import { errorOf, resultOf } from "../stanza/reply.ts";
import type { Stanza } from "../stanza/stanza.ts";
import { xml } from "../xml/xml.ts";
import type { C2sStream, State } from "./c2s-stream.ts";

type Authenticated = State & { at: "authenticated" };

/** Takes the binding request of an authenticated stream; any other stanza is refused. */
export function bindResource(stream: C2sStream, state: Authenticated, request: Stanza | undefined): MaybePromise<void> {
  if (request?.kind !== "iq" || request.type !== "set" || !request.has("bind", ns.bind)) {
    throw new StreamError("not-authorized", "Bind a resource first");
  }
  const plain = request.withAddresses(undefined, undefined);
  const wanted = request.child("bind", ns.bind)?.child("resource", ns.bind)?.text();
  const jid = fullJid(state.account, wanted === undefined || wanted === "" ? stream.environment.random.id(9) : wanted);
  if (jid === undefined)
    return refuse(stream, state, plain, "bad-request", "That is no resource (RFC 7622 section 3.4)");
  if (!stream.environment.listener.mayLogIn(state.account)) {
    return refuse(stream, state, plain, "not-allowed", "This account may not log in here");
  }
  const bound = establishSession(stream, state.host, jid, state.userAgent);
  const answer = () => stream.send(resultOf(plain, xml`<bind xmlns='${ns.bind}'><jid>${jid.full}</jid></bind>`));
  return bound instanceof Promise ? bound.then(answer) : answer();
}

/** A new session on this stream. */
export function establishSession(
  stream: C2sStream,
  host: Host,
  jid: Jid,
  userAgent: string | undefined,
): MaybePromise<Session> {
  const use = (session: Session): Session => {
    session.userAgent = userAgent;
    if (stream.isOpen) stream.establish(session);
    else void stream.environment.keeper.end(session, "lost");
    return session;
  };
  const bound = stream.environment.keeper.bind(host, jid, stream);
  return bound instanceof Promise ? bound.then(use) : use(bound);
}

function refuse(
  stream: C2sStream,
  state: Authenticated,
  request: Stanza,
  condition: "bad-request" | "not-allowed",
  text: string,
): void {
  fewerTries(stream, state);
  stream.send(errorOf(request, new StanzaError(condition, { text })));
}

/** An attempt to bind or to resume has failed. Throws `StreamError` after too many. */
export function fewerTries(stream: C2sStream, state: Authenticated): void {
  if (state.triesLeft <= 1) throw new StreamError("policy-violation", "Too many attempts to bind a resource");
  stream.become({ ...state, triesLeft: state.triesLeft - 1 });
}

/**
 * On an established stream, RFC 3921's session request is granted and does nothing; a second binding is refused (RFC 6120
 * section 7.1). False when the request is neither.
 */
export function bindAgain(stream: C2sStream, request: Stanza): boolean {
  if (request.type !== "set" || (request.to !== undefined && request.to.local !== "")) return false;
  if (request.has("session", ns.session)) {
    stream.countLocally();
    stream.send(resultOf(request.withAddresses(undefined, undefined)));
    return true;
  }
  if (!request.has("bind", ns.bind)) return false;
  stream.countLocally();
  const refusal = new StanzaError("not-allowed", { text: "A resource is bound already" });
  stream.send(errorOf(request.withAddresses(undefined, undefined), refusal));
  return true;
}

/** The account with this resource; undefined when it can be none (RFC 7622 section 3.4). */
export function fullJid(account: Jid, resource: string): Jid | undefined {
  const prepared = prepareResource(resource);
  return prepared === undefined ? undefined : account.withResource(prepared);
}
