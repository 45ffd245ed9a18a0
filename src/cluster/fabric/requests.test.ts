/** Questions between nodes, one side of them, spoken to by hand: what the network's own tests in engine.test.ts do not reach. */
import { describe, expect, test } from "bun:test";
import { SimClock } from "../../runtime/sim/clock.ts";
import { ByteWriter } from "../bytes.ts";
import { newCounters } from "./counters.ts";
import { TYPE_ANSWER, TYPE_REQUEST } from "./envelope.ts";
import type { FabricEvents, NodeIdentity } from "./fabric.ts";
import { Peer } from "./peer.ts";
import { REQUESTS_CHANNEL, Requests } from "./requests.ts";

const identity = (number: number): NodeIdentity => ({
  cluster: "test",
  name: `node-${number}`,
  number,
  incarnation: 1,
  version: "1.0",
  address: "",
});

/** One who answers a question with as many bytes as its body says, and remembers how often it was asked each. */
function answerer() {
  const clock = new SimClock();
  const counters = newCounters();
  const transport = {
    envelopeBytesMax: 65_536,
    start: () => Promise.resolve(),
    send: () => {},
    broadcast: () => {},
    queuedBytes: () => 0,
    stop: () => Promise.resolve(),
  };
  const peer = new Peer(identity(2), { self: identity(1), hash: 0, transport, counters, queueBytesMax: 1e9 });
  peer.up = true;
  const sent: string[] = [];
  const asked = new Map<number, number>();
  const requests = new Requests({
    clock,
    counters,
    messageBytesMax: 12_000_000,
    requestsMax: 100_000,
    enqueue: (_peer, channel, type, id, bytes) => {
      if (channel === REQUESTS_CHANNEL) sent.push(Buffer.from(bytes).toString("hex"));
      else sent.push(`${type === TYPE_ANSWER ? "answer" : "failure"} ${id}`);
      return true;
    },
    eventsOf: () =>
      ({
        request: (_from, bytes) => {
          const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
          asked.set(id, (asked.get(id) ?? 0) + 1);
          return new Uint8Array(new DataView(bytes.buffer, bytes.byteOffset).getUint32(4));
        },
      }) as FabricEvents,
    failed: () => {},
  });
  return {
    requests,
    peer,
    asked,
    take: () => sent.splice(0),
    ask: (id: number, answerBytes = 0) => {
      const out = new ByteWriter();
      for (const value of [id, id, answerBytes]) out.u32(value);
      requests.entry(peer, 3, TYPE_REQUEST, out.copy());
    },
    where: (next: number, waiting: readonly number[], wantsOurs = false) => {
      const out = new ByteWriter();
      out.u8(1);
      out.u8(wantsOurs ? 1 : 0);
      out.u32(next);
      out.u32(waiting.length);
      for (const id of waiting) out.u32(id);
      return requests.message(peer, out.copy());
    },
  };
}

describe("a question that comes twice", () => {
  test("is dealt with once; its answer is there again as long as the asker waits for it", () => {
    const { ask, where, asked, take } = answerer();
    ask(1);
    ask(2);
    ask(1);
    expect([take(), asked.get(1)]).toEqual([["answer 1", "answer 2"], 1]);
    where(3, [1]);
    expect(take()).toEqual(["answer 1"]);
    // What has not come is asked for: kind 2, one, number 3.
    where(4, [1, 3]);
    expect(take()).toEqual(["answer 1", "020000000100000003"]);
  });

  test("also when numbers begin anew", () => {
    const { ask, where, asked, take } = answerer();
    ask(0xffffffff);
    ask(1);
    where(2, [0xffffffff]);
    expect(take()).toEqual(["answer 4294967295", "answer 1", "answer 4294967295"]);
    ask(0xffffffff);
    expect(asked.get(0xffffffff)).toBe(1);
  });

  test("is refused when its answer is not kept any more, and never dealt with again", () => {
    const { ask, asked, take } = answerer();
    for (let id = 1; id <= 5000; id++) ask(id);
    take();
    ask(1);
    ask(5000);
    expect([take(), asked.get(1), asked.get(5000)]).toEqual([["failure 1"], 1, 1]);
    const large = answerer();
    for (let id = 1; id <= 5; id++) large.ask(id, 1_000_000);
    large.take();
    large.ask(1);
    expect([large.take(), large.asked.get(1)]).toEqual([["failure 1"], 1]);
  });
});

test("what is not understood is said to be so, cut anywhere", () => {
  const { requests, peer, where } = answerer();
  expect(requests.message(peer, Uint8Array.of(9))).toBe(false);
  expect(requests.message(peer, new Uint8Array(0))).toBe(false);
  // A count that promises more than there is.
  expect(requests.message(peer, Uint8Array.of(2, 0xff, 0xff, 0xff, 0xff))).toBe(false);
  expect(where(1, [], true)).toBe(true);
});
