/** XEP-0045 section 7: entering and leaving, presence and nicknames. */
import { expect, test } from "bun:test";
import { adminSet, configure, enter, hears, inRoom, instant, room, say, service, start, told } from "./rooms.ts";

test("who enters a room that is not there makes it, and nobody else may enter before it is configured", async () => {
  const talk = await start();
  const alice = await talk.login("alice@localhost/phone");
  const bob = await talk.login("bob@localhost/pc");
  await alice.sends(enter("Alice"));
  expect(await hears(alice)).toEqual([
    "presence Alice owner moderator alice@localhost/phone 201 110",
    `message groupchat ${room} subject:`,
  ]);
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toEqual(["presence error Bob item-not-found"]);
  await alice.sends(instant);
  expect(await hears(alice)).toEqual(["iq result"]);
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toEqual([
    "presence Alice owner moderator",
    "presence Bob none participant bob@localhost/pc 110",
    `message groupchat ${room} subject:`,
  ]);
  // Moderators see real addresses.
  expect(await hears(alice)).toEqual(["presence Bob none participant bob@localhost/pc"]);
  await talk.stop();
});

test("what is said reaches everybody, the sender included, from the speaker's address in the room", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(say("hello"));
  for (const person of [alice, bob]) {
    const [message] = await person.takes();
    expect(told(message!)).toBe("message groupchat Bob hello");
    expect(message!.attr("id")).toBe("m1");
    expect(message!.attr("to")).toBe(person.session.jid.full);
    expect(message!.child("occupant-id", "urn:xmpp:occupant-id:0")!.attr("id")).toMatch(/^[0-9a-f]{40}$/);
    expect(message!.child("stanza-id", "urn:xmpp:sid:0")!.attr("by")).toBe(room);
  }
  await talk.stop();
});

test("who leaves is told so, and the others are", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(`<presence type='unavailable' to='${room}/Bob'><status>tired</status></presence>`);
  expect(await hears(bob)).toEqual(["presence unavailable Bob none none bob@localhost/pc 110 tired"]);
  expect(await hears(alice)).toEqual(["presence unavailable Bob none none bob@localhost/pc tired"]);
  await bob.sends(say("still here?"));
  expect(await hears(bob)).toEqual([`message error ${room} not-acceptable`]);
  // Leaving once more is not answered.
  await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
  await bob.receivesNothing();
  await talk.stop();
});

test("a session that ends has left the room", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.leaves("lost");
  expect(await hears(alice)).toEqual(["presence unavailable Bob none none bob@localhost/pc"]);
  await talk.stop();
});

test("a new nickname: the old one is taken back with 303, and the new one shown", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(`<presence to='${room}/Robert'/>`);
  expect(await hears(alice)).toEqual([
    "presence unavailable Bob none participant bob@localhost/pc nick=Robert 303",
    "presence Robert none participant bob@localhost/pc",
  ]);
  expect(await hears(bob)).toEqual([
    "presence unavailable Bob none participant bob@localhost/pc nick=Robert 303 110",
    "presence Robert none participant bob@localhost/pc 110",
  ]);
  await bob.sends(`<presence to='${room}/Alice'/>`);
  expect(await hears(bob)).toEqual(["presence error Alice conflict"]);
  await bob.sends(say("it is me"));
  expect(await hears(bob)).toEqual(["message groupchat Robert it is me"]);
  await talk.stop();
});

test.each([
  ["Alice", "conflict"],
  ["alice", "conflict"],
  ["ALICE", "conflict"],
  ["Ａlice", "conflict"],
  ["Alice ", "not-acceptable"],
  ["", "jid-malformed"],
])("the nickname '%s' is refused with %s while Alice is there", async (nick, condition) => {
  const { talk, bob } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter(nick).replace(`${room}/'`, `${room}'`));
  const [error] = await hears(carol);
  expect(error).toEndWith(condition);
  await bob.receivesNothing();
  await talk.stop();
});

test("presence and status go to everybody; what only the room may say is taken out", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(
    `<presence to='${room}/Bob'><show>away</show><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator'/></x>
     <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></presence>`,
  );
  const [seen] = await alice.takes();
  expect(told(seen!)).toBe("presence Bob none participant bob@localhost/pc away");
  expect(seen!.childrenNamed("x", "http://jabber.org/protocol/muc#user").length).toBe(1);
  expect(seen!.childrenNamed("occupant-id", "urn:xmpp:occupant-id:0").map((id) => id.attr("id"))).not.toContain(
    "forged",
  );
  await talk.stop();
});

test("presence without muc from somebody who is not in the room is a kick (1.32): 110, 307, 333", async () => {
  const { talk } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(`<presence to='${room}/Carol'/>`);
  expect(await hears(carol)).toEqual(["presence unavailable Carol none none (You are not in the room.) 110 307 333"]);
  await carol.sends(`<presence to='nowhere@${service}/Carol'/>`);
  expect((await carol.takes())[0]!.attr("type")).toBe("unavailable");
  await talk.stop();
});

test("entering again is a request for everything; the others hear only what is new", async () => {
  const { talk, alice, bob } = await inRoom();
  await bob.sends(say("before"));
  await alice.takes();
  await bob.takes();
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toEqual([
    "presence Alice owner moderator",
    "presence Bob none participant bob@localhost/pc 110",
    "message groupchat Bob before",
    `message groupchat ${room} subject:`,
  ]);
  await alice.receivesNothing();
  await talk.stop();
});

test("who may not enter is told why", async () => {
  const { talk, alice } = await inRoom({ max_users: 3 });
  await alice.sends(configure({ "muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "friend" }));
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toEqual(["presence error Carol not-authorized"]);
  await carol.sends(enter("Carol", "<password>foe</password>"));
  expect(await hears(carol)).toEqual(["presence error Carol not-authorized"]);
  await carol.sends(enter("Carol", "<password>friend</password>"));
  expect((await hears(carol)).at(-2)).toStartWith("presence Carol none participant");
  const dave = await talk.login("dave@localhost/pc");
  await dave.sends(enter("Dave", "<password>friend</password>"));
  expect(await hears(dave)).toEqual(["presence error Dave service-unavailable"]);
  await alice.sends(adminSet("<item jid='dave@localhost' affiliation='outcast'/>"));
  await dave.sends(enter("Dave", "<password>friend</password>"));
  expect(await hears(dave)).toEqual(["presence error Dave forbidden"]);
  await alice.sends(adminSet("<item jid='dave@localhost' affiliation='admin'/>"));
  await dave.sends(enter("Dave", "<password>friend</password>"));
  // Places are kept for admins.
  expect((await hears(dave)).at(-2)).toStartWith("presence Dave admin moderator");
  await talk.stop();
});

test("rooms are for members where the owner says so, and strangers are put out when he does", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_membersonly": "1" }));
  expect(await hears(bob)).toEqual(["presence unavailable Bob none none bob@localhost/pc 322 110"]);
  await alice.takes();
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toEqual(["presence error Bob registration-required"]);
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='member'/>"));
  await bob.sends(enter("Bob"));
  expect((await hears(bob))[1]).toBe("presence Bob member participant bob@localhost/pc 110");
  await alice.takes();
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='none'><reason>away too long</reason></item>"));
  expect(await hears(bob)).toEqual([
    "presence unavailable Bob none none bob@localhost/pc by=Alice (away too long) 321 110",
  ]);
  await talk.stop();
});

test("several devices of one user share a nickname where the room lets them", async () => {
  const { talk, alice, bob } = await inRoom({ default_room: { allow_multiple_sessions: true } });
  const phone = await talk.login("bob@localhost/phone");
  await phone.sends(enter("Bob"));
  expect(await hears(phone)).toEqual([
    "presence Alice owner moderator",
    "presence Bob none participant bob@localhost/phone 110",
    `message groupchat ${room} subject:`,
  ]);
  await alice.takes();
  await bob.takes();
  await alice.sends(say("both?"));
  expect(await hears(phone)).toEqual(["message groupchat Alice both?"]);
  expect(await hears(bob)).toEqual(["message groupchat Alice both?"]);
  await alice.takes();
  await phone.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
  expect(await hears(phone)).toEqual(["presence unavailable Bob none none bob@localhost/phone 110"]);
  // Bob is still there, on his other device.
  expect(await hears(alice)).toEqual(["presence Bob none participant bob@localhost/pc"]);
  await bob.sends(say("still"));
  expect(await hears(alice)).toEqual(["message groupchat Bob still"]);
  await bob.leaves();
  expect(await hears(alice)).toEqual(["presence unavailable Bob none none bob@localhost/pc"]);
  await talk.stop();
});

test("without that, a second device needs a nickname of its own", async () => {
  const { talk } = await inRoom();
  const phone = await talk.login("bob@localhost/phone");
  await phone.sends(enter("Bob"));
  expect(await hears(phone)).toEqual(["presence error Bob conflict"]);
  await talk.stop();
});

test("the password of a room is not guessed on and on", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "friend" }));
  const carol = await talk.login("carol@localhost/pc");
  const tries = async (password: string) => {
    await carol.sends(enter("Carol", password === "" ? "" : `<password>${password}</password>`));
    return (await hears(carol))[0];
  };
  for (let number = 1; number <= 5; number++) {
    expect(await tries(`guess ${number}`)).toBe("presence error Carol not-authorized");
    expect(await tries("")).toBe("presence error Carol not-authorized");
  }
  expect(await tries("friend")).toBe("presence error Carol policy-violation");
  // Others are not kept out by it.
  const dave = await talk.login("dave@localhost/pc");
  await dave.sends(enter("Dave", "<password>friend</password>"));
  expect((await hears(dave)).join()).not.toContain("error");
  await talk.clock.advance(600_000);
  expect(await tries("friend")).not.toContain("error");
  await talk.stop();
});

test("history: all limits", async () => {
  const { talk, bob } = await inRoom({ history_size: 3 });
  const start = talk.clock.now();
  for (const text of ["one", "two", "three", "four"]) {
    await bob.sends(say(text));
    await talk.clock.advance(60_000);
  }
  const heard = async (inside: string): Promise<string[]> => {
    const carol = await talk.login("carol@localhost/pc");
    await carol.sends(enter("Carol", inside));
    const bodies = (await carol.takes()).flatMap((stanza) => stanza.childText("body", "jabber:client") ?? []);
    await carol.leaves();
    return bodies;
  };
  expect(await heard("")).toEqual(["two", "three", "four"]);
  expect(await heard("<history maxstanzas='2'/>")).toEqual(["three", "four"]);
  expect(await heard("<history maxchars='0'/>")).toEqual([]);
  expect(await heard("<history maxchars='900'/>")).toEqual(["three", "four"]);
  expect(await heard("<history seconds='100'/>")).toEqual(["four"]);
  expect(await heard(`<history since='${new Date(start + 115_000).toISOString()}'/>`)).toEqual(["three", "four"]);
  expect(await heard(`<history maxstanzas='1' since='1970-01-01T00:00:00Z'/>`)).toEqual(["four"]);
  await talk.stop();
});

test("history: of large messages a room remembers the newest, as many as it has room for", async () => {
  const { talk, bob } = await inRoom({ history_size: 20 });
  for (const letter of "abcdef") {
    await bob.sends(`<message type='groupchat' to='${room}'><body>${letter.repeat(200_000)}</body></message>`);
  }
  const carol = await talk.login("carol@localhost/x");
  await carol.sends(enter("Carol"));
  const bodies = (await carol.takes()).map((stanza) => stanza.childText("body")).filter((body) => body !== undefined);
  expect(bodies.map((body) => body[0])).toEqual(["e", "f"]);
  await talk.stop();
});

test("history that makes no sense is a bad request", async () => {
  const { talk } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  for (const history of ["since='yesterday'", "maxchars='-1'", "seconds='many'"]) {
    await carol.sends(enter("Carol", `<history ${history}/>`));
    expect(await hears(carol)).toEqual(["presence error Carol bad-request"]);
  }
  await talk.stop();
});

test("a user is in so many rooms at once and no more", async () => {
  const talk = await start({ max_user_conferences: 2 });
  const alice = await talk.login("alice@localhost/phone");
  for (const name of ["one", "two", "three"]) await alice.sends(enter("Alice", "", `${name}@${service}`));
  const last = (await alice.takes()).at(-1)!;
  expect(last.attr("from")).toBe(`three@${service}/Alice`);
  expect(last.child("error", "jabber:client")!.elements()[0]!.name).toBe("resource-constraint");
  await alice.sends(`<presence type='unavailable' to='one@${service}/Alice'/>`);
  await alice.sends(enter("Alice", "", `three@${service}`));
  expect((await alice.takes()).some((stanza) => stanza.attr("type") === "error")).toBe(false);
  await talk.stop();
});

test("in a non-anonymous room everybody sees addresses, and is warned (100)", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_whois": "anyone" }));
  expect(await hears(bob)).toEqual([`message groupchat ${room} 172`]);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Carol"));
  expect(await hears(carol)).toEqual([
    "presence Alice owner moderator alice@localhost/phone",
    "presence Bob none participant bob@localhost/pc",
    "presence Carol none participant carol@localhost/pc 100 110",
    `message groupchat ${room} subject:`,
  ]);
  expect(await hears(bob)).toEqual(["presence Carol none participant carol@localhost/pc"]);
  await talk.stop();
});

test("a device that an error proves gone has left (333); an error of a device that is there proves nothing", async () => {
  const { talk, alice, bob } = await inRoom();
  await talk.arrives(
    `<presence from='eve@elsewhere.org/x' to='${room}/Eve'><x xmlns='http://jabber.org/protocol/muc'/></presence>`,
  );
  // The router reaches no other domain, so Eve's own welcome comes back.
  const farewell = "presence unavailable Eve none none eve@elsewhere.org/x 333";
  expect(await hears(alice)).toEqual(["presence Eve none participant eve@elsewhere.org/x", farewell]);
  await bob.takes();
  await bob.sends(
    `<message type='error' to='${room}/Alice'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
  );
  await alice.receivesNothing();
  await talk.stop();
});
