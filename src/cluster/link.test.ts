/** The link over a network that loses, doubles and reorders: every frame once, in order, acknowledged when dealt with. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../observe/log.ts";
import { SimClock } from "../runtime/sim/clock.ts";
import { SimNetwork } from "../runtime/sim/network.ts";
import { SimRandom } from "../runtime/sim/random.ts";
import { ClusterFabric } from "./fabric/engine.ts";
import { Link, LinkFull, type LinkOptions, PeerLost } from "./link.ts";

type Handler = (text: string) => void | Promise<void>;

function node(network: SimNetwork, number: number, options: Partial<LinkOptions> = {}) {
  const { clock } = network;
  const atTurnEnd = (run: () => void) => void clock.after(0, run);
  const transport = network.machine(number);
  const self = { cluster: "c", name: `n${number}`, number, incarnation: 1, version: "1", address: "" };
  const fabric = new ClusterFabric({ self, transport, clock, log: silentLog, atTurnEnd });
  const link = new Link({ channel: fabric.channel(1), log: silentLog, atTurnEnd, ...options });
  const received: string[] = [];
  const end = { fabric, link, transport, received, handle: undefined as Handler | undefined };
  link.listen({
    frame: (_, bytes) => {
      const text = Buffer.from(bytes).toString();
      received.push(text);
      return end.handle?.(text);
    },
  });
  return end;
}

async function pair(seed = 1, options: Partial<LinkOptions> = {}) {
  const clock = new SimClock();
  const random = new SimRandom(seed);
  const network = new SimNetwork(clock, random);
  const a = node(network, 1, options);
  const b = node(network, 2, options);
  await a.fabric.start();
  await b.fabric.start();
  clock.advance(100);
  return { clock, random, network, a, b };
}

const frame = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

describe("a link", () => {
  test("keeps the order and acknowledges once a turn", async () => {
    const { clock, a, b } = await pair();
    let acknowledged = 0;
    for (let index = 0; index < 100; index++) a.link.send(2, frame(`f${index}`), true)!.then(() => acknowledged++);
    await clock.advanceSettling(20);
    expect(b.received).toEqual(Array.from({ length: 100 }, (_, index) => `f${index}`));
    expect(acknowledged).toBe(100);
    expect(b.link.counters.acksOut).toBe(1);
    expect(a.link.unacknowledged(2)).toEqual({ frames: 0, bytes: 0 });
  });

  test("acknowledges a frame when its handler has settled, and those before it too", async () => {
    const { clock, a, b } = await pair();
    const waits = new Map<string, PromiseWithResolvers<void>>();
    b.handle = (text) => {
      if (text === "none") return undefined;
      const wait = Promise.withResolvers<void>();
      waits.set(text, wait);
      return wait.promise;
    };
    const done: string[] = [];
    for (const text of ["one", "none", "two", "three"]) a.link.send(2, frame(text), true)!.then(() => done.push(text));
    await clock.advanceSettling(20);
    expect([b.received, done]).toEqual([["one", "none", "two", "three"], []]);
    waits.get("two")!.resolve();
    await clock.advanceSettling(20);
    expect(done).toEqual([]);
    waits.get("one")!.resolve();
    await clock.advanceSettling(20);
    expect(done).toEqual(["one", "none", "two"]);
    waits.get("three")!.reject(new Error("logged, and dealt with all the same"));
    await clock.advanceSettling(20);
    expect(done).toEqual(["one", "none", "two", "three"]);
  });

  test("no loss, no duplicate, and order, whatever is lost, in both directions", async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { clock, random, network, a, b } = await pair(seed);
      const loss = random.next() * 0.3;
      Object.assign(network.weather, { loss, doubling: 0.1, overtaking: 0.05, delayMsMax: 20 });
      b.handle = (text) =>
        text.endsWith("7") ? new Promise<void>((resolve) => void clock.after(random.next() * 50, resolve)) : undefined;
      const sent: [string[], string[]] = [[], []];
      let acknowledged = 0;
      for (let step = 0; step < 300; step++) {
        for (let count = random.uint32() % 5; count > 0; count--) {
          const text = `${sent[0].length}`;
          sent[0].push(text);
          a.link.send(2, frame(text), true)!.then(() => acknowledged++);
        }
        if (random.next() < 0.5) {
          sent[1].push(`${sent[1].length}`);
          expect(b.link.send(1, frame(sent[1].at(-1)!), false)).toBeUndefined();
        }
        await clock.advanceSettling(random.next() * 10);
      }
      // Nothing follows: what is lost at the end must be noticed all the same.
      await clock.advanceSettling(5_000);
      Object.assign(network.weather, { loss: 0 });
      await clock.advanceSettling(3_000);
      expect([seed, b.received.length, a.received.length]).toEqual([seed, sent[0].length, sent[1].length]);
      expect([b.received, a.received]).toEqual(sent);
      expect([seed, acknowledged]).toEqual([seed, sent[0].length]);
      expect(a.link.unacknowledged(2).frames + b.link.unacknowledged(1).frames).toBe(0);
      // What is repeated is about what was lost, not the whole window again and again.
      expect(a.link.counters.repeated).toBeLessThan(sent[0].length * 1.5);
    }
  });

  test("a peer that goes down rejects what it has not acknowledged; the next session begins anew", async () => {
    const { clock, network, a, b } = await pair();
    network.cut(1, 2);
    network.cut(2, 1);
    const fate: string[] = [];
    const lost = a.link.send(2, frame("lost"), true)!;
    lost.catch((error) => fate.push(error.name));
    await clock.advanceSettling(8_000);
    expect(fate).toEqual(["PeerLost"]);
    await expect(a.link.send(2, frame("down"), false)!).rejects.toThrow(PeerLost);
    network.mend();
    await clock.advanceSettling(2_000);
    let acknowledged = false;
    a.link.send(2, frame("new"), true)!.then(() => {
      acknowledged = true;
    });
    await clock.advanceSettling(20);
    expect([b.received, acknowledged]).toEqual([["new"], true]);
  });

  test("a receipt is told what became of its frame, and may send the next one then", async () => {
    const { clock, network, a, b } = await pair();
    const fate: string[] = [];
    const receipt = (text: string, then?: string) => ({
      dealtWith: () => {
        fate.push(`${text} dealt with`);
        if (then !== undefined) a.link.sendWith(2, frame(then), receipt(then));
      },
      lost: (error: Error) => fate.push(`${text} ${error.name}`),
    });
    for (const text of ["one", "two"]) a.link.sendWith(2, frame(text), receipt(text, `after ${text}`));
    await clock.advanceSettling(50);
    expect(b.received).toEqual(["one", "two", "after one", "after two"]);
    expect(fate).toEqual(b.received.map((text) => `${text} dealt with`));
    expect(a.link.unacknowledged(2)).toEqual({ frames: 0, bytes: 0 });
    network.cut(1, 2);
    network.cut(2, 1);
    a.link.sendWith(2, frame("three"), receipt("three"));
    await clock.advanceSettling(8_000);
    a.link.sendWith(2, frame("four"), receipt("four"));
    expect(fate.slice(4)).toEqual(["three PeerLost", "four PeerLost"]);
  });

  test("is full at its window, drains, and refuses at twice that", async () => {
    const { clock, a, b } = await pair(1, { windowFrames: 10, windowBytes: 1000 });
    const held = Promise.withResolvers<void>();
    b.handle = () => held.promise;
    for (let index = 0; index < 10; index++) {
      expect(a.link.full(2)).toBe(false);
      a.link.send(2, frame(`${index}`), false);
    }
    expect(a.link.full(2)).toBe(true);
    let drained = false;
    a.link.whenDrained(2).then(() => {
      drained = true;
    });
    for (let index = 10; index <= 20; index++) expect(a.link.send(2, frame(`${index}`), false)).toBeUndefined();
    await expect(a.link.send(2, frame("too much"), false)!).rejects.toThrow(LinkFull);
    await clock.advanceSettling(50);
    expect(drained).toBe(false);
    held.resolve();
    await clock.advanceSettling(50);
    expect([drained, a.link.full(2), b.received.length]).toEqual([true, false, 21]);
    a.link.send(2, new Uint8Array(1000), false);
    expect(a.link.full(2)).toBe(true);
    b.transport.kill();
    const down = a.link.whenDrained(2);
    await clock.advanceSettling(8_000);
    await down;
    expect(a.link.full(2)).toBe(false);
  });

  test("messages that are cut or make no sense do nothing", async () => {
    const { clock, random, a, b } = await pair();
    a.link.send(2, frame("before"), false);
    for (let index = 0; index < 3000; index++) {
      const bytes = random.bytes(index % 24);
      if (bytes.length > 0) bytes[0] = [0, 2, 5, 6, 255][index % 5]!;
      a.fabric.channel(1).send(2, bytes);
    }
    a.link.send(2, frame("after"), false);
    await clock.advanceSettling(100);
    expect(b.received).toEqual(["before", "after"]);
  });

  test("a question that names a frame no window reaches is garbage, and costs nothing", async () => {
    const { clock, a, b } = await pair();
    const garbage = new Uint8Array(17).fill(0xff);
    garbage[0] = 3;
    a.fabric.channel(1).send(2, garbage);
    const acknowledged = a.link.send(2, frame("after it"), true);
    await clock.advanceSettling(20);
    await acknowledged;
    expect(b.received).toEqual(["after it"]);
  });
});
