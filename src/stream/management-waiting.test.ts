import { expect, test } from "bun:test";
import { message } from "../stanza/stanza.ts";
import { StreamManagement } from "./management.ts";

const limits = { unacknowledgedMax: 100, requestEvery: Number.POSITIVE_INFINITY };
const events = { acknowledge() {}, request() {}, overflowed() {} };
const session = { link: undefined } as never;

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
