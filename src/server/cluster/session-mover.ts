/**
 * Moves sessions to another node (DESIGN section 5, hand-over), so that nothing for them is lost, doubled or overtaken:
 *
 *   1. Their connections end, what modules hold back for them is written to their queues.
 *   2. `freeze` to all nodes: from now on each keeps what it has for these sessions, and answers `frozen` behind all it had sent before.
 *      So when all have answered, all that was sent is here. What comes from this node itself is kept here.
 *   3. The sessions travel as plain data to their new node (`take`), which has them in its tables before it answers.
 *   4. `moved` to all nodes: what they kept goes to the new place, and what follows too.
 *
 * When a step fails the sessions stay where they are, and what was kept is let go to them. When this node dies on the way, what others kept
 * is routed as for sessions that are gone.
 */
import type { FabricChannel } from "../../cluster/fabric/channel.ts";
import { RequestFailed } from "../../cluster/fabric/fabric.ts";
import type { Link } from "../../cluster/link.ts";
import type { Log } from "../../observe/log.ts";
import { runSessionEvent } from "../../router/from-client.ts";
import type { Host } from "../../router/host.ts";
import type { Router } from "../../router/route.ts";
import { stopFeed } from "../../session/feed.ts";
import type { Session, SessionOutlet } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { adoptSession, describeSession, type MovingSession } from "../../stream/hand-over.ts";
import type { StreamManagement } from "../../stream/management.ts";
import { managementOf, type SessionKeeper } from "../../stream/session-keeper.ts";
import type { Clock } from "../../util/clock.ts";
import {
  Call,
  type FetchCall,
  Frame,
  type FreezeFrame,
  jsonOf,
  type MovedFrame,
  type TakeCall,
  withJson,
} from "./frames.ts";
import { type Freezing, within } from "./freezing.ts";
import type { Place } from "./moving.ts";

/** What a step may take. */
const stepMs = 5_000;
const takeMs = 10_000;
/** What one `take` carries in queues, more or less; the fabric takes a few times that in one message. */
const partCharsMost = 2 * 1024 * 1024;
const fetchMs = 15_000;
/** A session that has just moved is in the tables of all within this time, or a few of it. */
const fetchAgainMs = 50;

/** Answers to a `fetch`. */
const Fetched = {
  /** There is no such session. */
  unknown: 0,
  /** It is with the asker now. */
  here: 1,
  /** It has just moved to another node, perhaps the asker: look again. */
  moved: 2,
} as const;

export interface SessionMoverParts {
  readonly router: Router;
  readonly keeper: SessionKeeper;
  readonly link: Link;
  readonly calls: FabricChannel;
  readonly clock: Clock;
  readonly log: Log;
  readonly freezing: Freezing;
  /** Whether sessions of other nodes move, or have moved lately. */
  readonly somethingMoves: () => boolean;
  /** Resolves when the move by which a session has come here is over; undefined when it is. */
  readonly whenArrived: (session: Session) => Promise<void> | undefined;
  /** Takes a stanza to a session of another node; resolves when it has arrived, or found another way. Never rejects. */
  readonly follow: (place: Place, stanza: Stanza) => Promise<void>;
  /** See `ClusterSessions.moved`. */
  readonly moved: (frame: MovedFrame) => void;
  /** Resolves when all other nodes know what this one has written to its tables, or have had time enough. */
  readonly told: () => Promise<void>;
  /** Tells other nodes now what this one has written to its tables. */
  readonly flushTables: () => void;
  /** Whether this node is on its way out: then nothing comes here any more. */
  readonly leaving: () => boolean;
}

/** The serial of a session that is there, though the answer that says so was lost. */
const unknown = -1;

/** Stands in for a session's queue while it moves. */
class HeldOutlet implements SessionOutlet {
  readonly held: Stanza[] = [];
  #onward: ((stanza: Stanza) => Promise<void>) | undefined;
  readonly before: StreamManagement;
  /** Milliseconds the session was to wait for its client. */
  readonly waitMs: number;

  constructor(before: StreamManagement, waitMs: number) {
    this.before = before;
    this.waitMs = waitMs;
  }

  write(_session: Session, stanza: Stanza): void {
    if (this.#onward === undefined) this.held.push(stanza);
    else void this.#onward(stanza);
  }

  /** The session is elsewhere: what was held goes there, and what comes later too. Resolves when what was held is there. */
  sendOn(onward: (stanza: Stanza) => Promise<void>): Promise<unknown> {
    this.#onward = onward;
    return Promise.all(this.held.splice(0).map(onward));
  }

  secure(stored: Promise<void>): void {
    this.before.secure(stored);
  }
}

export class SessionMover {
  /** Sessions that were taken, given, and were to be given and were not. */
  readonly counters = { in: 0, out: 0, failed: 0 };
  readonly #parts: SessionMoverParts;
  /** Sessions that are on their way, and what resolves when that is over. */
  readonly #moving = new Map<Session, Promise<unknown>>();
  /** Those that another node has in its tables, whether or not it has answered yet. */
  readonly #arrived = new Set<Session>();

  constructor(parts: SessionMoverParts) {
    this.#parts = parts;
  }

  /** Another node has a session at the address of one of ours. True when that is the very session, which is on its way there. */
  superseded(session: Session): boolean {
    if (!this.#moving.has(session)) return false;
    this.#arrived.add(session);
    return true;
  }

  /**
   * Brings a session here from whichever node has it; see `OtherNodes.fetch`. `nodesOf` says on which an account has sessions now. Where
   * it moves just then it is waited for.
   */
  async fetch(resumeId: string, account: Jid, nodesOf: () => ReadonlySet<number>): Promise<boolean> {
    const { clock, keeper, router } = this.#parts;
    const started = clock.monotonic();
    for (;;) {
      const leaving = router.sessions.of(account.bare).find((session) => this.#moving.has(session));
      if (leaving !== undefined) await this.#moving.get(leaving);
      if (keeper.resumptions.find(resumeId, account.bare) !== undefined) return true;
      let wait = leaving !== undefined;
      for (const node of nodesOf()) {
        const answer = await this.#ask(node, resumeId, account);
        if (answer === Fetched.here) return true;
        if (answer === Fetched.moved) wait = true;
      }
      if (!wait && !this.#parts.somethingMoves()) return false;
      if (clock.monotonic() - started > fetchMs) return false;
      await new Promise<void>((resolve) => clock.after(fetchAgainMs, resolve));
    }
  }

  async #ask(node: number, resumeId: string, account: Jid): Promise<number> {
    try {
      const call: FetchCall = { resumeId, account: account.bare };
      const answer = await this.#parts.calls.request(node, withJson(Call.fetch, call), fetchMs);
      return answer[0] ?? Fetched.unknown;
    } catch (error) {
      this.#parts.log.warn({ err: error, node, jid: account.bare }, "a session could not be fetched");
      return Fetched.unknown;
    }
  }

  /** Resolves when no session is on its way that is now, and what came for it has been sent after it. */
  async settled(): Promise<void> {
    await Promise.all(this.#moving.values());
  }

  /** Another node asks for one of our sessions. */
  async fetched(asker: number, bytes: Uint8Array): Promise<Uint8Array> {
    const { resumeId, account } = jsonOf<FetchCall>(bytes);
    const found = this.#parts.keeper.resumptions.find(resumeId, account, true);
    if (found === undefined) return Uint8Array.of(Fetched.unknown);
    const moving = this.#moving.get(found.session);
    if (moving !== undefined) {
      await moving;
      return Uint8Array.of(Fetched.moved);
    }
    return Uint8Array.of((await this.give([found.session], asker)) === 1 ? Fetched.here : Fetched.unknown);
  }

  /** Sessions come. They are in the tables of all who hear of it later than of the answer. */
  async taken(bytes: Uint8Array): Promise<Uint8Array> {
    if (this.#parts.leaving()) throw new RequestFailed("this node is on its way out too");
    const { sessions } = jsonOf<TakeCall>(bytes);
    const serials: number[] = [];
    for (const moving of sessions) {
      try {
        const session = await adoptSession(this.#parts.router, this.#parts.keeper, moving);
        if (session !== undefined) this.counters.in++;
        serials.push(session?.serial ?? 0);
      } catch (error) {
        this.#parts.log.error({ err: error, jid: moving.jid }, "a session could not be taken over");
        serials.push(0);
      }
    }
    // Else a node would hear that the old place is gone before it hears of the new one, and find nobody in between.
    await this.#parts.told();
    return new TextEncoder().encode(JSON.stringify(serials));
  }

  /** Moves what of these sessions can move; resolves to how many have. Never rejects. */
  async give(sessions: readonly Session[], target: number): Promise<number> {
    const { log } = this.#parts;
    const movable = sessions.filter(
      (session) => managementOf(session)?.resumeId !== undefined && !this.#moving.has(session),
    );
    if (movable.length === 0) return 0;
    const move = this.#parts.freezing.next();
    const { promise, resolve } = Promise.withResolvers<void>();
    const { resumptions } = this.#parts.keeper;
    for (const session of movable) {
      this.#moving.set(session, promise);
      resumptions.moving(managementOf(session)!.resumeId!, true);
    }
    let moved = 0;
    try {
      moved = await this.#give(move, movable, target);
    } catch (error) {
      log.warn({ err: error, node: target, sessions: movable.length }, "sessions could not be moved");
    } finally {
      for (const session of movable) {
        this.#moving.delete(session);
        const id = managementOf(session)?.resumeId;
        // It may have come back already, as another session.
        if (id === undefined || resumptions.find(id, session.account.bare, true)?.session !== session) continue;
        resumptions.moving(id, false);
      }
      resolve();
    }
    this.counters.out += moved;
    this.counters.failed += movable.length - moved;
    return moved;
  }

  async #give(move: number, movable: readonly Session[], target: number): Promise<number> {
    // A session that has just come is not moved on before all nodes are told where it is: of two moves each keeps the order, not both at once.
    await within(this.#parts.clock, stepMs, Promise.all(movable.map((session) => this.#parts.whenArrived(session))));
    for (const session of movable) session.link?.part();
    await within(this.#parts.clock, stepMs, Promise.all(movable.map((session) => managementOf(session)?.settled())));
    for (const session of movable) {
      const refused = stopFeed(
        session,
        new StanzaError("resource-constraint", { text: "Your session moves: ask again" }),
      );
      if (refused !== undefined) await refused;
      await runSessionEvent(this.#parts.router, session.host as Host, "leaving", session);
    }
    const peers = [...this.#parts.calls.peers.keys()];
    const freeze: FreezeFrame = { move, serials: movable.map((session) => session.serial) };
    const outlets = new Map<Session, HeldOutlet>();
    const there = new Map<Session, number>();
    const life = this.#parts.calls.peers.get(target);
    try {
      await this.#parts.freezing.freeze(move, peers, withJson(Frame.freeze, freeze));
      await this.#take(movable, target, outlets, there);
    } finally {
      // Also after a failure: an answer may be lost, and the sessions there all the same; unless that node is gone, and they with it.
      const lives = life !== undefined && this.#parts.calls.peers.get(target)?.incarnation === life.incarnation;
      for (const session of movable)
        if (this.#arrived.delete(session) && lives && !there.has(session)) there.set(session, unknown);
      // Whoever wrote to these sessions here may have moved meanwhile, and writes from elsewhere as soon as its node hears of the move.
      await this.#sendOn(target, there, outlets);
      // Before the tables forget the old places: until a peer has heard this, it keeps what is for them, and nothing overtakes that.
      const staying = movable.filter((session) => !there.has(session));
      if (there.size > 0) {
        const moved: MovedFrame = { move, target, serials: serialsOf([...there.keys()], there) };
        this.#tell(peers, moved);
        this.#parts.moved(moved);
      }
      if (staying.length > 0) this.#tell(peers, { move, target: undefined, serials: serialsOf(staying, there) });
      await this.#settle(there, outlets);
      this.#parts.flushTables();
    }
    let count = 0;
    for (const serial of there.values()) if (serial !== 0) count++;
    return count;
  }

  /**
   * Sends the sessions, and notes in `there` their serials there, 0 for one that was not wanted. What cannot move is left out: one whose queue
   * alone is too large for a message stays, and keeps no other from moving.
   */
  async #take(
    movable: readonly Session[],
    target: number,
    outlets: Map<Session, HeldOutlet>,
    there: Map<Session, number>,
  ): Promise<void> {
    const { keeper } = this.#parts;
    const described = new Map<Session, MovingSession>();
    for (const session of movable) {
      const moving = describeSession(keeper, session);
      const management = managementOf(session);
      if (moving === undefined || management === undefined) continue;
      // Its time stands still: it must not be given up on the way.
      keeper.resumptions.attached(moving.resumeId);
      outlets.set(session, new HeldOutlet(management, moving.waitMs));
      session.outlet = outlets.get(session);
      described.set(session, moving);
    }
    let failure: unknown;
    for (const part of inParts(described)) {
      try {
        await this.#takePart(part, described, target, there);
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  async #takePart(
    part: readonly Session[],
    described: ReadonlyMap<Session, MovingSession>,
    target: number,
    there: Map<Session, number>,
  ): Promise<void> {
    const sessions = part.map((session) => described.get(session)!);
    const question = withJson(Call.take, { sessions } satisfies TakeCall);
    const answer = await this.#parts.calls.request(target, question, takeMs);
    const serials = JSON.parse(new TextDecoder().decode(answer)) as number[];
    for (const [at, session] of part.entries()) there.set(session, serials[at] ?? 0);
  }

  /** From now on what is for these sessions goes to their new places, behind what was held for them; resolves when that is there. */
  async #sendOn(target: number, there: Map<Session, number>, outlets: Map<Session, HeldOutlet>): Promise<void> {
    const incarnation = this.#parts.calls.peers.get(target)?.incarnation ?? 0;
    const arrived: Promise<unknown>[] = [];
    for (const [session, outlet] of outlets) {
      const serial = there.get(session) ?? 0;
      if (serial <= 0) continue;
      arrived.push(outlet.sendOn((stanza) => this.#parts.follow({ node: target, incarnation, serial }, stanza)));
    }
    await within(this.#parts.clock, stepMs, Promise.all(arrived)).catch((error: unknown) => {
      this.#parts.log.warn({ err: error, node: target }, "what was held for moved sessions may come late");
    });
  }

  /** Lets go of sessions that are elsewhere, and gives those that stay what came for them meanwhile. */
  async #settle(there: Map<Session, number>, outlets: Map<Session, HeldOutlet>): Promise<void> {
    const { keeper, router } = this.#parts;
    const settled = [...outlets].map(async ([session, outlet]) => {
      const serial = there.get(session);
      if (serial === undefined) {
        session.outlet = outlet.before;
        keeper.resumptions.waitFor(outlet.before.resumeId!, outlet.waitMs);
        for (const stanza of outlet.held) session.write(stanza);
        return;
      }
      if (serial > 0) return keeper.release(session, outlet.before);
      session.outlet = outlet.before;
      // The client has bound its address anew there: what it has not got yet goes to it as to anybody.
      if (serial === 0) await keeper.end(session, "replaced");
      else await keeper.release(session, outlet.before);
      for (const stanza of outlet.held) await router.giveBack(stanza, session.account);
    });
    await Promise.all(settled);
  }

  #tell(peers: readonly number[], frame: MovedFrame): void {
    for (const peer of peers) {
      if (this.#parts.calls.peers.has(peer)) this.#send(peer, withJson(Frame.moved, frame));
    }
  }

  #send(node: number, bytes: Uint8Array): void {
    // A node that is down keeps nothing.
    this.#parts.link.send(node, bytes, false)?.catch(() => undefined);
  }
}

/** Sessions that fit one message, in order. */
function inParts(described: ReadonlyMap<Session, MovingSession>): Session[][] {
  const parts: Session[][] = [];
  let chars = 0;
  for (const [session, { unacknowledged }] of described) {
    const own = unacknowledged.reduce((sum, text) => sum + text.length, 0);
    if (parts.length === 0 || chars + own > partCharsMost) {
      parts.push([]);
      chars = 0;
    }
    parts.at(-1)!.push(session);
    chars += own;
  }
  return parts;
}

function serialsOf(sessions: readonly Session[], there: ReadonlyMap<Session, number>): Record<string, number> {
  return Object.fromEntries(sessions.map((session) => [session.serial, Math.max(0, there.get(session) ?? 0)]));
}
