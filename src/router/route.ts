/**
 * Who gets a stanza: RFC 6121 section 8 and RFC 6120 section 10, on one page.
 *
 * An address is of another domain (not reachable: no federation yet), of a domain that a module serves, of the host itself, or of
 * an account. For an account the "incoming" stage runs first; then a full JID means that one resource, and a bare JID
 * means the rules of section 8.5 by kind and type. The sender's node decides all of it, also where resources are bound on
 * other nodes: those only write what they are handed.
 */
import type { MaybePromise } from "../hooks/effect.ts";
import type { DomainHandler, SessionEnd } from "../hooks/points.ts";
import type { Log } from "../observe/log.ts";
import type { Origin, Resource } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import type { SessionTable } from "../session/session-table.ts";
import { StanzaError, type StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { errorOf, mayBounce } from "../stanza/reply.ts";
import { type Stanza, StanzaMould } from "../stanza/stanza.ts";
import { StoreOverloaded } from "../store/errors.ts";
import { toStanzaError } from "./failure.ts";
import type { Host } from "./host.ts";
import { answerIq } from "./iq.ts";
import type { PendingRequests } from "./pending-requests.ts";
import { carryOut, type EffectTarget, runStage } from "./stages.ts";

/** Counted per stanza on the hot path: plain fields, read when metrics are scraped. */
export interface RouterCounters {
  routed: number;
  bounced: number;
  dropped: number;
  failures: number;
  /** Refused since too much waited for the database. */
  overloaded: number;
}

/** What the router knows of the cluster's other nodes. */
export interface OtherNodes {
  /** Whether any resource of the account is bound on another node. */
  has(account: Jid): boolean;
  /** Resources of an account that are bound on other nodes. */
  of(account: Jid): readonly Resource[];
  find(jid: Jid): Resource | undefined;
  /** The resource whose session is moving to another node, this one perhaps: what is for it waits until it is there. */
  onTheWay(jid: Jid): Resource | undefined;
  /** A session of ours is in the session table from now on. */
  opened(session: Session): void;
  /** Marks or priority of a session of ours have changed. */
  changed(session: Session): void;
  /** A session of ours is in the session table no more. */
  ended(session: Session): void;
  /** Ends the session of a resource of another node; resolves when it is over, or its node gone. Never rejects. */
  close(resource: Resource, error: StreamError, how: SessionEnd): Promise<void>;
  /**
   * Brings the session that can be resumed under this id here, from whichever node holds it; resolves to whether it came. Never rejects.
   */
  fetch(resumeId: string, account: Jid): Promise<boolean>;
}

export class Router implements EffectTarget {
  readonly hosts = new Map<string, Host>();
  /** Domains that modules serve. */
  readonly domains = new Map<string, DomainHandler>();
  /** Undefined on a node that is alone. */
  elsewhere: OtherNodes | undefined = undefined;
  readonly sessions: SessionTable;
  readonly requests: PendingRequests;
  readonly counters: RouterCounters = { routed: 0, bounced: 0, dropped: 0, failures: 0, overloaded: 0 };
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

  /** The acknowledgement of what caused it does not wait for the copies: who stores them for the group has it wait for that. */
  spread(stanzas: readonly Stanza[], to: readonly Jid[], _origin: Origin | undefined): MaybePromise<void> {
    const waits: Promise<void>[] = [];
    for (const stanza of stanzas) {
      const mould = to.length > 1 ? new StanzaMould(stanza) : undefined;
      for (const address of to) {
        const done = this.route(mould === undefined ? stanza.withTo(address) : mould.copy(address), undefined);
        if (done instanceof Promise) waits.push(done);
      }
    }
    if (waits.length > 0) return Promise.all(waits).then(() => undefined);
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
      const handler = this.domains.get(to.domain);
      if (handler !== undefined) return this.#toDomain(handler, stanza, origin);
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

  #toDomain(handler: DomainHandler, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    const outcome = handler(stanza, origin);
    if (outcome === undefined) return;
    const done =
      outcome instanceof Promise
        ? outcome.then((settled) => carryOut(settled, stanza, this, origin))
        : carryOut(outcome, stanza, this, origin);
    if (done instanceof Promise) return done.then(() => undefined);
  }

  /** All resources of an account, on this node and on others; the list must not be kept or changed. */
  resourcesOf(account: Jid): readonly Resource[] {
    const here = this.sessions.of(account.bare);
    if (this.elsewhere === undefined) return here;
    const there = this.elsewhere.of(account);
    if (there.length === 0) return here;
    return here.length === 0 ? there : together(this.elsewhere, here, there);
  }

  /** Whether any resource of an account (a bare JID's text) has sent available presence, on any node. */
  isAvailable(account: Jid): boolean {
    for (const session of this.sessions.of(account.bare)) if (session.presence !== undefined) return true;
    return this.elsewhere?.of(account).some((resource) => resource.available) ?? false;
  }

  /** The resource at a full JID, wherever it is bound. */
  resourceAt(jid: Jid): Resource | undefined {
    const here = this.sessions.find(jid);
    return here === undefined ? this.elsewhere?.find(jid) : (this.elsewhere?.onTheWay(jid) ?? here);
  }

  /** RFC 6120 section 10.5.3: the server itself is addressed. */
  #toHost(host: Host, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    if (stanza.kind === "iq") return answerIq(this, host, "server", stanza, origin);
    if (stanza.kind === "message" && stanza.type !== "error") throw new StanzaError("service-unavailable");
  }

  #toAccount(host: Host, to: Jid, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    if (to.resource !== "") {
      const resource = this.resourceAt(to);
      if (resource !== undefined) return this.#toResources(host, [resource], stanza, resource.account, origin);
    }
    switch (stanza.kind) {
      case "message":
        return this.#messageToAccount(host, to, stanza, origin);
      case "presence":
        return to.resource === "" ? this.#presenceToAccount(to, stanza, origin) : undefined;
      case "iq":
        if (to.resource !== "") throw new StanzaError("service-unavailable");
        return answerIq(this, host, "user", stanza, origin);
    }
  }

  /** Section 8.5.3.1 and the last step of the others. Resolves when the ways to other nodes have room again. */
  #toResources(
    host: Host,
    resources: readonly Resource[],
    stanza: Stanza,
    account: Jid,
    origin: Origin | undefined,
  ): MaybePromise<void> {
    const congested = deliverToAll(resources, stanza, origin);
    if (host.registry.stages.delivered[stanza.kind].length === 0) return congested;
    const done = this.#delivered(host, stanza, account, resources, origin);
    return congested === undefined ? done : congested.then(() => done);
  }

  #delivered(
    host: Host,
    stanza: Stanza,
    account: Jid,
    resources: readonly Resource[],
    origin: Origin | undefined,
  ): MaybePromise<void> {
    const handlers = host.registry.stages.delivered[stanza.kind];
    const done = runStage(handlers, stanza, account, resources, this, origin);
    if (done instanceof Promise) return done.then(() => undefined);
  }

  /** Section 8.5.2 for messages, and 8.5.3.2 where the full JID names no resource of ours. */
  #messageToAccount(host: Host, to: Jid, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    const account = to.resource === "" ? to : to.toBare();
    if (stanza.type === "groupchat") return this.#groupMessage(host, to, stanza, origin);
    if (stanza.type === "error") return this.dropped(stanza, "an error for no resource");

    const single = this.sessions.single(to.bare);
    if (single?.presence !== undefined && single.priority >= 0 && this.elsewhere?.has(account) !== true) {
      return this.#toResources(host, [single], stanza, account, origin);
    }
    const chosen = mostAvailable(this.resourcesOf(to), stanza.type === "headline");
    if (chosen.length > 0) return this.#toResources(host, chosen, stanza, account, origin);
    if (stanza.type === "headline") return this.dropped(stanza, "a headline for nobody available");
    return this.undelivered(host, stanza, account, origin);
  }

  /**
   * Section 8.5.2.1.1 refuses messages of groups, which know whom they talk to. Those of our own that know accounts alone (MUC Light) are
   * for all devices; who is away reads them in the archive.
   */
  #groupMessage(host: Host, to: Jid, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    const isOurs = stanza.from !== undefined && this.domains.has(stanza.from.domain);
    if (!isOurs || to.resource !== "") throw new StanzaError("service-unavailable");
    const chosen = mostAvailable(this.resourcesOf(to), true);
    if (chosen.length > 0) return this.#toResources(host, chosen, stanza, to, origin);
    return this.dropped(stanza, "a group's message for nobody available");
  }

  /** A message no session took: stored by whoever offers to, else refused. */
  undelivered(host: Host, stanza: Stanza, account: Jid, origin: Origin | undefined): MaybePromise<void> {
    const left = runStage(host.registry.stages.undelivered[stanza.kind], stanza, account, undefined, this, origin);
    if (left instanceof Promise) return left.then(refuse);
    refuse(left);
  }

  /**
   * A stanza its resource never got (XEP-0198 section 5): it is dealt with as though the resource had not been there. `origin` waits for
   * whatever makes it safe.
   */
  giveBack(stanza: Stanza, account: Jid, origin?: Origin): MaybePromise<void> {
    const host = this.hosts.get(account.domain);
    if (host === undefined || stanza.kind === "presence" || stanza.type === "error") return;
    if (stanza.kind === "iq") {
      return mayBounce(stanza) ? this.fail(stanza, new StanzaError("recipient-unavailable")) : undefined;
    }
    if (stanza.type === "groupchat" || stanza.type === "headline") return;
    // Of an answer to this very session, which is no message to the account.
    if (stanza.has("result", ns.mam) || stanza.has("result", ns.inbox)) return;
    // A copy of another resource's message has its original elsewhere.
    const carbon = stanza.has("sent", ns.carbons) || stanza.has("received", ns.carbons);
    if (carbon && stanza.from?.full === account.full) return;
    return this.redeliver(host, stanza, account, origin);
  }

  /** Takes a message to the account's other resources, or to whoever stores it; the "incoming" stage has run already. */
  redeliver(host: Host, stanza: Stanza, account: Jid, origin?: Origin): MaybePromise<void> {
    try {
      const done = this.#messageToAccount(host, account, stanza, origin);
      if (done instanceof Promise) return done.catch((error: unknown) => this.fail(stanza, error));
    } catch (error) {
      return this.fail(stanza, error);
    }
  }

  /** Section 8.5.2.1.2: presence to a bare JID goes to every available resource. */
  #presenceToAccount(to: Jid, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    let congested: Promise<void> | undefined;
    for (const resource of this.resourcesOf(to)) {
      if (resource.available) congested = resource.deliver(stanza, origin) ?? congested;
    }
    return congested;
  }

  /** Turns anything thrown into the one answer its sender gets; hides what is ours, logs it once. */
  fail(stanza: Stanza, error: unknown): MaybePromise<void> {
    const answer = toStanzaError(error);
    // A line of the log for each would make an overload worse.
    if (error instanceof StoreOverloaded) this.counters.overloaded++;
    else if (answer !== error) {
      this.counters.failures++;
      this.#log.error({ err: error, kind: stanza.kind, from: stanza.from?.full, to: stanza.to?.full }, "stanza failed");
    }
    if (!mayBounce(stanza) || stanza.from === undefined) return this.dropped(stanza, answer.message);
    this.counters.bounced++;
    this.#bounced(answer.condition);
    const bounce = errorOf(stanza, answer);
    const resource = this.resourceAt(stanza.from);
    if (resource !== undefined) return resource.deliver(bounce);
    const { domain } = stanza.from;
    if (this.hosts.has(domain) || this.domains.has(domain)) return this.route(bounce, undefined);
  }
}

/** Each address once: while a session moves, both its old and its new node have it. */
function together(elsewhere: OtherNodes, here: readonly Resource[], there: readonly Resource[]): Resource[] {
  const all = here.map((resource) => elsewhere.onTheWay(resource.jid) ?? resource);
  for (const one of there) if (!here.some(({ jid }) => jid.resource === one.jid.resource)) all.push(one);
  return all;
}

function refuse(left: Stanza | undefined): void {
  if (left !== undefined) throw new StanzaError("service-unavailable");
}

/** The non-negative resources of the highest priority; for a headline all non-negative ones (section 8.5.2.1.1). */
export function mostAvailable(resources: readonly Resource[], everyone: boolean): Resource[] {
  let top = 0;
  if (!everyone) {
    for (const { available, priority } of resources) if (available && priority > top) top = priority;
  }
  return resources.filter((resource) => resource.available && resource.priority >= top);
}

function deliverToAll(
  resources: readonly Resource[],
  stanza: Stanza,
  origin: Origin | undefined,
): Promise<void> | undefined {
  let congested: Promise<void> | undefined;
  for (const resource of resources) congested = resource.deliver(stanza, origin) ?? congested;
  return congested;
}
