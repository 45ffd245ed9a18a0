/** XEP-0054, XEP-0153 and the presence half of XEP-0398: profiles, and who learns of their picture. */
import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { withAvatarHash } from "../../src/modules/vcard/avatar.ts";
import { vcard } from "../../src/modules/vcard/vcard.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { presence } from "../../src/stanza/stanza.ts";
import { photoOf } from "../../src/stanza/vcard-photo.ts";
import { equalElements, parseElement } from "../../src/xml/element.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function begin(options: Record<string, unknown> = {}) {
  talk = await Conversation.start({ modules: [vcard], options: { mod_vcard: options } });
  return talk.login("alice@localhost/phone");
}

/** The single pixel GIF everybody knows, and its SHA-1. */
const picture = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
const hash = createHash("sha1").update(Buffer.from(picture, "base64")).digest("hex");
const photo = `<PHOTO><TYPE>image/gif</TYPE><BINVAL>\n${picture.slice(0, 20)}\n  ${picture.slice(20)}\n</BINVAL></PHOTO>`;
const card = (inside: string) => `<vCard xmlns='vcard-temp'>${inside}</vCard>`;
const juliet = card("<FN>Juliet &amp; co</FN><N><GIVEN>Juliet</GIVEN></N>");

const get = (to = "") => `<iq type='get' id='1'${to}><vCard xmlns='vcard-temp'/></iq>`;
const set = (inside: string, to = "") => `<iq type='set' id='2'${to}>${inside}</iq>`;
const gets = (who: string, inside: string) =>
  `<iq type='result' id='1' from='alice@localhost' to='${who}'>${inside}</iq>`;

async function stores(person: Person, inside: string) {
  await person.sends(set(inside));
  await person.receives(`<iq type='result' id='2' from='alice@localhost' to='${person.session.jid.full}'/>`);
}

async function condition(person: Person): Promise<string | undefined> {
  const [answer] = await person.takes();
  return answer?.child("error")?.firstElement()?.name;
}

describe("a vCard", () => {
  test("is set by its owner and seen by everybody", async () => {
    const alice = await begin();
    await stores(alice, juliet);
    await alice.sends(get());
    await alice.receives(gets("alice@localhost/phone", juliet));
    const bob = await talk.login("bob@localhost/desk");
    await bob.sends(get(" to='alice@localhost'"));
    await bob.receives(gets("bob@localhost/desk", juliet));
  });

  test("is replaced as a whole", async () => {
    const alice = await begin();
    await stores(alice, juliet);
    await stores(alice, card("<DESC>new</DESC>"));
    await alice.sends(get(" to='alice@localhost'"));
    await alice.receives(gets("alice@localhost/phone", card("<DESC>new</DESC>")));
  });

  test("is missed the same way whether the account exists or not", async () => {
    await begin();
    const bob = await talk.login("bob@localhost/desk");
    for (const who of ["alice", "nobody"]) {
      await bob.sends(get(` to='${who}@localhost'`));
      expect(await condition(bob)).toBe("service-unavailable");
    }
    await bob.sends(get());
    expect(await condition(bob)).toBe("item-not-found");
  });

  test("is not changed by others", async () => {
    const alice = await begin();
    await stores(alice, juliet);
    const bob = await talk.login("bob@localhost/desk");
    await bob.sends(set(card("<FN>Fool</FN>"), " to='alice@localhost'"));
    expect(await condition(bob)).toBe("forbidden");
    await alice.sends(get());
    await alice.receives(gets("alice@localhost/phone", juliet));
  });

  test("has a limit", async () => {
    const alice = await begin({ max_size: 1_024 });
    await alice.sends(set(card(`<DESC>${"é".repeat(550)}</DESC>`)));
    expect(await condition(alice)).toBe("policy-violation");
  });

  test("goes with its account", async () => {
    const alice = await begin();
    await stores(alice, juliet);
    for (const removed of talk.host.registry.accounts.removed) await removed(parseJid("alice@localhost")!);
    await alice.sends(get());
    expect(await condition(alice)).toBe("item-not-found");
  });

  test("of the server names the software", async () => {
    const alice = await begin();
    await alice.sends(get(" to='localhost'"));
    const [answer] = await alice.takes();
    expect(answer!.child("vCard", "vcard-temp")!.childText("FN")).toBe("Meerkat");
  });

  test("is read and set by the admin API", async () => {
    const alice = await begin();
    const service = talk.host.registry.service("vcard")!;
    const jid = parseJid("alice@localhost")!;
    expect(await service.get(jid)).toBeUndefined();
    await service.set(jid, parseElement(card(photo), ""));
    expect((await service.get(jid))!.child("PHOTO")).toBeDefined();
    await alice.sends("<presence/>");
    expect(alice.session.presence!.child("x", "vcard-temp:x:update")!.childText("photo")).toBe(hash);
    const failed = (promise: Promise<unknown>) => promise.catch((error: { condition: string }) => error.condition);
    expect(await failed(service.set(jid, parseElement("<vCard xmlns='other'/>", "")))).toBe("bad-request");
    expect(await failed(service.get(parseJid("nobody@localhost")!))).toBe("item-not-found");
  });
});

describe("presence", () => {
  const update = (inside: string) => `<x xmlns='vcard-temp:x:update'>${inside}</x>`;

  test("carries the hash, broadcast and directed, from the first one on", async () => {
    const alice = await begin();
    await stores(alice, card(photo));
    const bob = await talk.online("bob@localhost/desk");
    const laptop = await talk.login("alice@localhost/laptop");
    await laptop.sends("<presence><show>away</show></presence>");
    expect(laptop.session.presence!.child("x", "vcard-temp:x:update")!.childText("photo")).toBe(hash);
    await laptop.sends("<presence to='bob@localhost/desk'/>");
    await bob.receives(
      `<presence from='alice@localhost/laptop' to='bob@localhost/desk'>${update(`<photo>${hash}</photo>`)}</presence>`,
    );
  });

  test("follows a change by another resource", async () => {
    const alice = await begin();
    const bob = await talk.online("bob@localhost/desk");
    const laptop = await talk.online("alice@localhost/laptop");
    await stores(alice, card(photo));
    await laptop.sends("<presence to='bob@localhost/desk'/>");
    await bob.receives(
      `<presence from='alice@localhost/laptop' to='bob@localhost/desk'>${update(`<photo>${hash}</photo>`)}</presence>`,
    );
    await stores(alice, card("<FN>no picture</FN>"));
    await laptop.sends("<presence to='bob@localhost/desk'/>");
    await bob.receives(
      `<presence from='alice@localhost/laptop' to='bob@localhost/desk'>${update("<photo/>")}</presence>`,
    );
  });

  test("other than available is not touched", async () => {
    const alice = await begin();
    const bob = await talk.login("bob@localhost/desk");
    await stores(alice, card(photo));
    await alice.sends("<presence to='bob@localhost/desk' type='unavailable'/>");
    await bob.receives("<presence from='alice@localhost/phone' to='bob@localhost/desk' type='unavailable'/>");
  });

  test("comes without hash while the database is away", async () => {
    const alice = await begin();
    await talk.store.db.schema.dropTable("vcard").execute();
    await alice.sends("<presence/>");
    expect(alice.session.presence!.inner).toBe("");
  });

  for (const [name, sent, known, expected] of [
    ["nothing, and a picture", "", "abc", "<photo>abc</photo>"],
    ["nothing, and no picture", "", "", "<photo/>"],
    ["an empty element", update(""), "abc", "<photo>abc</photo>"],
    ["an empty element, and no picture", update(""), "", "<photo/>"],
    ["a client that shows no picture", update("<photo/>"), "abc", "<photo/>"],
    ["the right hash", update("<photo>ABC</photo>"), "abc", "<photo>ABC</photo>"],
    ["a wrong hash", update("<photo>old</photo>"), "abc", "<photo>abc</photo>"],
    ["a hash, and no picture here", update("<photo>theirs</photo>"), "", "<photo>theirs</photo>"],
  ] as const) {
    test(`with ${name}`, () => {
      const changed = withAvatarHash(presence({ payload: `<show>away</show>${sent}` }), known);
      const wanted = `<presence xmlns='jabber:client'><show>away</show>${update(expected)}</presence>`;
      expect(equalElements(parseElement(changed.toStandaloneXml(), ""), parseElement(wanted, ""))).toBe(true);
    });
  }
});

describe("the hash of a picture", () => {
  for (const [name, inside, expected] of [
    ["wrapped in lines", photo, hash],
    ["without picture", "<FN>Juliet</FN>", ""],
    ["empty", "<PHOTO><BINVAL/></PHOTO>", ""],
    ["elsewhere", "<PHOTO><EXTVAL>http://example.org/a.png</EXTVAL></PHOTO>", ""],
    ["not base64", "<PHOTO><BINVAL>!!!!</BINVAL></PHOTO>", ""],
    ["cut off", "<PHOTO><BINVAL>R0lGODlh=</BINVAL></PHOTO>", ""],
    ["after a broken one", `<PHOTO><BINVAL>?</BINVAL></PHOTO>${photo}`, hash],
  ] as const) {
    test(name, () => expect(photoOf(parseElement(card(inside), ""))?.hash ?? "").toBe(expected));
  }
});

test("the question of other modules", async () => {
  const alice = await begin();
  const bob = await talk.login("bob@localhost/desk");
  await stores(alice, card(photo));
  expect(await talk.host.registry.ask("avatarHash", alice.session.account)).toBe(hash);
  expect(await talk.host.registry.ask("avatarHash", bob.session.account)).toBe("");
});
