/** XEP-0045 sections 6 and 10: configuring, finding and keeping rooms; nicknames registered; pictures. */
import { expect, test } from "bun:test";
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import type { RoomAdministration } from "../../../src/modules/muc/administration.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import type { Element } from "../../../src/xml/element.ts";
import type { Person } from "../../support/conversation.ts";
import {
  adminSet,
  asks,
  configure,
  enter,
  forms,
  hears,
  inRoom,
  instant,
  owner,
  room,
  say,
  service,
  start,
  told,
} from "./rooms.ts";

const info = "http://jabber.org/protocol/disco#info";
const items = "http://jabber.org/protocol/disco#items";

const getInfo = (to: string, node = ""): string =>
  `<iq type='get' id='i' to='${to}'><query xmlns='${info}'${node === "" ? "" : ` node='${node}'`}/></iq>`;
const getItems = (to: string, set = ""): string =>
  `<iq type='get' id='i' to='${to}'><query xmlns='${items}'>${set}</query></iq>`;
const rsm = (inside: string): string => `<set xmlns='http://jabber.org/protocol/rsm'>${inside}</set>`;

function features(answer: Element): string[] {
  return answer
    .child("query", info)!
    .childrenNamed("feature")
    .map((feature) => feature.attr("var")!);
}

function fieldsOf(form: Element): Map<string, string[]> {
  return new Map(
    form
      .childrenNamed("field")
      .map((field) => [field.attr("var")!, field.childrenNamed("value").map((value) => value.text())]),
  );
}

test("the configuration form shows every registered field, for owners only", async () => {
  const { talk, alice, bob } = await inRoom();
  const get = `<iq type='get' id='c' to='${room}'><query xmlns='${owner}'/></iq>`;
  expect(told(await asks(bob, get))).toBe("iq error forbidden");
  const form = (await asks(alice, get)).child("query", owner)!.child("x", forms)!;
  const fields = fieldsOf(form);
  for (const name of [
    "allowpm allowinvites changesubject getmemberlist lang pubsub maxusers membersonly moderatedroom",
    "passwordprotectedroom persistentroom presencebroadcast publicroom roomadmins roomdesc roomname roomowners roomsecret whois",
  ]
    .join(" ")
    .split(" ")) {
    expect(fields.has(`muc#roomconfig_${name}`)).toBe(true);
  }
  expect(fields.get("muc#roomconfig_roomowners")).toEqual(["alice@localhost"]);
  expect(fields.get("muc#roomconfig_whois")).toEqual(["moderators"]);
  expect(told(await asks(bob, configure({ "muc#roomconfig_roomname": "Bob's" })))).toBe("iq error forbidden");
  await talk.stop();
});

test.each([
  [{ "muc#roomconfig_maxusers": "0" }, "not-acceptable"],
  [{ "muc#roomconfig_maxusers": "9999" }, "not-acceptable"],
  [{ "muc#roomconfig_persistentroom": "maybe" }, "bad-request"],
  [{ "muc#roomconfig_whois": "nobody" }, "not-acceptable"],
  [{ "muc#roomconfig_passwordprotectedroom": "1" }, "not-acceptable"],
  [{ "muc#roomconfig_roomname": "x".repeat(2_000) }, "not-acceptable"],
  [{ "muc#roomconfig_roomadmins": ["@@"] }, "jid-malformed"],
  [{ "muc#maxhistoryfetch": "1000000" }, "not-acceptable"],
  [{ "muc#roomconfig_presencebroadcast": ["king"] }, "not-acceptable"],
  [Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`x${at}`, "1"])), "policy-violation"],
])("a form with %j is refused with %s and changes nothing", async (fields, condition) => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure(fields as Record<string, string>));
  expect(await hears(alice)).toEqual([`iq error ${condition}`]);
  await bob.receivesNothing();
  await talk.stop();
});

test("occupants are told of changes by status codes; of none when there are none", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_whois": "anyone", "muc#roomconfig_roomname": "Den" }));
  expect(await hears(bob)).toEqual([`message groupchat ${room} 172 104`]);
  await alice.sends(configure({}));
  await bob.receivesNothing();
  await talk.stop();
});

test("cancelling the first configuration destroys the room, later ones do nothing", async () => {
  const talk = await start();
  const alice = await talk.login("alice@localhost/phone");
  const cancel = `<iq type='set' id='c' to='${room}'><query xmlns='${owner}'><x xmlns='${forms}' type='cancel'/></query></iq>`;
  await alice.sends(enter("Alice"));
  await alice.takes();
  await alice.sends(cancel);
  expect(await hears(alice)).toEqual(["iq result", "presence unavailable Alice none none 110 destroyed"]);
  await alice.sends(enter("Alice"));
  await alice.sends(instant);
  await alice.takes();
  await alice.sends(cancel);
  expect(await hears(alice)).toEqual(["iq result"]);
  await talk.stop();
});

test("presence of some roles only: visitors come and go unseen", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_presencebroadcast": ["moderator", "participant"] }));
  await alice.takes();
  await bob.takes();
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  expect((await hears(alice)).filter((line) => line.startsWith("presence unavailable Bob")).length).toBe(1);
  expect((await hears(bob)).length).toBe(1);
  await bob.leaves();
  await alice.receivesNothing();
  await talk.stop();
});

test("a room says what it is, and who asks after its traffic or an unknown node is told so", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_roomname": "The den", "muc#roomconfig_roomdesc": "for all" }));
  const answer = await asks(bob, getInfo(room));
  const all = features(answer);
  for (const feature of [
    "http://jabber.org/protocol/muc",
    "muc_public",
    "muc_temporary",
    "muc_open",
    "muc_moderated",
  ]) {
    expect(all).toContain(feature);
  }
  for (const feature of ["muc_semianonymous", "muc_unsecured", "urn:xmpp:occupant-id:0", "vcard-temp"]) {
    expect(all).toContain(feature);
  }
  expect(new Set(all).size).toBe(all.length);
  expect(answer.child("query", info)!.child("identity")!.attr("name")).toBe("The den");
  const fields = fieldsOf(answer.child("query", info)!.child("x", forms)!);
  expect(fields.get("muc#roominfo_description")).toEqual(["for all"]);
  expect(fields.get("muc#roominfo_occupants")).toEqual(["2"]);
  expect(told(await asks(bob, getInfo(room, "http://jabber.org/protocol/muc#traffic")))).toBe(
    "iq error service-unavailable",
  );
  expect(told(await asks(bob, getInfo(room, "nothing")))).toBe("iq error item-not-found");
  expect(told(await asks(bob, getInfo(`nowhere@${service}`)))).toBe("iq error item-not-found");
  await talk.stop();
});

test("the service lists rooms that may be found, in pages", async () => {
  const talk = await start();
  const alice = await talk.login("alice@localhost/phone");
  for (const name of ["b", "d", "a", "c"]) {
    const address = `${name}@${service}`;
    await alice.sends(enter("Alice", "", address));
    // Two of them are in the database, two in memory alone.
    const persistent = name === "a" || name === "d" ? "1" : "0";
    await alice.sends(configure({ "muc#roomconfig_persistentroom": persistent }, address));
  }
  await alice.sends(enter("Alice", "", `hidden@${service}`));
  await alice.sends(configure({ "muc#roomconfig_publicroom": "0" }, `hidden@${service}`));
  const listed = async (set: string): Promise<[string[], string | undefined]> => {
    const query = (await asks(alice, getItems(service, set))).child("query", items)!;
    const first = query.child("set", "http://jabber.org/protocol/rsm")?.child("first")?.attr("index");
    return [query.childrenNamed("item").map((item) => item.attr("jid")!.split("@")[0]!), first];
  };
  expect(await listed("")).toEqual([["a", "b", "c", "d"], undefined]);
  expect(await listed(rsm("<max>2</max>"))).toEqual([["a", "b"], "0"]);
  expect(await listed(rsm(`<max>2</max><after>b@${service}</after>`))).toEqual([["c", "d"], "2"]);
  expect(await listed(rsm(`<max>2</max><before>d@${service}</before>`))).toEqual([["b", "c"], "1"]);
  expect(await listed(rsm("<max>3</max><before/>"))).toEqual([["b", "c", "d"], "1"]);
  expect(await listed(rsm("<max>2</max><index>1</index>"))).toEqual([["b", "c"], "1"]);
  expect(await listed(rsm("<max>0</max>"))).toEqual([[], undefined]);
  expect(told(await asks(alice, getItems(service, rsm("<max>x</max>"))))).toBe("iq error bad-request");
  expect(told(await asks(alice, getItems(service, rsm("<after>elsewhere</after>"))))).toBe("iq error item-not-found");
  await talk.stop();
});

test("who is in a room is listed where that is no secret", async () => {
  const { talk, alice, bob } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  const who = async (person: Person, set = ""): Promise<string[]> =>
    (await asks(person, getItems(room, set)))
      .child("query", items)!
      .childrenNamed("item")
      .map((item) => item.attr("jid")!);
  expect(await who(carol)).toEqual([`${room}/Alice`, `${room}/Bob`]);
  expect(await who(carol, rsm(`<max>1</max><after>${room}/Alice</after>`))).toEqual([`${room}/Bob`]);
  await alice.sends(configure({ public_list: "0" }));
  expect(await who(carol)).toEqual([]);
  expect((await who(bob)).length).toBe(2);
  await talk.stop();
});

test("the service names rooms nobody has (XEP-0307), answers pings, and knows nothing else", async () => {
  const talk = await start();
  const alice = await talk.login("alice@localhost/phone");
  const unique = "http://jabber.org/protocol/muc#unique";
  const answer = await asks(alice, `<iq type='get' id='u' to='${service}'><unique xmlns='${unique}'/></iq>`);
  expect(answer.child("unique", unique)!.text()).toMatch(/^[0-9a-f]{30}$/);
  expect(told(await asks(alice, `<iq type='get' id='u' to='${service}'><ping xmlns='urn:xmpp:ping'/></iq>`))).toBe(
    "iq result",
  );
  expect(told(await asks(alice, `<iq type='get' id='u' to='${service}'><query xmlns='x'/></iq>`))).toBe(
    "iq error service-unavailable",
  );
  expect(features(await asks(alice, getInfo(service)))).toContain("http://jabber.org/protocol/muc");
  await talk.stop();
});

test("service and rooms are for whom the rules allow", async () => {
  const talk = await start({ access_create: "makers" }, { access: { makers: "deny" } });
  const alice = await talk.login("alice@localhost/phone");
  await alice.sends(enter("Alice"));
  expect(await hears(alice)).toEqual(["presence error Alice not-allowed"]);
  await talk.stop();
  const closed = await start({ access: "nobody" }, { access: { nobody: "deny" } });
  const bob = await closed.login("bob@localhost/pc");
  expect(told(await asks(bob, getItems(service)))).toBe("iq error forbidden");
  await closed.stop();
  const temporary = await start({ access_persistent: "makers" }, { access: { makers: "deny" } });
  const carol = await temporary.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(told(await asks(carol, configure({ "muc#roomconfig_persistentroom": "1" })))).toBe("iq error not-allowed");
  await temporary.stop();
});

test("a temporary room is over when the last one leaves; a persistent one rests and comes back as it was", async () => {
  const { talk, alice, bob } = await inRoom({ hibernate_timeout: 60_000 });
  await alice.sends(
    configure({
      "muc#roomconfig_persistentroom": "1",
      "muc#roomconfig_roomname": "Den",
      "muc#roomconfig_membersonly": "1",
    }),
  );
  await alice.sends(adminSet("<item jid='bob@localhost' nick='Bobby' affiliation='member'/>"));
  await alice.sends(`<message type='groupchat' to='${room}'><subject>tea</subject></message>`);
  const id = (await alice.takes()).at(-1)!.child("occupant-id", "urn:xmpp:occupant-id:0")!.attr("id");
  await alice.leaves();
  await talk.clock.advance(120_000);
  await bob.takes();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toEqual(["presence error Carol registration-required"]);
  await bob.sends(enter("Bob"));
  const got = await bob.takes();
  expect(got.map(told)).toEqual([
    "presence Bob member participant bob@localhost/pc 110",
    "message groupchat Alice subject:tea",
  ]);
  const again = await talk.login("alice@localhost/pc");
  await again.sends(enter("Alice"));
  await again.sends(say("back"));
  expect((await again.takes()).at(-1)!.child("occupant-id", "urn:xmpp:occupant-id:0")!.attr("id")).toBe(id);
  await again.sends(configure({ "muc#roomconfig_persistentroom": "0" }));
  await bob.leaves();
  await again.leaves();
  await carol.sends(enter("Carol"));
  expect((await hears(carol))[0]).toBe("presence Carol owner moderator carol@localhost/pc 201 110");
  await talk.stop();
});

test("nicknames are registered with a room, which makes a member, and are nobody else's then", async () => {
  const { talk, bob, alice } = await inRoom();
  const register = "jabber:iq:register";
  const set = (inside: string) =>
    `<iq type='set' id='r' to='${room}'><query xmlns='${register}'>${inside}</query></iq>`;
  const form = (nick: string) =>
    `<x xmlns='${forms}' type='submit'><field var='muc#register_roomnick'><value>${nick}</value></field></x>`;
  const get = `<iq type='get' id='r' to='${room}'><query xmlns='${register}'/></iq>`;
  expect((await asks(bob, get)).child("query", register)!.child("x", forms)).toBeDefined();
  expect(told(await asks(bob, set(form("Alice"))))).toBe("iq error conflict");
  expect(told(await asks(bob, set("")))).toBe("iq error bad-request");
  await alice.takes();
  expect(told(await asks(bob, set(form("Bobby"))))).toBe("iq result");
  expect(await hears(alice)).toEqual(["presence Bob member participant bob@localhost/pc"]);
  expect((await asks(bob, get)).child("query", register)!.childText("username")).toBe("Bobby");
  const reserved = (await asks(bob, getInfo(room, "x-roomuser-item"))).child("query", info)!;
  expect(reserved.child("identity")!.attr("name")).toBe("Bobby");
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("bobby"));
  expect(await hears(carol)).toEqual(["presence error bobby conflict"]);
  expect(told(await asks(bob, set("<remove/>")))).toBe("iq result");
  expect(told(await asks(bob, set("<remove/>")))).toBe("iq error registration-required");
  await carol.sends(enter("bobby"));
  expect((await hears(carol)).at(-2)).toStartWith("presence bobby none participant");
  await talk.stop();
});

test("in a room for members, an admin decides on a registration", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_membersonly": "1" }));
  await alice.takes();
  const carol = await talk.login("carol@localhost/pc");
  const wish = `<iq type='set' id='r' to='${room}'><query xmlns='jabber:iq:register'><x xmlns='${forms}' type='submit'><field var='muc#register_roomnick'><value>Caz</value></field></x></query></iq>`;
  expect(told(await asks(carol, wish))).toBe("iq result");
  const [request] = await alice.takes();
  const fields = fieldsOf(request!.child("x", forms)!);
  expect(fields.get("muc#register_jid")).toEqual(["carol@localhost"]);
  await alice.sends(`<message to='${room}'><x xmlns='${forms}' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>
    <field var='muc#register_jid'><value>carol@localhost</value></field><field var='muc#register_roomnick'><value>Caz</value></field>
    <field var='muc#register_allow'><value>1</value></field></x></message>`);
  await carol.sends(enter("Caz"));
  expect((await hears(carol)).at(-2)).toBe("presence Caz member participant carol@localhost/pc 110");
  await talk.stop();
});

test("a nickname registered with the service is its owner's in every room", async () => {
  const { talk, bob } = await inRoom();
  const set = (nick: string) =>
    `<iq type='set' id='r' to='${service}'><query xmlns='jabber:iq:register'><x xmlns='${forms}' type='submit'><field var='muc#register_roomnick'><value>${nick}</value></field></x></query></iq>`;
  const carol = await talk.login("carol@localhost/pc");
  expect(told(await asks(carol, set("Caz")))).toBe("iq result");
  expect(told(await asks(bob, set("Caz")))).toBe("iq error conflict");
  await bob.sends(`<presence to='${room}/Caz'/>`);
  expect(await hears(bob)).toEqual(["presence error Caz conflict"]);
  await carol.sends(enter("Caz"));
  expect((await hears(carol)).at(-2)).toBe("presence Caz none participant carol@localhost/pc 110");
  await talk.stop();
});

test("a room's picture is set by its owner, told in presence and service discovery, and read by all", async () => {
  const { talk, alice, bob } = await inRoom();
  const card = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>cGljdHVyZQ==</BINVAL></PHOTO></vCard>";
  const set = `<iq type='set' id='v' to='${room}'>${card}</iq>`;
  const get = `<iq type='get' id='v' to='${room}'><vCard xmlns='vcard-temp'/></iq>`;
  expect(told(await asks(bob, get))).toBe("iq error item-not-found");
  expect(told(await asks(bob, set))).toBe("iq error forbidden");
  await alice.sends(set);
  const got = await bob.takes();
  expect(got.map(told)).toEqual([`message groupchat ${room} 104`, `presence ${room}`]);
  const hash = got[1]!.child("x", "vcard-temp:x:update")!.childText("photo")!;
  const fields = fieldsOf((await asks(bob, getInfo(room))).child("query", info)!.child("x", forms)!);
  expect(fields.get("muc#roominfo_avatarhash")).toEqual([hash]);
  expect((await asks(bob, get)).child("vCard", "vcard-temp")!.child("PHOTO")).toBeDefined();
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
  expect((await asks(bob, get)).child("vCard", "vcard-temp")!.child("PHOTO")).toBeDefined();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toContain(`presence ${room}`);
  await talk.stop();
});

const archives = { modules: [mam as ModuleDefinition], options: { mod_mam: { muc: {} } } };

test("with an archive: stanza ids are those of the archive, acknowledgements wait for it, history comes from it", async () => {
  const { talk, alice, bob } = await inRoom({ hibernate_timeout: 1_000 }, archives);
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
  await alice.takes();
  await bob.takes();
  bob.secured.length = 0;
  await bob.sends(say("kept"));
  expect(bob.secured.length).toBe(1);
  const id = (await alice.takes())[0]!.child("stanza-id", "urn:xmpp:sid:0")!.attr("id");
  const query = `<iq type='set' id='q' to='${room}'><query xmlns='urn:xmpp:mam:2'/></iq>`;
  await bob.sends(query);
  const [result] = await bob.takes().then((all) => all.filter((stanza) => stanza.child("result", "urn:xmpp:mam:2")));
  expect(result!.child("result", "urn:xmpp:mam:2")!.attr("id")).toBe(id);
  await alice.leaves();
  await bob.leaves();
  await talk.clock.advance(20_000);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  const message = (await carol.takes()).find((stanza) => stanza.childText("body", "jabber:client") === "kept")!;
  expect(message.child("stanza-id", "urn:xmpp:sid:0")!.attr("id")).toBe(id);
  expect(message.child("delay", "urn:xmpp:delay")!.attr("from")).toBe(room);
  await talk.stop();
});

test("the archive is for those who may enter", async () => {
  const { talk, alice } = await inRoom({}, archives);
  await alice.sends(configure({ "muc#roomconfig_membersonly": "1" }));
  const carol = await talk.login("carol@localhost/pc");
  const query = `<iq type='set' id='q' to='${room}'><query xmlns='urn:xmpp:mam:2'/></iq>`;
  expect(told(await asks(carol, query))).toBe("iq error forbidden");
  await alice.sends(configure({ "muc#roomconfig_membersonly": "0", "muc#roomconfig_enablelogging": "0" }));
  expect(told(await asks(alice, query))).toBe("iq error service-unavailable");
  await talk.stop();
});

test("a removed account leaves nothing behind", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
  await alice.sends(adminSet("<item jid='carol@localhost' nick='Caz' affiliation='member'/>"));
  const carol = parseJid("carol@localhost")!;
  const data = await talk.host.registry.askAll("personalData", carol);
  const rows: unknown[] = [];
  for (const table of data.flat()) for await (const row of table.rows()) rows.push(row);
  expect(rows).toEqual([["den", "member", "Caz", null]]);
  for (const handler of talk.host.registry.accounts.removed) await handler(carol);
  const left = await talk.store
    .tables<{ muc_affiliations: { jid: string } }>()
    .selectFrom("muc_affiliations")
    .select("jid")
    .execute();
  expect(left).toEqual([{ jid: "alice@localhost" }]);
  const dave = await talk.login("dave@localhost/pc");
  await dave.sends(enter("Caz"));
  expect((await hears(dave)).at(-2)).toStartWith("presence Caz none");
  await talk.stop();
});

test("operators handle rooms as nobody else may", async () => {
  const { talk, alice, bob } = await inRoom();
  const rooms = talk.host.registry.service("rooms") as RoomAdministration;
  const den = parseJid(room)!;
  const jid = (text: string) => parseJid(text)!;
  expect(await rooms.users(den)).toEqual([
    { nick: "Alice", role: "moderator", jid: "alice@localhost/phone" },
    { nick: "Bob", role: "participant", jid: "bob@localhost/pc" },
  ]);
  expect((await rooms.configure(den, { title: "Den", persistent: true })).title).toBe("Den");
  await rooms.setAffiliation(den, jid("carol@localhost"), "member");
  expect(await rooms.affiliations(den)).toEqual([
    { jid: "alice@localhost", affiliation: "owner" },
    { jid: "carol@localhost", affiliation: "member" },
  ]);
  await bob.takes();
  await rooms.send(den, jid("admin@localhost"), "attention");
  await rooms.send(den, jid("alice@localhost/phone"), "from Alice");
  await rooms.setRole(den, "Bob", "visitor");
  await rooms.sendPrivately(den, jid("alice@localhost/phone"), "Bob", "psst");
  expect(await hears(bob)).toEqual([
    `message groupchat ${room} attention`,
    "message groupchat Alice from Alice",
    "presence Bob none visitor bob@localhost/pc 110",
    "message chat Alice psst",
  ]);
  await rooms.kick(den, "Bob", "bye");
  expect(await hears(bob)).toEqual(["presence unavailable Bob none none bob@localhost/pc (bye) 307 110"]);
  await rooms.enter(den, jid("bob@localhost/pc"), "Bob", undefined);
  expect((await hears(bob))[1]).toStartWith("presence Bob none visitor");
  await expect(rooms.enter(den, jid("dave@localhost/pc"), "Bob", undefined)).rejects.toThrow("in use");
  await rooms.exit(den, jid("bob@localhost/pc"), "Bob");
  await talk.login("carol@localhost/pc");
  const made = await rooms.create(jid(`new@${service}`), jid("carol@localhost/pc"), "Carol");
  expect(made).toEqual({ jid: `new@${service}`, title: "", private: false, usersNumber: 1 });
  expect((await rooms.list(10, 0)).rooms.map((one) => one.jid)).toEqual([room, `new@${service}`]);
  await rooms.remove(den, "over");
  expect((await hears(alice)).at(-1)).toBe("presence unavailable Alice none none 110 destroyed");
  await expect(rooms.settings(den)).rejects.toThrow("no room");
  await expect(rooms.settings(jid("den@elsewhere.org"))).rejects.toThrow("no room");
  await talk.stop();
});
