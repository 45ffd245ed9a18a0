/** RFC 6121 section 2: rosters as clients see them. */
import { afterEach, describe, expect, test } from "bun:test";
import { roster } from "../../src/modules/roster/roster.ts";
import { ns } from "../../src/stanza/ns.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import type { ManualClock } from "../support/manual-clock.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function start(options: Record<string, unknown> = {}) {
  talk = await Conversation.start({ modules: [roster], options: { mod_roster: options } });
}

const query = (inside = "", attributes = "") => `<query xmlns='jabber:iq:roster'${attributes}>${inside}</query>`;
const get = (attributes = "") => `<iq type='get' id='get'>${query("", attributes)}</iq>`;
const set = (inside: string, to = "") => `<iq type='set' id='set'${to}>${query(inside)}</iq>`;
const result = (person: Person, id: string, inside = "", from = "alice@localhost") =>
  `<iq type='result' id='${id}' from='${from}' to='${person.session.jid.full}'>${inside}</iq>`;
const push = (person: Person, item: string, attributes = "") =>
  `<iq type='set' id='*' to='${person.session.jid.full}'>${query(item, attributes)}</iq>`;

async function interested(address: string): Promise<Person> {
  const person = await talk.login(address);
  await person.sends(get());
  await person.takes();
  return person;
}

/** The condition and type of the only stanza that came, which is an error. */
async function refusal(person: Person): Promise<string> {
  const [error, ...rest] = await person.takes();
  expect(rest).toEqual([]);
  expect(error?.attr("type")).toBe("error");
  const element = error?.child("error", ns.client);
  return `${element?.attr("type")} ${element?.firstElement()?.name}`;
}

describe("getting", () => {
  test("an empty roster", async () => {
    await start();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get());
    await alice.receives(result(alice, "get", query()));
    await alice.receivesNothing();
  });

  test("to the own bare address is the same", async () => {
    await start();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(`<iq type='get' id='get' to='alice@localhost'>${query()}</iq>`);
    await alice.receives(result(alice, "get", query()));
  });

  test("shows names and groups, escaped", async () => {
    await start();
    const alice = await interested("alice@localhost/phone");
    await alice.sends(
      set("<item jid='bob@localhost' name='Bob &lt;&apos;&amp;'><group>A &amp; B</group><group>C</group></item>"),
    );
    await alice.takes();
    await alice.sends(get());
    await alice.receives(
      result(
        alice,
        "get",
        query(
          "<item jid='bob@localhost' name='Bob &lt;&apos;&amp;' subscription='none'><group>A &amp; B</group><group>C</group></item>",
        ),
      ),
    );
  });
});

describe("setting", () => {
  test("is answered, then pushed to every resource that asked for the roster, and only to those", async () => {
    await start();
    const phone = await interested("alice@localhost/phone");
    const laptop = await interested("alice@localhost/laptop");
    const kiosk = await talk.online("alice@localhost/kiosk");
    const bob = await interested("bob@localhost/desk");
    await phone.sends(set("<item jid='bob@localhost' name='Bob'><group>Friends</group></item>"));
    const item = "<item jid='bob@localhost' name='Bob' subscription='none'><group>Friends</group></item>";
    await phone.receives(result(phone, "set"));
    await phone.receives(push(phone, item));
    await laptop.receives(push(laptop, item));
    for (const each of [phone, laptop, kiosk, bob]) await each.receivesNothing();
  });

  test("again changes the name and replaces the groups; what only the server sets is ignored", async () => {
    await start();
    const alice = await interested("alice@localhost/phone");
    await alice.sends(set("<item jid='bob@localhost' name='Bob'><group>Friends</group></item>"));
    await alice.takes();
    await alice.sends(
      set("<item jid='bob@localhost' subscription='both' ask='subscribe' approved='true'><group>Work</group></item>"),
    );
    await alice.receives(result(alice, "set"));
    await alice.receives(push(alice, "<item jid='bob@localhost' subscription='none'><group>Work</group></item>"));
  });

  test("what is there already is pushed all the same", async () => {
    await start();
    const alice = await interested("alice@localhost/phone");
    for (let times = 0; times < 2; times++) {
      await alice.sends(set("<item jid='bob@localhost'/>"));
      await alice.receives(result(alice, "set"));
      await alice.receives(push(alice, "<item jid='bob@localhost' subscription='none'/>"));
    }
  });

  test("removes", async () => {
    await start();
    const alice = await interested("alice@localhost/phone");
    await alice.sends(set("<item jid='bob@localhost'/>"));
    await alice.takes();
    await alice.sends(set("<item jid='bob@localhost' subscription='remove'/>"));
    await alice.receives(result(alice, "set"));
    await alice.receives(push(alice, "<item jid='bob@localhost' subscription='remove'/>"));
    await alice.sends(get());
    await alice.receives(result(alice, "get", query()));
  });

  test("the client's answer to a push ends there", async () => {
    await start();
    const alice = await interested("alice@localhost/phone");
    await alice.sends(set("<item jid='bob@localhost'/>"));
    const [, pushed] = await alice.takes();
    await alice.sends(`<iq type='result' id='${pushed?.attr("id")}'/>`);
    await alice.receivesNothing();
  });

  const long = "x".repeat(1024);
  const refused: Record<string, [string, string]> = {
    "no item": ["", "modify bad-request"],
    "two items": ["<item jid='a@localhost'/><item jid='b@localhost'/>", "modify bad-request"],
    "an item without address": ["<item name='x'/>", "modify bad-request"],
    "an item whose address is none": ["<item jid='@@'/>", "modify jid-malformed"],
    "a group twice": ["<item jid='b@localhost'><group>A</group><group>A</group></item>", "modify bad-request"],
    "a group without name": ["<item jid='b@localhost'><group/></item>", "modify not-acceptable"],
    "a long group": [`<item jid='b@localhost'><group>${long}</group></item>`, "modify not-acceptable"],
    "a long name": [`<item jid='b@localhost' name='${long}'/>`, "modify not-acceptable"],
    "a long address": [`<item jid='${"b".repeat(245)}@localhost'/>`, "modify not-acceptable"],
    "too many groups": [
      `<item jid='b@localhost'>${Array.from({ length: 101 }, (_, at) => `<group>${at}</group>`).join("")}</item>`,
      "modify not-acceptable",
    ],
    oneself: ["<item jid='alice@localhost'/>", "cancel not-allowed"],
    "removing nobody": ["<item jid='b@localhost' subscription='remove'/>", "cancel item-not-found"],
  };
  for (const [what, [items, error]] of Object.entries(refused)) {
    test(`is refused: ${what}`, async () => {
      await start();
      const alice = await interested("alice@localhost/phone");
      await alice.sends(set(items));
      expect(await refusal(alice)).toBe(error);
    });
  }

  test("another's roster is forbidden, to read and to write", async () => {
    await start();
    const bob = await talk.login("bob@localhost/desk");
    await bob.sends(set("<item jid='carol@localhost'/>", " to='alice@localhost'"));
    expect(await refusal(bob)).toBe("auth forbidden");
    await bob.sends(`<iq type='get' id='get' to='alice@localhost'>${query()}</iq>`);
    expect(await refusal(bob)).toBe("auth forbidden");
  });

  test("more than the roster holds is refused", async () => {
    await start({ max_items: 2 });
    const alice = await interested("alice@localhost/phone");
    for (const name of ["a", "b"]) await alice.sends(set(`<item jid='${name}@localhost'/>`));
    await alice.takes();
    await alice.sends(set("<item jid='c@localhost'/>"));
    expect(await refusal(alice)).toBe("wait resource-constraint");
    await alice.sends(set("<item jid='b@localhost' name='B'/>"));
    expect((await alice.takes())[0]?.attr("type")).toBe("result");
  });
});

describe("versions", () => {
  const versionOf = (element: Awaited<ReturnType<Person["takes"]>>[number] | undefined) =>
    element?.child("query", ns.roster)?.attr("ver");

  test("are not mentioned where versioning is off", async () => {
    await start();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get(" ver=''"));
    await alice.receives(result(alice, "get", query()));
  });

  test("are in the result and in pushes, and the current one spares the roster", async () => {
    await start({ versioning: true });
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get(" ver=''"));
    const [first] = await alice.takes();
    expect(versionOf(first)).toBeString();
    await alice.sends(set("<item jid='bob@localhost'/>"));
    const [, pushed] = await alice.takes();
    const version = versionOf(pushed);
    expect(version).toBeString();
    expect(version).not.toBe(versionOf(first));

    const laptop = await talk.login("alice@localhost/laptop");
    await laptop.sends(get(` ver='${version}'`));
    await laptop.receives(result(laptop, "get"));
    // It is interested nevertheless.
    await alice.sends(set("<item jid='carol@localhost'/>"));
    const [later] = await laptop.takes();
    expect(versionOf(later)).not.toBe(version);

    await laptop.sends(get(` ver='${version}'`));
    const [full] = await laptop.takes();
    expect(full?.child("query", ns.roster)?.elements()).toHaveLength(2);
    expect(versionOf(full)).toBe(versionOf(later));
  });

  test("change with subscriptions as well", async () => {
    await start({ versioning: true });
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(get());
    const [first] = await alice.takes();
    await alice.sends("<presence to='bob@localhost' type='subscribe'/>");
    await alice.takes();
    await alice.sends(get(` ver='${versionOf(first)}'`));
    const [second] = await alice.takes();
    expect(second?.child("query", ns.roster)?.elements()).toHaveLength(1);
  });

  test("never repeat when an account is made anew", async () => {
    await start({ versioning: true });
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(set("<item jid='bob@localhost'/>"));
    await alice.sends(get());
    const old = (await alice.takes()).map(versionOf).at(-1);
    for (const removed of talk.host.registry.accounts.removed) await removed(alice.session.account);
    await (talk.store.clock as ManualClock).advance(1_000);
    await alice.sends(set("<item jid='carol@localhost'/>"));
    await alice.sends(get(` ver='${old}'`));
    const answer = (await alice.takes()).at(-1);
    expect(
      answer
        ?.child("query", ns.roster)
        ?.elements()
        .map((item) => item.attr("jid")),
    ).toEqual(["carol@localhost"]);
  });
});

test("stream features say what is there", () => {
  const features = (versioning: boolean) => roster.streamFeatures?.({ versioning } as never)?.text;
  expect(features(false)).toBe("<sub xmlns='urn:xmpp:features:pre-approval'/>");
  expect(features(true)).toContain("<ver xmlns='urn:xmpp:features:rosterver'/>");
});

describe("answers other modules", () => {
  test("with entries, by the account of an address", async () => {
    await start();
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends(set("<item jid='bob@localhost' name='Bob'><group>Friends</group></item>"));
    await alice.sends("<presence to='bob@localhost' type='subscribe'/>");
    const bob = { jid: "bob@localhost", name: "Bob", subscription: "none", groups: ["Friends"], ask: true } as const;
    const { account } = alice.session;
    const bobsDesk = (await talk.login("bob@localhost/desk")).session.jid;
    expect(await talk.host.registry.ask("roster", account)).toEqual([bob]);
    expect(await talk.host.registry.ask("rosterItem", account, bobsDesk)).toEqual(bob);
    // Bob has been asked only: Alice is not in his roster.
    expect(await talk.host.registry.ask("rosterItem", bobsDesk.toBare(), account)).toBeUndefined();
    expect(await talk.host.registry.ask("roster", bobsDesk.toBare())).toEqual([]);
  });
});
