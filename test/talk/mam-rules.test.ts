/** mod_mam by conversation: search, retraction, preferences, offline messages, cleaning (XEP-0424, 0431, 0441, 0386). */
import { afterEach, describe, expect, test } from "bun:test";
import { carbons } from "../../src/modules/carbons.ts";
import { disco } from "../../src/modules/disco.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { offlineStub } from "../../src/modules/offline-stub.ts";
import { stanzaId } from "../../src/modules/stanza-id.ts";
import { failure, field, messageIn, mamNs as ns, query } from "../support/archive-talk.ts";
import { Conversation, type ConversationOptions, type Person } from "../support/conversation.ts";

const sid = "urn:xmpp:sid:0";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

async function start(
  options: Readonly<Record<string, unknown>> = {},
  more: Partial<ConversationOptions> = {},
): Promise<void> {
  talk = await Conversation.start({
    modules: [stanzaId, mam, carbons, offlineStub],
    ...more,
    options: { mod_mam: options, ...more.options },
  });
}

/** Sends numbered messages a second apart. */
async function say(person: Person, to: string, ...bodies: string[]): Promise<void> {
  for (const body of bodies) {
    await person.sends(`<message to='${to}' type='chat' id='id-${body}'><body>${body}</body></message>`);
    await talk.clock.advance(100);
  }
}

describe("search (XEP-0431)", () => {
  const fulltext = "{urn:xmpp:fulltext:0}fulltext";

  test("finds messages with all the words, in any order, case and accent", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    for (const body of ["Fish and chips", "Chips without fish", "Crème brûlée", "東京都"]) {
      await alice.sends(`<message to='bob@localhost'><body>${body}</body></message>`);
    }
    await alice.sends("<message to='carol@localhost'><body>Fish &amp; chips &lt;3</body></message>");
    const search = async (text: string, more = "") => (await query(alice, field(fulltext, text) + more)).bodies;
    expect(await search("CHIPS fish")).toEqual(["Fish and chips", "Chips without fish", "Fish & chips <3"]);
    expect(await search("fish", field("with", "carol@localhost"))).toEqual(["Fish & chips <3"]);
    expect(await search("creme")).toEqual(["Crème brûlée"]);
    expect(await search("東京")).toEqual(["東京都"]);
    expect(await search("and")).toEqual(["Fish and chips"]);
    expect(await search("fis")).toEqual([]);
    expect(await search("lt amp")).toEqual([]);
    expect(await search("' OR 1=1 | &amp; ! : *")).toEqual([]);
    expect(await search("!?")).toEqual([]);
    const page = await query(alice, field(fulltext, "fish"), "<max>1</max><before/>");
    expect([page.bodies, page.count, page.index]).toEqual([["Fish & chips <3"], undefined, undefined]);
    expect((await query(alice, field(fulltext, "fish"), "<max>0</max>")).count).toBe("3");
    expect((await query(alice, field(fulltext, "fish"))).count).toBe("3");
  });

  test("finds nothing of others", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const carol = await talk.online("carol@localhost/x");
    await say(alice, "bob@localhost", "secret");
    expect((await query(carol, field(fulltext, "secret"))).bodies).toEqual([]);
  });

  test("where it is off, the field is not known", async () => {
    await start({ full_text_search: false });
    const alice = await talk.online("alice@localhost/phone");
    expect(await failure(query(alice, field(fulltext, "x")))).toBe("feature-not-implemented");
  });
});

describe("retraction (XEP-0424)", () => {
  const retract = "urn:xmpp:message-retract:1";

  test("leaves a tombstone in both archives, which names the retraction", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await say(alice, "bob@localhost", "wrong", "right");
    const before = await query(bob);
    await alice.sends(
      `<message to='bob@localhost' type='chat' id='r1'><retract xmlns='${retract}' id='id-wrong'/><body>/me took it back</body></message>`,
    );
    for (const person of [alice, bob]) {
      const after = await query(person);
      expect(after.bodies).toEqual(["", "right", "/me took it back"]);
      const stone = messageIn(after.results[0]!);
      expect(stone.elements().map((element) => element.name)).toEqual(["retracted"]);
      expect([stone.attr("id"), stone.attr("from")]).toEqual(["id-wrong", "alice@localhost/phone"]);
      const retracted = stone.child("retracted", retract)!;
      expect(retracted.attr("id")).toBe("r1");
      expect(Number.isNaN(Date.parse(retracted.attr("stamp")!))).toBe(false);
      expect((await query(person, field("{urn:xmpp:fulltext:0}fulltext", "wrong"))).bodies).toEqual([]);
    }
    expect((await query(bob)).ids.slice(0, 2)).toEqual([...before.ids]);
  });

  test("of somebody else's message does nothing", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    const carol = await talk.online("carol@localhost/x");
    await say(alice, "bob@localhost", "mine");
    await bob.sends(`<message to='alice@localhost' id='r1'><retract xmlns='${retract}' id='id-mine'/></message>`);
    await carol.sends(`<message to='bob@localhost' id='r2'><retract xmlns='${retract}' id='id-mine'/></message>`);
    expect((await query(alice)).bodies).toEqual(["mine", ""]);
    expect((await query(bob)).bodies).toEqual(["mine", "", ""]);
    // An occupant's private message has the room's bare address, and is still his alone.
    const muc = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    await talk.arrives(
      `<message from='room@muc.example/eve' to='carol@localhost/x' type='chat' id='p'><body>psst</body>${muc}</message>`,
    );
    await talk.arrives(
      `<message from='room@muc.example/mallory' to='carol@localhost/x' type='chat' id='q'><retract xmlns='${retract}' id='p'/>${muc}</message>`,
    );
    expect((await query(carol, field("with", "room@muc.example"))).bodies).toEqual(["psst", ""]);
    await talk.arrives(
      `<message from='room@muc.example/eve' to='carol@localhost/x' type='chat' id='s'><retract xmlns='${retract}' id='p'/>${muc}</message>`,
    );
    expect((await query(carol, field("with", "room@muc.example"))).bodies).toEqual(["", "", ""]);
  });

  test("where it is off, the retraction is archived and nothing is replaced", async () => {
    await start({ message_retraction: false });
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "stays");
    await alice.sends(`<message to='bob@localhost' id='r1'><retract xmlns='${retract}' id='id-stays'/></message>`);
    expect((await query(alice)).bodies).toEqual(["stays", ""]);
  });
});

describe("preferences (XEP-0441)", () => {
  const prefs = (behaviour: string, always = "", never = "") =>
    `<prefs xmlns='${ns}' default='${behaviour}'><always>${always}</always><never>${never}</never></prefs>`;
  const set = async (person: Person, element: string) => {
    await person.takes();
    await person.sends(`<iq type='set' id='p'>${element}</iq>`);
    const [answer] = await person.takes();
    return answer!;
  };

  test("are refused where the host keeps none", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    const answer = await set(alice, prefs("never"));
    expect(answer.child("error")!.elements()[0]!.name).toBe("feature-not-implemented");
  });

  test("are kept, and told as they are kept", async () => {
    await start({ user_prefs_store: "rdbms" });
    const alice = await talk.online("alice@localhost/phone");
    await alice.sends(`<iq type='get' id='g'><prefs xmlns='${ns}'/></iq>`);
    await alice.receives(
      `<iq type='result' id='g' from='alice@localhost' to='alice@localhost/phone'>${prefs("always")}</iq>`,
    );
    const wanted = prefs("roster", "<jid>Bob@localhost</jid><jid>bob@localhost</jid>", "<jid>carol@localhost/x</jid>");
    const kept = prefs("roster", "<jid>bob@localhost</jid>", "<jid>carol@localhost/x</jid>");
    await alice.sends(`<iq type='set' id='s'>${wanted}</iq>`);
    await alice.receives(`<iq type='result' id='s' from='alice@localhost' to='alice@localhost/phone'>${kept}</iq>`);
    await alice.sends(`<iq type='get' id='g'><prefs xmlns='${ns}'/></iq>`);
    await alice.receives(`<iq type='result' id='g' from='alice@localhost' to='alice@localhost/phone'>${kept}</iq>`);
  });

  test("decide by full address, bare address, contact list", async () => {
    const item = { jid: "", name: "", subscription: "none", groups: [], ask: false } as const;
    await start(
      { user_prefs_store: "rdbms" },
      {
        answers: {
          rosterItem: (_account, contact) => (contact.local === "bob" ? { ...item, jid: contact.bare } : undefined),
        },
      },
    );
    const alice = await talk.online("alice@localhost/phone");
    const archived = async (to: string) => {
      const before = (await query(alice)).ids.length;
      await alice.sends(`<message to='${to}'><body>x</body></message>`);
      return (await query(alice)).ids.length > before;
    };
    await set(alice, prefs("never"));
    expect(await archived("bob@localhost")).toBe(false);
    await set(alice, prefs("roster"));
    expect([await archived("bob@localhost/x"), await archived("carol@localhost")]).toEqual([true, false]);
    await set(alice, prefs("never", "<jid>bob@localhost</jid>", "<jid>bob@localhost/private</jid>"));
    expect([await archived("bob@localhost/x"), await archived("bob@localhost/private")]).toEqual([true, false]);
    await set(alice, prefs("always", "", "<jid>bob@localhost</jid>"));
    expect([await archived("bob@localhost/x"), await archived("carol@localhost")]).toEqual([false, true]);
  });

  test("count for what comes as well, and a message that is not wanted bears no id", async () => {
    await start({ user_prefs_store: "rdbms" });
    const alice = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await set(bob, prefs("never"));
    await say(alice, "bob@localhost", "x");
    await bob.receives(
      "<message from='alice@localhost/phone' to='bob@localhost' type='chat' id='id-x'><body>x</body></message>",
    );
    expect((await query(bob)).ids).toEqual([]);
    expect((await query(alice)).ids.length).toBe(1);
  });

  test("that are none are refused", async () => {
    await start({ user_prefs_store: "rdbms" });
    const alice = await talk.online("alice@localhost/phone");
    const many = Array.from({ length: 1_001 }, (_, number) => `<jid>user${number}@localhost</jid>`).join("");
    for (const [element, condition] of [
      [prefs("sometimes"), "bad-request"],
      [`<prefs xmlns='${ns}'/>`, "bad-request"],
      [prefs("always", "<jid>@</jid>"), "jid-malformed"],
      [prefs("always", many), "policy-violation"],
    ] as const) {
      expect((await set(alice, element)).child("error")!.elements()[0]!.name).toBe(condition);
    }
  });
});

describe("offline messages", () => {
  const both = { modules: [stanzaId, mam, carbons, offline] };

  test("come as they always did to who has not read the archive, with the archive's id", async () => {
    await start({}, both);
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one", "two");
    const bob = await talk.online("bob@localhost/desk");
    const got = await bob.takes();
    expect(got.map((message) => message.childText("body"))).toEqual(["one", "two"]);
    const ids = got.map((message) => message.child("stanza-id", sid)!.attr("id")!);
    expect((await query(bob)).ids).toEqual(ids);
  });

  test("do not come again to who has read them in the archive first", async () => {
    await start({}, both);
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one", "two", "three");
    const bob = await talk.login("bob@localhost/desk");
    const first = await query(bob, "", "<max>2</max>");
    await query(bob, "", `<max>2</max><after>${first.last}</after>`);
    await say(alice, "bob@localhost", "four");
    await bob.sends("<presence/>");
    expect((await bob.takes()).map((message) => message.childText("body"))).toEqual(["four"]);
    await talk.clock.advance(11_000);
    await bob.leaves();
    const again = await talk.online("bob@localhost/desk");
    await again.receivesNothing();
  });

  test("come where a page is missing, or the reading was of one contact", async () => {
    await start({}, both);
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one", "two", "three");
    const bob = await talk.login("bob@localhost/desk");
    await query(bob, field("with", "alice@localhost"));
    await query(bob, "", "<max>1</max><before/>");
    await bob.sends("<presence/>");
    expect((await bob.takes()).map((message) => message.childText("body"))).toEqual(["one", "two"]);
  });

  const metadataOf = async (person: Person) => (await talk.host.registry.boundDescriptions[0]!(person.session))!.text;
  const bodies = async (person: Person) => (await person.takes()).map((message) => message.childText("body"));

  test("do not come to who was told the state of the archive while binding, and reads it (XEP-0386)", async () => {
    await start({}, both);
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one");
    await alice.sends(
      "<message to='bob@localhost'><body>fleeting</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>",
    );
    const bob = await talk.login("bob@localhost/desk");
    const metadata = await metadataOf(bob);
    await bob.sends("<presence/>");
    await bob.receivesNothing();
    await bob.sends(`<iq type='set' id='q'><query xmlns='${ns}'/></iq>`);
    const [result, fin, message, ...more] = await bob.takes();
    expect(metadata).toContain(`<end id='${result!.child("result", ns)!.attr("id")}'`);
    expect(fin!.attr("type")).toBe("result");
    expect([message!.childText("body"), more.length]).toEqual(["fleeting", 0]);
  });

  test("come a little later to who was told of the archive and does not read it", async () => {
    await start({}, both);
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one");
    const bob = await talk.login("bob@localhost/desk");
    await metadataOf(bob);
    await bob.sends("<presence/>");
    await say(alice, "bob@localhost", "two");
    await bob.receivesNothing();
    await talk.clock.advance(2_000);
    expect(await bodies(bob)).toEqual(["one", "two"]);
  });
});

describe("the house", () => {
  test("says in service discovery what archives can do", async () => {
    await start({}, { modules: [mam, disco] });
    const alice = await talk.online("alice@localhost/phone");
    await alice.sends(
      "<iq type='get' id='d' to='alice@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    const [answer] = await alice.takes();
    const features = answer!
      .elements()[0]!
      .elements()
      .map((element) => element.attr("var"));
    for (const feature of [
      ns,
      `${ns}#extended`,
      `${ns}#groupchat-field`,
      "urn:xmpp:fulltext:0",
      sid,
      "urn:xmpp:message-retract:1",
      "urn:xmpp:message-retract:1#tombstone",
    ]) {
      expect(features).toContain(feature);
    }
    expect(features).not.toContain(`${ns}#groupchat-available`);
  });

  test("removes an archive with its account, and tells everything it keeps of one", async () => {
    await start({ user_prefs_store: "rdbms" });
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one", "two");
    await alice.sends(`<iq type='set' id='s'><prefs xmlns='${ns}' default='always'/></iq>`);
    const account = alice.session.account;
    const tables = (await talk.host.registry.askAll("personalData", account)).flat();
    const rows: (string | number | null)[][] = [];
    for await (const row of tables.find(({ name }) => name === "archive")!.rows()) rows.push([...row]);
    expect(rows.map((row) => row[2])).toEqual(["bob@localhost", "bob@localhost"]);
    expect(rows[0]![3]).toContain("<body>one</body>");
    for (const removed of talk.host.registry.accounts.removed) await removed(account);
    expect((await query(alice)).ids).toEqual([]);
    for (const table of ["archive_messages", "archive_preferences"]) {
      const left = await talk.store.db
        .selectFrom(table)
        .select("owner")
        .where("owner", "=", "alice@localhost")
        .execute();
      expect(left).toEqual([]);
    }
    const bob = await talk.online("bob@localhost/desk");
    expect((await query(bob)).bodies).toEqual(["one", "two"]);
  });

  test("gives the newest messages to its administration", async () => {
    await start();
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", "one", "two");
    await say(alice, "carol@localhost", "three");
    const archive = talk.host.registry.service("archive")!;
    const bodies = async (options: Parameters<typeof archive.last>[1]) =>
      (await archive.last(alice.session.account, options)).map(({ stanza }) => stanza.text("body"));
    expect(await bodies({ limit: 2 })).toEqual(["two", "three"]);
    expect(await bodies({ limit: 5, with: (await talk.login("bob@localhost/x")).session.account })).toEqual([
      "one",
      "two",
    ]);
    expect(await bodies({ limit: 5, before: talk.clock.now() - 150 })).toEqual(["one", "two"]);
  });

  test("removes what is too old or too much", async () => {
    await start({ max_age: 1, pm: { max_messages: 3 }, cleanup_interval: 1 });
    const alice = await talk.online("alice@localhost/phone");
    await say(alice, "bob@localhost", ..."abcdef");
    await talk.clock.advance(70_000);
    expect((await query(alice)).bodies).toEqual(["d", "e", "f"]);
    const bob = await talk.online("bob@localhost/desk");
    expect((await query(bob)).bodies).toEqual(["d", "e", "f"]);
  });
});
