/** Things that live in the memory of one node at a time, such as an online room, and how all others find them. */
import type { Origin } from "../session/resource.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { MaybePromise } from "./effect.ts";

/**
 * Where the things of one module live, by key. A key that nobody holds has a home too: all nodes name the same one, so that a thing is
 * made once. A node alone is home of everything.
 */
export interface Placement {
  /** The node that holds this key, or is to make what is missing; undefined when that is this one. */
  home(key: string): RemoteHome | undefined;
  /** This node holds the key from now on. */
  claim(key: string): void;
  /** It does no longer: the thing is gone, or rests in the database. */
  release(key: string): void;
  /**
   * After a partition two nodes may hold one key. The one whose claim is older is told, and ends its own: whoever was in it comes back
   * through the other.
   */
  onConflict(handler: (key: string) => void): void;
}

/** The way to a thing on another node. */
export interface RemoteHome {
  /** Hands a stanza to the handler of its served domain on that node; `origin` waits until it has been handled there. */
  forward(stanza: Stanza, origin: Origin | undefined): MaybePromise<void>;
}

/** A node alone. */
export const allHere: Placement = { home: () => undefined, claim() {}, release() {}, onConflict() {} };
