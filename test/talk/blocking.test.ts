/** XEP-0191 Blocking Command: what the user sees, and what those see who are shut out. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import { carbons } from "../../src/modules/carbons.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { presence } from "../../src/modules/presence.ts";
import { blocking } from "../../src/modules/privacy/blocking.ts";
import { privacy } from "../../src/modules/privacy/privacy.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function start(...modules: ModuleDefinition[]) {
  talk = await Conversation.start({ modules: [blocking, ...modules] });
  return { phone: await talk.online("alice@localhost/phone"), bob: await talk.online("bob@localhost/desk") };
}

const items = (...jids: string[]) => jids.map((jid) => `<item jid='${jid}'/>`).join("");
const result = (to: Person, id: string, inside = "") =>
  `<iq type='result' id='${id}' from='${to.session.account.bare}' to='${to.session.jid.full}'>${inside}</iq>`;
const push = (to: Person, name: string, ...jids: string[]) =>
  `<iq type='set' id='*' to='${to.session.jid.full}'><${name} xmlns='urn:xmpp:blocking'>${items(...jids)}</${name}></iq>`;

async function commands(person: Person, name: "block" | "unblock", ...jids: string[]): Promise<void> {
  await person.sends(`<iq type='set' id='b'><${name} xmlns='urn:xmpp:blocking'>${items(...jids)}</${name}></iq>`);
  await person.receives(result(person, "b"));
}
async function list(person: Person): Promise<(string | undefined)[]> {
  await person.sends("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
  const [answer] = await person.takes();
  return answer!
    .child("blocklist", "urn:xmpp:blocking")!
    .elements()
    .map((item) => item.attr("jid"));
}
const errorCondition = async (person: Person) => {
  const got = await person.takes();
  expect(got.map((element) => element.attr("type"))).toEqual(["error"]);
  return got[0]!
    .child("error")!
    .elements()
    .map((element) => element.name);
};

describe("the list", () => {
  test("is empty at first, and holds what was blocked, each once, prepared", async () => {
    const { phone } = await start();
    expect(await list(phone)).toEqual([]);
    await commands(phone, "block", "Romeo@Montague.net", "iago@shakespeare.lit");
    await phone.receives(push(phone, "block", "romeo@montague.net", "iago@shakespeare.lit"));
    await commands(phone, "block", "romeo@montague.net");
    await phone.takes();
    expect((await list(phone)).toSorted()).toEqual(["iago@shakespeare.lit", "romeo@montague.net"]);
    await commands(phone, "unblock", "iago@shakespeare.lit");
    await phone.receives(push(phone, "unblock", "iago@shakespeare.lit"));
    expect(await list(phone)).toEqual(["romeo@montague.net"]);
    await commands(phone, "unblock");
    await phone.receives(push(phone, "unblock"));
    expect(await list(phone)).toEqual([]);
  });

  test("is pushed to resources that asked for it, and to no other", async () => {
    const { phone } = await start();
    const laptop = await talk.online("alice@localhost/laptop");
    const kiosk = await talk.online("alice@localhost/kiosk");
    await list(laptop);
    await commands(phone, "block", "bob@localhost");
    await laptop.receives(push(laptop, "block", "bob@localhost"));
    await phone.receivesNothing();
    await kiosk.receivesNothing();
  });

  test("is another user's own business", async () => {
    const { phone } = await start();
    await phone.sends("<iq type='get' id='x' to='bob@localhost'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
    expect(await errorCondition(phone)).toEqual(["service-unavailable"]);
  });

  for (const [command, condition] of [
    ["<block xmlns='urn:xmpp:blocking'/>", "bad-request"],
    ["<block xmlns='urn:xmpp:blocking'><jid>a@b</jid></block>", "bad-request"],
    ["<block xmlns='urn:xmpp:blocking'><item/></block>", "jid-malformed"],
    ["<block xmlns='urn:xmpp:blocking'><item jid='@x'/></block>", "jid-malformed"],
    ["<unblock xmlns='urn:xmpp:blocking'><item jid='a b@x'/></unblock>", "jid-malformed"],
  ] as const) {
    test(`refuses ${command}`, async () => {
      const { phone } = await start();
      await phone.sends(`<iq type='set' id='x'>${command}</iq>`);
      expect((await errorCondition(phone))[0]).toBe(condition);
    });
  }

  test("outlives the session and goes with the account", async () => {
    const { phone } = await start();
    await commands(phone, "block", "bob@localhost");
    await phone.leaves();
    const laptop = await talk.online("alice@localhost/laptop");
    expect(await list(laptop)).toEqual(["bob@localhost"]);
    await laptop.leaves();
    for (const removed of talk.host.registry.accounts.removed) await removed(parseJid("alice@localhost")!);
    expect(await list(await talk.online("alice@localhost/new"))).toEqual([]);
  });
});

describe("somebody blocked", () => {
  async function blocked(...modules: ModuleDefinition[]) {
    const people = await start(...modules);
    await commands(people.phone, "block", "bob@localhost");
    return people;
  }

  test("gets service-unavailable for a message, to the account or a resource", async () => {
    const { phone, bob } = await blocked();
    for (const to of ["alice@localhost", "alice@localhost/phone"]) {
      await bob.sends(`<message to='${to}' type='chat'><body>hi</body></message>`);
      expect(await errorCondition(bob)).toEqual(["service-unavailable"]);
    }
    await phone.receivesNothing();
  });

  test("gets service-unavailable for a request; answers disappear", async () => {
    const { phone, bob } = await blocked();
    await bob.sends("<iq type='get' id='q' to='alice@localhost/phone'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(await errorCondition(bob)).toEqual(["service-unavailable"]);
    await bob.sends("<iq type='result' id='q' to='alice@localhost/phone'/>");
    await bob.sends("<message type='error' id='q' to='alice@localhost/phone'/>");
    await bob.receivesNothing();
    await phone.receivesNothing();
  });

  test("gets no answer to presence of any kind", async () => {
    const { phone, bob } = await blocked();
    for (const type of ["", " type='subscribe'", " type='probe'", " type='unavailable'", " type='unsubscribed'"]) {
      await bob.sends(`<presence to='alice@localhost'${type}/>`);
    }
    await bob.receivesNothing();
    await phone.receivesNothing();
  });

  test("leaves no message for an absent user", async () => {
    const { phone, bob } = await blocked(offline);
    await phone.leaves();
    await bob.sends("<message to='alice@localhost' type='chat'><body>hi</body></message>");
    expect(await errorCondition(bob)).toEqual(["service-unavailable"]);
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.receivesNothing();
  });

  test("cannot be written to: not-acceptable with the condition of the protocol, and no copy of it", async () => {
    const { phone, bob } = await blocked(carbons);
    const laptop = await talk.online("alice@localhost/laptop");
    await laptop.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    await laptop.takes();
    await phone.sends("<message to='bob@localhost' type='chat' id='m'><body>hi</body></message>");
    await phone.receives(
      "<message from='bob@localhost' to='alice@localhost/phone' type='error' id='m'><error type='cancel'>" +
        "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><blocked xmlns='urn:xmpp:blocking:errors'/></error></message>",
    );
    await phone.sends("<iq type='get' id='q' to='bob@localhost/desk'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(await errorCondition(phone)).toEqual(["not-acceptable", "blocked"]);
    await phone.sends("<presence to='bob@localhost' type='subscribe'/>");
    expect(await errorCondition(phone)).toEqual(["not-acceptable", "blocked"]);
    await bob.receivesNothing();
    await laptop.receivesNothing();
  });

  test("is somebody else's friend still, and reachable after unblocking", async () => {
    const { phone, bob } = await blocked();
    const carol = await talk.online("carol@localhost/x");
    await bob.sends("<message to='carol@localhost' type='chat' id='1'/>");
    expect((await carol.takes()).length).toBe(1);
    await commands(phone, "unblock", "bob@localhost");
    await bob.sends("<message to='alice@localhost' type='chat' id='1'/>");
    expect((await phone.takes()).length).toBe(1);
  });

  test("may be a whole domain, but never the user's own resources or server", async () => {
    const { phone, bob } = await start();
    await commands(phone, "block", "localhost");
    await bob.sends("<message to='alice@localhost' type='chat' id='1'/>");
    expect(await errorCondition(bob)).toEqual(["service-unavailable"]);
    const laptop = await talk.online("alice@localhost/laptop");
    await phone.sends("<message to='alice@localhost/laptop' type='chat' id='1'/>");
    expect((await laptop.takes()).length).toBe(1);
    expect(await list(phone)).toEqual(["localhost"]);
  });

  test("may be one resource only", async () => {
    const { phone, bob } = await start();
    await commands(phone, "block", "bob@localhost/desk");
    await bob.sends("<message to='alice@localhost' type='chat' id='1'/>");
    expect(await errorCondition(bob)).toEqual(["service-unavailable"]);
    const tablet = await talk.online("bob@localhost/tablet");
    await tablet.sends("<message to='alice@localhost' type='chat' id='1'/>");
    expect((await phone.takes()).length).toBe(1);
  });
});

describe("presence", () => {
  /** Alice and Bob see each other. */
  async function friends() {
    talk = await Conversation.start({ modules: [privacy, blocking, roster, presence] });
    const alice = parseJid("alice@localhost")!;
    const bare = parseJid("bob@localhost")!;
    await talk.host.registry.service("roster")!.setMutual({ account: alice }, { account: bare }, "connect");
    const phone = await talk.online("alice@localhost/phone");
    const bob = await talk.online("bob@localhost/desk");
    await phone.takes();
    await bob.takes();
    return { phone, bob };
  }
  const summary = async (person: Person) =>
    (await person.takes())
      .filter((element) => element.name === "presence")
      .map((element) => `${element.attr("from")} ${element.attr("type") ?? "available"}`);

  test("is taken back from who is blocked, on both sides, and shown again afterwards", async () => {
    const { phone, bob } = await friends();
    await phone.sends(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>${items("bob@localhost")}</block></iq>`);
    expect(await summary(bob)).toEqual(["alice@localhost/phone unavailable"]);
    expect(await summary(phone)).toEqual(["bob@localhost/desk unavailable"]);
    await phone.sends("<presence><show>away</show></presence>");
    await bob.sends("<presence><show>away</show></presence>");
    expect(await summary(bob)).toEqual(["bob@localhost/desk available"]);
    expect(await summary(phone)).toEqual(["alice@localhost/phone available"]);
    await phone.sends(`<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'/></iq>`);
    expect(await summary(bob)).toEqual(["alice@localhost/phone available"]);
    expect(await summary(phone)).toEqual(["bob@localhost/desk available"]);
  });

  test("of the blocker is not shown to who logs in later", async () => {
    const { phone, bob } = await friends();
    await phone.sends(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>${items("localhost")}</block></iq>`);
    await bob.takes();
    await phone.takes();
    const tablet = await talk.online("bob@localhost/tablet");
    expect((await summary(tablet)).filter((text) => text.startsWith("alice"))).toEqual([]);
    await phone.receivesNothing();
  });
});

describe("one store with privacy lists", () => {
  const edit = (name: string, rules: string) =>
    `<iq type='set' id='e'><query xmlns='jabber:iq:privacy'><list name='${name}'>${rules}</list></query></iq>`;
  const setDefault = (name: string) =>
    `<iq type='set' id='d'><query xmlns='jabber:iq:privacy'><default name='${name}'/></query></iq>`;
  const deny = (jid: string, order: number, inside = "") =>
    `<item type='jid' value='${jid}' action='deny' order='${order}'>${inside}</item>`;

  test("a block becomes the first rule of the default list, which is made where there is none", async () => {
    const { phone } = await start(privacy);
    await commands(phone, "block", "bob@localhost");
    await phone.sends("<iq type='get' id='n'><query xmlns='jabber:iq:privacy'/></iq>");
    await phone.receives(
      result(phone, "n", "<query xmlns='jabber:iq:privacy'><default name='blocking'/><list name='blocking'/></query>"),
    );
    await phone.sends(edit("blocking", `${deny("bob@localhost", 7)}<item action='allow' order='9'/>`));
    await phone.takes();
    await commands(phone, "block", "carol@localhost");
    await phone.takes();
    await phone.sends("<iq type='get' id='n'><query xmlns='jabber:iq:privacy'><list name='blocking'/></query></iq>");
    await phone.receives(
      result(
        phone,
        "n",
        `<query xmlns='jabber:iq:privacy'><list name='blocking'>${deny("carol@localhost", 1)}${deny("bob@localhost", 2)}<item action='allow' order='3'/></list></query>`,
      ),
    );
  });

  test("changes of the default list by privacy lists are pushed as blocks, other rules are not blocks", async () => {
    const { phone } = await start(privacy);
    const laptop = await talk.online("alice@localhost/laptop");
    await list(laptop);
    await laptop.leaves();
    await phone.sends(edit("mine", `${deny("bob@localhost", 1)}${deny("carol@localhost", 2, "<message/>")}`));
    await phone.takes();
    const tablet = await talk.online("alice@localhost/tablet");
    expect(await list(tablet)).toEqual([]);
    await phone.sends(setDefault("mine"));
    await phone.receives(result(phone, "d"));
    await tablet.receives(push(tablet, "block", "bob@localhost"));
    expect(await list(tablet)).toEqual(["bob@localhost"]);
    await phone.sends(edit("mine", deny("dave@localhost", 1)));
    await phone.takes();
    const pushes = (await tablet.takes()).map((element) => element.firstElement()!.name);
    expect(pushes.toSorted()).toEqual(["block", "query", "unblock"]);
  });

  test("unblocking leaves the other rules alone, and an emptied list disappears", async () => {
    const { phone } = await start(privacy);
    await phone.sends(edit("mine", `${deny("bob@localhost", 1)}${deny("carol@localhost", 2, "<message/>")}`));
    await phone.sends(setDefault("mine"));
    await phone.takes();
    await commands(phone, "unblock");
    await phone.takes();
    await phone.sends("<iq type='get' id='n'><query xmlns='jabber:iq:privacy'><list name='mine'/></query></iq>");
    const [answer] = await phone.takes();
    expect(answer?.firstElement()?.firstElement()?.elements().length).toBe(1);
    await phone.sends("<iq type='set' id='d'><query xmlns='jabber:iq:privacy'><default/></query></iq>");
    await phone.takes();
    await commands(phone, "block", "bob@localhost");
    await phone.takes();
    await commands(phone, "unblock", "bob@localhost");
    await phone.takes();
    await phone.sends("<iq type='get' id='n'><query xmlns='jabber:iq:privacy'/></iq>");
    await phone.receives(result(phone, "n", "<query xmlns='jabber:iq:privacy'><list name='mine'/></query>"));
  });
});
