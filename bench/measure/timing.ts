/** Nanoseconds of something small and fast, for the micro benchmarks. */

const rounds = 7;

/** The best of some rounds, in nanoseconds per call: noise only ever adds. `run` makes all the calls. */
export function bestOf(calls: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    run();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / calls);
  }
  return best;
}

/** A line of output; all of them have the same columns. */
export function report(name: string, value: number, unit: string, digits = 0): void {
  console.log(`${name.padEnd(52)} ${value.toFixed(digits).padStart(9)} ${unit}`);
}
