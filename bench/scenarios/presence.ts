/** What it costs that somebody with many online contacts comes and goes: everybody is told, and the one hears of all. */
import { type Case, cpuPer, peers, perSecond, type Scenario } from "./scenario.ts";

const contacts = 100;
const hubs = 5;

export const presence: Scenario = {
  name: "presence",
  summary: "CPU of 1,000 logins (and logouts) with 100 online contacts",
  servers: peers,
  figures: [cpuPer(1000, "1,000 logins"), perSecond("logins")],
  cases({ quick, seconds = quick ? 4 : 10 }): Case[] {
    return [
      {
        name: `${contacts} online contacts`,
        tls: "none",
        mechanism: "SCRAM-SHA-1",
        begins: "roster",
        load: { kind: "presence", users: hubs + contacts, hubs, inflight: 20, warmupSeconds: quick ? 2 : 5, seconds },
      },
    ];
  },
};
