/** What a message costs that waits for somebody who is away: stored, fetched at the next login, and deleted. */
import { type Case, cpuPer, type Figure, peers, type Scenario } from "./scenario.ts";

function half(part: "store" | "fetch", title: string): Figure {
  return {
    key: part,
    title: `CPU s per 100k ${title}`,
    digits: 1,
    of({ parts }) {
      const found = parts?.[part];
      return found === undefined ? undefined : (found.serverCpu * 100_000) / found.units;
    },
  };
}

export const offline: Scenario = {
  name: "offline",
  summary: "CPU of 100,000 messages that are stored for users who are away, and fetched when they come",
  servers: peers,
  figures: [cpuPer(100_000, "100k messages"), half("store", "stored"), half("fetch", "fetched")],
  cases({ quick, users = quick ? 100 : 200 }): Case[] {
    return [
      {
        name: "20 messages each",
        tls: "none",
        mechanism: "SCRAM-SHA-1",
        begins: "roster",
        load: { kind: "offline", users, inflight: 20, messagesEach: 20, bodyBytes: 64, rounds: quick ? 1 : 3 },
      },
    ];
  },
};
