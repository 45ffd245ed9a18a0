/** Binds resources and ends sessions: the one place where the session table changes. */
import type { MaybePromise } from "../hooks/effect.ts";
import type { SessionEnd } from "../hooks/points.ts";
import type { Log } from "../observe/log.ts";
import { becomeUnavailable, runSessionEvent } from "../router/from-client.ts";
import type { Host } from "../router/host.ts";
import type { Router } from "../router/route.ts";
import { stopFeed } from "../session/feed.ts";
import { marks, type Resource } from "../session/resource.ts";
import { Session, type SessionLink } from "../session/session.ts";
import { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { delayElement } from "../stanza/reply.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { Clock } from "../util/clock.ts";
import { type ManagementLimits, StreamManagement } from "./management.ts";
import { ResumptionTable } from "./resumption-table.ts";

export interface SessionKeeperLimits {
  /** Resources one account may have bound; one more closes the oldest. */
  readonly sessionsPerAccountMax: (account: Jid) => number;
  /** Whether there is such an account, which nobody removes just now. */
  readonly isOpen: (account: Jid) => MaybePromise<boolean>;
  /** Sessions of which `h` is remembered after their end. */
  readonly rememberedMax: number;
  /** See `ManagementLimits`. */
  readonly unacknowledgedBytesMax: number;
}

/** XEP-0198 as a host offers it. */
export interface ManagementOffer {
  readonly limits: ManagementLimits;
  /** How long a session waits for its client; 0 when it does not. */
  readonly resumeTimeoutMs: number;
}

export class SessionKeeper {
  readonly resumptions: ResumptionTable;
  readonly #router: Router;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: SessionKeeperLimits;
  #serial = 0;

  constructor(router: Router, clock: Clock, log: Log, limits: SessionKeeperLimits) {
    this.#log = log;
    this.#router = router;
    this.#clock = clock;
    this.#limits = limits;
    this.resumptions = new ResumptionTable(clock, limits.rememberedMax, ({ session }) => {
      void this.end(session, "lost");
    });
  }

  /**
   * Binds a full JID. A session that holds it already is closed with `<conflict/>` (RFC 6120 section 7.7.2.2: the newer
   * wins), and so is the oldest when the account has too many. Throws `StreamError` when the account has been removed since its client
   * logged in.
   */
  bind(host: Host, jid: Jid, link: SessionLink): MaybePromise<Session> {
    const open = this.#limits.isOpen(jid.toBare());
    return open instanceof Promise
      ? open.then((settled) => this.#bind(host, jid, link, settled))
      : this.#bind(host, jid, link, open);
  }

  #bind(host: Host, jid: Jid, link: SessionLink, open: boolean): MaybePromise<Session> {
    if (!open) throw new StreamError("not-authorized", "The account was removed");
    const replaced: Resource[] = [];
    const same = this.#router.resourceAt(jid);
    if (same !== undefined) replaced.push(same);
    else {
      const all = this.#router.resourcesOf(jid);
      if (all.length >= this.#limits.sessionsPerAccountMax(jid.toBare())) {
        replaced.push(all.reduce((oldest, resource) => (resource.startedAt < oldest.startedAt ? resource : oldest)));
      }
    }
    const session = new Session(this.nextSerial(), jid, host, link, this.#clock.now());
    if (replaced.length === 0) return this.#open(host, session);
    return Promise.all(replaced.map((old) => this.replace(old))).then(() => this.#open(host, session));
  }

  #open(host: Host, session: Session): MaybePromise<Session> {
    this.#router.sessions.add(session);
    this.#router.elsewhere?.opened(session);
    const opened = runSessionEvent(this.#router, host, "opened", session);
    return opened instanceof Promise ? opened.then(() => session) : session;
  }

  /** Closes a session for a newer one at its full JID. */
  replace(resource: Resource): Promise<void> {
    return this.close(resource, new StreamError("conflict", "Replaced by a new connection"), "replaced");
  }

  /** Closes a session, on whichever node, with an error its client is told; ends it also where no stream carries it. */
  async close(resource: Resource, error: StreamError, how: SessionEnd): Promise<void> {
    if (!(resource instanceof Session)) return this.#router.elsewhere?.close(resource, error, how);
    // The session is over before its stream is, so that it ends for this reason.
    const { link } = resource;
    const ended = this.end(resource, how);
    link?.close(error);
    await ended;
  }

  /** The session is over: contacts learn it, modules forget it, what the client never got finds another way. */
  end(session: Session, how: SessionEnd): MaybePromise<void> {
    if (!this.#router.sessions.remove(session)) return;
    this.#router.elsewhere?.ended(session);
    session.link = undefined;
    void stopFeed(session);
    const management = managementOf(session);
    if (management?.resumeId !== undefined) this.resumptions.remove(management.resumeId);
    return this.#wind(session, how, management?.unacknowledged ?? []);
  }

  async #wind(session: Session, how: SessionEnd, unacknowledged: readonly Stanza[]): Promise<void> {
    const host = session.host as Host;
    await becomeUnavailable(this.#router, host, session);
    await runSessionEvent(this.#router, host, "ended", session, how);
    for (const stanza of unacknowledged) await this.#giveBack(session, stanza);
  }

  /** Messages that were written long ago say so when they find another way. */
  async #giveBack(session: Session, stanza: Stanza): Promise<void> {
    const { domain } = session.host;
    const plain = stanza.kind !== "message" || stanza.has("delay", ns.delay);
    const delayed = plain ? stanza : stanza.withChild("delay", ns.delay, delayElement(domain, this.#clock.now()));
    await this.#router.giveBack(delayed, session.account);
  }

  /**
   * The stream of a session is gone. With stream management the session waits to be resumed, otherwise it ends. `moves`: we have ended it,
   * since the session is about to move to another node.
   */
  lost(session: Session, waitMs: number, moves = false): MaybePromise<void> {
    const management = managementOf(session);
    if (management?.resumeId === undefined) return this.end(session, "lost");
    session.link = undefined;
    session.mark(marks.detached, true);
    management.detach();
    this.#watch(session, management);
    this.resumptions.waitFor(management.resumeId, waitMs);
    return runSessionEvent(this.#router, session.host as Host, "detached", session, moves);
  }

  /** A session has come from another node; it waits here for its client. Its address is free. */
  adopt(session: Session, management: StreamManagement, waitMs: number): MaybePromise<void> {
    session.outlet = management;
    this.#watch(session, management);
    this.#router.sessions.add(session);
    this.resumptions.add(management.resumeId!, session, management);
    this.resumptions.waitFor(management.resumeId!, waitMs);
    this.#router.elsewhere?.opened(session);
    return runSessionEvent(this.#router, session.host as Host, "arrived", session);
  }

  /** A session has moved to another node: nothing of it ends, it is only here no more. */
  release(session: Session, management: StreamManagement): MaybePromise<void> {
    if (!this.#router.sessions.remove(session)) return;
    this.#router.elsewhere?.ended(session);
    this.resumptions.forget(management.resumeId!);
    return runSessionEvent(this.#router, session.host as Host, "left", session);
  }

  /** While nobody reads what is kept for it, a session may not grow for ever. */
  #watch(session: Session, management: StreamManagement): void {
    management.overflowedAway = () => {
      this.#log.info({ jid: session.jid.full }, "more waits for a client that is away than is kept; its session ends");
      void this.end(session, "lost");
    };
  }

  /** Undefined where the host has no stream management. */
  managementOffer(host: Host): ManagementOffer | undefined {
    const options = host.moduleOptions("mod_stream_management") as
      | { readonly bufferMax: number; readonly ackFreq: number; readonly resumeTimeoutMs: number }
      | undefined;
    if (options === undefined) return undefined;
    const { unacknowledgedBytesMax } = this.#limits;
    const limits = { unacknowledgedMax: options.bufferMax, unacknowledgedBytesMax, requestEvery: options.ackFreq };
    return { limits, resumeTimeoutMs: options.resumeTimeoutMs };
  }

  /** A number no other session of this process has. */
  nextSerial(): number {
    return ++this.#serial;
  }

  /** Ends every session of an account with this error, such as when the account is removed. */
  async closeAll(account: Jid, error: StreamError, how: SessionEnd): Promise<number> {
    const resources = [...this.#router.resourcesOf(account)];
    for (const resource of resources) await this.close(resource, error, how);
    return resources.length;
  }

  stop(): void {
    this.resumptions.stop();
  }
}

/** XEP-0198's state of a session; undefined while its client has not enabled it. */
export function managementOf(session: Session): StreamManagement | undefined {
  const { outlet } = session;
  if (outlet instanceof StreamManagement) return outlet;
  return outlet?.before instanceof StreamManagement ? outlet.before : undefined;
}
