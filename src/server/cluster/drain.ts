/** Taking a node out without its users noticing: its rooms and sessions move to others before it stops (DESIGN section 5, hand-over). */
import type { Log } from "../../observe/log.ts";
import type { Session } from "../../session/session.ts";
import { StreamError } from "../../stanza/errors.ts";
import { managementOf } from "../../stream/session-keeper.ts";
import type { Clock } from "../../util/clock.ts";
import type { Core } from "../core.ts";
import type { ClusterNode } from "./cluster-node.ts";

/** Sessions that move together: all nodes keep what is for them meanwhile, so few at a time make the silence short. */
const batchSessions = 100;
/** Several batches are on their way to different nodes at once. */
const batchesAtOnce = 4;
/** To one node after the other. */
const triesMax = 3;

export interface DrainParts {
  readonly core: Core;
  readonly cluster: ClusterNode;
  readonly clock: Clock;
  readonly log: Log;
  /** Nodes that stop too: nothing moves there. */
  readonly avoid: (node: string) => boolean;
  /** After so many milliseconds what has not moved is closed. */
  readonly withinMs: number;
}

export interface DrainReport {
  /** Rooms that live on another node now. */
  readonly rooms: number;
  readonly moved: number;
  /** Sessions that were closed instead, since their clients cannot resume them or no node would take them. */
  readonly closed: number;
}

/** Ends when no session is left here. Connections that have not logged in are not its matter. Never rejects. */
export async function drain(parts: DrainParts): Promise<DrainReport> {
  const { core, cluster, clock, log } = parts;
  const { router, keeper } = core;
  const started = clock.monotonic();
  await cluster.leave();
  const rooms = await cluster.moveThings(parts.avoid, started + parts.withinMs);
  await core.announceStop();
  const total = router.sessions.size;
  let moved = 0;
  // The node that was to take some may have died, or be on its way out itself: then another does.
  const tries = new Map<Session, number>();
  const moving = new Set<Session>();
  const next = (): Session[] => {
    for (let tried = 0; tried < triesMax; tried++) {
      const batch: Session[] = [];
      for (const session of router.sessions.all()) {
        if (moving.has(session) || (tries.get(session) ?? 0) !== tried) continue;
        if (managementOf(session)?.resumeId === undefined) continue;
        tries.set(session, tried + 1);
        moving.add(session);
        if (batch.push(session) === batchSessions) break;
      }
      if (batch.length > 0) return batch;
    }
    return [];
  };
  const worker = async (offset: number): Promise<void> => {
    for (let round = offset; ; round++) {
      if (clock.monotonic() - started > parts.withinMs) return;
      const targets = cluster.stayingPeers.filter((peer) => !parts.avoid(peer.name));
      if (targets.length === 0) return;
      const batch = next();
      if (batch.length === 0) return;
      // Not `moved += await …`, which would forget what the other workers have moved meanwhile.
      const given = await cluster.mover.give(batch, targets[round % targets.length]!.number);
      moved += given;
      for (const session of batch) moving.delete(session);
    }
  };
  await Promise.all(Array.from({ length: batchesAtOnce }, (_, at) => worker(at)));
  let closed = 0;
  for (const session of [...router.sessions.all()]) {
    closed++;
    cluster.closedByDrain++;
    await keeper.close(session, new StreamError("system-shutdown"), "shutdown");
  }
  log.info({ rooms, total, moved, closed, ms: Math.round(clock.monotonic() - started) }, "drained");
  return { rooms, moved, closed };
}
