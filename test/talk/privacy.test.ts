/** XEP-0016 Privacy Lists: managing them, and what they keep away from whom. */
import { afterEach, describe, expect, test } from "bun:test";
import type { RosterEntry } from "../../src/hooks/points.ts";
import { presence } from "../../src/modules/presence.ts";
import { privacy } from "../../src/modules/privacy/privacy.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

/** Alice's roster: Bob sees her and she him; Carol is an enemy; everybody else is unknown. */
const contacts: RosterEntry[] = [
  { jid: "bob@localhost", name: "", subscription: "both", groups: ["Friends"], ask: false },
  { jid: "carol@localhost", name: "", subscription: "to", groups: ["Enemies"], ask: false },
];
async function start() {
  talk = await Conversation.start({
    modules: [privacy],
    accounts: ["alice", "bob", "carol", "dave"],
    answers: {
      roster: (account) => Promise.resolve(account.local === "alice" ? contacts : []),
      rosterItem: (account, contact) =>
        Promise.resolve(account.local === "alice" ? contacts.find((entry) => entry.jid === contact.bare) : undefined),
    },
  });
  return {
    phone: await talk.online("alice@localhost/phone"),
    laptop: await talk.online("alice@localhost/laptop"),
    bob: await talk.online("bob@localhost/desk"),
    carol: await talk.online("carol@localhost/desk"),
    dave: await talk.online("dave@localhost/desk"),
  };
}

const query = (inside: string) => `<query xmlns='jabber:iq:privacy'>${inside}</query>`;
const result = (to: Person, id: string, inside = "") =>
  `<iq type='result' id='${id}' from='${to.session.account.bare}' to='${to.session.jid.full}'>${inside}</iq>`;
const push = (to: Person, name: string) =>
  `<iq type='set' id='*' to='${to.session.jid.full}'>${query(`<list name='${name}'/>`)}</iq>`;
const list = (name: string, rules: string) => `<list name='${name}'>${rules}</list>`;
const set = (inside: string) => `<iq type='set' id='s'>${query(inside)}</iq>`;
const get = (inside = "") => `<iq type='get' id='g'>${query(inside)}</iq>`;

/** Sends a change that works, and takes all that follows. */
async function sets(person: Person, ...wishes: string[]): Promise<void> {
  for (const wish of wishes) {
    await person.sends(set(wish));
    const [answer] = await person.takes();
    expect(answer?.toXml()).toBe(answer?.attr("type") === "result" ? answer.toXml() : `a result of ${wish}`);
  }
  for (const each of talk.people) if (each !== person) await each.takes();
}
const condition = async (person: Person) => {
  const got = await person.takes();
  return got
    .map(
      (element) =>
        element
          .child("error")
          ?.elements()
          .map((each) => each.name)[0],
    )
    .join();
};

const denyBob = "<item type='jid' value='bob@localhost' action='deny' order='1'/>";

describe("managing lists", () => {
  test("a new list is answered, then pushed to every resource, and can be read again", async () => {
    const { phone, laptop } = await start();
    await phone.sends(set(list("public", denyBob)));
    await phone.receives(result(phone, "s"));
    await phone.receives(push(phone, "public"));
    await laptop.receives(push(laptop, "public"));
    await laptop.sends(get("<list name='public'/>"));
    await laptop.receives(result(laptop, "g", query(list("public", denyBob))));
  });

  test("names come with the active and the default list first", async () => {
    const { phone, laptop } = await start();
    await sets(phone, list("public", denyBob), list("special", denyBob), "<active name='special'/>");
    await laptop.leaves();
    await sets(phone, "<default name='public'/>");
    await phone.sends(get());
    await phone.receives(
      result(
        phone,
        "g",
        query("<active name='special'/><default name='public'/><list name='public'/><list name='special'/>"),
      ),
    );
    await sets(phone, "<active/>", "<default/>");
    await phone.sends(get());
    await phone.receives(result(phone, "g", query("<list name='public'/><list name='special'/>")));
  });

  test("an empty list removes it", async () => {
    const { phone } = await start();
    await sets(phone, list("public", denyBob), "<active name='public'/>", "<list name='public'/>");
    await phone.sends(get());
    await phone.receives(result(phone, "g", query("")));
  });

  const refusals: [string, string][] = [
    [get("<list name='none'/>"), "item-not-found"],
    [get("<list name='a'/><list name='b'/>"), "bad-request"],
    [get("<active name='a'/>"), "bad-request"],
    [get("<list/>"), "item-not-found"],
    [set(""), "bad-request"],
    [set("<active/><default/>"), "bad-request"],
    [set("<list name='a'/><list name='b'/>"), "bad-request"],
    [set("<nothing/>"), "bad-request"],
    [set("<active name='none'/>"), "item-not-found"],
    [set("<default name='none'/>"), "item-not-found"],
    [set("<list name='none'/>"), "item-not-found"],
    [set(list("", denyBob)), "bad-request"],
    [set(list("x", `${denyBob}${denyBob}`)), "bad-request"],
    [set(list("x", "<item type='group' value='Strangers' action='deny' order='1'/>")), "item-not-found"],
  ];
  for (const [request, expected] of refusals) {
    test(`${request} is ${expected}`, async () => {
      const { phone } = await start();
      await phone.sends(request);
      expect(await condition(phone)).toBe(expected);
    });
  }

  test("at most fifty lists are kept", async () => {
    const { phone } = await start();
    for (let number = 0; number < 50; number++) await sets(phone, list(`l${number}`, denyBob));
    await phone.sends(set(list("more", denyBob)));
    expect(await condition(phone)).toBe("policy-violation");
    await sets(phone, list("l0", denyBob));
  });
});

describe("conflicts", () => {
  test("the default list cannot change or go while it applies to another resource", async () => {
    const { phone, laptop } = await start();
    await sets(phone, list("a", denyBob), list("b", denyBob), "<default name='a'/>");
    for (const wish of ["<default name='b'/>", "<default/>", "<list name='a'/>"]) {
      await phone.sends(set(wish));
      expect(await condition(phone)).toBe("conflict");
    }
    await sets(laptop, "<active name='b'/>");
    await sets(phone, "<default name='b'/>", "<list name='a'/>");
  });

  test("a list cannot go while it is active for another resource", async () => {
    const { phone, laptop } = await start();
    await sets(phone, list("a", denyBob));
    await sets(laptop, "<active name='a'/>");
    await phone.sends(set("<list name='a'/>"));
    expect(await condition(phone)).toBe("conflict");
    await laptop.leaves();
    await sets(phone, "<list name='a'/>");
  });
});

describe("applying lists", () => {
  const message = (to = "alice@localhost") => `<message to='${to}' type='chat' id='m'><body>x</body></message>`;

  test("the default list is for all resources, and for who is away", async () => {
    const { phone, laptop, bob } = await start();
    await sets(phone, list("a", denyBob), "<default name='a'/>");
    for (const to of ["alice@localhost", "alice@localhost/phone", "alice@localhost/laptop"]) {
      await bob.sends(message(to));
      expect(await condition(bob)).toBe("service-unavailable");
    }
    await phone.leaves();
    await laptop.leaves();
    await bob.sends(message());
    expect(await condition(bob)).toBe("service-unavailable");
  });

  test("an active list is for one session, instead of the default list", async () => {
    const { phone, laptop, bob, carol } = await start();
    await sets(
      phone,
      list("nobob", denyBob),
      list("nocarol", "<item type='jid' value='carol@localhost' action='deny' order='1'/>"),
      "<default name='nobob'/>",
      "<active name='nocarol'/>",
    );
    await bob.sends(message());
    expect((await phone.takes()).length).toBe(1);
    await laptop.receivesNothing();
    await bob.receivesNothing();
    await carol.sends(message());
    expect((await laptop.takes()).length).toBe(1);
    await phone.receivesNothing();
    await carol.sends(message("alice@localhost/phone"));
    expect(await condition(carol)).toBe("service-unavailable");
    await bob.sends(message("alice@localhost/phone"));
    expect((await phone.takes()).length).toBe(1);
    await phone.leaves();
    const again = await talk.online("alice@localhost/phone");
    await bob.sends(message("alice@localhost/phone"));
    expect(await condition(bob)).toBe("service-unavailable");
    await again.receivesNothing();
  });

  test("a list by group or subscription goes by the roster, also where sessions differ", async () => {
    const { phone, laptop, bob, carol, dave } = await start();
    await sets(
      phone,
      list(
        "friends",
        "<item type='subscription' value='both' action='allow' order='1'/><item action='deny' order='2'/>",
      ),
      list("noenemies", "<item type='group' value='Enemies' action='deny' order='1'/>"),
      "<active name='friends'/>",
      "<default name='noenemies'/>",
    );
    await bob.sends(message());
    expect([(await phone.takes()).length, (await laptop.takes()).length]).toEqual([1, 1]);
    await dave.sends(message());
    expect([(await phone.takes()).length, (await laptop.takes()).length]).toEqual([0, 1]);
    await carol.sends(message());
    expect(await condition(carol)).toBe("service-unavailable");
    expect([(await phone.takes()).length, (await laptop.takes()).length]).toEqual([0, 0]);
  });

  test("a changed list applies at once", async () => {
    const { phone, bob } = await start();
    await sets(phone, list("a", "<item action='allow' order='1'/>"), "<active name='a'/>");
    await bob.sends(message("alice@localhost/phone"));
    expect((await phone.takes()).length).toBe(1);
    await sets(phone, list("a", denyBob));
    await bob.sends(message("alice@localhost/phone"));
    expect(await condition(bob)).toBe("service-unavailable");
  });

  test("rules about one kind leave the others alone", async () => {
    const { phone, bob } = await start();
    const rule = (kinds: string) => `<item type='jid' value='bob@localhost' action='deny' order='1'>${kinds}</item>`;
    await sets(phone, list("a", rule("<message/>")), "<active name='a'/>");
    const ping = "<iq type='get' id='q' to='alice@localhost/phone'><ping xmlns='urn:xmpp:ping'/></iq>";
    await bob.sends(message("alice@localhost/phone"));
    expect(await condition(bob)).toBe("service-unavailable");
    await bob.sends(ping);
    await bob.sends("<presence to='alice@localhost/phone'/>");
    expect((await phone.takes()).map((element) => element.name)).toEqual(["iq", "presence"]);
    await sets(phone, list("a", rule("<iq/><presence-in/>")));
    await bob.sends(ping);
    expect(await condition(bob)).toBe("service-unavailable");
    await bob.sends("<presence to='alice@localhost/phone'/>");
    await bob.sends("<presence to='alice@localhost/phone' type='subscribe'/>");
    await bob.sends(message("alice@localhost/phone"));
    expect((await phone.takes()).map((element) => element.attr("type"))).toEqual(["subscribe", "chat"]);
    // What the user sends is only kept back by rules about everything, or about outgoing presence.
    await phone.sends(message("bob@localhost/desk"));
    await phone.sends("<presence to='bob@localhost/desk'/>");
    expect((await bob.takes()).map((element) => element.name)).toEqual(["message", "presence"]);
    await sets(phone, list("a", rule("<presence-out/>")));
    await phone.sends("<presence to='bob@localhost/desk'/>");
    expect(await condition(phone)).toBe("not-acceptable");
  });

  test("nobody is cut off from the own resources and server", async () => {
    const { phone, laptop } = await start();
    await sets(phone, list("none", "<item action='deny' order='1'/>"), "<active name='none'/>");
    await phone.sends(message("alice@localhost/laptop"));
    expect((await laptop.takes()).length).toBe(1);
    await laptop.sends(message("alice@localhost/phone"));
    expect((await phone.takes()).length).toBe(1);
    await phone.sends(get());
    expect((await phone.takes())[0]?.attr("type")).toBe("result");
    await phone.sends("<iq type='get' id='v' to='localhost'><query xmlns='jabber:iq:version'/></iq>");
    expect(await condition(phone)).toBe("service-unavailable");
  });

  test("another node's change is noticed for who is away, half a minute later", async () => {
    const { phone, laptop, bob } = await start();
    await phone.leaves();
    await laptop.leaves();
    await bob.sends(message());
    expect(await condition(bob)).toBe("service-unavailable");
    const lists = JSON.stringify([["a", [["jid", "bob@localhost", 0, 1, 16]]]]);
    const row = { domain: "localhost", username: "alice", version: 1, default_list: "a", lists };
    await talk.store.db.insertInto("privacy_lists").values(row).execute();
    await talk.clock.advance(31_000);
    const alice = parseJid("alice@localhost")!;
    const stanza = { kind: "message", from: bob.session.jid, to: alice } as never;
    expect(await talk.host.registry.ask("blocked", alice, undefined, stanza, "in")).toBe(true);
  });
});

describe("presence", () => {
  async function friends() {
    talk = await Conversation.start({ modules: [privacy, roster, presence] });
    const [alice, bob] = [parseJid("alice@localhost")!, parseJid("bob@localhost")!];
    await talk.host.registry.service("roster")!.setMutual({ account: alice }, { account: bob }, "connect");
    const people = { phone: await talk.online("alice@localhost/phone"), bob: await talk.online("bob@localhost/desk") };
    await people.phone.takes();
    await people.bob.takes();
    return people;
  }
  const summary = async (person: Person) =>
    (await person.takes())
      .filter((element) => element.name === "presence")
      .map((element) => `${element.attr("from")} ${element.attr("type") ?? "available"}`);
  const rule = (kinds: string) => `<item type='jid' value='bob@localhost' action='deny' order='1'>${kinds}</item>`;

  test("is taken back when a list that hides it is activated, and shown when it is given up", async () => {
    const { phone, bob } = await friends();
    await phone.sends(set(list("hide", rule("<presence-out/>"))));
    await bob.receivesNothing();
    await phone.sends(set("<active name='hide'/>"));
    expect(await summary(bob)).toEqual(["alice@localhost/phone unavailable"]);
    expect(await summary(phone)).toEqual([]);
    await phone.sends(set("<active/>"));
    expect(await summary(bob)).toEqual(["alice@localhost/phone available"]);
  });

  test("of a contact disappears when a list that shuts it out is activated", async () => {
    const { phone, bob } = await friends();
    await phone.sends(set(list("deaf", rule("<presence-in/>"))));
    await phone.sends(set("<active name='deaf'/>"));
    expect(await summary(phone)).toEqual(["bob@localhost/desk unavailable"]);
    expect(await summary(bob)).toEqual([]);
    await phone.sends(set(list("deaf", "<item action='allow' order='1'/>")));
    expect(await summary(phone)).toEqual(["bob@localhost/desk available"]);
  });
});
