/** What is said in a room: to whom it goes, what is kept of it, and who may read that. */
import { expect, test } from "bun:test";
import { carbons } from "../../../src/modules/carbons.ts";
import { inbox } from "../../../src/modules/inbox/inbox.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { offline } from "../../../src/modules/offline/offline.ts";
import { mamNs, messageIn } from "../../support/archive-talk.ts";
import type { Person } from "../../support/conversation.ts";
import {
  affiliations,
  configuration,
  creation,
  den,
  hears,
  hearsOf,
  light,
  online,
  request,
  room,
  say,
  service,
  start,
  user,
} from "./rooms.ts";

test("everybody in the room gets what is said, its speaker too, with its id and from his address there", async () => {
  const { talk, alice, bob, carol } = await den();
  await bob.sends(
    `<message type='groupchat' id='m1' to='${room}' xml:lang='en'><body>Harpier cries</body><thread>t</thread></message>`,
  );
  for (const name of ["alice", "bob"]) {
    await (name === "alice" ? alice : bob).receives(
      `<message from='${room}/bob@localhost' to='${name}@localhost' type='groupchat' id='m1' xml:lang='en'><body>Harpier cries</body><thread>t</thread></message>`,
    );
  }
  await carol.receivesNothing();
  await talk.stop();
});

test("all devices of everybody get it that are there, once each, but none that wants no messages", async () => {
  const { talk, alice, bob } = await den({}, { modules: [carbons] });
  const second = await online(talk, "bob@localhost/second", 5);
  const shy = await online(talk, "bob@localhost/shy", -1);
  const silent = await talk.login("bob@localhost/silent");
  await second.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  for (const person of talk.people) await person.takes();
  await alice.sends(say("hello"));
  expect([await hears(bob), await hears(second)]).toEqual([
    ["alice@localhost says hello"],
    ["alice@localhost says hello"],
  ]);
  expect([await hears(shy), await hears(silent)]).toEqual([[], []]);
  await talk.stop();
});

test("who is away misses nothing he could be told: no error comes back, and nothing waits for him", async () => {
  const { talk, alice, bob } = await den({}, { modules: [offline] });
  await bob.leaves();
  await alice.sends(affiliations(user("nobody", "member")));
  await alice.takes();
  await alice.sends(say("hello"));
  expect(await hears(alice)).toEqual(["alice@localhost says hello"]);
  const again = await talk.online("bob@localhost/pc");
  expect((await again.takes()).map(({ name }) => name)).toEqual(["presence"]);
  await talk.stop();
});

test("a message without an id is given one", async () => {
  const { talk, alice } = await den();
  await alice.sends(`<message type='groupchat' to='${room}'><body>hello</body></message>`);
  await alice.receives(
    `<message from='${room}/alice@localhost' to='alice@localhost' type='groupchat' id='*'><body>hello</body></message>`,
  );
  await talk.stop();
});

test("what is no message to a room of one's own is refused", async () => {
  const { talk, alice, bob, carol } = await den();
  await carol.sends(say("let me in"));
  await carol.sends(say("is anybody there?", `nowhere@${service}`));
  expect(await hears(carol)).toEqual(["message error item-not-found", "message error item-not-found"]);
  const tries = [
    `<message type='chat' to='${room}'><body>x</body></message>`,
    `<message to='${room}'><body>x</body></message>`,
    `<message type='groupchat' to='${room}/bob@localhost'><body>x</body></message>`,
    `<message type='chat' to='${room}/bob@localhost'><body>x</body></message>`,
    `<message type='groupchat' to='${service}'><body>x</body></message>`,
  ];
  for (const one of tries) await alice.sends(one);
  expect(await hears(alice)).toEqual(tries.map(() => "message error bad-request"));
  expect(await hears(bob)).toEqual([]);
  await talk.stop();
});

test("presence and errors change nothing", async () => {
  const { talk, alice, bob } = await den();
  await alice.sends(`<presence to='${room}/alice@localhost'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  await alice.sends(`<presence to='${room}' type='unavailable'/>`);
  await alice.sends(`<presence to='${service}'/>`);
  await alice.sends(`<message to='${room}' type='error' id='x'><body>x</body></message>`);
  await alice.sends(`<iq to='${room}' type='result' id='x'/>`);
  expect([await hears(alice), await hears(bob)]).toEqual([[], []]);
  await alice.sends(say("still here"));
  expect(await hears(bob)).toEqual(["alice@localhost says still here"]);
  await talk.stop();
});

test("nobody speaks for the room: notices, ids and delays of a message are taken out", async () => {
  const { talk, bob, alice } = await den();
  await bob.sends(
    `<message type='groupchat' id='m1' to='${room}'><body>look</body><x xmlns='${light}#affiliations'><user affiliation='owner'>bob@localhost</user></x><x xmlns='${light}#configuration'><subject>x</subject></x><x xmlns='${light}#destroy'/><stanza-id xmlns='urn:xmpp:sid:0' by='${room}' id='1'/><stanza-id xmlns='urn:xmpp:sid:0' by='other@x' id='2'/><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/><mine xmlns='urn:x'/></message>`,
  );
  await alice.receives(
    `<message from='${room}/bob@localhost' to='alice@localhost' type='groupchat' id='m1'><body>look</body><stanza-id xmlns='urn:xmpp:sid:0' by='other@x' id='2'/><mine xmlns='urn:x'/></message>`,
  );
  await talk.stop();
});

test("messages of groups of other servers are refused, as ever", async () => {
  const { talk, bob } = await den();
  await talk.arrives(
    "<message from='room@elsewhere.example/x' to='bob@localhost' type='groupchat'><body>x</body></message>",
  );
  await bob.receivesNothing();
  await talk.stop();
});

// The archive.

interface Entry {
  readonly id: string;
  readonly line: string;
}

async function history(person: Person, to = room): Promise<Entry[]> {
  await person.sends(`<iq type='set' id='q' to='${to}'><query xmlns='${mamNs}'/></iq>`);
  const got = await person.takes();
  expect(got.at(-1)!.attr("type")).toBe("result");
  return got.slice(0, -1).map((message) => {
    const result = message.child("result", mamNs)!;
    const kept = messageIn(result);
    expect(kept.attr("to")).toBeUndefined();
    const x = kept.child("x", `${light}#affiliations`) ?? kept.child("x", `${light}#configuration`);
    const what =
      kept.childText("body") ||
      (x === undefined
        ? ""
        : x
            .elements()
            .map((each) => `${each.name}:${each.text()}`)
            .join(" "));
    return { id: result.attr("id")!, line: `${kept.attr("from")!.slice(room.length)} ${what}`.trim() };
  });
}

const stanzaIds = (message: {
  child(name: string, ns: string): { attr(name: string): string | undefined } | undefined;
}) => message.child("stanza-id", "urn:xmpp:sid:0")?.attr("id");

test("the archive has the beginning, what was said and what changed, under the ids that everybody was told", async () => {
  const talk = await start({}, { modules: [mam] });
  const alice = await online(talk, "alice@localhost/phone");
  const bob = await online(talk, "bob@localhost/pc");
  await alice.sends(creation(user("bob", "member")));
  await alice.sends(say("hello"));
  await alice.sends(configuration("<subject>tea</subject>"));
  await alice.sends(affiliations(user("carol", "member")));
  await alice.sends(
    `<message type='groupchat' id='m2' to='${room}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
  );
  const seen = (await bob.takes()).map(stanzaIds);
  const kept = await history(bob);
  expect(kept.map(({ line }) => line.replace(/random\d+/g, "v"))).toEqual([
    "version:v user:alice@localhost user:bob@localhost",
    "/alice@localhost hello",
    "version:v subject:tea",
    "version:v user:carol@localhost",
  ]);
  expect(seen).toEqual([...kept.map(({ id }) => id), undefined]);
  expect(alice.secured.length).toBe(4);
  await Promise.all(alice.secured);
  await talk.stop();
});

test("nobody but occupants reads it, and it ends with the room", async () => {
  const { talk, alice, bob, carol } = await den({}, { modules: [mam] });
  await alice.sends(say("among us"));
  await carol.sends(`<iq type='set' id='q' to='${room}'><query xmlns='${mamNs}'/></iq>`);
  await carol.sends(`<iq type='get' id='q' to='${room}'><metadata xmlns='${mamNs}'/></iq>`);
  await carol.sends(`<iq type='set' id='q' to='${service}'><query xmlns='${mamNs}'/></iq>`);
  expect(await hears(carol)).toEqual([
    "iq error item-not-found",
    "iq error item-not-found",
    "iq error service-unavailable",
  ]);
  await bob.sends(affiliations(user("bob", "none")));
  await bob.takes();
  await bob.sends(`<iq type='set' id='q' to='${room}'><query xmlns='${mamNs}'/></iq>`);
  expect(await hears(bob)).toEqual(["iq error item-not-found"]);
  await alice.sends(request("set", "destroy"));
  await carol.sends(creation(""));
  await carol.takes();
  expect((await history(carol)).map(({ line }) => line.replace(/random\d+/g, "v"))).toEqual([
    "version:v user:carol@localhost",
  ]);
  await talk.stop();
});

test("with archive_groupchats the users' own archives have it too, marked as a group's", async () => {
  const { talk, alice, bob } = await den(
    {},
    {
      modules: [mam],
      options: { mod_mam: { pm: { archive_groupchats: true }, muc: {} } },
    },
  );
  await alice.sends(say("hello"));
  const [live] = await bob.takes();
  expect(live!.childrenNamed("stanza-id", "urn:xmpp:sid:0").map((each) => each.attr("by"))).toEqual([
    room,
    "bob@localhost",
  ]);
  await bob.sends(
    `<iq type='set' id='q'><query xmlns='${mamNs}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${mamNs}</value></field><field var='with'><value>${room}</value></field></x></query></iq>`,
  );
  const bodies = (await bob.takes())
    .slice(0, -1)
    .map((each) => messageIn(each.child("result", mamNs)!).childText("body"));
  expect(bodies.at(-1)).toBe("hello");
  await talk.stop();
});

test("archives are kept short also where rooms have a domain that is not the host's", async () => {
  const address = "den@rooms.example";
  const options = { mod_mam: { cleanup_interval: 1, muc: { max_messages: 2 } } };
  const talk = await start({ host: "rooms.example" }, { modules: [mam], options });
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(creation("", "", address));
  for (const text of ["one", "two", "three"]) {
    await alice.sends(say(text, address));
    await talk.clock.advance(100);
  }
  await alice.takes();
  await talk.clock.advance(70_000);
  expect((await history(alice, address)).map(({ line }) => line.split(" ").at(-1))).toEqual(["two", "three"]);
  await talk.stop();
});

test("an inbox counts what others say, and loses a room with its owner's word", async () => {
  const { talk, alice, bob } = await den({}, { modules: [mam, inbox] });
  const unread = async () => {
    await bob.sends("<iq type='set' id='i'><inbox xmlns='erlang-solutions.com:xmpp:inbox:0'/></iq>");
    const results = (await bob.takes()).flatMap(
      (each) => each.child("result", "erlang-solutions.com:xmpp:inbox:0") ?? [],
    );
    return results.map((result) => Number(result.attr("unread")));
  };
  // He was added.
  expect(await unread()).toEqual([1]);
  await bob.sends(say("hello"));
  expect(await unread()).toEqual([0]);
  await alice.sends(say("one"));
  await alice.sends(say("two"));
  await alice.sends(configuration("<subject>tea</subject>"));
  expect(await unread()).toEqual([2]);
  await alice.sends(affiliations(user("bob", "none")));
  expect(await unread()).toEqual([]);
  await talk.stop();
});

test("without an archive rooms have none", async () => {
  const { talk, alice } = await den();
  await alice.sends(`<iq type='set' id='q' to='${room}'><query xmlns='${mamNs}'/></iq>`);
  expect(await hearsOf(alice)).toEqual(["iq error service-unavailable"]);
  await talk.stop();
});
