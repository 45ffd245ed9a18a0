/** Requests that wait for their answers; each ends once: answered, failed, or too late. */
import type { Clock, Timer } from "../../util/clock.ts";
import { RequestFailed } from "./fabric.ts";

/** A question that waits, as it is sent again when it was lost. */
export interface Question {
  readonly node: number;
  readonly channel: number;
  readonly bytes: Uint8Array;
}

interface Pending {
  readonly question: Question;
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
      this.#last = after(this.#last);
    } while (this.#pending.has(this.#last));
    return this.#last;
  }

  /** Rejects with `RequestFailed` after `timeoutMs` unless it ends before. */
  add(id: number, question: Question, timeoutMs: number): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () =>
        this.fail(id, `no answer of node ${question.node} within ${timeoutMs} ms`),
      );
      this.#pending.set(id, { question, timer, resolve, reject });
    });
  }

  /** Undefined when nothing waits under this number. */
  find(id: number): Question | undefined {
    return this.#pending.get(id)?.question;
  }

  /** The numbers of what waits for this node, oldest first. */
  ofNode(node: number): number[] {
    const ids: number[] = [];
    for (const [id, { question }] of this.#pending) if (question.node === node) ids.push(id);
    return ids;
  }

  someFor(node: number): boolean {
    for (const { question } of this.#pending.values()) if (question.node === node) return true;
    return false;
  }

  /** All numbers that were given out are before this one. */
  get nextId(): number {
    return after(this.#last);
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
      if (node === undefined || pending.question.node === node) this.fail(id, text);
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

function after(id: number): number {
  return id >= 0xffffffff ? 1 : id + 1;
}
