/** Rooms begin and end. */
import { expect, test } from "bun:test";
import {
  affiliations,
  creation,
  den,
  hearsOf,
  light,
  online,
  request,
  room,
  service,
  start,
  told,
  user,
} from "./rooms.ts";

test("whoever makes a room owns it, and everybody in it is told what he is himself, before the result", async () => {
  const talk = await start();
  const alice = await online(talk, "alice@localhost/phone");
  const bob = await online(talk, "bob@localhost/pc");
  await alice.sends(creation(user("bob", "member"), "<roomname>A Dark Cave</roomname>"));
  await alice.receives(
    `<message from='${room}' to='alice@localhost' type='groupchat' id='create1'>
<x xmlns='${light}#affiliations'><version>random1</version><user affiliation='owner'>alice@localhost</user></x><body/></message>`.replace(
      "\n",
      "",
    ),
  );
  await alice.receives(`<iq type='result' id='create1' from='${room}' to='alice@localhost/phone'/>`);
  await bob.receives(
    `<message from='${room}' to='bob@localhost' type='groupchat' id='create1'>
<x xmlns='${light}#affiliations'><version>random1</version><user affiliation='member'>bob@localhost</user></x><body/></message>`.replace(
      "\n",
      "",
    ),
  );
  await alice.sends(request("get", "info"));
  expect(await hearsOf(alice)).toEqual([
    "iq result info >v configuration(roomname=A Dark Cave subject=) occupants(owner:alice member:bob)",
  ]);
  await talk.stop();
});

test("the service names a room for whoever asks it for one", async () => {
  const talk = await start();
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(creation("", "<roomname>Random Cave</roomname>", service));
  const [notice, result] = await alice.takes();
  const made = notice!.attr("from")!;
  expect(made).toMatch(/^[a-z0-9_-]+@muclight\.localhost$/);
  expect([notice!.attr("id"), result!.attr("id"), result!.attr("from")]).toEqual(["create1", "create1", service]);
  await alice.sends(request("get", "configuration", "", made));
  expect(await hearsOf(alice)).toEqual(["iq result configuration >v roomname=Random Cave subject="]);
  await talk.stop();
});

test("a name that is taken is a conflict, for whoever is in the room and whoever is not", async () => {
  const { talk, alice, carol } = await den();
  await alice.sends(creation(""));
  await carol.sends(creation(""));
  expect([await hearsOf(alice), await hearsOf(carol)]).toEqual([["iq error conflict"], ["iq error conflict"]]);
  await carol.sends(request("get", "info"));
  expect(await hearsOf(carol)).toEqual(["iq error item-not-found"]);
  await talk.stop();
});

const wrong: [string, string, string?][] = [
  ["none among those a room begins with", user("bob", "none")],
  ["the one who makes it among the others", user("alice", "member")],
  ["somebody twice", user("bob", "member") + user("bob", "owner")],
  ["two owners", user("bob", "owner") + user("carol", "owner")],
  ["an affiliation of another protocol", user("bob", "admin")],
  ["no affiliation", "<user>bob@localhost</user>"],
  ["an element that is no user", "<item affiliation='member'>bob@localhost</item>"],
  ["no address", user("@", "member")],
  ["a domain instead of a user", user("@localhost", "member")],
  ["a room instead of a user", user(`other@${service}`, "member")],
  ["an address that is too long", user(`${"a".repeat(260)}@localhost`, "member")],
  ["a field there is not", "", "<colour>blue</colour>"],
  ["a version", "", "<version>7</version>"],
  ["a previous version", "", "<prev-version>7</prev-version>"],
  ["a field twice", "", "<subject>a</subject><subject>b</subject>"],
  ["elements in a field", "", "<subject><b/></subject>"],
  ["a field of boundless length", "", `<subject>${"a".repeat(10_001)}</subject>`],
];
for (const [what, occupants, fields] of wrong) {
  test(`with ${what} no room is made`, async () => {
    const talk = await start();
    const alice = await online(talk, "alice@localhost/phone");
    const bob = await online(talk, "bob@localhost/pc");
    await alice.sends(creation(occupants, fields));
    expect(await hearsOf(alice)).toEqual(["iq error bad-request"]);
    expect(await hearsOf(bob)).toEqual([]);
    await alice.sends(request("get", "info"));
    expect(await hearsOf(alice)).toEqual(["iq error item-not-found"]);
    await talk.stop();
  });
}

test("an owner chosen for the room makes its maker a member", async () => {
  const talk = await start();
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(creation(user("bob", "owner") + user("carol", "member")));
  await alice.sends(request("get", "affiliations"));
  expect(await hearsOf(alice)).toEqual([
    "affiliations >v member:alice",
    "iq result",
    "iq result affiliations >v member:alice owner:bob member:carol",
  ]);
  await talk.stop();
});

test("equal occupants have no owner, and none can be made", async () => {
  const talk = await start({ equal_occupants: true });
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(creation(user("bob", "owner")));
  await alice.sends(creation(user("bob", "member")));
  await alice.sends(affiliations(user("bob", "none")));
  await alice.sends(request("set", "destroy"));
  expect(await hearsOf(alice)).toEqual([
    "iq error bad-request",
    "affiliations >v member:alice",
    "iq result",
    "iq error not-allowed",
    "iq error not-allowed",
  ]);
  await talk.stop();
});

test("an access rule says who may make rooms", async () => {
  const talk = await start({ access_create: "nobody" }, { access: { nobody: "deny" } });
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(creation(""));
  await alice.sends(creation("", "", service));
  expect(await hearsOf(alice)).toEqual(["iq error not-allowed", "iq error not-allowed"]);
  await talk.stop();
});

test("there are limits: occupants of a room, and rooms of a user", async () => {
  const talk = await start({ max_occupants: 2, rooms_per_user: 1 });
  const alice = await online(talk, "alice@localhost/phone");
  const bob = await online(talk, "bob@localhost/pc");
  const carol = await online(talk, "carol@localhost/tablet");
  await alice.sends(creation(user("bob", "member") + user("carol", "member")));
  await alice.sends(creation(user("bob", "member")));
  // One room is all she may be in.
  await alice.sends(creation("", "", service));
  expect(await hearsOf(alice)).toEqual([
    "iq error bad-request",
    "affiliations >v owner:alice",
    "iq result",
    "iq error bad-request",
  ]);
  await alice.sends(affiliations(user("carol", "member")));
  expect(await hearsOf(alice)).toEqual(["iq error bad-request"]);
  // Whoever is in one already is left out in silence.
  await bob.takes();
  await carol.sends(creation(user("bob", "member"), "", `other@${service}`));
  expect(await hearsOf(carol)).toEqual([`other@${service} affiliations >v owner:carol`, "iq result"]);
  expect(await hearsOf(bob)).toEqual([]);
  await talk.stop();
});

test("a room ends when its owner says so: everybody is told that he is out, without a version", async () => {
  const { talk, alice, bob } = await den();
  await bob.sends(request("set", "destroy"));
  expect(await hearsOf(bob)).toEqual(["iq error not-allowed"]);
  await alice.sends(request("set", "destroy"));
  await alice.receives(
    `<message from='${room}' to='alice@localhost' type='groupchat' id='r1'><x xmlns='${light}#affiliations'><user affiliation='none'>alice@localhost</user></x><x xmlns='${light}#destroy'/><body/></message>`,
  );
  await alice.receives(`<iq type='result' id='r1' from='${room}' to='alice@localhost/phone'/>`);
  expect(await hearsOf(bob)).toEqual(["affiliations none:bob destroyed"]);
  await alice.sends(request("set", "destroy"));
  expect(await hearsOf(alice)).toEqual(["iq error item-not-found"]);
  await talk.stop();
});

test("a room in which nobody is left is over", async () => {
  const { talk, alice, bob, carol } = await den();
  await bob.sends(affiliations(user("bob", "none")));
  await alice.sends(affiliations(user("alice", "none")));
  expect((await hearsOf(alice)).at(-1)).toBe("iq result");
  await carol.sends(creation(""));
  expect(await hearsOf(carol)).toEqual(["affiliations >v owner:carol", "iq result"]);
  await talk.stop();
});

test("an account that is removed leaves all its rooms, and somebody else becomes owner, whatever the option says", async () => {
  const { talk, alice, bob } = await den({ promote_on_last_owner_leave: false });
  await alice.sends(creation("", "", `alone@${service}`));
  await alice.leaves();
  for (const removed of talk.host.registry.accounts.removed) await removed(alice.session.account);
  expect((await bob.takes()).map(told).map((line) => line.replace(/random\d+/g, "v"))).toEqual([
    "affiliations v>v owner:bob none:alice",
  ]);
  await bob.sends(request("get", "affiliations"));
  expect(await hearsOf(bob)).toEqual(["iq result affiliations >v owner:bob"]);
  await bob.sends(creation("", "", `alone@${service}`));
  expect(await hearsOf(bob)).toEqual([`alone@${service} affiliations >v owner:bob`, "iq result"]);
  await talk.stop();
});
