/** Binds resources and ends sessions: the one place where the session table changes. */
import type { MaybePromise } from "../hooks/effect.ts";
import type { SessionEnd } from "../hooks/points.ts";
import { becomeUnavailable, runSessionEvent } from "../router/from-client.ts";
import type { Host } from "../router/host.ts";
import type { Router } from "../router/route.ts";
import { Session, type SessionLink } from "../session/session.ts";
import { StanzaError, StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { delayElement, mayBounce } from "../stanza/reply.ts";
import { Stanza } from "../stanza/stanza.ts";
import type { Clock } from "../util/clock.ts";
import { ownText } from "../xml/scanner.ts";
import { StreamManagement } from "./management.ts";
import { ResumptionTable } from "./resumption-table.ts";

export interface SessionKeeperLimits {
  /** Resources one account may have bound; one more closes the oldest. */
  readonly sessionsPerAccountMax: (account: Jid) => number;
  /** Sessions of which `h` is remembered after their end. */
  readonly rememberedMax: number;
}

export class SessionKeeper {
  readonly resumptions: ResumptionTable;
  readonly #router: Router;
  readonly #clock: Clock;
  readonly #limits: SessionKeeperLimits;
  #serial = 0;

  constructor(router: Router, clock: Clock, limits: SessionKeeperLimits) {
    this.#router = router;
    this.#clock = clock;
    this.#limits = limits;
    this.resumptions = new ResumptionTable(clock, limits.rememberedMax, ({ session }) => {
      void this.end(session, "lost");
    });
  }

  /**
   * Binds a full JID. A session that holds it already is closed with `<conflict/>` (RFC 6120 section 7.7.2.2: the newer
   * wins), and so is the oldest when the account has too many.
   */
  bind(host: Host, jid: Jid, link: SessionLink): MaybePromise<Session> {
    const replaced: Session[] = [];
    const same = this.#router.sessions.find(jid);
    if (same !== undefined) replaced.push(same);
    else {
      const all = this.#router.sessions.of(jid.bare);
      if (all.length >= this.#limits.sessionsPerAccountMax(jid.toBare())) {
        replaced.push(all.reduce((oldest, session) => (session.serial < oldest.serial ? session : oldest)));
      }
    }
    const session = new Session(++this.#serial, jid, host, link, this.#clock.now());
    if (replaced.length === 0) return this.#open(host, session);
    return Promise.all(replaced.map((old) => this.replace(old))).then(() => this.#open(host, session));
  }

  #open(host: Host, session: Session): MaybePromise<Session> {
    this.#router.sessions.add(session);
    const opened = runSessionEvent(this.#router, host, "opened", session);
    return opened instanceof Promise ? opened.then(() => session) : session;
  }

  /** Closes a session for a newer one at its full JID. */
  async replace(session: Session): Promise<void> {
    session.link?.close(new StreamError("conflict", "Replaced by a new connection"));
    await this.end(session, "replaced");
  }

  /** Closes a session with an error its client is told; ends it also where no stream carries it. */
  async close(session: Session, error: StreamError, how: SessionEnd): Promise<void> {
    session.link?.close(error);
    await this.end(session, how);
  }

  /** The session is over: contacts learn it, modules forget it, what the client never got finds another way. */
  end(session: Session, how: SessionEnd): MaybePromise<void> {
    if (!this.#router.sessions.remove(session)) return;
    session.link = undefined;
    const management = session.outlet instanceof StreamManagement ? session.outlet : undefined;
    if (management?.resumeId !== undefined) this.resumptions.remove(management.resumeId);
    return this.#wind(session, how, management?.unacknowledged ?? []);
  }

  async #wind(session: Session, how: SessionEnd, unacknowledged: readonly Stanza[]): Promise<void> {
    const host = session.host as Host;
    await becomeUnavailable(this.#router, host, session);
    await runSessionEvent(this.#router, host, "ended", session, how);
    for (const stanza of unacknowledged) await this.#redeliver(host, session, stanza);
  }

  /** XEP-0198 section 5: what was never acknowledged is dealt with as though the resource had not been there. */
  async #redeliver(host: Host, session: Session, stanza: Stanza): Promise<void> {
    if (stanza.kind === "presence" || stanza.type === "error") return;
    if (stanza.kind === "iq") {
      if (mayBounce(stanza)) await this.#router.fail(stanza, new StanzaError("recipient-unavailable"));
      return;
    }
    // A copy of another resource's message has its original elsewhere.
    if (
      stanza.from?.full === session.account.full &&
      (stanza.has("sent", ns.carbons) || stanza.has("received", ns.carbons))
    )
      return;
    if (stanza.type === "groupchat" || stanza.type === "headline") return;
    const delayed = stanza.has("delay", ns.delay)
      ? stanza
      : stanza.withChild("delay", ns.delay, delayElement(host.domain, this.#clock.now()));
    await this.#router.redeliver(host, delayed, session.account);
  }

  /**
   * The stream of a session is gone. With stream management the session waits to be resumed, otherwise it ends.
   */
  lost(session: Session, waitMs: number): MaybePromise<void> {
    const management = session.outlet instanceof StreamManagement ? session.outlet : undefined;
    if (management?.resumeId === undefined) return this.end(session, "lost");
    session.link = undefined;
    management.detach(ownStanza);
    this.resumptions.waitFor(management.resumeId, waitMs);
    return runSessionEvent(this.#router, session.host as Host, "detached", session);
  }

  /** Ends every session of an account with this error, such as when the account is removed. */
  async closeAll(account: Jid, error: StreamError, how: SessionEnd): Promise<number> {
    const sessions = [...this.#router.sessions.of(account.bare)];
    for (const session of sessions) await this.close(session, error, how);
    return sessions.length;
  }

  stop(): void {
    this.resumptions.stop();
  }
}

/** A copy that keeps no chunk of the network alive. */
function ownStanza(stanza: Stanza): Stanza {
  return new Stanza(
    stanza.kind,
    stanza.to,
    stanza.from,
    stanza.type,
    stanza.id === undefined ? undefined : ownText(stanza.id),
    ownText(stanza.extra),
    ownText(stanza.inner),
    undefined,
  );
}
