/** A session as plain data, and a session of it again: what moves when a session goes from one node to another (DESIGN section 5). */
import type { Host } from "../router/host.ts";
import type { Router } from "../router/route.ts";
import { Session } from "../session/session.ts";
import { parseJid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { type Stanza, stanzaFromFrame } from "../stanza/stanza.ts";
import { parseFrame } from "../xml/scanner.ts";
import { StreamManagement } from "./management.ts";
import { managementOf, type SessionKeeper } from "./session-keeper.ts";

/** A session that moves. Stanzas are XML; times are milliseconds. */
export interface MovingSession {
  readonly jid: string;
  /** Since the epoch. */
  readonly startedAt: number;
  readonly userAgent: string | undefined;
  readonly presence: string | undefined;
  readonly priority: number;
  readonly marks: number;
  /** By the names of modules' slots. */
  readonly slots: Readonly<Record<string, unknown>>;
  readonly resumeId: string;
  readonly received: number;
  readonly sent: number;
  readonly unacknowledged: readonly string[];
  /** How long it still waits for its client. */
  readonly waitMs: number;
}

/** Undefined when it cannot move: it has a stream, or cannot be resumed, or is over. */
export function describeSession(keeper: SessionKeeper, session: Session): MovingSession | undefined {
  const management = managementOf(session);
  const waitMs = management?.resumeId === undefined ? undefined : keeper.resumptions.waitsFor(management.resumeId);
  if (management === undefined || waitMs === undefined || management.settled() !== undefined) return undefined;
  const { resumeId, received, sent, unacknowledged } = management.describe();
  return {
    jid: session.jid.full,
    startedAt: session.startedAt,
    userAgent: session.userAgent,
    presence: session.presence?.toXml(),
    priority: session.priority,
    marks: session.marks,
    slots: session.describeSlots(),
    resumeId,
    received,
    sent,
    unacknowledged: unacknowledged.map((stanza) => stanza.toXml()),
    waitMs,
  };
}

/**
 * Takes a session in. Undefined when this node does not serve its domain, or has a session at the address already (the client has bound
 * it anew meanwhile), or the data make no session.
 */
export async function adoptSession(
  router: Router,
  keeper: SessionKeeper,
  moving: MovingSession,
): Promise<Session | undefined> {
  const jid = parseJid(moving.jid);
  const host: Host | undefined = jid === undefined ? undefined : router.hosts.get(jid.domain);
  const offer = host === undefined ? undefined : keeper.managementOffer(host);
  if (jid === undefined || host === undefined || offer === undefined) return undefined;
  if (router.sessions.find(jid) !== undefined) return undefined;
  const session = new Session(keeper.nextSerial(), jid, host, undefined, moving.startedAt);
  session.userAgent = moving.userAgent;
  session.restore(stanzaOf(moving.presence), moving.priority, moving.marks, moving.slots);
  const management = StreamManagement.restore(
    {
      resumeId: moving.resumeId,
      received: moving.received,
      sent: moving.sent,
      unacknowledged: moving.unacknowledged.map(stanzaOf).filter((stanza) => stanza !== undefined),
    },
    offer.limits,
  );
  await keeper.adopt(session, management, moving.waitMs);
  return session;
}

function stanzaOf(text: string | undefined): Stanza | undefined {
  return text === undefined ? undefined : stanzaFromFrame(parseFrame(text, undefined, ns.client));
}
