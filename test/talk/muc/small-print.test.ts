/** XEP-0045, the sentences that are easily overlooked; each test names the section. */
import { describe, expect, test } from "bun:test";
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { vcard } from "../../../src/modules/vcard/vcard.ts";
import type { Element } from "../../../src/xml/element.ts";
import type { Person } from "../../support/conversation.ts";
import {
  admin,
  adminGet,
  adminSet,
  configure,
  enter,
  forms,
  hears,
  inRoom,
  instant,
  room,
  say,
  service,
  start,
  told,
  user,
} from "./rooms.ts";

const muc = "http://jabber.org/protocol/muc";
const occupantIds = "urn:xmpp:occupant-id:0";
const info = "http://jabber.org/protocol/disco#info";
const conference = "jabber:x:conference";
const rsm = "http://jabber.org/protocol/rsm";

/** What comes back for an IQ alone. */
async function asks(person: Person, iq: string): Promise<Element> {
  await person.takes();
  await person.sends(iq);
  return (await person.takes()).find((stanza) => stanza.name === "iq")!;
}

const items = (answer: Element) => answer.child("query", admin)!.childrenNamed("item");
const invite = (to: string) => `<message to='${room}'><x xmlns='${user}'><invite to='${to}'/></x></message>`;

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

test.each([
  ["a space", "\u00a0", "not-acceptable"],
  ["a space and a letter", "\u00a0x", "not-acceptable"],
  ["a space without width", "\u200b", "jid-malformed"],
  ["a turn of the direction of writing", "\u202ex", "jid-malformed"],
  ["1,024 letters", "x".repeat(1_024), "jid-malformed"],
])("17.1: %s is no nickname", async (_what, nick, condition) => {
  const { talk, bob } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter(nick));
  const [error] = await hears(carol);
  expect(error).toStartWith("presence error");
  expect(error).toEndWith(condition);
  await bob.receivesNothing();
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

test.each([
  [
    "<item jid='carol@localhost' affiliation='member'/><item jid='Carol@localhost/x' affiliation='none'/>",
    "bad-request",
  ],
  ["<item nick='Bob' role='visitor'/><item nick='Bob' role='participant'/>", "bad-request"],
  [
    "<item jid='carol@localhost' nick='Caz' affiliation='member'/><item jid='dave@localhost' nick='CAZ' affiliation='member'/>",
    "conflict",
  ],
])("a request that contradicts itself changes nothing: %s", async (request, condition) => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
  await alice.takes();
  await bob.takes();
  await alice.sends(adminSet(request));
  expect(await hears(alice)).toEqual([`iq error ${condition}`]);
  await bob.receivesNothing();
  expect(items(await asks(alice, adminGet("<item affiliation='member'/>"))).length).toBe(0);
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

test("a list that is asked for many times is given once", async () => {
  const { talk, alice } = await inRoom();
  expect(items(await asks(alice, adminGet("<item affiliation='owner'/>".repeat(200)))).length).toBe(1);
  expect(told(await asks(alice, adminGet("<item affiliation='owner'/>".repeat(201))))).toBe("iq error bad-request");
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
  await alice.sends(instant);
  await bob.sends(say("hello?"));
  expect(await hears(bob)).toEqual([`message error ${room} not-acceptable`]);
  await talk.stop();
});

test("a refusal of an invitation by somebody who is banned reaches nobody", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='outcast'/>"));
  await alice.takes();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(`<message to='${room}'><x xmlns='${user}'><decline to='${room}/Alice'/></x></message>`);
  expect(await hears(carol)).toEqual([`message error ${room} forbidden`]);
  await alice.receivesNothing();
  await talk.stop();
});

test("requests that others are to decide on come no faster than one a minute, and so do refusals", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  await alice.sends(configure({ "muc#roomconfig_membersonly": "1" }));
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='member'/>"));
  await bob.sends(enter("Bob"));
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  const carol = await talk.login("carol@localhost/pc");
  for (const person of [alice, bob, carol]) await person.takes();
  const submitted = (type: string, field: string, value: string) =>
    `<x xmlns='${forms}' type='submit'><field var='FORM_TYPE'><value>${muc}#${type}</value></field><field var='${field}'><value>${value}</value></field></x>`;
  const voice = `<message to='${room}'>${submitted("request", "muc#role", "participant")}</message>`;
  const membership = `<iq type='set' id='r' to='${room}'><query xmlns='jabber:iq:register'>${submitted("register", "muc#register_roomnick", "Caz")}</query></iq>`;
  const decline = `<message to='${room}'><x xmlns='${user}'><decline to='${room}/Alice'/></x></message>`;
  for (const round of [1, 2]) {
    await bob.sends(voice);
    await bob.sends(voice);
    for (const request of [membership, membership, decline, decline]) await carol.sends(request);
    expect([round, (await alice.takes()).length]).toEqual([round, 3]);
    expect(await hears(bob)).toEqual([`message error ${room} resource-constraint`]);
    expect(await hears(carol)).toEqual([
      "iq result",
      "iq error resource-constraint",
      `message error ${room} resource-constraint`,
    ]);
    await talk.clock.advance(60_000);
  }
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

test("invitations come no faster than messages may", async () => {
  const { talk, alice } = await inRoom({ min_message_interval: 10 });
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  await alice.sends(invite("carol@localhost"));
  await alice.sends(invite("carol@localhost"));
  expect((await carol.takes()).length).toBe(1);
  expect(await hears(alice)).toEqual([`message error ${room} resource-constraint`]);
  await alice.sends(
    `<message to='${room}'><x xmlns='${user}'>${"<invite to='carol@localhost'/>".repeat(21)}</x></message>`,
  );
  expect(await hears(alice)).toEqual([`message error ${room} policy-violation`]);
  await talk.stop();
});

test("who leaves and comes back again and again is told to wait", async () => {
  const { talk, alice, bob } = await inRoom({ min_presence_interval: 10 });
  await talk.clock.advance(10_000);
  const again = async (): Promise<string[]> => {
    await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
    await bob.takes();
    await alice.takes();
    await bob.sends(enter("Bob"));
    return hears(bob);
  };
  expect(await again()).toContain("presence Bob none participant bob@localhost/pc 110");
  expect(await again()).toEqual(["presence error Bob resource-constraint"]);
  await alice.receivesNothing();
  await talk.clock.advance(10_000);
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toContain("presence Bob none participant bob@localhost/pc 110");
  await talk.stop();
});

test("a service that is not for everybody is closed to all others in every way", async () => {
  const { talk, alice } = await inRoom({ access: "friends" }, { access: { friends: "deny" } });
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toEqual(["presence error Carol forbidden"]);
  expect(told(await asks(carol, `<iq type='get' id='i' to='${room}'><query xmlns='${info}'/></iq>`))).toBe(
    "iq error forbidden",
  );
  await carol.sends(say("hello"));
  expect(await hears(carol)).toEqual([`message error ${room} forbidden`]);
  // Whoever is in may leave.
  await carol.sends(`<presence type='unavailable' to='${room}/Carol'/>`);
  await carol.receivesNothing();
  await alice.receivesNothing();
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

test.each([
  [`<query xmlns='http://jabber.org/protocol/muc#owner'/>`, "bad-request"],
  [`<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}' type='result'/></query>`, "bad-request"],
  [`<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}'/></query>`, "bad-request"],
  [
    `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}' type='submit'><field var='FORM_TYPE'><value>other</value></field></x></query>`,
    "bad-request",
  ],
  [
    `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}' type='submit'><field><value>1</value></field></x></query>`,
    "bad-request",
  ],
  [`<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='@'/></query>`, "jid-malformed"],
])("10.2: what is no form of configuration changes nothing: %s", async (query, condition) => {
  const { talk, alice, bob } = await inRoom();
  expect(told(await asks(alice, `<iq type='set' id='c' to='${room}'>${query}</iq>`))).toBe(`iq error ${condition}`);
  await bob.receivesNothing();
  await talk.stop();
});

test.each([
  [{ "muc#roomconfig_maxusers": "1e2" }, "not-acceptable"],
  [{ "muc#roomconfig_maxusers": "0x10" }, "not-acceptable"],
  [{ "muc#roomconfig_maxusers": "-1" }, "not-acceptable"],
  [{ "muc#roomconfig_membersonly": [] }, "bad-request"],
  [{ "muc#roomconfig_whois": [] }, "not-acceptable"],
  [{ "muc#roomconfig_roomsecret": "x".repeat(1_001) }, "not-acceptable"],
  [{ "muc#roomconfig_roomowners": Array.from({ length: 1_001 }, (_, at) => `u${at}@localhost`) }, "policy-violation"],
])("10.2: a field of the wrong type is refused: %j", async (fields, condition) => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure(fields as Record<string, string>));
  expect(await hears(alice)).toEqual([`iq error ${condition}`]);
  await bob.receivesNothing();
  await talk.stop();
});

describe("a room with 10,000 affiliations", () => {
  /** Alice's room, on whose lists are 5,000 members and 4,999 outcasts, each banned for a long reason. */
  async function crowded() {
    const { talk, alice, bob } = await inRoom({ max_affiliations: 10_000, hibernate_timeout: 1_000 });
    await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
    for (const person of [alice, bob]) await person.sends(`<presence type='unavailable' to='${room}/x'/>`);
    await talk.clock.advance(20_000);
    const rows = [
      ...names("member", 5_000).map((jid) => ({ jid, affiliation: "member", reason: null })),
      ...names("outcast", 4_999).map((jid) => ({ jid, affiliation: "outcast", reason: "x".repeat(1_000) })),
    ].map((row) => ({ domain: service, room: "den", nick: null, ...row }));
    const tables = talk.store.tables<{ muc_affiliations: (typeof rows)[number] }>();
    for (let at = 0; at < rows.length; at += 1_000) {
      await tables
        .insertInto("muc_affiliations")
        .values(rows.slice(at, at + 1_000))
        .execute();
    }
    await alice.sends(enter("Alice"));
    await bob.sends(enter("Bob"));
    for (const person of [alice, bob]) await person.takes();
    return { talk, alice, bob };
  }

  const names = (word: string, count: number) =>
    Array.from({ length: count }, (_, at) => `${word}${String(at).padStart(4, "0")}@example.org`);

  /** The addresses of a page, and its `<set/>` in one line. */
  async function page(person: Person, affiliation: string, set = ""): Promise<{ jids: string[]; set: string }> {
    const within = set === "" ? "" : `<set xmlns='${rsm}'>${set}</set>`;
    const answer = await asks(person, adminGet(`<item affiliation='${affiliation}'/>${within}`));
    if (answer.attr("type") === "error") return { jids: [], set: told(answer) };
    const query = answer.child("query", admin)!;
    const said = query.child("set", rsm);
    const words = said === undefined ? [] : [said.child("first")?.attr("index"), said.childText("count")];
    return { jids: query.childrenNamed("item").map((item) => item.attr("jid")!), set: words.join(" of ") };
  }

  test("is told in full where that is no longer than half a million characters", async () => {
    const { talk, alice } = await crowded();
    expect((await page(alice, "member")).jids.length).toBe(5_000);
    const two = await page(alice, "member", "<max>2</max><index>7</index>");
    expect([two.jids.length, two.set]).toEqual([2, "7 of 5000"]);
    await talk.stop();
  });

  test("is told in pages where it is longer, forwards and backwards", async () => {
    const { talk, alice } = await crowded();
    const first = await page(alice, "outcast");
    expect(first.set).toBe("0 of 4999");
    expect(first.jids.length).toBeGreaterThan(400);
    expect(first.jids.length).toBeLessThan(500);
    const all = [...first.jids];
    while (all.length < 4_999) all.push(...(await page(alice, "outcast", `<after>${all.at(-1)}</after>`)).jids);
    expect(all.toSorted()).toEqual(names("outcast", 4_999));
    const last = await page(alice, "outcast", "<max>3</max><before/>");
    expect(last).toEqual({ jids: all.slice(-3), set: "4996 of 4999" });
    const end = await page(alice, "outcast", "<before/>");
    expect(end.jids).toEqual(all.slice(-end.jids.length));
    expect(end.set).toBe(`${4_999 - end.jids.length} of 4999`);
    expect((await page(alice, "outcast", "<max>0</max>")).set).toBe(" of 4999");
    expect((await page(alice, "outcast", "<after>nobody</after>")).set).toBe("iq error item-not-found");
    await talk.stop();
  });

  test("takes nobody more", async () => {
    const { talk, alice, bob } = await crowded();
    expect(told(await asks(alice, adminSet("<item jid='carol@localhost' affiliation='member'/>")))).toBe(
      "iq error resource-constraint",
    );
    await bob.receivesNothing();
    // Whoever is on it can be something else, and makes place.
    expect(told(await asks(alice, adminSet("<item jid='member0001@example.org' affiliation='outcast'/>")))).toBe(
      "iq result",
    );
    expect(told(await asks(alice, adminSet("<item jid='member0002@example.org' affiliation='none'/>")))).toBe(
      "iq result",
    );
    expect(told(await asks(alice, adminSet("<item jid='carol@localhost' affiliation='member'/>")))).toBe("iq result");
    await talk.stop();
  });
});
