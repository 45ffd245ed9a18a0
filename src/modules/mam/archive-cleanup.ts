/** Removes what is too old or too much, archive by archive, in small steps with pauses, so that nobody notices. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { lastIdAt } from "../../util/time-ids.ts";
import type { ArchiveStore } from "./archive-store.ts";

export interface Retention {
  /** Both may be Infinity. */
  readonly maxAgeMs: number;
  readonly maxMessages: number;
}

export type CleanupHouse = Pick<ModuleContext<unknown>, "domain" | "clock" | "log">;

/** The first look after the start, when clients are not all logging in any more. */
const firstAfterMs = 60_000;
/** Between steps, each of which takes some milliseconds of the database. */
const pauseMs = 20;

export class ArchiveCleanup {
  readonly #house: CleanupHouse;
  readonly #store: ArchiveStore;
  readonly #intervalMs: number;
  readonly #retentionOf: (owner: string) => Retention | undefined;
  #stopped = false;

  /** `retentionOf`: undefined for archives of other hosts. */
  constructor(
    house: CleanupHouse,
    store: ArchiveStore,
    intervalMs: number,
    retentionOf: (owner: string) => Retention | undefined,
  ) {
    this.#house = house;
    this.#store = store;
    this.#intervalMs = intervalMs;
    this.#retentionOf = retentionOf;
  }

  start(): void {
    this.#schedule(Math.min(firstAfterMs, this.#intervalMs));
  }

  stop(): void {
    this.#stopped = true;
  }

  #schedule(ms: number): void {
    this.#house.clock.after(ms, () => {
      if (this.#stopped) return;
      this.#run().finally(() => {
        if (!this.#stopped) this.#schedule(this.#intervalMs);
      });
    });
  }

  async #run(): Promise<void> {
    const { domain, clock, log } = this.#house;
    try {
      const now = clock.now();
      // A little early, so that a node which looks a moment before the time does not wait for another round.
      if (await this.#store.claimCleanup(domain, now, now + Math.floor(this.#intervalMs * 0.9))) await this.#walk();
    } catch (error) {
      log.warn({ err: error }, "Archives could not be cleaned; trying again later");
    }
  }

  async #walk(): Promise<void> {
    let owner: string | undefined = "";
    while (!this.#stopped) {
      owner = await this.#store.ownerAfter(owner);
      if (owner === undefined) return;
      const retention = this.#retentionOf(owner);
      if (retention !== undefined) await this.#clean(owner, retention);
      await this.#pause();
    }
  }

  async #clean(owner: string, { maxAgeMs, maxMessages }: Retention): Promise<void> {
    if (Number.isFinite(maxAgeMs)) await this.#removeUpTo(owner, lastIdAt(this.#house.clock.now() - maxAgeMs - 1));
    if (!Number.isFinite(maxMessages)) return;
    const surplus = await this.#store.surplus(owner, maxMessages);
    if (surplus !== undefined) await this.#removeUpTo(owner, surplus);
  }

  async #removeUpTo(owner: string, id: bigint): Promise<void> {
    while (!this.#stopped && (await this.#store.removeSome(owner, id))) await this.#pause();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#house.clock.after(pauseMs, resolve));
  }
}
