/** What the engine counts. */
import type { FabricCounters } from "./fabric.ts";

/** Also what no interface asks for. */
export interface EngineCounters extends FabricCounters {
  /** Messages that were not sent because too much waited for the peer. */
  dropped: number;
  /** Entries that came after a later one, or twice. */
  late: number;
  requestsOut: number;
  requestsIn: number;
  /** Requests that were sent again, since they were lost on the way. */
  requestsRepeated: number;
  envelopesOut: number;
  envelopesIn: number;
}

export function newCounters(): EngineCounters {
  return {
    messagesOut: 0,
    messagesIn: 0,
    bytesOut: 0,
    bytesIn: 0,
    gaps: 0,
    refused: 0,
    dropped: 0,
    late: 0,
    requestsOut: 0,
    requestsIn: 0,
    requestsRepeated: 0,
    envelopesOut: 0,
    envelopesIn: 0,
  };
}
