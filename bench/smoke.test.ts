/** The whole bench once, small: a server is started, users log in and talk, and every message is accounted for. */
import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { run } from "./run.ts";
import { messages } from "./scenarios/messages.ts";
import { headline } from "./scenarios/scenario.ts";
import { meerkat } from "./servers/meerkat.ts";

test.skipIf(process.platform !== "linux")("messages between four users, plain, TLS, and at a rate", async () => {
  const cases = messages
    .cases({ quick: true, users: 4, seconds: 1 })
    .filter(({ name }) => !name.endsWith("10 outstanding"))
    .map((each) => ({ ...each, load: { ...each.load, warmupSeconds: 0 } }));
  const lines: string[] = [];
  const loadCore = availableParallelism() > 1 ? 1 : 0;
  const series = await run(messages, {
    kinds: [meerkat],
    cases,
    rounds: 1,
    serverCore: 0,
    loadCore,
    progress: (line) => lines.push(line),
  });
  expect(series.map(({ case: each }) => each.name)).toEqual([
    "plain, 1 outstanding",
    "TLS, 1 outstanding",
    "plain, 1,000/s open loop",
  ]);
  for (const { outcomes } of series) {
    const [outcome] = outcomes;
    expect(outcome!.verdict!.received).toBe(outcome!.verdict!.sent);
    expect(outcome!.units).toBeGreaterThan(100);
    expect(outcome!.latency!.p50Ms).toBeGreaterThan(0);
    expect(headline(messages, outcome!).value).toBeGreaterThan(0);
  }
  expect(lines.at(-1)).toContain("[3/3] messages, plain, 1,000/s open loop, meerkat, round 1:");
});
