/** mod_inbox and rooms: XEP-0045 rooms through what they tell, MUC Light through what it sends to each of its people. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import { field, inboxOf, lastIn, sets } from "../support/inbox-talk.ts";
import { adminSet, configure, enter, inRoom, room, say } from "./muc/rooms.ts";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

const modules = [inbox as ModuleDefinition];
const mark = (to: string, id: string) =>
  `<message to='${to}' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='${id}'/></message>`;

describe("rooms", () => {
  /** Alice owns the room; Bob and Carol are members, Bob is in it; Dave is in it and no member. */
  async function den(options: object = { groupchat: ["muc"] }, more: readonly ModuleDefinition[] = [], rooms = {}) {
    const there = await inRoom(rooms, { modules: [...more, ...modules], options: { mod_inbox: { ...options } } });
    talk = there.talk;
    const dave = await talk.login("dave@localhost/pc");
    await dave.sends(enter("Dave"));
    for (const name of ["bob", "carol"]) {
      await there.alice.sends(adminSet(`<item affiliation='member' jid='${name}@localhost'/>`));
    }
    return { ...there, carol: await talk.login("carol@localhost/pc"), dave };
  }

  test("everybody affiliated has what is said, in the room or not; the speaker has read it", async () => {
    const { alice, bob, carol, dave } = await den();
    await bob.sends(say("hello"));
    for (const [person, unread] of [
      [alice, 1],
      [bob, 0],
      [carol, 1],
    ] as const) {
      const { lines, results } = await inboxOf(person);
      expect(lines).toEqual([`${room} ${unread} hello`]);
      const last = lastIn(results[0]!);
      expect([last.attr("from"), last.attr("to")]).toEqual([`${room}/Bob`, person.session.account.bare]);
    }
    expect((await inboxOf(dave)).lines).toEqual([]);
    await dave.sends(say("and I"));
    expect((await inboxOf(alice)).lines).toEqual([`${room} 2 and I`]);
    expect((await inboxOf(bob)).lines).toEqual([`${room} 1 and I`]);
  });

  test("a marker in the room is its sender's alone, by the message's id or the room's", async () => {
    const { alice, bob, carol } = await den({ groupchat: ["muc"] }, [mam as ModuleDefinition]);
    await alice.sends(say("hello"));
    const given = (await bob.takes()).at(-1)!.child("stanza-id", "urn:xmpp:sid:0")!.attr("id")!;
    await bob.sends(mark(room, given));
    expect((await inboxOf(bob)).lines).toEqual([`${room} 0 hello`]);
    expect((await inboxOf(carol)).lines).toEqual([`${room} 1 hello`]);
    await carol.sends(enter("Carol"));
    await carol.sends(mark(room, "another"));
    expect((await inboxOf(carol)).lines).toEqual([`${room} 1 hello`]);
    await carol.sends(mark(room, "m1"));
    expect((await inboxOf(carol)).lines).toEqual([`${room} 0 hello`]);
    // Markers are no messages, so nobody has more to read.
    expect((await inboxOf(alice)).lines).toEqual([`${room} 0 hello`]);
  });

  test("history, subjects and configurations count nothing; the acknowledgement waits for all counts", async () => {
    const { alice, bob, carol } = await den();
    alice.secured.length = 0;
    await alice.sends(say("hello"));
    expect(alice.secured.length).toBeGreaterThan(0);
    await alice.sends(`<message type='groupchat' to='${room}'><subject>tea</subject></message>`);
    await alice.sends(configure({ "muc#roomconfig_roomname": "Den" }));
    await carol.sends(enter("Carol"));
    expect((await inboxOf(carol)).lines).toEqual([`${room} 1 hello`]);
    expect((await inboxOf(bob)).lines).toEqual([`${room} 1 hello`]);
  });

  test("a private message is one to one with the room, once for all devices", async () => {
    const { alice, bob } = await den({}, [], { default_room: { allow_multiple_sessions: true } });
    const tablet = await talk.login("bob@localhost/tablet");
    await tablet.sends(enter("Bob"));
    await alice.sends(`<message type='chat' id='p1' to='${room}/Bob'><body>psst</body></message>`);
    expect((await tablet.takes()).at(-1)!.childText("body")).toBe("psst");
    expect((await inboxOf(bob)).lines).toEqual([`${room} 1 psst`]);
    expect((await inboxOf(alice)).lines).toEqual([`${room} 0 psst`]);
  });

  test("who was banned hears no more of it, and without the option nobody does", async () => {
    const { alice, bob, carol } = await den();
    await alice.sends(adminSet("<item affiliation='outcast' jid='carol@localhost'/>"));
    await alice.sends(say("without her"));
    expect((await inboxOf(carol)).lines).toEqual([]);
    expect((await inboxOf(bob)).lines).toHaveLength(1);
    await talk.stop();
    const quiet = await den({ groupchat: ["muclight"] });
    await quiet.alice.sends(say("hello"));
    expect((await inboxOf(quiet.bob)).lines).toEqual([]);
  });
});

describe("MUC Light", () => {
  const light = "muclight.localhost";
  const club = `club@${light}`;
  const affiliations = "urn:xmpp:muclight:0#affiliations";
  let bob: Person;

  async function begin(options: object = {}) {
    talk = await Conversation.start({
      modules,
      options: { mod_inbox: { ...options } },
      accounts: ["alice", "bob"],
      answers: { roomKind: (domain) => (domain === light ? "muclight" : undefined) },
    });
    bob = await talk.login("bob@localhost/pc");
  }
  const arrives = (from: string, inside: string, id = "m") =>
    talk
      .arrives(`<message from='${from}' to='bob@localhost' type='groupchat' id='${id}'>${inside}</message>`)
      .then(() => talk.clock.advance(2));
  const becomes = (affiliation: string, who = "bob@localhost") =>
    arrives(club, `<x xmlns='${affiliations}'><user affiliation='${affiliation}'>${who}</user></x><body/>`, "aff");

  test("what others say counts, what he says himself reads", async () => {
    await begin();
    await arrives(`${club}/alice@localhost`, "<body>one</body>", "m1");
    await arrives(`${club}/alice@localhost`, "<body>two</body>", "m2");
    expect((await inboxOf(bob)).lines).toEqual([`${club} 2 two`]);
    await bob.sends(mark(club, "m2"));
    expect((await inboxOf(bob)).lines).toEqual([`${club} 0 two`]);
    await arrives(`${club}/alice@localhost`, "<displayed xmlns='urn:xmpp:chat-markers:0' id='m2'/>");
    await arrives(`${club}/alice@localhost`, "<body>three</body>", "m3");
    await arrives(`${club}/bob@localhost`, "<body>four</body>", "m4");
    expect((await inboxOf(bob)).lines).toEqual([`${club} 0 four`]);
  });

  test("his coming is a message, others' and the room's own words are none", async () => {
    await begin();
    await becomes("member");
    expect((await inboxOf(bob)).results[0]!.attr("unread")).toBe("1");
    await becomes("member", "alice@localhost");
    await arrives(club, "<x xmlns='urn:xmpp:muclight:0#configuration'><roomname>Club</roomname></x><body/>");
    expect((await inboxOf(bob)).results[0]!.attr("unread")).toBe("1");
    await becomes("owner");
    expect((await inboxOf(bob)).results[0]!.attr("unread")).toBe("2");
  });

  test("his going removes the conversation, or moves it into the bin, or leaves it, as is configured", async () => {
    for (const [options, lines] of [
      [{}, []],
      [{ aff_changes: false }, []],
      [{ backend: "rdbms_async" }, [`${club} 2 x bin`]],
      [{ backend: "rdbms_async", aff_changes: false }, [`${club} 1 one bin`]],
      [{ remove_on_kicked: false }, [`${club} 2 x`]],
      [{ remove_on_kicked: false, aff_changes: false }, [`${club} 1 one`]],
    ] as const) {
      await begin(options);
      await arrives(`${club}/alice@localhost`, "<body>one</body>");
      await arrives(club, `<x xmlns='${affiliations}'><user affiliation='none'>bob@localhost</user></x>`);
      expect((await inboxOf(bob, field("box", "all"))).lines).toEqual([...lines]);
      await talk.stop();
    }
    await begin();
  });

  test("groups of unknown kinds and without the option are in no inbox", async () => {
    await begin();
    await arrives("club@elsewhere.example/alice@localhost", "<body>one</body>");
    expect((await inboxOf(bob)).lines).toEqual([]);
    await talk.stop();
    await begin({ groupchat: ["muc"] });
    await arrives(`${club}/alice@localhost`, "<body>one</body>");
    expect((await inboxOf(bob)).lines).toEqual([]);
  });

  test("what is set of a room's conversation holds as for others", async () => {
    await begin();
    await arrives(`${club}/alice@localhost`, "<body>one</body>");
    await sets(bob, `jid='${club}'`, "<read>true</read><box>archive</box>");
    expect((await inboxOf(bob)).lines).toEqual([`${club} 0 one archive`]);
    await arrives(`${club}/alice@localhost`, "<body>two</body>");
    expect((await inboxOf(bob)).lines).toEqual([`${club} 1 two`]);
  });
});
