/** What a user costs who is there and does nothing. */
import { type Case, peers, type Scenario } from "./scenario.ts";

export const connect: Scenario = {
  name: "connect",
  summary: "memory and CPU of an idle user, with presence and roster, plain and TLS",
  servers: peers,
  figures: [
    {
      key: "bytes",
      title: "KB of memory per user",
      digits: 1,
      compared: true,
      of: ({ residentStart, residentIdle, users }) => (residentIdle! - residentStart!) / users / 1000,
    },
    {
      key: "idleCpu",
      title: "CPU ms per user and hour",
      digits: 1,
      of: ({ usage, users }) => (usage.serverCpu / users / usage.seconds) * 3600 * 1000,
    },
    { key: "before", title: "MB before", digits: 0, of: ({ residentStart }) => residentStart! / 1e6 },
  ],
  cases({ quick, users = quick ? 2000 : 10_000, seconds = quick ? 3 : 10 }): Case[] {
    const load = { kind: "idle", users, inflight: 50, holdSeconds: seconds } as const;
    const shared = { mechanism: "SCRAM-SHA-1", begins: "roster", load } as const;
    return [
      { name: "plain", tls: "none", ...shared },
      { name: "TLS", tls: "direct", ...shared },
    ];
  },
};
