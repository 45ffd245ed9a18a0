/** What a delivery costs in a room: one occupant talks, everybody hears. */
import { type Case, cpuPer, latencies, peers, perSecond, type Scenario } from "./scenario.ts";

export const fanout: Scenario = {
  name: "fanout",
  summary: "CPU of 100,000 deliveries in one room with many occupants",
  servers: peers,
  figures: [cpuPer(100_000, "100k deliveries"), perSecond("deliveries"), ...latencies],
  cases({ quick, users = quick ? 100 : 300, seconds = quick ? 3 : 8 }): Case[] {
    const load = { kind: "fanout", users, inflight: 20, bodyBytes: 64, warmupSeconds: quick ? 2 : 4, seconds } as const;
    const common = { tls: "none", mechanism: "SCRAM-SHA-1", begins: "available" } as const;
    return [1, 10].flatMap((window): Case[] => [
      {
        ...common,
        name: `${users} occupants, ${window} outstanding`,
        features: { rooms: true },
        load: { ...load, window },
      },
      {
        ...common,
        name: `${users} in MUC Light, ${window} outstanding`,
        features: { lightRooms: true },
        servers: ["meerkat"],
        load: { ...load, window, light: true },
      },
    ]);
  },
};
