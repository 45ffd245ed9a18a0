/**
 * The session directory at size: bytes a session, nanoseconds a lookup, inserts a second, and giving back the memory of a node that is gone.
 * Addresses are of the usual kind: ten letters @example.org, a resource of sixteen.
 *
 *   ./bin/run-bun bench/micro/session-directory.ts [--sessions 10000000] [--owners 10]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { AccountHash } from "../../src/cluster/account-hash.ts";
import { ByteReader, ByteWriter } from "../../src/cluster/bytes.ts";
import type { NodeIdentity } from "../../src/cluster/fabric/fabric.ts";
import { NameBuffer } from "../../src/cluster/name-buffer.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import { EntryBatch } from "../../src/cluster/table-protocol.ts";
import { silentLog } from "../../src/observe/log.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { printOutcome } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";

const { values } = parseArgs({
  options: {
    sessions: { type: "string", default: "10000000" },
    owners: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
  },
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
const bytes = directory.memoryBytes / count;
const sortedTimes = Float64Array.from(batchTimes).sort();
console.log(`${count} sessions of ${owners} owners`);
console.log(
  `memory: ${((after - before) / count).toFixed(1)} bytes a session by resident size, ${bytes.toFixed(1)} by own account`,
);
console.log(
  `inserts: ${Math.round(count / (insertNs / 1e9))} a second (${Math.round(insertNs / count)} ns each); a thousand take ${percentile(sortedTimes, 0.5)}, 99.9 % under ${percentile(sortedTimes, 0.999)}, longest ${percentile(sortedTimes, 1)}`,
);

/**
 * A name is in the processor's cache when it is looked up, for it has just been read from a stanza; the directory is not. So names are
 * made a thousand at a time, outside of the time measured, and the directory is read all over.
 */
const lookups = 2_000_000;
const warmups = 200_000;
const random = new SimRandom(3);
let found = 0;
const visit = (): void => {
  found++;
};

/**
 * Nanoseconds of one lookup: the median over all thousands, so that those in which somebody else had the core do not count. (The system counts
 * a thread's CPU by ticks, which are longer than a thousand lookups.)
 */
function measure<Name>(
  name: string,
  expected: number,
  nameOf: () => Name,
  look: (names: readonly Name[]) => void,
): number {
  found = 0;
  const took: number[] = [];
  for (let done = 0; done < warmups + lookups; done += batchSize) {
    const names = Array.from({ length: batchSize }, nameOf);
    const start = performance.now();
    look(names);
    if (done >= warmups) took.push(((performance.now() - start) * 1e6) / batchSize);
  }
  if (found !== expected * (warmups + lookups)) throw new Error(`${name}: ${found} were found`);
  const result = median(took);
  console.log(`${name.padEnd(52)} ${result.toFixed(0).padStart(5)} ns`);
  return result;
}

/** Names are built of pieces; as bytes come from a socket they are whole. */
function whole(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function known(): { local: string; domain: string } {
  return { local: whole(localOf(random.uint32() % count)), domain: "example.org" };
}

function unknown(): { local: string; domain: string } {
  return { local: whole(`v${String(random.uint32() % 1_000_000_000).padStart(9, "0")}`), domain: "example.org" };
}

function full(): { local: string; domain: string; resource: string } {
  const index = random.uint32() % count;
  return { local: whole(localOf(index)), domain: "example.org", resource: whole(resourceOf(index)) };
}

/** As much memory as the directory has; the first word of each line names another line, and all are one ring in no order. */
function ringOfLines(): Uint32Array {
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
  return memory;
}

/** What the machine takes at least for one read of memory that depends on the read before. */
function memoryRead(memory: Uint32Array): number {
  let at = 0;
  return measure(
    "(one read of memory in so much of it)",
    1,
    () => 0,
    (names) => {
      for (let read = 0; read < names.length; read++) at = memory[at]!;
      found += at >= 0 ? names.length : 0;
    },
  );
}

/** What no directory of accounts by name can be faster than: the name hashed, and a single read of memory where the hash says. */
function leastLookup(memory: Uint32Array): number {
  const hash = new AccountHash(random);
  const name = new NameBuffer();
  const lines = memory.length / 16;
  let sum = 0;
  return measure("(a name hashed, and one read where it says)", 1, known, (names) => {
    for (const account of names) {
      if (name.set(account.local)) hash.hash(name.words, 0, name.length, 0);
      sum += memory[Math.floor((hash.value >>> 0) * (lines / 2 ** 32)) * 16]!;
    }
    found += sum >= 0 ? names.length : 0;
  });
}

const hitNs = measure("sessions of an account that has one (forEach)", 1, known, (names) => {
  for (const account of names) directory.forEach(account, visit);
});
const missNs = measure("sessions of an account that has none (count)", 0, unknown, (names) => {
  for (const account of names) found += directory.count(account);
});
const fullNs = measure("a session by its full address (find)", 1, full, (names) => {
  for (const jid of names) if (directory.find(jid) !== undefined) found++;
});
const ring = ringOfLines();
const readNs = memoryRead(ring);
const leastNs = leastLookup(ring);

// A node is gone: one owner's records are dropped, shard by shard. What was only for measuring goes first, and is not counted.
Bun.gc(true);
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
const longestSweepMs = (sorted.at(-1) ?? 0) / 1e6;
if (values.json)
  printOutcome(count, { bytes, hit: hitNs, miss: missNs, find: fullNs, read: readNs, least: leastNs, longestSweepMs });
