/** Who is in which room: from the database, or from memory where the operator lets it be remembered. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { MaybePromise } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { then } from "../../util/maybe-promise.ts";
import type { Occupants } from "./affiliations.ts";
import type { LightStore } from "./light-store.ts";
import { OccupantsCache, type Present } from "./occupants-cache.ts";
import type { MucLightOptions } from "./options.ts";

export class Occupancy {
  readonly #store: LightStore;
  readonly #cache: OccupantsCache | undefined;
  /** Tells other nodes that a room has other occupants. */
  readonly #tell: (room: string) => void;

  constructor(store: LightStore, { options, clock, notices, metrics }: ModuleContext<MucLightOptions>) {
    this.#store = store;
    const cache = options.cacheAffs === undefined ? undefined : new OccupantsCache(clock, options.cacheAffs);
    this.#cache = cache;
    this.#tell = notices("muc-light", (room) => {
      if (room === undefined) cache?.forgetAll();
      else cache?.forget(room);
    });
    if (cache === undefined) return;
    metrics.total("cache_hits_total", "Rooms whose occupants were remembered", () => cache.hits);
    metrics.total("cache_misses_total", "Rooms whose occupants were read", () => cache.misses);
    metrics.gauge("cache_occupants", "Occupants that are remembered", () => cache.occupants);
  }

  /** Undefined when there is no such room. */
  of(room: string): MaybePromise<Present | undefined> {
    const known = this.#cache?.get(room);
    if (known !== undefined) return known;
    const changes = this.#cache?.changes ?? 0;
    const found = this.#store.occupants(room);
    if (found instanceof Promise) return found.then((occupants) => this.#learn(room, occupants, changes));
    return this.#learn(room, found, changes);
  }

  #learn(room: string, affiliations: Occupants, changes: number): Present | undefined {
    if (affiliations.size === 0) return undefined;
    const present = { affiliations, addresses: addressesOf(affiliations.keys()) };
    this.#cache?.set(room, present, changes);
    return present;
  }

  /** As `of`, for one of them. @throws StanzaError item-not-found for everybody else, who does not learn whether there is a room. */
  seenBy(account: Jid, room: string): MaybePromise<Present> {
    return then(this.of(room), (present) => only(present, account));
  }

  /** A room has other occupants, here and for all other nodes. */
  changed(room: string): void {
    this.#cache?.forget(room);
    this.#tell(room);
  }
}

/** @throws StanzaError item-not-found for whoever is not in the room. */
export function only(present: Present | undefined, account: Jid): Present {
  if (present?.affiliations.has(account.bare) !== true) throw noRoom();
  return present;
}

export function addressesOf(jids: Iterable<string>): Jid[] {
  const addresses: Jid[] = [];
  for (const jid of jids) {
    const address = parseJid(jid);
    if (address !== undefined) addresses.push(address);
  }
  return addresses;
}

export function noRoom(): StanzaError {
  return new StanzaError("item-not-found", { text: "You are in no such room" });
}
