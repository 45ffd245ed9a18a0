/** A bound resource (RFC 6120 section 7): where an account is reachable. It outlives its stream when it can be resumed. */
import type { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";

/** What a session needs of the stream it is attached to. */
export interface SessionLink {
  /** Writes one stanza to the client; it leaves with everything else of this turn. */
  send(stanza: Stanza): void;
  /** Ends the stream, telling the client why. */
  close(error: StreamError | undefined): void;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly secure: boolean;
  readonly transport: "tcp" | "tls" | "websocket";
}

/** Takes what is written to a session: the stream itself, or XEP-0198's queue in front of it. */
export interface SessionOutlet {
  write(session: Session, stanza: Stanza): void;
  /** The acknowledgement of the stanza being handled waits until this has settled (DESIGN section 4). */
  secure(stored: Promise<void>): void;
  /** Calls `run` once the client has acknowledged all that was written so far; never when the session ends before. */
  afterAcknowledged?(run: () => void): void;
}

/** What every session of a host has in common; one object a host, so that a session itself stays small. */
export interface SessionHost {
  readonly domain: string;
  /** Runs the "delivering" stage and then writes. */
  deliver(stanza: Stanza, session: Session): void;
}

export class Session {
  /** Never used twice in the life of a process. */
  readonly serial: number;
  readonly jid: Jid;
  readonly account: Jid;
  readonly host: SessionHost;
  /** When the resource was bound, milliseconds since the epoch. */
  readonly startedAt: number;
  /** XEP-0388 user agent id, when the client gave one. */
  userAgent: string | undefined = undefined;
  /** Of the last broadcast presence; meaningless while `presence` is undefined. */
  priority = 0;
  /** The last presence broadcast; undefined while the resource is not available. */
  presence: Stanza | undefined = undefined;
  link: SessionLink | undefined;
  outlet: SessionOutlet | undefined = undefined;
  #slots: unknown[] | undefined = undefined;

  constructor(serial: number, jid: Jid, host: SessionHost, link: SessionLink, startedAt: number) {
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

  /** Hands a stanza to this resource: filters of modules first, then the wire. */
  deliver(stanza: Stanza): void {
    this.host.deliver(stanza, this);
  }

  /** Writes past all filters; for the last step of delivery only. */
  write(stanza: Stanza): void {
    if (this.outlet !== undefined) this.outlet.write(this, stanza);
    else this.link?.send(stanza);
  }

  /** A module's own state for this session (see `SessionSlot`). */
  slot(index: number): unknown {
    return this.#slots?.[index];
  }

  setSlot(index: number, value: unknown): void {
    if (this.#slots === undefined) {
      if (value === undefined) return;
      this.#slots = [];
    }
    this.#slots[index] = value;
  }
}

let slotsGiven = 0;

/**
 * A module's place for state about each session. State is plain data, so that it can move to another node with the
 * session; a session for which nothing was set costs nothing.
 */
export class SessionSlot<State> {
  readonly name: string;
  readonly #index = slotsGiven++;

  constructor(name: string) {
    this.name = name;
  }

  get(session: Session): State | undefined {
    return session.slot(this.#index) as State | undefined;
  }

  set(session: Session, state: State | undefined): void {
    session.setSlot(this.#index, state);
  }
}
