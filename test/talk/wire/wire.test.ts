/**
 * Versions beside each other: what a node of an earlier version says is understood, what this one says has all that an earlier one reads, and what
 * nobody knows yet is left out. `fixtures/` holds what each version says; how to add to it says docs/cluster.md.
 */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { ByteReader, ByteWriter } from "../../../src/cluster/bytes.ts";
import { ClusterFabric } from "../../../src/cluster/fabric/engine.ts";
import { readHello } from "../../../src/cluster/fabric/envelope.ts";
import { KeyedTable } from "../../../src/cluster/keyed-table.ts";
import { Link } from "../../../src/cluster/link.ts";
import { Replicator } from "../../../src/cluster/replicator.ts";
import { SessionDirectory } from "../../../src/cluster/session-directory.ts";
import type { TableStore } from "../../../src/cluster/table-store.ts";
import { type RoomDescription, RoomState } from "../../../src/modules/muc/room-state.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { SimClock } from "../../../src/runtime/sim/clock.ts";
import { SimRandom } from "../../../src/runtime/sim/random.ts";
import { serialOf, type TakeCall, type TakePlaceCall } from "../../../src/server/cluster/frames.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { stanzaFromBytes } from "../../../src/stanza/stanza-bytes.ts";
import { managementOf } from "../../../src/stream/session-keeper.ts";
import { ClusterTalk, quiet, type TalkNode } from "../../support/cluster-talk.ts";
import { fromText, jsonIn, toText } from "../../support/wire.ts";
import { storyModules, tellStory } from "./story.ts";

type Fixtures = Readonly<Record<string, string>>;

const folder = new URL("fixtures/", import.meta.url);
const versions = readdirSync(folder).map((file) => file.replace(/\.json$/, ""));
const fixturesOf = (version: string): Fixtures => JSON.parse(readFileSync(new URL(`${version}.json`, folder), "utf8"));
const namesOf = (fixtures: Fixtures, kind: string) =>
  Object.keys(fixtures).filter((name) => name.startsWith(`${kind} `));

let talk: ClusterTalk | undefined;
afterEach(async () => {
  await talk?.stop();
  talk = undefined;
});

/** A node as this version has it, and one that says what it is told to. */
async function beside() {
  talk = await ClusterTalk.start(0, storyModules);
  const node = await talk.addNode(2);
  for (const name of ["alice", "bob"]) await talk.account(name);
  const transport = talk.network.machine(1);
  const self = { cluster: "talk", name: "n1", number: 1, incarnation: 100, version: "0", address: "" };
  const { clock } = transport;
  const atTurnEnd = queueMicrotask;
  const fabric = new ClusterFabric({ self, transport, clock, log: silentLog, atTurnEnd });
  const link = new Link({ channel: fabric.channel(1), log: silentLog, atTurnEnd });
  link.listen({ frame: () => undefined });
  // It has no tables, and says so.
  new Replicator({ channel: fabric.channel(0), clock, log: silentLog, atTurnEnd }).start();
  await fabric.start();
  await talk.settle(1_500);
  const { passing } = talk;
  const frame = (bytes: Uint8Array) => passing.call(talk, link.send(2, bytes, true)!);
  const ask = (bytes: Uint8Array) =>
    passing.call(talk, fabric.channel(2).request(2, bytes, 5_000)) as Promise<Uint8Array>;
  return { talk, node, fabric, link, frame, ask };
}

const refusals = ({ cluster: { refused, fabric, replicator } }: TalkNode) => ({
  refused,
  envelopes: fabric.counters.refused,
  tables: replicator.counters.refused,
  entries: replicator.counters.malformedEntries,
});
const none = { refused: 0, envelopes: 0, tables: 0, entries: 0 };

/** With a field that a later version may have. */
function grown(text: string): string {
  const at = text.indexOf(" {");
  return at < 0 ? text : `${text.slice(0, at + 2)}"ofALaterVersion":{"a":[1]},${text.slice(at + 2)}`;
}

describe.each(versions)("what a node of version %s says is understood", (version) => {
  const fixtures = fixturesOf(version);
  const bytesOf = (name: string): Uint8Array => fromText(fixtures[name]!);
  const json = <T>(name: string): T => jsonIn(fixtures[name]!) as T;

  test.each([
    ["as it is", (text: string) => text],
    ["also with fields of a version to come", grown],
  ])("frames, calls, notices and tables: %s", async (_title, changed) => {
    const { node, fabric, frame, ask } = await beside();
    for (const name of namesOf(fixtures, "frame")) await frame(fromText(changed(fixtures[name]!)));
    for (const name of namesOf(fixtures, "call")) {
      if (name.includes("unknown") || name === "call admin" || name === "call metrics") continue;
      expect(await ask(fromText(changed(fixtures[name]!)))).toBeInstanceOf(Uint8Array);
    }
    const topics = node.cluster.noticeCounters.heard;
    fabric.channel(2).send(2, bytesOf("notice"));
    for (const name of namesOf(fixtures, "table")) fabric.channel(0).send(2, bytesOf(name));
    for (const name of namesOf(fixtures, "requests")) fabric.sendOn(15, 2, bytesOf(name), undefined);
    await talk!.settle(100);
    expect(node.cluster.noticeCounters.heard).toBe(topics + 1);
    expect(refusals(node)).toEqual(none);
  });

  test("envelopes: a hello, with whatever follows in it or does not", () => {
    const hello = bytesOf("envelope hello");
    for (const bytes of [hello, new Uint8Array([...hello, 1, 2, 3]), hello.subarray(0, hello.length - 8)]) {
      const read = readHello(bytes, 2, 2)!;
      expect(read.identity).toEqual({
        cluster: "talk",
        name: "n1",
        number: 1,
        incarnation: 1,
        version: "1",
        address: "",
      });
      expect([read.mine, read.seen]).toEqual([1, 1]);
    }
  });

  test("the link: its frames, and what is said of them", () => {
    const sent: Uint8Array[] = [];
    const peer = { cluster: "c", name: "n2", number: 2, incarnation: 1, version: "1", address: "" };
    let message: (bytes: Uint8Array) => void = () => undefined;
    const channel = {
      self: { ...peer, number: 1 },
      peers: new Map([[2, peer]]),
      send: (_node: number, head: Uint8Array, tail?: Uint8Array) =>
        void sent.push(new Uint8Array([...head, ...(tail ?? [])])),
      listen: (events: {
        peerUp(who: typeof peer, returned: boolean): void;
        message(who: typeof peer, bytes: Uint8Array): void;
      }) => {
        events.peerUp(peer, false);
        message = (bytes) => events.message(peer, bytes);
      },
    };
    const link = new Link({ channel: channel as never, log: silentLog, atTurnEnd: (run) => run() });
    const got: Uint8Array[] = [];
    link.listen({ frame: (_from, bytes) => void got.push(bytes) });
    for (let count = 0; count < 200; count++) link.send(2, Uint8Array.of(8), false);
    sent.length = 0;
    const first = bytesOf("link frame");
    const number = new DataView(first.buffer).getUint32(3);
    for (let before = 0; before < number; before++) {
      const bytes = first.slice();
      new DataView(bytes.buffer).setUint32(3, before);
      message(bytes);
    }
    message(first);
    expect(got).toHaveLength(number + 1);
    expect(toText(got.at(-1)!)).toBe(toText(first.subarray(7)));
    message(bytesOf("link repeat"));
    expect(link.counters.repeated).toBeGreaterThan(0);
    sent.length = 0;
    message(bytesOf("link question"));
    expect(sent.some(([kind]) => kind === 4)).toBe(true);
    message(bytesOf("link ack"));
    message(bytesOf("link answer"));
    expect(link.unacknowledged(2).frames).toBeLessThan(200);
  });

  test("records of tables: sessions that come, change and go; things and where they are", () => {
    const clock = new SimClock();
    const random = new SimRandom(1);
    const directory = new SessionDirectory({ clock, random, log: quiet, superseded: () => undefined });
    const account = { local: "alice", domain: "localhost" };
    const slot = takeIn(directory, bytesOf("table chunk"), true);
    expect(directory.find({ ...account, resource: "phone" })).toMatchObject({ serial: 2, resource: "phone" });
    takeIn(directory, bytesOf("table writes: sessions 1"), false, slot);
    const before = directory.count(account);
    takeIn(directory, bytesOf("table writes: sessions 2"), false, slot);
    takeIn(directory, bytesOf("table writes: sessions 3"), false, slot);
    expect(directory.count(account)).toBeLessThanOrEqual(before);
    const rooms = new KeyedTable<unknown>({ name: "place muc", clock });
    const owned = takeIn(rooms, bytesOf("table writes: place muc 1"), false);
    expect([...rooms.entries()].map(({ key }) => key)).toEqual(["den@conference.localhost"]);
    takeIn(rooms, bytesOf("table writes: place muc 2"), false, owned);
    expect([...rooms.entries()]).toEqual([]);
  });

  test("a session that is handed over goes on with all it had", async () => {
    const { node, ask } = await beside();
    const { sessions } = json<TakeCall>("call take");
    const answer = await ask(bytesOf("call take"));
    expect(JSON.parse(Buffer.from(answer).toString())).toHaveLength(sessions.length);
    expect(sessions.some(({ unacknowledged }) => unacknowledged.length > 0)).toBe(true);
    for (const moving of sessions) {
      const jid = parseJid(moving.jid)!;
      const session = node.core.router.sessions.find(jid)!;
      const { startedAt, priority, marks, presence } = session;
      expect({ startedAt, priority, marks, presence: presence?.toXml() }).toEqual({
        startedAt: moving.startedAt,
        priority: moving.priority,
        marks: moving.marks,
        presence: moving.presence,
      });
      expect(session.describeSlots()).toMatchObject(moving.slots);
      const { received, unacknowledged } = managementOf(session)!.describe();
      expect(received).toBe(moving.received);
      expect(unacknowledged.map((stanza) => stanza.toXml())).toEqual([...moving.unacknowledged]);
      expect(node.core.keeper.resumptions.find(moving.resumeId, jid.toBare().bare)?.session).toBe(session);
    }
  });

  test("a room that is handed over goes on with all it had", async () => {
    const { ask } = await beside();
    const { data } = json<TakePlaceCall>("call takePlace");
    expect(Buffer.from(await ask(bytesOf("call takePlace"))).toString()).toBe("true");
    const description = data as RoomDescription;
    expect(description.occupants.length).toBeGreaterThan(1);
    expect(RoomState.restore(description, 20).describe()).toMatchObject(description);
  });

  test("a stanza for a session, and one for a thing", () => {
    const deliver = bytesOf("frame deliver");
    expect(serialOf(deliver)).toBeGreaterThan(0);
    expect(stanzaFromBytes(deliver, 5)).toMatchObject({ kind: "presence" });
    expect(stanzaFromBytes(bytesOf("frame forward"), 2).to?.bare).toBe("den@conference.localhost");
  });
});

describe("what this version says", () => {
  let said: Map<string, Uint8Array>;
  beforeAll(async () => {
    said = await tellStory();
  });

  test.each(versions)("has all that version %s reads", (version) => {
    const missing: string[] = [];
    for (const [name, text] of Object.entries(fixturesOf(version))) {
      const today = said.get(name);
      if (today === undefined) {
        missing.push(`${name}: not said any more`);
        continue;
      }
      const before = jsonIn(text);
      if (before === undefined) {
        const known = fromText(text);
        const kind = name.startsWith("envelope") ? 3 : name.startsWith("table") || name === "notice" ? 2 : 1;
        // Answers begin with what they say.
        if (name.startsWith("answer") || name === "failure") continue;
        if (toText(today.subarray(0, kind)) !== toText(known.subarray(0, kind)))
          missing.push(`${name}: of another kind`);
      } else missing.push(...lacking(before, jsonIn(toText(today)), name));
    }
    expect(missing).toEqual([]);
  });

  test("is in the fixtures of the newest version, kind for kind (when it grows: test/talk/wire/record.ts)", () => {
    const newest = fixturesOf(versions.toSorted(Bun.semver.order).at(-1)!);
    expect([...said.keys()].toSorted()).toEqual(Object.keys(newest).toSorted());
    // What a version to come reads is to be what this one says: a field that is new here belongs into fixtures too.
    for (const [name, bytes] of said) expect(lacking(jsonIn(toText(bytes)), jsonIn(newest[name]!), name)).toEqual([]);
  });
});

test("what a version to come says is left out: kinds of frames, calls, messages, tables, entries, notices, envelopes", async () => {
  const { talk, node, fabric, frame, ask } = await beside();
  await frame(Uint8Array.of(250, 1));
  await expect(ask(Uint8Array.of(250, 1))).rejects.toThrow("a call of kind 250");
  expect(refusals(node)).toEqual({ ...none, refused: 2 });
  const { replicator } = node.cluster;
  fabric.channel(0).send(2, Uint8Array.of(1, 99));
  fabric.channel(0).send(2, Uint8Array.of(2, 1));
  const writes = new ByteWriter();
  for (const value of [1, 1]) writes.u8(value);
  writes.text("a table of a version to come");
  writes.u48(1);
  writes.u16(0);
  fabric.channel(0).send(2, writes.copy());
  await talk.settle();
  expect([replicator.counters.refused, replicator.counters.unknownTables]).toEqual([2, 1]);
  const { missed } = node.cluster.noticeCounters;
  fabric.channel(2).send(2, Uint8Array.of(9, 1, 2));
  // On channels that nobody has here.
  fabric.channel(9).send(2, Uint8Array.of(1));
  await expect(talk.passing(fabric.channel(9).request(2, Uint8Array.of(1), 1_000))).rejects.toThrow("nobody answers");
  fabric.sendOn(15, 2, Uint8Array.of(77), undefined);
  await talk.settle();
  expect(node.cluster.noticeCounters.missed).toBe(missed + 1);
  expect(node.cluster.fabric.counters.refused).toBe(1);
  const clock = new SimClock();
  const rooms = new KeyedTable<unknown>({ name: "place muc", clock });
  const slot = rooms.open(fabric.self, 0);
  expect(() => rooms.apply(slot, new ByteReader(Uint8Array.of(77, 0, 1, 97)))).toThrow();
});

/** Takes the entries of a message into a table, as the replicator does; the slot they went to. */
function takeIn(store: TableStore, bytes: Uint8Array, isChunk: boolean, slot?: number): number {
  const reader = new ByteReader(bytes, 2);
  expect(reader.text()).toBe(store.name);
  if (isChunk) reader.skip(9);
  reader.u48();
  const owner = { cluster: "talk", name: "n9", number: 9, incarnation: 9, version: "1", address: "" };
  const to = slot ?? open();
  for (let count = reader.u16(); count > 0; count--) {
    const length = reader.u16();
    const start = reader.skip(length);
    store.apply(to, new ByteReader(bytes, start, start + length));
  }
  expect(reader.done).toBe(true);
  return to;

  function open(): number {
    store.attach({ ...owner, name: "n1", number: 1 }, { begin: () => new ByteWriter(), end: () => undefined });
    return store.open(owner, 0);
  }
}

/** What of `known` has no counterpart of the same type in `now`. Numbers as keys are data. */
function lacking(known: unknown, now: unknown, path: string): string[] {
  if (known === undefined || known === null) return [];
  if (typeof known !== typeof now || Array.isArray(known) !== Array.isArray(now)) return [`${path}: ${typeof now}`];
  if (typeof known !== "object") return [];
  const [one, other] = [known, now] as Record<string, unknown>[];
  if (Array.isArray(known) || Object.keys(one!).every((key) => /^\d+$/.test(key))) {
    const [first] = Object.values(one!);
    const [second] = Object.values(other!);
    return second === undefined ? [] : lacking(first, second, `${path}[]`);
  }
  return Object.entries(one!).flatMap(([key, value]) => lacking(value, other![key], `${path}.${key}`));
}
