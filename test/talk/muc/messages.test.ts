/** XEP-0045 section 7: what occupants send each other; invitations, voice, queries. */
import { expect, test } from "bun:test";
import { adminSet, configure, enter, forms, hears, inRoom, room, say, told, user } from "./rooms.ts";

const stanzaErrors = "urn:ietf:params:xml:ns:xmpp-stanzas";

test("who is not in the room says nothing there", async () => {
  const { talk, alice } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(say("spam"));
  expect(await hears(carol)).toEqual([`message error ${room} not-acceptable`]);
  await carol.sends(say("spam", "nowhere@conference.localhost"));
  expect((await hears(carol))[0]).toEndWith("item-not-found");
  await alice.receivesNothing();
  await talk.stop();
});

test("ids and words that only the room may say are taken out", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(`<message type='groupchat' to='${room}'><body>hi</body>
    <stanza-id xmlns='urn:xmpp:sid:0' by='${room}' id='forged'/><stanza-id xmlns='urn:xmpp:sid:0' by='other' id='kept'/>
    <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/><x xmlns='${user}'><status code='104'/></x>
    <delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/></message>`);
  const [message] = await alice.takes();
  const text = message!.toXml();
  expect(text).not.toContain("forged");
  expect(text).toContain("kept");
  expect(text).not.toContain("104");
  expect(text).not.toContain("2001");
  await talk.stop();
});

test("the subject: set by who may, told to all, and to those who come later with its time", async () => {
  const { talk, alice, bob } = await inRoom();
  const subject = (text: string) => `<message type='groupchat' to='${room}'><subject>${text}</subject></message>`;
  await bob.sends(subject("tea"));
  expect(await hears(alice)).toEqual(["message groupchat Bob subject:tea"]);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  const last = (await carol.takes()).at(-1)!;
  expect(told(last)).toBe("message groupchat Bob subject:tea");
  expect(last.child("delay", "urn:xmpp:delay")!.attr("from")).toBe(room);
  await alice.sends(configure({ "muc#roomconfig_changesubject": "0" }));
  await bob.takes();
  await bob.sends(subject("coffee"));
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  await alice.takes();
  await alice.sends(subject("wine"));
  expect(await hears(bob)).toEqual(["message groupchat Alice subject:wine"]);
  await talk.stop();
});

test("private messages go to one occupant, as from another", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(`<message type='chat' id='pm' to='${room}/Alice'><body>psst</body></message>`);
  const [message] = await alice.takes();
  expect(told(message!)).toBe("message chat Bob psst");
  expect(message!.child("x", user)).toBeDefined();
  await bob.receivesNothing();
  await bob.sends(`<message type='chat' to='${room}/Nobody'><body>psst</body></message>`);
  expect(await hears(bob)).toEqual(["message error Nobody item-not-found"]);
  await bob.sends(`<message type='groupchat' to='${room}/Alice'><body>psst</body></message>`);
  expect(await hears(bob)).toEqual(["message error Alice bad-request"]);
  // An error to it finds its way back; one to nothing does not.
  const error = `<error type='cancel'><not-allowed xmlns='${stanzaErrors}'/></error>`;
  await alice.sends(`<message type='error' id='pm' to='${room}/Bob'>${error}</message>`);
  expect(await hears(bob)).toEqual(["message error Alice not-allowed"]);
  await alice.sends(`<message type='error' id='pm' to='${room}/Bob'>${error}</message>`);
  await bob.receivesNothing();
  const long = "x".repeat(1_000);
  await bob.sends(`<message type='chat' id='${long}' to='${room}/Alice'><body>psst</body></message>`);
  await alice.sends(`<message type='error' id='${long}' to='${room}/Bob'>${error}</message>`);
  expect(await hears(bob)).toEqual(["message error Alice not-allowed"]);
  await talk.stop();
});

test.each([
  ["none", ["forbidden", "forbidden"]],
  ["moderators", ["forbidden", ""]],
  ["participants", ["", ""]],
])("private messages are for %s", async (policy, [ofBob, ofAlice]) => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_allowpm": policy }));
  await alice.takes();
  await bob.takes();
  await bob.sends(`<message type='chat' to='${room}/Alice'><body>psst</body></message>`);
  expect((await hears(bob)).join("")).toEndWith(ofBob!);
  await alice.sends(`<message type='chat' to='${room}/Bob'><body>psst</body></message>`);
  expect((await hears(alice)).join("")).toEndWith(ofAlice!);
  await talk.stop();
});

test("a visitor has no voice, asks for it, and a moderator gives it", async () => {
  const { talk, alice, bob } = await inRoom({ default_room: { members_by_default: false } });
  await bob.sends(say("hello?"));
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  const request = (more: string) => `<message to='${room}'><x xmlns='${forms}' type='submit'>
    <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>
    <field var='muc#role'><value>participant</value></field>${more}</x></message>`;
  await bob.sends(request(""));
  const [form] = await alice.takes();
  const fields = form!.child("x", forms)!.childrenNamed("field");
  expect(fields.find((field) => field.attr("var") === "muc#roomnick")!.childText("value")).toBe("Bob");
  const allow = `<field var='muc#jid'><value>bob@localhost/pc</value></field><field var='muc#roomnick'><value>Bob</value></field>
    <field var='muc#request_allow'><value>true</value></field>`;
  await bob.sends(request(allow));
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  await alice.sends(request(allow));
  expect(await hears(bob)).toEqual(["presence Bob none participant bob@localhost/pc by=Alice 110"]);
  await bob.sends(say("thanks"));
  expect((await hears(bob)).at(-1)).toBe("message groupchat Bob thanks");
  await talk.stop();
});

test("an invitation goes through the room, with its password, and so does the refusal", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "friend" }));
  await alice.takes();
  await bob.takes();
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  const invite = `<message to='${room}'><x xmlns='${user}'><invite to='carol@localhost'><reason>come</reason></invite></x></message>`;
  await bob.sends(invite);
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  await alice.sends(invite);
  const [invitation] = await carol.takes();
  expect(invitation!.attr("from")).toBe(room);
  const x = invitation!.child("x", user)!;
  expect(x.child("invite")!.attr("from")).toBe(`${room}/Alice`);
  expect(x.child("invite")!.childText("reason")).toBe("come");
  expect(x.childText("password")).toBe("friend");
  expect(invitation!.child("x", "jabber:x:conference")!.attr("jid")).toBe(room);
  await carol.sends(
    `<message to='${room}'><x xmlns='${user}'><decline to='${room}/Alice'><reason>busy</reason></decline></x></message>`,
  );
  const [refusal] = await alice.takes();
  expect(refusal!.child("x", user)!.child("decline")!.attr("from")).toBe("carol@localhost");
  await bob.receivesNothing();
  await talk.stop();
});

test("an invitation to a room for members makes a member, if an admin sends it", async () => {
  const { talk, alice } = await inRoom({ default_room: { members_only: true } });
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  await alice.sends(`<message to='${room}'><x xmlns='${user}'><invite to='carol@localhost'/></x></message>`);
  expect((await hears(carol)).length).toBe(1);
  await carol.sends(enter("Carol"));
  expect((await hears(carol))[1]).toBe("presence Carol member participant carol@localhost/pc 110");
  await talk.stop();
});

test("queries between occupants tell neither the other's address, and only who was asked can answer", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(`<iq type='get' id='q' to='${room}/Alice'><query xmlns='jabber:iq:version'/></iq>`);
  const [asked] = await alice.takes();
  expect(asked!.attr("from")).toBe(`${room}/Bob`);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  await carol.takes();
  await bob.takes();
  const answer = `<iq type='result' id='${asked!.attr("id")}' to='${room}/Bob'><query xmlns='jabber:iq:version'><name>x</name></query></iq>`;
  await carol.sends(answer);
  await bob.receivesNothing();
  await alice.sends(answer);
  await bob.receives(
    `<iq type='result' id='q' from='${room}/Alice' to='bob@localhost/pc'><query xmlns='jabber:iq:version'><name>x</name></query></iq>`,
  );
  await alice.sends(configure({ allow_query_users: "0" }));
  await bob.takes();
  await bob.sends(`<iq type='get' id='q' to='${room}/Alice'><query xmlns='jabber:iq:version'/></iq>`);
  expect(await hears(bob)).toEqual(["iq error not-allowed"]);
  await talk.stop();
});

test("self-ping (XEP-0410): who is in is told so at once, who is not learns it", async () => {
  const { talk, alice, bob } = await inRoom();
  const ping = `<iq type='get' id='p' to='${room}/Bob'><ping xmlns='urn:xmpp:ping'/></iq>`;
  await bob.sends(ping);
  await bob.receives(`<iq type='result' id='p' from='${room}/Bob' to='bob@localhost/pc'/>`);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(ping);
  expect(await hears(carol)).toEqual(["iq error not-acceptable"]);
  await carol.sends(ping.replace("den@", "nowhere@"));
  expect(await hears(carol)).toEqual(["iq error not-acceptable"]);
  await alice.receivesNothing();
  await talk.stop();
});

test("who speaks too fast is told to wait", async () => {
  const { talk, bob } = await inRoom({ min_message_interval: 10, min_presence_interval: 10 });
  await bob.sends(say("one"));
  await bob.sends(say("two"));
  expect(await hears(bob)).toEqual(["message groupchat Bob one", `message error ${room} resource-constraint`]);
  await talk.clock.advance(10_000);
  await bob.sends(say("three"));
  expect(await hears(bob)).toEqual(["message groupchat Bob three"]);
  await bob.sends(`<presence to='${room}/Bob'><show>away</show></presence>`);
  await bob.sends(`<presence to='${room}/Bob'><show>dnd</show></presence>`);
  expect((await hears(bob)).map((line) => line.split(" ").at(-1))).toEqual(["away", "resource-constraint"]);
  await talk.stop();
});

test("a shaper lets the speaker wait, and what he says is not lost", async () => {
  const { talk, alice, bob } = await inRoom({ user_message_shaper: "slow" }, { shapers: { slow: 10 } });
  const sent = bob.sends(say("x".repeat(30)));
  await talk.clock.advance(1_000);
  expect(await hears(alice)).toEqual([]);
  await talk.clock.advance(9_000);
  await sent;
  expect((await hears(alice)).length).toBe(1);
  await talk.stop();
});

test("a retraction by the sender takes the message out of the history, one by somebody else does not", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(say("oops"));
  const id = (await alice.takes())[0]!.child("stanza-id", "urn:xmpp:sid:0")!.attr("id");
  const retract = `<message type='groupchat' to='${room}'><retract xmlns='urn:xmpp:message-retract:1' id='${id}'/></message>`;
  const bodies = async (): Promise<string[]> => {
    const carol = await talk.login("carol@localhost/pc");
    await carol.sends(enter("Carol"));
    const all = (await carol.takes()).flatMap((stanza) => stanza.childText("body", "jabber:client") ?? []);
    await carol.leaves();
    return all;
  };
  await alice.sends(retract);
  expect(await bodies()).toEqual(["oops"]);
  await bob.sends(retract);
  expect(await bodies()).toEqual([]);
  await talk.stop();
});

test("a moderator takes back what somebody has said (XEP-0425); nobody else does", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(say("spam"));
  const id = (await alice.takes())[0]!.child("stanza-id", "urn:xmpp:sid:0")!.attr("id");
  const moderate = (which: string) =>
    `<iq type='set' id='r' to='${room}'><moderate xmlns='urn:xmpp:message-moderate:1' id='${which}'><retract xmlns='urn:xmpp:message-retract:1'/><reason>spam</reason></moderate></iq>`;
  await bob.takes();
  await bob.sends(moderate(id!));
  expect(await hears(bob)).toEqual(["iq error forbidden"]);
  await alice.sends(moderate("unknown"));
  expect(await hears(alice)).toEqual(["iq error item-not-found"]);
  await alice.sends(moderate(id!));
  expect((await hears(alice))[0]).toBe("iq result");
  const [retraction] = await bob.takes();
  const retract = retraction!.child("retract", "urn:xmpp:message-retract:1")!;
  expect(retraction!.attr("from")).toBe(room);
  expect(retract.attr("id")).toBe(id);
  expect(retract.child("moderated", "urn:xmpp:message-moderate:1")!.attr("by")).toBe(`${room}/Alice`);
  await talk.stop();
});

test("an outcast is put out, and a message of his that was on its way is refused", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='outcast'><reason>rude</reason></item>"));
  expect(await hears(bob)).toEqual(["presence unavailable Bob outcast none bob@localhost/pc by=Alice (rude) 301 110"]);
  await bob.sends(say("but"));
  expect(await hears(bob)).toEqual([`message error ${room} not-acceptable`]);
  await talk.stop();
});
