/** mod_smart_markers by conversation: which markers are remembered, and who may ask for them. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import { carbons } from "../../src/modules/carbons.ts";
import { disco } from "../../src/modules/disco.ts";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { smartMarkers } from "../../src/modules/smart-markers/smart-markers.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import { errorIn, inboxOf } from "../support/inbox-talk.ts";
import { adminSet, configure, enter, inRoom, owner, room, say } from "./muc/rooms.ts";
import * as light from "./muc-light/rooms.ts";

const ns = "esl:xmpp:smart-markers:0";
const markersNs = "urn:xmpp:chat-markers:0";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

async function start(options: Readonly<Record<string, unknown>> = {}, more: readonly ModuleDefinition[] = []) {
  talk = await Conversation.start({
    modules: [smartMarkers, ...more, carbons, disco] as ModuleDefinition[],
    options: { mod_smart_markers: options, mod_mam: { archive_chat_markers: true } },
    accounts: ["alice", "bob", "carol", "dave"],
  });
  return { alice: await talk.online("alice@localhost/phone"), bob: await talk.online("bob@localhost/desk") };
}

const mark = (to: string, marker: string, id: string, more = "", type = "chat") =>
  `<message to='${to}' type='${type}'><${marker} xmlns='${markersNs}' id='${id}'/>${more}</message>`;

/** Each marker in one line: `alice displayed m1`, and its thread; or the error. */
async function markers(person: Person, attributes: string): Promise<string[]> {
  await person.takes();
  await person.sends(`<iq type='get' id='m'><query xmlns='${ns}' ${attributes}/></iq>`);
  const [answer] = await person.takes();
  if (answer!.attr("type") === "error") return [errorIn(answer!)];
  const query = answer!.child("query", ns)!;
  expect(attributes).toContain(query.attr("peer")!);
  return query.childrenNamed("marker").map((marker) => {
    expect(Math.abs(Date.parse(marker.attr("timestamp")!) - talk.clock.now())).toBeLessThan(5_000);
    const words = [marker.attr("from")!.split("@")[0], marker.attr("type"), marker.attr("id"), marker.attr("thread")];
    return words.filter((word) => word !== undefined).join(" ");
  });
}

describe("between two", () => {
  test("the last of each kind and side, to both, whatever the address's resource", async () => {
    const { alice, bob } = await start();
    await alice.sends(mark("bob@localhost/desk", "received", "m0"));
    await alice.sends(mark("bob@localhost", "displayed", "m1"));
    await talk.clock.advance(5);
    await alice.sends(mark("bob@localhost/desk", "displayed", "m2"));
    await bob.sends(mark("alice@localhost", "acknowledged", "m3"));
    const all = ["alice received m0", "alice displayed m2", "bob acknowledged m3"];
    expect(await markers(alice, "peer='bob@localhost'")).toEqual(all);
    expect(await markers(alice, "peer='bob@localhost' after='2001-01-01T00:00:00Z'")).toEqual(all);
    expect((await markers(bob, "peer='alice@localhost'")).sort()).toEqual([...all].sort());
    const later = new Date(talk.clock.now() + 1).toISOString();
    expect(await markers(bob, `peer='alice@localhost' after='${later}'`)).toEqual([]);
    expect(await markers(alice, "peer='carol@localhost'")).toEqual([]);
    // They are delivered like any message.
    expect(alice.secured.length).toBe(3);
  });

  test("threads are apart", async () => {
    const { alice } = await start();
    await alice.sends(mark("bob@localhost", "displayed", "m1", "<thread>t1</thread>"));
    await alice.sends(mark("bob@localhost", "displayed", "m2"));
    await alice.sends(mark("bob@localhost", "displayed", "m3", `<thread>${"t".repeat(251)}</thread>`));
    expect(await markers(alice, "peer='bob@localhost'")).toEqual(["alice displayed m2"]);
    expect(await markers(alice, "peer='bob@localhost' thread='t1'")).toEqual(["alice displayed m1 t1"]);
    expect(await markers(alice, "peer='bob@localhost' thread='other'")).toEqual([]);
  });

  test("a third person sees nothing, markable is none, and errors and forgeries mark nothing", async () => {
    const { alice, bob } = await start();
    const carol = await talk.online("carol@localhost/pc");
    await alice.sends(mark("bob@localhost", "displayed", "m1"));
    expect(await markers(carol, "peer='bob@localhost'")).toEqual([]);
    expect(await markers(carol, "peer='alice@localhost'")).toEqual([]);
    await carol.sends(`<iq type='get' id='x' to='alice@localhost'><query xmlns='${ns}' peer='bob@localhost'/></iq>`);
    expect((await carol.takes()).map(errorIn)).toEqual(["service-unavailable cancel"]);
    await bob.sends(`<message to='alice@localhost'><body>x</body><markable xmlns='${markersNs}'/></message>`);
    await bob.sends(mark("alice@localhost/phone", "displayed", "m9", "", "error"));
    await bob.sends(mark("alice@localhost", "displayed", ""));
    await bob.sends(`<message to='alice@localhost'><displayed xmlns='urn:other' id='m9'/></message>`);
    // Markers of other servers' people are not known here.
    await talk.arrives(
      `<message from='romeo@montague.example/x' to='bob@localhost'><displayed xmlns='${markersNs}' id='m9'/></message>`,
    );
    expect(await markers(bob, "peer='alice@localhost'")).toEqual(["alice displayed m1"]);
    expect(await markers(bob, "peer='romeo@montague.example'")).toEqual([]);
  });

  test("what is no question is refused", async () => {
    const { alice } = await start();
    expect(await markers(alice, "")).toEqual(["bad-request modify invalid-peer"]);
    expect(await markers(alice, "peer='$@/'")).toEqual(["bad-request modify invalid-peer"]);
    expect(await markers(alice, "peer='bob@localhost' after='yesterday'")).toEqual([
      "bad-request modify invalid-timestamp",
    ]);
    await alice.sends(`<iq type='set' id='x'><query xmlns='${ns}' peer='bob@localhost'/></iq>`);
    expect((await alice.takes()).map(errorIn)).toEqual(["not-allowed cancel Markers are set by sending them"]);
  });

  test("kept private they reach nobody but their sender's devices, and nobody learns of others'", async () => {
    const { alice, bob } = await start({ keep_private: true }, [mam as ModuleDefinition, inbox as ModuleDefinition]);
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    await bob.sends("<message to='alice@localhost' id='m1' type='chat'><body>hello</body></message>");
    for (const person of [alice, bob, laptop]) await person.takes();
    await alice.sends(mark("bob@localhost", "displayed", "m1"));
    await bob.receivesNothing();
    expect((await laptop.takes()).map((stanza) => stanza.child("sent", "urn:xmpp:carbons:2") !== undefined)).toEqual([
      true,
    ]);
    expect((await inboxOf(alice)).lines).toEqual(["bob@localhost 0 hello"]);
    // Beside words, the marker alone is taken out.
    await bob.sends(mark("alice@localhost/phone", "displayed", "m0", "<body>words</body>"));
    const [words] = await alice.takes();
    expect([words!.childText("body"), words!.child("displayed", markersNs)]).toEqual(["words", undefined]);
    expect(await markers(alice, "peer='bob@localhost'")).toEqual(["alice displayed m1"]);
    expect(await markers(bob, "peer='alice@localhost'")).toEqual(["bob displayed m0"]);
    const rows = await talk.store.db.selectFrom("archive_messages").select(["owner", "stanza"]).execute();
    const told = rows.filter(({ owner, stanza }) => owner === "bob@localhost" && stanza.includes("id='m1'/>"));
    expect(told).toEqual([]);
  });

  test("an account's markers can be had, and go with it", async () => {
    const { alice, bob } = await start();
    await alice.sends(mark("bob@localhost", "displayed", "m1", "<thread>t</thread>"));
    await bob.sends(mark("alice@localhost", "displayed", "m2"));
    const account = parseJid("alice@localhost")!;
    const [tables] = await talk.host.registry.askAll("personalData", account);
    const rows = [];
    for await (const row of tables!.find(({ name }) => name === "smart_markers")!.rows()) rows.push(row.slice(0, 4));
    expect(rows).toEqual([["bob@localhost", "t", "displayed", "m1"]]);
    for (const removed of talk.host.registry.accounts.removed) await removed(account);
    expect(await markers(bob, "peer='alice@localhost' thread='t'")).toEqual([]);
    expect(await markers(bob, "peer='alice@localhost'")).toEqual(["bob displayed m2"]);
  });
});

describe("in rooms", () => {
  async function den(config: Readonly<Record<string, string>>, options: object = {}) {
    const there = await inRoom(
      {},
      { modules: [smartMarkers as ModuleDefinition], options: { mod_smart_markers: { ...options } } },
    );
    talk = there.talk;
    await there.alice.sends(configure({ "muc#roomconfig_persistentroom": "1", ...config }));
    await there.alice.sends(say("hello"));
    await there.alice.sends(mark(room, "displayed", "a", "", "groupchat"));
    await there.bob.sends(mark(room, "displayed", "b", "", "groupchat"));
    return { ...there, carol: await talk.login("carol@localhost/pc") };
  }
  const open = { "muc#roomconfig_whois": "anyone" };
  const both = ["alice displayed a", "bob displayed b"];
  const ofRoom = async (person: Person) => (await markers(person, `peer='${room}'`)).sort();

  test("where addresses are no secret, all see all; who does not belong there sees nothing and marks nothing", async () => {
    const { alice, bob, carol } = await den(open);
    expect(await ofRoom(alice)).toEqual(both);
    expect(await ofRoom(bob)).toEqual(both);
    await carol.sends(mark(room, "displayed", "c", "", "groupchat"));
    expect(await ofRoom(carol)).toEqual([]);
    await alice.sends(adminSet("<item affiliation='member' jid='carol@localhost'/>"));
    expect(await ofRoom(carol)).toEqual(both);
    // A private message in the room is no part of it.
    await bob.sends(mark(`${room}/Alice`, "displayed", "private"));
    expect(await ofRoom(bob)).toEqual(both);
  });

  test("where they are, moderators see all, and everybody else himself", async () => {
    const { alice, bob } = await den({ "muc#roomconfig_whois": "moderators" });
    expect(await ofRoom(alice)).toEqual(both);
    expect(await ofRoom(bob)).toEqual(["bob displayed b"]);
  });

  test("the room need not be in memory, and private markers are so here too", async () => {
    const { alice, bob } = await den(open);
    await alice.sends(adminSet("<item affiliation='member' jid='bob@localhost'/>"));
    await alice.sends(`<presence type='unavailable' to='${room}/Alice'/>`);
    await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
    await talk.clock.leap(3_600_000);
    const service = talk.host.registry.service("rooms")!;
    expect((await service.list(10, 0)).rooms[0]!.usersNumber).toBe(0);
    // An hour has passed, so the times are not looked at.
    await bob.takes();
    await bob.sends(`<iq type='get' id='m'><query xmlns='${ns}' peer='${room}'/></iq>`);
    const [answer] = await bob.takes();
    expect(answer!.child("query", ns)!.childrenNamed("marker")).toHaveLength(2);
    await talk.stop();
    const secret = await den(open, { keep_private: true });
    expect(await ofRoom(secret.alice)).toEqual(["alice displayed a"]);
    expect((await secret.alice.takes()).length).toBe(0);
  });

  test("who is banned, and a room that ends, leave nothing", async () => {
    const { alice, bob } = await den(open);
    await alice.sends(adminSet("<item affiliation='outcast' jid='bob@localhost'/>"));
    expect(await ofRoom(alice)).toEqual(["alice displayed a"]);
    expect(await ofRoom(bob)).toEqual([]);
    await alice.sends(`<iq type='set' id='d' to='${room}'><query xmlns='${owner}'><destroy/></query></iq>`);
    await alice.sends(enter("Alice"));
    expect(await ofRoom(alice)).toEqual([]);
  });
});

describe("in rooms of MUC Light", () => {
  async function den(options: object = {}) {
    const modules = [smartMarkers as ModuleDefinition];
    const there = await light.den({}, { modules, options: { mod_smart_markers: { ...options } } });
    talk = there.talk;
    await there.alice.sends(mark(light.room, "displayed", "a", "", "groupchat"));
    await there.bob.sends(mark(light.room, "displayed", "b", "", "groupchat"));
    return there;
  }
  const ofRoom = async (person: Person) => (await markers(person, `peer='${light.room}'`)).sort();
  const both = ["alice displayed a", "bob displayed b"];

  test("occupants see each other's, others see and mark nothing", async () => {
    const { alice, bob, carol } = await den();
    for (const person of [alice, bob]) expect(await ofRoom(person)).toEqual(both);
    await carol.sends(mark(light.room, "displayed", "c", "", "groupchat"));
    expect(await ofRoom(carol)).toEqual([]);
    expect(await ofRoom(alice)).toEqual(both);
  });

  test("who leaves, and a room that ends, leave nothing", async () => {
    const { alice, bob } = await den();
    await bob.sends(light.affiliations(light.user("bob", "none")));
    expect(await ofRoom(alice)).toEqual(["alice displayed a"]);
    expect(await ofRoom(bob)).toEqual([]);
    await alice.sends(light.request("set", "destroy"));
    expect(await talk.store.db.selectFrom("smart_markers").select("username").execute()).toEqual([]);
  });

  test("kept private they reach no occupant", async () => {
    const { alice, bob } = await den({ keep_private: true });
    await bob.receivesNothing();
    expect(await ofRoom(alice)).toEqual(["alice displayed a"]);
    await bob.sends(light.say("hello"));
    expect((await alice.takes()).map(light.told)).toEqual(["bob@localhost says hello"]);
  });
});

test("whoever marks ever new threads keeps the newest of them", async () => {
  talk = await Conversation.start({ modules: [smartMarkers], chance: () => 0 });
  const alice = await talk.login("alice@localhost/phone");
  const row = {
    server: "localhost",
    username: "alice",
    peer_hash: 1,
    peer: "bob@localhost",
    type: "received",
    msg_id: "m",
  };
  const rows = Array.from({ length: 10_003 }, (_, at) => ({
    ...row,
    target: `t${at}`,
    thread: `${at}`,
    marked_at: at,
  }));
  for (let at = 0; at < rows.length; at += 500) {
    await talk.store.db
      .insertInto("smart_markers")
      .values(rows.slice(at, at + 500) as never)
      .execute();
  }
  await alice.sends(mark("bob@localhost", "displayed", "new"));
  const left = await talk.store.db
    .selectFrom("smart_markers")
    .select((on) => [on.fn.countAll<number>().as("count"), on.fn.min("marked_at").as("oldest")])
    .executeTakeFirst();
  expect(left as object).toEqual({ count: 10_000, oldest: 4 });
});
