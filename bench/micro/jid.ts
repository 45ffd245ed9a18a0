/** What an address costs: nanoseconds per lookup of a known one, per parse of a new one, and bytes per address held. */
import { Jid, JidCache } from "../../src/stanza/jid.ts";

const rounds = 5;

/** The best of some rounds, in nanoseconds per call: noise only ever adds. */
function measure(name: string, calls: number, run: () => number): void {
  let best = Number.POSITIVE_INFINITY;
  let sink = 0;
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    sink += run();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / calls);
  }
  if (sink === 0) throw new Error("nothing was parsed");
  console.log(`${name.padEnd(44)} ${best.toFixed(0).padStart(7)} ns`);
}

/** Texts as the scanner makes them: slices of a decoded chunk, so no hash is known beforehand. */
function sliced(texts: string[]): string[] {
  const chunk = Buffer.from(texts.join("\n")).toString();
  const slices: string[] = [];
  let at = 0;
  for (const text of texts) {
    slices.push(chunk.slice(at, at + text.length));
    at += text.length + 1;
  }
  return slices;
}

function parseAll(cache: JidCache, texts: string[]): number {
  let found = 0;
  for (let index = 0; index < texts.length; index++) if (cache.parse(texts[index] as string) !== undefined) found++;
  return found;
}

const known = Array.from({ length: 1000 }, (_, index) => `user${index}@example.com/phone-${index}`);
const warm = new JidCache();
parseAll(warm, known);
const hundred = Array.from({ length: 100 }, () => known).flat();
measure("known, the same string object", hundred.length, () => parseAll(warm, hundred));
const batches = Array.from({ length: rounds }, () => sliced(hundred));
let batch = 0;
measure("known, a fresh slice of a chunk", hundred.length, () => parseAll(warm, batches[batch++] as string[]));

const count = 100_000;
for (const [name, text] of [
  ["new, ASCII, account", (index: number) => `user${index}@example.com`],
  ["new, ASCII, account and resource", (index: number) => `user${index}@example.com/phone-${index}`],
  ["new, ASCII, to be lower-cased", (index: number) => `User${index}@Example.com/Phone`],
  ["new, Latin-1 localpart", (index: number) => `bücher${index}@example.com`],
  ["new, Arabic localpart", (index: number) => `مستخدم${index}@example.com`],
  ["not an address", (index: number) => `user ${index}@example.com`],
] as const) {
  const sets = Array.from({ length: rounds }, (_, round) =>
    sliced(Array.from({ length: count / 10 }, (_, index) => text(round * count + index))),
  );
  let set = 0;
  measure(name, count / 10, () => parseAll(new JidCache(), sets[set++] as string[]) + 1);
}

const held: (Jid | undefined)[] = new Array(count).fill(undefined);
Bun.gc(true);
const before = process.memoryUsage();
for (let index = 0; index < count; index++) held[index] = Jid.of(`user${index}`, "example.com", `resource-${index}`);
Bun.gc(true);
const after = process.memoryUsage();
console.log(
  `${"held: bytes per full address (heap)".padEnd(44)} ${((after.heapUsed - before.heapUsed) / count).toFixed(0).padStart(7)} B`,
);
console.log(
  `${"held: bytes per full address (resident)".padEnd(44)} ${((after.rss - before.rss) / count).toFixed(0).padStart(7)} B`,
);
if (held[count - 1]?.full !== `user${count - 1}@example.com/resource-${count - 1}`) throw new Error("lost an address");

// An address must not keep alive the network chunk it was read from: a thousand of those would be a thousand chunks.
Bun.gc(true);
const chunksBefore = process.memoryUsage().rss;
const fromChunks = new JidCache();
const kept: (Jid | undefined)[] = [];
for (let index = 0; index < 200; index++) {
  const chunk = Buffer.from(`<message to='User${index}@chunk.example/Phone'>${"x".repeat(1_000_000)}`).toString();
  kept.push(fromChunks.parse(chunk.slice(13, chunk.indexOf("'", 13))));
}
Bun.gc(true);
const perChunk = (process.memoryUsage().rss - chunksBefore) / kept.length;
console.log(`${"kept of each 1 MB chunk read".padEnd(44)} ${perChunk.toFixed(0).padStart(7)} B`);
if (perChunk > 500_000) throw new Error("addresses keep their chunks alive");
