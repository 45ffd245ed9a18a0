/** Features by advertised hash: verified once, true for every client with that hash. Shared by the hosts of a node. */
import type { Store } from "../../store/store.ts";

/** Most characters of one client's features, and of all together. */
const entryCharsMax = 65_536;
const totalCharsMax = 16_000_000;

interface Entry {
  readonly features: readonly string[];
  readonly chars: number;
}

/** Forgets what was used longest ago; it is asked for again when a client advertises it. */
export class CapsCache {
  readonly #entries = new Map<string, Entry>();
  readonly #entriesMax: number;
  #chars = 0;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): readonly string[] | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.features;
  }

  /** Too large an entry is not kept. */
  set(key: string, features: readonly string[]): void {
    const chars = features.reduce((sum, feature) => sum + feature.length, key.length);
    if (chars > entryCharsMax) return;
    this.#delete(key);
    this.#entries.set(key, { features, chars });
    this.#chars += chars;
    while (this.#entries.size > this.#entriesMax || this.#chars > totalCharsMax) {
      this.#delete(this.#entries.keys().next().value!);
    }
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#chars -= entry.chars;
  }
}

/** A node has one store, so what belongs to the same store is of the same node. */
const caches = new WeakMap<Store, CapsCache>();

/** The cache of a node; its size is that of the first host. */
export function sharedCache(store: Store, entriesMax: number): CapsCache {
  let cache = caches.get(store);
  if (cache === undefined) {
    cache = new CapsCache(entriesMax);
    caches.set(store, cache);
  }
  return cache;
}
