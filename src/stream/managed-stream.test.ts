/** When a client has more to acknowledge than `buffer_max`. */
import { expect, test } from "bun:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { message } from "../stanza/stanza.ts";
import { ManagedStream } from "./managed-stream.ts";
import type { StreamManagement } from "./management.ts";

function connected(bufferMax: number, ackFreq = 1) {
  const clock = new ManualClock();
  const limits = { unacknowledgedMax: bufferMax, unacknowledgedBytesMax: 1_000, requestEvery: ackFreq };
  const offer = { limits, resumeTimeoutMs: 1_000 };
  const written: string[] = [];
  let closedWith: string | undefined;
  const stream = {
    environment: {
      clock,
      random: { id: () => "id" },
      keeper: { resumptions: { add() {} }, managementOffer: () => offer },
    },
    isOpen: true,
    managed: undefined,
    write: (text: string) => void written.push(text.split(" ")[0]!),
    close(error: { condition: string }) {
      this.isOpen = false;
      closedWith = error.condition;
    },
  };
  const session = { host: {}, outlet: undefined, link: { send() {} } };
  ManagedStream.enable(stream as never, session as never, true);
  const management = session.outlet as unknown as StreamManagement;
  const send = (count: number, payload = "") => {
    for (let number = 0; number < count; number++) management.write(session as never, message({ payload }));
  };
  return { clock, written, management, send, closedWith: () => closedWith };
}

test("a burst beyond buffer_max is no reason to close, if it is acknowledged", async () => {
  const { clock, management, send, closedWith } = connected(10);
  send(40);
  await clock.advance(9_000);
  management.acknowledge(35);
  await clock.advance(60_000);
  expect(closedWith()).toBeUndefined();
});

test("a client that acknowledges nothing for ten seconds is closed", async () => {
  const { clock, send, closedWith } = connected(10);
  send(11);
  await clock.advance(9_900);
  expect(closedWith()).toBeUndefined();
  await clock.advance(200);
  expect(closedWith()).toBe("resource-constraint");
});

test("a slow one that goes on acknowledging is not", async () => {
  const { clock, management, send, closedWith } = connected(10);
  send(40);
  for (const count of [1, 2, 3]) {
    await clock.advance(9_000);
    management.acknowledge(count);
  }
  await clock.advance(12_000);
  expect(closedWith()).toBeUndefined();
  await clock.advance(12_000);
  expect(closedWith()).toBe("resource-constraint");
});

test("beyond four times as many it is closed at once", () => {
  const { send, closedWith } = connected(10);
  send(40);
  expect(closedWith()).toBeUndefined();
  send(1);
  expect(closedWith()).toBe("resource-constraint");
});

test("it is asked for an acknowledgement before, however seldom it is asked else", () => {
  const { written, send } = connected(10, 1_000_000);
  send(10);
  expect(written).toEqual([]);
  send(5);
  expect(written).toEqual(["<r"]);
});

test("bytes have no such grace, and a long answer leaves half of them to others", () => {
  const { management, send, closedWith } = connected(10);
  expect(management.room()).toBeUndefined();
  send(2, "x".repeat(300));
  expect(management.room()).toBeInstanceOf(Promise);
  send(1, "x".repeat(300));
  expect(closedWith()).toBeUndefined();
  send(1, "x".repeat(300));
  expect(closedWith()).toBe("resource-constraint");
});
