/** Whether 15,000 users cost more each than 1,000 do: CPU of a message, and memory. */
import { type Case, cpuPer, type Figure, latencies, perSecond, type Scenario } from "./scenario.ts";

const memory: Figure = {
  key: "bytes",
  title: "KB of memory per user",
  digits: 1,
  of: ({ residentStart, residentIdle, users }) => (residentIdle! - residentStart!) / users / 1000,
};

export const growth: Scenario = {
  name: "growth",
  summary: "CPU of a message and memory of a user, with 1,000 and with 15,000 users",
  servers: ["meerkat"],
  figures: [cpuPer(100_000, "100k messages"), memory, perSecond("messages"), ...latencies],
  cases({ quick, users = quick ? 4000 : 15_000, seconds = quick ? 4 : 15 }): Case[] {
    const shared = { tls: "none", mechanism: "SCRAM-SHA-1", begins: "roster" } as const;
    const load = (count: number) =>
      ({
        kind: "pairs",
        users: count,
        inflight: 50,
        window: 1,
        rate: 0,
        bodyBytes: 64,
        warmupSeconds: quick ? 2 : 5,
        seconds,
        sampleSeconds: 0,
      }) as const;
    return [
      { name: "1,000 users", load: load(1000), ...shared },
      { name: `${users.toLocaleString("en")} users`, load: load(users), ...shared },
    ];
  },
};
