/** Metrics whose numbers are kept elsewhere, and read at each scrape. */
import { Counter, Gauge, type Registry } from "prom-client";

export type Labels = Readonly<Record<string, string>>;

/** What a scrape finds: a number for each combination of labels. */
export type Samples = readonly (readonly [labels: Labels, value: number])[];

export function readGauge(registry: Registry, name: string, help: string, read: () => number): void {
  readGauges(registry, name, help, [], () => [[{}, read()]]);
}

export function readGauges(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  read: () => Samples,
): void {
  const gauge: Gauge = new Gauge({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect: () => {
      // What was there at the last scrape may be gone.
      gauge.reset();
      for (const [labels, value] of read()) gauge.set(labels, value);
    },
  });
}

export function readCounter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  read: () => Samples,
): void {
  const counter = new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect: () => {
      counter.reset();
      for (const [labels, value] of read()) counter.inc(labels, value);
    },
  });
}
