/** XEP-0030 and XEP-0157: what the host and its accounts say of themselves, and to whom. */
import { afterEach, describe, expect, test } from "bun:test";
import { defineModule } from "../../src/hooks/define-module.ts";
import { contactForm, disco } from "../../src/modules/disco.ts";
import { formTypeOf } from "../../src/stanza/disco-info.ts";
import { Conversation, type ConversationOptions } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const feature = defineModule({
  name: "mod_feature",
  summary: "Declares features.",
  options: {},
  features: {
    server: ["urn:example:server", "http://jabber.org/protocol/disco#info"],
    account: ["urn:example:account"],
  },
  setup(on) {
    on.answer("accountFeatures", () => ["urn:example:asked", "urn:example:account"]);
    on.answer("serverNode", (node) =>
      node === "known" ? { identities: [{ category: "a", type: "b" }], features: [], forms: [] } : undefined,
    );
    return undefined;
  },
});

const subscriptions: Record<string, "from" | "both" | "to" | "none"> = {
  "from@localhost": "from",
  "both@localhost": "both",
  "to@localhost": "to",
  "none@localhost": "none",
};

async function begin(options: Partial<ConversationOptions> = {}) {
  talk = await Conversation.start({
    modules: [feature, disco],
    answers: {
      rosterItem: (account, contact) => {
        const subscription = account.local === "alice" ? subscriptions[contact.full] : undefined;
        return subscription && { jid: contact.full, name: "", subscription, groups: [], ask: false };
      },
    },
    ...options,
  });
}

const get = (what: "info" | "items", to?: string, node?: string) =>
  `<iq type='get' id='1'${to ? ` to='${to}'` : ""}><query xmlns='http://jabber.org/protocol/disco#${what}'${
    node === undefined ? "" : ` node='${node}'`
  }/></iq>`;
const result = (what: "info" | "items", from: string, to: string, inside: string, node?: string) =>
  `<iq type='result' id='1' from='${from}' to='${to}'><query xmlns='http://jabber.org/protocol/disco#${what}'${
    node === undefined ? "" : ` node='${node}'`
  }>${inside}</query></iq>`;
const error = (condition: string, from: string, to: string) =>
  `<iq type='error' id='1' from='${from}' to='${to}'><error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>`;

const serverFeatures =
  "<identity category='server' type='im' name='Meerkat'/>" +
  "<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>" +
  "<feature var='urn:example:server'/>";
const accountFeatures =
  "<identity category='account' type='registered'/>" +
  "<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>" +
  "<feature var='urn:example:account'/><feature var='urn:example:asked'/>";

describe("the host", () => {
  test("names itself and the features of every module, each once", async () => {
    await begin();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get("info", "localhost"));
    await alice.receives(result("info", "localhost", "alice@localhost/phone", serverFeatures));
    await alice.sends(get("info", "localhost", ""));
    await alice.receives(result("info", "localhost", "alice@localhost/phone", serverFeatures));
  });

  test("knows its own nodes and no others", async () => {
    await begin();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get("info", "localhost", "known"));
    const known = "<identity category='a' type='b'/>";
    await alice.receives(result("info", "localhost", "alice@localhost/phone", known, "known"));
    await alice.sends(get("info", "localhost", "unknown"));
    await alice.sends(get("items", "localhost", "known"));
    for (const answer of await alice.takes())
      expect(answer.child("error")?.firstElement()?.name).toBe("item-not-found");
  });

  test("lists the domains of the configuration", async () => {
    await begin({ options: { mod_disco: { extra_domains: ["rooms.example", "files.example"] } } });
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get("items", "localhost"));
    const items = "<item jid='rooms.example'/><item jid='files.example'/>";
    await alice.receives(result("items", "localhost", "alice@localhost/phone", items));
  });

  test("says whom to write to (XEP-0157)", async () => {
    const contacts = [
      { name: "abuse-addresses", urls: ["mailto:abuse@shakespeare.lit", "xmpp:abuse@shakespeare.lit"] },
      { name: "admin-addresses", urls: ["mailto:admin@shakespeare.lit"], modules: ["mod_disco"] },
      { name: "support-addresses", urls: ["https://help.example"], modules: ["mod_muc"] },
      { name: "abuse-addresses", urls: ["https://abuse.example"] },
    ];
    await begin({ options: { mod_disco: { server_info: contacts } } });
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get("info", "localhost"));
    const form =
      "<x xmlns='jabber:x:data' type='result'>" +
      "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>" +
      "<field var='abuse-addresses' type='list-multi'><value>mailto:abuse@shakespeare.lit</value>" +
      "<value>xmpp:abuse@shakespeare.lit</value><value>https://abuse.example</value></field>" +
      "<field var='admin-addresses' type='list-multi'><value>mailto:admin@shakespeare.lit</value></field></x>";
    await alice.receives(result("info", "localhost", "alice@localhost/phone", serverFeatures + form));
  });

  test("without contacts there is no form", () => {
    expect(contactForm([])).toBeUndefined();
    expect(contactForm([{ name: "a", urls: ["b"], modules: ["mod_muc"] }])).toBeUndefined();
    expect(formTypeOf(contactForm([{ name: "a", urls: ["b"], modules: [] }])!)).toBe(
      "http://jabber.org/network/serverinfo",
    );
  });
});

describe("an account", () => {
  test("answers its owner, addressed or not", async () => {
    await begin();
    const alice = await talk.login("alice@localhost/phone");
    for (const to of ["alice@localhost", undefined]) {
      await alice.sends(get("info", to));
      await alice.receives(result("info", "alice@localhost", "alice@localhost/phone", accountFeatures));
    }
  });

  test("answers who may see its presence, and hides from all others whether it exists", async () => {
    await begin();
    for (const who of ["from", "both"]) {
      const person = await talk.login(`${who}@localhost/desk`);
      await person.sends(get("info", "alice@localhost"));
      await person.receives(result("info", "alice@localhost", `${who}@localhost/desk`, accountFeatures));
      await person.sends(get("info", "alice@localhost", "unknown"));
      await person.receives(
        `${error("item-not-found", "alice@localhost", `${who}@localhost/desk`)}${"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>There is no such node</text></error></iq>"}`,
      );
    }
    for (const who of ["to", "none", "stranger"]) {
      const person = await talk.login(`${who}@localhost/desk`);
      for (const node of [undefined, "node"]) {
        for (const account of ["alice@localhost", "nobody@localhost"]) {
          await person.sends(get("info", account, node));
          await person.receives(`${error("service-unavailable", account, `${who}@localhost/desk`)}</error></iq>`);
        }
      }
    }
  });

  test("shows its available resources to those, and nothing to others", async () => {
    await begin();
    await talk.online("alice@localhost/phone");
    await talk.login("alice@localhost/silent");
    const items = "<item jid='alice@localhost/phone'/>";
    for (const who of ["alice", "both", "from"]) {
      const person = await talk.login(`${who}@localhost/desk`);
      await person.sends(get("items", "alice@localhost"));
      await person.receives(result("items", "alice@localhost", `${who}@localhost/desk`, items));
    }
    const stranger = await talk.login("to@localhost/desk");
    await stranger.sends(get("items", "alice@localhost"));
    await stranger.receives(result("items", "alice@localhost", "to@localhost/desk", ""));
    await stranger.sends(get("items", "nobody@localhost", "node"));
    await stranger.receives(result("items", "nobody@localhost", "to@localhost/desk", "", "node"));
  });
});
