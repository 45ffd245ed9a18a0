/** XEP-0198 Stream Management 1.6.3: counts stanzas in both directions, so that none is lost unnoticed. */
import type { Session, SessionOutlet } from "../session/session.ts";
import { Stanza } from "../stanza/stanza.ts";
import { ownText } from "../xml/scanner.ts";

/** Counters wrap around at 2^32 (section 4). */
const wrap = 2 ** 32;

/** So many times what may wait for long may wait for a moment: a room that is entered shows all its occupants at once. */
const burstFactor = 4;

/** All of it as plain data, for a session that moves to another node. */
export interface ManagementState {
  readonly resumeId: string;
  /** Stanzas of the client, all of them safe. */
  readonly received: number;
  readonly sent: number;
  /** Sent and not acknowledged, oldest first. */
  readonly unacknowledged: readonly Stanza[];
}

/** A stanza whose acknowledgement must wait until it is stored. */
interface Hold {
  readonly sequence: number;
  settled: boolean;
}

/** What the counters tell their stream to do. */
export interface ManagementEvents {
  /** An answer to the client's `<r/>` is due: everything received before it is safe. */
  acknowledge(handled: number): void;
  /** The client should be asked for an acknowledgement. */
  request(): void;
  /** More waits for acknowledgement than the limits allow; told of each stanza that comes on top. */
  overflowed(): void;
}

export interface ManagementLimits {
  /** Stanzas that may wait for the client's acknowledgement. */
  readonly unacknowledgedMax: number;
  /** What they may hold together, in characters of their contents; one alone may hold more. */
  readonly unacknowledgedBytesMax: number;
  /** The client is asked after every so many stanzas; Infinity never asks. */
  readonly requestEvery: number;
}

/** So many may wait as they came: fewer than that are acknowledged before their chunks of the network matter. */
const waitAsTheyCame = 64;

/**
 * The acknowledgement state of one session; it moves with the session from stream to stream. Our `h` counts a stanza of
 * the client only once it is safe: routed, and stored where a store took it (DESIGN section 4).
 */
export class StreamManagement implements SessionOutlet {
  /** Under which the session can be resumed; undefined when the client did not ask for that. */
  readonly resumeId: string | undefined;
  /** The stream that carries the session now; undefined while it waits to be resumed. */
  events: ManagementEvents | undefined;
  /** Called, while no stream carries the session, when more waits than the limits allow. */
  overflowedAway: (() => void) | undefined = undefined;
  readonly #limits: ManagementLimits;
  #received = 0;
  #processed = 0;
  #holds: Hold[] | undefined = undefined;
  /** The client has asked, and waits for everything up to this number to be safe; -1 when nobody waits. */
  #askedUpTo = -1;
  #sent = 0;
  #acknowledged = 0;
  /** Sent and not acknowledged, oldest first. */
  #unacknowledged: Stanza[] = [];
  #unacknowledgedBytes = 0;
  #requestedAt = -1;
  #whenSettled: (() => void)[] | undefined = undefined;
  #whenRoom: (() => void)[] | undefined = undefined;
  /** What waits for the client's acknowledgements, in the order of `upTo`, a number of stanzas sent. */
  #whenAcknowledged: { readonly upTo: number; run(): void }[] | undefined = undefined;

  constructor(resumeId: string | undefined, limits: ManagementLimits, events: ManagementEvents | undefined) {
    this.resumeId = resumeId;
    this.#limits = limits;
    this.events = events;
  }

  /** What `describe` told, on the node the session has moved to; no stream carries it yet. */
  static restore(state: ManagementState, limits: ManagementLimits): StreamManagement {
    const management = new StreamManagement(state.resumeId, limits, undefined);
    management.#received = state.received;
    management.#processed = state.received;
    management.#sent = state.sent;
    management.#acknowledged = state.sent - state.unacknowledged.length;
    management.#unacknowledged = [...state.unacknowledged];
    for (const stanza of state.unacknowledged) management.#unacknowledgedBytes += bytesOf(stanza);
    return management;
  }

  /** Only when everything is settled, no stream carries the session, and it can be resumed. */
  describe(): ManagementState {
    return {
      resumeId: this.resumeId!,
      received: this.#received,
      sent: this.#sent,
      unacknowledged: this.#unacknowledged,
    };
  }

  /** Stanzas of the client that are safe: our `h`. */
  get handled(): number {
    return this.#safe() % wrap;
  }

  get unacknowledged(): readonly Stanza[] {
    return this.#unacknowledged;
  }

  /** A stanza of the client has arrived. */
  received(): void {
    this.#received++;
  }

  /** The stanza that arrived last has been routed; stores may still be writing. */
  processed(): void {
    this.#processed = this.#received;
    this.#answer();
  }

  secure(stored: Promise<void>): void {
    const hold: Hold = { sequence: this.#received, settled: false };
    this.#holds ??= [];
    this.#holds.push(hold);
    const settle = () => {
      hold.settled = true;
      while (this.#holds !== undefined && this.#holds[0]?.settled === true) this.#holds.shift();
      if (this.#holds?.length === 0) this.#holds = undefined;
      this.#answer();
    };
    // A store that fails has its sender told by an error stanza: then too the stanza is dealt with.
    stored.then(settle, settle);
  }

  /** The client's `<r/>`: answered as soon as all that came before it is safe. */
  asked(): void {
    this.#askedUpTo = this.#received;
    this.#answer();
  }

  /** Answers a waiting `<r/>` with what is safe by now; called when it has waited for long. */
  answerNow(): void {
    if (this.#askedUpTo < 0) return;
    this.#askedUpTo = -1;
    this.events?.acknowledge(this.handled);
  }

  get answerDue(): boolean {
    return this.#askedUpTo >= 0;
  }

  /**
   * Resolves when every stanza that arrived is safe; undefined when that is so already. A resumption waits for it, since
   * the client sends again whatever our `h` does not count.
   */
  settled(): Promise<void> | undefined {
    if (this.#safe() >= this.#received) return undefined;
    return new Promise((resolve) => {
      this.#whenSettled ??= [];
      this.#whenSettled.push(resolve);
    });
  }

  #answer(): void {
    if (this.#whenSettled !== undefined && this.#safe() >= this.#received) {
      for (const resolve of this.#whenSettled) resolve();
      this.#whenSettled = undefined;
    }
    if (this.#askedUpTo >= 0 && this.#safe() >= this.#askedUpTo) this.answerNow();
  }

  #safe(): number {
    const hold = this.#holds?.[0];
    return hold === undefined ? this.#processed : Math.min(hold.sequence - 1, this.#processed);
  }

  write(session: Session, stanza: Stanza): void {
    const { events } = this;
    const waits = this.#unacknowledged;
    waits.push(events === undefined || waits.length >= waitAsTheyCame ? own(stanza) : stanza);
    this.#unacknowledgedBytes += bytesOf(stanza);
    this.#sent++;
    session.link?.send(stanza);
    const { requestEvery } = this.#limits;
    const overflows = this.overflows;
    if (overflows !== "no" && events === undefined) return this.overflowedAway?.();
    if (this.#requestedAt < 0 && (waits.length >= requestEvery || overflows !== "no")) this.#request();
    if (overflows !== "no") events!.overflowed();
  }

  /** Half of the queue is for long answers, which can wait; the rest is for what cannot. */
  room(): Promise<void> | undefined {
    if (this.#hasRoom) return undefined;
    if (this.#requestedAt < 0) this.#request();
    return new Promise((resolve) => {
      this.#whenRoom ??= [];
      this.#whenRoom.push(resolve);
    });
  }

  get #hasRoom(): boolean {
    const { unacknowledgedMax, unacknowledgedBytesMax } = this.#limits;
    return (
      this.#unacknowledged.length < unacknowledgedMax / 2 && this.#unacknowledgedBytes <= unacknowledgedBytesMax / 2
    );
  }

  /** Whether the client has more to acknowledge than it may have for long, or than is ever kept. */
  get overflows(): "no" | "for a while" | "at once" {
    const waiting = this.#unacknowledged.length;
    const { unacknowledgedMax, unacknowledgedBytesMax } = this.#limits;
    if (this.#unacknowledgedBytes > unacknowledgedBytesMax && waiting > 1) return "at once";
    if (waiting <= unacknowledgedMax) return "no";
    return waiting <= burstFactor * unacknowledgedMax ? "for a while" : "at once";
  }

  /** How many stanzas the client has acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  afterAcknowledged(run: () => void): void {
    if (this.#acknowledged >= this.#sent) return run();
    this.#whenAcknowledged ??= [];
    this.#whenAcknowledged.push({ upTo: this.#sent, run });
  }

  #request(): void {
    if (this.events === undefined) return;
    this.#requestedAt = this.#sent;
    this.events.request();
  }

  /**
   * The client's `<a h='…'/>`. Returns the number sent when `h` counts more than that (section 5), a protocol error;
   * undefined when all is well.
   */
  acknowledge(h: number): number | undefined {
    const fresh = (h - (this.#acknowledged % wrap) + wrap) % wrap;
    if (fresh > this.#unacknowledged.length) return this.#sent % wrap;
    this.#acknowledged += fresh;
    if (fresh === this.#unacknowledged.length) {
      this.#unacknowledged = [];
      this.#unacknowledgedBytes = 0;
    } else if (fresh > 0) {
      for (let at = 0; at < fresh; at++) this.#unacknowledgedBytes -= bytesOf(this.#unacknowledged[at]!);
      this.#unacknowledged = this.#unacknowledged.slice(fresh);
    }
    while (this.#whenAcknowledged !== undefined && this.#whenAcknowledged[0]!.upTo <= this.#acknowledged) {
      this.#whenAcknowledged.shift()!.run();
      if (this.#whenAcknowledged.length === 0) this.#whenAcknowledged = undefined;
    }
    if (this.#whenRoom !== undefined && this.#hasRoom) {
      for (const resolve of this.#whenRoom) resolve();
      this.#whenRoom = undefined;
    }
    const wasRequestedAt = this.#requestedAt;
    this.#requestedAt = -1;
    // Stanzas that went out after the request are asked for now, so that at most one request is on its way.
    if (
      wasRequestedAt >= 0 &&
      this.#sent > wasRequestedAt &&
      (this.#whenRoom !== undefined || this.#unacknowledged.length >= this.#limits.requestEvery)
    ) {
      this.#request();
    }
    return undefined;
  }

  /** The stream is gone. */
  detach(): void {
    this.events = undefined;
    this.#askedUpTo = -1;
    this.#requestedAt = -1;
    this.#unacknowledged = this.#unacknowledged.map(own);
  }

  /** The session goes on over another stream; what the client has not acknowledged is returned to be sent again. */
  attach(events: ManagementEvents): readonly Stanza[] {
    this.events = events;
    // What arrived on the old stream and was still being routed then has been routed, or will be, by that stream.
    return this.#unacknowledged;
  }

  /** After resending: ask whether it arrived. */
  requestAfterResume(): void {
    if (this.#unacknowledged.length > 0) this.#request();
  }
}

function bytesOf(stanza: Stanza): number {
  return stanza.inner.length;
}

/** A copy that keeps no chunk of the network alive. */
function own(stanza: Stanza): Stanza {
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
