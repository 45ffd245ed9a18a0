/** A clock that stands still until told to advance: time of tests and of the cluster simulator. */
import type { Clock, Timer } from "../../util/clock.ts";

class SimTimer implements Timer {
  at: number;
  readonly order: number;
  readonly everyMs: number;
  run: (() => void) | undefined;

  constructor(at: number, order: number, everyMs: number, run: () => void) {
    this.at = at;
    this.order = order;
    this.everyMs = everyMs;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

/** The instant a simulated clock starts at, unless told otherwise: 2024-01-01T00:00:00Z. */
export const simulatedStart = 1_704_067_200_000;

/** Timers run in order of their time; those of one instant in the order they were made. */
export class SimClock implements Clock {
  readonly #start: number;
  #elapsed = 0;
  #made = 0;
  /** A binary heap by (at, order). */
  readonly #heap: SimTimer[] = [];

  constructor(start: number = simulatedStart) {
    this.#start = start;
  }

  /** In whole milliseconds, as the system tells them. */
  now(): number {
    return this.#start + Math.floor(this.#elapsed);
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, run: () => void): Timer {
    return this.#add(new SimTimer(this.#elapsed + Math.max(ms, 0), this.#made++, 0, run));
  }

  every(ms: number, run: () => void): Timer {
    const every = Math.max(ms, 1);
    return this.#add(new SimTimer(this.#elapsed + every, this.#made++, every, run));
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#heap.reduce((count, timer) => (timer.run === undefined ? count : count + 1), 0);
  }

  /** Milliseconds until the next timer; undefined when there is none. */
  get untilNext(): number | undefined {
    const next = this.#peek();
    return next === undefined ? undefined : next.at - this.#elapsed;
  }

  /** Lets `ms` pass, and runs every timer that falls due, also those made on the way. What a timer throws is thrown. */
  advance(ms: number): void {
    const target = this.#elapsed + ms;
    while (this.#runNext(target)) {
      // each call runs one timer
    }
    this.#elapsed = Math.max(this.#elapsed, target);
  }

  /** As `advance`, and lets promises and immediate work settle before, between and after the timers. */
  async advanceSettling(ms: number): Promise<void> {
    const target = this.#elapsed + ms;
    await settle();
    while (this.#runNext(target)) await settle();
    this.#elapsed = Math.max(this.#elapsed, target);
  }

  #runNext(target: number): boolean {
    const timer = this.#peek();
    if (timer === undefined || timer.at > target) return false;
    this.#pop();
    this.#elapsed = Math.max(this.#elapsed, timer.at);
    const run = timer.run!;
    if (timer.everyMs > 0) {
      timer.at += timer.everyMs;
      this.#add(timer);
    } else timer.run = undefined;
    run();
    return true;
  }

  #peek(): SimTimer | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.run === undefined) this.#pop();
    return this.#heap[0];
  }

  #add(timer: SimTimer): SimTimer {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(timer);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(timer, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = timer;
    return timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: SimTimer, b: SimTimer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Once around the real event loop: all promises that can settle have settled. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
