/** Nodes in processes of their own that are killed, paused, and do not read. */
import { afterEach, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { AddressInUse } from "../../../src/cluster/fabric/local.ts";
import { sharedNats } from "../../support/nats.ts";
import { type Arena, bytesOf, localArena, natsArena, soonSilentMs } from "./arena.ts";

const nats = await sharedNats();
const children: ChildProcess[] = [];
const arenas: Arena[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  }
  for (const arena of arenas.splice(0)) await arena.close();
});

/** Starts node `number` elsewhere; `lines` is what it printed. */
function startChild(kind: string, arena: Arena, number: number, options: object = {}) {
  const place = kind === "local" ? arena.folder : nats.servers[0]!;
  const script = new URL("./child.ts", import.meta.url).pathname;
  const args = [script, kind, arena.cluster, String(number), place, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const lines: string[] = [];
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    const pieces = (rest + piece).split("\n");
    rest = pieces.pop()!;
    lines.push(...pieces);
    arena.changed();
  });
  const says = (line: string) => arena.until(() => lines.includes(line), `the child says "${line}"`, lines);
  return { child, lines, says };
}

const kinds = [
  { kind: "local", make: () => localArena(), unavailable: undefined },
  { kind: "nats", make: () => natsArena({ servers: nats.servers }), unavailable: nats.unavailable },
];

for (const { kind, make, unavailable } of kinds) {
  const suite = unavailable === undefined ? describe : describe.skip;
  suite(unavailable === undefined ? `${kind}, other processes` : `${kind} (${unavailable})`, () => {
    const newArena = (): Arena => {
      const arena = make();
      arenas.push(arena);
      return arena;
    };

    test("a killed process is silent, and its next start is up at once", async () => {
      const arena = newArena();
      // The system tells of a socket that closed, long before the expiry; over NATS nothing is heard but silence.
      const a = arena.node(1, { expiryMs: kind === "local" ? 60_000 : soonSilentMs });
      await a.start();
      const first = startChild(kind, arena, 2);
      await a.hears("n2 up");
      first.child.kill("SIGKILL");
      await a.hears("n2 silent");
      startChild(kind, arena, 2, { incarnation: 2 });
      await a.hears("n2 up");
      a.fabric.send(2, bytesOf("hello"));
      await a.hears("n2: hello");
    });

    test("a process that was paused expires nobody, however long it slept", async () => {
      const arena = newArena();
      const a = arena.node(1, { expiryMs: 60_000 }); // patient: does not take the sleeper for dead
      await a.start();
      const sleeper = startChild(kind, arena, 2, { heartbeatMs: 100, expiryMs: soonSilentMs });
      await Promise.all([a.hears("n2 up"), sleeper.says("n1 up")]);
      sleeper.child.kill("SIGSTOP");
      await new Promise((resolve) => arena.clock.after(soonSilentMs + 1_000, () => resolve(undefined)));
      sleeper.child.kill("SIGCONT");
      a.fabric.send(2, bytesOf("awake?"));
      await a.hears("n2: awake?");
      expect(sleeper.lines.toSorted()).toEqual(["n1 up", "n1: awake?", "started"]);
    });

    test("others take a paused one for dead; when it wakes both sides see that it was away", async () => {
      const arena = newArena();
      const a = arena.node(1, { expiryMs: soonSilentMs });
      await a.start();
      const sleeper = startChild(kind, arena, 2, { expiryMs: 60_000 });
      await Promise.all([a.hears("n2 up"), sleeper.says("n1 up")]);
      sleeper.child.kill("SIGSTOP");
      await a.hears("n2 silent");
      sleeper.child.kill("SIGCONT");
      await a.hears("n2 returned");
      await sleeper.says("n1 returned");
      expect(sleeper.lines.filter((line) => /silent|returned/.test(line))).toEqual(["n1 silent", "n1 returned"]);
    });
  });
}

describe("local, limits", () => {
  test("what waits for a process that does not read is bounded; it notices what it missed", async () => {
    const arena = localArena();
    arenas.push(arena);
    const queueBytesMax = 1024 * 1024;
    const a = arena.node(1, { expiryMs: 60_000, queueBytesMax });
    await a.start();
    const slow = startChild("local", arena, 2, { expiryMs: 60_000 });
    await Promise.all([a.hears("n2 up"), slow.says("n1 up")]);
    slow.child.kill("SIGSTOP");
    for (let round = 0; round < 200; round++) {
      a.fabric.send(2, new Uint8Array(50_000));
      expect(a.fabric.queuedBytes(2)).toBeLessThanOrEqual(queueBytesMax + 51_000);
      await new Promise(setImmediate);
    }
    expect(a.fabric.counters.dropped).toBeGreaterThan(100);
    expect(a.logged.filter((line) => /too slowly/.test(line.msg)).length).toBe(1);
    slow.child.kill("SIGCONT");
    await arena.until(() => a.fabric.queuedBytes(2) === 0, "the queue drains");
    a.fabric.send(2, bytesOf("after"));
    await slow.says("n1: after");
    expect(slow.lines.indexOf("n1 gap")).toBeGreaterThan(0);
    expect(slow.lines.indexOf("n1 gap")).toBeLessThan(slow.lines.indexOf("n1: after"));
  });

  test("a path where another process listens is not taken; the file of a killed one is", async () => {
    const arena = localArena();
    arenas.push(arena);
    const first = startChild("local", arena, 1);
    await first.says("started");
    const again = arena.node(1, { incarnation: 2 });
    await expect(again.start()).rejects.toThrow(AddressInUse);
    const gone = new Promise((resolve) => first.child.once("exit", resolve));
    first.child.kill("SIGKILL");
    await gone;
    await arena.node(1, { incarnation: 3 }).start();
  });

  test("a stream that is none of envelopes is cut, and nobody minds", async () => {
    const arena = localArena();
    arenas.push(arena);
    const [a, b] = await arena.pair();
    const { connect } = await import("node:net");
    for (const bytes of [Buffer.alloc(100, 0xff), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
      const socket = connect(arena.address(1));
      socket.write(bytes);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    b.fabric.send(1, bytesOf("still here"));
    await a.hears("n2: still here");
    expect([a.take(), b.take()]).toEqual([[], []]);
  });
});
