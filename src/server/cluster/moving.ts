/**
 * What is on its way to sessions of other nodes while those sessions move (see session-mover.ts): it is kept here, and follows them. So
 * nothing overtakes anything, though the way changes.
 */
import type { Origin } from "../../session/resource.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Clock } from "../../util/clock.ts";
import type { MovedFrame } from "./frames.ts";

/** Where a session is found: serials are unique in one life of a node. */
export interface Place {
  readonly node: number;
  readonly incarnation: number;
  readonly serial: number;
}

/** One life of a node, as far as it matters here. */
interface Life {
  readonly number: number;
  readonly incarnation: number;
}

interface Kept {
  readonly stanza: Stanza;
  readonly settle: (dealtWith: Promise<void>) => void;
}

interface Frozen {
  readonly kept: Kept[];
  readonly whenOver: Promise<void>;
  readonly over: () => void;
}

/** How long the new place of a session is known by its old one; the directory has it long before. */
const forwardMs = 10_000;

export class MovingElsewhere {
  readonly #clock: Clock;
  readonly #send: (place: Place, stanza: Stanza) => Promise<void>;
  readonly #giveBack: (stanza: Stanza) => Promise<void>;
  readonly #frozen = new Map<string, Frozen>();
  readonly #forwards = new Map<string, Place>();

  /** `giveBack`: for stanzas whose session is over; resolves when they are safe. */
  constructor(
    clock: Clock,
    send: (place: Place, stanza: Stanza) => Promise<void>,
    giveBack: (stanza: Stanza) => Promise<void>,
  ) {
    this.#clock = clock;
    this.#send = send;
    this.#giveBack = giveBack;
  }

  /** Whether nothing moves and nothing has moved lately: the usual case, in which no other question is needed. */
  get idle(): boolean {
    return this.#frozen.size === 0 && this.#forwards.size === 0;
  }

  get someMove(): boolean {
    return this.#frozen.size > 0;
  }

  /** Whether a session moves away from this place just now. */
  moves(place: Place): boolean {
    return this.#frozen.size > 0 && this.#frozen.has(keyOf(place));
  }

  whenOver(place: Place): Promise<void> | undefined {
    return this.#frozen.get(keyOf(place))?.whenOver;
  }

  /** Keeps a stanza for a session that moves; undefined when it does not. The promise resolves when it has arrived there. */
  keep(place: Place, stanza: Stanza, origin: Origin | undefined): Promise<void> | undefined {
    const frozen = this.#frozen.get(keyOf(place));
    if (frozen === undefined) return undefined;
    const arrived = keptIn(frozen, stanza);
    origin?.secure(arrived);
    return frozen.whenOver;
  }

  /** Where a session is that has moved lately, perhaps more than once. */
  placeNow(place: Place): Place {
    let now = place;
    for (let next: Place | undefined = now; next !== undefined; next = this.#forwards.get(keyOf(now))) now = next;
    return now;
  }

  /** On to a place from which the session may be moving on already. Resolves when it has arrived there. */
  follow(place: Place, stanza: Stanza): Promise<void> {
    const now = this.placeNow(place);
    const frozen = this.#frozen.get(keyOf(now));
    return frozen === undefined ? this.#send(now, stanza) : keptIn(frozen, stanza);
  }

  /** Resolves when nothing of what is kept now is kept any more. */
  async settled(): Promise<void> {
    const waiting = [...this.#frozen.values()].filter(({ kept }) => kept.length > 0);
    await Promise.all(waiting.map(({ whenOver }) => whenOver));
  }

  freeze(from: Life, serials: readonly number[]): void {
    for (const serial of serials) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#frozen.set(keyOf(placeIn(from, serial)), { kept: [], whenOver: promise, over: resolve });
    }
  }

  /** `target` is the life of the node they went to, as it is known here; undefined when they stay, or it is gone already. */
  moved(from: Life, target: Life | undefined, { target: number, serials }: MovedFrame): void {
    const forwards: string[] = [];
    for (const [old, fresh] of Object.entries(serials)) {
      const here = placeIn(from, Number(old));
      const key = keyOf(here);
      const frozen = this.#frozen.get(key);
      this.#frozen.delete(key);
      let place: Place | undefined;
      if (number === undefined) place = here;
      else if (target !== undefined && fresh !== 0) {
        place = placeIn(target, fresh);
        this.#forwards.set(key, place);
        forwards.push(key);
      }
      for (const { stanza, settle } of frozen?.kept ?? []) {
        settle(place === undefined ? this.#giveBack(stanza) : this.follow(place, stanza));
      }
      frozen?.over();
    }
    if (forwards.length === 0) return;
    this.#clock.after(forwardMs, () => {
      for (const key of forwards) this.#forwards.delete(key);
    });
  }

  /** The node of these sessions is gone, and whoever was to take them has not said so. */
  nodeGone(node: number): void {
    for (const [key, place] of this.#forwards) if (place.node === node) this.#forwards.delete(key);
    for (const [key, frozen] of this.#frozen) {
      if (!key.startsWith(`${node} `)) continue;
      this.#frozen.delete(key);
      for (const { stanza, settle } of frozen.kept) settle(this.#giveBack(stanza));
      frozen.over();
    }
  }
}

/** Resolves when it has arrived where it follows to. */
function keptIn(frozen: Frozen, stanza: Stanza): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  frozen.kept.push({ stanza, settle: resolve as (dealtWith: Promise<void>) => void });
  return promise;
}

function placeIn({ number, incarnation }: Life, serial: number): Place {
  return { node: number, incarnation, serial };
}

function keyOf({ node, incarnation, serial }: Place): string {
  return `${node} ${incarnation} ${serial}`;
}
