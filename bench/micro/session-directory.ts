/**
 * The session directory at size: bytes a session, nanoseconds a lookup, inserts a second, and giving back the memory of a node that is gone.
 * Addresses are of the usual kind: ten letters @example.org, a resource of sixteen.
 *
 *   ./bin/run-bun bench/micro/session-directory.ts [--sessions 10000000] [--owners 10]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ByteReader, ByteWriter } from "../../src/cluster/bytes.ts";
import type { NodeIdentity } from "../../src/cluster/fabric/fabric.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import { EntryBatch } from "../../src/cluster/table-protocol.ts";
import { silentLog } from "../../src/observe/log.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";

const { values } = parseArgs({
  options: { sessions: { type: "string", default: "10000000" }, owners: { type: "string", default: "10" } },
});
const total = Number(values.sessions);
const owners = Number(values.owners);
const perOwner = Math.floor(total / owners);
const batchSize = 1000;

function identity(number: number): NodeIdentity {
  return { cluster: "bench", name: `node${number}`, number, incarnation: 1, version: "1", address: "" };
}

/** By the system's account, so that what else runs on the machine counts as little as can be. */
function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

function residentBytes(): number {
  Bun.gc(true);
  const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]);
  return pages * 4096;
}

const clock = new SimClock();
const directory = new SessionDirectory({ clock, random: new SimRandom(1), log: silentLog });
directory.attach(identity(1000), new EntryBatch(new ByteWriter()));

/** Entries as an owner would write them, made by a small directory of its own. */
const batch = new EntryBatch(new ByteWriter(128 * 1024));
function entriesOf(owner: SessionDirectory, from: number, count: number): ByteReader {
  batch.out.reset();
  batch.open();
  for (let index = from; index < from + count; index++) {
    owner.publish({
      local: localOf(index),
      domain: "example.org",
      resource: resourceOf(index),
      serial: index >>> 0,
      startedAt: 1_704_067_200_000 + index,
      priority: 0,
      marks: 1,
    });
  }
  const reader = new ByteReader(batch.close());
  reader.u16();
  for (let index = from; index < from + count; index++)
    owner.withdraw({ local: localOf(index), domain: "example.org" }, index);
  return reader;
}

function localOf(index: number): string {
  return `u${String(index * 7919)
    .padStart(9, "0")
    .slice(-9)}`;
}

function resourceOf(index: number): string {
  return `res-${String(index).padStart(12, "0")}`;
}

function percentile(sorted: Float64Array, part: number): string {
  return `${((sorted[Math.floor((sorted.length - 1) * part)] ?? 0) / 1e6).toFixed(2)} ms`;
}

const scratch = new SessionDirectory({ clock, random: new SimRandom(2), log: silentLog, shards: 1 });
scratch.attach(identity(1001), batch);

// What making names and entries costs this process belongs to no session.
for (let from = 0; from < 200_000; from += batchSize) entriesOf(scratch, from, batchSize);
const before = residentBytes();
const batchTimes: number[] = [];
let insertNs = 0;
const slots: number[] = [];
for (let owner = 0; owner < owners; owner++) {
  const slot = directory.open(identity(owner + 1), 0);
  slots.push(slot);
  for (let from = owner * perOwner; from < (owner + 1) * perOwner; from += batchSize) {
    const entries = entriesOf(scratch, from, Math.min(batchSize, (owner + 1) * perOwner - from));
    const messageEnd = entries.end;
    const start = cpuNs();
    for (let left = Math.min(batchSize, (owner + 1) * perOwner - from); left > 0; left--) {
      const length = entries.u16();
      const at = entries.skip(length);
      entries.at = at;
      entries.end = at + length;
      directory.apply(slot, entries);
      entries.end = messageEnd;
      entries.at = at + length;
    }
    const took = cpuNs() - start;
    insertNs += took;
    batchTimes.push(took);
  }
}
const count = perOwner * owners;
const after = residentBytes();
const sortedTimes = Float64Array.from(batchTimes).sort();
console.log(`${count} sessions of ${owners} owners`);
console.log(
  `memory: ${((after - before) / count).toFixed(1)} bytes a session by resident size, ${(directory.memoryBytes / count).toFixed(1)} by own account`,
);
console.log(
  `inserts: ${Math.round(count / (insertNs / 1e9))} a second (${Math.round(insertNs / count)} ns each); a thousand take ${percentile(sortedTimes, 0.5)}, 99.9 % under ${percentile(sortedTimes, 0.999)}, longest ${percentile(sortedTimes, 1)}`,
);

/** Random accounts, made before the clock runs. */
const lookups = 1_000_000;
const random = new SimRandom(3);
const known = Array.from({ length: lookups }, () => ({
  local: localOf(random.uint32() % count),
  domain: "example.org",
}));
const unknown = Array.from({ length: lookups }, (_, index) => ({
  local: `v${String(index).padStart(9, "0")}`,
  domain: "example.org",
}));
const full = Array.from({ length: lookups }, () => {
  const index = random.uint32() % count;
  return { local: localOf(index), domain: "example.org", resource: resourceOf(index) };
});
let found = 0;
const visit = (): void => {
  found++;
};
// A name here is built of pieces; the first look at it joins them, which is no matter of the directory.
let joined = 0;
for (const { local } of [...known, ...unknown]) joined += local.charCodeAt(3);
for (const { local, resource } of full) joined += local.charCodeAt(3) + resource.charCodeAt(3);

/** The best of some rounds: noise only ever adds. */
function measure(name: string, expected: number, run: () => void): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    found = 0;
    const start = cpuNs();
    run();
    best = Math.min(best, (cpuNs() - start) / lookups);
    if (found !== expected) throw new Error(`${name}: ${found} instead of ${expected}`);
  }
  console.log(`${name.padEnd(52)} ${best.toFixed(0).padStart(5)} ns`);
}

/** What the machine takes at least for one read of memory that depends on the read before, in as much memory as the directory has. */
function measureMemory(): void {
  const lines = Math.floor(directory.memoryBytes / 64);
  const memory = new Uint32Array(lines * 16);
  const order = new Uint32Array(lines).map((_, index) => index);
  for (let index = lines - 1; index > 0; index--) {
    const other = random.uint32() % index;
    const swapped = order[index]!;
    order[index] = order[other]!;
    order[other] = swapped;
  }
  for (let line = 0; line < lines; line++) memory[line * 16] = order[line]! * 16;
  let at = 0;
  measure("(one read of memory in so much of it)", 1, () => {
    for (let read = 0; read < lookups; read++) at = memory[at]!;
    found += at >= 0 ? 1 : 0;
  });
}

measure("sessions of an account that has one (forEach)", lookups, () => {
  for (const account of known) directory.forEach(account, visit);
});
measure("sessions of an account that has none (count)", 0, () => {
  for (const account of unknown) found += directory.count(account);
});
measure("a session by its full address (find)", lookups, () => {
  for (const jid of full) if (directory.find(jid) !== undefined) found++;
});
measureMemory();

// A node is gone: one owner's records are dropped, shard by shard.
const gone = slots[0]!;
const hideStart = cpuNs();
directory.hide(gone);
const hidden = cpuNs() - hideStart;
directory.drop(gone);
const steps: number[] = [];
const beforeSweep = directory.memoryBytes;
while (clock.untilNext !== undefined) {
  const start = cpuNs();
  clock.advance(clock.untilNext);
  steps.push(cpuNs() - start);
}
const sorted = Float64Array.from(steps).sort();
const sum = steps.reduce((all, step) => all + step, 0);
console.log(
  `sweep of an owner of ${perOwner}: out of reads in ${Math.round(hidden)} ns; ${steps.length} steps, ${(sum / 1e6).toFixed(0)} ms together, median ${percentile(sorted, 0.5)}, longest ${percentile(sorted, 1)}; ${((beforeSweep - directory.memoryBytes) / perOwner).toFixed(1)} bytes a session came back`,
);
if (joined < 0) console.log(joined);
