/** Sessions that can be resumed (XEP-0198 section 5), and what was handled of those that no longer can. */
import type { Session } from "../session/session.ts";
import type { Clock, Timer } from "../util/clock.ts";
import type { StreamManagement } from "./management.ts";

export interface Resumable {
  readonly session: Session;
  readonly management: StreamManagement;
}

interface Waiting extends Resumable {
  /** Monotonic milliseconds at which it is given up; undefined while a stream carries it. */
  deadline: number | undefined;
  /** On its way to another node, or about to be. */
  moves: boolean;
}

interface Remembered {
  readonly account: string;
  readonly handled: number;
}

/** How often deadlines are looked at: one timer for all sessions. */
const sweepMs = 1_000;

export class ResumptionTable {
  readonly #entries = new Map<string, Waiting>();
  /** Those that wait for their client, and have a deadline. */
  readonly #waiting = new Set<Waiting>();
  /** Oldest first: the order in which they are forgotten. */
  readonly #remembered = new Map<string, Remembered>();
  readonly #rememberedMax: number;
  readonly #clock: Clock;
  readonly #giveUp: (entry: Resumable) => void;
  readonly #sweep: Timer;

  /**
   * `giveUp` is called once for each session whose time is over.
   * `rememberedMax`: for how many past sessions `h` is still told.
   */
  constructor(clock: Clock, rememberedMax: number, giveUp: (entry: Resumable) => void) {
    this.#clock = clock;
    this.#rememberedMax = rememberedMax;
    this.#giveUp = giveUp;
    this.#sweep = clock.every(sweepMs, () => this.#expire());
  }

  /** Sessions that wait for their client. */
  get detached(): number {
    return this.#waiting.size;
  }

  add(id: string, session: Session, management: StreamManagement): void {
    this.#entries.set(id, { session, management, deadline: undefined, moves: false });
  }

  /**
   * The session under this id when it belongs to this account, whether it is waiting or still has its stream. One that is moving to
   * another node is found only by who asks for that: nobody can resume it before it is clear where it is.
   */
  find(id: string, account: string, evenMoving = false): Resumable | undefined {
    const entry = this.#entries.get(id);
    if (entry?.session.account.bare !== account || (entry.moves && !evenMoving)) return undefined;
    return entry;
  }

  /** A move of the session begins, or is over. */
  moving(id: string, moves: boolean): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.moves = moves;
  }

  /** What was handled of a session that is over, for the account it belonged to. */
  handledOf(id: string, account: string): number | undefined {
    const remembered = this.#remembered.get(id);
    return remembered?.account === account ? remembered.handled : undefined;
  }

  /** The stream is gone: the session waits so many milliseconds for its client. */
  waitFor(id: string, forMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#waiting.add(entry);
    entry.deadline = this.#clock.monotonic() + forMs;
  }

  /** A stream carries the session again. */
  attached(id: string): void {
    const entry = this.#entries.get(id);
    if (entry?.deadline === undefined) return;
    entry.deadline = undefined;
    this.#waiting.delete(entry);
  }

  /** Milliseconds the session still waits; undefined while a stream carries it, or when it is not here. */
  waitsFor(id: string): number | undefined {
    const deadline = this.#entries.get(id)?.deadline;
    return deadline === undefined ? undefined : Math.max(0, deadline - this.#clock.monotonic());
  }

  /** The session has gone elsewhere. */
  forget(id: string): void {
    this.attached(id);
    this.#entries.delete(id);
  }

  /** The session is over; its count stays known for a while. */
  remove(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#waiting.delete(entry);
    this.#remembered.set(id, { account: entry.session.account.bare, handled: entry.management.handled });
    if (this.#remembered.size > this.#rememberedMax) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
  }

  #expire(): void {
    if (this.#waiting.size === 0) return;
    const now = this.#clock.monotonic();
    const over: Waiting[] = [];
    for (const entry of this.#waiting) if (entry.deadline! <= now) over.push(entry);
    for (const entry of over) this.#giveUp(entry);
  }

  stop(): void {
    this.#sweep.cancel();
  }
}
