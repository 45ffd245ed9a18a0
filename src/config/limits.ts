/**
 * The limits of the house in one place: what the operator may change (`[limits]`), what is fixed, and how they relate.
 * Limits of a feature are options of its module, limits of one listener are options of the listener.
 */
import { type OptionsOf, option } from "./option.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Limits nobody needs to change: of protocols, or bounds that the others are held against. */
export const FIXED_LIMITS = {
  /** The most that `max_stanza_size` may allow, and what "infinity" means there. */
  stanzaBytesCeiling: 10 * MiB,
  /** What a stanza may at least take, RFC 6120 section 13.12. */
  stanzaBytesFloor: 10_000,
  /** Longest name of an element or attribute with its prefix, in bytes, and longest namespace. */
  xmlNameBytesMax: 256,
  /** Largest message from node to node: the largest stanza, and what travels with it. */
  fabricMessageBytesMax: 12 * MiB,
  /** Namespace prefixes in scope at once, those of the stream header included. */
  xmlPrefixesMax: 32,
} as const;

/** The options of `[limits]`. */
export const limitOptions = {
  pre_auth_stanza_bytes_max: option.integer({
    default: 10_000,
    min: FIXED_LIMITS.stanzaBytesFloor,
    max: 64 * KiB,
    unit: "bytes",
    doc: "Largest element of a client that has not logged in; what `max_stanza_size` says holds after that.",
  }),
  depth_max: option.integer({
    default: 64,
    min: 16,
    max: 512,
    unit: "elements",
    doc: "Deepest nesting of elements in a stanza.",
  }),
  attributes_max: option.integer({
    default: 64,
    min: 16,
    max: 1024,
    unit: "attributes",
    doc: "Most attributes of one element.",
  }),
  write_queue_bytes_max: option.integer({
    default: MiB,
    min: 64 * KiB,
    max: 256 * MiB,
    unit: "bytes",
    doc: "Most bytes held for a client that reads too slowly; over it the connection is cut, counted as `resource-constraint`.",
  }),
  unacknowledged_bytes_max: option.integer({
    default: 4 * MiB,
    min: 64 * KiB,
    max: 256 * MiB,
    unit: "bytes",
    doc: "Most bytes of stanzas (one may be larger) kept for a session until its client acknowledges them; over it the session ends, and its messages go where those for clients that are away go.",
  }),
  connections_per_address_max: option.infinityOr(
    option.integer({
      default: 1000,
      min: 1,
      unit: "connections",
      doc: "Most connections of clients that have not logged in from one address (IPv6: one /64 network).",
    }),
  ),
  unauthenticated_connections_max: option.infinityOr(
    option.integer({
      default: 20_000,
      min: 1,
      unit: "connections",
      doc: "Most connections of clients that have not logged in, of all addresses together.",
    }),
  ),
  sasl_tries_max: option.integer({
    default: 3,
    min: 1,
    max: 100,
    unit: "tries",
    doc: "Failed logins of one connection, the last of which closes it.",
  }),
  bind_tries_max: option.integer({
    default: 5,
    min: 1,
    max: 100,
    unit: "tries",
    doc: "Failed attempts of one connection to bind a resource, the last of which closes it.",
  }),
  user_sessions_max: option.integer({
    default: 100,
    min: 1,
    max: 10_000,
    unit: "sessions",
    doc: "Most sessions of one account where the access rule `max_user_sessions` gives no number.",
  }),
  remembered_sessions_max: option.integer({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: "sessions",
    doc: "Most ended sessions whose last count of stanzas is remembered, for clients that resume too late.",
  }),
  fabric_queue_bytes_max: option.integer({
    default: 16 * MiB,
    min: 16 * MiB,
    max: 1024 * MiB,
    unit: "bytes",
    doc: "Most bytes that wait for one other node of the cluster; what exceeds them is dropped, and it notices.",
  }),
  link_window_bytes_max: option.integer({
    default: 4 * MiB,
    min: MiB,
    max: 256 * MiB,
    unit: "bytes",
    doc: "Stanzas sent to one other node that it has not dealt with, in bytes; over it senders wait.",
  }),
  iq_pending_max: option.integer({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: "requests",
    doc: "Most requests of the server to its clients that may wait for an answer at once.",
  }),
} as const;

/** All limits as code sees them. */
export type Limits = OptionsOf<typeof limitOptions> & typeof FIXED_LIMITS;

/** What the limits would be with an empty file; for tests and tools. */
export const DEFAULT_LIMITS: Limits = Object.freeze({
  ...FIXED_LIMITS,
  ...(Object.fromEntries(
    Object.entries(limitOptions).map(([name, { default: value }]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  ) as OptionsOf<typeof limitOptions>),
});

/** Two limits that contradict each other: which option to change, and why. */
export interface LimitConflict {
  readonly option: keyof typeof limitOptions;
  readonly text: string;
}

/**
 * The relations between limits; empty when all hold.
 * @param stanzaBytesMax the largest stanza that any listener takes
 */
export function limitConflicts(limits: Limits, stanzaBytesMax: number): LimitConflict[] {
  const conflicts: LimitConflict[] = [];
  const atMost = (option: LimitConflict["option"], smaller: number, greater: number, text: string): void => {
    if (smaller > greater) conflicts.push({ option, text });
  };
  atMost(
    "write_queue_bytes_max",
    stanzaBytesMax,
    limits.writeQueueBytesMax,
    `found ${limits.writeQueueBytesMax}; allowed: at least the largest max_stanza_size of a listener, ${stanzaBytesMax}`,
  );
  atMost(
    "pre_auth_stanza_bytes_max",
    limits.preAuthStanzaBytesMax,
    stanzaBytesMax,
    `found ${limits.preAuthStanzaBytesMax}; allowed: at most the largest max_stanza_size of a listener, ${stanzaBytesMax}`,
  );
  atMost(
    "connections_per_address_max",
    limits.connectionsPerAddressMax,
    Math.max(limits.unauthenticatedConnectionsMax, DEFAULT_LIMITS.connectionsPerAddressMax),
    `found ${limits.connectionsPerAddressMax}; allowed: at most unauthenticated_connections_max, ${limits.unauthenticatedConnectionsMax}`,
  );
  atMost(
    "link_window_bytes_max",
    2 * limits.linkWindowBytesMax,
    limits.fabricQueueBytesMax,
    `found ${limits.linkWindowBytesMax}; allowed: at most half of fabric_queue_bytes_max, ${limits.fabricQueueBytesMax / 2}`,
  );
  return conflicts;
}
