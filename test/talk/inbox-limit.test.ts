/** mod_inbox: how many conversations there are at most. */
import { afterEach, expect, test } from "bun:test";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { Conversation } from "../support/conversation.ts";
import { inboxOf } from "../support/inbox-talk.ts";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

const start = async (most: number | "infinity", chance: number) => {
  const max_conversations = most === "infinity" ? Number.POSITIVE_INFINITY : most;
  talk = await Conversation.start({
    modules: [inbox],
    options: { mod_inbox: { max_conversations } },
    chance: () => chance,
  });
  return talk.login("alice@localhost/phone");
};
const hears = async (peer: string) => {
  await talk.arrives(`<message from='${peer}@elsewhere.example/x' to='alice@localhost'><body>${peer}</body></message>`);
  await talk.clock.advance(10);
};

test("of more conversations than there may be the read and the oldest go", async () => {
  const alice = await start(3, 0);
  for (const peer of ["one", "two", "three"]) await hears(peer);
  await alice.sends("<message to='three@elsewhere.example' type='chat'><body>three</body></message>");
  await talk.clock.advance(10);
  await hears("four");
  expect((await inboxOf(alice)).lines.map((line) => line.split(" ")[2])).toEqual(["four", "two", "one"]);
  await hears("five");
  expect((await inboxOf(alice)).lines.map((line) => line.split(" ")[2])).toEqual(["five", "four", "two"]);
  // A new message makes the entry anew.
  await hears("one");
  expect((await inboxOf(alice)).lines).toEqual([
    "one@elsewhere.example 1 one",
    "five@elsewhere.example 1 five",
    "four@elsewhere.example 1 four",
  ]);
});

test("it is not looked at after every message, and never where there is no limit", async () => {
  const alice = await start(1, 0.006);
  await hears("one");
  await hears("two");
  expect((await inboxOf(alice)).lines).toHaveLength(2);
  await talk.stop();
  const bob = await start("infinity", 0);
  await hears("one");
  await hears("two");
  expect((await inboxOf(bob)).lines).toHaveLength(2);
});
