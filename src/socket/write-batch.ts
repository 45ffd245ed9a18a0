/** Collects the sockets written to within one turn of the event loop, so that each makes one system call at its end. */

export interface Flushable {
  flush(): void;
}

/** One for all sockets of a process. */
export class WriteBatch {
  readonly #schedule: (flush: () => void) => void;
  readonly #failed: (error: unknown) => void;
  readonly #flush: () => void;
  #dirty: Flushable[] = [];
  #spare: Flushable[] = [];
  #scheduled = false;

  /** `schedule` calls its argument once, later in this turn; `failed` is told of what a socket threw while flushing. */
  constructor(schedule: (flush: () => void) => void, failed: (error: unknown) => void) {
    this.#schedule = schedule;
    this.#failed = failed;
    this.#flush = () => this.flush();
  }

  /** The socket is flushed at the end of this turn. The caller adds itself once a turn. */
  add(socket: Flushable): void {
    this.#dirty.push(socket);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(this.#flush);
  }

  /** Flushes all now. What is written meanwhile belongs to the next turn. */
  flush(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = dirty;
    this.#scheduled = false;
    for (let index = 0; index < dirty.length; index++) {
      try {
        dirty[index]!.flush();
      } catch (error) {
        this.#failed(error);
      }
    }
    dirty.length = 0;
  }
}
