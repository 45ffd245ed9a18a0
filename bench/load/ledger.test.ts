import { expect, test } from "bun:test";
import { complaintOf, Ledger, Outbox } from "./ledger.ts";

const bodyBytes = 64;

/** What user 1 makes of messages of user 0 that come in this order. */
function ledgerOf(order: readonly number[], change: (text: string) => string = (text) => text) {
  const outbox = new Outbox(0, "u1@localhost/load", "chat", bodyBytes);
  const messages = Array.from({ length: Math.max(...order) + 1 }, (_, index) => outbox.next(1000 * index));
  const complaints: string[] = [];
  const ledger = new Ledger(bodyBytes, (text) => complaints.push(text));
  ledger.sent = messages.length;
  const taken = order.map((index) => {
    const text = change(messages[index]!);
    return ledger.take(1, 0, text, 0, text.length, 1000 * index + 250);
  });
  return { ledger, taken, complaints, verdict: ledger.verdict() };
}

test("all in order: nothing to complain of, and the latency counts from when a message was due", () => {
  const { ledger, verdict } = ledgerOf([0, 1, 2, 3]);
  expect(complaintOf(verdict)).toBeUndefined();
  expect(verdict.received).toBe(4);
  expect(ledger.latency.max).toBe(250);
});

test("bodies have the wanted size", () => {
  const message = new Outbox(7, "a@b/c", "groupchat", bodyBytes).next(123);
  expect(/<body>(.*)<\/body>/.exec(message)![1]!).toHaveLength(bodyBytes);
  expect(message).toStartWith("<message to='a@b/c' type='groupchat' id='m");
});

test("a message that never comes is lost", () => {
  expect(complaintOf(ledgerOf([0, 1, 3]).verdict)).toBe("1 lost");
});

test("a message that comes twice", () => {
  const { verdict, taken, complaints } = ledgerOf([0, 1, 1, 2]);
  expect(complaintOf(verdict)).toBe("1 duplicated");
  expect(taken).toEqual([true, true, false, true]);
  expect(complaints[0]).toContain("u1 got a message twice");
});

test("a message that is overtaken is reordered, not lost; its second coming is a duplicate", () => {
  expect(complaintOf(ledgerOf([0, 2, 1, 3]).verdict)).toBe("1 reordered");
  expect(complaintOf(ledgerOf([0, 2, 1, 1, 3]).verdict)).toBe("1 duplicated, 1 reordered");
});

test("a body that was changed, or is another sender's", () => {
  expect(complaintOf(ledgerOf([0], (text) => text.replace("xx</", "xy</")).verdict)).toBe("1 lost, 1 damaged");
  expect(complaintOf(ledgerOf([0], (text) => text.replace("MK00000000", "MK00000001")).verdict)).toBe(
    "1 lost, 1 damaged",
  );
});

test("a message that comes back as an error, with its body or without", () => {
  const bounced = (text: string) => text.replace("type='chat'", "type='error'").replace("MK", "??");
  expect(complaintOf(ledgerOf([0], bounced).verdict)).toBe("1 lost, 1 bounced");
  const ledger = new Ledger(bodyBytes, () => {});
  const empty = "<message from='u1@localhost' type='error'><error/></message>";
  expect(ledger.take(0, 1, empty, 0, empty.length, 0)).toBe(false);
  expect(ledger.verdict().bounced).toBe(1);
});

test("a message without a body is none of ours", () => {
  const ledger = new Ledger(bodyBytes, () => {});
  const text = "<message from='u1@localhost'><composing/></message>";
  expect(ledger.take(0, 1, text, 0, text.length, 0)).toBe(false);
  expect(complaintOf(ledger.verdict())).toBeUndefined();
});
