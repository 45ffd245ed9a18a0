/** Inboxes of several nodes over one database: what one node writes another counts on. */
import { afterEach, expect, test } from "bun:test";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { muc } from "../../src/modules/muc/muc.ts";
import { mucLight } from "../../src/modules/muc-light/muc-light.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { presence } from "../../src/modules/presence.ts";
import { smartMarkers } from "../../src/modules/smart-markers/smart-markers.ts";
import { streamManagement } from "../../src/modules/stream-management.ts";
import { ClusterTalk, type TalkClient, type TalkNode } from "../support/cluster-talk.ts";
import { conversationNs, inboxNs } from "../support/inbox-talk.ts";

const room = "den@conference.localhost";

let talk: ClusterTalk;
afterEach(() => talk.stop());

async function start(): Promise<readonly TalkNode[]> {
  talk = await ClusterTalk.start(3, [streamManagement, smartMarkers, inbox, offline, presence, muc, mucLight], {
    mod_inbox: { groupchat: ["muc", "muclight"] },
  });
  for (const name of ["alice", "bob", "carol", "dave"]) await talk.account(name);
  return talk.nodes;
}

/** Each conversation in one line: with whom, how many unread, what was said last. */
async function inboxOf(client: TalkClient): Promise<string[]> {
  client.takes();
  const asked = client.sends(`<iq type='set' id='i'><inbox xmlns='${inboxNs}'/></iq>`);
  await talk.settle();
  await asked;
  const got = client.takes();
  expect(got.at(-1)!.type).toBe("result");
  return got.slice(0, -1).map((stanza) => {
    const result = stanza.child("result", inboxNs)!;
    const last = result.child("forwarded", "urn:xmpp:forward:0")!.child("message", "jabber:client")!;
    const [from, to] = ["from", "to"].map((name) => last.attr(name)!.split("/")[0]);
    const peer = from === client.session.account.bare ? to : from;
    return `${peer} ${result.attr("unread")} ${last.childText("body")}`;
  });
}

const say = (to: string, body: string, type = "chat") =>
  `<message to='${to}' type='${type}' id='id-${body}'><body>${body}</body></message>`;

test("many nodes count for one account at once, and none of it is lost", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/a");
  const bob = await talk.login(two!, "bob@localhost/b");
  const others = [
    await talk.login(one!, "carol@localhost/1"),
    await talk.login(two!, "carol@localhost/2"),
    await talk.login(three!, "carol@localhost/3"),
  ];
  // Carol writes to Alice from three nodes at once, and Bob and Alice to each other.
  const sent: Promise<void>[] = [];
  for (let number = 0; number < 100; number++) {
    for (const [at, client] of others.entries())
      sent.push(client.patient().sends(say("alice@localhost", `${number}-${at}`)));
    sent.push(bob.patient().sends(say("alice@localhost", `b${number}`)));
  }
  await talk.settle(500);
  await Promise.all(sent);
  expect((await inboxOf(alice)).map((line) => line.split(" ").slice(0, 2).join(" ")).sort()).toEqual([
    "bob@localhost 100",
    "carol@localhost 300",
  ]);
  // All that was sent is safe, and was acknowledged.
  for (const client of others) expect(client.acknowledged).toBe(101);
  await alice.sends(say("carol@localhost", "enough"));
  await talk.settle();
  expect((await inboxOf(alice))[0]).toBe("carol@localhost 0 enough");
  expect(await inboxOf(others[0]!)).toEqual(["alice@localhost 1 enough"]);
});

test("a marker or a change on one node holds on the others, whose devices are told", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/a");
  const desk = await talk.login(two!, "bob@localhost/desk");
  const phone = await talk.login(three!, "bob@localhost/phone");
  await alice.sends(say("bob@localhost", "hello"));
  await talk.settle();
  expect(await inboxOf(desk)).toEqual(["alice@localhost 1 hello"]);
  await phone.sends(
    "<message to='alice@localhost'><displayed xmlns='urn:xmpp:chat-markers:0' id='id-hello'/></message>",
  );
  await talk.settle();
  expect(await inboxOf(desk)).toEqual(["alice@localhost 0 hello"]);
  phone.takes();
  await desk.sends(
    `<iq type='set' id='s'><query xmlns='${conversationNs}' jid='alice@localhost'><box>archive</box></query></iq>`,
  );
  await talk.settle();
  const [told] = phone.takes();
  expect(told!.child("x", conversationNs)!.childText("box")).toBe("archive");
  expect(told!.to!.full).toBe("bob@localhost");
});

test("a room of one node counts for its people on all, and for those who are away", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/a");
  await alice.sends(`<presence to='${room}/Alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  await talk.settle();
  const owner = "http://jabber.org/protocol/muc#owner";
  await alice.sends(
    `<iq type='set' id='o' to='${room}'><query xmlns='${owner}'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
  );
  await talk.settle();
  for (const name of ["bob", "carol"]) {
    await alice.sends(
      `<iq type='set' id='m' to='${room}'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='${name}@localhost'/></query></iq>`,
    );
    await talk.settle();
  }
  const bob = await talk.login(two!, "bob@localhost/b");
  await bob.sends(`<presence to='${room}/Bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  await talk.settle();
  for (let number = 1; number <= 20; number++) {
    await Promise.all([
      alice.sends(say(room, `a${number}`, "groupchat")),
      bob.patient().sends(say(room, `b${number}`, "groupchat")),
    ]);
  }
  await talk.settle();
  const carol = await talk.login(three!, "carol@localhost/c");
  expect((await inboxOf(carol))[0]).toStartWith(`${room} 40 `);
  const last = bob.takes().at(-1)!;
  await bob.sends(
    `<message to='${room}' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='${last.id}'/></message>`,
  );
  await talk.settle();
  expect((await inboxOf(bob))[0]).toStartWith(`${room} 0 `);
  expect((await inboxOf(carol))[0]).toStartWith(`${room} 40 `);
});

/** Whose markers in a room a client learns of. */
async function markersIn(client: TalkClient, peer: string): Promise<string[]> {
  client.takes();
  const ns = "esl:xmpp:smart-markers:0";
  const asked = client.sends(`<iq type='get' id='m'><query xmlns='${ns}' peer='${peer}'/></iq>`);
  await talk.settle();
  await asked;
  const markers = client.takes()[0]!.child("query", ns)!.childrenNamed("marker");
  return markers.map((marker) => `${marker.attr("from")!.split("@")[0]} ${marker.attr("id")}`).sort();
}

const mark = (to: string, id: string) =>
  `<message to='${to}' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='${id}'/></message>`;

test("a group of MUC Light counts and marks from whichever node its people write", async () => {
  const nodes = await start();
  const light = "urn:xmpp:muclight:0";
  const club = "club@muclight.localhost";
  const people = [];
  for (const [at, name] of ["alice", "bob", "carol"].entries()) {
    people.push(await talk.login(nodes[at]!, `${name}@localhost/x`));
  }
  const [alice, bob, carol] = people;
  const users = ["bob", "carol", "dave"].map((name) => `<user affiliation='member'>${name}@localhost</user>`);
  await alice!.sends(
    `<iq type='set' id='c' to='${club}'><query xmlns='${light}#create'><configuration/><occupants>${users.join("")}</occupants></query></iq>`,
  );
  await talk.settle();
  const sent: Promise<void>[] = [];
  for (let number = 1; number <= 30; number++) {
    for (const person of people) {
      const name = person.session.account.local;
      sent.push(person.patient().sends(say(club, `${name}${number}`, "groupchat")));
    }
  }
  await talk.settle(500);
  await Promise.all(sent);
  // He was added, and ninety messages were said.
  const dave = await talk.login(nodes[1]!, "dave@localhost/x");
  expect((await inboxOf(dave))[0]).toStartWith(`${club} 91 `);
  await bob!.sends(mark(club, "bob30"));
  await carol!.sends(mark(club, "carol30"));
  await talk.settle();
  expect(await markersIn(alice!, club)).toEqual(["bob bob30", "carol carol30"]);
  expect(await markersIn(dave, club)).toEqual(["bob bob30", "carol carol30"]);
});

test("a room of another node tells its markers to those who belong to it, whether or not the database knows it", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/a");
  const bob = await talk.login(two!, "bob@localhost/b");
  const form = (persistent: string) =>
    ["muc#roomconfig_persistentroom", "muc#roomconfig_whois"]
      .map((name, at) => `<field var='${name}'><value>${at === 0 ? persistent : "anyone"}</value></field>`)
      .join("");
  for (const persistent of ["0", "1"]) {
    const den = `den${persistent}@conference.localhost`;
    await alice.sends(`<presence to='${den}/Alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    await talk.settle();
    const owner = "http://jabber.org/protocol/muc#owner";
    await alice.sends(
      `<iq type='set' id='o' to='${den}'><query xmlns='${owner}'><x xmlns='jabber:x:data' type='submit'>${form(persistent)}</x></query></iq>`,
    );
    await talk.settle();
    await alice.sends(
      `<iq type='set' id='m' to='${den}'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='bob@localhost'/></query></iq>`,
    );
    await bob.sends(`<presence to='${den}/Bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    await talk.settle();
    await alice.sends(mark(den, "a"));
    await bob.sends(mark(den, "b"));
    await talk.settle();
    expect(await markersIn(bob, den)).toContain("bob b");
    const both = ["alice a", "bob b"];
    const seen = [await markersIn(alice, den), await markersIn(bob, den)];
    expect(seen).toEqual([both, both]);
    // Who is in no list of the room and not in it learns nothing, on whichever node.
    for (const node of talk.nodes) {
      const carol = await talk.login(node, `carol@localhost/${node.number}`);
      expect(await markersIn(carol, den)).toEqual([]);
    }
  }
});

test("who is put out of a group has no conversation of it, also when another node was still writing what was said", async () => {
  const [one, two, three] = await start();
  const light = "urn:xmpp:muclight:0";
  const club = "club@muclight.localhost";
  const alice = await talk.login(one!, "alice@localhost/a");
  const bob = await talk.login(two!, "bob@localhost/b");
  const carol = await talk.login(three!, "carol@localhost/c");
  const users = (affiliation: string, ...names: string[]) =>
    names.map((name) => `<user affiliation='${affiliation}'>${name}@localhost</user>`).join("");
  await alice.sends(
    `<iq type='set' id='c' to='${club}'><query xmlns='${light}#create'><configuration/><occupants>${users("member", "bob", "carol")}</occupants></query></iq>`,
  );
  await talk.settle();
  expect(await inboxOf(carol)).toHaveLength(1);
  const said = bob.patient().sends(say(club, "before", "groupchat"));
  await talk.clock.advanceSettling(0.1);
  expect(two!.core.writes.length).toBeGreaterThan(0);
  const put = alice
    .patient()
    .sends(
      `<iq type='set' id='k' to='${club}'><query xmlns='${light}#affiliations'>${users("none", "carol")}</query></iq>`,
    );
  // Everything that the first node does is done before the second one's time to write has come.
  for (let passed = 0; passed < 20; passed++) {
    await talk.clock.advanceSettling(0.1);
    await one!.core.writes.flush();
  }
  await talk.settle();
  await Promise.all([said, put]);
  expect(await inboxOf(carol)).toEqual([]);
  expect((await inboxOf(bob))[0]).toStartWith(club);
});

/** A message from Alice at one node reaches Bob at another, while the first has not committed what it makes of his inbox. */
async function onTheWay(): Promise<{ alice: TalkClient; bob: TalkClient; sent: Promise<void> }> {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/a");
  const bob = await talk.login(two!, "bob@localhost/b");
  bob.takes();
  const sent = alice.patient().sends(say("bob@localhost", "hello"));
  for (let passed = 0; bob.got.length === 0 && passed < 50; passed++) await talk.clock.advanceSettling(0.1);
  expect(bob.bodies()).toEqual(["hello"]);
  expect(one!.core.writes.length).toBeGreaterThan(0);
  bob.patient();
  return { alice, bob, sent };
}

/** What Bob's node has to write is written before anything else happens. */
async function first(client: TalkClient, text: string): Promise<void> {
  const done = client.sends(text);
  await client.node.core.writes.flush();
  await talk.settle();
  await done;
}

test("what is marked before the message's own node has written it is read", async () => {
  const { bob, sent } = await onTheWay();
  await first(
    bob,
    "<message to='alice@localhost'><displayed xmlns='urn:xmpp:chat-markers:0' id='id-hello'/></message>",
  );
  await sent;
  expect(await inboxOf(bob)).toEqual(["alice@localhost 0 hello"]);
  expect(bob.acknowledged).toBeGreaterThan(2);
});

test("what is answered before the message's own node has written it is read", async () => {
  const { bob, sent } = await onTheWay();
  talk.clock.advance(1);
  await first(bob, say("alice@localhost", "answer"));
  await sent;
  expect(await inboxOf(bob)).toEqual(["alice@localhost 0 answer"]);
});

test("an inbox that is read or reset knows of the message that another node has not written yet", async () => {
  const { bob, sent } = await onTheWay();
  await first(bob, `<iq type='set' id='i'><inbox xmlns='${inboxNs}'/></iq>`);
  expect(bob.takes().map(({ kind }) => kind)).toEqual(["message", "iq"]);
  await sent;
  await talk.stop();
  const again = await onTheWay();
  await first(again.bob, `<iq type='set' id='r'><reset xmlns='${conversationNs}' jid='alice@localhost'/></iq>`);
  await again.sent;
  expect(await inboxOf(again.bob)).toEqual(["alice@localhost 0 hello"]);
});
