/** The session directory against a plain map, and at its edges. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../observe/log.ts";
import { SimClock } from "../runtime/sim/clock.ts";
import { SimRandom } from "../runtime/sim/random.ts";
import { ByteReader, ByteWriter, WireError } from "./bytes.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";
import { SessionDirectory } from "./session-directory.ts";
import type { SessionEntry } from "./session-entry.ts";
import { EntryBatch } from "./table-protocol.ts";
import type { EntrySink } from "./table-store.ts";

function identity(number: number, incarnation = 1): NodeIdentity {
  return { cluster: "test", name: `node${number}`, number, incarnation, version: "1", address: "" };
}

/** Hands every entry to other directories at once. */
class Wire implements EntrySink {
  readonly takers: ((entry: ByteReader) => void)[] = [];
  readonly #out = new ByteWriter();

  begin(): ByteWriter {
    this.#out.reset();
    return this.#out;
  }

  end(): void {
    const bytes = this.#out.copy();
    for (const take of this.takers) take(new ByteReader(bytes));
  }
}

function make(
  number: number,
  options: { shards?: number; superseded?: (serial: number, by: SessionEntry) => void } = {},
) {
  const clock = new SimClock();
  const wire = new Wire();
  const directory = new SessionDirectory({
    clock,
    random: new SimRandom(number),
    log: silentLog,
    shards: 2,
    ...options,
  });
  directory.attach(identity(number), wire);
  return { clock, wire, directory };
}

/** Two directories of which the second hears the first. */
function pair(superseded?: (serial: number, by: SessionEntry) => void) {
  const owner = make(1);
  const reader = make(2, superseded === undefined ? {} : { superseded });
  const slot = reader.directory.open(identity(1), 0);
  owner.wire.takers.push((entry) => reader.directory.apply(slot, entry));
  return { owner: owner.directory, reader: reader.directory, slot, clock: reader.clock };
}

function session(local: string, resource: string, serial: number, startedAt = 1_704_067_200_000) {
  return { local, domain: "example.org", resource, serial, startedAt, priority: 0, marks: 0 };
}

function resources(directory: SessionDirectory, local: string, domain = "example.org"): string[] {
  const found: string[] = [];
  directory.forEach({ local, domain }, ({ resource }) => found.push(resource));
  return found.sort();
}

describe("the session directory", () => {
  test("holds what a plain map holds, through fifty thousand random changes", () => {
    const { owner, reader, slot } = pair();
    const random = new SimRandom(11);
    const model = new Map<number, { local: string; resource: string; priority: number; marks: number }>();
    const serials: number[] = [];
    for (let step = 1; step <= 50_000; step++) {
      const growing = model.size < 3000 ? 0.6 : 0.4;
      if (random.next() < growing) {
        const local = `user${random.uint32() % 2000}`;
        const made = { local, resource: `r${step}${"x".repeat(random.uint32() % 20)}`, priority: 0, marks: 0 };
        owner.publish(session(local, made.resource, step));
        model.set(step, made);
        serials.push(step);
      } else if (serials.length > 0) {
        const at = random.uint32() % serials.length;
        const serial = serials[at]!;
        const known = model.get(serial)!;
        if (random.next() < 0.5) {
          known.priority = (random.uint32() % 256) - 128;
          known.marks = random.uint32() % 65_536;
          expect(owner.update(toName(known), serial, known.priority, known.marks)).toBe(true);
        } else {
          expect(owner.withdraw(toName(known), serial)).toBe(true);
          model.delete(serial);
          serials[at] = serials.at(-1)!;
          serials.pop();
        }
      }
      if (step % 10_000 === 0) compare(reader, model);
    }
    expect(reader.digest(slot)).toEqual(owner.ownDigest());
    expect(reader.digest(slot).count).toBe(model.size);
  });

  test("one shard is one shard, not one for each account", () => {
    const { directory } = make(1, { shards: 1 });
    for (let serial = 1; serial <= 1000; serial++) directory.publish(session(`user${serial}`, "r", serial));
    expect(directory.memoryBytes).toBeLessThan(1000 * 64);
  });

  test("an account of thousands of sessions, and its neighbours, are found among each other", () => {
    const owner = make(1, { shards: 1 });
    const reader = make(2, { shards: 1 });
    const slot = reader.directory.open(identity(1), 0);
    owner.wire.takers.push((entry) => reader.directory.apply(slot, entry));
    const neighbours = Array.from({ length: 3000 }, (_, at) => `user${at}`);
    // Half of the neighbours come before the crowd, half after it.
    for (let at = 0; at < 1500; at++) owner.directory.publish(session(neighbours[at]!, "r", at + 1));
    for (let at = 0; at < 2000; at++) owner.directory.publish(session("crowd", `r${at}`, 10_000 + at));
    for (let at = 1500; at < 3000; at++) owner.directory.publish(session(neighbours[at]!, "r", at + 1));
    const all = () => neighbours.filter((local) => reader.directory.count({ local, domain: "example.org" }) === 1);
    expect(reader.directory.count({ local: "crowd", domain: "example.org" })).toBe(2000);
    expect(all()).toEqual(neighbours);
    expect(reader.directory.count({ local: "nobody", domain: "example.org" })).toBe(0);
    for (let at = 0; at < 2000; at += 2)
      owner.directory.withdraw({ local: "crowd", domain: "example.org" }, 10_000 + at);
    expect(resources(reader.directory, "crowd")).toEqual(
      Array.from({ length: 1000 }, (_, at) => `r${2 * at + 1}`).sort(),
    );
    expect(all()).toEqual(neighbours);
    for (let at = 1; at < 2000; at += 2)
      owner.directory.withdraw({ local: "crowd", domain: "example.org" }, 10_000 + at);
    expect(all()).toEqual(neighbours);
    expect(reader.directory.digest(slot)).toEqual(owner.directory.ownDigest());
  });

  test("who stays is met by a reader, whoever comes and goes meanwhile", () => {
    const { directory } = make(1, { shards: 2 });
    const random = new SimRandom(5);
    for (let serial = 1; serial <= 2000; serial++) directory.publish(session(`stays${serial}`, "r", serial));
    const passing: number[] = [];
    const come = (serial: number) => {
      directory.publish(session(`passes${serial}`, "r", serial));
      passing.push(serial);
    };
    for (let serial = 3001; serial <= 5000; serial++) come(serial);
    const source = directory.ownReader();
    const batch = new EntryBatch(new ByteWriter());
    const met = new Set<number>();
    let chunks = 0;
    for (let more = true; more; chunks++) {
      batch.out.reset();
      batch.open();
      more = source.read(batch, 1000);
      const entries = new ByteReader(batch.close());
      for (let count = entries.u16(); count > 0; count--) {
        const length = entries.u16();
        const start = entries.skip(length);
        met.add(new ByteReader(entries.bytes, start + 1, start + length).u32());
      }
      // As many go as come, so that nothing is rebuilt and the places alone change.
      for (let change = 0; change < 20; change++) {
        const [gone] = passing.splice(random.uint32() % passing.length, 1);
        directory.withdraw({ local: `passes${gone}`, domain: "example.org" }, gone!);
        come(10_000 + chunks * 20 + change);
      }
    }
    expect(chunks).toBeGreaterThan(50);
    expect(Array.from({ length: 2000 }, (_, at) => at + 1).filter((serial) => !met.has(serial))).toEqual([]);
  });

  test("names of every kind and length are found again", () => {
    const { owner, reader, slot } = pair();
    const names = [
      "a",
      "ab",
      "abc",
      "abcd",
      "abcde",
      "münchen",
      "日本語",
      "x".repeat(254),
      "x".repeat(255),
      "y".repeat(1023),
    ];
    let serial = 0;
    for (const local of names) for (const resource of names) owner.publish(session(local, resource, ++serial));
    for (const local of names) {
      expect(resources(reader, local)).toEqual([...names].sort());
      for (const resource of names) {
        const found = reader.find({ local, domain: "example.org", resource })!;
        expect([found.local, found.domain, found.resource, found.owner.number]).toEqual([
          local,
          "example.org",
          resource,
          1,
        ]);
      }
    }
    expect(reader.digest(slot)).toEqual(owner.ownDigest());
    for (const name of ["", "z", "abcdef", "x".repeat(253), "x".repeat(2000)])
      expect(resources(reader, name)).toEqual([]);
    expect(resources(reader, "a", "example.com")).toEqual([]);
  });

  test("the same name at another domain is another account", () => {
    const { owner, reader } = pair();
    owner.publish({ ...session("alice", "one", 1), domain: "one.example" });
    owner.publish({ ...session("alice", "two", 2), domain: "two.example" });
    expect(resources(reader, "alice", "one.example")).toEqual(["one"]);
    expect(resources(reader, "alice", "two.example")).toEqual(["two"]);
    expect([...reader.counts("two.example").values()]).toEqual([0, 1]);
    expect([...reader.counts().entries()].map(([owner, count]) => [owner.number, count])).toEqual([
      [2, 0],
      [1, 2],
    ]);
  });

  test("what is shown of a session is what was published; times keep a tenth of a second", () => {
    const { owner, reader, clock } = pair();
    clock.advance(86_400_000);
    owner.publish({
      ...session("alice", "phone", 4_000_000_000, clock.now() - 123_456),
      priority: -128,
      marks: 0xffff,
    });
    const found = reader.find({ local: "alice", domain: "example.org", resource: "phone" })!;
    expect([found.serial, found.priority, found.marks]).toEqual([4_000_000_000, -128, 0xffff]);
    expect(Math.floor((clock.now() - 123_456) / 100) * 100).toBe(found.startedAt);
  });

  test("own sessions are in pages and counts, and not among those of other nodes", () => {
    const { owner } = pair();
    owner.publish(session("alice", "phone", 1));
    expect(resources(owner, "alice")).toEqual([]);
    expect([...owner.pages()].flat().map(({ resource }) => resource)).toEqual(["phone"]);
    expect(owner.update({ local: "alice", domain: "example.org" }, 2, 1, 1)).toBe(false);
    expect(owner.withdraw({ local: "bob", domain: "example.org" }, 1)).toBe(false);
  });

  test("a hidden owner is out of reads and counts, can be listed, and comes back", () => {
    const { owner, reader, slot } = pair();
    owner.publish(session("alice", "phone", 1));
    reader.hide(slot);
    expect(resources(reader, "alice")).toEqual([]);
    expect([...reader.pages()].flat()).toEqual([]);
    expect([...reader.pagesOf(identity(1))].flat().length).toBe(1);
    expect([...reader.pagesOf(identity(1, 2))].flat().length).toBe(0);
    reader.show(slot);
    expect(resources(reader, "alice")).toEqual(["phone"]);
  });

  test("memory of a dropped owner comes back in steps, and its slot is used again", () => {
    const { owner, reader, slot, clock } = pair();
    for (let index = 0; index < 2000; index++) owner.publish(session(`user${index}`, "resource", index));
    const full = reader.memoryBytes;
    reader.drop(slot);
    expect(resources(reader, "user7")).toEqual([]);
    clock.advance(1000);
    expect(reader.memoryBytes).toBeLessThan(full / 50);
    expect(reader.open(identity(3), 0)).toBe(slot);
    expect(reader.digest(slot).count).toBe(0);
  });

  test("a new slot of the same owner takes its records over; what stays behind goes with the old one", () => {
    const { owner, reader, slot, clock } = pair();
    for (let index = 0; index < 50; index++) owner.publish(session("alice", `r${index}`, index));
    const next = reader.open(identity(1), slot);
    const source = owner.ownReader();
    const batch = new EntryBatch(new ByteWriter());
    batch.open();
    // A reader gives pages; an entry of each chunk is left out, as if the owner had deleted it.
    let more = true;
    while (more) more = source.read(batch, 300);
    const entries = new ByteReader(batch.close());
    for (let count = entries.u16(); count > 0; count--) {
      const length = entries.u16();
      const start = entries.skip(length);
      if (count % 10 !== 0) reader.apply(next, new ByteReader(entries.bytes, start, start + length));
    }
    expect(resources(reader, "alice").length).toBe(50);
    reader.drop(slot);
    expect(resources(reader, "alice").length).toBe(45);
    clock.advance(1000);
    expect(resources(reader, "alice").length).toBe(45);
    expect(reader.digest(next).count).toBe(45);
  });

  test("who started later stays; at the same time the higher node number", () => {
    const lost: number[] = [];
    const { owner, reader } = pair((serial, by) => lost.push(serial, by.serial));
    reader.publish(session("alice", "phone", 10, 1_704_067_200_500));
    owner.publish(session("alice", "phone", 1, 1_704_067_200_400));
    owner.publish(session("alice", "phone", 2, 1_704_067_200_500));
    owner.publish(session("alice", "tablet", 3, 1_704_067_200_900));
    expect(lost).toEqual([]);
    owner.publish(session("alice", "phone", 4, 1_704_067_200_600));
    expect(lost).toEqual([10, 4]);
    expect(reader.find({ local: "alice", domain: "example.org", resource: "phone" })?.serial).toBe(4);
  });

  test("a new session is later than the one it sees, by whatever clock", () => {
    const { owner, reader } = pair();
    const ahead = 1_704_067_200_000 + 3_600_000;
    owner.publish(session("alice", "phone", 1, ahead));
    expect(reader.publish(session("alice", "phone", 1))).toBe(ahead + 100);
  });

  test("entries that are not understood change nothing", () => {
    const { reader, slot } = pair();
    const refused = (fill: (out: ByteWriter) => void) => {
      const out = new ByteWriter();
      fill(out);
      expect(() => reader.apply(slot, new ByteReader(out.copy()))).toThrow(WireError);
    };
    refused(() => {});
    refused((out) => out.u8(99));
    refused((out) => {
      out.u8(1);
      out.u32(1);
    });
    for (const [local, resource] of [
      ["", "r"],
      ["alice", ""],
      ["x".repeat(1024), "r"],
      ["alice", "y".repeat(1024)],
    ] as const) {
      refused((out) => {
        out.u8(1);
        out.u32(1);
        out.u32(1);
        out.u16(0);
        out.u8(128);
        out.text("example.org");
        out.text(local);
        out.text(resource);
      });
    }
    expect(reader.digest(slot).count).toBe(0);
  });

  test("to change it while reading it is a mistake that is told", () => {
    const { owner, reader } = pair();
    owner.publish(session("alice", "phone", 1));
    const account = { local: "alice", domain: "example.org" };
    expect(() => reader.forEach(account, () => reader.publish(session("alice", "x", 1)))).toThrow("while it is read");
    expect(resources(reader, "alice")).toEqual(["phone"]);
  });
});

function toName(known: { local: string }): { local: string; domain: string } {
  return { local: known.local, domain: "example.org" };
}

function compare(
  reader: SessionDirectory,
  model: Map<number, { local: string; resource: string; priority: number; marks: number }>,
): void {
  const expected = new Map<string, string[]>();
  for (const [serial, { local, resource, priority, marks }] of model) {
    const lines = expected.get(local) ?? [];
    lines.push(`${serial} ${resource} ${priority} ${marks}`);
    expected.set(local, lines);
  }
  for (let user = 0; user < 2000; user++) {
    const local = `user${user}`;
    const found: string[] = [];
    reader.forEach({ local, domain: "example.org" }, ({ serial, resource, priority, marks }) =>
      found.push(`${serial} ${resource} ${priority} ${marks}`),
    );
    expect(found.sort()).toEqual((expected.get(local) ?? []).sort());
    expect(reader.count({ local, domain: "example.org" })).toBe(found.length);
  }
}
