/** Many coarse timeouts (one per connection) for the price of one timer: adding, moving and cancelling are O(1). */
import type { Clock, Timer } from "./clock.ts";

/** What a timeout belongs to. */
export interface WheelOwner {
  /** The time is up; `timeout` may be started again. */
  timedOut(timeout: WheelTimeout): void;
}

/** One timeout, made once by its owner and started, moved and cancelled as often as needed. */
export class WheelTimeout {
  readonly owner: WheelOwner;
  /** Internal to the wheel: neighbours in the slot's ring, undefined while idle. */
  next: WheelTimeout | undefined = undefined;
  previous: WheelTimeout | undefined = undefined;
  /** Internal to the wheel: the tick at which the time is up. */
  deadline = 0;

  constructor(owner: WheelOwner) {
    this.owner = owner;
  }

  get running(): boolean {
    return this.next !== undefined;
  }
}

const nobody: WheelOwner = { timedOut() {} };

/**
 * A hashed wheel. A timeout runs no earlier than asked and up to one `tickMs` later. While nothing is running the wheel
 * has no timer. A turn runs at most one lap of slots however late it comes (a machine that slept).
 */
export class TimerWheel {
  readonly tickMs: number;
  readonly #clock: Clock;
  readonly #failed: (error: unknown) => void;
  readonly #heads: WheelTimeout[] = [];
  readonly #mask: number;
  readonly #origin: number;
  #tick = 0;
  #count = 0;
  #timer: Timer | undefined = undefined;

  /** `slots` must be a power of two; more slots make long timeouts cheaper. `failed` hears what an owner throws. */
  constructor(clock: Clock, failed: (error: unknown) => void, tickMs = 1000, slots = 512) {
    if (slots < 2 || (slots & (slots - 1)) !== 0) throw new RangeError(`slots must be a power of two, not ${slots}`);
    if (!(tickMs > 0)) throw new RangeError(`tickMs must be positive, not ${tickMs}`);
    this.tickMs = tickMs;
    this.#clock = clock;
    this.#failed = failed;
    this.#mask = slots - 1;
    this.#origin = clock.monotonic();
    for (let slot = 0; slot < slots; slot++) {
      const head = new WheelTimeout(nobody);
      head.next = head;
      head.previous = head;
      this.#heads.push(head);
    }
  }

  /** Timeouts that are running. */
  get size(): number {
    return this.#count;
  }

  /** Starts the timeout, or moves it when it is running already. */
  start(timeout: WheelTimeout, ms: number): void {
    if (timeout.next !== undefined) this.#unlink(timeout);
    const now = this.#clock.monotonic() - this.#origin;
    // An idle wheel did not turn: it continues from now.
    if (this.#timer === undefined) this.#tick = Math.floor(now / this.tickMs);
    timeout.deadline = Math.max(Math.ceil((now + ms) / this.tickMs), this.#tick + 1);
    const head = this.#heads[timeout.deadline & this.#mask]!;
    const last = head.previous!;
    last.next = timeout;
    timeout.previous = last;
    timeout.next = head;
    head.previous = timeout;
    this.#count++;
    this.#timer ??= this.#clock.every(this.tickMs, () => this.#turn());
  }

  /** Does nothing when the timeout is not running. */
  cancel(timeout: WheelTimeout): void {
    if (timeout.next !== undefined) this.#unlink(timeout);
  }

  /** Cancels everything. */
  stop(): void {
    for (const head of this.#heads) while (head.next !== head) this.#unlink(head.next!);
    this.#rest();
  }

  #unlink(timeout: WheelTimeout): void {
    timeout.previous!.next = timeout.next;
    timeout.next!.previous = timeout.previous;
    timeout.next = undefined;
    timeout.previous = undefined;
    this.#count--;
  }

  #rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #turn(): void {
    const target = Math.floor((this.#clock.monotonic() - this.#origin) / this.tickMs);
    if (target <= this.#tick) return;
    const from = Math.max(this.#tick + 1, target - this.#mask);
    this.#tick = target;
    for (let tick = from; tick <= target; tick++) this.#runSlot(this.#heads[tick & this.#mask]!, target);
    if (this.#count === 0) this.#rest();
  }

  #runSlot(head: WheelTimeout, target: number): void {
    // First take out what is due, into a ring of its own, since owners may start and cancel timeouts meanwhile.
    const due = new WheelTimeout(nobody);
    due.next = due;
    due.previous = due;
    for (let timeout = head.next!; timeout !== head; ) {
      const following = timeout.next!;
      if (timeout.deadline <= target) {
        timeout.previous!.next = following;
        following.previous = timeout.previous;
        timeout.previous = due.previous;
        due.previous!.next = timeout;
        timeout.next = due;
        due.previous = timeout;
      }
      timeout = following;
    }
    while (due.next !== due) {
      const timeout = due.next!;
      this.#unlink(timeout);
      try {
        timeout.owner.timedOut(timeout);
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}
