/**
 * This node's part of the cluster: its tables, the link, and what the rest of the house sees of other nodes. Made before the hosts, joined
 * once they are there, since the first thing another node may say is a stanza.
 */
import { WireError } from "../../cluster/bytes.ts";
import type { ClusterFabric } from "../../cluster/fabric/engine.ts";
import type { NodeIdentity } from "../../cluster/fabric/fabric.ts";
import type { GoneOwner } from "../../cluster/gone-owners.ts";
import { Link } from "../../cluster/link.ts";
import { Replicator } from "../../cluster/replicator.ts";
import { SessionDirectory } from "../../cluster/session-directory.ts";
import type { Placement } from "../../hooks/placement.ts";
import type { Log } from "../../observe/log.ts";
import { runClusterEvent } from "../../router/from-client.ts";
import type { Router } from "../../router/route.ts";
import { marks } from "../../session/resource.ts";
import { Jid } from "../../stanza/jid.ts";
import { StanzaBytesError } from "../../stanza/stanza-bytes.ts";
import type { SessionKeeper } from "../../stream/session-keeper.ts";
import type { Clock } from "../../util/clock.ts";
import type { Randomness } from "../../util/random.ts";
import type { ModuleCluster } from "../install-modules.ts";
import { ClusterSessions } from "./cluster-sessions.ts";
import { Call, Frame, type FrozenFrame, withJson } from "./frames.ts";
import { Freezing } from "./freezing.ts";
import { Notices } from "./notices.ts";
import type { PlaceMover } from "./place-mover.ts";
import { Placements } from "./placements.ts";
import { SessionMover } from "./session-mover.ts";

/** Channels of the fabric; the numbers travel between nodes. */
const Channel = { tables: 0, link: 1, calls: 2 } as const;

/** A client's answer waits no longer than this for other nodes to know. */
const toldMs = 1_000;
/** What moves waits longer: a node that does not know its new place when the old one goes takes it for gone. */
const toldBeforeMoveMs = 4_000;

/** Sessions whose end is told, or that are shown again, in one go. */
const chunkSessions = 200;

export interface ClusterNodeParts {
  readonly fabric: ClusterFabric;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  /** Calls its argument once, at the end of this turn of the event loop. */
  readonly atTurnEnd: (run: () => void) => void;
  /** Bytes that may be on their way to a node without its acknowledgement. */
  readonly windowBytes?: number;
  /** How long the records of a silent node are kept for its return, milliseconds. */
  readonly keepGoneMs?: number;
}

/** Answers a question of another node's administration. */
export type AdminAnswerer = (question: Uint8Array) => Promise<Uint8Array>;

export class ClusterNode implements ModuleCluster {
  readonly fabric: ClusterFabric;
  readonly replicator: Replicator;
  readonly directory: SessionDirectory;
  readonly link: Link;
  /** Frames and calls that were not understood. */
  refused = 0;
  /** Sessions that could not move when this node was drained. */
  closedByDrain = 0;
  /** The page of metrics, for another process of this machine. */
  answerMetrics: () => Promise<string> = () => Promise.reject(new Error("no page of metrics here"));
  /** Resolves when this node has written what it had to write. */
  write: () => Promise<void> = () => Promise.resolve();
  answerAdmin: AdminAnswerer = () => Promise.reject(new Error("no administration here"));
  readonly #parts: ClusterNodeParts;
  readonly #notices = new Notices();
  readonly #placements: Placements;
  #draining = false;
  readonly #complained = new Set<string>();
  #writing: Promise<boolean> | undefined = undefined;
  #writingNext: Promise<boolean> | undefined = undefined;
  #router: Router | undefined = undefined;
  #sessions: ClusterSessions | undefined = undefined;
  #mover: SessionMover | undefined = undefined;

  constructor(parts: ClusterNodeParts) {
    const { fabric, clock, random, log } = parts;
    this.#parts = parts;
    this.fabric = fabric;
    this.#placements = new Placements(clock);
    this.directory = new SessionDirectory({
      clock,
      random,
      log,
      superseded: (serial, by) => this.#sessions?.superseded(serial, by),
    });
    this.replicator = new Replicator({
      channel: fabric.channel(Channel.tables),
      clock,
      log,
      atTurnEnd: parts.atTurnEnd,
      keepGoneMs: parts.keepGoneMs,
      events: {
        gone: (owner) => this.#ownerGone(owner),
        clean: (owner) => this.#clean(owner),
        returned: (owner) => void this.#healed(owner),
      },
    });
    this.link = new Link({
      channel: fabric.channel(Channel.link),
      log,
      atTurnEnd: parts.atTurnEnd,
      windowBytes: parts.windowBytes,
    });
  }

  get nodeNumber(): number {
    return this.fabric.self.number;
  }

  get aheadMs(): number {
    return this.fabric.aheadMs;
  }

  notices(topic: string, heard: (key: string | undefined) => void): (key: string) => void {
    return this.#notices.on(topic, heard);
  }

  told(): undefined | Promise<void> {
    if (this.fabric.peers.size === 0) return undefined;
    this.replicator.flush();
    // Not over the link, whose acknowledgements may wait for what is being dealt with there.
    return this.#askAll(Call.seen, toldMs).then(() => undefined);
  }

  async #toldBeforeMove(): Promise<void> {
    this.replicator.flush();
    await this.#askAll(Call.seen, toldBeforeMoveMs);
  }

  written(): undefined | Promise<boolean> {
    if (this.fabric.peers.size === 0) return undefined;
    if (this.#writing === undefined) {
      this.#writing = this.#askAll(Call.write, toldMs).finally(() => {
        this.#writing = undefined;
      });
      return this.#writing;
    }
    // What is asked for now may be younger than what is under way: all who ask meanwhile share the next.
    this.#writingNext ??= this.#writing.then(() => {
      this.#writingNext = undefined;
      return this.written() ?? true;
    });
    return this.#writingNext;
  }

  /** A question that all answer with nothing; whether all have. A node that does not is gone, or as good as. */
  async #askAll(call: number, waitMs: number): Promise<boolean> {
    const calls = this.fabric.channel(Channel.calls);
    const all = Array.from(this.fabric.peers.keys(), (node) =>
      calls.request(node, Uint8Array.of(call), waitMs).then(
        () => true,
        () => false,
      ),
    );
    return (await Promise.all(all)).every((answered) => answered);
  }

  placement(name: string): Placement {
    return this.#placements.placement(name);
  }

  /** The channel of questions between nodes. */
  get callsChannel(): number {
    return Channel.calls;
  }

  /** Rejects with `RequestFailed`. */
  async metricsOf(node: number, waitMs: number): Promise<string> {
    const page = await this.fabric.channel(Channel.calls).request(node, Uint8Array.of(Call.metrics), waitMs);
    return new TextDecoder().decode(page);
  }

  get noticeCounters(): Readonly<Notices["counters"]> {
    return this.#notices.counters;
  }

  get mover(): SessionMover {
    return this.#mover!;
  }

  /** The hosts are ready: from now on their sessions are known to other nodes. Resolves when the fabric carries. */
  async join(router: Router, keeper: SessionKeeper): Promise<void> {
    const { clock, log } = this.#parts;
    const calls = this.fabric.channel(Channel.calls);
    const freezing = new Freezing({ clock, send: (node, bytes) => this.#sendRare(node, bytes) });
    const sessions = new ClusterSessions({
      router,
      keeper,
      directory: this.directory,
      link: this.link,
      clock,
      log,
      freezing,
      nodeNumber: this.nodeNumber,
      peers: () => this.fabric.peers.keys(),
      lifeOf: (number) => (number === this.nodeNumber ? this.fabric.self : this.fabric.peers.get(number ?? 0)),
    });
    const mover = new SessionMover({
      router,
      keeper,
      link: this.link,
      calls,
      clock,
      log,
      freezing,
      somethingMoves: () => sessions.somethingMoves,
      whenArrived: (session) => sessions.whenArrived(session),
      follow: (place, stanza) => sessions.follow(place, stanza),
      moved: (frame) => sessions.moved(frame),
      told: () => this.#toldBeforeMove(),
      flushTables: () => this.replicator.flush(),
      leaving: () => this.#draining,
    });
    sessions.mover = mover;
    this.#router = router;
    this.#sessions = sessions;
    this.#mover = mover;
    router.elsewhere = sessions;
    this.replicator.add(this.directory);
    this.#placements.join({
      replicator: this.replicator,
      link: this.link,
      calls,
      router,
      freezing,
      log,
      sessionsSettled: () => sessions.settled(),
      tablesTold: () => this.#toldBeforeMove(),
    });
    this.replicator.start();
    this.link.listen({ frame: (from, bytes) => this.#guarded(from, () => this.#frame(from, bytes)) });
    this.#notices.join(calls);
    calls.listen({
      message: (from, bytes) => void this.#guarded(from, () => this.#notices.message(bytes)),
      request: (from, bytes) => this.#call(from, bytes),
      peerUp: (peer, returned) => {
        if (returned) this.#notices.missed();
        if (this.#draining) this.#sendRare(peer.number, Uint8Array.of(Frame.draining));
      },
      peerDown: (peer) => {
        freezing.nodeGone(peer.number);
        sessions.nodeGone(peer.number);
        this.#placements.nodeGone(peer.number);
      },
      gap: (from, missed) => {
        log.warn({ node: from.name, missed }, "messages of a node were lost; tables are compared, stanzas sent again");
        this.#notices.missed();
      },
    });
    await this.fabric.start();
  }

  /** This node is on its way out: nothing is to be made here any more, by anybody. Resolves when the others know, or have had the time. */
  async leave(): Promise<void> {
    this.#draining = true;
    this.#placements.leaving.add(this.nodeNumber);
    for (const node of this.fabric.peers.keys()) this.#sendRare(node, Uint8Array.of(Frame.draining));
    await this.told();
  }

  /** Nodes that others may be given: up, and not on their way out themselves. */
  get stayingPeers(): readonly NodeIdentity[] {
    return [...this.fabric.peers.values()].filter(({ number }) => !this.#placements.leaving.has(number));
  }

  /** Moves the things of this node, such as rooms, to others; resolves to how many. Never rejects. */
  moveThings(avoid: (node: string) => boolean, untilMonotonic: number): Promise<number> {
    return this.#placements.moveAll(avoid, untilMonotonic);
  }

  get placeMover(): PlaceMover {
    return this.#placements.mover;
  }

  /** What is of no use to a node that is down. */
  #sendRare(node: number, bytes: Uint8Array): void {
    this.link.send(node, bytes, false)?.catch((error: unknown) => {
      this.#parts.log.debug({ err: error, node }, "a frame found no node");
    });
  }

  async stop(): Promise<void> {
    this.replicator.stop();
    await this.fabric.stop();
  }

  #frame(from: NodeIdentity, bytes: Uint8Array): void | Promise<void> {
    switch (bytes[0]) {
      case Frame.forward:
        return this.#placements.forwarded(bytes);
      case Frame.draining:
        this.#placements.leaving.add(from.number);
        return undefined;
      case Frame.freezePlaces:
        return this.#placements.mover.freeze(from, bytes, (move) =>
          this.#sendRare(from.number, withJson(Frame.frozen, { move } satisfies FrozenFrame)),
        );
      case Frame.movedPlaces:
        return this.#placements.mover.moved(bytes);
    }
    const done = this.#sessions!.frame(from, bytes);
    if (done === "unknown") throw new WireError(`a frame of kind ${bytes[0]}`);
    return done;
  }

  async #call(from: NodeIdentity, bytes: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.#answer(from, bytes);
    } catch (error) {
      if (error instanceof WireError) this.#refuse(from, error);
      throw error;
    }
  }

  async #answer(from: NodeIdentity, bytes: Uint8Array): Promise<Uint8Array> {
    switch (bytes[0]) {
      case Call.fetch:
        return this.#mover!.fetched(from.number, bytes);
      case Call.take:
        return this.#mover!.taken(bytes);
      case Call.admin:
        return this.answerAdmin(bytes);
      case Call.takePlace:
        return this.#placements.mover.taken(bytes);
      case Call.askPlace:
        return this.#placements.asked(bytes);
      case Call.seen:
        // What was written to tables may have been lost, and be on its way for the second time.
        await this.replicator.whenTold(from.number);
        return new Uint8Array(0);
      case Call.write:
        await this.write();
        return new Uint8Array(0);
      case Call.metrics:
        return new TextEncoder().encode(await this.answerMetrics());
      default:
        throw new WireError(`a call of kind ${bytes[0]}`);
    }
  }

  /** What another node says may be of a version to come, or wrong: it is counted, told once of each node, and left. */
  #guarded(from: NodeIdentity, handle: () => void | Promise<void>): void | Promise<void> {
    try {
      return handle();
    } catch (error) {
      if (!(error instanceof WireError || error instanceof StanzaBytesError)) throw error;
      this.#refuse(from, error);
    }
  }

  #refuse(from: NodeIdentity, error: Error): void {
    this.refused++;
    const key = `${from.name} ${from.incarnation}`;
    if (this.#complained.has(key)) return;
    this.#complained.add(key);
    this.#parts.log.warn({ node: from.name, version: from.version, err: error }, "a node sent what is not understood");
  }

  // Nodes that go and come back.

  #ownerGone(owner: NodeIdentity): void {
    this.#inBackground(this.#tellLost(owner, false, () => true));
  }

  #clean(owner: GoneOwner): Promise<void> {
    return this.#tellLost(owner.identity, true, () => owner.pending);
  }

  /** Tells modules of every session a node had. */
  async #tellLost(owner: NodeIdentity, first: boolean, goOn: () => boolean): Promise<void> {
    const router = this.#router!;
    for (const page of this.directory.pagesOf(owner)) {
      for (const { local, domain, resource, marks: bits } of page) {
        if (!goOn()) return;
        const host = router.hosts.get(domain);
        const jid = Jid.make(local, domain, resource);
        if (host === undefined || jid === undefined) continue;
        // It may have logged in again elsewhere before we knew.
        if (router.resourceAt(jid) !== undefined) continue;
        const available = (bits & marks.available) !== 0;
        try {
          await runClusterEvent(router, host, "lost", { jid, available }, first);
        } catch (error) {
          this.#parts.log.warn({ err: error, jid: jid.full }, "the end of a lost session could not be told");
        }
      }
      await this.#pause();
    }
  }

  /** Sessions here are shown again to those who are back. */
  async #healed(owner: NodeIdentity): Promise<void> {
    const router = this.#router!;
    const isBack = (account: Jid): boolean => {
      let back = false;
      this.directory.forEach(account, (entry) => {
        back ||= entry.owner.number === owner.number && entry.owner.incarnation === owner.incarnation;
      });
      return back;
    };
    let told = 0;
    for (const session of [...router.sessions.all()]) {
      if (!session.available) continue;
      try {
        const host = router.hosts.get(session.account.domain)!;
        await runClusterEvent(router, host, "healed", session, isBack);
      } catch (error) {
        this.#parts.log.warn({ err: error, jid: session.jid.full }, "presence could not be shown again");
      }
      if (++told % chunkSessions === 0) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.after(1, resolve));
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => this.#parts.log.error({ err: error }, "dealing with a lost node failed"));
  }
}
