/** XEP-0160 offline messages: what is kept, for how long, and that none is lost, doubled or out of order. */
import { afterEach, describe, expect, test } from "bun:test";
import { carbons } from "../../src/modules/carbons.ts";
import { csi } from "../../src/modules/csi.ts";
import { last } from "../../src/modules/last.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { expiryOf, offlineVerdict } from "../../src/modules/offline/offline-verdict.ts";
import { ping } from "../../src/modules/ping.ts";
import { presence } from "../../src/modules/presence.ts";
import { blocking } from "../../src/modules/privacy/blocking.ts";
import { privacy } from "../../src/modules/privacy/privacy.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import { stanzaId } from "../../src/modules/stanza-id.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { StoreOverloaded } from "../../src/store/errors.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { Conversation, type ConversationOptions, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function start(options: Partial<ConversationOptions> = {}): Promise<Person> {
  talk = await Conversation.start({ modules: [offline], ...options });
  return talk.online("bob@localhost/desk");
}

const alice = parseJid("alice@localhost")!;
const waiting = () => talk.host.registry.service("offline")!.count(alice);
const say = (bob: Person, text: string) =>
  bob.sends(`<message to='alice@localhost' type='chat' id='${text}'><body>${text}</body></message>`);
const delayed = (text: string, to = "alice@localhost") =>
  `<message from='bob@localhost/desk' to='${to}' type='chat' id='${text}'><body>${text}</body>` +
  "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'>Offline Storage</delay></message>";
const error = (id: string, condition: string, type = "cancel") =>
  `<message from='alice@localhost' to='bob@localhost/desk' type='error' id='${id}'><error type='${type}'>` +
  `<${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`;
const bodies = async (person: Person) => (await person.takes()).map((element) => element.childText("body"));

describe("delivery", () => {
  test("comes with the first available presence, in order, with a delay, and once", async () => {
    const bob = await start();
    for (const text of ["one", "two", "three"]) await say(bob, text);
    await bob.receivesNothing();
    const phone = await talk.login("alice@localhost/phone");
    await phone.receivesNothing();
    await phone.sends("<presence/>");
    for (const text of ["one", "two", "three"]) await phone.receives(delayed(text));
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.receivesNothing();
    await talk.clock.advance(11_000);
    expect(await waiting()).toBe(0);
  });

  test("keeps the address the message was sent to", async () => {
    const bob = await start();
    await bob.sends("<message to='alice@localhost/gone' type='chat' id='x'><body>x</body></message>");
    const phone = await talk.online("alice@localhost/phone");
    await phone.receives(delayed("x", "alice@localhost/gone"));
  });

  test("waits for a presence of non-negative priority", async () => {
    const bob = await start();
    await say(bob, "one");
    const phone = await talk.online("alice@localhost/phone", -1);
    await phone.receivesNothing();
    await say(bob, "two");
    await phone.sends("<presence/>");
    expect(await bodies(phone)).toEqual(["one", "two"]);
    await phone.sends("<presence><priority>-5</priority></presence>");
    await say(bob, "three");
    await phone.receivesNothing();
    await phone.sends("<presence type='unavailable'/>");
    await say(bob, "four");
    await phone.sends("<presence/>");
    expect(await bodies(phone)).toEqual(["three", "four"]);
  });

  test("of more than one page is complete and in order, and new messages come behind it", async () => {
    const bob = await start({ access: { max_user_offline_messages: 500 } });
    for (let number = 0; number < 130; number++) await say(bob, `m${number}`);
    const phone = await talk.login("alice@localhost/phone");
    const going = phone.sends("<presence/>");
    await say(bob, "late");
    await going;
    await talk.clock.advance(200);
    const wanted = Array.from({ length: 130 }, (_, number) => `m${number}`);
    expect(await bodies(phone)).toEqual([...wanted, "late"]);
    await talk.clock.advance(11_000);
    expect(await waiting()).toBe(0);
  });

  test("of a message that was on its way to the database when the recipient came is not forgotten", async () => {
    const bob = await start();
    const sending = bob.sends("<message to='alice@localhost' type='chat' id='x'><body>x</body></message>");
    const phone = await talk.login("alice@localhost/phone");
    await phone.sends("<presence/>");
    await sending;
    expect(await bodies(phone)).toEqual(["x"]);
  });

  test("does not run twice for two resources that come at once", async () => {
    const bob = await start();
    await say(bob, "one");
    const phone = await talk.login("alice@localhost/phone");
    const laptop = await talk.login("alice@localhost/laptop");
    await Promise.all([phone.sends("<presence/>"), laptop.sends("<presence/>")]);
    expect([...(await bodies(phone)), ...(await bodies(laptop))]).toEqual(["one"]);
  });
});

describe("no loss", () => {
  test("a client that is lost right after delivery leaves the messages for the next one", async () => {
    const bob = await start();
    await say(bob, "one");
    const phone = await talk.online("alice@localhost/phone");
    expect(await bodies(phone)).toEqual(["one"]);
    await phone.leaves("lost");
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.receives(delayed("one"));
    await laptop.leaves("closed");
    const kiosk = await talk.online("alice@localhost/kiosk");
    await kiosk.receivesNothing();
    expect(await waiting()).toBe(0);
  });

  test("with stream management messages are deleted when they are acknowledged, however late", async () => {
    const bob = await start();
    await say(bob, "one");
    const phone = (await talk.login("alice@localhost/phone")).managed();
    await phone.sends("<presence/>");
    expect(await bodies(phone)).toEqual(["one"]);
    await talk.clock.advance(60_000);
    expect(await waiting()).toBe(1);
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.receivesNothing();
    await phone.acknowledges();
    expect(await waiting()).toBe(0);
  });

  test("with stream management the next page waits for the acknowledgement of the one before", async () => {
    const bob = await start();
    for (let number = 0; number < 60; number++) await say(bob, `m${number}`);
    const phone = (await talk.login("alice@localhost/phone")).managed();
    await phone.sends("<presence/>");
    expect((await bodies(phone)).length).toBe(50);
    await phone.acknowledges();
    expect((await bodies(phone)).length).toBe(10);
    await phone.acknowledges();
    expect(await waiting()).toBe(0);
  });

  test("what stream management sends back is kept once, in its place", async () => {
    const bob = await start();
    for (const text of ["one", "two"]) await say(bob, text);
    const phone = (await talk.login("alice@localhost/phone")).managed();
    await phone.sends("<presence/>");
    expect(await bodies(phone)).toEqual(["one", "two"]);
    await say(bob, "three");
    expect(await bodies(phone)).toEqual(["three"]);
    await phone.leaves("lost");
    expect(await waiting()).toBe(3);
    await talk.clock.advance(11_000);
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.receives(delayed("one"));
    expect(await bodies(laptop)).toEqual(["two", "three"]);
    await laptop.leaves("closed");
    expect(await waiting()).toBe(0);
  });

  test("what stream management takes to another resource is deleted soon after", async () => {
    const bob = await start();
    for (const text of ["one", "two"]) await say(bob, text);
    const phone = (await talk.login("alice@localhost/phone")).managed();
    await phone.sends("<presence/>");
    await phone.takes();
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.receivesNothing();
    await phone.leaves("lost");
    expect(await bodies(laptop)).toEqual(["one", "two"]);
    await talk.clock.advance(11_000);
    expect(await waiting()).toBe(0);
  });

  test("new messages that waited behind the backlog find their way when the session ends", async () => {
    const bob = await start();
    for (let number = 0; number < 60; number++) await say(bob, `m${number}`);
    const phone = (await talk.login("alice@localhost/phone")).managed();
    await phone.sends("<presence/>");
    await phone.takes();
    await say(bob, "behind");
    await phone.receivesNothing();
    await phone.leaves("lost");
    expect(await waiting()).toBe(61);
    const laptop = await talk.online("alice@localhost/laptop");
    await talk.clock.advance(100);
    const got = await bodies(laptop);
    expect([got.length, got[0], got[50], got[60]]).toEqual([61, "m0", "m50", "behind"]);
  });

  test("without stream management too, or with an error where there is no room", async () => {
    const bob = await start({ access: { max_user_offline_messages: 61 } });
    for (let number = 0; number < 60; number++) await say(bob, `m${number}`);
    const phone = await talk.login("alice@localhost/phone");
    const going = phone.sends("<presence/>");
    const speaking = [say(bob, "behind"), say(bob, "refused")];
    const leaving = phone.leaves("lost");
    await Promise.all([going, ...speaking, leaving]);
    expect(await waiting()).toBe(61);
    await bob.receives(error("refused", "service-unavailable"));
  });

  test("a message that cannot be stored is answered with an error", async () => {
    const bob = await start();
    await say(bob, "one");
    await talk.store.db.schema.dropTable("offline_messages").execute();
    await say(bob, "two");
    await bob.receives(error("two", "internal-server-error", "wait"));
    expect(talk.takeFailures()).toEqual(["stanza failed"]);
  });

  test("a message that finds too much waiting for the database is refused for now", async () => {
    const bob = await start();
    const { add } = talk.writes;
    talk.writes.add = () => Promise.reject(new StoreOverloaded("10000 writes wait for the database already"));
    await say(bob, "one");
    const [refusal] = await bob.takes();
    expect(refusal!.child("error")!.attr("type")).toBe("wait");
    expect(refusal!.child("error")!.elements()[0]!.name).toBe("resource-constraint");
    talk.writes.add = add;
    await say(bob, "two");
    expect([talk.router.counters.overloaded, talk.router.counters.failures]).toEqual([1, 0]);
    expect(await waiting()).toBe(1);
  });

  test("the sender's acknowledgement waits for the commit", async () => {
    const bob = await start();
    await say(bob, "one");
    expect(bob.secured.length).toBe(1);
    let safe = false;
    void bob.secured[0]!.then(() => {
      safe = true;
    });
    await talk.settle();
    expect(safe).toBe(true);
    expect(await waiting()).toBe(1);
  });
});

describe("refusal", () => {
  test("of one message more than the limit, until there is room again", async () => {
    const bob = await start({ access: { max_user_offline_messages: 2 } });
    for (const text of ["one", "two"]) await say(bob, text);
    await bob.receivesNothing();
    await say(bob, "three");
    await bob.receives(error("three", "service-unavailable"));
    const phone = await talk.online("alice@localhost/phone");
    expect(await bodies(phone)).toEqual(["one", "two"]);
    await phone.leaves("closed");
    await say(bob, "four");
    await bob.receivesNothing();
  });

  test("takes back what another node has emptied meanwhile into account", async () => {
    const bob = await start({ access: { max_user_offline_messages: 1 } });
    await say(bob, "one");
    await talk.store.db.deleteFrom("offline_messages").execute();
    await talk.clock.advance(6_000);
    await say(bob, "two");
    await bob.receivesNothing();
  });

  test("of a hundred and first message where the rule gives no number", async () => {
    const bob = await start();
    for (let number = 0; number < 100; number++) await say(bob, `m${number}`);
    await bob.receivesNothing();
    await say(bob, "more");
    await bob.receives(error("more", "service-unavailable"));
  });

  test("of an account that does not exist is the same as of one that keeps nothing", async () => {
    const bob = await start();
    await bob.sends("<message to='nobody@localhost' type='chat' id='a'><body>x</body></message>");
    const [unknown] = await bob.takes();
    await bob.sends(
      "<message to='alice@localhost' type='chat' id='a'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
    );
    const [refused] = await bob.takes();
    expect(refused?.toXml().replace("alice", "nobody")).toBe(unknown!.toXml());
  });
});

test("expired messages are not delivered (XEP-0023)", async () => {
  const bob = await start();
  await bob.sends(
    "<message to='alice@localhost' id='x'><body>x</body><x xmlns='jabber:x:expire' seconds='60'/></message>",
  );
  await say(bob, "y");
  await talk.clock.advance(61_000);
  const phone = await talk.online("alice@localhost/phone");
  expect(await bodies(phone)).toEqual(["y"]);
  expect(await waiting()).toBe(1);
});

test("the mailbox goes with the account", async () => {
  const bob = await start();
  await say(bob, "one");
  for (const removed of talk.host.registry.accounts.removed) await removed(alice);
  expect(await waiting()).toBe(0);
});

describe("what is stored", () => {
  const cases: [string, boolean, string][] = [
    ["<message><body>x</body></message>", true, "a message"],
    ["<message type='normal'><subject>x</subject></message>", true, "a message"],
    ["<message type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>", true, "a message"],
    [
      "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
      false,
      "nothing but a chat state",
    ],
    [
      "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread><origin-id xmlns='urn:xmpp:sid:0' id='1'/></message>",
      false,
      "nothing but a chat state",
    ],
    [
      "<message type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><body>x</body></message>",
      true,
      "a message",
    ],
    [
      "<message type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/></message>",
      true,
      "store hint",
    ],
    ["<message type='groupchat'><body>x</body></message>", false, "of a type that is never stored"],
    ["<message type='headline'><body>x</body></message>", false, "of a type that is never stored"],
    ["<message type='error'><store xmlns='urn:xmpp:hints'/></message>", false, "of a type that is never stored"],
    ["<message><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>", false, "no-store hint"],
    ["<message><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>", true, "a message"],
    [
      "<message from='alice@localhost'><sent xmlns='urn:xmpp:carbons:2'/></message>",
      false,
      "a carbon copy, whose original is elsewhere",
    ],
    ["<message from='bob@localhost'><sent xmlns='urn:xmpp:carbons:2'/></message>", true, "a message"],
  ];
  for (const [text, store, reason] of cases) {
    test(text, () => {
      const stanza = stanzaFromFrame(parseFrame(text, undefined, ns.client))!;
      expect(offlineVerdict(stanza, alice)).toEqual({ store, reason });
    });
  }

  const expiries: [string, number | null][] = [
    ["60", 61_000],
    ["0", 1_000],
    ["-1", null],
    ["", null],
    ["soon", null],
    ["1e300", null],
  ];
  for (const [seconds, expected] of expiries) {
    test(`with a lifetime of '${seconds}' seconds`, () => {
      const text = `<message><x xmlns='jabber:x:expire' seconds='${seconds}'/></message>`;
      expect(expiryOf(stanzaFromFrame(parseFrame(text, undefined, ns.client))!, 1_000)).toBe(expected);
    });
  }
});

test("among all its neighbours, in the order of the catalogue, the backlog comes first, whole, and to one resource", async () => {
  talk = await Conversation.start({
    modules: [ping, privacy, blocking, stanzaId, carbons, offline, roster, presence, last, csi],
  });
  const bob = await talk.online("bob@localhost/desk");
  for (const text of ["one", "two", "three"]) await say(bob, text);
  const phone = (await talk.login("alice@localhost/phone")).managed();
  await phone.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  await phone.sends("<inactive xmlns='urn:xmpp:csi:0'/>");
  await phone.takes();
  const coming = phone.sends("<presence/>");
  const four = say(bob, "four");
  await Promise.all([coming, four]);
  const messages = (await phone.takes()).filter((element) => element.name === "message");
  expect(messages.map((element) => element.childText("body"))).toEqual(["one", "two", "three", "four"]);
  expect(messages.map((element) => element.childrenNamed("delay", ns.delay).length)).toEqual([1, 1, 1, 0]);
  const ids = messages.map((element) => element.child("stanza-id", ns.stanzaIds)!.attr("id")!);
  expect(ids.toSorted()).toEqual(ids);
  await phone.leaves("lost");
  const laptop = await talk.online("alice@localhost/laptop");
  const again = (await laptop.takes()).filter((element) => element.name === "message");
  expect(again.map((element) => element.childText("body"))).toEqual(["one", "two", "three", "four"]);
  expect(again.map((element) => element.child("stanza-id", ns.stanzaIds)!.attr("id")!)).toEqual(ids);
});
