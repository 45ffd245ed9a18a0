/** Things that live in the memory of one node at a time, such as an online room, and how all others find them. */
import type { Origin } from "../session/resource.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { MaybePromise } from "./effect.ts";

/**
 * Where the things of one module live, by key. A key that nobody holds has a home too: all nodes name the same one, so that a thing is
 * made once. A node alone is home of everything.
 */
export interface Placement {
  /** The node that holds this key, or is to make what is missing; undefined when that is this one. While a thing moves, what is forwarded waits. */
  home(key: string): RemoteHome | undefined;
  /** The number of that node; undefined when it is this one. */
  nodeOf(key: string): number | undefined;
  /** This node holds the key from now on. All nodes know the note, which is small and plain data; a later call replaces it. */
  claim(key: string, note?: unknown): void;
  /** It does no longer: the thing is gone, or rests in the database. */
  release(key: string): void;
  /**
   * After a partition two nodes may hold one key. The one whose claim is older is told, and ends its own: whoever was in it comes back
   * through the other.
   */
  onConflict(handler: (key: string) => void): void;
  /** How things move to another node when this one is drained. */
  moves(things: MovableThings): void;
  /** What other nodes hold, with the notes they have given. */
  elsewhere(): Iterable<{ readonly key: string; readonly note: unknown }>;
  /** Asks the same module of all other nodes; resolves to the answers of those that have given one. */
  askOthers(question: unknown): Promise<readonly unknown[]>;
  /** Answers such questions. */
  onQuestion(handler: (question: unknown) => unknown): void;
}

/** The way to a thing on another node. */
export interface RemoteHome {
  /** Hands a stanza to the handler of its served domain on that node; `origin` waits until it has been handled there. */
  forward(stanza: Stanza, origin: Origin | undefined): MaybePromise<void>;
}

/** Things that can go on at another node. */
export interface MovableThings {
  /** Whether a key is one of these; hosts share a placement. */
  has(key: string): boolean;
  /**
   * No stanza for it comes in any more, until `settled`. Resolves, when what was under way is done and all of it sent, to the thing as plain
   * data; to undefined when there is nothing to move, for it is gone or rests in the database (and is released). Rejects when that takes too long.
   */
  pack(key: string): Promise<unknown>;
  /** It lives at another node now and is forgotten here without a word; or it has stayed and goes on. */
  settled(key: string, moved: boolean): void;
  /** Goes on with it here, and claims the key. False when it cannot. */
  unpack(key: string, data: unknown): boolean;
}

/** A node alone. */
export const allHere: Placement = {
  home: () => undefined,
  nodeOf: () => undefined,
  claim() {},
  release() {},
  onConflict() {},
  moves() {},
  elsewhere: () => [],
  askOthers: async () => [],
  onQuestion() {},
};
