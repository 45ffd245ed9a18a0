/** Sessions that stay busy for long: memory must not grow after the first minutes. */
import type { MemorySample } from "../load/plan.ts";
import { type Case, cpuPer, perSecond, type Scenario } from "./scenario.ts";

/** Mean bytes of the samples between two shares of the whole time, in MB. */
function meanMb(samples: readonly MemorySample[], from: number, to: number): number | undefined {
  const last = samples.at(-1)?.seconds ?? 0;
  const some = samples.filter(({ seconds }) => seconds >= from * last && seconds <= to * last);
  return some.length === 0 ? undefined : some.reduce((sum, { bytes }) => sum + bytes, 0) / some.length / 1e6;
}

export const soak: Scenario = {
  name: "soak",
  summary: "pairs that talk without a pause, an hour by default: is memory flat?",
  servers: ["meerkat"],
  figures: [
    {
      key: "growth",
      title: "memory, last quarter to second",
      digits: 3,
      of({ samples = [] }) {
        const second = meanMb(samples, 0.25, 0.5);
        const last = meanMb(samples, 0.75, 1);
        return second === undefined || last === undefined ? undefined : last / second;
      },
    },
    { key: "early", title: "MB, second quarter", digits: 1, of: ({ samples = [] }) => meanMb(samples, 0.25, 0.5) },
    { key: "late", title: "MB, last quarter", digits: 1, of: ({ samples = [] }) => meanMb(samples, 0.75, 1) },
    cpuPer(100_000, "100k messages"),
    perSecond("messages"),
  ],
  roundsMax: 1,
  cases({ quick, users = 200, seconds = quick ? 60 : 3600, rate = 0 }): Case[] {
    const load = {
      kind: "pairs",
      users,
      inflight: 50,
      window: rate === 0 ? 2 : 0,
      rate,
      bodyBytes: 64,
      warmupSeconds: 1,
      seconds,
      sampleSeconds: Math.max(1, seconds / 240),
    } as const;
    const shared = { tls: "none", mechanism: "SCRAM-SHA-1", begins: "roster" } as const;
    const speed = rate === 0 ? "" : `, ${rate}/s`;
    return [{ name: `${users} users, ${seconds} s${speed}`, load, ...shared }];
  },
};
