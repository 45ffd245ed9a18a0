/** mod_inbox by conversation: what is counted, what resets it, how it is read, and what its owner sets. */
import { afterEach, describe, expect, test } from "bun:test";
import { findCommand } from "../../src/admin/catalogue.ts";
import { type AdminContext, readArguments } from "../../src/admin/command.ts";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import { carbons } from "../../src/modules/carbons.ts";
import { disco } from "../../src/modules/disco.ts";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { blocking } from "../../src/modules/privacy/blocking.ts";
import { privacy } from "../../src/modules/privacy/privacy.ts";
import { type Jid, parseJid } from "../../src/stanza/jid.ts";
import { failure } from "../support/archive-talk.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import { conversationNs, errorIn, field, inboxNs, inboxOf, lastIn, sets } from "../support/inbox-talk.ts";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

async function start(options: Readonly<Record<string, unknown>> = {}, modules: readonly ModuleDefinition[] = []) {
  talk = await Conversation.start({
    modules: [privacy, blocking, ...modules, inbox, carbons, offline, disco] as ModuleDefinition[],
    options: { mod_inbox: options },
    accounts: ["alice", "bob", "carol", "dave"],
  });
  return { alice: await talk.online("alice@localhost/phone"), bob: await talk.online("bob@localhost/desk") };
}

/** Sends numbered messages, some time apart. */
async function say(person: Person, to: string, ...bodies: string[]): Promise<void> {
  for (const body of bodies) {
    await person.sends(`<message to='${to}' type='chat' id='id-${body}'><body>${body}</body></message>`);
    await talk.clock.advance(20);
  }
}

const mark = (to: string, marker: string, id: string) =>
  `<message to='${to}' type='chat'><${marker} xmlns='urn:xmpp:chat-markers:0' id='${id}'/></message>`;

describe("what is counted", () => {
  test("the recipient has one more to read, the sender nothing, and both the last message", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost/desk", "one", "two");
    const his = await inboxOf(bob);
    expect(his.lines).toEqual(["alice@localhost 2 two"]);
    expect(his.counts).toEqual([1, 2, 1]);
    const hers = await inboxOf(alice);
    expect(hers.lines).toEqual(["bob@localhost 0 two"]);
    expect(hers.counts).toEqual([1, 0, 0]);
    const last = lastIn(his.results[0]!);
    expect(["from", "to", "type", "id"].map((name) => last.attr(name))).toEqual([
      "alice@localhost/phone",
      "bob@localhost/desk",
      "chat",
      "id-two",
    ]);
    const stamp = his.results[0]!.child("forwarded", "urn:xmpp:forward:0")!.child("delay", "urn:xmpp:delay")!;
    expect(Math.abs(Date.parse(stamp.attr("stamp")!) - talk.clock.now())).toBeLessThan(1_000);
  });

  const table: readonly (readonly [what: string, xml: string, unread: string | undefined])[] = [
    ["a body", "<message to='bob@localhost'><body>x</body></message>", "1"],
    ["no body", "<message to='bob@localhost' type='chat'><subject>x</subject></message>", undefined],
    [
      "a chat state",
      "<message to='bob@localhost' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
      undefined,
    ],
    [
      "a receipt that is to be kept",
      "<message to='bob@localhost' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/><store xmlns='urn:xmpp:hints'/></message>",
      undefined,
    ],
    [
      "a call that is to be kept",
      "<message to='bob@localhost' type='chat'><propose xmlns='urn:xmpp:jingle-message:0' id='1'/><store xmlns='urn:xmpp:hints'/></message>",
      "1",
    ],
    ["a marker", mark("bob@localhost", "displayed", "1"), undefined],
    [
      "a body that is not to be kept",
      "<message to='bob@localhost' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
      undefined,
    ],
    ["a headline", "<message to='bob@localhost' type='headline'><body>x</body></message>", undefined],
    ["an error", "<message to='bob@localhost/desk' type='error'><body>x</body></message>", undefined],
    [
      "a body beside a forged change of an inbox",
      `<message to='bob@localhost'><body>x</body><x xmlns='${conversationNs}' jid='carol@localhost'><read>true</read></x></message>`,
      "1",
    ],
  ];
  for (const [what, xml, unread] of table) {
    test(`${what}: ${unread ?? "nothing"}`, async () => {
      const { alice, bob } = await start();
      await alice.sends(xml);
      const counted = (await inboxOf(bob)).results.map((result) => result.attr("unread"));
      expect(counted).toEqual(unread === undefined ? [] : [unread]);
      const hers = (await inboxOf(alice)).results.map((result) => result.attr("unread"));
      expect(hers).toEqual(unread === undefined ? [] : ["0"]);
    });
  }

  test("what was taken back is shown no more, and counts as it did", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "secret");
    await alice.sends(
      "<message to='bob@localhost' type='chat' id='r'><retract xmlns='urn:xmpp:message-retract:1' id='id-secret'/></message>",
    );
    for (const [person, line] of [
      [bob, "alice@localhost 1 retract"],
      [alice, "bob@localhost 0 retract"],
    ] as const) {
      expect((await inboxOf(person)).lines).toEqual([line]);
    }
  });

  test("who is away finds what came meanwhile, and getting it reads nothing", async () => {
    const { alice } = await start();
    await say(alice, "carol@localhost", "one", "two", "three");
    const carol = await talk.online("carol@localhost/pc");
    expect((await carol.takes()).filter((stanza) => stanza.name === "message")).toHaveLength(3);
    expect((await inboxOf(carol)).lines).toEqual(["alice@localhost 3 three"]);
  });

  test("nobody has an inbox who is not there, and who blocks somebody hears nothing of him in it", async () => {
    const { alice, bob } = await start();
    await say(alice, "nobody@localhost", "hello");
    expect((await inboxOf(alice)).lines).toEqual(["nobody@localhost 0 hello"]);
    const rows = await talk.store.db.selectFrom("inbox").select("username").execute();
    expect(rows).toEqual([{ username: "alice" }]);
    await bob.sends(
      "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block></iq>",
    );
    await say(alice, "bob@localhost", "spam");
    expect((await inboxOf(bob)).lines).toEqual([]);
  });

  test("carbons and other resources count nothing twice", async () => {
    const { alice, bob } = await start();
    const laptop = await talk.online("alice@localhost/laptop");
    const tablet = await talk.online("bob@localhost/tablet");
    for (const person of [laptop, tablet]) {
      await person.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    }
    await say(alice, "bob@localhost/desk", "hello");
    expect((await tablet.takes()).some((stanza) => stanza.child("received", "urn:xmpp:carbons:2") !== undefined)).toBe(
      true,
    );
    for (const person of [bob, tablet]) expect((await inboxOf(person)).lines).toEqual(["alice@localhost 1 hello"]);
    for (const person of [alice, laptop]) expect((await inboxOf(person)).lines).toEqual(["bob@localhost 0 hello"]);
  });

  test("a note to oneself is read", async () => {
    const { alice } = await start();
    await say(alice, "alice@localhost", "buy milk");
    expect((await inboxOf(alice)).lines).toEqual(["alice@localhost 0 buy milk"]);
  });

  test("a message from elsewhere counts, and what is kept leads to the archive", async () => {
    const { bob } = await start({}, [mam as ModuleDefinition]);
    await talk.arrives(
      "<message from='romeo@montague.example/balcony' to='bob@localhost' type='chat' id='r1'><body>art thou</body></message>",
    );
    const { lines, results } = await inboxOf(bob);
    expect(lines).toEqual(["romeo@montague.example 1 art thou"]);
    expect(lastIn(results[0]!).child("stanza-id", "urn:xmpp:sid:0")!.attr("by")).toBe("bob@localhost");
  });

  test("the acknowledgement waits for the count", async () => {
    const { alice, bob } = await start();
    await alice.sends("<message to='bob@localhost' type='chat'><body>x</body></message>");
    expect(alice.secured.length).toBe(2);
    await bob.sends(mark("alice@localhost", "displayed", "x"));
    expect(bob.secured.length).toBe(1);
    await bob.sends(
      "<message to='alice@localhost' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    expect(bob.secured.length).toBe(1);
  });
});

describe("what resets the count", () => {
  test("a marker that names the last message, and none that names another", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one", "two");
    await bob.sends(mark("alice@localhost/phone", "displayed", "id-one"));
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 2 two"]);
    await bob.sends(mark("alice@localhost/phone", "received", "id-two"));
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 2 two"]);
    await bob.sends(mark("alice@localhost/phone", "displayed", "id-two"));
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 0 two"]);
  });

  test("which markers do is the operator's choice", async () => {
    const { alice, bob } = await start({ reset_markers: ["received", "acknowledged"] });
    for (const [marker, unread] of [
      ["displayed", 1],
      ["received", 0],
      ["acknowledged", 0],
    ] as const) {
      await say(alice, "bob@localhost", marker);
      await bob.sends(mark("alice@localhost", marker, `id-${marker}`));
      expect((await inboxOf(bob)).lines).toEqual([`alice@localhost ${unread} ${marker}`]);
      await say(bob, "alice@localhost", "answer");
    }
  });

  test("a marker of somebody else resets nothing of mine", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one");
    await alice.sends(mark("bob@localhost", "displayed", "id-one"));
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 1 one"]);
  });

  test("an answer reads the conversation, and only that one", async () => {
    const { alice, bob } = await start();
    const carol = await talk.online("carol@localhost/pc");
    await say(alice, "bob@localhost", "one", "two");
    await say(carol, "bob@localhost", "three");
    await say(bob, "alice@localhost", "four");
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 0 four", "carol@localhost 1 three"]);
    expect((await inboxOf(alice)).lines).toEqual(["bob@localhost 1 four"]);
  });

  test("the old reset of a conversation tells nobody", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one", "two");
    await alice.takes();
    await bob.takes();
    await bob.sends(`<iq type='set' id='r'><reset xmlns='${conversationNs}' jid='alice@localhost'/></iq>`);
    await bob.receives(
      `<iq type='result' id='r' from='bob@localhost' to='bob@localhost/desk'><reset xmlns='${conversationNs}'/></iq>`,
    );
    await alice.receivesNothing();
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 0 two"]);
    for (const [jid, error] of [
      ["", "bad-request modify jid-required"],
      ["jid='$@/'", "bad-request modify invalid-jid"],
    ]) {
      await bob.sends(`<iq type='set' id='r'><reset xmlns='${conversationNs}' ${jid}/></iq>`);
      expect(errorIn((await bob.takes())[0]!)).toBe(error!);
    }
  });
});

describe("reading the inbox", () => {
  test("the form says what may be asked, the operator's boxes among it", async () => {
    const { alice } = await start({ boxes: ["work"] });
    await alice.takes();
    await alice.sends(`<iq type='get' id='f'><query xmlns='${inboxNs}'/></iq>`);
    const option = (name: string) => `<option label='${name}'><value>${name}</value></option>`;
    const boxes = ["all", "inbox", "archive", "bin", "work"].map(option).join("");
    await alice.receives(
      `<iq type='result' id='f' from='alice@localhost' to='alice@localhost/phone'><query xmlns='${inboxNs}'><x xmlns='jabber:x:data' type='form'><field type='hidden' var='FORM_TYPE'><value>${inboxNs}</value></field><field var='start' type='text-single'/><field var='end' type='text-single'/><field var='order' type='list-single'><value>desc</value><option label='Ascending by timestamp'><value>asc</value></option><option label='Descending by timestamp'><value>desc</value></option></field><field var='hidden_read' type='text-single'><value>false</value></field><field var='box' type='list-single'><value>all</value>${boxes}</field><field var='archive' type='boolean'><value>false</value></field></x></query></iq>`,
    );
  });

  /** Alice has written to three, who have answered, in this order. */
  async function three(options = {}) {
    const { alice } = await start(options);
    const times: string[] = [];
    for (const name of ["bob", "carol", "dave"]) {
      times.push(new Date(talk.clock.now()).toISOString());
      await talk.clock.advance(10);
      await talk.arrives(
        `<message from='${name}@localhost/x' to='alice@localhost' type='chat' id='${name}'><body>${name}</body></message>`,
      );
      await talk.clock.advance(100);
    }
    return { alice, times };
  }
  const all = ["dave@localhost 1 dave", "carol@localhost 1 carol", "bob@localhost 1 bob"];

  test("newest first, or oldest, within times, and only the unread; without a queryid by the request's id", async () => {
    const { alice, times } = await three();
    expect((await inboxOf(alice, "", "", "")).lines).toEqual(all);
    expect((await inboxOf(alice, field("order", "asc"))).lines).toEqual(all.toReversed());
    expect((await inboxOf(alice, field("start", times[1]!))).lines).toEqual(all.slice(0, 2));
    expect((await inboxOf(alice, field("end", times[2]!))).lines).toEqual(all.slice(1));
    expect((await inboxOf(alice, field("start", times[1]!) + field("end", times[2]!))).lines).toEqual([all[1]!]);
    await sets(alice, "jid='carol@localhost'", "<read>true</read>");
    const unread = await inboxOf(alice, field("hidden_read", "true"));
    expect(unread.lines).toEqual([all[0]!, all[2]!]);
    expect(unread.counts).toEqual([2, 2, 2]);
    expect((await inboxOf(alice)).counts).toEqual([3, 2, 2]);
  });

  test("pages in both directions, in both orders", async () => {
    const { alice } = await three();
    const first = await inboxOf(alice, "", "<max>1</max>");
    expect(first.lines).toEqual([all[0]!]);
    expect(first.first).toBe(first.last!);
    const second = await inboxOf(alice, "", `<max>5</max><after>${first.last}</after>`);
    expect(second.lines).toEqual(all.slice(1));
    expect((await inboxOf(alice, "", `<max>5</max><after>${second.last}</after>`)).lines).toEqual([]);
    expect((await inboxOf(alice, "", `<max>1</max><before>${second.last}</before>`)).lines).toEqual([all[1]!]);
    expect((await inboxOf(alice, "", "<max>2</max><before/>")).lines).toEqual(all.slice(1));
    expect((await inboxOf(alice, field("order", "asc"), "<max>2</max><before/>")).lines).toEqual([all[1]!, all[0]!]);
    expect((await inboxOf(alice, field("order", "asc"), `<after>${second.last}</after>`)).lines).toEqual([
      all[1]!,
      all[0]!,
    ]);
    const none = await inboxOf(alice, "", "<max>0</max>");
    expect([none.lines, none.counts, none.first]).toEqual([[], [0, 0, 0], undefined]);
  });

  test("a page's place goes before the form's times", async () => {
    const { alice, times } = await three();
    const { first, last } = await inboxOf(alice, field("end", times[2]!));
    // What follows carol, though the form ends long before it; and what precedes bob, though the form begins long after it.
    expect((await inboxOf(alice, field("end", "2000-01-01T00:00:00Z"), `<after>${first}</after>`)).lines).toEqual([
      all[2]!,
    ]);
    expect((await inboxOf(alice, field("start", "2100-01-01T00:00:00Z"), `<before>${last}</before>`)).lines).toEqual(
      all.slice(0, 2),
    );
  });

  test("an answer has an end: the operator's, or the client's where it is lower", async () => {
    const { alice } = await three({ max_result_limit: 2 });
    const two = await inboxOf(alice);
    expect(two.lines).toEqual(all.slice(0, 2));
    expect((await inboxOf(alice, "", "<max>500</max>")).lines).toHaveLength(2);
    expect((await inboxOf(alice, "", "<max>1</max>")).lines).toHaveLength(1);
    expect((await inboxOf(alice, "", `<after>${two.last}</after>`)).lines).toEqual([all[2]!]);
  });

  const wrong: readonly (readonly [fields: string, set: string, error: string])[] = [
    [field("start", "invalid"), "", "bad-request modify Invalid inbox form field value, field=start, value=invalid"],
    [field("end", "invalid"), "", "bad-request modify Invalid inbox form field value, field=end, value=invalid"],
    [field("order", "up"), "", "bad-request modify Invalid inbox form field value, field=order, value=up"],
    [field("hidden_read", "2"), "", "bad-request modify Invalid inbox form field value, field=hidden_read, value=2"],
    [field("box", "work"), "", "bad-request modify Invalid inbox form field value, field=box, value=work"],
    [field("archive", "x"), "", "bad-request modify Invalid inbox form field value, field=archive, value=x"],
    [field("colour", "red"), "", "bad-request modify Unknown inbox form field=colour, value=red"],
    [field("box", "inbox", "bin"), "", "policy-violation modify A form has at most 32 fields of 1 values"],
    ["", "<max>NaN</max>", "bad-request modify <max/> is a whole number"],
    ["", "<max>-1</max>", "bad-request modify <max/> is a whole number"],
    ["", "<after>12</after>", "item-not-found cancel The inbox has no such id"],
    ["", "<before>-10/YWxpY2U=</before>", "item-not-found cancel The inbox has no such id"],
    ["", "<max>1</max><index>0</index>", "feature-not-implemented cancel An inbox has no pages by index"],
  ];
  test("what cannot be asked is refused with its reason", async () => {
    const { alice } = await start();
    for (const [fields, set, error] of wrong) expect(await failure(inboxOf(alice, fields, set))).toBe(error);
    expect(await failure(inboxOf(alice, "", "", `queryid='${"q".repeat(1_001)}'`))).toStartWith("policy-violation");
  });

  test("nobody reads another's, and the service is announced", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "hello");
    await alice.takes();
    await alice.sends(`<iq type='set' id='x' to='bob@localhost'><inbox xmlns='${inboxNs}'/></iq>`);
    expect(errorIn((await alice.takes())[0]!)).toBe("service-unavailable cancel");
    await alice.sends(
      `<iq type='get' id='x' to='bob@localhost'><query xmlns='${conversationNs}' jid='alice@localhost'/></iq>`,
    );
    expect(errorIn((await alice.takes())[0]!)).toBe("service-unavailable cancel");
    await bob.takes();
    await bob.sends("<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    expect((await bob.takes())[0]!.toXml()).toContain(`<feature var='${inboxNs}'/>`);
  });
});

describe("properties of a conversation", () => {
  test("what is set is told to all devices that are there, then answered", async () => {
    const { alice, bob } = await start();
    const tablet = await talk.online("bob@localhost/tablet");
    const away = await talk.login("bob@localhost/away");
    await say(alice, "bob@localhost/desk", "hello");
    await tablet.takes();
    await alice.takes();
    const [told, result, ...rest] = await sets(
      bob,
      "jid='alice@localhost/phone' queryid='q7'",
      "<box>archive</box><mute>60</mute><read>true</read>",
    );
    expect(rest).toEqual([]);
    expect(result!.toXml()).toBe(
      "<iq xmlns='jabber:client' from='bob@localhost' to='bob@localhost/desk' type='result' id='s1'/>",
    );
    const x = told!.child("x", conversationNs)!;
    expect(["from", "to", "id", "type"].map((name) => told!.attr(name))).toEqual([
      "bob@localhost",
      "bob@localhost",
      "s1",
      undefined,
    ]);
    expect([x.attr("jid"), x.attr("queryid")]).toEqual(["alice@localhost", "q7"]);
    expect(["read", "box", "archive"].map((name) => x.childText(name))).toEqual(["true", "archive", "true"]);
    expect(Math.abs(Date.parse(x.childText("mute")!) - talk.clock.now() - 60_000)).toBeLessThan(1_000);
    expect((await tablet.takes()).map((stanza) => stanza.toXml())).toEqual([told!.toXml()]);
    await away.receivesNothing();
    await alice.receivesNothing();
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 0 hello archive muted"]);
  });

  test("unread again is one, or as many as there were", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one", "two");
    await sets(bob, "jid='alice@localhost'", "<read>false</read>");
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 2 two"]);
    await sets(bob, "jid='alice@localhost'", "<read>true</read>");
    await sets(bob, "jid='alice@localhost'", "<read>false</read>");
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 1 two"]);
  });

  test("a message brings a conversation out of the archive for both, and out of no other box", async () => {
    const { alice, bob } = await start({ boxes: ["work"] });
    for (const [box, after] of [
      ["archive", ""],
      ["work", " work"],
    ]) {
      await say(alice, "bob@localhost", "one");
      await sets(bob, "jid='alice@localhost'", `<box>${box}</box>`);
      await sets(alice, "jid='bob@localhost'", `<box>${box}</box>`);
      await say(alice, "bob@localhost", "two");
      expect((await inboxOf(alice)).lines).toEqual([`bob@localhost 0 two${after}`]);
      expect((await inboxOf(bob)).lines[0]).toEndWith(`two${after}`);
    }
  });

  test("archive is an old word for two boxes, and box goes before it; when it is old it is over", async () => {
    const { alice, bob } = await start({ boxes: ["work"] });
    await say(alice, "bob@localhost", "one");
    const boxAfter = async (properties: string) => {
      const [told] = await sets(bob, "jid='alice@localhost'", properties);
      return told!.child("x", conversationNs)!.childText("box");
    };
    expect(await boxAfter("<archive>true</archive>")).toBe("archive");
    expect((await inboxOf(bob, field("archive", "true"))).lines).toHaveLength(1);
    expect((await inboxOf(bob, field("archive", "false"))).lines).toHaveLength(0);
    expect(await boxAfter("<archive>false</archive>")).toBe("inbox");
    expect(await boxAfter("<archive>true</archive><box>work</box>")).toBe("work");
    expect((await inboxOf(bob, field("box", "work") + field("archive", "true"))).lines).toHaveLength(1);
    await sets(bob, "jid='alice@localhost'", "<mute>1</mute>");
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 1 one work muted"]);
    await talk.clock.advance(1_100);
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 1 one work"]);
    await sets(bob, "jid='alice@localhost'", "<mute>100</mute>");
    await sets(bob, "jid='alice@localhost'", "<mute>0</mute>");
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 1 one work"]);
  });

  test("what cannot be set is refused, and changes nothing", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one");
    const known = "jid='alice@localhost'";
    const table: readonly (readonly [jid: string, properties: string, error: string])[] = [
      ["", "<read>true</read>", "bad-request modify jid-required"],
      ["jid='$@/'", "<read>true</read>", "bad-request modify invalid-jid"],
      [known, "", "bad-request modify no-property"],
      [known, "<box>work</box>", "bad-request modify invalid-box"],
      [known, "<box>all</box>", "bad-request modify invalid-box"],
      [known, "<read>maybe</read>", "bad-request modify bad-request"],
      [known, "<read>true</read><archive>1</archive>", "bad-request modify bad-request"],
      [known, "<mute>-1</mute>", "bad-request modify bad-request"],
      [known, "<mute>1e3</mute>", "bad-request modify bad-request"],
      [known, "<mute>9999999999</mute>", "bad-request modify bad-request"],
      [known, "<colour>red</colour>", "bad-request modify bad-request"],
      ["jid='carol@localhost'", "<read>true</read>", "item-not-found cancel item-not-found"],
    ];
    for (const [jid, properties, error] of table) {
      const got = await sets(bob, jid, properties);
      expect(got.map(errorIn)).toEqual([error]);
    }
    expect((await inboxOf(bob)).lines).toEqual(["alice@localhost 1 one"]);
  });

  test("they are read one by one, with the last message where it is wanted, and their form", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one");
    await bob.takes();
    const get = async (attributes: string) => {
      await bob.sends(`<iq type='get' id='g'><query xmlns='${conversationNs}' ${attributes}/></iq>`);
      return (await bob.takes())[0]!;
    };
    const plain = (await get("jid='alice@localhost/phone'")).child("query", conversationNs)!;
    expect(plain.toXml()).toBe(
      `<query xmlns='${conversationNs}' jid='alice@localhost'><read>false</read><box>inbox</box><archive>false</archive><mute>0</mute></query>`,
    );
    const whole = (await get("jid='alice@localhost' complete='true'")).child("query", conversationNs)!;
    expect(lastIn(whole).childText("body")).toBe("one");
    expect(errorIn(await get("jid='carol@localhost'"))).toBe("item-not-found cancel item-not-found");
    const form = (await get("")).child("query", conversationNs)!.child("x", "jabber:x:data")!;
    expect(form.childrenNamed("field").map((each) => each.attr("var"))).toEqual([
      "FORM_TYPE",
      "box",
      "archive",
      "read",
      "mute",
    ]);
  });
});

describe("the bin, and the end", () => {
  test("what is in the bin is left out, and gone when it is emptied", async () => {
    const { alice, bob } = await start();
    const carol = await talk.online("carol@localhost/pc");
    await say(alice, "bob@localhost", "one");
    await say(carol, "bob@localhost", "two");
    await sets(bob, "jid='alice@localhost'", "<box>bin</box>");
    expect((await inboxOf(bob)).lines).toEqual(["carol@localhost 1 two"]);
    expect((await inboxOf(bob, field("box", "bin"))).lines).toEqual(["alice@localhost 1 one bin"]);
    expect((await inboxOf(bob, field("box", "all"))).lines).toHaveLength(2);
    await bob.takes();
    for (const removed of [1, 0]) {
      await bob.sends(`<iq type='set' id='e'><empty-bin xmlns='${inboxNs}'/></iq>`);
      await bob.receives(
        `<iq type='result' id='e' from='bob@localhost' to='bob@localhost/desk'><empty-bin xmlns='${inboxNs}'><num>${removed}</num></empty-bin></iq>`,
      );
    }
    expect((await inboxOf(bob, field("box", "all"))).lines).toEqual(["carol@localhost 1 two"]);
    expect((await inboxOf(alice)).lines).toHaveLength(1);
  });

  test("bins are cleaned from time to time of what has been in them long enough, however old it was before", async () => {
    const { alice, bob } = await start({ bin_ttl: 2, bin_clean_after: 3 });
    const [hour, day] = [3_600_000, 86_400_000];
    await say(alice, "bob@localhost", "old");
    await talk.clock.leap(10 * day);
    await sets(bob, "jid='alice@localhost'", "<box>bin</box>");
    const inBin = async () => (await inboxOf(bob, field("box", "bin"))).lines.length;
    await talk.clock.leap(2 * day - hour);
    await talk.settle();
    expect(await inBin()).toBe(1);
    await talk.clock.leap(4 * hour);
    await talk.settle();
    expect(await inBin()).toBe(0);
  });

  test("the operator empties bins", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one");
    await sets(bob, "jid='alice@localhost'", "<box>bin</box>");
    const context = {
      router: talk.router,
      accounts: { exists: (account: Jid) => talk.accounts.has(account.local) },
    } as unknown as AdminContext;
    const run = async (name: string, args: object) => {
      const command = findCommand("inbox", name)!;
      return command.run(context, readArguments(command, { ...args }), () => {});
    };
    expect(await run("flushUserBin", { user: "alice@localhost", days: 0 })).toBe(0);
    expect(await run("flushUserBin", { user: "bob@localhost", days: 1 })).toBe(0);
    expect(await run("flushUserBin", { user: "bob@localhost", days: "0" })).toBe(1);
    await sets(alice, "jid='bob@localhost'", "<box>bin</box>");
    expect(await run("flushDomainBin", { domain: "localhost", days: 0 })).toBe(1);
    await say(alice, "bob@localhost", "two");
    await sets(bob, "jid='alice@localhost'", "<box>bin</box>");
    expect(await run("flushGlobalBin", { days: 0 })).toBe(1);
    expect(await run("flushGlobalBin", { hostType: "localhost", days: 0 })).toBe(0);
    expect(await failure(run("flushUserBin", { user: "nobody@localhost", days: 0 }))).toContain("no account");
    expect(await failure(run("flushDomainBin", { domain: "elsewhere.example", days: 0 }))).toContain("does not serve");
    expect(await failure(run("flushUserBin", { user: "bob@localhost" }))).toContain("--days is missing");
  });

  test("a push's count is that of all conversations outside of the bin", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one", "two");
    for (const name of ["carol", "dave"]) {
      await talk.arrives(`<message from='${name}@localhost/x' to='bob@localhost' type='chat'><body>x</body></message>`);
    }
    await sets(bob, "jid='dave@localhost'", "<box>bin</box>");
    expect(await talk.host.registry.ask("unreadCount", parseJid("bob@localhost")!)).toBe(3);
  });

  test("pushes can know what is muted, until its time is over", async () => {
    const { alice, bob } = await start();
    const [me, her, him] = ["bob@localhost", "alice@localhost", "carol@localhost"].map((text) => parseJid(text)!);
    await say(alice, "bob@localhost", "one");
    const muted = (peer: Jid) => talk.host.registry.ask("isMuted", me!, peer);
    expect(await muted(her!)).toBe(false);
    await sets(bob, "jid='alice@localhost'", "<mute>1</mute>");
    expect([await muted(her!), await muted(him!)]).toEqual([true, false]);
    await talk.clock.advance(1_100);
    expect(await muted(her!)).toBe(false);
  });

  test("an account's data can be had, and goes with the account", async () => {
    const { alice, bob } = await start();
    await say(alice, "bob@localhost", "one");
    const account = parseJid("bob@localhost")!;
    const tables = (await talk.host.registry.askAll("personalData", account)).flat();
    const table = tables.find(({ name }) => name === "inbox")!;
    const rows = [];
    for await (const row of table.rows()) rows.push(row);
    expect(table.columns).toEqual(["jid", "content", "unread_count", "timestamp", "box", "muted_until"]);
    expect(rows.map((row) => [row[0], row[2], row[4], row[5]])).toEqual([["alice@localhost", 1, "inbox", null]]);
    for (const removed of talk.host.registry.accounts.removed) await removed(account);
    expect((await inboxOf(bob)).lines).toEqual([]);
    expect((await inboxOf(alice)).lines).toHaveLength(1);
  });
});
