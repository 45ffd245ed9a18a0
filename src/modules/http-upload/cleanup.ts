/** Removes files whose time is over, and slots that were not used, a few at a time with pauses, so that nobody notices. */

import { removalFailure } from "./local-storage.ts";
import { isOrphan, isStored, type RemovableUpload } from "./upload-store.ts";
import type { Uploads, UploadsHouse } from "./uploads.ts";

const intervalMs = 60_000;
const stepRows = 50;
const pauseMs = 50;
/** What could not be removed is tried again then. */
const againMs = 10 * 60_000;

/** Every node cleans; what two of them remove at once is gone all the same. */
export class UploadCleanup {
  readonly #house: UploadsHouse;
  readonly #uploads: Uploads;
  #stopped = false;

  constructor(house: UploadsHouse, uploads: Uploads) {
    this.#house = house;
    this.#uploads = uploads;
  }

  start(): void {
    // Nodes that start together do not clean together.
    this.#schedule(intervalMs * (0.5 + this.#house.random.next()));
  }

  stop(): void {
    this.#stopped = true;
  }

  #schedule(ms: number): void {
    this.#house.clock.after(ms, () => {
      if (this.#stopped) return;
      this.#run().finally(() => {
        if (!this.#stopped) this.#schedule(intervalMs);
      });
    });
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#house;
    try {
      while (!this.#stopped) {
        const due = await this.#uploads.store.due(this.#house.domain, clock.now(), stepRows);
        for (const upload of due) await this.#clean(upload);
        if (due.length < stepRows) return;
        await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
      }
    } catch (error) {
      log.warn({ err: error }, "Uploads could not be cleaned; trying again later");
    }
  }

  async #clean(upload: RemovableUpload): Promise<void> {
    const { clock, log } = this.#house;
    const { store } = this.#uploads;
    const now = clock.now();
    try {
      const over = isStored(upload) || isOrphan(upload) || (upload.expires_at ?? now + 1) <= now;
      if (!over && (await this.#uploads.isFilled(upload)))
        await store.stored(upload.token, now, upload.content_type, upload.expires_at);
      else await this.#uploads.remove(upload);
    } catch (error) {
      log.warn(removalFailure(error, upload.token), "a file could not be removed; trying again later");
      await store.postpone(upload.token, now + againMs);
    }
  }
}
