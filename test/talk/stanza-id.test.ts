/** XEP-0359 stanza ids. */
import { afterEach, describe, expect, test } from "bun:test";
import { SortableIds, stanzaId } from "../../src/modules/stanza-id.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import { ManualClock } from "../support/manual-clock.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const sid = "urn:xmpp:sid:0";
async function start() {
  talk = await Conversation.start({ modules: [stanzaId] });
  return { alice: await talk.online("alice@localhost/phone"), bob: await talk.online("bob@localhost/desk") };
}
const ids = async (person: Person) =>
  (await person.takes()).map((element) =>
    element
      .childrenNamed("stanza-id", sid)
      .map((id) => `${id.attr("by")} ${/^[0-9a-z]{12}-\w+$/.test(id.attr("id") ?? "") ? "ours" : id.attr("id")}`),
  );

test("a message gets an id by the recipient's account, whatever the address it was sent to", async () => {
  const { alice, bob } = await start();
  for (const to of ["alice@localhost", "alice@localhost/phone"]) {
    await bob.sends(`<message to='${to}' type='chat'><body>x</body></message>`);
    expect(await ids(alice)).toEqual([["alice@localhost ours"]]);
  }
});

test("ids forged in the name of our addresses are removed, those of others and origin-id stay", async () => {
  const { alice, bob } = await start();
  const forged = ["alice@localhost", "ALICE@localhost", "localhost", "bob@localhost/desk", ""]
    .map((by) => `<stanza-id xmlns='${sid}' id='forged' by='${by}'/>`)
    .join("");
  await bob.sends(
    `<message to='alice@localhost'>${forged}<stanza-id xmlns='${sid}' id='other' by='room@muc.example.org'/><stanza-id xmlns='${sid}' id='none'/>` +
      `<origin-id xmlns='${sid}' id='mine'/><body>x</body></message>`,
  );
  const [got] = await alice.takes();
  expect(got!.childrenNamed("stanza-id", sid).map((id) => id.attr("by"))).toEqual([
    "room@muc.example.org",
    "alice@localhost",
  ]);
  expect(got!.child("origin-id", sid)?.attr("id")).toBe("mine");
  expect(got!.childText("body")).toBe("x");
});

for (const type of ["groupchat", "headline", "error"]) {
  test(`a message of type ${type} gets none, and loses forged ones`, async () => {
    const { alice, bob } = await start();
    await bob.sends(
      `<message to='alice@localhost/phone' type='${type}'><stanza-id xmlns='${sid}' id='forged' by='alice@localhost'/><body>x</body></message>`,
    );
    expect(await ids(alice)).toEqual([[]]);
  });
}

describe("ids", () => {
  const random = { bytes: () => new Uint8Array(), id: () => "r", next: () => 0 };
  test("sort in the order they were given, within a millisecond and when the clock is set back", async () => {
    const clock = new ManualClock();
    let back = 0;
    const moody = { ...clock, now: () => clock.now() - back };
    const source = new SortableIds(moody as never, random);
    const given: string[] = [];
    for (let number = 0; number < 100; number++) given.push(source.next());
    back = 3_600_000;
    for (let number = 0; number < 100; number++) given.push(source.next());
    back = 0;
    await clock.advance(5);
    given.push(source.next());
    expect(given.toSorted()).toEqual(given);
    expect(new Set(given).size).toBe(given.length);
  });

  test("go on when the counter of a millisecond is full", () => {
    const source = new SortableIds(new ManualClock(), random);
    let before = "";
    for (let number = 0; number < 36 ** 3 + 10; number++) {
      const id = source.next();
      if (id <= before) throw new Error(`${id} after ${before}`);
      before = id;
    }
  });
});
