/**
 * The simulator by hand:
 *
 *     ./bin/run-bun test/sim/run.ts --runs 10000            seeds 1 to 10,000
 *     ./bin/run-bun test/sim/run.ts --runs 1000 --from 5000 other seeds
 *     ./bin/run-bun test/sim/run.ts --seed 123 --trace      one run, step by step
 */
import { parseArgs } from "node:util";
import { simulate } from "./scenario.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

if (values.seed !== undefined) {
  const result = await simulate(Number(values.seed), values.trace ? (line) => console.log(line) : undefined);
  console.log(JSON.stringify(result, undefined, 2));
  process.exitCode = result.violations.length > 0 ? 1 : 0;
} else {
  const from = Number(values.from);
  const runs = Number(values.runs);
  const began = performance.now();
  const totals: Record<string, number> = {};
  const agreed: number[] = [];
  let failed = 0;
  for (let seed = from; seed < from + runs; seed++) {
    const { violations, agreedAfterMs, counts } = await simulate(seed);
    for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
    agreed.push(agreedAfterMs);
    if (violations.length === 0) continue;
    failed++;
    console.log(`seed ${seed}: ${violations.join("\n    ")}`);
  }
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage();
  agreed.sort((a, b) => a - b);
  const at = (part: number) => agreed[Math.floor((agreed.length - 1) * part)];
  const cpu = (user + system) / 1e6;
  const rate = Math.round((runs / cpu) * 60);
  console.log(
    `${runs} runs in ${seconds.toFixed(1)} s, ${failed} failed; CPU ${cpu.toFixed(1)} s: ${rate} runs a minute`,
  );
  console.log(`agreement after healing: median ${at(0.5)} ms, 99 % ${at(0.99)} ms, longest ${at(1)} ms`);
  console.log(JSON.stringify(totals));
  process.exitCode = failed > 0 ? 1 : 0;
}
