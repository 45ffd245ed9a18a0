/** XEP-0045 sections 8 to 10: roles and affiliations, and who may change whose. */
import { expect, test } from "bun:test";
import type { Person } from "../../support/conversation.ts";
import {
  admin,
  adminGet,
  adminSet,
  configure,
  enter,
  hears,
  inRoom,
  owner,
  room,
  say,
  service,
  told,
} from "./rooms.ts";

async function lists(person: Person, item: string): Promise<string[]> {
  await person.takes();
  await person.sends(adminGet(item));
  const [answer] = await person.takes();
  if (answer!.attr("type") === "error") return [told(answer!)];
  return answer!
    .child("query", admin)!
    .childrenNamed("item")
    .map((one) => [one.attr("jid"), one.attr("nick"), one.attr("role")].filter((word) => word !== undefined).join(" "))
    .sort();
}

test("a moderator puts an occupant out (307)", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item nick='Bob' role='none'><reason>bye</reason></item>"));
  expect(await hears(bob)).toEqual(["presence unavailable Bob none none bob@localhost/pc by=Alice (bye) 307 110"]);
  expect(await hears(alice)).toEqual([
    "iq result",
    "presence unavailable Bob none none bob@localhost/pc by=Alice (bye) 307",
  ]);
  await talk.stop();
});

test("voice is taken and given, moderators are made and unmade", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  expect(await hears(bob)).toEqual(["presence Bob none visitor bob@localhost/pc by=Alice 110"]);
  await bob.sends(say("mute?"));
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  await alice.sends(adminSet("<item nick='Bob' role='moderator'/>"));
  await bob.takes();
  expect(await lists(bob, "<item role='moderator'/>")).toEqual([
    "alice@localhost/phone Alice moderator",
    "bob@localhost/pc Bob moderator",
  ]);
  await alice.sends(adminSet("<item nick='Bob' role='participant'/>"));
  expect(await lists(bob, "<item role='moderator'/>")).toEqual(["iq error forbidden"]);
  await talk.stop();
});

test.each([
  ["participant", "<item nick='Alice' role='none'/>", "forbidden"],
  ["participant", "<item nick='Bob' role='moderator'/>", "forbidden"],
  ["participant", "<item jid='bob@localhost' affiliation='owner'/>", "forbidden"],
  ["moderator", "<item nick='Alice' role='none'/>", "not-allowed"],
  ["moderator", "<item nick='Alice' role='visitor'/>", "not-allowed"],
  ["moderator", "<item nick='Bob' role='moderator'/>", "not-allowed"],
  ["moderator", "<item jid='bob@localhost' affiliation='member'/>", "forbidden"],
  ["admin", "<item nick='Alice' role='none'/>", "not-allowed"],
  ["admin", "<item jid='alice@localhost' affiliation='outcast'/>", "not-allowed"],
  ["admin", "<item jid='alice@localhost' affiliation='none'/>", "not-allowed"],
  ["admin", "<item jid='carol@localhost' affiliation='admin'/>", "not-allowed"],
  ["admin", "<item jid='bob@localhost' affiliation='owner'/>", "not-allowed"],
  ["admin", "<item nick='Nobody' role='none'/>", "item-not-found"],
  ["owner", "<item jid='bob@localhost' affiliation='outcast'/>", "conflict"],
  ["owner", "<item jid='localhost' affiliation='outcast'/>", "conflict"],
  ["owner", "<item jid='@' affiliation='member'/>", "jid-malformed"],
  ["owner", "<item jid='example.org' affiliation='owner'/>", "not-acceptable"],
  ["owner", "<item jid='carol@localhost' affiliation='king'/>", "bad-request"],
  ["owner", "<item jid='carol@localhost' nick='Alice' affiliation='member'/>", "conflict"],
  ["owner", "<item nick='Alice' role='none' affiliation='none'/>", "bad-request"],
  ["owner", "<item nick='Alice' role='none'/><item jid='carol@localhost' affiliation='member'/>", "bad-request"],
  ["owner", "", "bad-request"],
])("a %s who asks for %s is told %s", async (rank, items, condition) => {
  const { talk, alice, bob } = await inRoom();
  if (rank === "moderator") await alice.sends(adminSet("<item nick='Bob' role='moderator'/>"));
  else if (rank !== "participant") await alice.sends(adminSet(`<item jid='bob@localhost' affiliation='${rank}'/>`));
  await bob.takes();
  await alice.takes();
  await bob.sends(adminSet(items));
  expect(await hears(bob)).toEqual([`iq error ${condition}`]);
  await alice.receivesNothing();
  await talk.stop();
});

test("the last owner stays owner", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item jid='alice@localhost' affiliation='admin'/>"));
  expect(await hears(alice)).toEqual(["iq error conflict"]);
  await alice.sends(configure({ "muc#roomconfig_roomowners": [] }));
  expect(await hears(alice)).toEqual(["iq error conflict"]);
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='owner'/>"));
  expect((await hears(bob)).at(-1)).toBe("presence Bob owner moderator bob@localhost/pc by=Alice 110");
  await alice.takes();
  await alice.sends(adminSet("<item jid='alice@localhost' affiliation='member'/>"));
  expect(await hears(alice)).toEqual([
    "iq result",
    "presence Alice member participant alice@localhost/phone by=Alice 110",
  ]);
  await talk.stop();
});

test("a request is done whole or not at all", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(
    adminSet("<item jid='carol@localhost' affiliation='member'/><item jid='alice@localhost' affiliation='none'/>"),
  );
  expect(await hears(alice)).toEqual(["iq error conflict"]);
  expect(await lists(alice, "<item affiliation='member'/>")).toEqual([]);
  await talk.stop();
});

test("who may see which list", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item jid='carol@localhost' nick='Caz' affiliation='member'/>"));
  await alice.sends(adminSet("<item jid='dave@localhost' affiliation='outcast'><reason>spam</reason></item>"));
  expect(await lists(alice, "<item affiliation='member'/>")).toEqual(["carol@localhost Caz"]);
  expect(await lists(alice, "<item affiliation='outcast'/>")).toEqual(["dave@localhost"]);
  expect(await lists(alice, "<item affiliation='owner'/><item affiliation='member'/>")).toEqual([
    "alice@localhost",
    "carol@localhost Caz",
  ]);
  expect(await lists(bob, "<item affiliation='member'/>")).toEqual(["iq error forbidden"]);
  await alice.sends(configure({ "muc#roomconfig_getmemberlist": ["participant"] }));
  expect(await lists(bob, "<item affiliation='member'/>")).toEqual(["carol@localhost Caz"]);
  expect(await lists(bob, "<item affiliation='outcast'/>")).toEqual(["iq error forbidden"]);
  expect(await lists(bob, "<item affiliation='none'/>")).toEqual(["iq error bad-request"]);
  expect(await lists(bob, "<item role='visitor'/>")).toEqual(["iq error forbidden"]);
  await talk.stop();
});

test("those who see addresses learn of changes to who is away", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='member'/>"));
  expect(await hears(alice)).toEqual(["iq result", `message groupchat ${room} member none carol@localhost`]);
  await bob.receivesNothing();
  await talk.stop();
});

test("whole domains are banned", async () => {
  const { talk, alice } = await inRoom();
  await talk.arrives(enter("Eve").replace("<presence", "<presence from='eve@evil.example/x'"));
  await alice.takes();
  await alice.sends(adminSet("<item jid='evil.example' affiliation='outcast'/>"));
  await talk.arrives(enter("Eve").replace("<presence", "<presence from='eve@evil.example/x'"));
  expect((await hears(alice)).filter((line) => line.startsWith("presence"))).toEqual([]);
  await talk.stop();
});

test("administrators of the service own every room", async () => {
  const { talk, bob } = await inRoom({ access_admin: "root" }, { access: { root: "allow" } });
  await bob.sends(configure({ "muc#roomconfig_roomname": "Mine" }));
  expect((await hears(bob))[0]).toBe("iq result");
  await talk.stop();
});

test("an owner destroys the room: everybody is told once, with the other place and its password", async () => {
  const { talk, alice, bob } = await inRoom();
  const destroy = `<iq type='set' id='d' to='${room}'><query xmlns='${owner}'><destroy jid='cave@${service}'><password>key</password><reason>moved</reason></destroy></query></iq>`;
  await bob.sends(destroy);
  expect(await hears(bob)).toEqual(["iq error forbidden"]);
  await alice.sends(destroy);
  const [farewell] = await bob.takes();
  expect(told(farewell!)).toBe(`presence unavailable Bob none none 110 destroyed cave@${service}`);
  const element = farewell!.child("x", "http://jabber.org/protocol/muc#user")!.child("destroy")!;
  expect([element.childText("password"), element.childText("reason")]).toEqual(["key", "moved"]);
  expect(await hears(alice)).toEqual([
    "iq result",
    `presence unavailable Alice none none 110 destroyed cave@${service}`,
  ]);
  await bob.sends(say("anybody?"));
  expect((await hears(bob))[0]).toEndWith("item-not-found");
  await bob.sends(enter("Bob"));
  expect((await hears(bob))[0]).toBe("presence Bob owner moderator bob@localhost/pc 201 110");
  await talk.stop();
});
