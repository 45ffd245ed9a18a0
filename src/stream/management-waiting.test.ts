import { expect, test } from "bun:test";
import { message } from "../stanza/stanza.ts";
import { StreamManagement } from "./management.ts";

const limits = { unacknowledgedMax: 100, unacknowledgedBytesMax: 100, requestEvery: Number.POSITIVE_INFINITY };
const events = { acknowledge() {}, request() {}, overflowed() {} };
const session = { link: undefined } as never;

test("what is acknowledged makes room again", () => {
  let overflows = 0;
  const management = new StreamManagement("id", limits, { ...events, overflowed: () => overflows++ });
  const sixty = message({ payload: "x".repeat(60) });
  for (let count = 1; count <= 5; count++) {
    management.write(session, sixty);
    management.acknowledge(count);
  }
  management.write(session, message({ payload: "x".repeat(30) }));
  management.write(session, sixty);
  management.acknowledge(6);
  management.write(session, message({ payload: "x".repeat(40) }));
  expect(overflows).toBe(0);
  management.write(session, message({ payload: "x" }));
  expect(overflows).toBe(1);
});

test("too many small ones are too much as well, and while no stream carries the session somebody else is told", () => {
  let away = 0;
  const management = new StreamManagement("id", { ...limits, unacknowledgedMax: 2 }, events);
  management.overflowedAway = () => away++;
  management.detach();
  for (let count = 0; count < 3; count++) management.write(session, message({}));
  expect(away).toBe(1);
});

test("who waits for an acknowledgement is called when all that was written before is acknowledged, in order", () => {
  const management = new StreamManagement(undefined, limits, events);
  const called: string[] = [];
  management.afterAcknowledged(() => called.push("at once"));
  management.write(session, message({}));
  management.write(session, message({}));
  management.afterAcknowledged(() => called.push("two"));
  management.write(session, message({}));
  management.afterAcknowledged(() => called.push("three"));
  management.acknowledge(1);
  expect(called).toEqual(["at once"]);
  management.acknowledge(2);
  expect(called).toEqual(["at once", "two"]);
  management.acknowledge(2);
  management.acknowledge(3);
  expect(called).toEqual(["at once", "two", "three"]);
});

test("a count too high calls nobody", () => {
  const management = new StreamManagement(undefined, limits, events);
  let called = false;
  management.write(session, message({}));
  management.afterAcknowledged(() => {
    called = true;
  });
  expect(management.acknowledge(5)).toBe(1);
  expect(called).toBe(false);
});
