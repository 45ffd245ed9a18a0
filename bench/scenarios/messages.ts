/** Pairs of users that talk, as fast as the server lets them, and at a rate that a quiet server has no trouble with. */
import { type Case, cpuPer, latencies, peers, perSecond, type Scenario } from "./scenario.ts";

export const messages: Scenario = {
  name: "messages",
  summary: "CPU of 100,000 messages: 1 and 10 outstanding, plain and TLS; latency at 1,000 messages/s",
  servers: peers,
  figures: [cpuPer(100_000, "100k messages"), perSecond("messages"), ...latencies],
  cases({ quick, users = quick ? 200 : 1000, seconds = quick ? 3 : 8 }): Case[] {
    const shared = { mechanism: "SCRAM-SHA-1", begins: "available" } as const;
    const load = (window: number, rate: number) =>
      ({
        kind: "pairs",
        users,
        inflight: 50,
        window,
        rate,
        bodyBytes: 64,
        warmupSeconds: quick ? 2 : 4,
        seconds,
        sampleSeconds: 0,
      }) as const;
    return [
      { name: "plain, 1 outstanding", tls: "none", load: load(1, 0), ...shared },
      { name: "plain, 10 outstanding", tls: "none", load: load(10, 0), ...shared },
      { name: "TLS, 1 outstanding", tls: "direct", load: load(1, 0), ...shared },
      { name: "TLS, 10 outstanding", tls: "direct", load: load(10, 0), ...shared },
      { name: "plain, 1,000/s open loop", tls: "none", load: load(0, 1000), ...shared },
    ];
  },
};
