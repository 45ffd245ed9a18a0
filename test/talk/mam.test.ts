/** mod_mam by conversation: what is archived, and how it is read page by page (XEP-0313, 0059, 0334, 0359). */
import { afterEach, describe, expect, test } from "bun:test";
import { carbons } from "../../src/modules/carbons.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { offlineStub } from "../../src/modules/offline-stub.ts";
import { stanzaId } from "../../src/modules/stanza-id.ts";
import type { Element } from "../../src/xml/element.ts";
import { type Answer, failure, field, messageIn, mamNs as ns, query } from "../support/archive-talk.ts";
import { Conversation, type Person } from "../support/conversation.ts";

const sid = "urn:xmpp:sid:0";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

async function start(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
  talk = await Conversation.start({ modules: [stanzaId, mam, carbons, offlineStub], options: { mod_mam: options } });
}

/** Sends numbered messages a second apart. */
async function say(person: Person, to: string, ...bodies: string[]): Promise<void> {
  for (const body of bodies) {
    await person.sends(`<message to='${to}' type='chat' id='id-${body}'><body>${body}</body></message>`);
    await talk.clock.advance(100);
  }
}

describe("what is archived", () => {
  test("both sides have a message once, with the address of the other, when it was, and as it was", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await alice.sends(
      "<message to='bob@localhost' type='chat' id='m1'><body>Hello</body><x xmlns='urn:x'>&amp;</x></message>",
    );
    const [live] = await bob.takes();
    const mine = await query(bob);
    expect(mine.bodies).toEqual(["Hello"]);
    const message = messageIn(mine.results[0]!);
    expect(["from", "to", "type", "id"].map((name) => message.attr(name))).toEqual([
      "alice@localhost/phone",
      "bob@localhost",
      "chat",
      "m1",
    ]);
    expect(message.child("x", "urn:x")!.text()).toBe("&");
    const stamp = mine.results[0]!.child("forwarded", "urn:xmpp:forward:0")!
      .child("delay", "urn:xmpp:delay")!
      .attr("stamp");
    expect(Math.abs(Date.parse(stamp!) - talk.clock.now())).toBeLessThan(1_000);
    // Section 3.3: the id in live traffic is that of the archive.
    const given = live!.child("stanza-id", sid)!;
    expect([given.attr("by"), given.attr("id")]).toEqual(["bob@localhost", mine.ids[0]]);
    const hers = await query(alice);
    expect(hers.bodies).toEqual(["Hello"]);
    expect(hers.ids[0]).not.toBe(mine.ids[0]);
  });

  test("the recipient is told no id of the sender's archive, and only one of his own", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await alice.sends(
      `<message to='bob@localhost'><body>x</body><stanza-id xmlns='${sid}' id='1' by='bob@localhost'/><stanza-id xmlns='${sid}' id='2' by='alice@localhost'/></message>`,
    );
    const [live] = await bob.takes();
    expect(live!.childrenNamed("stanza-id", sid).map((id) => id.attr("by"))).toEqual(["bob@localhost"]);
    expect(live!.child("stanza-id", sid)!.attr("id")).not.toBe("1");
  });

  test("a message that is not archived bears no id", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await alice.sends(
      "<message to='bob@localhost' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    await bob.receives(
      "<message from='alice@localhost/phone' to='bob@localhost' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
  });

  test("an own copy to other devices bears the id of the sender's archive (XEP-0280)", async () => {
    await start();
    const phone = await talk.online("alice@localhost/phone");
    const tablet = await talk.online("alice@localhost/tablet");
    const bob = await talk.online("bob@localhost/desk");
    await tablet.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    await tablet.takes();
    await say(phone, "bob@localhost", "one");
    const [copy] = await tablet.takes();
    const carbon = copy!
      .child("sent", "urn:xmpp:carbons:2")!
      .child("forwarded", "urn:xmpp:forward:0")!
      .child("message", "jabber:client")!;
    const id = carbon.child("stanza-id", sid)!;
    expect(id.attr("by")).toBe("alice@localhost");
    expect((await query(phone)).ids).toEqual([id.attr("id")!]);
    const [live] = await bob.takes();
    expect(live!.childrenNamed("stanza-id", sid).map((each) => each.attr("by"))).toEqual(["bob@localhost"]);
  });

  test("a note to oneself is there once, however many devices get it", async () => {
    await start();
    const phone = await talk.online("alice@localhost/phone");
    await talk.online("alice@localhost/tablet");
    await say(phone, "alice@localhost", "note");
    await say(phone, "bob@localhost", "else");
    expect((await query(phone)).bodies).toEqual(["note", "else"]);
    // Section 4.1.1: 'with' the own address means these, not everything.
    expect((await query(phone, field("with", "alice@localhost"))).bodies).toEqual(["note"]);
    expect((await query(phone, field("with", "alice@localhost/phone"))).bodies).toEqual(["note"]);
  });

  test("who is away has it in his archive, and no message goes to one for somebody who is not there at all", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "while you were out");
    await say(alice, "nobody@localhost", "anyone?");
    const bob = await talk.online("bob@localhost/desk");
    expect((await query(bob)).bodies).toEqual(["while you were out"]);
    talk.accounts.add("nobody");
    const nobody = await talk.online("nobody@localhost/x");
    expect((await query(nobody)).bodies).toEqual([]);
  });

  test("the acknowledgement waits for both copies", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    await alice.sends("<message to='bob@localhost'><body>x</body></message>");
    expect(alice.secured.length).toBe(2);
    await Promise.all(alice.secured);
  });

  const table: readonly (readonly [what: string, message: string, archived: boolean])[] = [
    ["a body", "<message to='bob@localhost' type='chat'><body>x</body></message>", true],
    ["a body of type normal", "<message to='bob@localhost'><body>x</body></message>", true],
    ["a headline", "<message to='bob@localhost' type='headline'><body>x</body></message>", false],
    ["an error", "<message to='bob@localhost' type='error'><body>x</body></message>", false],
    ["no-store", "<message to='bob@localhost'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>", false],
    [
      "no-permanent-store",
      "<message to='bob@localhost'><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>",
      false,
    ],
    ["store without a body", "<message to='bob@localhost'><store xmlns='urn:xmpp:hints'/></message>", true],
    [
      "a chat marker",
      "<message to='bob@localhost'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
      false,
    ],
    ["a receipt", "<message to='bob@localhost'><received xmlns='urn:xmpp:receipts' id='1'/></message>", false],
    [
      "a retraction",
      "<message to='bob@localhost' id='r'><retract xmlns='urn:xmpp:message-retract:1' id='1'/></message>",
      true,
    ],
    ["a subject alone", "<message to='bob@localhost'><subject>x</subject></message>", false],
  ];
  test("by type, body and hints", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    for (const [what, message, archived] of table) {
      const before = (await query(alice)).ids.length;
      await alice.sends(message);
      expect([what, (await query(alice)).ids.length - before]).toEqual([what, archived ? 1 : 0]);
    }
  });

  test("chat markers where the host says so", async () => {
    await start({ archive_chat_markers: true });
    const alice = await talk.online("alice@localhost/phone");
    await alice.sends("<message to='bob@localhost'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>");
    await alice.sends("<message to='bob@localhost'><markable xmlns='urn:xmpp:chat-markers:0'/></message>");
    expect((await query(alice)).ids.length).toBe(1);
  });

  test("messages of groups only where the host says so, each once", async () => {
    await start({ pm: { archive_groupchats: true } });
    const phone = await talk.online("alice@localhost/phone");
    const tablet = await talk.online("alice@localhost/tablet");
    for (const resource of ["phone", "tablet"]) {
      await talk.arrives(
        `<message from='room@muc.example/bob' to='alice@localhost/${resource}' type='groupchat' id='g1'><body>all</body><stanza-id xmlns='${sid}' id='room-1' by='room@muc.example'/></message>`,
      );
    }
    const [first] = await phone.takes();
    const [second] = await tablet.takes();
    const mine = (message: Element) =>
      message
        .childrenNamed("stanza-id", sid)
        .find((id) => id.attr("by") === "alice@localhost")!
        .attr("id");
    expect(mine(first!)).toBe(mine(second!));
    await talk.arrives(
      "<message from='room@muc.example/bob' to='alice@localhost/phone' type='groupchat' id='g0'><body>old</body><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/></message>",
    );
    await say(phone, "bob@localhost", "one");
    expect((await query(phone)).bodies).toEqual(["all", "one"]);
    expect((await query(phone, field("include-groupchat", "false"))).bodies).toEqual(["one"]);
    expect((await query(phone, field("include-groupchat", "true"))).bodies).toEqual(["all", "one"]);
  });

  test("without archives of users, mod_stanzaid gives the ids and queries are refused", async () => {
    await start({ muc: {} });
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await say(alice, "bob@localhost", "x");
    const [live] = await bob.takes();
    expect(live!.child("stanza-id", sid)!.attr("by")).toBe("bob@localhost");
    expect(await failure(query(bob))).toBe("service-unavailable");
  });
});

describe("filters", () => {
  async function history(): Promise<{ alice: Person; answer: Answer; times: number[] }> {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    const carol = await talk.online("carol@localhost/lap");
    const times: number[] = [];
    const say1 = async (person: Person, to: string, body: string) => {
      times.push(talk.clock.now());
      await say(person, to, body);
    };
    await say1(alice, "bob@localhost", "a1");
    await say1(bob, "alice@localhost", "b1");
    await say1(carol, "alice@localhost/phone", "c1");
    await say1(alice, "bob@localhost/desk", "a2");
    await say1(alice, "carol@localhost", "a3");
    return { alice, answer: await query(alice), times };
  }

  test("none: everything, in the order it happened", async () => {
    const { answer } = await history();
    expect(answer.bodies).toEqual(["a1", "b1", "c1", "a2", "a3"]);
    expect([answer.complete, answer.first, answer.last, answer.index, answer.count]).toEqual([
      true,
      answer.ids[0],
      answer.ids[4],
      "0",
      "5",
    ]);
  });

  test("by contact, bare and full", async () => {
    const { alice } = await history();
    expect((await query(alice, field("with", "bob@localhost"))).bodies).toEqual(["a1", "b1", "a2"]);
    expect((await query(alice, field("with", "bob@localhost/desk"))).bodies).toEqual(["b1", "a2"]);
    expect((await query(alice, field("with", "CAROL@localhost"))).bodies).toEqual(["c1", "a3"]);
    expect((await query(alice, field("with", "dave@localhost"))).bodies).toEqual([]);
  });

  test("by time, both ends included", async () => {
    const { alice, times } = await history();
    const at = (ms: number) => new Date(ms).toISOString();
    expect((await query(alice, field("start", at(times[3]!)))).bodies).toEqual(["a2", "a3"]);
    expect((await query(alice, field("end", at(times[1]! - 1)))).bodies).toEqual(["a1"]);
    expect((await query(alice, field("start", at(times[1]!)) + field("end", at(times[2]! + 50)))).bodies).toEqual([
      "b1",
      "c1",
    ]);
    expect((await query(alice, field("start", "1970-01-01T00:00:00Z"))).bodies.length).toBe(5);
    expect((await query(alice, field("end", "1970-01-01T00:00:00+01:00"))).bodies).toEqual([]);
  });

  test("by ids: before, after, and these very ones", async () => {
    const { alice, answer } = await history();
    const [, second, third, fourth] = answer.ids as [string, string, string, string];
    expect((await query(alice, field("after-id", second))).bodies).toEqual(["c1", "a2", "a3"]);
    expect((await query(alice, field("before-id", third))).bodies).toEqual(["a1", "b1"]);
    expect((await query(alice, field("after-id", second) + field("before-id", fourth))).bodies).toEqual(["c1"]);
    expect((await query(alice, field("ids", fourth, second))).bodies).toEqual(["b1", "a2"]);
  });

  test("an id that is not there is item-not-found, wherever it stands", async () => {
    const { alice } = await history();
    for (const id of ["1", "09af3-cc343-b409f", "99999999999999999999", ""]) {
      for (const name of ["before-id", "after-id", "ids"]) {
        expect(await failure(query(alice, field(name, id)))).toBe("item-not-found");
      }
      expect(await failure(query(alice, "", `<after>${id}</after>`))).toBe("item-not-found");
    }
    expect(await failure(query(alice, "", "<before>1</before>"))).toBe("item-not-found");
  });

  test("an id of somebody else's archive is not there", async () => {
    const { alice } = await history();
    const bob = await talk.online("bob@localhost/other");
    const his = await query(bob);
    expect(await failure(query(alice, field("ids", his.ids[0]!)))).toBe("item-not-found");
  });

  const bad: readonly (readonly [fields: string, condition: string])[] = [
    [field("{http://example.com/}stanza-content", "x"), "feature-not-implemented"],
    [field("with", "@@"), "jid-malformed"],
    [field("start", "yesterday"), "bad-request"],
    [field("end", "2010-13-01T00:00:00Z"), "bad-request"],
    [field("include-groupchat", "maybe"), "bad-request"],
    [field("with", "a@b") + field("with", "c@d"), "bad-request"],
    ["<field><value>x</value></field>", "bad-request"],
    [Array.from({ length: 40 }, (_, number) => field(`f${number}`, "x")).join(""), "policy-violation"],
    [field("ids", ...Array.from({ length: 600 }, (_, number) => String(number))), "policy-violation"],
  ];
  test("what is wrong with a form is said", async () => {
    const { alice } = await history();
    for (const [fields, condition] of bad) expect(await failure(query(alice, fields))).toBe(condition);
    expect(await failure(query(alice, "", "<max>many</max>"))).toBe("bad-request");
    await alice.sends(
      `<iq type='set' id='w'><query xmlns='${ns}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:other</value></field></x></query></iq>`,
    );
    const [wrong] = await alice.takes();
    expect(wrong!.child("error")!.elements()[0]!.name).toBe("bad-request");
  });

  test("somebody else's archive is forbidden, whatever is asked of it", async () => {
    const { alice } = await history();
    expect(await failure(query(alice, "", "", { to: "bob@localhost" }))).toBe("forbidden");
    expect(await failure(query(alice, "", "", { to: "nobody@localhost" }))).toBe("forbidden");
    for (const [type, name] of [
      ["get", "query"],
      ["get", "metadata"],
      ["get", "prefs"],
      ["set", "prefs"],
    ] as const) {
      await alice.sends(`<iq type='${type}' id='o' to='bob@localhost'><${name} xmlns='${ns}'/></iq>`);
      const [answer] = await alice.takes();
      expect([name, answer!.child("error")!.elements()[0]!.name]).toEqual([name, "forbidden"]);
    }
    await talk.arrives(
      `<iq type='set' id='s' from='eve@elsewhere.example/x' to='alice@localhost'><query xmlns='${ns}'/></iq>`,
    );
    await alice.receivesNothing();
  });

  test("the form says which fields there are", async () => {
    const { alice } = await history();
    await alice.sends(`<iq type='get' id='form'><query xmlns='${ns}'/></iq>`);
    await alice.receives(
      `<iq type='result' id='form' from='alice@localhost' to='alice@localhost/phone'><query xmlns='${ns}'><x xmlns='jabber:x:data' type='form'><field type='hidden' var='FORM_TYPE'><value>${ns}</value></field><field type='jid-single' var='with'/><field type='text-single' var='start'/><field type='text-single' var='end'/><field type='text-single' var='before-id'/><field type='text-single' var='after-id'/><field type='list-multi' var='ids'><validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:string'><open/></validate></field><field type='boolean' var='include-groupchat'/><field type='text-single' var='{urn:xmpp:fulltext:0}fulltext'/></x></query></iq>`,
    );
  });
});

describe("pages", () => {
  async function ten(
    options: Readonly<Record<string, unknown>> = {},
  ): Promise<{ alice: Person; ids: readonly string[] }> {
    await start(options);
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", ..."0123456789");
    const all = await query(alice, "", "<max>50</max>");
    return { alice, ids: all.ids };
  }

  test("forwards until complete", async () => {
    const { alice, ids } = await ten();
    const seen: string[] = [];
    let after = "";
    for (const [index, complete] of [
      ["0", false],
      ["4", false],
      ["8", true],
    ] as const) {
      const page = await query(alice, "", `<max>4</max>${after === "" ? "" : `<after>${after}</after>`}`);
      expect([page.index, page.count, page.complete]).toEqual([index, "10", complete]);
      expect([page.first, page.last]).toEqual([page.ids[0], page.ids.at(-1)]);
      seen.push(...page.ids);
      after = page.last!;
    }
    expect(seen).toEqual([...ids]);
    const beyond = await query(alice, "", `<max>4</max><after>${after}</after>`);
    expect([beyond.ids.length, beyond.complete, beyond.first, beyond.count]).toEqual([0, true, undefined, "10"]);
  });

  test("backwards from the end, each page in order", async () => {
    const { alice, ids } = await ten();
    const last = await query(alice, "", "<max>4</max><before/>");
    expect([last.bodies, last.complete, last.index, last.count]).toEqual([["6", "7", "8", "9"], false, "6", "10"]);
    const middle = await query(alice, "", `<max>4</max><before>${last.first}</before>`);
    expect([middle.bodies, middle.complete, middle.index]).toEqual([["2", "3", "4", "5"], false, "2"]);
    const begin = await query(alice, "", `<max>4</max><before>${middle.first}</before>`);
    expect([begin.bodies, begin.complete, begin.index]).toEqual([["0", "1"], true, "0"]);
    expect(begin.first).toBe(ids[0]);
  });

  test("a page that ends with the last message is complete", async () => {
    const { alice } = await ten();
    expect((await query(alice, "", "<max>10</max>")).complete).toBe(true);
    expect((await query(alice, "", "<max>9</max>")).complete).toBe(false);
  });

  test("flipped pages hold the same messages in reverse order", async () => {
    const { alice } = await ten();
    const page = await query(alice, "", "<max>3</max><before/>", { extra: "<flip-page/>" });
    expect(page.bodies).toEqual(["9", "8", "7"]);
    expect([page.first, page.last]).toEqual([page.ids[2], page.ids[0]]);
  });

  test("by place, and only the number", async () => {
    const { alice } = await ten();
    const page = await query(alice, "", "<max>3</max><index>5</index>");
    expect([page.bodies, page.index, page.count]).toEqual([["5", "6", "7"], "5", "10"]);
    const none = await query(alice, "", "<max>0</max>");
    expect([none.bodies, none.first, none.count, none.complete]).toEqual([[], undefined, "10", false]);
    expect(await failure(query(alice, "", "<max>3</max><index>50000</index>"))).toBe("feature-not-implemented");
  });

  test("no page is larger than the host allows, whatever the client wants", async () => {
    const { alice } = await ten({ max_result_limit: 5, default_result_limit: 3 });
    expect((await query(alice)).bodies).toEqual(["0", "1", "2"]);
    expect((await query(alice, "", "<max>1000000</max>")).bodies.length).toBe(5);
  });

  test("a page ends where it has text enough, and the next one goes on there", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    for (const name of ["a", "b", "c", "d"]) {
      await alice.sends(`<message to='bob@localhost' type='chat'><body>${name.repeat(400_000)}</body></message>`);
      await talk.clock.advance(100);
    }
    const page = async (set: string) => {
      const { bodies, ids, complete, index } = await query(alice, "", set);
      return { names: bodies.map((body) => body[0]).join(""), ids, complete, index };
    };
    const first = await page("");
    expect(first).toMatchObject({ names: "ab", complete: false, index: "0" });
    expect(await page(`<after>${first.ids[1]}</after>`)).toMatchObject({ names: "cd", complete: true, index: "2" });
    const last = await page("<before/>");
    expect(last).toMatchObject({ names: "cd", complete: false, index: "2" });
    expect(await page(`<before>${last.ids[0]}</before>`)).toMatchObject({ names: "ab", complete: true, index: "0" });
  });

  test("the count is of what the form matches", async () => {
    const { alice, ids } = await ten();
    const page = await query(alice, field("after-id", ids[3]!), "<max>2</max>");
    expect([page.bodies, page.index, page.count]).toEqual([["4", "5"], "0", "6"]);
  });

  test("where counting is off, pages come without", async () => {
    const { alice } = await ten({ enforce_simple_queries: true });
    const page = await query(alice, "", "<max>2</max>");
    expect([page.bodies.length, page.index, page.count]).toEqual([2, undefined, undefined]);
    const own = await ten();
    const simple = await query(own.alice, field("simple", "true"), "<max>2</max>");
    expect(simple.count).toBeUndefined();
  });

  test("metadata: where the archive begins and ends; an empty one says nothing", async () => {
    const { alice, ids } = await ten();
    await alice.sends(`<iq type='get' id='m'><metadata xmlns='${ns}'/></iq>`);
    const [answer] = await alice.takes();
    const metadata = answer!.child("metadata", ns)!;
    expect([metadata.child("start")!.attr("id"), metadata.child("end")!.attr("id")]).toEqual([ids[0], ids[9]]);
    expect(Date.parse(metadata.child("end")!.attr("timestamp")!)).toBeLessThanOrEqual(talk.clock.now());
    const carol = await talk.online("carol@localhost/x");
    await carol.sends(`<iq type='get' id='m'><metadata xmlns='${ns}'/></iq>`);
    await carol.receives(
      `<iq type='result' id='m' from='carol@localhost' to='carol@localhost/x'><metadata xmlns='${ns}'/></iq>`,
    );
  });
});
