/** How fast occupants may speak and change: shortest intervals, and shapers that let a sender wait. */
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Room } from "./room.ts";

/** Throws `StanzaError` resource-constraint (wait) when the last time was too short ago. */
export function checkInterval(room: Room, last: number, intervalMs: number, what: string): void {
  if (intervalMs <= 0 || last === 0) return;
  if (room.house.clock.monotonic() - last >= intervalMs) return;
  throw new StanzaError("resource-constraint", { text: `Your ${what} comes faster than this room takes it` });
}

/** Shortest time between two requests of an account that go to those who decide, or answers of somebody who is not in the room. */
const requestIntervalMs = 60_000;

/** Throws `StanzaError` resource-constraint (wait) for whoever has asked for the same just now. */
export function checkRequest(room: Room, what: string, account: Jid): void {
  const key = `${what} ${account.bare}`;
  checkInterval(room, room.requestedAt.get(key) ?? 0, requestIntervalMs, "requests");
  room.requestedAt.set(key, room.house.clock.monotonic());
}

/** Longest wait of one stanza; what is longer was not worth waiting for. */
const waitMsMax = 10_000;

/**
 * Resolves after the time that a stanza of this size takes by a shaper; undefined when there is none. The sender is not read
 * meanwhile, so it is he who waits.
 */
export function pace(room: Room, stanza: Stanza, shaper: string): Promise<void> | undefined {
  const bytesPerSecond = room.house.shaper(shaper);
  if (!Number.isFinite(bytesPerSecond)) return undefined;
  return sleep(room, (stanza.inner.length * 1000) / bytesPerSecond);
}

/** As `pace`, for all that is said in a room together. */
export function paceRoom(room: Room, stanza: Stanza): Promise<void> | undefined {
  const bytesPerSecond = room.house.shaper(room.house.options.roomShaper);
  if (!Number.isFinite(bytesPerSecond)) return undefined;
  const now = room.house.clock.monotonic();
  const start = Math.max(now, room.busyUntil);
  if (start - now > waitMsMax) throw new StanzaError("resource-constraint", { text: "Too much is said in this room" });
  room.busyUntil = start + (stanza.inner.length * 1000) / bytesPerSecond;
  return start > now ? sleep(room, start - now) : undefined;
}

function sleep(room: Room, ms: number): Promise<void> | undefined {
  if (ms < 1) return undefined;
  return new Promise((resolve) => {
    room.house.clock.after(Math.min(ms, waitMsMax), resolve);
  });
}
