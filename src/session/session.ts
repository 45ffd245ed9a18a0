/** A bound resource (RFC 6120 section 7): where an account is reachable. It outlives its stream when it can be resumed. */
import type { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";
import { type Mark, marks, type Origin, type Resource } from "./resource.ts";

/** What a session needs of the stream it is attached to. */
export interface SessionLink {
  /** Writes one stanza to the client; it leaves with everything else of this turn. */
  send(stanza: Stanza): void;
  /** Ends the stream, telling the client why. */
  close(error: StreamError | undefined): void;
  /** Ends the connection but not the session, which waits to be resumed. */
  part(): void;
  /** Resolves when the connection has taken what was written; undefined when so little waits for it that more may follow. */
  room?(): Promise<void> | undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly secure: boolean;
  readonly transport: "tcp" | "tls" | "websocket";
}

/** Takes what is written to a session: the stream itself, or XEP-0198's queue in front of it. */
export interface SessionOutlet extends Origin {
  write(session: Session, stanza: Stanza): void;
  /** What this one stands in for while the session moves to another node. */
  readonly before?: SessionOutlet;
  /** Calls `run` once the client has acknowledged all that was written so far; never when the session ends before. */
  afterAcknowledged?(run: () => void): void;
  /** Resolves when the client has acknowledged some of it; undefined when so little waits for that that more may follow. */
  room?(): Promise<void> | undefined;
}

/** What every session of a host has in common; one object a host, so that a session itself stays small. */
export interface SessionHost {
  readonly domain: string;
  /** Runs the "delivering" stage and then writes. */
  deliver(stanza: Stanza, session: Session): void;
  /** What other nodes know of a session has changed: its marks or its priority. */
  changed(session: Session): void;
  /** Has the session show its presence to `to`. */
  present(session: Session, to: Jid): undefined | Promise<void>;
}

export class Session implements Resource {
  /** Never used twice in the life of a process. */
  readonly serial: number;
  readonly jid: Jid;
  readonly account: Jid;
  readonly host: SessionHost;
  /** When the resource was bound, milliseconds since the epoch. */
  readonly startedAt: number;
  /** XEP-0388 user agent id, when the client gave one. */
  userAgent: string | undefined = undefined;
  /** Of the last broadcast presence; 0 while `presence` is undefined. */
  priority = 0;
  /** The last presence broadcast; undefined while the resource is not available. Changed by `setPresence` alone. */
  presence: Stanza | undefined = undefined;
  /** See `marks`. */
  #marks = 0;
  link: SessionLink | undefined;
  outlet: SessionOutlet | undefined = undefined;
  /** Flat: the number of a slot and its state, and so on. Most sessions have few. */
  #slots: unknown[] | undefined = undefined;

  constructor(serial: number, jid: Jid, host: SessionHost, link: SessionLink | undefined, startedAt: number) {
    this.serial = serial;
    this.jid = jid;
    this.account = jid.toBare();
    this.host = host;
    this.link = link;
    this.startedAt = startedAt;
  }

  get available(): boolean {
    return this.presence !== undefined;
  }

  /** All marks together, as other nodes are told. */
  get marks(): number {
    return this.#marks;
  }

  marked(mark: Mark): boolean {
    return (this.#marks & mark) !== 0;
  }

  mark(mark: Mark, on: boolean): void {
    const next = on ? this.#marks | mark : this.#marks & ~mark;
    if (next === this.#marks) return;
    this.#marks = next;
    this.host.changed(this);
  }

  /** The resource has become available, has changed its presence, or (undefined) is available no more. */
  setPresence(presence: Stanza | undefined, priority: number): void {
    this.presence = presence;
    const next = presence === undefined ? this.#marks & ~marks.available : this.#marks | marks.available;
    if (next === this.#marks && priority === this.priority) return;
    this.#marks = next;
    this.priority = priority;
    this.host.changed(this);
  }

  deliver(stanza: Stanza): undefined {
    this.host.deliver(stanza, this);
  }

  present(to: Jid): undefined | Promise<void> {
    return this.host.present(this, to);
  }

  close(error: StreamError): void {
    this.link?.close(error);
  }

  /** Writes past all filters; for the last step of delivery only. */
  write(stanza: Stanza): void {
    if (this.outlet !== undefined) this.outlet.write(this, stanza);
    else this.link?.send(stanza);
  }

  /** The states of modules that move with a session to another node, by the names of their slots. */
  describeSlots(): Record<string, unknown> {
    const states: Record<string, unknown> = {};
    for (const slot of movingSlots.values()) {
      const state = slot.get(this);
      if (state !== undefined) states[slot.name] = slot.moves!.pack(state);
    }
    return states;
  }

  /** As it was on another node, perhaps of another version: what is not known here is left out. Before anybody knows of this session. */
  restore(
    presence: Stanza | undefined,
    priority: number,
    marks: number,
    states: Readonly<Record<string, unknown>>,
  ): void {
    this.presence = presence;
    this.priority = priority;
    this.#marks = marks;
    for (const [name, state] of Object.entries(states)) {
      const slot = movingSlots.get(name);
      slot?.set(this, slot.moves!.unpack(state));
    }
  }

  /** A module's own state for this session (see `SessionSlot`). */
  slot(index: number): unknown {
    const slots = this.#slots;
    if (slots === undefined) return undefined;
    for (let at = 0; at < slots.length; at += 2) if (slots[at] === index) return slots[at + 1];
    return undefined;
  }

  setSlot(index: number, value: unknown): void {
    const slots = this.#slots;
    if (slots === undefined) {
      if (value !== undefined) this.#slots = [index, value];
      return;
    }
    let at = 0;
    while (at < slots.length && slots[at] !== index) at += 2;
    if (value !== undefined) {
      slots[at] = index;
      slots[at + 1] = value;
    } else if (at < slots.length) {
      slots.splice(at, 2);
      if (slots.length === 0) this.#slots = undefined;
    }
  }
}

let slotsGiven = 0;

/** State that moves, as JSON can carry it. */
export interface SlotCodec<State> {
  pack(state: State): unknown;
  unpack(packed: unknown): State;
}

/** For state that is JSON already. */
export const asItIs: SlotCodec<never> = { pack: (state) => state, unpack: (packed) => packed as never };

// biome-ignore lint/suspicious/noExplicitAny: slots of all types of state
const movingSlots = new Map<string, SessionSlot<any>>();

/**
 * A module's place for state about each session; a session for which nothing was set costs nothing. State with `moves`
 * goes along when the session moves to another node; other state is lost then, so the module must be able to find it anew (event
 * "arrived"), or part with it before (event "leaving").
 */
export class SessionSlot<State> {
  readonly name: string;
  readonly moves: SlotCodec<State> | undefined;
  readonly #index = slotsGiven++;

  constructor(name: string, moves?: SlotCodec<State>) {
    this.name = name;
    this.moves = moves;
    if (moves !== undefined) movingSlots.set(name, this);
  }

  get(session: Session): State | undefined {
    return session.slot(this.#index) as State | undefined;
  }

  set(session: Session, state: State | undefined): void {
    session.setSlot(this.#index, state);
  }
}
