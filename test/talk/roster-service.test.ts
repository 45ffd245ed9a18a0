/** The roster service the admin API uses, and the cache of who shares presence with whom. */
import { afterEach, describe, expect, test } from "bun:test";
import type { PresenceContact } from "../../src/hooks/points.ts";
import type { RosterService } from "../../src/hooks/services.ts";
import { presence } from "../../src/modules/presence.ts";
import { ContactCache } from "../../src/modules/roster/contact-cache.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import { type Jid, parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { Conversation, type ConversationOptions, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const jid = (text: string): Jid => parseJid(text)!;
const alice = jid("alice@localhost");
const bob = jid("bob@localhost");

async function start(more: Partial<ConversationOptions> = {}): Promise<RosterService> {
  talk = await Conversation.start({ modules: [roster, presence], ...more });
  const service = talk.host.registry.service("roster");
  if (service === undefined) throw new Error("mod_roster provides no service");
  return service;
}

async function enters(address: string): Promise<Person> {
  const person = await talk.login(address);
  await person.sends("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  await person.sends("<presence/>");
  await person.takes();
  return person;
}

async function heard(person: Person): Promise<string[]> {
  return (await person.takes()).map((element) => {
    const item = element.child("query", ns.roster)?.child("item");
    if (item !== undefined) return `push ${item.attr("jid")} ${item.attr("subscription")}`;
    return `${element.attr("type") ?? "available"} ${element.attr("from")}`;
  });
}

const condition = (done: Promise<unknown>) =>
  done.then(
    () => "done",
    (error: { condition?: string }) => error.condition,
  );

describe("the service", () => {
  test("lists, adds, changes and removes, with pushes", async () => {
    const service = await start();
    const phone = await enters("alice@localhost/phone");
    await service.set(alice, bob, "Bob", ["Friends"]);
    await service.set(alice, bob, "Bobby", []);
    expect(await service.list(alice)).toEqual([
      { jid: "bob@localhost", name: "Bobby", groups: [], subscription: "none", ask: false },
    ]);
    expect((await service.get(alice, bob))?.name).toBe("Bobby");
    await service.remove(alice, bob);
    expect(await service.get(alice, bob)).toBeUndefined();
    expect(await heard(phone)).toEqual([
      "push bob@localhost none",
      "push bob@localhost none",
      "push bob@localhost remove",
    ]);
  });

  test("asks and answers as the account would", async () => {
    const service = await start();
    const phone = await enters("alice@localhost/phone");
    const desk = await enters("bob@localhost/desk");
    await service.subscription(alice, bob, "invite");
    expect(await service.requests(bob)).toEqual(["alice@localhost"]);
    await service.subscription(bob, alice, "accept");
    expect(await service.requests(bob)).toEqual([]);
    expect(await heard(phone)).toEqual([
      "push bob@localhost none",
      "subscribed bob@localhost",
      "push bob@localhost to",
      "available bob@localhost/desk",
    ]);
    expect(await heard(desk)).toEqual(["subscribe alice@localhost", "push alice@localhost from"]);
    await service.subscription(alice, bob, "cancel");
    expect((await service.get(bob, alice))?.subscription).toBe("none");
    await service.subscription(bob, alice, "invite");
    await service.subscription(alice, bob, "decline");
    expect((await service.get(bob, alice))?.ask).toBe(false);
  });

  test("connects two accounts at once, shows them to each other, and parts them", async () => {
    const service = await start();
    const phone = await enters("alice@localhost/phone");
    const desk = await enters("bob@localhost/desk");
    await service.setMutual(
      { account: alice, name: "Ali", groups: ["Team"] },
      { account: bob, name: "Bob" },
      "connect",
    );
    expect(await heard(phone)).toEqual(["push bob@localhost both", "available bob@localhost/desk"]);
    expect(await heard(desk)).toEqual(["push alice@localhost both", "available alice@localhost/phone"]);
    expect(await service.get(bob, alice)).toMatchObject({ name: "Ali", groups: ["Team"], subscription: "both" });
    await desk.sends("<presence><show>away</show></presence>");
    expect(await heard(phone)).toEqual(["available bob@localhost/desk"]);
    await service.setMutual({ account: alice }, { account: bob }, "disconnect");
    expect(await heard(phone)).toEqual(["push bob@localhost remove", "unavailable bob@localhost/desk"]);
    await desk.sends("<presence/>");
    await phone.receivesNothing();
    expect(await service.list(bob)).toEqual([]);
  });

  test("a connection keeps the name a contact has and settles what was pending", async () => {
    const service = await start();
    await service.set(alice, bob, "Mr. B", []);
    await service.subscription(alice, bob, "invite");
    await service.setMutual({ account: alice, name: "Ali" }, { account: bob, name: "Bob" }, "connect");
    expect(await service.get(alice, bob)).toMatchObject({ name: "Mr. B", subscription: "both", ask: false });
    expect(await service.get(bob, alice)).toMatchObject({ name: "Ali", subscription: "both" });
    const desk = await talk.online("bob@localhost/desk");
    expect(await heard(desk)).toEqual(["available bob@localhost/desk"]); // no request waits any more
  });

  test("refuses what a client would be refused, and accounts that are none", async () => {
    const service = await start();
    const ghost = jid("ghost@localhost");
    expect(await condition(service.list(ghost))).toBe("item-not-found");
    expect(await condition(service.list(jid("alice@example.org")))).toBe("item-not-found");
    expect(await condition(service.set(ghost, bob, "", []))).toBe("item-not-found");
    expect(await condition(service.remove(alice, bob))).toBe("item-not-found");
    expect(await condition(service.set(alice, alice, "", []))).toBe("not-allowed");
    expect(await condition(service.set(alice, bob, "x".repeat(2_000), []))).toBe("not-acceptable");
    expect(await condition(service.set(alice, bob, "", ["A", "A"]))).toBe("bad-request");
    expect(await condition(service.setMutual({ account: alice }, { account: ghost }, "connect"))).toBe(
      "item-not-found",
    );
    expect(await condition(service.setMutual({ account: alice }, { account: alice }, "connect"))).toBe("not-allowed");
    expect(await service.list(alice)).toEqual([]);
  });

  test("a block that has to be looked up is waited for, and the others get what is theirs in order", async () => {
    const service = await start({
      answers: {
        blocked: async (_account, _session, stanza, direction) => direction === "out" && stanza.to?.local === "bob",
      },
    });
    const carol = jid("carol@localhost");
    for (const contact of [bob, carol]) await service.setMutual({ account: alice }, { account: contact }, "connect");
    const desk = await enters("bob@localhost/desk");
    const bed = await enters("carol@localhost/bed");
    const phone = await talk.online("alice@localhost/phone");
    expect(await heard(bed)).toEqual(["available alice@localhost/phone"]);
    expect(await heard(desk)).toEqual([]);
    await phone.leaves();
    expect(await heard(bed)).toEqual(["unavailable alice@localhost/phone"]);
    expect(await heard(desk)).toEqual([]);
  });
});

describe("the cache of contacts", () => {
  const contacts = (count: number) => ({
    presence: Array.from({ length: count }, (): PresenceContact => ({ jid: bob, subscription: "both" })),
    waiting: false,
  });

  test("forgets the account used least recently when it is full", () => {
    const cache = new ContactCache(12);
    cache.learn("a", contacts(3), 0);
    cache.learn("b", contacts(3), 0);
    cache.learn("c", contacts(3), 0);
    expect(cache.size).toBe(12);
    expect(cache.get("a")).toBeDefined();
    cache.learn("d", contacts(3), 0);
    expect(cache.get("b")).toBeUndefined();
    for (const kept of ["a", "c", "d"]) expect(cache.get(kept)).toBeDefined();
    expect(cache.size).toBe(12);
  });

  test("does not remember what is too much for it, or old already", () => {
    const cache = new ContactCache(5);
    cache.learn("a", contacts(5), 0);
    expect(cache.get("a")).toBeUndefined();
    const before = cache.changes;
    cache.forget("b");
    cache.learn("a", contacts(1), before);
    expect(cache.get("a")).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  test("counts an account once", () => {
    const cache = new ContactCache(100);
    for (let times = 0; times < 3; times++) cache.learn("a", contacts(4), 0);
    expect(cache.size).toBe(5);
    cache.forget("a");
    expect(cache.size).toBe(0);
  });

  test("of size 0 remembers nobody", () => {
    const cache = new ContactCache(0);
    cache.learn("a", contacts(0), 0);
    expect(cache.get("a")).toBeUndefined();
  });
});
