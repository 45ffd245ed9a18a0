/** The pool with connections of cardboard and a clock that stands still. */

import { expect, test } from "bun:test";
import { ManualClock, settle } from "../../test/support/manual-clock.ts";
import { StoreOverloaded, StoreUnavailable } from "./errors.ts";
import { Pool, type Poolable } from "./pool.ts";

class Cardboard implements Poolable {
  broken = false;
  ended = false;
  onBroken: (() => void) | undefined;
  destroy(): void {
    this.broken = true;
  }
  async end(): Promise<void> {
    this.ended = true;
  }
  break(): void {
    this.broken = true;
    this.onBroken?.();
  }
}

interface Options {
  size?: number;
  waitersMax?: number;
  connect?: () => Promise<Cardboard>;
  onIdleLost?: () => void;
}

function setUp(options: Options = {}) {
  const clock = new ManualClock();
  const made: Cardboard[] = [];
  const connect =
    options.connect ??
    (async () => {
      const connection = new Cardboard();
      made.push(connection);
      return connection;
    });
  const { size = 2, waitersMax = 100 } = options;
  return {
    clock,
    made,
    pool: new Pool({ clock, connect, size, waitMs: 100, waitersMax, onIdleLost: options.onIdleLost }),
  };
}

const thrown = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

test("connections are opened when needed and used again", async () => {
  const { pool, made } = setUp();
  const first = await pool.acquire();
  pool.release(first);
  expect(await pool.acquire()).toBe(first);
  const second = await pool.acquire();
  expect(second).not.toBe(first);
  pool.release(first);
  pool.release(second);
  expect(await pool.acquire()).toBe(second);
  expect(made).toHaveLength(2);
  expect(pool.stats).toEqual({ used: 1, idle: 1, waiting: 0 });
});

test("who finds none free waits in line", async () => {
  const { pool, clock } = setUp({ size: 1 });
  const connection = await pool.acquire();
  const order: number[] = [];
  const waits = [1, 2].map(async (number) => {
    const got = await pool.acquire();
    order.push(number);
    return got;
  });
  await settle();
  expect(pool.stats.waiting).toBe(2);
  pool.release(connection);
  await settle();
  expect(order).toEqual([1]);
  pool.release(connection);
  expect(await Promise.all(waits)).toEqual([connection, connection]);
  expect(order).toEqual([1, 2]);
  expect(clock.pending).toBe(0);
});

test("waiting ends, and later connections go to later callers", async () => {
  const { pool, clock } = setUp({ size: 1 });
  const connection = await pool.acquire();
  const late = thrown(pool.acquire());
  await clock.advance(100);
  expect(await late).toBeInstanceOf(StoreUnavailable);
  pool.release(connection);
  expect(await pool.acquire()).toBe(connection);
});

test("too many waiting is refused at once", async () => {
  const { pool } = setUp({ size: 1, waitersMax: 1 });
  await pool.acquire();
  void thrown(pool.acquire());
  expect(await thrown(pool.acquire())).toBeInstanceOf(StoreOverloaded);
});

test("broken connections are not handed out, and make room", async () => {
  let lost = 0;
  const { pool, made } = setUp({ size: 1, onIdleLost: () => (lost += 1) });
  const first = await pool.acquire();
  const waiting = pool.acquire();
  first.break();
  pool.release(first);
  const second = await waiting;
  expect(second).not.toBe(first);
  pool.release(second);
  expect(lost).toBe(0);
  second.break(); // while idle
  expect(lost).toBe(1);
  expect(pool.stats.idle).toBe(0);
  expect(await pool.acquire()).not.toBe(second);
  expect(made).toHaveLength(3);
});

test("a failed connection fails its caller, and the next one tries again", async () => {
  let attempts = 0;
  const connect = async () => {
    attempts += 1;
    if (attempts <= 2) throw new StoreUnavailable(`refused ${attempts}`);
    return new Cardboard();
  };
  const { pool } = setUp({ size: 1, connect });
  const results = await Promise.all([thrown(pool.acquire()), thrown(pool.acquire()), thrown(pool.acquire())]);
  expect(results.map((error) => (error as Error | undefined)?.message)).toEqual(["refused 1", "refused 2", undefined]);
});

test("an interruption turns away who waits and drops what is idle", async () => {
  const { pool, made } = setUp({ size: 2 });
  const [first, second] = [await pool.acquire(), await pool.acquire()];
  const waiting = thrown(pool.acquire());
  pool.interrupt(new Error("gone"));
  expect(await waiting).toHaveProperty("message", "gone");
  pool.release(first);
  pool.interrupt(new Error("gone"));
  expect(made[0]?.broken).toBe(true);
  expect(second.broken).toBe(false);
  expect(pool.stats).toEqual({ used: 1, idle: 0, waiting: 0 });
});

test("closing waits for those in use, then takes them away", async () => {
  const { pool, clock } = setUp({ size: 2 });
  const [first, second] = [await pool.acquire(), await pool.acquire()];
  pool.release(first);
  const closed = pool.close(1_000);
  let done = false;
  void closed.then(() => {
    done = true;
  });
  await clock.advance(999);
  expect(first.ended).toBe(true);
  expect(done).toBe(false);
  await clock.advance(1);
  expect(done).toBe(true);
  expect(second.broken).toBe(true);
  expect(await thrown(pool.acquire())).toBeInstanceOf(StoreUnavailable);
});
