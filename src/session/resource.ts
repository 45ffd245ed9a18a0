/** A resource of an account (RFC 6120 section 7), whichever node of the cluster it is bound on. */
import type { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";

/** Who waits for the acknowledgement of the stanza at hand. */
export interface Origin {
  /** The stanza counts as safe only when this has settled (DESIGN section 4). */
  secure(stored: Promise<void>): void;
}

/**
 * What every node knows of a session besides its address, one bit each. They are part of what nodes tell each other, so a
 * bit keeps its meaning for ever.
 */
export const marks = {
  /** The client has sent available presence. */
  available: 1 << 0,
  /** XEP-0198: the stream is gone and the session waits to be resumed. */
  detached: 1 << 1,
  /** XEP-0280: wants copies. */
  carbons: 1 << 2,
  /** RFC 6121 section 2.1.6: has asked for the roster, so it gets pushes. */
  roster: 1 << 3,
  /** XEP-0191: has asked for the block list. */
  blocking: 1 << 4,
  /** XEP-0016: has spoken of privacy lists. */
  privacy: 1 << 5,
  /** XEP-0016: has an active list of its own. */
  privacyActive: 1 << 6,
  /** XEP-0163: its client wants events of some node. */
  events: 1 << 7,
  /** XEP-0352: nobody looks at the client. */
  inactive: 1 << 8,
} as const;

/** One of the bits of `marks`. */
export type Mark = (typeof marks)[keyof typeof marks];

export interface Resource {
  readonly jid: Jid;
  readonly account: Jid;
  /** When it was bound, milliseconds since the epoch; exact to a tenth of a second on other nodes. */
  readonly startedAt: number;
  readonly available: boolean;
  /** Of the last broadcast presence; 0 while not available. */
  readonly priority: number;
  marked(mark: Mark): boolean;
  /**
   * Hands a stanza to this resource: filters of modules first, then the wire. Towards another node, `origin` waits until
   * that node has it, and the promise is back-pressure: there is none as long as the way is clear.
   */
  deliver(stanza: Stanza, origin?: Origin): undefined | Promise<void>;
  /** Shows its last presence to `to`, unless its account blocks that address. */
  present(to: Jid): undefined | Promise<void>;
  /** Ends its stream and the session with this error. */
  close(error: StreamError): void;
}

/** Whether a list names this resource; two objects may stand for one resource of another node. */
export function includesResource(list: readonly Resource[], resource: Resource): boolean {
  for (const one of list) if (one.jid.resource === resource.jid.resource) return true;
  return false;
}
