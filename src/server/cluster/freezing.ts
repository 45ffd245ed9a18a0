/**
 * Asks all nodes to keep what they have for something that is about to move, and waits until each has answered behind all that it had sent
 * before: then all of that is here.
 */
import type { Clock } from "../../util/clock.ts";

export interface FreezingParts {
  readonly clock: Clock;
  /** To a node; what cannot be sent is not waited for. */
  readonly send: (node: number, frame: Uint8Array) => void;
}

/** A node that takes longer is as good as gone. */
const answerMs = 5_000;

export class Freezing {
  readonly #parts: FreezingParts;
  readonly #waiting = new Map<number, { missing: Set<number>; done: () => void }>();
  #moves = 0;

  constructor(parts: FreezingParts) {
    this.#parts = parts;
  }

  /** A number for a move. */
  next(): number {
    return ++this.#moves;
  }

  /** Rejects when one of the nodes does not answer. */
  async freeze(move: number, peers: readonly number[], frame: Uint8Array): Promise<void> {
    if (peers.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(move, { missing: new Set(peers), done: resolve });
    try {
      for (const peer of peers) this.#parts.send(peer, frame);
      await within(this.#parts.clock, answerMs, promise);
    } finally {
      this.#waiting.delete(move);
    }
  }

  answered(node: number, move: number): void {
    const waiting = this.#waiting.get(move);
    if (waiting?.missing.delete(node) && waiting.missing.size === 0) waiting.done();
  }

  /** Whoever is gone needs no freezing. */
  nodeGone(node: number): void {
    for (const move of [...this.#waiting.keys()]) this.answered(node, move);
  }
}

/** Rejects when a promise takes longer. */
export function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => reject(new Error(`not done within ${ms} ms`)));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}
