/** XEP-0280 Message Carbons: who gets a copy of what. */
import { afterEach, describe, expect, test } from "bun:test";
import { carbons, carbonVerdict } from "../../src/modules/carbons.ts";
import { ns } from "../../src/stanza/ns.ts";
import { stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const enable = "<iq type='set' id='on'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
const disable = "<iq type='set' id='off'><disable xmlns='urn:xmpp:carbons:2'/></iq>";

async function enables(person: Person): Promise<void> {
  await person.sends(enable);
  await person.receives(`<iq type='result' id='on' from='alice@localhost' to='${person.session.jid.full}'/>`);
}

/** Alice at three devices, two of which ask for copies; Bob at one. */
async function cast() {
  talk = await Conversation.start({ modules: [carbons] });
  const phone = await talk.online("alice@localhost/phone", 5);
  const laptop = await talk.online("alice@localhost/laptop");
  const kiosk = await talk.online("alice@localhost/kiosk");
  const bob = await talk.online("bob@localhost/desk");
  await enables(phone);
  await enables(laptop);
  return { phone, laptop, kiosk, bob };
}

const carbon = (direction: string, to: string, inside: string, type = " type='chat'") =>
  `<message from='alice@localhost' to='alice@localhost/${to}'${type}><${direction} xmlns='urn:xmpp:carbons:2'>` +
  `<forwarded xmlns='urn:xmpp:forward:0'>${inside}</forwarded></${direction}></message>`;

describe("received messages", () => {
  test("to a full JID are copied to the others that asked, and only to those", async () => {
    const { phone, laptop, kiosk, bob } = await cast();
    await bob.sends("<message to='alice@localhost/kiosk' type='chat' id='m1'><body>hi</body></message>");
    const original =
      "<message xmlns='jabber:client' from='bob@localhost/desk' to='alice@localhost/kiosk' type='chat' id='m1'><body>hi</body></message>";
    await kiosk.receives(original);
    await phone.receives(carbon("received", "phone", original));
    await laptop.receives(carbon("received", "laptop", original));
    for (const each of [phone, laptop, kiosk, bob]) await each.receivesNothing();
  });

  test("to the bare JID are copied to resources of lower priority", async () => {
    const { phone, laptop, kiosk, bob } = await cast();
    await bob.sends("<message to='alice@localhost' type='chat' id='m1'><body>hi</body></message>");
    const original =
      "<message xmlns='jabber:client' from='bob@localhost/desk' to='alice@localhost' type='chat' id='m1'><body>hi</body></message>";
    await phone.receives(original);
    await laptop.receives(carbon("received", "laptop", original));
    for (const each of [phone, laptop, kiosk, bob]) await each.receivesNothing();
  });

  test("reach a resource of negative priority as a copy even when no resource gets the original", async () => {
    talk = await Conversation.start({ modules: [carbons] });
    const phone = await talk.online("alice@localhost/phone", -1);
    await enables(phone);
    const bob = await talk.online("bob@localhost/desk");
    await bob.sends("<message to='alice@localhost' type='chat' id='m1'><body>hi</body></message>");
    await phone.receives(
      carbon(
        "received",
        "phone",
        "<message xmlns='jabber:client' from='bob@localhost/desk' to='alice@localhost' type='chat' id='m1'><body>hi</body></message>",
      ),
    );
  });
});

describe("sent messages", () => {
  test("are copied to the others, whether or not the sender asked for copies", async () => {
    const { phone, laptop, kiosk, bob } = await cast();
    await kiosk.sends("<message to='bob@localhost' type='chat' id='m1'><body>yo</body></message>");
    const original =
      "<message xmlns='jabber:client' from='alice@localhost/kiosk' to='bob@localhost' type='chat' id='m1'><body>yo</body></message>";
    await phone.receives(carbon("sent", "phone", original));
    await laptop.receives(carbon("sent", "laptop", original));
    await bob.receives(original);
    for (const each of [phone, laptop, kiosk, bob]) await each.receivesNothing();
  });

  test("to a private occupant of a group are copied", async () => {
    const { phone, laptop } = await cast();
    await phone.sends(
      "<message to='bob@localhost/nick' type='chat'><body>psst</body><x xmlns='http://jabber.org/protocol/muc#user'/></message>",
    );
    const [copy] = await laptop.takes();
    expect(copy?.child("sent", ns.carbons)).toBeDefined();
  });

  test("to oneself are seen once by every other resource, and not copied to the sender", async () => {
    const { phone, laptop, kiosk } = await cast();
    await laptop.sends("<message to='alice@localhost' type='chat' id='note'><body>milk</body></message>");
    const original =
      "<message xmlns='jabber:client' from='alice@localhost/laptop' to='alice@localhost' type='chat' id='note'><body>milk</body></message>";
    await phone.receives(original);
    for (const each of [phone, laptop, kiosk]) await each.receivesNothing();
    await phone.sends("<message to='alice@localhost/kiosk' type='chat' id='note'><body>milk</body></message>");
    const second =
      "<message xmlns='jabber:client' from='alice@localhost/phone' to='alice@localhost/kiosk' type='chat' id='note'><body>milk</body></message>";
    await kiosk.receives(second);
    await laptop.receives(carbon("sent", "laptop", second));
    for (const each of [phone, laptop, kiosk]) await each.receivesNothing();
  });
});

describe("errors", () => {
  test("follow the message they answer, once, even though they do not repeat it", async () => {
    const { phone, laptop, kiosk } = await cast();
    await phone.sends("<message to='carol@localhost' type='chat' id='m1'><body>there?</body></message>");
    const [sent, failed] = await laptop.takes();
    expect(sent?.child("sent", ns.carbons)).toBeDefined();
    expect(failed?.attr("type")).toBe("error");
    expect(failed?.child("received", ns.carbons)).toBeDefined();
    const [error] = await phone.takes();
    expect(error?.attr("type")).toBe("error");
    await laptop.receivesNothing();
    await talk.arrives("<message from='carol@localhost/x' to='alice@localhost/phone' type='error' id='m1'/>");
    expect((await phone.takes()).length).toBe(1);
    await laptop.receivesNothing();
    await kiosk.receivesNothing();
  });

  test("that answer nothing we copied are not copied", async () => {
    const { phone, laptop } = await cast();
    await talk.arrives("<message from='carol@localhost/x' to='alice@localhost/phone' type='error' id='zz'/>");
    expect((await phone.takes()).length).toBe(1);
    await laptop.receivesNothing();
  });

  test("that a copy bounces with do not reach the original sender", async () => {
    const { phone, laptop, bob } = await cast();
    await bob.sends("<message to='alice@localhost/phone' type='chat' id='m1'><body>hi</body></message>");
    await phone.takes();
    await laptop.takes();
    await laptop.sends("<message to='alice@localhost' type='error' id='m1'/>");
    await bob.receivesNothing();
  });
});

test("enabling and disabling may be repeated, and disabling ends the copies", async () => {
  const { phone, laptop, bob } = await cast();
  await enables(phone);
  for (let round = 0; round < 2; round++) {
    await laptop.sends(disable);
    await laptop.receives("<iq type='result' id='off' from='alice@localhost' to='alice@localhost/laptop'/>");
  }
  await bob.sends("<message to='alice@localhost' type='chat'><body>hi</body></message>");
  await laptop.receivesNothing();
  await enables(laptop);
});

test("another user's copies cannot be asked for", async () => {
  const { bob, phone } = await cast();
  await bob.sends("<iq type='set' id='x' to='alice@localhost'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  const [answer] = await bob.takes();
  expect(answer?.attr("type")).toBe("error");
  await phone.receivesNothing();
});

test("Bind 2 turns copies on in the same round trip", async () => {
  talk = await Conversation.start({ modules: [carbons] });
  const phone = await talk.online("alice@localhost/phone");
  const laptop = await talk.online("alice@localhost/laptop");
  const [feature] = talk.host.registry.inlineFeatures;
  expect(feature).toMatchObject({ name: "enable", namespace: ns.carbons });
  expect(await feature!.enable(laptop.session, undefined as never)).toBeUndefined();
  await phone.sends("<message to='bob@localhost' type='chat'><body>hi</body></message>");
  expect((await laptop.takes()).length).toBe(1);
});

describe("eligibility (section 6.1)", () => {
  const muc = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
  const cases: [string, "sent" | "received", boolean, string][] = [
    ["<message type='chat'/>", "received", true, "type chat"],
    ["<message type='chat'><private xmlns='urn:xmpp:carbons:2'/><body/></message>", "sent", false, "marked private"],
    ["<message type='chat'><body/><no-copy xmlns='urn:xmpp:hints'/></message>", "received", false, "no-copy hint"],
    ["<message type='chat'><received xmlns='urn:xmpp:carbons:2'/></message>", "received", false, "is a carbon itself"],
    ["<message><body>x</body></message>", "received", true, "type normal with a body"],
    ["<message type='normal'><body>x</body></message>", "sent", true, "type normal with a body"],
    ["<message><subject>x</subject></message>", "received", false, "no instant message"],
    ["<message type='headline'><body>x</body></message>", "received", false, "no instant message"],
    [
      "<message><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
      "sent",
      true,
      "a payload of instant messaging",
    ],
    ["<message><received xmlns='urn:xmpp:receipts' id='1'/></message>", "sent", true, "a payload of instant messaging"],
    [
      "<message><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
      "sent",
      true,
      "a payload of instant messaging",
    ],
    ["<message type='groupchat'><body>x</body></message>", "received", false, "groupchat"],
    ["<message type='error'><body>x</body></message>", "received", false, "an error to a message that was not copied"],
    [
      "<message><x xmlns='jabber:x:conference' jid='room@muc'/></message>",
      "received",
      true,
      "an invitation to a group",
    ],
    [
      "<message from='room@muc'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='bob@localhost'/></x></message>",
      "received",
      true,
      "an invitation to a group",
    ],
    [
      `<message type='chat' from='room@muc/nick'><body>x</body>${muc}</message>`,
      "received",
      false,
      "private message of an occupant, which the group copies itself",
    ],
    [`<message type='chat' to='room@muc/nick'><body>x</body>${muc}</message>`, "sent", true, "type chat"],
    [`<message type='chat' from='room@muc'><body>x</body>${muc}</message>`, "received", true, "type chat"],
  ];
  for (const [text, direction, copy, reason] of cases) {
    test(`${direction} ${text}`, () => {
      const stanza = stanzaFromFrame(parseFrame(text, undefined, ns.client))!;
      expect(carbonVerdict(stanza, direction)).toEqual({ copy, reason });
    });
  }
});
