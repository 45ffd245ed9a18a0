/** Collects what a stanza from another node waits for, so that it is acknowledged there when it is safe here. */
import type { Origin } from "../../session/resource.ts";

export class Gathering implements Origin {
  #stored: Promise<void>[] | undefined = undefined;

  secure(stored: Promise<void>): void {
    this.#stored ??= [];
    this.#stored.push(stored);
  }

  /** Resolves when the stanza has been handled and all that was gathered has settled; undefined when that is so already. */
  settled(handled: void | Promise<void>): Promise<void> | undefined {
    if (!(handled instanceof Promise) && this.#stored === undefined) return undefined;
    return Promise.resolve(handled).then(async () => {
      await Promise.allSettled(this.#stored ?? []);
    });
  }
}
