/** A bounded pool of connections whose every wait ends: connections are reused newest first, waiters are served in order. */

import type { Clock, Timer } from "../util/clock.ts";
import { StoreOverloaded, StoreUnavailable } from "./errors.ts";

/** What the pool must know of a connection. */
export interface Poolable {
  /** Set once the connection can carry no further query. */
  readonly broken: boolean;
  /** Told by the connection, at most once, when it breaks while nobody uses it. */
  onBroken: (() => void) | undefined;
  /** Drops it at once. */
  destroy(): void;
  /** Says goodbye to the server first; never rejects. */
  end(): Promise<void>;
}

export interface PoolOptions<C extends Poolable> {
  clock: Clock;
  /** Opens one connection, bounded in time by itself. */
  connect: () => Promise<C>;
  /** Most connections at once. */
  size: number;
  /** Longest wait for a connection, in milliseconds. */
  waitMs: number;
  /** Most callers waiting at once. */
  waitersMax: number;
  /** Told when a connection broke that nobody used: perhaps the server went away. */
  onIdleLost?: () => void;
}

interface Waiter<C> {
  resolve: (connection: C) => void;
  reject: (error: Error) => void;
  timer: Timer;
}

export class Pool<C extends Poolable> {
  readonly #options: PoolOptions<C>;
  readonly #idle: C[] = [];
  readonly #used = new Set<C>();
  readonly #waiters = new Set<Waiter<C>>();
  #connecting = 0;
  #closed = false;
  #whenEmpty: (() => void) | undefined;

  constructor(options: PoolOptions<C>) {
    this.#options = options;
  }

  get stats(): { used: number; idle: number; waiting: number } {
    return { used: this.#used.size, idle: this.#idle.length, waiting: this.#waiters.size };
  }

  /**
   * A connection of one's own until `release`.
   * @throws StoreUnavailable when none could be opened or came free in time, StoreOverloaded when too many wait already.
   */
  async acquire(): Promise<C> {
    if (this.#closed) throw closedError();
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.broken) continue;
      this.#used.add(connection);
      return connection;
    }
    if (this.#waiters.size >= this.#options.waitersMax) {
      throw new StoreOverloaded(`${this.#waiters.size} queries wait for a database connection already`);
    }
    const waiting = new Promise<C>((resolve, reject) => {
      const waiter: Waiter<C> = {
        resolve,
        reject,
        timer: this.#options.clock.after(this.#options.waitMs, () => {
          this.#waiters.delete(waiter);
          const { waitMs, size } = this.#options;
          reject(
            new StoreUnavailable(`no database connection came free within ${waitMs} ms (pool of ${size})`, {
              outcome: "not-applied",
            }),
          );
        }),
      };
      this.#waiters.add(waiter);
    });
    this.#connectForWaiters();
    return waiting;
  }

  release(connection: C): void {
    if (!this.#used.delete(connection)) return;
    if (this.#closed) {
      void connection.end();
      if (this.#used.size === 0) this.#whenEmpty?.();
      return;
    }
    if (connection.broken) this.#connectForWaiters();
    else this.#offer(connection);
  }

  /** Drops what is idle and turns away who waits: the server is gone, and connections to it are dead or will be. */
  interrupt(reason: Error): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
    this.#rejectWaiters(reason);
  }

  /** Ends every connection, those in use when they are released or after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#rejectWaiters(closedError());
    await Promise.all(this.#idle.splice(0).map((connection) => connection.end()));
    if (this.#used.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(graceMs, resolve);
      this.#whenEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
    for (const connection of this.#used) connection.destroy();
  }

  #connectForWaiters(): void {
    let wanted = this.#waiters.size - this.#connecting;
    while (wanted-- > 0 && this.#used.size + this.#idle.length + this.#connecting < this.#options.size) {
      this.#connecting += 1;
      this.#options.connect().then(
        (connection) => {
          this.#connecting -= 1;
          if (this.#closed) {
            void connection.end();
            return;
          }
          connection.onBroken = () => this.#forget(connection);
          this.#offer(connection);
        },
        (error) => {
          this.#connecting -= 1;
          const waiter = this.#nextWaiter();
          if (waiter === undefined) return;
          waiter.reject(error);
          this.#connectForWaiters();
        },
      );
    }
  }

  #offer(connection: C): void {
    const waiter = this.#nextWaiter();
    if (waiter === undefined) {
      this.#idle.push(connection);
      return;
    }
    this.#used.add(connection);
    waiter.resolve(connection);
  }

  #nextWaiter(): Waiter<C> | undefined {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.timer.cancel();
      return waiter;
    }
    return undefined;
  }

  #rejectWaiters(reason: Error): void {
    for (let waiter = this.#nextWaiter(); waiter !== undefined; waiter = this.#nextWaiter()) waiter.reject(reason);
  }

  #forget(connection: C): void {
    const index = this.#idle.indexOf(connection);
    if (index < 0) return;
    this.#idle.splice(index, 1);
    this.#options.onIdleLost?.();
  }
}

function closedError(): StoreUnavailable {
  return new StoreUnavailable("the store is closed", { outcome: "not-applied" });
}
