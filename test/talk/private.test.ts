/** XEP-0049: a client gets back what it stored, nobody else does, and there are limits. */
import { afterEach, describe, expect, test } from "bun:test";
import { privateStorage } from "../../src/modules/private.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { parseElement } from "../../src/xml/element.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function begin(options: Record<string, unknown> = {}) {
  talk = await Conversation.start({ modules: [privateStorage], options: { mod_private: options } });
  return talk.login("alice@localhost/phone");
}

const request = (type: "get" | "set", inside: string, to = "") =>
  `<iq type='${type}' id='1'${to}><query xmlns='jabber:iq:private'>${inside}</query></iq>`;
const done = "<iq type='result' id='1' from='alice@localhost' to='alice@localhost/phone'/>";
const result = (inside: string) =>
  `<iq type='result' id='1' from='alice@localhost' to='alice@localhost/phone'><query xmlns='jabber:iq:private'>${inside}</query></iq>`;

async function stores(person: Person, inside: string) {
  await person.sends(request("set", inside));
  await person.receives(done);
}

async function gets(person: Person, asked: string, expected: string) {
  await person.sends(request("get", asked));
  await person.receives(result(expected));
}

async function isRefused(person: Person, text: string, condition: string) {
  await person.sends(text);
  const [answer] = await person.takes();
  expect(answer?.attr("type")).toBe("error");
  expect(answer?.child("error")?.firstElement()?.name).toBe(condition);
}

const prefs = "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>";

describe("storing", () => {
  test("what was stored comes back, and what was not comes back empty", async () => {
    const alice = await begin();
    await gets(alice, "<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>");
    await stores(alice, prefs);
    await gets(alice, "<exodus xmlns='exodus:prefs'/>", prefs);
    await gets(alice, "<other xmlns='exodus:prefs'/>", "<other xmlns='exodus:prefs'/>");
    await gets(alice, "<exodus xmlns='exodus:other'/>", "<exodus xmlns='exodus:other'/>");
  });

  test("a later one replaces the earlier, an empty one removes it", async () => {
    const alice = await begin({ max_items: 1 });
    await stores(alice, prefs);
    await stores(alice, "<exodus xmlns='exodus:prefs' x:y='1' xmlns:x='urn:x'>&lt;é</exodus>");
    await gets(
      alice,
      "<exodus xmlns='exodus:prefs'/>",
      "<exodus xmlns='exodus:prefs' x:y='1' xmlns:x='urn:x'>&lt;é</exodus>",
    );
    await stores(alice, "<exodus xmlns='exodus:prefs'/>");
    await gets(alice, "<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>");
    await stores(alice, "<another xmlns='b'>1</another>");
  });

  test("several elements at once, of one name or of several", async () => {
    const alice = await begin();
    await stores(alice, "<a xmlns='n'>1</a><b xmlns='n'>2</b><a xmlns='n'>3</a><a xmlns='m'>4</a>");
    await gets(alice, "<a xmlns='n'/>", "<a xmlns='n'>1</a><a xmlns='n'>3</a>");
    await gets(alice, "<b xmlns='n'/><a xmlns='n'/>", "<b xmlns='n'>2</b><a xmlns='n'>1</a><a xmlns='n'>3</a>");
    await gets(alice, "<a xmlns='m'/>", "<a xmlns='m'>4</a>");
  });

  test("is gone with the account", async () => {
    const alice = await begin();
    await stores(alice, prefs);
    for (const removed of talk.host.registry.accounts.removed) await removed(parseJid("alice@localhost")!);
    await gets(alice, "<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>");
  });
});

describe("refused is", () => {
  test("what belongs to somebody else", async () => {
    const alice = await begin();
    await stores(alice, prefs);
    const bob = await talk.login("bob@localhost/desk");
    await isRefused(bob, request("get", "<exodus xmlns='exodus:prefs'/>", " to='alice@localhost'"), "forbidden");
    await isRefused(bob, request("set", prefs, " to='alice@localhost'"), "forbidden");
    await gets(alice, "<exodus xmlns='exodus:prefs'/>", prefs);
  });

  for (const [name, type, inside, condition] of [
    ["asking for nothing", "get", "", "bad-request"],
    ["storing nothing", "set", "text", "not-acceptable"],
    ["asking for two namespaces", "get", "<a xmlns='a'/><b xmlns='b'/>", "bad-request"],
    ["an element of our own namespace", "set", "<item>1</item>", "not-acceptable"],
    ["no namespace", "set", "<item xmlns=''>1</item>", "not-acceptable"],
    ["a namespace of the protocol", "set", "<a xmlns='http://jabber.org/protocol/a'>1</a>", "not-acceptable"],
    ["the namespace of vCards", "set", "<vCard xmlns='vcard-temp'><FN>Hamlet</FN></vCard>", "not-acceptable"],
    ["too long a name", "set", `<a xmlns='urn:${"x".repeat(250)}'>1</a>`, "not-acceptable"],
    ["too large an element", "set", `<a xmlns='a'>${"é".repeat(550)}</a>`, "policy-violation"],
    [
      "more elements than allowed",
      "set",
      "<a xmlns='a'>1</a><b xmlns='a'>1</b><c xmlns='a'>1</c>",
      "resource-constraint",
    ],
    ["asking for more than there can be", "get", "<a xmlns='a'/><b xmlns='a'/><c xmlns='a'/>", "bad-request"],
  ] as const) {
    test(name, async () => {
      const alice = await begin({ max_item_size: 1_024, max_items: 2 });
      await isRefused(alice, request(type, inside), condition);
    });
  }

  test("one element more than allowed, and then nothing of the request is stored", async () => {
    const alice = await begin({ max_items: 2 });
    await stores(alice, "<a xmlns='n'>1</a><b xmlns='n'>1</b>");
    await isRefused(alice, request("set", "<a xmlns='n'>2</a><c xmlns='n'>1</c>"), "resource-constraint");
    await gets(alice, "<a xmlns='n'/>", "<a xmlns='n'>1</a>");
    await stores(alice, "<a xmlns='n'>2</a>");
  });
});

test("the service of the admin API", async () => {
  const alice = await begin();
  const service = talk.host.registry.service("privateStorage")!;
  const account = parseJid("alice@localhost")!;
  expect(await service.get(account, "exodus", "exodus:prefs")).toBe("<exodus xmlns='exodus:prefs'/>");
  await service.set(account, parseElement(prefs, ""));
  expect(await service.get(account, "exodus", "exodus:prefs")).toBe(prefs);
  await gets(alice, "<exodus xmlns='exodus:prefs'/>", prefs);
  const failed = (promise: Promise<unknown>) => promise.catch((error: { condition: string }) => error.condition);
  expect(await failed(service.get(account, "a b", "n"))).toBe("not-acceptable");
  expect(await failed(service.get(account, "a", "jabber:client"))).toBe("not-acceptable");
  expect(await failed(service.get(parseJid("nobody@localhost")!, "a", "n"))).toBe("item-not-found");
});
