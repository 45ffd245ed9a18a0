/** What a login costs: connecting, authenticating, binding, presence, and going away again. */
import { type Case, cpuPer, latencies, peers, perSecond, type Scenario } from "./scenario.ts";

export const login: Scenario = {
  name: "login",
  summary: "CPU of 1,000 logins with bind and presence, by mechanism, plain and with TLS 1.3",
  servers: peers,
  figures: [cpuPer(1000, "1,000 logins"), perSecond("logins"), ...latencies],
  cases({ quick, users = 200, seconds = quick ? 4 : 10 }): Case[] {
    const load = { kind: "logins", users, inflight: 20, warmupSeconds: quick ? 2 : 4, seconds } as const;
    const shared = { begins: "available", load } as const;
    return [
      { name: "SCRAM-SHA-1", tls: "none", mechanism: "SCRAM-SHA-1", ...shared },
      { name: "SCRAM-SHA-1, TLS", tls: "direct", mechanism: "SCRAM-SHA-1", ...shared },
      { name: "PLAIN", tls: "none", mechanism: "PLAIN", ...shared },
      // Debian's ejabberd and Prosody store keys of SCRAM-SHA-1 only.
      { name: "SCRAM-SHA-256", tls: "none", mechanism: "SCRAM-SHA-256", servers: ["meerkat"], ...shared },
    ];
  },
};
