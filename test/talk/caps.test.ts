/** XEP-0115 and XEP-0390: the server says what it can do by a hash, and believes clients' hashes only after checking. */
import { afterEach, describe, expect, test } from "bun:test";
import { advertisementIn, verdictOn } from "../../src/modules/caps/advertisement.ts";
import { caps } from "../../src/modules/caps/caps.ts";
import { CapsCache } from "../../src/modules/caps/caps-cache.ts";
import { disco } from "../../src/modules/disco.ts";
import {
  caps2Hash,
  capsVersion,
  type DiscoInfo,
  discoInfoElement,
  parseDiscoInfo,
} from "../../src/stanza/disco-info.ts";
import { ns } from "../../src/stanza/ns.ts";
import { presence } from "../../src/stanza/stanza.ts";
import { type Element, parseElement } from "../../src/xml/element.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function begin(options: Record<string, unknown> = {}) {
  talk = await Conversation.start({ modules: [caps, disco], options: { mod_caps: options } });
}

const client: DiscoInfo = {
  identities: [{ category: "client", type: "pc", name: "Exodus 0.9.1" }],
  features: ["http://jabber.org/protocol/caps", "http://jabber.org/protocol/disco#info", "urn:xmpp:ping"],
  forms: [],
};
const other: DiscoInfo = { ...client, features: ["urn:example:other"] };
const uri = "http://code.google.com/p/exodus";
const v1 = (info: DiscoInfo) =>
  `<c xmlns='${ns.caps}' hash='sha-1' node='${uri}' ver='${capsVersion(info, "sha-1")}'/>`;
const v2 = (info: DiscoInfo, algorithm = "sha-256") =>
  `<c xmlns='${ns.caps2}'><hash xmlns='${ns.hashes}' algo='unknown'>AAAA</hash>` +
  `<hash xmlns='${ns.hashes}' algo='${algorithm}'>${caps2Hash(info, algorithm)}</hash></c>`;
const nodeOf1 = (info: DiscoInfo) => `${uri}#${capsVersion(info, "sha-1")}`;
const nodeOf2 = (info: DiscoInfo) => `urn:xmpp:caps#sha-256.${caps2Hash(info, "sha-256")}`;

/** The question a client gets; undefined when it gets none. */
async function question(person: Person): Promise<{ id: string; node: string } | undefined> {
  const all: Element[] = await person.takes();
  const asked = all.filter((stanza) => stanza.child("query", ns.discoInfo) !== undefined);
  expect(asked.length).toBeLessThan(2);
  if (asked[0] === undefined) return undefined;
  expect(asked[0].attr("from")).toBe("localhost");
  return { id: asked[0].attr("id")!, node: asked[0].child("query", ns.discoInfo)!.attr("node")! };
}

const answer = (id: string, info: DiscoInfo, attributes = "") =>
  `<iq type='result' id='${id}' to='localhost'${attributes}>${discoInfoElement(info).text}</iq>`;

/** Sends presence and answers the question that must follow. */
async function shows(person: Person, capsElement: string, info: DiscoInfo) {
  await person.sends(`<presence>${capsElement}</presence>`);
  const asked = await question(person);
  expect(asked).toBeDefined();
  await person.sends(answer(asked!.id, info));
  return asked!.node;
}

const featuresOf = (person: Person) => talk.host.registry.ask("clientFeatures", person.session);

describe("the server", () => {
  const featureElements = () =>
    parseElement(`<f>${talk.host.registry.streamFeatures.map((element) => element()?.text ?? "").join("")}</f>`, "");

  test("advertises the hash of what it answers, and answers for it", async () => {
    await begin();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(
      "<iq type='get' id='1' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    const [plain] = await alice.takes();
    const info = parseDiscoInfo(plain!.child("query", ns.discoInfo)!)!;
    expect(info.features).toContain(ns.caps);
    expect(info.features).toContain(ns.caps2);

    const features = featureElements();
    const first = features.child("c", ns.caps)!;
    expect(first.attr("hash")).toBe("sha-1");
    expect(first.attr("ver")).toBe(capsVersion(info, "sha-1")!);
    const second = features.child("c", ns.caps2)!.child("hash", ns.hashes)!;
    expect(second.attr("algo")).toBe("sha-256");
    expect(second.text()).toBe(caps2Hash(info, "sha-256")!);

    for (const node of [`${first.attr("node")}#${first.attr("ver")}`, `urn:xmpp:caps#sha-256.${second.text()}`]) {
      await alice.sends(
        `<iq type='get' id='2' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='${node}'/></iq>`,
      );
      const [told] = await alice.takes();
      const query = told!.child("query", ns.discoInfo)!;
      expect(query.attr("node")).toBe(node);
      expect(parseDiscoInfo(query)).toEqual(info);
    }
    await alice.sends(
      `<iq type='get' id='2' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='urn:xmpp:caps#sha-256.x'/></iq>`,
    );
    expect((await alice.takes())[0]!.child("error")!.firstElement()!.name).toBe("item-not-found");
  });

  test("advertises only the versions the operator wants", async () => {
    await begin({ versions: ["v2"] });
    expect(
      featureElements()
        .elements()
        .map((element) => element.ns),
    ).toEqual([ns.caps2]);
  });
});

describe("a client", () => {
  test("is asked once, and its answer serves every client with that hash", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    expect(await shows(phone, v1(client), client)).toBe(nodeOf1(client));
    expect(await featuresOf(phone)).toEqual(client.features);
    const desk = await talk.login("bob@localhost/desk");
    await desk.sends(`<presence>${v1(client)}</presence>`);
    expect(await question(desk)).toBeUndefined();
    expect(await featuresOf(desk)).toEqual(client.features);
    await desk.sends("<presence><show>away</show></presence>");
    expect(await featuresOf(desk)).toEqual(client.features);
  });

  test("that says nothing of it is not asked", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    await phone.sends("<presence/>");
    expect(await question(phone)).toBeUndefined();
    expect(await featuresOf(phone)).toBeUndefined();
  });

  test("is asked by XEP-0390 where it speaks both", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    expect(await shows(phone, v1(other) + v2(client), client)).toBe(nodeOf2(client));
    expect(await featuresOf(phone)).toEqual(client.features);
  });

  test("is heard before its first presence", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    await phone.sends(`<iq type='set' id='grat1' to='localhost'>${v2(client)}</iq>`);
    const got = await phone.takes();
    expect(got.map((stanza) => stanza.attr("type")).sort()).toEqual(["get", "result"]);
    await phone.sends(answer(got.find((stanza) => stanza.attr("type") === "get")!.attr("id")!, client));
    expect(await featuresOf(phone)).toEqual(client.features);
    await phone.sends(`<iq type='set' id='grat2' to='localhost'><c xmlns='${ns.caps2}'/></iq>`);
    expect((await phone.takes())[0]!.child("error")!.firstElement()!.name).toBe("not-acceptable");
  });

  for (const [name, element] of [
    ["XEP-0115", v1(client)],
    ["XEP-0390", v2(client)],
  ] as const) {
    test(`that answers something else is not believed, nor does it harm the next (${name})`, async () => {
      await begin();
      const liar = await talk.login("mallory@localhost/x");
      await shows(liar, element, other);
      expect(await featuresOf(liar)).toBeUndefined();
      const phone = await talk.login("alice@localhost/phone");
      await shows(phone, element, client);
      expect(await featuresOf(phone)).toEqual(client.features);
      expect(await featuresOf(liar)).toBeUndefined();
    });
  }

  test("that forges an answer with the right hash deceives only about itself", async () => {
    await begin();
    const [first, second, third] = client.features as [string, string, string];
    const forged: DiscoInfo = { ...client, features: [first, `${second}<${third}`] };
    expect(capsVersion(forged, "sha-1")).toBe(capsVersion(client, "sha-1"));
    const liar = await talk.login("mallory@localhost/x");
    await shows(liar, v1(client), forged);
    expect(await featuresOf(liar)).toEqual(forged.features);
    const phone = await talk.login("alice@localhost/phone");
    await shows(phone, v1(client), client);
    expect(await featuresOf(phone)).toEqual(client.features);
  });

  test("with a hash function we do not know is believed for itself", async () => {
    await begin();
    const element = `<c xmlns='${ns.caps}' hash='md2' node='${uri}' ver='abc'/>`;
    for (const who of ["alice", "bob"]) {
      const person = await talk.login(`${who}@localhost/x`);
      expect(await shows(person, element, client)).toBe(`${uri}#abc`);
      expect(await featuresOf(person)).toEqual(client.features);
    }
  });

  test("that does not answer is waited for so long and no longer", async () => {
    await begin({ iq_response_timeout: 1_000 });
    const phone = await talk.login("alice@localhost/phone");
    await phone.sends(`<presence>${v1(client)}</presence>`);
    const features = featuresOf(phone);
    expect(features).toBeInstanceOf(Promise);
    await talk.clock.advance(1_000);
    expect(await features).toBeUndefined();
  });

  test("that refuses to answer is unknown", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    await phone.sends(`<presence>${v1(client)}</presence>`);
    const { id } = (await question(phone))!;
    await phone.sends(`<iq type='error' id='${id}' to='localhost'><error type='cancel'/></iq>`);
    expect(await featuresOf(phone)).toBeUndefined();
  });

  test("that changes while we ask is asked again", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    await phone.sends(`<presence>${v1(client)}</presence>`);
    const first = (await question(phone))!;
    await phone.sends(`<presence>${v1(other)}</presence>`);
    expect(await question(phone)).toBeUndefined();
    await phone.sends(answer(first.id, client));
    const second = (await question(phone))!;
    expect(second.node).toBe(nodeOf1(other));
    await phone.sends(answer(second.id, other));
    expect(await featuresOf(phone)).toEqual(other.features);
    await phone.sends(`<presence>${v1(client)}</presence>`);
    expect(await question(phone)).toBeUndefined();
    expect(await featuresOf(phone)).toEqual(client.features);
  });

  test("of a kind that another is asked about waits for that answer", async () => {
    await begin();
    const people = [];
    for (const who of ["a", "b", "c"]) {
      const person = await talk.login(`${who}@localhost/x`);
      await person.sends(`<presence>${v1(client)}</presence>`);
      people.push(person);
    }
    const asked = (await question(people[0]!))!;
    for (const person of people.slice(1)) expect(await question(person)).toBeUndefined();
    await people[0]!.sends(answer(asked.id, client));
    for (const person of people) expect(await featuresOf(person)).toEqual(client.features);
    for (const person of people) expect(await question(person)).toBeUndefined();
  });

  test("whose answer was wrong leaves the others to be asked at once, not in turn", async () => {
    await begin();
    const people = [];
    for (const who of ["a", "b", "c"]) {
      const person = await talk.login(`${who}@localhost/x`);
      await person.sends(`<presence>${v1(client)}</presence>`);
      people.push(person);
    }
    await people[0]!.sends(answer((await question(people[0]!))!.id, other));
    for (const person of people.slice(1)) await person.sends(answer((await question(person))!.id, client));
    expect(await featuresOf(people[0]!)).toBeUndefined();
    for (const person of people.slice(1)) expect(await featuresOf(person)).toEqual(client.features);
  });

  test("that changes all the time is not asked all the time", async () => {
    await begin();
    const phone = await talk.login("alice@localhost/phone");
    const infos = Array.from({ length: 12 }, (_, at) => ({ ...client, features: [`urn:example:${at}`] }));
    for (const info of infos.slice(0, 10)) await shows(phone, v1(info), info);
    await phone.sends(`<presence>${v1(infos[10]!)}</presence>`);
    expect(await question(phone)).toBeUndefined();
    expect(await featuresOf(phone)).toBeUndefined();
    await talk.clock.advance(60_000);
    await shows(phone, v1(infos[11]!), infos[11]!);
    expect(await featuresOf(phone)).toEqual(infos[11]!.features);
  });
});

describe("reading", () => {
  const read = (inside: string, versions = ["v1", "v2"]) => advertisementIn(presence({ payload: inside }), versions);

  test("what cannot be verified or is too long is no advertisement", () => {
    const long = "x".repeat(600);
    for (const inside of [
      "<c xmlns='http://jabber.org/protocol/caps' node='n' ver='v'/>",
      "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='v'/>",
      "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver=''/>",
      `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='${long}' ver='v'/>`,
      `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='${long}'/>`,
      "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='unknown'>AAAA</hash></c>",
      "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'/></c>",
      `<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>${long}</hash></c>`,
      "<d xmlns='urn:xmpp:caps'/>",
      "",
    ]) {
      expect(read(inside)).toBeUndefined();
    }
  });

  test("only versions the operator wants count", () => {
    expect(read(v1(client) + v2(client), ["v1"])!.version).toBe("v1");
    expect(read(v1(client), ["v2"])).toBeUndefined();
    expect(read(v1(client) + v2(client, "sha3-256"))!.node).toStartWith("urn:xmpp:caps#sha3-256.");
  });

  test("a language inherited from the stanza may be part of the hash", () => {
    const german: DiscoInfo = { ...client, identities: [{ ...client.identities[0]!, lang: "de" }] };
    const query = parseElement(discoInfoElement(client).text, "");
    expect(verdictOn(read(v2(german))!, query, "de").features).toEqual(client.features);
    expect(verdictOn(read(v2(german))!, query, "").features).toBeUndefined();
    expect(verdictOn(read(v2(client))!, query, "de").features).toEqual(client.features);
  });

  test("an ill-formed answer is none", () => {
    const twice: DiscoInfo = { ...client, features: ["a", "a"] };
    const query = parseElement(discoInfoElement(twice).text, "");
    expect(verdictOn(read(v1(twice))!, query, "")).toEqual({
      features: undefined,
      shared: false,
      reason: "a feature twice",
    });
    expect(verdictOn(read(v1(client))!, undefined, "").features).toBeUndefined();
  });
});

describe("the cache", () => {
  test("forgets what was used longest ago", () => {
    const cache = new CapsCache(2);
    cache.set("a", ["1"]);
    cache.set("b", ["2"]);
    expect(cache.get("a")).toEqual(["1"]);
    cache.set("c", ["3"]);
    expect([cache.get("a"), cache.get("b"), cache.get("c")]).toEqual([["1"], undefined, ["3"]]);
    cache.set("c", ["4"]);
    expect(cache.size).toBe(2);
  });

  test("is limited in characters too", () => {
    const cache = new CapsCache(1_000_000);
    cache.set("huge", ["x".repeat(70_000)]);
    expect(cache.size).toBe(0);
    for (let at = 0; at < 400; at++) cache.set(`key ${at}`, ["x".repeat(60_000)]);
    expect(cache.size).toBeGreaterThan(200);
    expect(cache.size).toBeLessThan(300);
    expect(cache.get("key 399")).toBeDefined();
  });
});
