/** `legacy_mode`: rooms of MUC Light that are spoken to, and speak, in a part of XEP-0045. */
import { expect, test } from "bun:test";
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { disco } from "../../../src/modules/disco.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { roster } from "../../../src/modules/roster/roster.ts";
import type { Element } from "../../../src/xml/element.ts";
import type { Person } from "../../support/conversation.ts";
import { light, type Options, online, request, room, say, service, start } from "./rooms.ts";

const muc = "http://jabber.org/protocol/muc";
const [userNs, admin, owner] = [`${muc}#user`, `${muc}#admin`, `${muc}#owner`];
const forms = "jabber:x:data";
const privacy = "jabber:iq:privacy";
const legacy = { legacy_mode: true };

const enter = (name: string, to = room): string =>
  `<presence to='${to}/${name}@localhost'><x xmlns='${muc}'/></presence>`;
const iq = (type: string, inside: string, to = room): string => `<iq type='${type}' id='q' to='${to}'>${inside}</iq>`;
const adminSet = (items: string): string => iq("set", `<query xmlns='${admin}'>${items}</query>`);
const member = (name: string): string => `<item affiliation='member' jid='${name}@localhost'/>`;
const form = (fields: Readonly<Record<string, string>>): string => {
  const inside = Object.entries(fields).map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`);
  return iq("set", `<query xmlns='${owner}'><x xmlns='${forms}' type='submit'>${inside.join("")}</x></query>`);
};

/** A stanza in one line. */
function told(stanza: Element): string {
  const from = (stanza.attr("from") ?? "").replace(`${room}/`, "/").replace(room, "room").replaceAll("@localhost", "");
  const words = [stanza.name, stanza.attr("type") ?? "", stanza.name === "iq" ? "" : from];
  const x = stanza.child("x", userNs);
  const item = x?.child("item");
  if (item !== undefined) {
    words.push(item.attr("affiliation")!, item.attr("role")!, (item.attr("jid") ?? "").replace("@localhost", ""));
  }
  for (const status of x?.childrenNamed("status") ?? []) words.push(status.attr("code")!);
  if (x?.child("destroy") !== undefined) words.push("destroyed");
  const invite = x?.child("invite");
  if (invite !== undefined) words.push(`invited by ${invite.attr("from")}`);
  for (const name of ["subject", "body"]) {
    const text = stanza.childText(name, "jabber:client");
    if (text !== undefined) words.push(`${name}:${text}`);
  }
  const error = stanza.child("error", "jabber:client");
  if (error !== undefined) words.push(error.elements()[0]!.name);
  return words.filter((word) => word !== "").join(" ");
}

const hears = async (person: Person): Promise<string[]> => (await person.takes()).map(told);

async function asks(person: Person, text: string): Promise<Element> {
  await person.takes();
  await person.sends(text);
  return (await person.takes()).find((stanza) => stanza.name === "iq")!;
}

/** A room that alice owns and bob is a member of; carol is outside. */
async function den(options: Options = {}, more: Parameters<typeof start>[1] = {}) {
  const talk = await start({ ...legacy, ...options }, more);
  const alice = await online(talk, "alice@localhost/phone");
  const bob = await online(talk, "bob@localhost/pc");
  const carol = await online(talk, "carol@localhost/tablet");
  await alice.sends(enter("alice"));
  await alice.sends(adminSet(member("bob")));
  for (const person of [alice, bob, carol]) await person.takes();
  return { talk, alice, bob, carol };
}

test("presence makes a room, whose maker owns it; whoever comes later meets a room for members", async () => {
  // With rosters, which keep presence of strangers away where it is none of a room's.
  const talk = await start(legacy, { modules: [roster as ModuleDefinition] });
  const alice = await online(talk, "alice@localhost/phone");
  const carol = await online(talk, "carol@localhost/tablet");
  await alice.sends(enter("alice"));
  expect(await hears(alice)).toEqual(["presence /alice owner moderator 110 201"]);
  // What clients do next with a room they have made.
  expect(told(await asks(alice, form({})))).toBe("iq result");
  await carol.sends(enter("carol"));
  const [error] = await carol.takes();
  expect(told(error!)).toBe("presence error /carol registration-required");
  expect(error!.child("x", muc)).toBeDefined();
  await alice.receivesNothing();
  await talk.stop();
});

test("with equal occupants the one who makes a room is a member", async () => {
  const talk = await start({ ...legacy, equal_occupants: true });
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(enter("alice"));
  expect(await hears(alice)).toEqual(["presence /alice member participant 110 201"]);
  await talk.stop();
});

test("who may not make a room is told why, as clients expect it of presence", async () => {
  const talk = await start({ ...legacy, access_create: "makers" }, { access: { makers: "deny" } });
  const alice = await online(talk, "alice@localhost/phone");
  await alice.sends(enter("alice"));
  expect(await hears(alice)).toEqual(["presence error /alice not-allowed"]);
  await alice.sends(`<presence to='${room}'><x xmlns='${muc}'/></presence>`);
  expect(await hears(alice)).toEqual(["presence error room jid-malformed"]);
  // Presence that is no entering is nobody's.
  await alice.sends(`<presence to='${room}/alice@localhost'/>`);
  await alice.sends(`<presence type='unavailable' to='${room}/alice@localhost'/>`);
  await alice.receivesNothing();
  await talk.stop();
});

test("members come by an invitation, and go with 321", async () => {
  const { talk, alice, bob, carol } = await den();
  await alice.sends(adminSet(member("carol")));
  expect(await hears(carol)).toEqual(["message room invited by alice@localhost"]);
  expect(await hears(bob)).toEqual(["presence /carol member participant carol"]);
  expect(await hears(alice)).toEqual(["presence /carol member participant carol", "iq result"]);
  await bob.sends(adminSet("<item affiliation='none' jid='bob@localhost'/>"));
  expect(await hears(bob)).toEqual(["presence unavailable /bob none none bob 321", "iq result"]);
  for (const person of [alice, carol]) {
    expect(await hears(person)).toEqual(["presence unavailable /bob none none bob 321"]);
  }
  await bob.sends(say("still here?"));
  expect(await hears(bob)).toEqual(["message error room item-not-found"]);
  // The owner leaves, and somebody follows.
  await alice.sends(adminSet("<item affiliation='none' jid='alice@localhost'/>"));
  expect(await hears(carol)).toEqual([
    "presence /carol owner moderator carol",
    "presence unavailable /alice none none alice 321",
  ]);
  await talk.stop();
});

test("what is said comes from the speaker's address in the room", async () => {
  const { talk, alice, bob, carol } = await den();
  await bob.sends(say("hello"));
  for (const person of [alice, bob]) expect(await hears(person)).toEqual(["message groupchat /bob body:hello"]);
  await carol.sends(say("me too"));
  expect(await hears(carol)).toEqual(["message error room item-not-found"]);
  await bob.sends(`<message type='chat' to='${room}/alice@localhost'><body>psst</body></message>`);
  expect(await hears(bob)).toEqual(["message error /alice bad-request"]);
  await talk.stop();
});

test("the subject is a message, and part of the configuration", async () => {
  const { talk, alice, bob, carol } = await den();
  const subject = `<message type='groupchat' id='s' to='${room}'><subject>tea</subject></message>`;
  await bob.sends(subject);
  for (const person of [alice, bob]) expect(await hears(person)).toEqual(["message groupchat room subject:tea"]);
  await carol.sends(subject);
  expect(await hears(carol)).toEqual(["message error room item-not-found"]);
  const shown = (await asks(bob, iq("get", `<query xmlns='${owner}'/>`))).child("query", owner)!.child("x", forms)!;
  expect(shown.childrenNamed("field").map((field) => [field.attr("var"), field.childText("value")])).toEqual([
    ["FORM_TYPE", `${muc}#roomconfig`],
    ["roomname", "Untitled"],
    ["subject", "tea"],
  ]);
  // With words beside it, it is something said.
  await bob.sends(`<message type='groupchat' to='${room}'><subject>x</subject><body>y</body></message>`);
  expect(await hears(alice)).toEqual(["message groupchat /bob subject:x body:y"]);
  await talk.stop();
});

test("the configuration is a form, by the names of the schema or of XEP-0045; occupants are told 104", async () => {
  const { talk, alice, bob, carol } = await den();
  for (const name of ["roomname", "muc#roomconfig_roomname"]) {
    await alice.sends(form({ [name]: name }));
    expect(await hears(alice)).toEqual(["message groupchat room 104", "iq result"]);
    expect(await hears(bob)).toEqual(["message groupchat room 104"]);
    const about = await asks(bob, iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"));
    expect(about.elements()[0]!.child("identity")!.attr("name")).toBe(name);
  }
  expect(told(await asks(bob, form({ roomname: "Bob's" })))).toBe("iq error not-allowed");
  expect(told(await asks(carol, form({ roomname: "Carol's" })))).toBe("iq error item-not-found");
  expect(told(await asks(alice, form({ colour: "red" })))).toBe("iq error bad-request");
  expect(told(await asks(alice, form({ roomname: "a", "muc#roomconfig_roomname": "b" })))).toBe("iq error bad-request");
  expect(told(await asks(alice, iq("set", `<query xmlns='${owner}'/>`)))).toBe("iq error bad-request");
  expect(
    told(await asks(alice, iq("set", `<query xmlns='${owner}'><x xmlns='${forms}' type='cancel'/></query>`))),
  ).toBe("iq result");
  await bob.receivesNothing();
  await talk.stop();
});

test("who is in a room is a list of affiliations", async () => {
  const { talk, bob, carol } = await den();
  const list = async (person: Person, wanted: string): Promise<string[]> => {
    const answer = await asks(person, iq("get", `<query xmlns='${admin}'>${wanted}</query>`));
    if (answer.attr("type") === "error") return [told(answer)];
    const items = answer.child("query", admin)!.childrenNamed("item");
    return items.map((item) => ["affiliation", "role", "jid", "nick"].map((name) => item.attr(name)).join(" "));
  };
  const alice = "owner moderator alice@localhost alice@localhost";
  const other = "member participant bob@localhost bob@localhost";
  expect(await list(bob, "")).toEqual([alice, other]);
  expect(await list(bob, "<item affiliation='owner'/><item affiliation='member'/>")).toEqual([alice, other]);
  expect(await list(bob, "<item affiliation='member'/>")).toEqual([other]);
  expect(await list(bob, "<item affiliation='outcast'/>")).toEqual([]);
  expect(await list(carol, "")).toEqual(["iq error item-not-found"]);
  await talk.stop();
});

test.each([
  ["bob", member("dave"), "not-allowed"],
  ["bob", "<item affiliation='none' jid='alice@localhost'/>", "not-allowed"],
  ["carol", member("carol"), "item-not-found"],
  ["alice", "<item affiliation='admin' jid='bob@localhost'/>", "bad-request"],
  ["alice", "<item affiliation='member' nick='bob'/>", "bad-request"],
  ["alice", `<item affiliation='member' jid='x@${service}'/>`, "bad-request"],
  ["alice", "", "bad-request"],
])("%s who asks for %s is told %s", async (who, items, condition) => {
  const { talk, alice, bob, carol } = await den();
  const person = { alice, bob, carol }[who as "alice"];
  expect(told(await asks(person, adminSet(items)))).toBe(`iq error ${condition}`);
  for (const each of [alice, bob, carol]) await each.receivesNothing();
  await talk.stop();
});

test("the owner ends a room: everybody is told so, without a reason or another place", async () => {
  const { talk, alice, bob } = await den();
  const destroy = iq(
    "set",
    `<query xmlns='${owner}'><destroy jid='cave@${service}'><reason>moved</reason></destroy></query>`,
  );
  expect(told(await asks(bob, destroy))).toBe("iq error not-allowed");
  await alice.sends(destroy);
  expect(await hears(alice)).toEqual(["presence unavailable /alice none none destroyed", "iq result"]);
  const [farewell] = await bob.takes();
  expect(told(farewell!)).toBe("presence unavailable /bob none none destroyed");
  expect(farewell!.toXml()).not.toMatch(/moved|cave/);
  await talk.stop();
});

test("service and rooms say that they are classic, and list rooms without versions", async () => {
  const { talk, alice, carol } = await den({}, { modules: [disco as ModuleDefinition] });
  for (const to of [service, room]) {
    const text = (await asks(alice, iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to))).toXml();
    expect(text).toContain(`<feature var='${muc}'/>`);
    expect(text).not.toContain(light);
  }
  const items = "http://jabber.org/protocol/disco#items";
  const listed = async (person: Person): Promise<(string | undefined)[][]> =>
    (await asks(person, iq("get", `<query xmlns='${items}'/>`, service)))
      .child("query", items)!
      .childrenNamed("item")
      .map((item) => [item.attr("jid"), item.attr("name"), item.attr("version")]);
  expect(await listed(alice)).toEqual([[room, "Untitled", undefined]]);
  expect(await listed(carol)).toEqual([]);
  expect(told(await asks(carol, iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")))).toBe(
    "iq error item-not-found",
  );
  await talk.stop();
});

test("blocking is a privacy list, of which changes alone are sent", async () => {
  const { talk, alice, bob, carol } = await den({ all_can_invite: true });
  const items = (...all: [string, string][]): string =>
    all.map(([value, action]) => `<item type='jid' order='1' value='${value}' action='${action}'/>`).join("");
  const set = (inside: string, name = light): string =>
    iq("set", `<query xmlns='${privacy}'><list name='${name}'>${inside}</list></query>`, service);
  const get = iq("get", `<query xmlns='${privacy}'><list name='${light}'/></query>`, service);
  const blocked = async (): Promise<(string | undefined)[]> => {
    const list = (await asks(carol, get)).child("query", privacy)!.child("list")!;
    expect(list.attr("name")).toBe(light);
    return list.childrenNamed("item").map((item) => `${item.attr("action")} ${item.attr("value")}`);
  };
  expect(await blocked()).toEqual([]);
  expect(told(await asks(carol, set(items([`${service}/alice@localhost`, "deny"], [`x@${service}`, "deny"]))))).toBe(
    "iq result",
  );
  expect(await blocked()).toEqual([`deny x@${service}`, `deny ${service}/alice@localhost`]);
  await alice.sends(adminSet(member("carol")));
  expect(await hears(alice)).toEqual(["iq result"]);
  await carol.receivesNothing();
  await bob.sends(adminSet(member("carol")));
  expect(await hears(carol)).toEqual(["message room invited by bob@localhost"]);
  expect(told(await asks(carol, set(items([`${service}/alice@localhost`, "allow"]))))).toBe("iq result");
  expect(await blocked()).toEqual([`deny x@${service}`]);
  for (const wrong of [set(items([service, "deny"])), set(items([`x@${service}`, "mute"])), set("", "other")]) {
    expect(told(await asks(carol, wrong))).toBe("iq error bad-request");
  }
  await talk.stop();
});

test("the archive keeps what was said and the subject, nothing in the words of MUC Light", async () => {
  const { talk, alice, bob } = await den({}, { modules: [mam as ModuleDefinition], options: { mod_mam: { muc: {} } } });
  await bob.sends(say("hello"));
  await bob.sends(`<message type='groupchat' id='s' to='${room}'><subject>tea</subject></message>`);
  await alice.sends(form({ roomname: "Den" }));
  const live = (await alice.takes()).flatMap((stanza) => stanza.child("stanza-id", "urn:xmpp:sid:0")?.attr("id") ?? []);
  await alice.sends(iq("set", "<query xmlns='urn:xmpp:mam:2'/>"));
  const results = (await alice.takes()).flatMap((stanza) => stanza.child("result", "urn:xmpp:mam:2") ?? []);
  expect(results.map((result) => result.attr("id"))).toEqual(live);
  expect(results.length).toBe(2);
  for (const result of results) expect(result.toXml()).not.toContain(light);
  await talk.stop();
});

test("requests of MUC Light itself are not understood", async () => {
  const { talk, alice } = await den();
  for (const what of ["configuration", "affiliations", "info"]) {
    expect(told(await asks(alice, request("get", what)))).toBe("iq error service-unavailable");
  }
  const creation = "<configuration/><occupants/>";
  expect(told(await asks(alice, request("set", "create", creation, service)))).toBe("iq error service-unavailable");
  await talk.stop();
});
