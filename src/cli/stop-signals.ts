/** What the signals of an operator mean to a running node. */

/** What a shell reports for a process that a signal ended: 128 and its number. */
const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export type StopSignal = keyof typeof signalCodes;

/**
 * `npm start` hands on the Ctrl-C that the terminal has sent to us already. A second one so soon, in milliseconds, is the
 * same one.
 */
const echoMs = 500;

export interface StopSignalsParts {
  exit(code: number): void;
  /** Milliseconds that only grow. */
  monotonic(): number;
}

/** The first signal asks for a clean stop, a second one ends the process at once, and so does one before all is up. */
export class StopSignals {
  readonly #parts: StopSignalsParts;
  #ask: ((signal: StopSignal) => void) | undefined;
  #askedAt: number | undefined;

  constructor(parts: StopSignalsParts) {
    this.#parts = parts;
  }

  /** All is up: from now on there is something to stop. */
  whenAsked(ask: (signal: StopSignal) => void): void {
    this.#ask = ask;
  }

  take(signal: StopSignal): void {
    const now = this.#parts.monotonic();
    if (this.#ask === undefined) this.#parts.exit(signalCodes[signal]);
    else if (this.#askedAt === undefined) {
      this.#askedAt = now;
      this.#ask(signal);
    } else if (now - this.#askedAt >= echoMs) this.#parts.exit(signalCodes[signal]);
  }
}
