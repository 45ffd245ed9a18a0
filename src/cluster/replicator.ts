/**
 * Keeps tables equal on all nodes that can talk to each other (DESIGN section 5). Every record has an owner, one life of one node, and
 * only the owner writes it; everybody reads its own copy. How it is used:
 *
 *     const replicator = new Replicator({ channel: fabric.channel(2), clock, log, atTurnEnd: queueMicrotask, events });
 *     replicator.add(new SessionDirectory({ … }));              // and any KeyedTable; all before the start
 *     replicator.start();                                       // takes the channel for its own
 *     replicator.expect(numbersOfPeersByDiscovery);             // from then on `ready` may become true
 *     replicator.stop();
 *
 * What the messages are, says table-protocol.ts; how a copy is repaired, peer-table.ts; who cleans up after the dead, gone-owners.ts.
 */
import type { Log } from "../observe/log.ts";
import type { Clock, Timer } from "../util/clock.ts";
import { rendezvous } from "../util/rendezvous.ts";
import { ByteReader, type ByteWriter, WireError } from "./bytes.ts";
import type { FabricChannel } from "./fabric/channel.ts";
import { type NodeIdentity, type PeerDownReason, sameLife } from "./fabric/fabric.ts";
import { GoneOwner, GoneOwners } from "./gone-owners.ts";
import { OwnTable } from "./own-table.ts";
import { PeerTable, type PeerTableActions, type PeerTablePhase } from "./peer-table.ts";
import {
  type Life,
  lifeKey,
  readLife,
  startMessage,
  TableMessage,
  tableProtocolVersion,
  writeLife,
} from "./table-protocol.ts";
import { ownSlot, type TableStore } from "./table-store.ts";

/** What becomes of other nodes. `gone` comes before `clean` or `returned` of the same life. */
export interface OwnerEvents {
  /** The owner is down and its records are out of all reads. On every survivor, at once. */
  gone?(owner: NodeIdentity, reason: PeerDownReason): void;
  /**
   * This node alone does the side effects (unavailable presence and the like). The records can be read by the tables' `pagesOf` until this
   * settles; stop when `owner.pending` turns false.
   */
  clean?(owner: GoneOwner): Promise<void> | void;
  /** An owner that was gone is back in the same life, and its records are in all reads again. */
  returned?(owner: NodeIdentity): void;
  /** `ready` has become true. */
  ready?(): void;
}

export interface ReplicatorOptions {
  readonly channel: FabricChannel;
  readonly clock: Clock;
  readonly log: Log;
  /** Calls its argument once, at the end of this turn of the event loop: then all that was written in it leaves. */
  readonly atTurnEnd: (run: () => void) => void;
  readonly events?: OwnerEvents;
  readonly digestEveryMs?: number;
  /** How long the records of an owner that fell silent are kept for its return. */
  readonly keepGoneMs?: number;
  readonly messageBytes?: number;
  readonly chunksAhead?: number;
  readonly logBytesMax?: number;
}

export interface ReplicatorCounters {
  /** Messages of an unknown version or kind, or cut short. */
  refused: number;
  /** Messages for a table that this node does not have. */
  unknownTables: number;
  /** Entries that a table did not understand. */
  malformedEntries: number;
  ownersGone: number;
  ownersReturned: number;
  ownersCleaned: number;
}

/** How one table of one owner stands here. */
export interface TableState {
  readonly table: string;
  readonly owner: NodeIdentity;
  readonly own: boolean;
  readonly phase: PeerTablePhase | "gone";
  readonly records: number;
  readonly bytes: number;
  /** The owner's last write that is here. */
  readonly seq: number;
  /** Its writes that are not here, as far as is known. */
  readonly behind: number;
  readonly gaps: number;
  readonly repairs: number;
  readonly snapshots: number;
}

interface Peer {
  readonly identity: NodeIdentity;
  readonly tables: Map<string, PeerTable>;
  /** Tables that the peer has too; undefined before its first digest. */
  shared: Set<string> | undefined;
  /** It was told as gone, and its return has not been told yet. */
  returning: boolean;
  /** Called when nothing that it wrote is missing here, as far as is known, or it is down. */
  readonly waiting: (() => void)[];
}

const tickMs = 1000;

export class Replicator {
  readonly counters: ReplicatorCounters = {
    refused: 0,
    unknownTables: 0,
    malformedEntries: 0,
    ownersGone: 0,
    ownersReturned: 0,
    ownersCleaned: 0,
  };
  readonly #channel: FabricChannel;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #options: ReplicatorOptions;
  readonly #events: OwnerEvents;
  readonly #own = new Map<string, OwnTable>();
  /** Peers that are up, by number. */
  readonly #peers = new Map<number, Peer>();
  /** What peers that are gone have left, by life. */
  readonly #left = new Map<string, Peer>();
  readonly #gone: GoneOwners;
  #timer: Timer | undefined = undefined;
  readonly #keepGoneMs: number;
  #flushScheduled = false;
  #digestIn: number;
  #expected: Set<number> | undefined = undefined;
  #ready = false;
  #stopped = false;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#clock = options.clock;
    this.#log = options.log.child({ part: "replicator" });
    this.#events = options.events ?? {};
    this.#keepGoneMs = options.keepGoneMs ?? 60_000;
    this.#digestIn = options.digestEveryMs ?? 5000;
    this.#gone = new GoneOwners(this.#channel.self, {
      now: () => this.#clock.monotonic(),
      isUp: (life) => this.#peers.get(life.number)?.identity.incarnation === life.incarnation,
      nominate: (node, life, lastResort) => this.#sendLife(node, TableMessage.nominate, life, lastResort),
      refuse: (node, life, why) => this.#sendLife(node, TableMessage.cannot, life, why === "partial"),
      announceCleaned: (lives, node) => this.#announceCleaned(lives, node),
      clean: (owner) => this.#clean(owner),
    });
  }

  /** Takes a table; all of them before the start. */
  add(store: TableStore): void {
    if (this.#own.has(store.name)) throw new Error(`two tables named ${store.name}`);
    const limits = {
      messageBytes: this.#options.messageBytes ?? 32 * 1024,
      chunksAhead: this.#options.chunksAhead ?? 4,
      logBytesMax: this.#options.logBytesMax ?? 4 * 1024 * 1024,
    };
    this.#own.set(store.name, new OwnTable(store, this.#channel, limits, () => this.#flushLater()));
  }

  start(): void {
    this.#timer = this.#clock.every(tickMs, () => this.#tick());
    this.#channel.listen({
      message: (from, bytes) => this.#message(from, bytes),
      request: () => Promise.reject(new Error("the replicator answers no requests")),
      peerUp: (peer) => this.#peerUp(peer),
      peerDown: (peer, reason) => this.#peerDown(peer, reason),
      gap: (from) => this.#lost(from),
    });
  }

  /** True once all expected peers' tables have been in sync; it stays true. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Whether all tables of all peers that are up are in sync at this moment. */
  get inSync(): boolean {
    for (const peer of this.#peers.values()) if (!this.#synced(peer)) return false;
    return true;
  }

  /** The peers that `ready` waits for, by number; call again when some of them turn out to be dead. */
  expect(numbers: Iterable<number>): void {
    this.#expected = new Set(numbers);
    this.#expected.delete(this.#channel.self.number);
    this.#checkReady();
  }

  /** Peers that are expected and not in sync yet: what readiness waits for. */
  get awaited(): number[] {
    return [...(this.#expected ?? [])].filter((number) => {
      const peer = this.#peers.get(number);
      return peer === undefined || !this.#synced(peer);
    });
  }

  /**
   * Resolves when all is here that a peer had written to its tables before its last message, or it is down; undefined when it is so now. Losses
   * are repaired as ever.
   */
  whenTold(node: number): Promise<void> | undefined {
    const peer = this.#peers.get(node);
    if (peer === undefined || isWhole(peer)) return undefined;
    return new Promise((resolve) => void peer.waiting.push(resolve));
  }

  /** This node. */
  get self(): NodeIdentity {
    return this.#channel.self;
  }

  /**
   * The node through which a key that must be unique is created; this node's number when it is this one. Those that are to be avoided
   * are chosen only when there is no other.
   */
  createVia(key: string, avoid?: ReadonlySet<number>): number {
    const all = [this.#channel.self.number, ...this.#peers.keys()];
    if (avoid === undefined || avoid.size === 0) return rendezvous(key, all)!;
    return (
      rendezvous(
        key,
        all.filter((number) => !avoid.has(number)),
      ) ?? rendezvous(key, all)!
    );
  }

  /** Sends what was written in this turn now. */
  flush(): void {
    this.#flushScheduled = false;
    if (this.#stopped) return;
    for (const table of this.#own.values()) table.flush();
  }

  stop(): void {
    this.flush();
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** How every table of every owner stands, own ones included. */
  *states(): Generator<TableState> {
    for (const own of this.#own.values()) {
      yield {
        table: own.store.name,
        owner: this.#channel.self,
        own: true,
        phase: "synced",
        records: own.store.ownDigest().count,
        bytes: own.store.bytes(ownSlot),
        seq: own.seq,
        behind: 0,
        gaps: 0,
        repairs: own.repairsGiven,
        snapshots: own.snapshotsGiven,
      };
    }
    for (const peer of this.#peers.values()) yield* statesOf(peer, false);
    for (const peer of this.#left.values()) yield* statesOf(peer, true);
  }

  // From the fabric.

  #message(from: NodeIdentity, bytes: Uint8Array): void {
    if (this.#stopped) return;
    const peer = this.#peers.get(from.number);
    if (peer === undefined || !sameLife(peer.identity, from)) {
      this.counters.refused++;
      return;
    }
    try {
      this.#handle(peer, new ByteReader(bytes));
    } catch (error) {
      // Anything else is a fault of ours, which the fabric logs.
      if (!(error instanceof WireError)) throw error;
      this.#refuse(from, error);
    }
  }

  #peerUp(identity: NodeIdentity): void {
    if (this.#stopped) return;
    const known = this.#peers.get(identity.number);
    if (known !== undefined) {
      if (sameLife(known.identity, identity)) {
        this.#sendDigests(identity.number);
        return;
      }
      this.#peerDown(known.identity, "replaced");
    }
    const key = lifeKey(identity);
    const gone = this.#gone.returned(identity);
    const left = this.#left.get(key);
    this.#left.delete(key);
    const peer = left ?? { identity, tables: new Map(), shared: undefined, returning: false, waiting: [] };
    peer.returning = gone !== undefined;
    peer.shared = undefined;
    this.#peers.set(identity.number, peer);
    for (const own of this.#own.values()) {
      const table = peer.tables.get(own.store.name);
      if (table !== undefined) table.returned();
      else peer.tables.set(own.store.name, new PeerTable(identity, own.store, this.#actionsFor(identity)));
    }
    this.#sendDigests(identity.number);
  }

  #peerDown(identity: NodeIdentity, reason: PeerDownReason): void {
    if (this.#stopped) return;
    const peer = this.#peers.get(identity.number);
    if (peer === undefined || !sameLife(peer.identity, identity)) return;
    const complete = this.#synced(peer);
    this.#peers.delete(identity.number);
    this.#left.set(lifeKey(identity), peer);
    for (const table of peer.tables.values()) table.hide();
    for (const resolve of peer.waiting.splice(0)) resolve();
    for (const own of this.#own.values()) own.peerDown(identity.number);
    this.counters.ownersGone++;
    this.#call(() => this.#events.gone?.(identity, reason));
    this.#gone.peerDown(identity);
    const owner = new GoneOwner(identity, reason, complete, this.#clock.monotonic());
    this.#gone.add(
      owner,
      [...this.#peers.values()].map(({ identity: up }) => up),
    );
    this.#checkReady();
  }

  #lost(from: NodeIdentity): void {
    const peer = this.#peers.get(from.number);
    if (this.#stopped || peer === undefined || !sameLife(peer.identity, from)) return;
    let wanted = false;
    for (const table of peer.tables.values()) if (table.messagesLost()) wanted = true;
    if (wanted) this.#wantDigest(from.number);
  }

  // The messages.

  #handle(peer: Peer, reader: ByteReader): void {
    const version = reader.u8();
    const kind = reader.u8();
    if (version !== tableProtocolVersion) {
      this.#refuse(peer.identity, new WireError(`version ${version}`));
      return;
    }
    const { number, incarnation } = peer.identity;
    switch (kind) {
      case TableMessage.writes: {
        const table = this.#tableOf(peer, reader.text());
        table?.writes(reader.u48(), reader.u16(), reader);
        return;
      }
      case TableMessage.digests:
        this.#digests(peer, reader);
        return;
      case TableMessage.digestPlease:
        this.#sendDigests(number);
        for (const table of peer.tables.values()) table.ownerLost();
        return;
      case TableMessage.ask: {
        const table = this.#ownTable(reader.text());
        const request = reader.u32();
        const have = reader.u8() === 1 ? reader.u48() : undefined;
        if (table?.asked(number, incarnation, request, have) === true) this.#sendDigests(number);
        return;
      }
      case TableMessage.chunk: {
        const table = this.#tableOf(peer, reader.text());
        table?.chunk(reader.u32(), reader.u32(), reader.u8() === 1, reader.u48(), reader.u16(), reader);
        this.#progress(peer);
        return;
      }
      case TableMessage.more: {
        const table = this.#ownTable(reader.text());
        if (table?.more(number, incarnation, reader.u32(), reader.u32()) === true) this.#sendDigests(number);
        return;
      }
      case TableMessage.nominate:
        this.#gone.nominated(number, readLife(reader), reader.u8() === 1);
        return;
      case TableMessage.cannot:
        this.#gone.refused(number, readLife(reader), reader.u8() === 1 ? "partial" : "unknown");
        return;
      case TableMessage.cleaned: {
        const lives = Array.from({ length: reader.u16() }, () => readLife(reader));
        this.#gone.cleaned(lives);
        return;
      }
      default:
        this.#refuse(peer.identity, new WireError(`message ${kind}`));
    }
  }

  #digests(peer: Peer, reader: ByteReader): void {
    const shared = new Set<string>();
    for (let count = reader.u16(); count > 0; count--) {
      const name = reader.text();
      const seq = reader.u48();
      const digest = { count: reader.u32(), hashA: reader.u32(), hashB: reader.u32() };
      const table = this.#tableOf(peer, name);
      if (table === undefined) continue;
      shared.add(name);
      table.digest(seq, digest);
    }
    peer.shared = shared;
    this.#progress(peer);
  }

  /** A peer may have come into sync. */
  #progress(peer: Peer): void {
    if (peer.waiting.length > 0 && isWhole(peer)) for (const resolve of peer.waiting.splice(0)) resolve();
    if ((!peer.returning && this.#ready) || !this.#synced(peer)) return;
    if (peer.returning) {
      peer.returning = false;
      this.counters.ownersReturned++;
      this.#call(() => this.#events.returned?.(peer.identity));
    }
    this.#checkReady();
  }

  #synced(peer: Peer): boolean {
    if (peer.shared === undefined) return false;
    for (const name of peer.shared) if (peer.tables.get(name)?.phase !== "synced") return false;
    return true;
  }

  #checkReady(): void {
    if (this.#ready || this.#expected === undefined || !this.inSync) return;
    for (const number of this.#expected) if (!this.#peers.has(number)) return;
    this.#ready = true;
    this.#call(() => this.#events.ready?.());
  }

  #tableOf(peer: Peer, name: string): PeerTable | undefined {
    const table = peer.tables.get(name);
    if (table === undefined) this.counters.unknownTables++;
    return table;
  }

  #ownTable(name: string): OwnTable | undefined {
    const table = this.#own.get(name);
    if (table === undefined) this.counters.unknownTables++;
    return table;
  }

  #sendDigests(node: number | undefined): void {
    this.flush();
    const out = startMessage(TableMessage.digests, 256);
    out.u16(this.#own.size);
    for (const table of this.#own.values()) table.writeDigest(out);
    if (node === undefined) this.#channel.broadcast(out.copy());
    else this.#channel.send(node, out.copy());
  }

  #wantDigest(node: number): void {
    this.#channel.send(node, startMessage(TableMessage.digestPlease, 2).copy());
  }

  #sendLife(node: number, kind: number, life: Life, flag: boolean): void {
    const out = startMessage(kind);
    writeLife(out, life);
    out.u8(flag ? 1 : 0);
    this.#channel.send(node, out.copy());
  }

  #announceCleaned(lives: readonly Life[], node: number | undefined): void {
    const out: ByteWriter = startMessage(TableMessage.cleaned);
    out.u16(lives.length);
    for (const life of lives) writeLife(out, life);
    if (node === undefined) this.#channel.broadcast(out.copy());
    else this.#channel.send(node, out.copy());
  }

  #actionsFor(owner: NodeIdentity): PeerTableActions {
    return {
      now: () => this.#clock.monotonic(),
      ask: (table, request, have) => {
        const out = startMessage(TableMessage.ask);
        out.text(table);
        out.u32(request);
        out.u8(have === undefined ? 0 : 1);
        if (have !== undefined) out.u48(have);
        this.#log.debug({ table, node: owner.number, have }, "asked for what is missing of a table");
        this.#channel.send(owner.number, out.copy());
      },
      more: (table, request, chunk) => {
        const out = startMessage(TableMessage.more);
        out.text(table);
        out.u32(request);
        out.u32(chunk);
        this.#channel.send(owner.number, out.copy());
      },
      failed: (table, err) => {
        this.counters.malformedEntries++;
        if (err instanceof WireError) this.#log.debug({ table, node: owner.number, err }, "entry not understood");
        else this.#log.error({ table, node: owner.number, err }, "taking in an entry of a table failed");
      },
    };
  }

  #refuse(from: NodeIdentity, err: WireError): void {
    this.counters.refused++;
    this.#log.debug({ node: from.number, err }, "message of the replicator not understood");
  }

  #clean(owner: GoneOwner): Promise<void> | void {
    this.counters.ownersCleaned++;
    this.#log.info(
      { node: owner.identity.name, number: owner.identity.number, incarnation: owner.identity.incarnation },
      "cleaning up after a node that is gone",
    );
    const failed = (err: unknown) =>
      this.#log.error({ node: owner.identity.name, err }, "cleaning up after a node has failed");
    try {
      return this.#events.clean?.(owner)?.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #tick(): void {
    this.#digestIn -= tickMs;
    if (this.#digestIn <= 0) {
      this.#digestIn = this.#options.digestEveryMs ?? 5000;
      if (this.#peers.size > 0) this.#sendDigests(undefined);
    }
    for (const [number, peer] of this.#peers) {
      let wanted = false;
      for (const table of peer.tables.values()) {
        const shared = peer.shared?.has(table.store.name) ?? true;
        if (shared && table.tick()) wanted = true;
      }
      if (wanted) this.#wantDigest(number);
    }
    this.#gone.tick();
    this.#sweepLeft();
  }

  /** Drops what is cleaned up and does not come back. */
  #sweepLeft(): void {
    const now = this.#clock.monotonic();
    for (const owner of this.#gone.values()) {
      if (owner.pending || (owner.reason === "silent" && now - owner.since < this.#keepGoneMs)) continue;
      const key = lifeKey(owner.identity);
      for (const table of this.#left.get(key)?.tables.values() ?? []) table.drop();
      this.#left.delete(key);
      this.#gone.forget(owner);
    }
  }

  #flushLater(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#options.atTurnEnd(this.#flushTurn);
  }

  readonly #flushTurn = (): void => {
    if (this.#flushScheduled) this.flush();
  };

  #call(event: () => void): void {
    try {
      event();
    } catch (err) {
      this.#log.error({ err }, "a user of the replicated tables has failed");
    }
  }
}

/** Tables that the peer does not have do not count, nor those that come in for the first time, which takes long: nobody waits for a node that joins. */
function isWhole({ shared, tables }: Peer): boolean {
  for (const [name, table] of tables) {
    if (shared?.has(name) === false || !table.known) continue;
    if (table.phase !== "synced" || table.doubtful) return false;
  }
  return true;
}

function* statesOf(peer: Peer, gone: boolean): Generator<TableState> {
  for (const table of peer.tables.values()) {
    yield {
      table: table.store.name,
      owner: peer.identity,
      own: false,
      phase: gone ? "gone" : table.phase,
      records: table.store.digest(table.slot).count,
      bytes: table.store.bytes(table.slot),
      seq: table.seq ?? 0,
      behind: table.behind,
      gaps: table.gaps,
      repairs: table.repairs,
      snapshots: table.snapshots,
    };
  }
}
