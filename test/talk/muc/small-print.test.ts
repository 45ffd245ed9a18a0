/** XEP-0045, the sentences that are easily overlooked; each test names the section. */
import { expect, test } from "bun:test";
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { vcard } from "../../../src/modules/vcard/vcard.ts";
import type { Element } from "../../../src/xml/element.ts";
import type { Person } from "../../support/conversation.ts";
import {
  adminGet,
  adminSet,
  asks,
  configure,
  enter,
  hears,
  inRoom,
  instant,
  invite,
  items,
  room,
  say,
  service,
  start,
  told,
  user,
} from "./rooms.ts";

const occupantIds = "urn:xmpp:occupant-id:0";
const info = "http://jabber.org/protocol/disco#info";
const conference = "jabber:x:conference";

test("6.4: service and room say that they keep the ids of messages", async () => {
  const { talk, bob } = await inRoom();
  for (const address of [service, room]) {
    const answer = await asks(bob, `<iq type='get' id='i' to='${address}'><query xmlns='${info}'/></iq>`);
    expect(answer.toXml()).toContain("http://jabber.org/protocol/muc#stable_id");
    expect(answer.toXml()).toContain(occupantIds);
  }
  await talk.stop();
});

test("6.6: a stranger who asks an occupant what it can do is told bad-request, an occupant is passed on", async () => {
  const { talk, alice, bob } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  for (const what of ["info", "items"]) {
    const query = `<iq type='get' id='d' to='${room}/Alice'><query xmlns='http://jabber.org/protocol/disco#${what}'/></iq>`;
    expect(told(await asks(carol, query))).toBe("iq error bad-request");
    await alice.receivesNothing();
    await bob.sends(query);
    expect((await alice.takes())[0]!.attr("from")).toBe(`${room}/Bob`);
  }
  await talk.stop();
});

test("7.1: presences of all others, one's own, history, subject, and nothing in between", async () => {
  const { talk, bob } = await inRoom();
  await bob.sends(say("one"));
  await bob.sends(`<message type='groupchat' to='${room}'><subject>tea</subject></message>`);
  await bob.sends(say("two"));
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toEqual([
    "presence Alice owner moderator",
    "presence Bob none participant",
    "presence Carol none participant carol@localhost/pc 110",
    "message groupchat Bob one",
    "message groupchat Bob two",
    "message groupchat Bob subject:tea",
  ]);
  await talk.stop();
});

test("7.2.15: a subject that was taken away is told with its time, one that never was without", async () => {
  const { talk, bob } = await inRoom();
  const subjectFor = async (address: string): Promise<Element> => {
    const person = await talk.login(address);
    await person.sends(enter(address.slice(0, 4)));
    return (await person.takes()).at(-1)!;
  };
  const never = await subjectFor("carol@localhost/pc");
  expect([told(never), never.child("delay", "urn:xmpp:delay")]).toEqual([
    `message groupchat ${room} subject:`,
    undefined,
  ]);
  await bob.sends(`<message type='groupchat' to='${room}'><subject>tea</subject></message>`);
  await bob.sends(`<message type='groupchat' to='${room}'><subject/></message>`);
  const cleared = await subjectFor("dave@localhost/pc");
  expect(told(cleared)).toBe("message groupchat Bob subject:");
  expect(cleared.child("delay", "urn:xmpp:delay")!.attr("from")).toBe(room);
  await talk.stop();
});

test("XEP-0421: everything of an occupant bears his id, the subject one enters with too", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(say("hello"));
  await bob.sends(`<message type='groupchat' to='${room}'><subject>tea</subject></message>`);
  await bob.sends(`<message type='chat' to='${room}/Alice'><body>psst</body></message>`);
  await bob.sends(`<presence to='${room}/Robert'/>`);
  await alice.sends(adminSet("<item nick='Robert' role='none'/>"));
  const ids = (await alice.takes())
    .filter((stanza) => stanza.name !== "iq")
    .map((stanza) => stanza.childrenNamed("occupant-id", occupantIds).map((id) => id.attr("id")));
  expect(ids.length).toBe(6);
  expect(new Set(ids.map((each) => each.join())).size).toBe(1);
  expect(ids[0]!.length).toBe(1);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  const subject = (await carol.takes()).at(-1)!;
  expect(subject.child("occupant-id", occupantIds)!.attr("id")).toBe(ids[0]![0]);
  await talk.stop();
});

test("5.1.1: in a moderated room voice that was taken or given outlasts the visit", async () => {
  const { talk, alice, bob } = await inRoom();
  const comesBack = async (): Promise<string | undefined> => {
    await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
    await bob.takes();
    await bob.sends(enter("Bob"));
    return (await hears(bob)).find((line) => line.startsWith("presence Bob"));
  };
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  expect(await comesBack()).toBe("presence Bob none visitor bob@localhost/pc 110");
  await alice.sends(adminSet("<item nick='Bob' role='participant'/>"));
  expect(await comesBack()).toBe("presence Bob none participant bob@localhost/pc 110");
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='member'/>"));
  expect(await comesBack()).toBe("presence Bob member participant bob@localhost/pc 110");
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  await alice.sends(configure({ "muc#roomconfig_moderatedroom": "0" }));
  expect(await comesBack()).toBe("presence Bob member participant bob@localhost/pc 110");
  await talk.stop();
});

test("7.8.1: who may not invite cannot do it in a private message either, and is told so", async () => {
  const { talk, alice, bob } = await inRoom();
  const direct = `<message type='normal' to='${room}/Alice'><x xmlns='${conference}' jid='trap@elsewhere.org'/></message>`;
  await bob.sends(direct);
  expect(await hears(bob)).toEqual(["message error Alice forbidden"]);
  await alice.receivesNothing();
  await alice.sends(configure({ "muc#roomconfig_allowinvites": "1" }));
  await alice.takes();
  await bob.takes();
  await bob.sends(direct);
  expect((await alice.takes())[0]!.child("x", conference)!.attr("jid")).toBe("trap@elsewhere.org");
  await talk.stop();
});

test("9.5: where members may invite, whom they invite becomes a member; else they may not", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='member'/>"));
  await alice.sends(configure({ "muc#roomconfig_membersonly": "1", "muc#roomconfig_allowinvites": "1" }));
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  await bob.takes();
  await bob.sends(invite("carol@localhost"));
  expect((await carol.takes()).length).toBe(1);
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toContain("presence Carol member participant carol@localhost/pc 110");
  await alice.sends(configure({ "muc#roomconfig_allowinvites": "0" }));
  await bob.takes();
  await bob.sends(invite("dave@localhost"));
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  await talk.stop();
});

test("9.5: who is made a member of a room for members is invited, once, and nobody else is", async () => {
  const { talk, alice } = await inRoom();
  const locks = { "muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "key" };
  await alice.sends(configure({ ...locks, "muc#roomconfig_membersonly": "1" }));
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='member'><reason>come</reason></item>"));
  const [invitation, ...more] = await carol.takes();
  expect(more).toEqual([]);
  const x = invitation!.child("x", user)!;
  expect([x.child("invite")!.attr("from"), x.child("invite")!.childText("reason"), x.childText("password")]).toEqual([
    `${room}/Alice`,
    "come",
    "key",
  ]);
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='member' nick='Caz'/>"));
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='admin'/>"));
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='outcast'/>"));
  await carol.receivesNothing();
  await talk.stop();
});

test("9.5: nobody is invited to an open room by becoming a member", async () => {
  const { talk, alice } = await inRoom();
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='member'/>"));
  await carol.receivesNothing();
  await talk.stop();
});

test("9.5: an empty nickname takes the registered one away", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(adminSet("<item jid='carol@localhost' nick='Caz' affiliation='member'/>"));
  await alice.sends(adminSet("<item jid='carol@localhost' nick='' affiliation='member'/>"));
  const [item] = items(await asks(alice, adminGet("<item affiliation='member'/>")));
  expect([item!.attr("jid"), item!.attr("nick")]).toEqual(["carol@localhost", undefined]);
  const dave = await talk.login("dave@localhost/pc");
  await dave.sends(enter("Caz"));
  expect(await hears(dave)).toContain("presence Caz none participant dave@localhost/pc 110");
  await talk.stop();
});

test("8.2: a moderator may kick himself", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item nick='Alice' role='none'/>"));
  expect(await hears(alice)).toEqual([
    "iq result",
    "presence unavailable Alice owner none alice@localhost/phone by=Alice 307 110",
  ]);
  expect(await hears(bob)).toEqual(["presence unavailable Alice owner none by=Alice 307"]);
  await talk.stop();
});

test("9.1: an affiliation is given to the bare address, whichever is named", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(adminSet("<item jid='carol@localhost/phone' affiliation='outcast'/>"));
  const [item] = items(await asks(alice, adminGet("<item affiliation='outcast'/>")));
  expect(item!.attr("jid")).toBe("carol@localhost");
  expect([item!.attr("nick"), item!.attr("role")]).toEqual([undefined, undefined]);
  await talk.stop();
});

test("17.3: lists of roles bear nickname, role, affiliation and the full address", async () => {
  const { talk, alice } = await inRoom();
  const [item] = items(await asks(alice, adminGet("<item role='participant'/>")));
  expect(["nick", "role", "affiliation", "jid"].map((name) => item!.attr(name))).toEqual([
    "Bob",
    "participant",
    "none",
    "bob@localhost/pc",
  ]);
  await talk.stop();
});

test("17.1: before its owner has configured a room, there is none to write to or ask", async () => {
  const talk = await start();
  const alice = await talk.login("alice@localhost/phone");
  await alice.sends(enter("Alice"));
  const bob = await talk.login("bob@localhost/pc");
  await bob.sends(say("hello?"));
  expect(await hears(bob)).toEqual([`message error ${room} item-not-found`]);
  for (const query of [
    `get' id='i' to='${room}'><query xmlns='${info}`,
    `get' id='i' to='${room}'><query xmlns='jabber:iq:register`,
  ]) {
    expect(told(await asks(bob, `<iq type='${query}'/></iq>`))).toBe("iq error item-not-found");
  }
  // Her other device may go on with what the first has begun.
  const tablet = await talk.login("alice@localhost/tablet");
  expect(told(await asks(tablet, instant))).toBe("iq result");
  await bob.sends(say("hello?"));
  expect(await hears(bob)).toEqual([`message error ${room} not-acceptable`]);
  await talk.stop();
});

test.each([
  [{ "muc#roomconfig_membersonly": "1" }],
  [{ "muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "key" }],
])("6.5: who may not just enter does not see who is there: %j", async (locks) => {
  const { talk, alice } = await inRoom();
  await alice.sends(configure(locks as Record<string, string>));
  await alice.sends(adminSet("<item jid='dave@localhost' affiliation='member'/>"));
  const list = `<iq type='get' id='i' to='${room}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>`;
  const seen = async (address: string) => {
    const answer = await asks(await talk.login(address), list);
    return answer.elements()[0]!.childrenNamed("item").length;
  };
  expect(await seen("carol@localhost/pc")).toBe(0);
  expect(await seen("dave@localhost/pc")).toBeGreaterThan(0);
  await alice.sends(adminSet("<item jid='dave@localhost' affiliation='outcast'/>"));
  expect(await seen("dave@localhost/phone")).toBe(0);
  await talk.stop();
});

test("occupants' cards and pictures are asked of their accounts, without telling who they are", async () => {
  const { talk, alice, bob } = await inRoom({}, { modules: [vcard as ModuleDefinition] });
  await alice.sends("<iq type='set' id='c'><vCard xmlns='vcard-temp'><NICKNAME>Al</NICKNAME></vCard></iq>");
  const answer = await asks(bob, `<iq type='get' id='v' to='${room}/Alice'><vCard xmlns='vcard-temp'/></iq>`);
  expect(answer.attr("from")).toBe(`${room}/Alice`);
  expect(answer.child("vCard", "vcard-temp")!.childText("NICKNAME")).toBe("Al");
  expect(answer.toXml()).not.toContain("alice@localhost");
  await talk.stop();
});

test("a private message reaches every device behind the nickname, and no other", async () => {
  const { talk, alice, bob } = await inRoom({ default_room: { allow_multiple_sessions: true } });
  const phone = await talk.login("bob@localhost/phone");
  await phone.sends(enter("Bob"));
  for (const person of [alice, bob, phone]) await person.takes();
  await alice.sends(`<message type='chat' id='pm' to='${room}/Bob'><body>psst</body></message>`);
  for (const device of [bob, phone]) expect(await hears(device)).toEqual(["message chat Alice psst"]);
  await alice.receivesNothing();
  await talk.stop();
});

test("the archive of a semi-anonymous room names real addresses to moderators alone", async () => {
  const archives = { modules: [mam as ModuleDefinition], options: { mod_mam: { muc: {} } } };
  const { talk, alice, bob } = await inRoom({}, archives);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect((await hears(carol)).filter((line) => line.startsWith("presence Carol"))).toEqual([
    "presence Carol none participant carol@localhost/pc 170 110",
  ]);
  await bob.sends(say("hello"));
  const query = `<iq type='set' id='q' to='${room}'><query xmlns='urn:xmpp:mam:2'/></iq>`;
  const archived = async (person: Person): Promise<string> => {
    await person.takes();
    await person.sends(query);
    return (await person.takes()).find((stanza) => stanza.child("result", "urn:xmpp:mam:2"))!.toXml();
  };
  expect(await archived(carol)).not.toContain("bob@localhost");
  expect(await archived(alice)).toContain("bob@localhost/pc");
  await alice.sends(configure({ "muc#roomconfig_whois": "anyone" }));
  expect(await archived(carol)).toContain("bob@localhost/pc");
  await talk.stop();
});

test.each(["leaves", "is lost"])("10.1: a room whose maker %s before he has configured it is gone", async (how) => {
  const talk = await start({ default_room: { persistent: true } });
  const alice = await talk.login("alice@localhost/phone");
  await alice.sends(enter("Alice"));
  if (how === "leaves") await alice.sends(`<presence type='unavailable' to='${room}/Alice'/>`);
  else await alice.leaves("lost");
  const bob = await talk.login("bob@localhost/pc");
  await bob.sends(enter("Bob"));
  expect((await hears(bob))[0]).toBe("presence Bob owner moderator bob@localhost/pc 201 110");
  await talk.stop();
});

test("10.2: the form makes and unmakes admins and owners, and everybody is told", async () => {
  const { talk, alice, bob } = await inRoom();
  const after = async (fields: Record<string, string | string[]>): Promise<string[]> => {
    await alice.takes();
    await bob.takes();
    await alice.sends(configure(fields));
    return hears(bob);
  };
  const admins = "muc#roomconfig_roomadmins";
  const owners = "muc#roomconfig_roomowners";
  expect(await after({ [admins]: "bob@localhost" })).toEqual(["presence Bob admin moderator bob@localhost/pc 110"]);
  expect(await hears(alice)).toEqual(["iq result", "presence Bob admin moderator bob@localhost/pc"]);
  expect(await after({ [admins]: [] })).toEqual(["presence Bob none participant bob@localhost/pc 110"]);
  expect(await after({ [owners]: ["alice@localhost", "bob@localhost"] })).toEqual([
    "presence Bob owner moderator bob@localhost/pc 110",
  ]);
  expect(await after({ [owners]: "bob@localhost", [admins]: "alice@localhost" })).toEqual([
    "presence Alice admin moderator alice@localhost/phone",
  ]);
  expect((await after({ [admins]: [] })).length).toBe(0);
  expect(await hears(alice)).toEqual(["iq error forbidden"]);
  await talk.stop();
});

test("10.2.1: what concerns privacy is told by codes of its own", async () => {
  const archives = { modules: [mam as ModuleDefinition], options: { mod_mam: { muc: {} } } };
  const { talk, alice, bob } = await inRoom({}, archives);
  const codes = async (field: string, value: string): Promise<string[]> => {
    await alice.sends(configure({ [`muc#roomconfig_${field}`]: value }));
    return (await hears(bob)).map((line) => line.replace(`message groupchat ${room} `, ""));
  };
  expect(await codes("enablelogging", "0")).toEqual(["171"]);
  expect(await codes("enablelogging", "1")).toEqual(["170"]);
  expect(await codes("whois", "anyone")).toEqual(["172"]);
  expect(await codes("whois", "moderators")).toEqual(["173"]);
  expect(await codes("roomdesc", "for all")).toEqual(["104"]);
  expect(await codes("roomdesc", "for all")).toEqual([]);
  await talk.stop();
});

test("7.5: neither to somebody who is not there, nor from somebody who is not there", async () => {
  const { talk, alice } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(`<message type='chat' to='${room}/Alice'><body>psst</body></message>`);
  expect(await hears(carol)).toEqual(["message error Alice not-acceptable"]);
  await alice.receivesNothing();
  await talk.stop();
});

test.each(["subscribe", "probe", "unsubscribed"])(
  "17.3: presence of type %s neither enters nor leaves",
  async (type) => {
    const { talk, alice, bob } = await inRoom();
    const carol = await talk.login("carol@localhost/pc");
    for (const person of [bob, carol]) {
      await talk.arrives(`<presence type='${type}' from='${person.session.jid.full}' to='${room}/Bob'/>`);
    }
    for (const person of [alice, bob, carol]) await person.receivesNothing();
    await bob.sends(say("still here"));
    expect(await hears(bob)).toEqual(["message groupchat Bob still here"]);
    await talk.stop();
  },
);
