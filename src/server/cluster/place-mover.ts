/**
 * Moves things that live in the memory of one node, such as online rooms, to another, so that nothing to them or of them is lost, doubled or
 * overtaken:
 *
 *   1. `freezePlaces` to all nodes: from now on each keeps what it has for these keys, and answers `frozen` behind all it had sent before.
 *      So when all have answered, all that was sent is here. What this node itself has for them is kept here from then on.
 *   2. What is under way in a thing comes to its end, and what it has sent is dealt with by the nodes it went to. So nothing that it says at its
 *      new node can overtake what it has said here.
 *   3. Each thing travels as plain data to its new node (`takePlace`), which has it in its tables before it answers.
 *   4. `movedPlaces` to all nodes: what they kept goes to the new node, and what follows too. So does what was kept here.
 *
 * When a step fails the things stay, and what was kept is let go to them. When this node dies on the way, what others kept is routed anew.
 */
import type { FabricChannel } from "../../cluster/fabric/channel.ts";
import type { NodeIdentity } from "../../cluster/fabric/fabric.ts";
import type { Link } from "../../cluster/link.ts";
import type { MovableThings } from "../../hooks/placement.ts";
import type { Log } from "../../observe/log.ts";
import type { Origin } from "../../session/resource.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Clock } from "../../util/clock.ts";
import {
  Call,
  Frame,
  type FreezePlacesFrame,
  jsonOf,
  type MovedPlacesFrame,
  type TakePlaceCall,
  withJson,
} from "./frames.ts";
import { type Freezing, within } from "./freezing.ts";

/** What a step may take; a node that takes longer is as good as gone. */
const stepMs = 5_000;
const takeMs = 10_000;
/** What found its node gone is routed anew after this: tables may forget a node later than the link. */
const rerouteMs = 20;
/** How long the new node of a thing is known; the tables have it long before. */
const forwardMs = 10_000;

export interface PlaceMoverParts {
  readonly link: Link;
  readonly calls: FabricChannel;
  readonly clock: Clock;
  readonly log: Log;
  readonly freezing: Freezing;
  /** What can be moved under this key. */
  readonly things: (place: string, key: string) => MovableThings | undefined;
  /** The node that holds the key, as the tables have it. */
  readonly holder: (place: string, key: string) => number | undefined;
  /** Hands a stanza to that node, or to this one; resolves when it is dealt with. Never rejects. */
  readonly sendTo: (node: number, stanza: Stanza) => Promise<void>;
  /** Takes a stanza to wherever its thing is found; resolves when it is dealt with. Never rejects. */
  readonly route: (stanza: Stanza) => Promise<void>;
  /** Resolves when all that this node has had so far for sessions of others is dealt with there. */
  readonly sessionsSettled: () => Promise<void>;
  /** Tells other nodes now what this one has written to its tables. */
  readonly flushTables: () => void;
  /** Resolves when all others know what this node has written to its tables, or have had the time. */
  readonly tablesTold: () => Promise<void>;
  /** Whether this node is on its way out: then nothing comes here any more. */
  readonly leaving: () => boolean;
}

interface Waiting {
  readonly stanza: Stanza;
  readonly settle: (dealtWith: Promise<void>) => void;
}

/** What is for a thing that moves, in the order in which it came. */
export class KeptForThing {
  /** The node it moves away from. */
  readonly from: number;
  readonly stanzas: Waiting[] = [];
  readonly #whenOver: Promise<void>;
  readonly over: () => void;

  constructor(from: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.from = from;
    this.#whenOver = promise;
    this.over = resolve;
  }

  /** Whoever sends more waits until the move is over. */
  forward(stanza: Stanza, origin: Origin | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.stanzas.push({ stanza, settle: resolve as (dealtWith: Promise<void>) => void });
    origin?.secure(promise);
    return this.#whenOver;
  }
}

export class PlaceMover {
  /** Things that were taken, given, and were to be given and were not. */
  readonly counters = { in: 0, out: 0, failed: 0 };
  readonly #parts: PlaceMoverParts;
  readonly #kept = new Map<string, KeptForThing>();
  readonly #forwards = new Map<string, number>();
  /** Things of this node that move, and those of them that another node has in its tables. */
  readonly #leaving = new Set<string>();
  readonly #arrived = new Set<string>();

  constructor(parts: PlaceMoverParts) {
    this.#parts = parts;
  }

  /** Whether nothing moves and nothing has moved lately: the usual case, in which no other question is needed. */
  get idle(): boolean {
    return this.#kept.size === 0 && this.#forwards.size === 0;
  }

  /** What takes stanzas for a thing that moves just now. */
  keeping(place: string, key: string): KeptForThing | undefined {
    return this.#kept.get(idOf(place, key));
  }

  /** Where a thing is that has moved lately. */
  nodeNow(place: string, key: string): number | undefined {
    return this.#forwards.get(idOf(place, key));
  }

  /** Another node claims a key of this one. True when that is the very thing, which is on its way there. */
  superseded(place: string, key: string): boolean {
    const id = idOf(place, key);
    if (!this.#leaving.has(id)) return false;
    this.#arrived.add(id);
    return true;
  }

  /** Moves what of these can move; resolves to how many have. Never rejects. */
  async give(place: string, keys: readonly string[], target: number): Promise<number> {
    const { freezing, calls, clock, log } = this.#parts;
    const self = calls.self.number;
    const peers = [...calls.peers.keys()];
    const there: string[] = [];
    for (const key of keys) this.#leaving.add(idOf(place, key));
    try {
      const move = freezing.next();
      await freezing.freeze(
        move,
        peers,
        withJson(Frame.freezePlaces, { move, place, keys } satisfies FreezePlacesFrame),
      );
      for (const key of keys) this.#kept.set(idOf(place, key), new KeptForThing(self));
      const packed = await Promise.all(keys.map((key) => this.#pack(place, key)));
      await within(clock, stepMs, this.#parts.sessionsSettled());
      const taken = await Promise.all(
        packed.map((data, at) => (data === undefined ? false : this.#take(place, keys[at]!, data, target))),
      );
      there.push(...keys.filter((_, at) => taken[at]));
    } catch (error) {
      log.warn({ err: error, node: target, place, things: keys.length }, "things could not be moved");
    }
    const staying = keys.filter((key) => !there.includes(key));
    for (const key of keys) this.#parts.things(place, key)?.settled(key, there.includes(key));
    this.#parts.flushTables();
    if (there.length > 0) this.#over(peers, { place, target, keys: there });
    if (staying.length > 0) this.#over(peers, { place, target: undefined, keys: staying });
    this.counters.out += there.length;
    return there.length;
  }

  /** Undefined when there is nothing to move, or nothing that can. */
  async #pack(place: string, key: string): Promise<unknown> {
    try {
      return await this.#parts.things(place, key)?.pack(key);
    } catch (error) {
      this.counters.failed++;
      this.#parts.log.warn({ err: error, place, key }, "a thing cannot move");
      return undefined;
    }
  }

  async #take(place: string, key: string, data: unknown, target: number): Promise<boolean> {
    const { calls, log, holder } = this.#parts;
    const life = calls.peers.get(target);
    let taken = false;
    try {
      const question = withJson(Call.takePlace, { place, key, data } satisfies TakePlaceCall);
      const answer = await calls.request(target, question, takeMs);
      taken = JSON.parse(new TextDecoder().decode(answer)) === true;
    } catch (error) {
      log.warn({ err: error, node: target, place, key }, "a thing could not be handed over");
    }
    // The answer may be lost, and the thing there all the same; unless that node is gone, and the thing with it.
    const lives = life !== undefined && calls.peers.get(target)?.incarnation === life.incarnation;
    taken ||= lives && (this.#arrived.has(idOf(place, key)) || holder(place, key) === target);
    if (!taken) this.counters.failed++;
    return taken;
  }

  /** Tells all nodes how a move has ended, and lets go what was kept here. */
  #over(peers: readonly number[], frame: MovedPlacesFrame): void {
    const bytes = withJson(Frame.movedPlaces, frame);
    for (const peer of peers) {
      // A node that is down keeps nothing.
      if (this.#parts.calls.peers.has(peer)) this.#parts.link.send(peer, bytes, false)?.catch(() => undefined);
    }
    for (const key of frame.keys) {
      this.#leaving.delete(idOf(frame.place, key));
      this.#arrived.delete(idOf(frame.place, key));
    }
    this.#letGo(frame);
  }

  // Of other nodes.

  /** Things of `from` are about to move; `answer` says that from now on they are kept. */
  freeze(from: NodeIdentity, bytes: Uint8Array, answer: (move: number) => void): void {
    const { move, place, keys } = jsonOf<FreezePlacesFrame>(bytes);
    for (const key of keys) {
      const id = idOf(place, key);
      if (!this.#kept.has(id)) this.#kept.set(id, new KeptForThing(from.number));
    }
    answer(move);
  }

  moved(bytes: Uint8Array): void {
    this.#letGo(jsonOf<MovedPlacesFrame>(bytes));
  }

  /** A thing comes. All find it here before the answer leaves. */
  async taken(bytes: Uint8Array): Promise<Uint8Array> {
    const { place, key, data } = jsonOf<TakePlaceCall>(bytes);
    let taken = false;
    try {
      taken = !this.#parts.leaving() && (this.#parts.things(place, key)?.unpack(key, data) ?? false);
    } catch (error) {
      this.#parts.log.error({ err: error, place, key }, "a thing could not be taken over");
    }
    if (taken) this.counters.in++;
    await this.#parts.tablesTold();
    return new TextEncoder().encode(JSON.stringify(taken));
  }

  #letGo({ place, target, keys }: MovedPlacesFrame): void {
    const forwards: string[] = [];
    const { peers, self } = this.#parts.calls;
    const known = target !== undefined && (target === self.number || peers.has(target));
    for (const key of keys) {
      const id = idOf(place, key);
      if (known) {
        this.#forwards.set(id, target);
        forwards.push(id);
      }
      const kept = this.#kept.get(id);
      if (kept !== undefined) this.#release(id, kept, known ? target : undefined);
    }
    if (forwards.length === 0) return;
    this.#parts.clock.after(forwardMs, () => {
      for (const id of forwards) this.#forwards.delete(id);
    });
  }

  #release(id: string, kept: KeptForThing, target: number | undefined): void {
    this.#kept.delete(id);
    const { sendTo, route } = this.#parts;
    for (const { stanza, settle } of kept.stanzas)
      settle(target === undefined ? route(stanza) : sendTo(target, stanza));
    kept.over();
  }

  /** A node is down: what is kept for its things finds another way. */
  nodeGone(node: number): void {
    for (const [id, target] of this.#forwards) if (target === node) this.#forwards.delete(id);
    const bereft = [...this.#kept].filter(([, kept]) => kept.from === node);
    if (bereft.length === 0) return;
    this.#parts.clock.after(rerouteMs, () => {
      for (const [id, kept] of bereft) if (this.#kept.get(id) === kept) this.#release(id, kept, undefined);
    });
  }
}

function idOf(place: string, key: string): string {
  return `${place}\n${key}`;
}
