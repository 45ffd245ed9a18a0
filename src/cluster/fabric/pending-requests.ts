/** Requests that wait for their answers; each ends once: answered, failed, or too late. */
import type { Clock, Timer } from "../../util/clock.ts";
import { RequestFailed } from "./fabric.ts";

interface Pending {
  readonly node: number;
  readonly timer: Timer;
  resolve(answer: Uint8Array): void;
  reject(error: Error): void;
}

export class PendingRequests {
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A number that no waiting request has. */
  freeId(): number {
    do {
      this.#last = this.#last >= 0xffffffff ? 1 : this.#last + 1;
    } while (this.#pending.has(this.#last));
    return this.#last;
  }

  /** Rejects with `RequestFailed` after `timeoutMs` unless it ends before. */
  add(id: number, node: number, timeoutMs: number): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () =>
        this.fail(id, `no answer of node ${node} within ${timeoutMs} ms`),
      );
      this.#pending.set(id, { node, timer, resolve, reject });
    });
  }

  /** Whose request this is; undefined when nothing waits under this number. */
  nodeOf(id: number): number | undefined {
    return this.#pending.get(id)?.node;
  }

  answer(id: number, bytes: Uint8Array): void {
    this.#take(id)?.resolve(bytes);
  }

  fail(id: number, text: string): void {
    this.#take(id)?.reject(new RequestFailed(text));
  }

  /** All that wait for this node; of every node when it is undefined. */
  failAll(node: number | undefined, text: string): void {
    for (const [id, pending] of [...this.#pending]) {
      if (node === undefined || pending.node === node) this.fail(id, text);
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    pending.timer.cancel();
    return pending;
  }
}
