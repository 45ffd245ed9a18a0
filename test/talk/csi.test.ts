/** XEP-0352: what an inactive client gets when. */
import { afterEach, describe, expect, test } from "bun:test";
import { csi, waiting } from "../../src/modules/csi.ts";
import { runSessionEvent } from "../../src/router/from-client.ts";
import { ns } from "../../src/stanza/ns.ts";
import { stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
const active = "<active xmlns='urn:xmpp:csi:0'/>";
const inactive = "<inactive xmlns='urn:xmpp:csi:0'/>";
const presenceOf = (who: string, status: string, type = "") =>
  `<presence from='${who}@localhost/desk' to='alice@localhost/phone'${type}><status>${status}</status></presence>`;

async function start(bufferMax = 20): Promise<Person> {
  talk = await Conversation.start({ modules: [csi], options: { mod_csi: { buffer_max: bufferMax } } });
  const phone = await talk.online("alice@localhost/phone");
  await phone.sends(inactive);
  return phone;
}
const statuses = async (person: Person) => (await person.takes()).map((element) => element.childText("status"));

test("a new stream is active", async () => {
  talk = await Conversation.start({ modules: [csi] });
  const phone = await talk.online("alice@localhost/phone");
  await talk.arrives(presenceOf("bob", "here"));
  await phone.receives(presenceOf("bob", "here"));
});

test("presence waits until the client is active, only the newest of each sender, in order", async () => {
  const phone = await start();
  await talk.arrives(presenceOf("bob", "1"));
  await talk.arrives(presenceOf("carol", "2"));
  await talk.arrives(presenceOf("bob", "3", " type='unavailable'"));
  await phone.receivesNothing();
  await phone.sends(active);
  expect(await statuses(phone)).toEqual(["2", "3"]);
  await talk.arrives(presenceOf("bob", "4"));
  expect(await statuses(phone)).toEqual(["4"]);
});

test("what is urgent takes along what waited before it, and the client stays inactive", async () => {
  const phone = await start();
  const message = "<message from='bob@localhost/desk' to='alice@localhost/phone' type='chat'><body>hi</body></message>";
  await talk.arrives(presenceOf("bob", "1"));
  await talk.arrives(message);
  await phone.receives(presenceOf("bob", "1"));
  await phone.receives(message);
  await talk.arrives(presenceOf("bob", "2"));
  await phone.receivesNothing();
});

test("the answer to a request comes after what waited (section 5.1)", async () => {
  const phone = await start();
  await talk.arrives(presenceOf("bob", "1"));
  await phone.sends("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
  await phone.receives(presenceOf("bob", "1"));
  expect((await phone.takes())[0]?.attr("id")).toBe("p");
});

test("typing notices wait, only the newest of a sender; a full buffer is sent", async () => {
  const phone = await start(3);
  const typing = (who: string) =>
    `<message from='${who}@localhost/desk' to='alice@localhost/phone' type='chat'>${composing}</message>`;
  for (let round = 0; round < 5; round++) await talk.arrives(typing("bob"));
  await talk.arrives(presenceOf("bob", "1"));
  await phone.receivesNothing();
  await talk.arrives(typing("carol"));
  await phone.receives(typing("bob"));
  await phone.receives(presenceOf("bob", "1"));
  await phone.receives(typing("carol"));
  await phone.receivesNothing();
});

test("both indications may be repeated", async () => {
  const phone = await start();
  await talk.arrives(presenceOf("bob", "1"));
  await phone.sends(inactive);
  await phone.receivesNothing();
  await phone.sends(active);
  await phone.sends(active);
  expect(await statuses(phone)).toEqual(["1"]);
});

test("a resumed stream is active and gets what waited", async () => {
  const phone = await start();
  await talk.arrives(presenceOf("bob", "1"));
  await runSessionEvent(talk.router, talk.host, "detached", phone.session, false);
  await talk.arrives(presenceOf("carol", "2"));
  await phone.receivesNothing();
  await runSessionEvent(talk.router, talk.host, "resumed", phone.session);
  expect(await statuses(phone)).toEqual(["1", "2"]);
  await talk.arrives(presenceOf("bob", "3"));
  expect(await statuses(phone)).toEqual(["3"]);
});

test("Bind 2 lets a client begin inactive", async () => {
  talk = await Conversation.start({ modules: [csi] });
  const phone = await talk.login("alice@localhost/phone");
  const [feature] = talk.host.registry.inlineFeatures;
  expect(feature).toMatchObject({ name: "inactive", namespace: ns.csi });
  await feature!.enable(phone.session, undefined as never);
  await talk.arrives(presenceOf("bob", "1"));
  await phone.receivesNothing();
});

test("a receipt that waited when the session ended goes to the others", async () => {
  const phone = (await start()).managed();
  await talk.arrives(
    "<message from='bob@localhost/desk' to='alice@localhost/phone' id='r'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
  );
  await talk.arrives(presenceOf("bob", "1"));
  await phone.receivesNothing();
  const laptop = await talk.online("alice@localhost/laptop");
  await phone.leaves("lost");
  expect((await laptop.takes()).map((element) => element.attr("id"))).toEqual(["r"]);
});

test("the stream feature is advertised", () => {
  expect(csi.streamFeatures!({ bufferMax: 20 })?.text).toBe("<csi xmlns='urn:xmpp:csi:0'/>");
});

describe("what can wait", () => {
  const event = "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='x'/></event>";
  const carbon = (inside: string) =>
    `<message type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>${inside}</message></forwarded></sent></message>`;
  const cases: [string, string][] = [
    ["<presence/>", "newest"],
    ["<presence type='unavailable'/>", "newest"],
    ["<presence type='subscribe'/>", "urgent"],
    ["<presence type='subscribed'/>", "urgent"],
    ["<presence type='error'/>", "urgent"],
    ["<presence><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>", "newest"],
    ["<presence><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>", "urgent"],
    ["<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "urgent"],
    ["<iq type='result' id='1'/>", "urgent"],
    ["<message><body>x</body></message>", "urgent"],
    ["<message type='groupchat'><body>alice: x</body></message>", "urgent"],
    ["<message/>", "urgent"],
    ["<message type='error'/>", "urgent"],
    ["<message><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>", "urgent"],
    ["<message><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>", "urgent"],
    ["<message><request xmlns='urn:xmpp:receipts'/></message>", "urgent"],
    ["<message><received xmlns='urn:xmpp:receipts' id='1'/></message>", "all"],
    ["<message><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>", "all"],
    [`<message>${composing}</message>`, "newest"],
    [`<message>${composing}<thread>t</thread><no-store xmlns='urn:xmpp:hints'/></message>`, "newest"],
    [`<message>${composing}<body>x</body></message>`, "urgent"],
    [`<message type='headline'>${event}</message>`, "all"],
    [`<message type='headline'>${event}<body>x</body></message>`, "urgent"],
    [carbon(composing), "all"],
    [carbon("<body>x</body>"), "urgent"],
    ["<message><sent xmlns='urn:xmpp:carbons:2'/></message>", "urgent"],
  ];
  for (const [text, expected] of cases) {
    test(text, () => expect(waiting(stanzaFromFrame(parseFrame(text, undefined, ns.client))!)).toBe(expected as never));
  }
});
