/** Nanoseconds of something small and fast, for the micro benchmarks. */

const rounds = 7;

/** CPU of this thread in nanoseconds: what else runs on the machine, and the compiler's own threads, do not count. */
export function threadCpu(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1000;
}

/** The best of some rounds, in nanoseconds of CPU per call: noise only ever adds. `run` makes all the calls. */
export function bestOf(calls: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = threadCpu();
    run();
    best = Math.min(best, (threadCpu() - start) / calls);
  }
  return best;
}

/** A line of output; all of them have the same columns. */
export function report(name: string, value: number, unit: string, digits = 0): void {
  console.log(`${name.padEnd(52)} ${value.toFixed(digits).padStart(9)} ${unit}`);
}
