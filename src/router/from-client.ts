/** What happens to a stanza of one of our clients before it is routed: its `from`, its default `to`, its presence. */
import type { MaybePromise } from "../hooks/effect.ts";
import type { ClusterEventName, ClusterHandlers, SessionEventName, SessionHandlers } from "../hooks/points.ts";
import type { Origin } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import { StanzaError, StreamError } from "../stanza/errors.ts";
import { kept } from "../stanza/kept.ts";
import { presence, type Stanza } from "../stanza/stanza.ts";
import type { Host } from "./host.ts";
import type { Router } from "./route.ts";
import { carryOut, runStage } from "./stages.ts";

/**
 * Takes in a client's stanza. Throws `StreamError` invalid-from for a forged sender (RFC 6120 section 8.1.2.1); all
 * other trouble is answered with a stanza error.
 */
export function takeFromClient(router: Router, host: Host, session: Session, stanza: Stanza): MaybePromise<void> {
  const claimed = stanza.from;
  if (claimed !== undefined && claimed.full !== session.jid.full && claimed.full !== session.account.full) {
    throw new StreamError("invalid-from", "A client sends as itself");
  }
  const stamped = stamp(session, stanza);
  const origin: Origin | undefined = session.outlet;
  try {
    const handlers = host.registry.stages.outgoing[stamped.kind];
    const passed = handlers.length === 0 ? stamped : runStage(handlers, stamped, session, undefined, router, origin);
    const done =
      passed instanceof Promise
        ? passed.then((settled) => dispatch(router, host, session, settled, origin))
        : dispatch(router, host, session, passed, origin);
    if (done instanceof Promise)
      return done.catch((error: unknown) => router.fail(stamped.withFrom(session.jid), error));
  } catch (error) {
    return router.fail(stamped.withFrom(session.jid), error);
  }
}

/** RFC 6120 section 8.1.2.1 and, for subscriptions between bare JIDs, RFC 6121 sections 3.1.2 and 4.6.2. */
function stamp(session: Session, stanza: Stanza): Stanza {
  const to = stanza.to ?? (stanza.kind === "presence" ? undefined : session.account);
  if (stanza.kind === "presence" && to !== undefined) {
    switch (stanza.type) {
      case "subscribe":
      case "subscribed":
      case "unsubscribe":
      case "unsubscribed":
        return stanza.withAddresses(session.account, to.toBare());
    }
  }
  return stanza.withAddresses(session.jid, to);
}

function dispatch(
  router: Router,
  host: Host,
  session: Session,
  stanza: Stanza | undefined,
  origin: Origin | undefined,
): MaybePromise<void> {
  if (stanza === undefined) return;
  if (stanza.kind !== "presence" || stanza.to !== undefined) return router.route(stanza, origin);
  return takePresence(router, host, session, stanza);
}

/** RFC 6121 sections 4.2, 4.4 and 4.5: a client's own presence. */
function takePresence(router: Router, host: Host, session: Session, stanza: Stanza): MaybePromise<void> {
  if (stanza.type === "unavailable") return becomeUnavailable(router, host, session, stanza);
  if (stanza.type !== undefined) {
    throw new StanzaError("bad-request", { text: `A presence of type ${stanza.type} needs a 'to'` });
  }
  const before = session.presence;
  const own = kept(stanza);
  session.setPresence(own, priorityOf(own));
  return before === undefined
    ? runSessionEvent(router, host, "available", session, own)
    : runSessionEvent(router, host, "updated", session, own, before);
}

/** A resource stops being available; nothing happens where it was not. */
export function becomeUnavailable(router: Router, host: Host, session: Session, stanza?: Stanza): MaybePromise<void> {
  if (session.presence === undefined) return;
  session.setPresence(undefined, 0);
  const goodbye = stanza ?? presence({ type: "unavailable", from: session.jid });
  return runSessionEvent(router, host, "unavailable", session, goodbye);
}

/** Section 4.7.2.3: an integer from -128 to 127, 0 when absent. */
function priorityOf(stanza: Stanza): number {
  if (!stanza.has("priority", "jabber:client")) return 0;
  const text = stanza.text("priority")!.trim();
  const value = Number(text);
  if (text === "" || !Number.isInteger(value) || value < -128 || value > 127) {
    throw new StanzaError("bad-request", { text: "A priority is an integer from -128 to 127" });
  }
  return value;
}

/** Runs the handlers of a session event in order, each after the one before. */
export function runSessionEvent<Name extends SessionEventName>(
  router: Router,
  host: Host,
  name: Name,
  ...args: Parameters<SessionHandlers[Name]>
): MaybePromise<void> {
  return runEventFrom(router, host.registry.sessions[name] as EventHandler[], 0, args);
}

/** Runs the handlers of an event of the cluster in order, each after the one before. */
export function runClusterEvent<Name extends ClusterEventName>(
  router: Router,
  host: Host,
  name: Name,
  ...args: Parameters<ClusterHandlers[Name]>
): MaybePromise<void> {
  return runEventFrom(router, host.registry.clusterEvents[name] as EventHandler[], 0, args);
}

type EventHandler = (...args: unknown[]) => MaybePromise<undefined>;

function runEventFrom(
  router: Router,
  handlers: readonly EventHandler[],
  from: number,
  args: unknown[],
): MaybePromise<void> {
  const subject = args.find((arg) => arg !== undefined && (arg as Stanza).kind !== undefined) as Stanza | undefined;
  const stanza = subject ?? presence({});
  for (let at = from; at < handlers.length; at++) {
    const outcome = handlers[at]!(...args);
    const done =
      outcome instanceof Promise
        ? outcome.then((settled) => carryOut(settled, stanza, router, undefined))
        : carryOut(outcome, stanza, router, undefined);
    if (done instanceof Promise) return done.then(() => runEventFrom(router, handlers, at + 1, args));
  }
}
