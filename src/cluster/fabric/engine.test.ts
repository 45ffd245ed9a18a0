/** The fabric's own logic, over a network that is driven by hand. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../observe/log.ts";
import { SimClock } from "../../runtime/sim/clock.ts";
import { SimNetwork } from "../../runtime/sim/network.ts";
import { SimRandom } from "../../runtime/sim/random.ts";
import { ClusterFabric, type FabricOptions } from "./engine.ts";
import { writeHello } from "./envelope.ts";
import { type FabricEvents, type NodeIdentity, RequestFailed } from "./fabric.ts";
import type { TransportEvents } from "./transport.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytesOf = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

function identity(number: number, incarnation = 1, name = `node-${number}`): NodeIdentity {
  return { cluster: "test", name, number, incarnation, version: "1.0", address: `place ${number}` };
}

/** A node whose story is told in `heard`. */
function node(network: SimNetwork, self: NodeIdentity, options: Partial<FabricOptions> = {}) {
  const heard: string[] = [];
  const transport = network.machine(self.number);
  const { clock } = transport;
  let below: TransportEvents | undefined;
  const start = transport.start.bind(transport);
  transport.start = (events) => {
    below = events;
    return start(events);
  };
  const events: FabricEvents = {
    message: (from, bytes) => void heard.push(`${from.number}: ${text(bytes)}`),
    request: (from, bytes) => {
      const question = text(bytes);
      if (question === "throw") throw new Error("cannot");
      if (question === "never") return new Promise<Uint8Array>(() => {});
      return bytesOf(`${question}, node ${from.number}`);
    },
    peerUp: (peer, returned) => void heard.push(`${peer.number} ${returned ? "returned" : "up"}`),
    peerDown: (peer, reason) => void heard.push(`${peer.number} ${reason}`),
    gap: (from, missed) => void heard.push(`${from.number} gap ${missed}`),
  };
  const fabric = new ClusterFabric({
    self,
    transport,
    clock,
    log: silentLog,
    atTurnEnd: (run) => void clock.after(0, run),
    ...options,
  });
  const take = (): string[] => heard.splice(0);
  return { fabric, transport, heard, take, events, below: () => below!, start: () => fabric.start(events) };
}

async function pair(options: Partial<FabricOptions> = {}) {
  const clock = new SimClock();
  const network = new SimNetwork(clock, new SimRandom(1));
  const a = node(network, identity(1), options);
  const b = node(network, identity(2), options);
  await a.start();
  await b.start();
  clock.advance(100);
  return { clock, network, a, b };
}

describe("coming and going", () => {
  test("two nodes are up for each other within a few exchanges, long before the next hello", async () => {
    const { a, b } = await pair();
    expect([a.take(), b.take()]).toEqual([["2 up"], ["1 up"]]);
    expect(a.fabric.peers.get(2)).toEqual(identity(2));
  });

  test("a node that stops says goodbye; one that dies is silent for the time of expiry", async () => {
    const { clock, a, b, network } = await pair();
    a.take();
    b.take();
    await b.fabric.stop();
    clock.advance(10);
    expect(a.take()).toEqual(["2 left"]);
    const again = node(network, identity(2, 2));
    await again.start();
    clock.advance(100);
    expect(a.take()).toEqual(["2 up"]);
    again.transport.kill();
    clock.advance(3500);
    expect(a.take()).toEqual([]);
    clock.advance(3000);
    expect(a.take()).toEqual(["2 silent"]);
  });

  test("a transport that knows better does not wait for silence", async () => {
    const { clock, a, b } = await pair();
    a.take();
    b.transport.kill();
    a.below().lost(2);
    expect(a.take()).toEqual(["2 silent"]);
    clock.advance(100);
    expect(a.fabric.peers.size).toBe(0);
  });

  test("a later incarnation replaces the one before, and nothing more is taken of that", async () => {
    const { clock, network, a, b } = await pair();
    a.take();
    b.transport.kill();
    const later = node(network, identity(2, 7));
    await later.start();
    clock.advance(100);
    expect(a.take()).toEqual(["2 replaced", "2 up"]);
    const refused = a.fabric.counters.refused;
    a.below().received(helloOf(identity(2, 1)));
    clock.advance(100);
    expect(a.take()).toEqual([]);
    expect(a.fabric.counters.refused).toBe(refused + 1);
  });

  test("a name that comes back under another number replaces too", async () => {
    const { clock, network, a, b } = await pair();
    a.take();
    b.transport.kill();
    await node(network, identity(5, 2, "node-2")).start();
    clock.advance(100);
    expect(a.take()).toEqual(["2 replaced", "5 up"]);
    expect([...a.fabric.peers.keys()]).toEqual([5]);
  });

  test("who is replaced himself speaks no more", async () => {
    const { clock, network, a, b } = await pair();
    const c = node(network, identity(3));
    await c.start();
    clock.advance(100);
    a.take();
    b.take();
    // The same number, a later start, while the first still lives.
    for (const other of [a, b]) other.below().received(helloOf(identity(2, 2)));
    expect(b.fabric.replaced).toBe(true);
    expect(b.fabric.peers.size).toBe(0);
    expect(b.take()).toEqual(["1 silent", "3 silent"]);
    const { envelopesOut } = b.fabric.counters;
    b.fabric.send(1, bytesOf("still here"));
    const taken = b.fabric.request(1, bytesOf("me too"), 1000);
    clock.advance(2000);
    expect(a.take()).toEqual(["2 replaced"]);
    expect(b.fabric.counters.envelopesOut).toBe(envelopesOut);
    await expect(taken).rejects.toThrow(RequestFailed);
  });
});

function helloOf(self: NodeIdentity): Uint8Array {
  return writeHello(self, undefined, [], 0);
}

describe("messages", () => {
  test("of one turn leave in one envelope, in order, broadcast and single ones alike", async () => {
    const { clock, a, b } = await pair();
    b.take();
    const before = a.fabric.counters.envelopesOut;
    const carried = b.fabric.counters.envelopesIn;
    for (let index = 0; index < 50; index++) {
      a.fabric.send(2, bytesOf(`m${index}`));
      if (index % 10 === 0) a.fabric.broadcast(bytesOf(`all${index}`));
    }
    clock.advance(10);
    const expected = [];
    for (let index = 0; index < 50; index++) {
      expected.push(`1: m${index}`);
      if (index % 10 === 0) expected.push(`1: all${index}`);
    }
    expect(b.take()).toEqual(expected);
    expect(b.fabric.counters.envelopesIn - carried).toBe(1);
    expect(a.fabric.counters.envelopesOut - before).toBe(1);
  });

  test("larger than an envelope go in pieces; too large ones are refused", async () => {
    const { clock, a, b } = await pair();
    const received: Uint8Array[] = [];
    b.fabric.channel(3).listen({ ...b.events, message: (_, bytes) => void received.push(bytes) });
    const large = new SimRandom(3).bytes(1_000_000);
    a.fabric.channel(3).send(2, bytesOf("head"), large);
    a.fabric.channel(3).send(2, bytesOf("after"));
    clock.advance(10);
    expect(received.map((bytes) => bytes.length)).toEqual([1_000_004, 5]);
    expect(Buffer.from(received[0]!.subarray(4)).equals(Buffer.from(large))).toBe(true);
    expect(() => a.fabric.send(2, new Uint8Array(13 * 1024 * 1024))).toThrow(RangeError);
  });

  test("of one that went in pieces and has lost some nothing arrives, and what follows does", async () => {
    const { clock, network, a, b } = await pair();
    b.take();
    const large = new Uint8Array(300 * 1024).fill(65);
    for (const lost of [0, 1, 2, 3]) {
      // The pieces leave one after the other within this call.
      let piece = 0;
      const carry = network.carry.bind(network);
      network.carry = (from, number, envelope) => {
        if (number !== 2 || piece++ !== lost) carry(from, number, envelope);
      };
      a.fabric.send(2, large);
      a.fabric.send(2, bytesOf("after"));
      clock.advance(5);
      network.carry = carry;
      expect([lost, b.take().filter((line) => line !== "1 gap 1")]).toEqual([lost, ["1: after"]]);
    }
  });

  test("a lost one is a gap before the next, or at the next hello when none follows", async () => {
    const { clock, network, a, b } = await pair();
    b.take();
    network.cut(1, 2);
    a.fabric.send(2, bytesOf("one"));
    a.fabric.send(2, bytesOf("two"));
    clock.advance(5);
    network.mend();
    a.fabric.send(2, bytesOf("three"));
    clock.advance(5);
    expect(b.take()).toEqual(["1 gap 2", "1: three"]);
    network.cut(1, 2);
    a.fabric.send(2, bytesOf("four"));
    clock.advance(5);
    network.mend();
    clock.advance(1000);
    expect(b.take()).toEqual(["1 gap 1"]);
  });

  test("what comes twice or late is given once, never out of order", async () => {
    const { clock, network, a, b } = await pair();
    b.take();
    Object.assign(network.weather, { doubling: 0.5, overtaking: 0.5, delayMsMax: 20 });
    for (let index = 0; index < 500; index++) {
      clock.after(index, () => a.fabric.send(2, bytesOf(String(index))));
    }
    clock.advance(2000);
    const seen = b.take();
    let missed = 0;
    const numbers: number[] = [];
    for (const line of seen) {
      const gap = /gap (\d+)/.exec(line);
      if (gap !== null) missed += Number(gap[1]);
      else numbers.push(Number(line.slice(3)));
    }
    expect(numbers).toEqual(numbers.toSorted((x, y) => x - y));
    expect(new Set(numbers).size).toBe(numbers.length);
    // Some of what is missed is what the nodes say to each other of gaps.
    expect(numbers.length + missed).toBeGreaterThanOrEqual(500);
    expect(numbers.length + missed).toBeLessThanOrEqual(a.fabric.counters.messagesOut);
    expect(b.fabric.counters.late).toBeGreaterThan(0);
  });

  test("a peer that takes nothing has a bounded queue; what is dropped is a gap, counted", async () => {
    const { clock, a, b } = await pair({ queueBytesMax: 10_000 });
    b.take();
    let stuckBytes = 9_000;
    a.transport.queuedBytes = () => stuckBytes;
    for (let index = 0; index < 2; index++) a.fabric.send(2, new Uint8Array(400).fill(65 + index));
    stuckBytes = 10_000;
    for (let index = 0; index < 3; index++) a.fabric.send(2, new Uint8Array(400).fill(67 + index));
    expect(a.fabric.queuedBytes(2)).toBe(10_000);
    stuckBytes = 0;
    clock.advance(1);
    a.fabric.send(2, bytesOf("after"));
    clock.advance(5);
    expect(a.fabric.counters.dropped).toBe(3);
    const heard = b.take();
    expect(heard.map((line) => line.slice(0, 8))).toEqual(["1: AAAAA", "1: BBBBB", "1 gap 3", "1: after"]);
  });

  test("channels do not hear each other", async () => {
    const { clock, a, b } = await pair();
    b.take();
    const other: string[] = [];
    b.fabric.channel(1).listen({
      ...b.events,
      message: (_, bytes) => void other.push(text(bytes)),
      peerUp: (peer) => void other.push(`${peer.number} up`),
    });
    a.fabric.channel(1).send(2, bytesOf("for one"));
    a.fabric.send(2, bytesOf("for none"));
    a.fabric.channel(2).send(2, bytesOf("nobody listens"));
    clock.advance(5);
    expect([other, b.take()]).toEqual([["1 up", "for one"], ["1: for none"]]);
    expect(await refused(clock, a.fabric.channel(2).request(2, bytesOf("x"), 100))).toStartWith("RequestFailed");
  });
});

/** Lets time pass until the promise settles. */
async function answered<T>(clock: SimClock, promise: Promise<T>): Promise<T> {
  promise.catch(() => {}); // also awaited below
  await clock.advanceSettling(20_000);
  return promise;
}

/** How the promise fails. Not `rejects`: Bun's waits within the matcher, where with any socket open each turn takes a third of a second. */
async function refused(clock: SimClock, promise: Promise<unknown>): Promise<string> {
  return answered(clock, promise).then(() => "it was answered", String);
}

describe("requests", () => {
  test("are answered; an error of the other side, silence, and a peer that goes are told", async () => {
    const { clock, a, b } = await pair();
    expect(text(await answered(clock, a.fabric.request(2, bytesOf("hello"), 1000)))).toBe("hello, node 1");
    expect(await refused(clock, a.fabric.request(2, bytesOf("throw"), 1000))).toContain("node-2: cannot");
    expect(await refused(clock, a.fabric.request(2, bytesOf("never"), 1000))).toContain("within 1000 ms");
    expect(await refused(clock, a.fabric.request(9, bytesOf("hello"), 1000))).toContain("node 9 is not up");
    const left = a.fabric.request(2, bytesOf("never"), 60_000);
    clock.advance(1);
    await b.fabric.stop();
    expect(await refused(clock, left)).toContain("node-2 is down");
  });

  test("more at once than allowed are refused", async () => {
    const { clock, a } = await pair({ requestsMax: 2 });
    const all = [0, 1, 2].map(() => answered(clock, a.fabric.request(2, bytesOf("never"), 1000)));
    const reasons = (await Promise.allSettled(all)).map((result) => String((result as PromiseRejectedResult).reason));
    expect(reasons.map((reason) => /too many/.test(reason))).toEqual([false, false, true]);
  });

  test("a question that is lost, or its answer, is sent again, and dealt with once", async () => {
    for (const lost of ["question", "answer"]) {
      const { clock, network, a, b } = await pair();
      const dealtWith: string[] = [];
      b.fabric.channel(3).listen({
        ...b.events,
        request: (_from, bytes) => {
          dealtWith.push(text(bytes));
          return bytesOf("done");
        },
      });
      network.cut(lost === "question" ? 1 : 2, lost === "question" ? 2 : 1);
      const answer = a.fabric.channel(3).request(2, bytesOf("take"), 900);
      await clock.advanceSettling(100);
      network.mend();
      await clock.advanceSettling(300);
      expect([lost, text(await answered(clock, answer)), dealtWith]).toEqual([lost, "done", ["take"]]);
    }
  });

  test("while the peers are up each is answered once, whatever is lost on the way", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const clock = new SimClock();
      const random = new SimRandom(seed);
      const network = new SimNetwork(clock, random);
      const nodes = [1, 2].map((number) => node(network, identity(number), { heartbeatMs: 100, expiryMs: 5000 }));
      const dealtWith = new Map<string, number>();
      for (const { fabric, events } of nodes) {
        fabric.channel(3).listen({
          ...events,
          request: async (_from, bytes) => {
            const question = text(bytes);
            dealtWith.set(question, (dealtWith.get(question) ?? 0) + 1);
            if (random.next() < 0.5) await new Promise<void>((resolve) => clock.after(random.next() * 300, resolve));
            return bytesOf(`${question}!`);
          },
        });
        await fabric.start();
      }
      clock.advance(300);
      Object.assign(network.weather, { loss: 0.3, doubling: 0.1, overtaking: 0.1, delayMsMax: 50 });
      const answers: Promise<string>[] = [];
      for (let step = 0; step < 100; step++) {
        const [from, to] = random.next() < 0.5 ? [0, 2] : [1, 1];
        const question = `${step}`;
        const asked = nodes[from]!.fabric.channel(3).request(to, bytesOf(question), 20_000);
        answers.push(asked.then((bytes) => `${question} ${text(bytes)}`));
        await clock.advanceSettling(random.next() * 20);
      }
      const all = Promise.all(answers);
      all.catch(() => {}); // also awaited below
      await clock.advanceSettling(15_000);
      expect([seed, await all]).toEqual([seed, answers.map((_, at) => `${at} ${at}!`)]);
      expect([seed, [...dealtWith.values()].filter((times) => times !== 1)]).toEqual([seed, []]);
    }
  });
});

describe("sessions", () => {
  test("when one side takes the other for dead, both see it, whoever could still hear", async () => {
    const { clock, network, a, b } = await pair();
    a.take();
    b.take();
    network.cut(2, 1); // a hears nothing of b; b hears a
    clock.advance(7000);
    expect(a.take()).toEqual(["2 silent"]);
    expect(b.take()).toEqual(["1 silent"]);
    a.fabric.send(2, bytesOf("not up"));
    network.mend();
    clock.advance(1500);
    expect([a.take(), b.take()]).toEqual([["2 returned"], ["1 returned"]]);
    a.fabric.send(2, bytesOf("again"));
    b.fabric.send(1, bytesOf("again"));
    clock.advance(5);
    expect([a.take(), b.take()]).toEqual([["2: again"], ["1: again"]]);
  });

  test("a message that comes before the hello which brings its sender up is not lost", async () => {
    const clock = new SimClock();
    const network = new SimNetwork(clock, new SimRandom(1));
    const a = node(network, identity(1));
    const b = node(network, identity(2));
    a.events.peerUp = () => a.fabric.send(2, bytesOf("at once"));
    await a.start();
    await b.start();
    clock.advance(50);
    expect(b.take()).toEqual(["1 up", "1: at once"]);
  });

  test("whatever the weather, both sides see the same sequence of ups and downs", async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const clock = new SimClock();
      const random = new SimRandom(seed);
      const network = new SimNetwork(clock, random);
      const a = node(network, identity(1), { heartbeatMs: 100, expiryMs: 300 });
      const b = node(network, identity(2), { heartbeatMs: 100, expiryMs: 300 });
      Object.assign(network.weather, { loss: 0.9, doubling: 0.1, overtaking: 0.1, delayMsMax: 50 });
      await a.start();
      await b.start();
      for (let step = 0; step < 200; step++) {
        a.fabric.send(2, bytesOf("x"));
        b.fabric.send(1, bytesOf("y"));
        clock.advance(random.next() * 100);
      }
      Object.assign(network.weather, { loss: 0, doubling: 0, overtaking: 0 });
      clock.advance(2000);
      const sessions = (heard: string[]) => heard.filter((line) => /up|returned|silent/.test(line)).length;
      expect(`seed ${seed}: ${a.fabric.peers.size} ${b.fabric.peers.size}`).toBe(`seed ${seed}: 1 1`);
      expect(sessions(a.heard)).toBeGreaterThan(2);
      a.take();
      b.take();
      a.fabric.send(2, bytesOf("end"));
      b.fabric.send(1, bytesOf("end"));
      clock.advance(100);
      expect([seed, a.take(), b.take()]).toEqual([seed, ["2: end"], ["1: end"]]);
    }
  });
});

describe("a process that slept", () => {
  async function sleeperAnd(options: Partial<FabricOptions>) {
    const clock = new SimClock();
    const network = new SimNetwork(clock, new SimRandom(1));
    const sleeper = node(network, identity(1));
    const other = node(network, identity(2), options);
    await sleeper.start();
    await other.start();
    clock.advance(100);
    sleeper.take();
    other.take();
    return { clock, network, sleeper, other };
  }

  test("expires nobody when it wakes, however long it slept and though nothing was heard", async () => {
    const { clock, network, sleeper, other } = await sleeperAnd({ expiryMs: 600_000 });
    sleeper.transport.freeze();
    network.cut(2, 1); // what was said to it is lost
    clock.advance(60_000);
    sleeper.transport.thaw();
    clock.advance(3000);
    expect([sleeper.take(), other.take()]).toEqual([[], []]);
    network.mend();
    clock.advance(3000);
    expect([sleeper.take(), other.take()]).toEqual([[], []]);
  });

  test("and was given up meanwhile learns of it as the other side saw it", async () => {
    const { clock, sleeper, other } = await sleeperAnd({});
    sleeper.transport.freeze();
    clock.advance(60_000);
    expect(other.take()).toEqual(["1 silent"]);
    sleeper.transport.thaw();
    clock.advance(1100);
    expect([sleeper.take(), other.take()]).toEqual([["2 silent", "2 returned"], ["1 returned"]]);
  });
});

describe("what does not belong here", () => {
  test("garbage, unknown versions, other clusters and other nodes' mail are refused, counted and harmless", async () => {
    const { clock, a, b } = await pair();
    a.take();
    const random = new SimRandom(9);
    const hello = helloOf({ ...identity(3), cluster: "other" });
    const newer = helloOf(identity(3));
    newer[1] = 2;
    const cut = helloOf(identity(3)).subarray(0, 30);
    const unknownKind = helloOf(identity(3));
    unknownKind[2] = 77;
    const notForUs = helloOf(identity(3));
    notForUs[7] = 9;
    const cases = [hello, newer, cut, unknownKind, notForUs, new Uint8Array(0), new Uint8Array(19).fill(0xca)];
    for (let index = 0; index < 2000; index++) cases.push(random.bytes(index % 200));
    for (const bytes of cases) b.transport.send(1, bytes);
    clock.advance(100);
    expect(a.take()).toEqual([]);
    expect(a.fabric.counters.refused).toBe(cases.length);
    expect([...a.fabric.peers.keys()]).toEqual([2]);
  });

  test("a valid envelope with any byte changed, or cut anywhere, is no reason to throw", async () => {
    const { clock, network, a, b } = await pair();
    const caught: Uint8Array[] = [];
    const { carry } = network;
    network.carry = (from, to, envelope) => {
      caught.push(envelope.slice());
      carry.call(network, from, to, envelope);
    };
    b.fabric.send(1, bytesOf("message"));
    b.fabric.request(1, bytesOf("request"), 1000).catch(() => {});
    clock.advance(1500);
    network.carry = carry;
    const random = new SimRandom(4);
    for (const envelope of caught) {
      for (let at = 0; at < envelope.length; at++) {
        const changed = envelope.slice();
        changed[at] = random.uint32();
        a.below().received(changed);
        a.below().received(changed.subarray(0, at));
      }
    }
    clock.advance(100);
    expect(a.fabric.counters.refused).toBeGreaterThan(caught.length * 15);
  });
});
