/** Where things live that one node has in memory, such as online rooms: tables of keys, the way to a key's node, and moving there. */
import type { FabricChannel } from "../../cluster/fabric/channel.ts";
import { KeyedTable } from "../../cluster/keyed-table.ts";
import type { Link } from "../../cluster/link.ts";
import type { Replicator } from "../../cluster/replicator.ts";
import type { MaybePromise } from "../../hooks/effect.ts";
import type { MovableThings, Placement, RemoteHome } from "../../hooks/placement.ts";
import type { Log } from "../../observe/log.ts";
import type { Router } from "../../router/route.ts";
import type { Origin } from "../../session/resource.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { stanzaFromBytes, stanzaToBytes } from "../../stanza/stanza-bytes.ts";
import type { Clock } from "../../util/clock.ts";
import { type AskPlaceCall, Call, Frame, jsonOf, withJson } from "./frames.ts";
import type { Freezing } from "./freezing.ts";
import { Gathering } from "./gathering.ts";
import { PlaceMover } from "./place-mover.ts";

/** Nodes may disagree for a moment on where a key lives; who gets a stanza that was sent on this often takes it. */
const forwardsMax = 2;
/** What found its node gone is routed anew after this, milliseconds. */
const rerouteMs = 20;
/** Another node's part of an answer. */
const answerMs = 5_000;
/** Things that move together: all nodes keep what is for them meanwhile, so few at a time make the silence short. */
const batchThings = 50;
/** What could not move is tried again so often: a thing may have been busy. */
const triesMax = 3;

interface Place {
  readonly table: KeyedTable<unknown>;
  readonly conflicts: ((key: string) => void)[];
  readonly things: MovableThings[];
  /** Hosts share a place; each answers for its own. */
  readonly answerers: ((question: unknown) => unknown)[];
}

export interface PlacementsParts {
  readonly replicator: Replicator;
  readonly link: Link;
  readonly calls: FabricChannel;
  readonly router: Router;
  readonly freezing: Freezing;
  readonly log: Log;
  readonly sessionsSettled: () => Promise<void>;
  readonly tablesTold: () => Promise<void>;
}

export class Placements {
  /** Nodes on their way out, this one included: nothing is made there any more. */
  readonly leaving = new Set<number>();
  readonly #clock: Clock;
  readonly #places = new Map<string, Place>();
  #parts: PlacementsParts | undefined = undefined;
  #mover: PlaceMover | undefined = undefined;
  /** What is being dealt with of what others have forwarded, by the sender's full address. */
  readonly #busy = new Map<string, Promise<void>>();
  /** How often the stanza being handled just now has been forwarded. */
  #forwards = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get mover(): PlaceMover {
    return this.#mover!;
  }

  /** Before the cluster is joined. */
  placement(name: string): Placement {
    const place = this.#places.get(name) ?? this.#newPlace(name);
    return {
      home: (key) => this.#home(name, place, key),
      nodeOf: (key) => {
        const node = this.#nodeOf(name, place, key);
        return node === this.#parts?.replicator.self.number ? undefined : node;
      },
      claim: (key, note = true) => place.table.set(key, note),
      release: (key) => place.table.delete(key),
      onConflict: (handler) => void place.conflicts.push(handler),
      moves: (things) => void place.things.push(things),
      elsewhere: () => this.#elsewhere(place),
      askOthers: (question) => this.#askOthers(name, question),
      onQuestion: (handler) => void place.answerers.push(handler),
    };
  }

  #newPlace(name: string): Place {
    const conflicts: ((key: string) => void)[] = [];
    const table = new KeyedTable<unknown>({
      name: `place ${name}`,
      clock: this.#clock,
      conflict: (key) => {
        if (this.#mover?.superseded(name, key) === true) return;
        for (const handler of conflicts) handler(key);
      },
    });
    const place: Place = { table, conflicts, things: [], answerers: [] };
    this.#places.set(name, place);
    return place;
  }

  join(parts: PlacementsParts): void {
    this.#parts = parts;
    const { replicator, router } = parts;
    this.#mover = new PlaceMover({
      ...parts,
      clock: this.#clock,
      things: (place, key) => this.#places.get(place)?.things.find((things) => things.has(key)),
      holder: (place, key) => this.#places.get(place)?.table.get(key)?.owner.number,
      sendTo: (node, stanza) =>
        node === replicator.self.number ? dealtWith(router, stanza) : this.#send(node, 1, stanza),
      route: (stanza) => dealtWith(router, stanza),
      flushTables: () => replicator.flush(),
      leaving: () => this.leaving.has(replicator.self.number),
    });
    for (const { table } of this.#places.values()) replicator.add(table);
  }

  #home(name: string, place: Place, key: string): RemoteHome | undefined {
    const parts = this.#parts;
    if (parts === undefined) return undefined;
    const mover = this.#mover!;
    const keeping = mover.idle ? undefined : mover.keeping(name, key);
    if (keeping !== undefined) return keeping;
    if (this.#forwards >= forwardsMax) return undefined;
    const node = this.#nodeOf(name, place, key)!;
    if (node === parts.replicator.self.number) return undefined;
    const forwards = this.#forwards + 1;
    return { forward: (stanza, origin) => this.#forward(node, forwards, stanza, origin) };
  }

  /** Undefined as long as this node has not joined. */
  #nodeOf(name: string, { table }: Place, key: string): number | undefined {
    const replicator = this.#parts?.replicator;
    if (replicator === undefined) return undefined;
    const mover = this.#mover!;
    const now = mover.idle ? undefined : mover.nodeNow(name, key);
    return now ?? table.get(key)?.owner.number ?? replicator.createVia(key, this.leaving);
  }

  *#elsewhere({ table }: Place): Generator<{ key: string; note: unknown }> {
    const self = this.#parts?.replicator.self;
    for (const { key, value, owner } of table.entries()) if (owner !== self) yield { key, note: value };
  }

  async #askOthers(place: string, question: unknown): Promise<readonly unknown[]> {
    if (this.#parts === undefined) return [];
    const { calls, log } = this.#parts;
    const call = withJson(Call.askPlace, { place, question } satisfies AskPlaceCall);
    const answers = await Promise.all(
      Array.from(calls.peers.values(), async ({ number, name }) => {
        try {
          const answer = await calls.request(number, call, answerMs);
          return JSON.parse(new TextDecoder().decode(answer)) as unknown[];
        } catch (error) {
          log.warn({ err: error, node: name, place }, "a node has not given its part of an answer");
          return [];
        }
      }),
    );
    return answers.flat(1);
  }

  /** Another node asks. */
  async asked(bytes: Uint8Array): Promise<Uint8Array> {
    const { place, question } = jsonOf<AskPlaceCall>(bytes);
    const answerers = this.#places.get(place)?.answerers ?? [];
    const answers = await Promise.all(answerers.map((answer) => answer(question)));
    return new TextEncoder().encode(JSON.stringify(answers.filter((answer) => answer !== undefined)));
  }

  #forward(node: number, forwards: number, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    const dealtWith = this.#send(node, forwards, stanza);
    origin?.secure(dealtWith);
    const { link } = this.#parts!;
    return link.full(node) ? link.whenDrained(node) : undefined;
  }

  /** Resolves when that node has dealt with it. Never rejects. */
  async #send(node: number, forwards: number, stanza: Stanza): Promise<void> {
    const { link, router } = this.#parts!;
    try {
      await link.send(node, stanzaToBytes(Uint8Array.of(Frame.forward, forwards), stanza), true);
    } catch {
      // The node is gone, and with it the thing: its new home makes it anew. Not at once: tables may forget a node later than the link.
      await new Promise<void>((resolve) => this.#clock.after(rerouteMs, resolve));
      await dealtWith(router, stanza);
    }
  }

  /**
   * A stanza that another node has forwarded. The promise resolves when it is safe. What one sender says is dealt with in order: his own
   * node does not wait for one to be over before it sends the next.
   */
  forwarded(bytes: Uint8Array): undefined | Promise<void> {
    const stanza = stanzaFromBytes(bytes, 2);
    const forwards = bytes[1]!;
    const gathering = new Gathering();
    const sender = stanza.from?.full ?? "";
    const before = this.#busy.size === 0 ? undefined : this.#busy.get(sender);
    const handled =
      before === undefined
        ? this.#take(stanza, forwards, gathering)
        : before.then(() => this.#take(stanza, forwards, gathering));
    if (handled instanceof Promise) {
      const over: Promise<void> = handled.then(() => {
        if (this.#busy.get(sender) === over) this.#busy.delete(sender);
      });
      this.#busy.set(sender, over);
    }
    return gathering.settled(handled);
  }

  #take(stanza: Stanza, forwards: number, gathering: Gathering): MaybePromise<void> {
    this.#forwards = forwards;
    try {
      return this.#parts!.router.route(stanza, gathering);
    } finally {
      this.#forwards = 0;
    }
  }

  nodeGone(node: number): void {
    this.leaving.delete(node);
    this.#mover!.nodeGone(node);
  }

  /** Moves all that this node has to nodes that are not to be avoided, until the time is over; resolves to how much has moved. Never rejects. */
  async moveAll(avoid: (node: string) => boolean, untilMonotonic: number): Promise<number> {
    const { replicator, calls } = this.#parts!;
    let moved = 0;
    for (let tries = 0; tries < triesMax; tries++) {
      const unwanted = new Set(this.leaving).add(replicator.self.number);
      for (const peer of calls.peers.values()) if (avoid(peer.name)) unwanted.add(peer.number);
      const wanted = [...calls.peers.keys()].filter((number) => !unwanted.has(number));
      if (wanted.length === 0) return moved;
      const batches = this.#batches(unwanted);
      if (batches.length === 0) return moved;
      for (const { name, keys, target } of batches) {
        if (this.#clock.monotonic() > untilMonotonic) return moved;
        moved += await this.#mover!.give(name, keys, target);
      }
    }
    return moved;
  }

  /** What this node has, by where it is to go. */
  #batches(unwanted: ReadonlySet<number>): { name: string; keys: string[]; target: number }[] {
    const { replicator } = this.#parts!;
    const batches: { name: string; keys: string[]; target: number }[] = [];
    for (const [name, { table, things }] of this.#places) {
      const open = new Map<number, string[]>();
      for (const { key } of table.of(replicator.self)) {
        if (!things.some((each) => each.has(key))) continue;
        const target = replicator.createVia(key, unwanted);
        let keys = open.get(target);
        if (keys === undefined || keys.length === batchThings) {
          keys = [];
          open.set(target, keys);
          batches.push({ name, keys, target });
        }
        keys.push(key);
      }
    }
    return batches;
  }
}

/** Resolves when a stanza is safe, wherever it goes. */
async function dealtWith(router: Router, stanza: Stanza): Promise<void> {
  const gathering = new Gathering();
  await gathering.settled(router.route(stanza, gathering));
}
