/** Asking over the fabric whether a registered node lives. */
import { describe, expect, test } from "bun:test";
import type { RegisteredNode } from "../../../src/cluster/discovery/discovery.ts";
import { probeByHello, probeLocal } from "../../../src/cluster/discovery/probe.ts";
import type { NodeIdentity } from "../../../src/cluster/fabric/fabric.ts";
import { NatsTransport } from "../../../src/cluster/fabric/nats.ts";
import { SimRandom } from "../../../src/runtime/sim/random.ts";
import { realClock } from "../../support/databases.ts";
import { sharedNats } from "../../support/nats.ts";
import { recordingLog } from "../../support/recording-log.ts";
import { type Arena, localArena, natsArena, noCredentials } from "../fabric/arena.ts";

const rowOf = (self: NodeIdentity): RegisteredNode => ({ ...self, startedAt: 0, heartbeatAt: 0, silentMs: 0 });

test("local: a socket that answers is a living node; its file alone is not", async () => {
  const arena = localArena();
  try {
    const a = arena.node(1);
    const row = rowOf(a.fabric.self);
    expect(await probeLocal(row)).toBe(false);
    await a.start();
    expect(await probeLocal(row)).toBe(true);
    expect(await probeLocal({ ...row, address: "" })).toBe(false);
  } finally {
    await arena.close();
  }
});

const { servers, unavailable } = await sharedNats();
const suite = unavailable === undefined ? describe : describe.skip;

suite(unavailable === undefined ? "NATS" : `NATS (${unavailable})`, () => {
  const listener = (arena: Arena, settings = { ...noCredentials, servers }) =>
    new NatsTransport({
      settings,
      cluster: arena.cluster,
      number: 0,
      name: "probe",
      clock: realClock,
      randomness: new SimRandom(1),
      log: recordingLog().log,
    });

  test("who says hello lives; who is silent, or was an earlier life, does not", async () => {
    const arena = natsArena({ servers });
    try {
      const a = arena.node(1, { incarnation: 5 });
      await a.start();
      const row = rowOf(a.fabric.self);
      const ask = (node: RegisteredNode, waitMs: number) =>
        probeByHello(listener(arena), arena.cluster, node, waitMs, realClock);
      expect(await ask(row, 10_000)).toBe(true);
      expect(await ask({ ...row, number: 2 }, 400)).toBe(false);
      expect(await ask({ ...row, incarnation: 6 }, 400)).toBe(false);
    } finally {
      await arena.close();
    }
  });

  test("a question that is given up while its server is away ends", async () => {
    const arena = natsArena({ servers });
    const away = listener(arena, { ...noCredentials, servers: ["127.0.0.1:1"] });
    const abort = new AbortController();
    const node = { name: "n1", number: 1, incarnation: 1, address: "", version: "", startedAt: 0, heartbeatAt: 0 };
    const asked = probeByHello(away, "c", { ...node, silentMs: 0 }, 10_000, realClock, abort.signal);
    abort.abort();
    expect(await asked).toBe(false);
    await arena.close();
  });
});
