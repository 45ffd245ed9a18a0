/** Many small writes, few commits: writes of about 5 ms share a transaction, and each writer learns when its own is safe. */

import type { Clock, Timer } from "../util/clock.ts";
import type { AnyDatabase } from "./engine.ts";
import { isRetriable, StoreOverloaded, StoreUnavailable } from "./errors.ts";
import { fitsOneStatement, insertAny, type OnConflict, type Row, rowChars } from "./rows.ts";
import type { Store } from "./store.ts";

/** A row to insert; rows for the same table, with the same columns and conflict rule, travel in one statement. */
export interface InsertWrite {
  table: string;
  row: Row;
  onConflict?: OnConflict;
}

/**
 * Any statements, in the batch's transaction. It runs again when the batch has to, so it must touch nothing but `trx`.
 * What it throws rejects this write only.
 */
export interface RunWrite {
  run(trx: AnyDatabase): Promise<void>;
  /** About how many characters it keeps in memory, for the queue's limit (default 1,000). */
  chars?: number;
}

export type Write = InsertWrite | RunWrite;

export interface GroupCommitOptions {
  /** How long the first write of a batch waits for company, in milliseconds (default 5). */
  delayMs?: number;
  /** Most writes in one transaction (default 500). */
  batchMax?: number;
  /** Most writes, and most characters, queued or being written (default 10,000 and 32 million). */
  queueMax?: number;
  queueCharsMax?: number;
  /** How long a batch waits for a database that is away before its writers are told, in milliseconds (default 3,000). */
  patienceMs?: number;
  /** Told after every batch, for metrics. */
  onBatch?: (writes: number, ms: number, ok: boolean) => void;
}

const retryDelayMinMs = 10;
const retryDelayMaxMs = 250;

interface Pending {
  readonly write: Write;
  readonly chars: number;
  readonly addedAt: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Waiter {
  isDue(): boolean;
  resolve(): void;
}

/**
 * Writes happen in the order they were added, batch after batch. Within a batch, rows of one table keep their order,
 * while inserts into different tables may change places unless a `run` lies between them.
 * A promise resolves when its write is committed, and rejects when it is not, or when nobody can know
 * (StoreUnavailable with outcome "unknown": the connection broke while committing).
 */
export class GroupCommit {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #options: Required<GroupCommitOptions>;
  #queue: Pending[] = [];
  #inFlight = 0;
  #chars = 0;
  #added = 0;
  #settled = 0;
  /** Writes up to this count shall not wait for company. */
  #urgentUntil = 0;
  #timer: Timer | undefined;
  #working = false;
  #closed = false;
  #waiters: Waiter[] = [];

  constructor(store: Store, clock: Clock, options: GroupCommitOptions = {}) {
    this.#store = store;
    this.#clock = clock;
    this.#options = {
      delayMs: options.delayMs ?? 5,
      batchMax: options.batchMax ?? 500,
      queueMax: options.queueMax ?? 10_000,
      queueCharsMax: options.queueCharsMax ?? 32_000_000,
      patienceMs: options.patienceMs ?? 3_000,
      onBatch: options.onBatch ?? (() => {}),
    };
  }

  /** Writes queued or being written. */
  get length(): number {
    return this.#queue.length + this.#inFlight;
  }

  /** Half full: whoever can wait should, until `whenDrained`. At twice that, `add` refuses. */
  get full(): boolean {
    return this.length * 2 >= this.#options.queueMax || this.#chars * 2 >= this.#options.queueCharsMax;
  }

  /** Resolves when no more than a quarter of the queue is taken; at once when that is so. */
  whenDrained(): Promise<void> {
    const { queueMax, queueCharsMax } = this.#options;
    return this.#when(() => this.length * 4 <= queueMax && this.#chars * 4 <= queueCharsMax);
  }

  /**
   * Resolves once the write is committed.
   * @throws StoreOverloaded when the queue is full, StoreUnavailable when the database is away or this is closed,
   * StoreConflict, ValueTooLong and the like when the database refuses this write.
   */
  add(write: Write): Promise<void> {
    if (this.#closed) {
      return Promise.reject(new StoreUnavailable("the store is closing", { outcome: "not-applied" }));
    }
    const { queueMax, queueCharsMax, batchMax } = this.#options;
    const chars = "row" in write ? rowChars(write.row) : (write.chars ?? 1_000);
    if (this.length >= queueMax || (this.#chars > 0 && this.#chars + chars > queueCharsMax)) {
      return Promise.reject(new StoreOverloaded(`${this.length} writes wait for the database already`));
    }
    return new Promise<void>((resolve, reject) => {
      this.#queue.push({ write, chars, addedAt: this.#clock.monotonic(), resolve, reject });
      this.#chars += chars;
      this.#added += 1;
      if (this.#working) return;
      if (this.#queue.length >= batchMax) this.#start();
      else this.#timer ??= this.#clock.after(this.#options.delayMs, () => this.#start());
    });
  }

  /** Writes what was added before this call without waiting for company; resolves when each of them is settled. */
  flush(): Promise<void> {
    const until = this.#added;
    this.#urgentUntil = until;
    if (!this.#working && this.#queue.length > 0) this.#start();
    return this.#when(() => this.#settled >= until);
  }

  /** Refuses further writes and settles those added before. */
  close(): Promise<void> {
    this.#closed = true;
    return this.flush();
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#working = true;
    void this.#work();
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      const first = this.#queue[0] as Pending;
      const dueInMs = first.addedAt + this.#options.delayMs - this.#clock.monotonic();
      const urgent = this.#settled < this.#urgentUntil || this.#queue.length >= this.#options.batchMax;
      if (dueInMs > 0 && !urgent) {
        this.#timer = this.#clock.after(dueInMs, () => this.#start());
        break;
      }
      const batch = this.#queue.splice(0, this.#options.batchMax);
      this.#inFlight = batch.length;
      const started = this.#clock.monotonic();
      const ok = await this.#commit(batch, started + this.#options.patienceMs);
      this.#inFlight = 0;
      this.#options.onBatch(batch.length, this.#clock.monotonic() - started, ok);
      this.#wake();
    }
    this.#working = false;
  }

  /** Settles every write of `batch`; true when all of them were written. */
  async #commit(batch: readonly Pending[], deadline: number): Promise<boolean> {
    const failure = await this.#attempt(batch, deadline);
    if (failure === undefined) {
      for (const pending of batch) this.#settle(pending, undefined);
      return true;
    }
    if (failure.error instanceof StoreUnavailable || batch.length === 1) {
      for (const pending of batch) this.#settle(pending, failure.error);
      return false;
    }
    // One of them is bad: halve until it stands alone. Its neighbours, in order, are written all the same.
    const middle = batch.length >> 1;
    const left = await this.#commit(batch.slice(0, middle), deadline);
    const right = await this.#commit(batch.slice(middle), deadline);
    return left && right;
  }

  /** One transaction, again while the trouble is passing and surely left nothing behind. */
  async #attempt(batch: readonly Pending[], deadline: number): Promise<{ error: unknown } | undefined> {
    let delayMs = retryDelayMinMs;
    for (;;) {
      try {
        await this.#transact(batch);
        return undefined;
      } catch (error) {
        if (!isRetriable(error) || this.#clock.monotonic() + delayMs > deadline) return { error };
      }
      await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
      delayMs = Math.min(delayMs * 2, retryDelayMaxMs);
    }
  }

  async #transact(batch: readonly Pending[]): Promise<void> {
    const steps = planWrites(batch.map((pending) => pending.write));
    const [first] = steps;
    if (
      steps.length === 1 &&
      first !== undefined &&
      "rows" in first &&
      fitsOneStatement(this.#store.dialect, first.rows)
    ) {
      await insertAny(this.#store.db, first.table, first.rows, first.onConflict); // atomic by itself
      return;
    }
    await this.#store.db.transaction().execute(async (trx) => {
      for (const step of steps) {
        if ("rows" in step) await insertAny(trx, step.table, step.rows, step.onConflict);
        else await step.run(trx);
      }
    });
  }

  #settle(pending: Pending, error: unknown): void {
    this.#chars -= pending.chars;
    this.#settled += 1;
    if (error === undefined) pending.resolve();
    else pending.reject(error);
  }

  #when(isDue: () => boolean): Promise<void> {
    if (isDue()) return Promise.resolve();
    return new Promise<void>((resolve) => this.#waiters.push({ isDue, resolve }));
  }

  #wake(): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!waiter.isDue()) return true;
      waiter.resolve();
      return false;
    });
  }
}

export interface InsertStep {
  table: string;
  rows: Row[];
  onConflict: OnConflict;
}

/** The statements that a batch becomes. Exported for its test. */
export function planWrites(writes: readonly Write[]): (InsertStep | RunWrite)[] {
  const steps: (InsertStep | RunWrite)[] = [];
  let open = new Map<string, OpenStep>();
  for (const write of writes) {
    if (!("row" in write)) {
      steps.push(write);
      open = new Map(); // what follows may rely on it
      continue;
    }
    const { table, row, onConflict = "fail" } = write;
    // PostgreSQL refuses to update the same row twice in one statement.
    const key = typeof onConflict === "object" ? keyOf(row, onConflict.key) : undefined;
    const last = open.get(table);
    if (
      last !== undefined &&
      sameConflict(last.step.onConflict, onConflict) &&
      sameColumns(last.step.rows[0] as Row, row) &&
      (key === undefined || !last.keys.has(key))
    ) {
      last.step.rows.push(row);
      if (key !== undefined) last.keys.add(key);
      continue;
    }
    const step: InsertStep = { table, rows: [row], onConflict };
    steps.push(step);
    open.set(table, { step, keys: new Set(key === undefined ? [] : [key]) });
  }
  return steps;
}

interface OpenStep {
  step: InsertStep;
  keys: Set<string>;
}

function sameColumns(first: Row, second: Row): boolean {
  let more = 0;
  for (const column in first) {
    if (!(column in second)) return false;
    more++;
  }
  for (const _ in second) more--;
  return more === 0;
}

function sameConflict(first: OnConflict, second: OnConflict): boolean {
  if (first === second) return true;
  if (typeof first === "string" || typeof second === "string" || "merge" in first || "merge" in second) return false;
  return sameNames(first.key, second.key) && sameNames(first.update, second.update);
}

function sameNames(first: "all" | readonly string[], second: "all" | readonly string[]): boolean {
  if (typeof first === "string" || typeof second === "string") return first === second;
  return first.length === second.length && first.every((name, place) => name === second[place]);
}

function keyOf(row: Row, columns: readonly string[]): string {
  let key = "";
  for (const column of columns) key += `${String(row[column])}\u0000`;
  return key;
}
