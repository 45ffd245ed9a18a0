/** mod_inbox and rooms: XEP-0045 rooms through what they tell, MUC Light also through what rooms say of themselves. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import { catalogue } from "../../src/modules/catalogue.ts";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { mucLight } from "../../src/modules/muc-light/muc-light.ts";
import type { Conversation, Person } from "../support/conversation.ts";
import { field, inboxOf, lastIn, sets } from "../support/inbox-talk.ts";
import { adminSet, configure, enter, inRoom, room, say } from "./muc/rooms.ts";
import * as light from "./muc-light/rooms.ts";

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
  const club = light.room;
  const first = "affiliations";

  /** Alice owns the room; Bob is a member, who was added. */
  async function begin(options: object = {}, more: readonly ModuleDefinition[] = []) {
    const there = await light.den({}, { modules: [...more, ...modules], options: { mod_inbox: { ...options } } });
    talk = there.talk;
    return there;
  }
  /** As `inboxOf`; what a room says of itself is told by its namespace. */
  async function lines(person: Person, fields = ""): Promise<string[]> {
    const { results } = await inboxOf(person, fields);
    return results.map((result) => {
      const last = lastIn(result);
      const itself = last.elements().find((child) => child.name === "x");
      const what = itself === undefined ? last.childText("body") : itself.ns.split("#")[1];
      const box = result.childText("box") === "inbox" ? "" : ` ${result.childText("box")}`;
      return `${result.attr("unread")} ${what}${box}`;
    });
  }

  test("what others say counts, in whatever state their devices are; what one says oneself reads", async () => {
    const { alice, bob, carol } = await begin();
    await alice.sends(light.affiliations(light.user("dave", "member")));
    await alice.sends(light.say("one"));
    await alice.sends(light.say("two"));
    expect((await inboxOf(bob)).lines).toEqual([`${club} 3 two`]);
    expect((await inboxOf(alice)).lines).toEqual([`${club} 0 two`]);
    expect((await inboxOf(carol)).lines).toEqual([]);
    const dave = await talk.login("dave@localhost/pc");
    const { results } = await inboxOf(dave);
    expect(results[0]!.attr("unread")).toBe("3");
    const last = lastIn(results[0]!);
    expect([last.attr("from"), last.attr("to")]).toEqual([`${club}/alice@localhost`, "dave@localhost"]);
    await bob.sends(light.say("three"));
    expect((await inboxOf(bob)).lines).toEqual([`${club} 0 three`]);
    expect((await inboxOf(alice)).lines).toEqual([`${club} 1 three`]);
  });

  test("a marker reads for its sender alone, by the message's id or the archive's", async () => {
    const { alice, bob } = await begin({}, [mam as ModuleDefinition]);
    await alice.sends(light.say("one"));
    await bob.sends(mark(club, "another"));
    expect(await lines(bob)).toEqual(["2 one"]);
    await bob.sends(mark(club, "m1"));
    expect(await lines(bob)).toEqual(["0 one"]);
    await bob.sends(light.say("two"));
    const heard = (await alice.takes()).at(-1)!;
    await alice.sends(mark(club, heard.child("stanza-id", "urn:xmpp:sid:0")!.attr("id")!));
    expect(await lines(alice)).toEqual(["0 two"]);
  });

  test("the acknowledgement waits for the counts of all", async () => {
    const { alice, bob } = await begin();
    alice.secured.length = 0;
    await alice.sends(light.say("one"));
    expect(alice.secured.length).toBe(1);
    await alice.secured[0];
    expect(await lines(bob)).toEqual(["2 one"]);
  });

  test("his coming is a message, others' and the room's own words are none", async () => {
    const { alice, bob } = await begin();
    expect(await lines(bob)).toEqual([`1 ${first}`]);
    expect(await lines(alice)).toEqual([`1 ${first}`]);
    await alice.sends(light.affiliations(light.user("carol", "member")));
    await alice.sends(light.configuration("<subject>tea</subject>"));
    expect(await lines(bob)).toEqual([`1 ${first}`]);
    await talk.stop();
    const quiet = await begin({ aff_changes: false });
    expect(await lines(quiet.bob)).toEqual([]);
  });

  test("his going removes the conversation, or moves it into the bin, or leaves it, as is configured", async () => {
    for (const [options, expected] of [
      [{}, []],
      [{ aff_changes: false }, []],
      [{ backend: "rdbms_async" }, [`3 ${first} bin`]],
      [{ backend: "rdbms_async", aff_changes: false }, ["1 one bin"]],
      [{ remove_on_kicked: false }, [`3 ${first}`]],
      [{ remove_on_kicked: false, aff_changes: false }, ["1 one"]],
    ] as const) {
      const { alice, bob } = await begin(options);
      await alice.sends(light.say("one"));
      await alice.sends(light.affiliations(light.user("bob", "none")));
      expect(await lines(bob, field("box", "all"))).toEqual([...expected]);
      await alice.sends(light.say("without him"));
      expect(await lines(bob, field("box", "all"))).toEqual([...expected]);
      await talk.stop();
    }
    await begin();
  });

  test("a room that is destroyed is in no inbox any more", async () => {
    const { alice, bob } = await begin();
    await alice.sends(light.say("one"));
    await alice.sends(light.request("set", "destroy"));
    for (const person of [alice, bob]) expect(await lines(person, field("box", "all"))).toEqual([]);
  });

  test("who leaves with his account leaves no conversation behind", async () => {
    for (const options of [{}, { remove_on_kicked: false }, { backend: "rdbms_async" }]) {
      const { alice, bob } = await begin(options);
      await alice.sends(light.say("one"));
      const account = bob.session.account;
      // The catalogue has inboxes behind rooms, whose words of farewell would come too late otherwise.
      expect(catalogue.indexOf(inbox)).toBeGreaterThan(catalogue.indexOf(mucLight));
      for (const removed of talk.host.registry.accounts.removed.toReversed()) await removed(account);
      await talk.settle();
      const rows = await talk.store.db.selectFrom("inbox").select("username").execute();
      expect(rows).toEqual([{ username: "alice" }]);
      await talk.stop();
    }
    await begin();
  });

  test("without the option rooms are in no inbox; what is set of a conversation holds as for others", async () => {
    const { alice, bob } = await begin({ groupchat: ["muc"] });
    await alice.sends(light.say("one"));
    expect(await lines(bob)).toEqual([]);
    await talk.stop();
    const there = await begin();
    await sets(there.bob, `jid='${club}'`, "<read>true</read><box>archive</box>");
    expect(await lines(there.bob)).toEqual([`0 ${first} archive`]);
    await there.alice.sends(light.say("two"));
    expect(await lines(there.bob)).toEqual(["1 two"]);
  });
});
