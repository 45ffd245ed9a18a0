/** MUC Light rooms belong to no node: each serves them, and what one has changed the others know. */
import { afterEach, expect, test } from "bun:test";
import { mam } from "../../../src/modules/mam/mam.ts";
import { mucLight } from "../../../src/modules/muc-light/muc-light.ts";
import { presence } from "../../../src/modules/presence.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { parseElement } from "../../../src/xml/element.ts";
import { ClusterTalk, type TalkClient } from "../../support/cluster-talk.ts";
import { affiliations, configuration, creation, light, request, room, say, told, user } from "./rooms.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

const names = ["alice", "bob", "carol"] as const;

/** Alice, bob and carol are in the room, each at another node. */
async function start(options: Readonly<Record<string, unknown>> = {}): Promise<TalkClient[]> {
  talk = await ClusterTalk.start(3, [streamManagement, mam, presence, mucLight], { mod_muc_light: options });
  for (const name of [...names, "dave"]) await talk.account(name);
  const people: TalkClient[] = [];
  for (const [at, name] of names.entries()) people.push(await talk.login(talk.nodes[at]!, `${name}@localhost/x`));
  await people[0]!.sends(creation(user("bob", "member") + user("carol", "member")));
  await talk.settle();
  for (const person of people) person.takes();
  return people;
}

const hears = (person: TalkClient) =>
  person.takes().map((stanza) => told(parseElement(stanza.toXml(), "jabber:client")));
const hearsOf = (person: TalkClient) =>
  hears(person).map((line) => line.replace(/(\S*)>\S+/, (_all, previous: string) => (previous === "" ? ">v" : "v>v")));

test("what is said at one node is heard at all, and read from the archive at each", async () => {
  const [alice, bob, carol] = await start();
  await alice!.sends(say("hello"));
  await talk.settle();
  await carol!.sends(say("hi"));
  await talk.settle();
  for (const person of [alice, bob, carol]) {
    expect(hears(person!)).toEqual(["alice@localhost says hello", "carol@localhost says hi"]);
    await person!.sends(`<iq type='set' id='q' to='${room}'><query xmlns='urn:xmpp:mam:2'/></iq>`);
    await talk.settle();
    expect(person!.takes().filter((stanza) => stanza.kind === "message").length).toBe(3);
  }
  // Each has sent a presence, what he said, and the query.
  expect([alice!.acknowledged, bob!.acknowledged]).toEqual([4, 2]);
});

test("after a change nobody at any node goes by what he remembers", async () => {
  const [alice, bob, carol] = await start({ cache_affs: { time_to_live: "infinity" } });
  // All nodes remember who is in the room.
  for (const person of [alice, bob, carol]) await person!.sends(say("warm"));
  await talk.settle();
  for (const person of [alice, bob, carol]) person!.takes();
  await alice!.sends(affiliations(user("bob", "none"), user("dave", "member")));
  await talk.settle();
  expect(hearsOf(alice!)).toEqual(["affiliations v>v none:bob member:dave", "iq result"]);
  expect(hears(bob!)).toEqual(["affiliations none:bob"]);
  carol!.takes();
  await bob!.sends(say("still here"));
  await carol!.sends(say("he is gone"));
  await talk.settle();
  expect(hears(bob!)).toEqual(["message error item-not-found"]);
  expect(hears(alice!)).toEqual(["carol@localhost says he is gone"]);
  const dave = await talk.login(talk.nodes[1]!, "dave@localhost/x");
  dave.takes();
  await dave.sends(say("me instead"));
  await talk.settle();
  expect(hears(carol!)).toEqual(["carol@localhost says he is gone", "dave@localhost says me instead"]);
});

test("changes at several nodes at once all happen, and their versions are one chain", async () => {
  const [alice, bob, carol] = await start();
  await alice!.sends(request("get", "info"));
  await talk.settle();
  alice!.takes();
  await Promise.all([
    alice!.sends(configuration("<roomname>Ours</roomname>")),
    bob!.sends(configuration("<subject>from bob</subject>")),
    carol!.sends(configuration("<subject>from carol</subject>")),
    alice!.sends(affiliations(user("dave", "member"))),
  ]);
  await talk.settle(500);
  const notices = bob!.takes().filter((stanza) => stanza.kind === "message");
  const chain = new Map(
    notices.map((stanza) => {
      const x = parseElement(stanza.toXml(), "jabber:client")
        .elements()
        .find((each) => each.ns.startsWith(light))!;
      return [x.childText("prev-version")!, x.childText("version")!];
    }),
  );
  expect(chain.size).toBe(4);
  const versions = new Set(chain.values());
  const [first, ...more] = [...chain.keys()].filter((version) => !versions.has(version));
  expect(more).toEqual([]);
  let last = first!;
  for (let step = 0; step < 4; step++) last = chain.get(last)!;
  await carol!.sends(request("get", "affiliations", `<version>${last}</version>`));
  await talk.settle();
  expect(hears(carol!).at(-1)).toBe("iq result");
});

test("a node that dies takes no room with it", async () => {
  const [, bob, carol] = await start();
  talk.kill(talk.nodes[0]!);
  await talk.settle(60_000);
  await carol!.sends(say("are we all here?"));
  await talk.settle();
  expect(hears(bob!).at(-1)).toBe("carol@localhost says are we all here?");
  const again = await talk.login(talk.nodes[1]!, "alice@localhost/y");
  again.takes();
  await again.sends(request("get", "affiliations"));
  await talk.settle();
  expect(hearsOf(again)).toEqual(["iq result affiliations >v owner:alice member:bob member:carol"]);
});

test("of a room that is over nothing is left, also of what another node was still writing", async () => {
  const [alice, bob] = await start();
  const said = bob!.patient().sends(say("just now"));
  await talk.clock.advanceSettling(0.1);
  expect(talk.nodes[1]!.core.writes.length).toBeGreaterThan(0);
  await alice!.sends(request("set", "destroy"));
  await talk.settle();
  await said;
  const archived = talk.store.tables<{ archive_messages: { owner: string } }>().selectFrom("archive_messages");
  expect(await archived.select("owner").where("owner", "=", room).execute()).toEqual([]);
});

test("a retraction at one node finds the message that another has not written yet", async () => {
  const [, bob, carol] = await start();
  const [, second, third] = talk.nodes;
  const phone = await talk.login(third!, "bob@localhost/phone");
  for (const device of [bob, phone]) device!.takes();
  const said = bob!.patient().sends(say("oops"));
  for (let round = 0; bob!.got.length === 0 && round < 20; round++) await talk.clock.advanceSettling(0.1);
  const id = bob!.takes()[0]!.child("stanza-id", "urn:xmpp:sid:0")!.attr("id");
  const retraction = `<retract xmlns='urn:xmpp:message-retract:1' id='${id}'/>`;
  const takenBack = phone.patient().sends(`<message type='groupchat' id='r1' to='${room}'>${retraction}</message>`);
  for (let round = 0; third!.core.writes.length === 0 && round < 20; round++) await talk.clock.advanceSettling(0.1);
  // What the third node writes comes before what the second still holds.
  await third!.core.writes.flush();
  expect(second!.core.writes.length).toBeGreaterThan(0);
  await talk.settle();
  await Promise.all([said, takenBack]);
  carol!.takes();
  await carol!.sends(`<iq type='set' id='q' to='${room}'><query xmlns='urn:xmpp:mam:2'/></iq>`);
  await talk.settle();
  const archive = carol!.takes().map((stanza) => stanza.toXml());
  expect(archive.filter((text) => text.includes("<retracted")).length).toBe(1);
  expect(archive.filter((text) => text.includes("oops")).length).toBe(0);
});
