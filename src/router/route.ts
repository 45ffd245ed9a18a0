/**
 * Who gets a stanza: RFC 6121 section 8 and RFC 6120 section 10, on one page.
 *
 * An address is of another domain (not reachable: no federation yet), of the host itself, or of an account. For an
 * account the "incoming" stage runs first; then a full JID means that one resource, and a bare JID means the rules of
 * section 8.5 by kind and type.
 */
import type { MaybePromise } from "../hooks/effect.ts";
import type { Log } from "../observe/log.ts";
import type { Session } from "../session/session.ts";
import type { SessionTable } from "../session/session-table.ts";
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { errorOf, mayBounce } from "../stanza/reply.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { Host } from "./host.ts";
import { answerIq } from "./iq.ts";
import type { PendingRequests } from "./pending-requests.ts";
import { type EffectTarget, type Origin, runStage } from "./stages.ts";

/** Counted per stanza on the hot path: plain fields, read when metrics are scraped. */
export interface RouterCounters {
  routed: number;
  bounced: number;
  dropped: number;
  failures: number;
}

export class Router implements EffectTarget {
  readonly hosts = new Map<string, Host>();
  readonly sessions: SessionTable;
  readonly requests: PendingRequests;
  readonly counters: RouterCounters = { routed: 0, bounced: 0, dropped: 0, failures: 0 };
  readonly #log: Log;

  readonly #bounced: (condition: string) => void;

  /** `bounced` is told the condition of every stanza error this router makes. */
  constructor(
    sessions: SessionTable,
    requests: PendingRequests,
    log: Log,
    bounced: (condition: string) => void = () => {},
  ) {
    this.#bounced = bounced;
    this.sessions = sessions;
    this.requests = requests;
    this.#log = log;
  }

  /**
   * Takes a stanza with both addresses to whoever they name. Never throws: what cannot be delivered is answered with an
   * error where RFC 6120 allows one. Resolves when the stanza has found its place; order per sender is kept by waiting.
   */
  route(stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    this.counters.routed++;
    try {
      const done = this.#dispatch(stanza, origin);
      if (done instanceof Promise) return done.catch((error: unknown) => this.fail(stanza, error));
    } catch (error) {
      return this.fail(stanza, error);
    }
  }

  dropped(stanza: Stanza, reason: string): void {
    this.counters.dropped++;
    this.#log.debug({ kind: stanza.kind, from: stanza.from?.full, to: stanza.to?.full, reason }, "stanza dropped");
  }

  #dispatch(stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    const to = stanza.to;
    if (to === undefined) throw new Error("A stanza without an address reached the router");
    const host = this.hosts.get(to.domain);
    if (host === undefined) {
      throw new StanzaError("remote-server-not-found", { text: `This server does not reach ${to.domain}` });
    }
    if (to.local === "") return this.#toHost(host, stanza, origin);
    const handlers = host.registry.stages.incoming[stanza.kind];
    if (handlers.length === 0) return this.#toAccount(host, to, stanza, origin);
    const passed = runStage(handlers, stanza, to.isBare ? to : to.toBare(), undefined, this, origin);
    if (passed === undefined) return;
    if (passed instanceof Promise) {
      return passed.then((settled) => (settled === undefined ? undefined : this.#toAccount(host, to, settled, origin)));
    }
    return this.#toAccount(host, to, passed, origin);
  }

  /** RFC 6120 section 10.5.3: the server itself is addressed. */
  #toHost(host: Host, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    if (stanza.kind === "iq") return answerIq(this, host, "server", stanza, origin);
    if (stanza.kind === "message" && stanza.type !== "error") throw new StanzaError("service-unavailable");
  }

  #toAccount(host: Host, to: Jid, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    if (to.resource !== "") {
      const session = this.sessions.find(to);
      if (session !== undefined) return this.#toSession(host, session, stanza, origin);
    }
    switch (stanza.kind) {
      case "message":
        return this.#messageToAccount(host, to, stanza, origin);
      case "presence":
        if (to.resource === "") this.#presenceToAccount(to, stanza);
        return;
      case "iq":
        if (to.resource !== "") throw new StanzaError("service-unavailable");
        return answerIq(this, host, "user", stanza, origin);
    }
  }

  /** Section 8.5.3.1 and the last step of the others. */
  #toSession(host: Host, session: Session, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    session.deliver(stanza);
    const handlers = host.registry.stages.delivered[stanza.kind];
    if (handlers.length > 0) return this.#delivered(host, stanza, session.account, [session], origin);
  }

  #delivered(
    host: Host,
    stanza: Stanza,
    account: Jid,
    sessions: readonly Session[],
    origin: Origin | undefined,
  ): MaybePromise<void> {
    const handlers = host.registry.stages.delivered[stanza.kind];
    const done = runStage(handlers, stanza, account, sessions, this, origin);
    if (done instanceof Promise) return done.then(() => undefined);
  }

  /** Section 8.5.2 for messages, and 8.5.3.2 where the full JID names no resource of ours. */
  #messageToAccount(host: Host, to: Jid, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    if (stanza.type === "groupchat") throw new StanzaError("service-unavailable");
    const account = to.resource === "" ? to : to.toBare();
    if (stanza.type === "error") return this.dropped(stanza, "an error for no resource");

    const single = this.sessions.single(to.bare);
    if (single !== undefined && single.presence !== undefined && single.priority >= 0) {
      single.deliver(stanza);
      if (host.registry.stages.delivered.message.length === 0) return;
      return this.#delivered(host, stanza, account, [single], origin);
    }
    const chosen = mostAvailable(this.sessions.of(to.bare), stanza.type === "headline");
    if (chosen.length > 0) {
      for (const session of chosen) session.deliver(stanza);
      if (host.registry.stages.delivered.message.length === 0) return;
      return this.#delivered(host, stanza, account, chosen, origin);
    }
    if (stanza.type === "headline") return this.dropped(stanza, "a headline for nobody available");
    return this.undelivered(host, stanza, account, origin);
  }

  /** A message no session took: stored by whoever offers to, else refused. */
  undelivered(host: Host, stanza: Stanza, account: Jid, origin: Origin | undefined): MaybePromise<void> {
    const left = runStage(host.registry.stages.undelivered[stanza.kind], stanza, account, undefined, this, origin);
    if (left instanceof Promise) return left.then(refuse);
    refuse(left);
  }

  /** Takes a message to the account's other resources, or to whoever stores it; the "incoming" stage has run already. */
  redeliver(host: Host, stanza: Stanza, account: Jid): MaybePromise<void> {
    try {
      const done = this.#messageToAccount(host, account, stanza, undefined);
      if (done instanceof Promise) return done.catch((error: unknown) => this.fail(stanza, error));
    } catch (error) {
      return this.fail(stanza, error);
    }
  }

  /** Section 8.5.2.1.2: presence to a bare JID goes to every available resource. */
  #presenceToAccount(to: Jid, stanza: Stanza): void {
    for (const session of this.sessions.of(to.bare)) if (session.available) session.deliver(stanza);
  }

  /** Turns anything thrown into the one answer its sender gets; hides what is ours, logs it once. */
  fail(stanza: Stanza, error: unknown): MaybePromise<void> {
    let answer: StanzaError;
    if (error instanceof StanzaError) answer = error;
    else {
      this.counters.failures++;
      this.#log.error({ err: error, kind: stanza.kind, from: stanza.from?.full, to: stanza.to?.full }, "stanza failed");
      answer = new StanzaError("internal-server-error", { type: "wait", cause: error });
    }
    if (!mayBounce(stanza) || stanza.from === undefined) return this.dropped(stanza, answer.message);
    this.counters.bounced++;
    this.#bounced(answer.condition);
    const bounce = errorOf(stanza, answer);
    const session = this.sessions.find(stanza.from);
    if (session !== undefined) session.deliver(bounce);
    else if (this.hosts.has(stanza.from.domain)) return this.route(bounce, undefined);
  }
}

function refuse(left: Stanza | undefined): void {
  if (left !== undefined) throw new StanzaError("service-unavailable");
}

/** The non-negative resources of the highest priority; for a headline all non-negative ones (section 8.5.2.1.1). */
export function mostAvailable(sessions: readonly Session[], everyone: boolean): Session[] {
  let top = 0;
  if (!everyone) {
    for (const session of sessions) if (session.available && session.priority > top) top = session.priority;
  }
  return sessions.filter((session) => session.available && session.priority >= top);
}
