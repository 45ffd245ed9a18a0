/** What a delivery costs in a room: one occupant talks, everybody hears. */
import { type Case, cpuPer, latencies, peers, perSecond, type Scenario } from "./scenario.ts";

export const fanout: Scenario = {
  name: "fanout",
  summary: "CPU of 100,000 deliveries in one room with many occupants",
  servers: peers,
  figures: [cpuPer(100_000, "100k deliveries"), perSecond("deliveries"), ...latencies],
  cases({ quick, users = quick ? 100 : 300, seconds = quick ? 3 : 8 }): Case[] {
    return [1, 10].map((window) => ({
      name: `${users} occupants, ${window} outstanding`,
      tls: "none",
      mechanism: "SCRAM-SHA-1",
      begins: "available",
      features: { rooms: true },
      load: { kind: "fanout", users, inflight: 20, window, bodyBytes: 64, warmupSeconds: quick ? 2 : 4, seconds },
    }));
  },
};
