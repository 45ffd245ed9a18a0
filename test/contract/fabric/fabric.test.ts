/** What every fabric does, whatever carries it. */
import { describe, expect, test } from "bun:test";
import { MAGIC, writeHello } from "../../../src/cluster/fabric/envelope.ts";
import { RequestFailed } from "../../../src/cluster/fabric/fabric.ts";
import { SimRandom } from "../../../src/runtime/sim/random.ts";
import { type Arena, bytesOf, fabricKinds, soonSilentMs, text } from "./arena.ts";

for (const { title, arena: makeArena, unavailable } of await fabricKinds()) {
  const suite = unavailable === undefined ? describe : describe.skip;
  suite(unavailable === undefined ? title : `${title} (${unavailable})`, () => {
    const inArena = (use: (arena: Arena) => Promise<void>) => async () => {
      const arena = makeArena();
      try {
        await use(arena);
      } finally {
        await arena.close();
      }
    };

    test(
      "nodes find each other, and the last one too",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        const c = arena.node(3);
        await c.start();
        await Promise.all([a.hears("n3 up"), b.hears("n3 up"), c.hears("n1 up")]);
        await arena.until(() => c.fabric.peers.size === 2, "c knows both", c.heard);
        expect(c.fabric.peers.get(1)).toEqual(a.fabric.self);
      }),
    );

    test(
      "ten that start at once all find each other",
      inArena(async (arena) => {
        const nodes = Array.from({ length: 10 }, (_, index) => arena.node(index + 1));
        await Promise.all(nodes.map((node) => node.start()));
        await arena.until(() => nodes.every(({ fabric }) => fabric.peers.size === 9), "each knows the others");
        for (const { fabric } of nodes) fabric.broadcast(bytesOf("all"));
        await arena.until(
          () => nodes.every(({ heard }) => heard.filter((line) => /: all$/.test(line)).length === 9),
          "all",
        );
        expect(nodes.flatMap(({ heard }) => heard.filter((line) => /gap|silent|returned/.test(line)))).toEqual([]);
      }),
    );

    test(
      "messages keep their order, broadcast and single ones, small and large",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        const expected: string[] = [];
        for (let index = 0; index < 300; index++) {
          if (index % 50 === 0) {
            a.fabric.send(2, new Uint8Array(700_000));
            expected.push("n1: 700000 bytes");
          }
          if (index % 7 === 0) a.fabric.broadcast(bytesOf(`m${index}`));
          else a.fabric.send(2, bytesOf(`m${index}`));
          expected.push(`n1: m${index}`);
        }
        await arena.until(() => b.heard.length >= expected.length, "all came", b.heard);
        expect(b.take()).toEqual(expected);
        const { messagesOut, bytesOut } = a.fabric.counters;
        expect([messagesOut, bytesOut]).toEqual([b.fabric.counters.messagesIn, b.fabric.counters.bytesIn]);
      }),
    );

    test(
      "requests are answered, with the answer, an error, or nothing in time",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        b.answer = (question) => {
          if (question === "fail") throw new Error("cannot");
          return question === "never" ? new Promise(() => {}) : bytesOf(`${question}!`);
        };
        const fates = new Map<string, string>();
        const ask = (question: string, node = 2) =>
          a.fabric.request(node, bytesOf(question), question === "never" ? 300 : 10_000).then(
            (answer) => void fates.set(question, text(answer)),
            (error) => void fates.set(question, `${error instanceof RequestFailed}: ${error.message}`),
          );
        const asked = [ask("one"), ask("two"), ask("fail"), ask("never"), ask("nobody", 9)];
        const large = a.fabric.request(2, new Uint8Array(500_000), 5_000);
        await arena.until(() => fates.size === 5, "all are settled");
        await Promise.all(asked);
        expect(Object.fromEntries(fates)).toEqual({
          one: "one!",
          two: "two!",
          fail: "true: node n2: cannot",
          never: "true: no answer of node 2 within 300 ms",
          nobody: "true: node 9 is not up",
        });
        let size = 0;
        void large.then((answer) => {
          size = answer.length;
          arena.changed();
        });
        await arena.until(() => size > 0, "the large answer");
        expect(size).toBe(500_001);
      }),
    );

    test(
      "a node that stops has left at once, and what it sent last has arrived",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        b.fabric.send(1, bytesOf("last words"));
        const stopped = b.fabric.stop();
        await a.hears("n2: last words");
        await a.hears("n2 left");
        await stopped;
        expect(a.fabric.peers.size).toBe(0);
        expect(b.heard).toEqual([]);
      }),
    );

    test(
      "a later start under the same number replaces the one before",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        await b.transport.stop(); // as if killed: no goodbye
        const later = arena.node(2, { incarnation: 2 });
        await later.start();
        await later.hears("n1 up");
        await a.hears("n2 up");
        expect(a.fabric.peers.get(2)?.incarnation).toBe(2);
        later.fabric.send(1, bytesOf("new"));
        await a.hears("n2: new");
      }),
    );

    test(
      "garbage, unknown versions and other clusters are counted and ignored",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        const random = new SimRandom(5);
        const newer = writeHello({ ...b.fabric.self, number: 7 }, undefined, [], 0);
        newer[1] = 9;
        const other = writeHello({ ...b.fabric.self, number: 7, cluster: "other" }, undefined, [], 0);
        const torn = writeHello({ ...b.fabric.self, number: 7 }, undefined, [], 0).subarray(0, 40);
        const noise = random.bytes(100);
        noise[0] = MAGIC;
        for (const bytes of [newer, other, torn, noise, new Uint8Array(3)]) {
          b.transport.broadcast(bytes);
          b.transport.send(1, bytes);
        }
        await arena.until(() => a.fabric.counters.refused >= 10, "all are refused");
        b.fabric.send(1, bytesOf("still here"));
        await a.hears("n2: still here");
        expect(a.fabric.counters.refused).toBe(10);
        expect([...a.fabric.peers.keys()]).toEqual([2]);
        expect(a.logged.filter((line) => /refused/.test(line.msg)).length).toBeLessThanOrEqual(5);
      }),
    );

    test(
      "two clusters in one place do not hear each other",
      inArena(async (arena) => {
        const [a] = await arena.pair();
        const stranger = arena.node(3, { cluster: "another" });
        await stranger.start();
        a.fabric.broadcast(bytesOf("among us"));
        await arena.nodes[1]!.hears("n1: among us");
        await arena.until(
          () => title === "nats" || stranger.fabric.counters.refused + a.fabric.counters.refused > 1,
          "refused where it arrives at all",
        );
        expect([stranger.heard, stranger.fabric.peers.size, a.fabric.peers.size]).toEqual([[], 0, 1]);
      }),
    );

    test(
      "what is lost on the way is a gap, also when nothing follows",
      inArena(async (arena) => {
        const [a, b] = await arena.pair();
        const { send } = a.transport;
        a.transport.send = () => {};
        for (let index = 0; index < 5; index++) a.fabric.send(2, bytesOf("lost"));
        const before = a.fabric.counters.envelopesOut;
        await arena.until(() => a.fabric.counters.envelopesOut > before, "the turn has ended");
        a.transport.send = send;
        await b.hears("n1 gap 5");
        expect(b.fabric.counters.gaps).toBe(1);
        a.fabric.send(2, bytesOf("after"));
        await b.hears("n1: after");
      }),
    );

    test(
      "silence is death after the time of expiry, and its return is told on both sides",
      inArena(async (arena) => {
        const [a, b] = await arena.pair({ expiryMs: soonSilentMs });
        const { send, broadcast } = b.transport;
        b.transport.send = () => {};
        b.transport.broadcast = () => {};
        await a.hears("n2 silent");
        b.transport.send = send;
        b.transport.broadcast = broadcast;
        await Promise.all([a.hears("n2 returned"), b.hears("n1 silent")]);
        await b.hears("n1 returned");
        a.fabric.send(2, bytesOf("again"));
        await b.hears("n1: again");
      }),
    );
  });
}
