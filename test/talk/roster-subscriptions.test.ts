/** RFC 6121 section 3: subscriptions from both ends, with what is pushed, stored, answered and shown. */
import { afterEach, describe, expect, test } from "bun:test";
import { presence } from "../../src/modules/presence.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import type { Element } from "../../src/xml/element.ts";
import { Conversation, type ConversationOptions, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function start(options: Record<string, unknown> = {}, more: Partial<ConversationOptions> = {}) {
  talk = await Conversation.start({ modules: [roster, presence], options: { mod_roster: options }, ...more });
}

/** Logs in, asks for the roster and becomes available. */
async function enters(address: string): Promise<Person> {
  const person = await talk.login(address);
  await person.sends("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  await person.sends("<presence/>");
  await person.takes();
  return person;
}

const bare = (person: Person) => person.session.account.bare;
const tell = (person: Person, type: string, to: Person | string) =>
  person.sends(`<presence to='${typeof to === "string" ? to : bare(to)}' type='${type}'/>`);

/** What came, in short: "push both", "presence from/desk", "subscribe from". */
function words(elements: Element[]): string[] {
  return elements.map((element) => {
    const from = element.attr("from") ?? "";
    if (element.name !== "iq") return `${element.attr("type") ?? "available"} ${from}`;
    const item = element.child("query", ns.roster)?.child("item");
    if (item === undefined) return `${element.attr("type")} ${element.firstElement()?.name}`;
    const marks = ["ask", "approved"].map((name) => (item.attr(name) === undefined ? "" : ` ${name}`)).join("");
    return `push ${item.attr("jid")} ${item.attr("subscription")}${marks}`;
  });
}
const heard = async (person: Person) => words(await person.takes());

async function subscriptionOf(owner: string, contact: string): Promise<string | undefined> {
  const entry = await talk.host.registry.ask("rosterItem", parseJid(owner)!, parseJid(contact)!);
  return entry === undefined ? undefined : `${entry.subscription}${entry.ask ? " ask" : ""}`;
}

/** Everything that passes the router from now on, in short. */
function watchRoutes(): string[] {
  const seen: string[] = [];
  const route = talk.router.route.bind(talk.router);
  talk.router.route = (stanza, origin) => {
    seen.push(`${stanza.type ?? "available"} ${stanza.from?.full}`);
    return route(stanza, origin);
  };
  return seen;
}

async function befriend(one: Person, other: Person): Promise<void> {
  await tell(one, "subscribe", other);
  await tell(other, "subscribed", one);
  await tell(other, "subscribe", one);
  await tell(one, "subscribed", other);
  await one.takes();
  await other.takes();
}

describe("asking and allowing", () => {
  test("the whole way to both", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");

    await tell(alice, "subscribe", bob);
    expect(await heard(alice)).toEqual(["push bob@localhost none ask"]);
    await bob.receives("<presence from='alice@localhost' to='bob@localhost' type='subscribe'/>");
    await bob.receivesNothing(); // 3.1.3: a request makes no roster item
    expect(await subscriptionOf("bob@localhost", "alice@localhost")).toBeUndefined();

    await tell(bob, "subscribed", alice);
    expect(await heard(bob)).toEqual(["push alice@localhost from"]);
    await alice.receives("<presence from='bob@localhost' to='alice@localhost' type='subscribed'/>");
    expect(await heard(alice)).toEqual(["push bob@localhost to", "available bob@localhost/desk"]);

    await tell(bob, "subscribe", alice);
    expect(await heard(bob)).toEqual(["push alice@localhost from ask"]);
    expect(await heard(alice)).toEqual(["subscribe bob@localhost"]);

    await tell(alice, "subscribed", bob);
    expect(await heard(alice)).toEqual(["push bob@localhost both"]);
    expect(await heard(bob)).toEqual([
      "subscribed alice@localhost",
      "push alice@localhost both",
      "available alice@localhost/phone",
    ]);
  });

  test("addresses are made bare", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await tell(alice, "subscribe", "bob@localhost/desk");
    await bob.receives("<presence from='alice@localhost' to='bob@localhost' type='subscribe'/>");
    expect(await heard(alice)).toEqual(["push bob@localhost none ask"]);
  });

  test("all resources of both sides learn of it; every resource's presence is shown", async () => {
    await start();
    const phone = await enters("alice@localhost/phone");
    const laptop = await enters("alice@localhost/laptop");
    const plain = await talk.login("alice@localhost/plain"); // asked for no roster, is not available
    const desk = await enters("bob@localhost/desk");
    const sofa = await enters("bob@localhost/sofa");
    for (const each of [phone, laptop, desk, sofa]) await each.takes();
    await tell(phone, "subscribe", desk);
    expect(await heard(laptop)).toEqual(["push bob@localhost none ask"]);
    expect(await heard(sofa)).toEqual(["subscribe alice@localhost"]);
    await tell(sofa, "subscribed", phone);
    expect(await heard(desk)).toEqual(["subscribe alice@localhost", "push alice@localhost from"]);
    expect(await heard(laptop)).toEqual([
      "subscribed bob@localhost",
      "push bob@localhost to",
      "available bob@localhost/desk",
      "available bob@localhost/sofa",
    ]);
    await plain.receivesNothing();
  });

  test("a request waits, whole, for each login until it is answered", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    await alice.sends(
      "<presence to='bob@localhost' type='subscribe' id='s1' xml:lang='en'><status>it&apos;s me</status><nick xmlns='http://jabber.org/protocol/nick'>Ali</nick></presence>",
    );
    await alice.sends("<presence to='bob@localhost' type='subscribe'/>"); // again, before an answer
    const request =
      "<presence from='alice@localhost' to='bob@localhost' type='subscribe' id='s1' xml:lang='en'><status>it's me</status><nick xmlns='http://jabber.org/protocol/nick'>Ali</nick></presence>";
    for (const resource of ["one", "two"]) {
      const bob = await talk.login(`bob@localhost/${resource}`);
      await bob.sends("<presence/>");
      await bob.receives(request);
      await bob.takes();
      await bob.sends("<presence><show>away</show></presence>"); // not an initial one
      expect((await heard(bob)).filter((word) => word.startsWith("subscribe"))).toEqual([]);
      await bob.leaves();
    }
    const bob = await enters("bob@localhost/three");
    await tell(bob, "unsubscribed", alice);
    expect(await heard(bob)).toEqual([]);
    await bob.leaves();
    const again = await talk.login("bob@localhost/four");
    await again.sends("<presence/>");
    expect(await heard(again)).toEqual(["available bob@localhost/four"]);
  });

  test("a request repeated while it waits is not shown again", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await tell(alice, "subscribe", bob);
    await tell(alice, "subscribe", bob);
    expect(await heard(bob)).toEqual(["subscribe alice@localhost"]);
  });

  test("who is subscribed already is answered by the server", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await befriend(alice, bob);
    const routed = watchRoutes();
    await talk.arrives("<presence from='alice@localhost' to='bob@localhost' type='subscribe'/>");
    expect(routed).toEqual(["subscribe alice@localhost", "subscribed bob@localhost"]);
    await bob.receivesNothing();
    await alice.receivesNothing(); // her server waits for no answer, so it does not pass this one on
  });

  test("an answer nobody asked for changes nothing", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    await talk.arrives("<presence from='eve@example.org' to='alice@localhost' type='subscribed'/>");
    await talk.arrives("<presence from='eve@example.org' to='alice@localhost' type='unsubscribed'/>");
    await talk.arrives("<presence from='eve@example.org' to='alice@localhost' type='unsubscribe'/>");
    await alice.receivesNothing();
    expect(await subscriptionOf("alice@localhost", "eve@example.org")).toBeUndefined();
  });

  test("oneself and nobody", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    await tell(alice, "subscribe", alice);
    await alice.receivesNothing();
    await tell(alice, "subscribe", "ghost@localhost");
    expect(await heard(alice)).toEqual(["push ghost@localhost none ask"]);
  });

  test("a contact on a server that is out of reach", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    await tell(alice, "subscribe", "zoe@example.org");
    expect((await heard(alice))[0]).toBe("push zoe@example.org none ask");
    await talk.arrives("<presence from='zoe@example.org' to='alice@localhost' type='subscribed'/>");
    expect(await heard(alice)).toEqual(["subscribed zoe@example.org", "push zoe@example.org to"]);
  });

  test("no more requests wait than the limit allows, and the sender cannot tell", async () => {
    await start({ max_pending_requests: 2 });
    const bob = await enters("bob@localhost/desk");
    for (const name of ["x", "y", "z"]) {
      await talk.arrives(`<presence from='${name}@example.org' to='bob@localhost' type='subscribe'/>`);
    }
    expect(await heard(bob)).toEqual(["subscribe x@example.org", "subscribe y@example.org"]);
  });
});

describe("pre-approval (3.4)", () => {
  test("is noted and pushed, not sent; the request is then answered and not shown", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await tell(bob, "subscribed", alice);
    expect(await heard(bob)).toEqual(["push alice@localhost none approved"]);
    await alice.receivesNothing();

    await tell(alice, "subscribe", bob);
    expect(await heard(bob)).toEqual(["push alice@localhost from approved"]);
    expect(await heard(alice)).toEqual([
      "push bob@localhost none ask",
      "subscribed bob@localhost",
      "push bob@localhost to",
      "available bob@localhost/desk",
    ]);
  });

  test("is taken back without a word", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await tell(bob, "subscribed", alice);
    await tell(bob, "unsubscribed", alice);
    expect(await heard(bob)).toEqual(["push alice@localhost none approved", "push alice@localhost none"]);
    await alice.receivesNothing();
    await tell(alice, "subscribe", bob);
    expect(await heard(bob)).toEqual(["subscribe alice@localhost"]);
  });
});

describe("ending", () => {
  test("the contact is refused: it sees us go first (3.2)", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await befriend(alice, bob);
    await tell(bob, "unsubscribed", alice);
    expect(await heard(bob)).toEqual(["push alice@localhost to"]);
    expect(await heard(alice)).toEqual([
      "unavailable bob@localhost/desk",
      "unsubscribed bob@localhost",
      "push bob@localhost from",
    ]);
  });

  test("we look no more: the contact's resources disappear (3.3)", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await befriend(alice, bob);
    await tell(alice, "unsubscribe", bob);
    expect(await heard(alice)).toEqual(["push bob@localhost from", "unavailable bob@localhost/desk"]);
    expect(await heard(bob)).toEqual(["unsubscribe alice@localhost", "push alice@localhost to"]);
  });

  test("a request is withdrawn", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await tell(alice, "subscribe", bob);
    await tell(alice, "unsubscribe", bob);
    expect(await heard(alice)).toEqual(["push bob@localhost none ask", "push bob@localhost none"]);
    expect(await heard(bob)).toEqual(["subscribe alice@localhost", "unsubscribe alice@localhost"]);
    await bob.leaves();
    expect(await heard(await enters("bob@localhost/desk"))).toEqual([]);
  });

  test("removing a contact ends both directions (2.5)", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await befriend(alice, bob);
    await alice.sends(
      "<iq type='set' id='rm'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query></iq>",
    );
    expect(await heard(alice)).toEqual([
      "result undefined",
      "push bob@localhost remove",
      "unavailable bob@localhost/desk",
    ]);
    expect(await heard(bob)).toEqual([
      "unsubscribe alice@localhost",
      "push alice@localhost to",
      "unavailable alice@localhost/phone",
      "unsubscribed alice@localhost",
      "push alice@localhost none",
    ]);
  });

  test("removing a contact of one direction tells it only that", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await tell(alice, "subscribe", bob);
    await tell(bob, "subscribed", alice);
    for (const each of [alice, bob]) await each.takes();
    await alice.sends(
      "<iq type='set' id='rm'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query></iq>",
    );
    expect(await heard(bob)).toEqual(["unsubscribe alice@localhost", "push alice@localhost none"]);
  });

  test("an account that is removed leaves no trace and its contacts know", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    const carol = await enters("carol@localhost/bed");
    await befriend(alice, bob);
    await tell(carol, "subscribe", alice);
    await carol.takes();
    await alice.leaves();
    await bob.takes();
    talk.accounts.delete("alice");
    for (const removed of talk.host.registry.accounts.removed) await removed(alice.session.account);
    expect(await heard(bob)).toEqual([
      "unsubscribe alice@localhost",
      "push alice@localhost to",
      "unsubscribed alice@localhost",
      "push alice@localhost none",
    ]);
    expect(await heard(carol)).toEqual(["unsubscribed alice@localhost", "push alice@localhost none"]);
    const left = await talk.store.db.selectFrom("rosterusers").select("jid").where("username", "=", "alice").execute();
    expect(left).toEqual([]);
  });
});

describe("what is blocked", () => {
  test("does not leave: no presence for a contact the user blocks", async () => {
    await start(
      {},
      {
        answers: {
          blocked: (_account, _session, stanza, direction) => direction === "out" && stanza.to?.local === "alice",
        },
      },
    );
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await befriend(alice, bob);
    await bob.sends("<presence><show>away</show></presence>");
    await alice.receivesNothing();
  });
});
