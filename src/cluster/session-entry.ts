/** What is read out of the session directory: a view that costs nothing, and a copy that can be kept. */
import type { NodeIdentity } from "./fabric/fabric.ts";

/** Bits of a session's marks; the numbers travel between nodes and never change their meaning. */
export const SessionMarks = {
  /** It has sent available presence. */
  available: 1 << 0,
  /** Its stream is gone and it waits to be resumed. */
  detached: 1 << 1,
} as const;

/** A session as the directory knows it. A view is valid inside the call that shows it; `copy` what is to be kept. */
export interface SessionEntry {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
  readonly owner: NodeIdentity;
  /** Unique in the life of its owner. */
  readonly serial: number;
  /** Milliseconds since the epoch, in steps of 100. */
  readonly startedAt: number;
  readonly priority: number;
  /** See `SessionMarks`. */
  readonly marks: number;
}

/** A session that its node publishes. */
export interface PublishedSession {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
  readonly serial: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly priority: number;
  readonly marks: number;
}

export function copyEntry(entry: SessionEntry): SessionEntry {
  const { local, domain, resource, owner, serial, startedAt, priority, marks } = entry;
  return { local, domain, resource, owner, serial, startedAt, priority, marks };
}
