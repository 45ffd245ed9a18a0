/** RFC 6121 section 4: who sees whose presence, and when. */
import { afterEach, describe, expect, test } from "bun:test";
import { presence } from "../../src/modules/presence.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import type { Element } from "../../src/xml/element.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

/** Rows of the roster table: who, whom, subscription. */
type Subscription = readonly [owner: string, contact: string, letter: "T" | "F" | "B"];
const mutual: readonly Subscription[] = [
  ["alice", "bob@localhost", "B"],
  ["bob", "alice@localhost", "B"],
];

async function start(subscriptions: readonly Subscription[] = [], options: Record<string, unknown> = {}) {
  talk = await Conversation.start({ modules: [roster, presence], options: { mod_presence: options } });
  const rows = subscriptions.map(([username, jid, subscription]) => ({
    server: "localhost",
    username,
    jid,
    nick: "",
    subscription,
    ask: "N",
    grps: "",
    askmessage: "",
    created_at: 0,
  }));
  if (rows.length > 0) await talk.store.db.insertInto("rosterusers").values(rows).execute();
}

/** Becomes available and leaves aside what came of it. */
async function enters(address: string): Promise<Person> {
  const person = await talk.online(address);
  await person.takes();
  return person;
}

const words = (elements: Element[]) =>
  elements.map((element) => `${element.attr("type") ?? "available"} ${element.attr("from")}`);
const heard = async (person: Person) => words(await person.takes());

function watchRoutes(): string[] {
  const seen: string[] = [];
  const route = talk.router.route.bind(talk.router);
  talk.router.route = (stanza, origin) => {
    seen.push(`${stanza.type ?? "available"} ${stanza.from?.full} > ${stanza.to?.full}`);
    return route(stanza, origin);
  };
  return seen;
}

describe("initial presence (4.2, 4.3)", () => {
  test("is shown to contacts, and theirs to the newcomer, whole", async () => {
    await start(mutual);
    const alice = await talk.login("alice@localhost/phone");
    await alice.sends("<presence xml:lang='de'><show>away</show><status>Zug</status><x xmlns='urn:x'/></presence>");
    await alice.takes();
    const bob = await talk.online("bob@localhost/desk", 3);
    await bob.receives("<presence from='bob@localhost/desk' to='bob@localhost'><priority>3</priority></presence>");
    await bob.receives(
      "<presence from='alice@localhost/phone' to='bob@localhost/desk' xml:lang='de'><show>away</show><status>Zug</status><x xmlns='urn:x'/></presence>",
    );
    await bob.receivesNothing();
    await alice.receives("<presence from='bob@localhost/desk' to='alice@localhost'><priority>3</priority></presence>");
    await alice.receivesNothing();
  });

  test("is shown to the own other resources, and theirs to the newcomer", async () => {
    await start();
    const phone = await enters("alice@localhost/phone");
    const silent = await talk.login("alice@localhost/silent");
    const laptop = await talk.online("alice@localhost/laptop");
    expect(await heard(laptop)).toEqual(["available alice@localhost/laptop", "available alice@localhost/phone"]);
    expect(await heard(phone)).toEqual(["available alice@localhost/laptop"]);
    await silent.receivesNothing();
  });

  test("goes one way where the subscription does", async () => {
    await start([
      ["alice", "bob@localhost", "T"],
      ["bob", "alice@localhost", "F"],
    ]);
    const bob = await enters("bob@localhost/desk");
    const alice = await talk.online("alice@localhost/phone");
    expect(await heard(alice)).toEqual(["available alice@localhost/phone", "available bob@localhost/desk"]);
    await bob.receivesNothing();
  });

  test("a contact's presence needs the contact's own word, whatever our roster says", async () => {
    await start([["alice", "bob@localhost", "T"]]);
    await enters("bob@localhost/desk");
    const alice = await talk.online("alice@localhost/phone");
    expect(await heard(alice)).toEqual(["available alice@localhost/phone"]);
  });

  test("sends nothing on its way to contacts of ours that are offline", async () => {
    await start([
      ["alice", "bob@localhost", "B"],
      ["alice", "carol@localhost", "B"],
    ]);
    await talk.login("carol@localhost/bound-only");
    const routed = watchRoutes();
    await talk.online("alice@localhost/phone");
    expect(routed).toEqual(["available alice@localhost/phone > alice@localhost"]);
  });

  test("asks the servers of others, for this resource", async () => {
    await start([
      ["alice", "zoe@example.org", "B"],
      ["alice", "yan@example.org", "F"],
      ["alice", "icq.example.org", "T"],
    ]);
    const routed = watchRoutes();
    await talk.online("alice@localhost/phone");
    expect(routed.sort()).toEqual([
      "available alice@localhost/phone > alice@localhost",
      "available alice@localhost/phone > yan@example.org",
      "available alice@localhost/phone > zoe@example.org",
      "probe alice@localhost/phone > icq.example.org",
      "probe alice@localhost/phone > zoe@example.org",
    ]);
  });

  test("costs two questions to the database, however many contacts are online", async () => {
    const names = Array.from({ length: 30 }, (_, at) => `friend${at}`);
    await start(
      names.flatMap((name) => [["alice", `${name}@localhost`, "B"] as const, [name, "alice@localhost", "B"] as const]),
    );
    for (const name of names) await enters(`${name}@localhost/x`);
    talk.queries.length = 0;
    const alice = await talk.online("alice@localhost/phone");
    expect((await alice.takes()).length).toBe(31);
    expect(talk.queries).toEqual(["select rosterusers", "select rosterusers"]);
    talk.queries.length = 0;
    await alice.sends("<presence><show>away</show></presence>");
    await alice.leaves();
    expect(talk.queries).toEqual([]);
  });

  test("of a session that ended meanwhile is not sent after its unavailable presence", async () => {
    await start(mutual);
    const bob = await enters("bob@localhost/desk");
    const alice = await talk.login("alice@localhost/phone");
    const sending = alice.sends("<presence/>");
    await Promise.all([sending, alice.leaves("lost")]);
    const last = (await heard(bob)).at(-1);
    expect(last === undefined || last.startsWith("unavailable")).toBe(true);
  });
});

describe("later presence (4.4)", () => {
  test("reaches contacts and own resources, without new probes", async () => {
    await start(mutual);
    const phone = await enters("alice@localhost/phone");
    const laptop = await enters("alice@localhost/laptop");
    const bob = await enters("bob@localhost/desk");
    for (const each of [phone, laptop]) await each.takes();
    await phone.sends("<presence id='p2'><show>dnd</show></presence>");
    await bob.receives("<presence id='p2' from='alice@localhost/phone' to='bob@localhost'><show>dnd</show></presence>");
    expect(await heard(laptop)).toEqual(["available alice@localhost/phone"]);
    expect(await heard(phone)).toEqual(["available alice@localhost/phone"]);
    await bob.receivesNothing();
  });

  test("is what a probe is answered with", async () => {
    await start(mutual);
    const alice = await enters("alice@localhost/phone");
    await alice.sends("<presence><show>xa</show></presence>");
    const bob = await talk.login("bob@localhost/desk");
    await bob.sends("<presence/>");
    const seen = await bob.takes();
    expect(seen.at(-1)?.childText("show")).toBe("xa");
  });
});

describe("unavailable presence (4.5)", () => {
  test("by the client's own word, with its status, reaches contacts, own resources and the resource itself", async () => {
    await start(mutual);
    const phone = await enters("alice@localhost/phone");
    const laptop = await enters("alice@localhost/laptop");
    const bob = await enters("bob@localhost/desk");
    for (const each of [phone, laptop]) await each.takes();
    await phone.sends("<presence type='unavailable'><status>gone</status></presence>");
    await bob.receives(
      "<presence from='alice@localhost/phone' to='bob@localhost' type='unavailable'><status>gone</status></presence>",
    );
    expect(await heard(laptop)).toEqual(["unavailable alice@localhost/phone"]);
    expect(await heard(phone)).toEqual(["unavailable alice@localhost/phone"]);
    await phone.sends("<presence type='unavailable'/>");
    for (const each of [phone, laptop, bob]) await each.receivesNothing();
  });

  for (const how of ["closed", "lost", "replaced", "kicked", "shutdown"] as const) {
    test(`when a session is ${how}, the server says it`, async () => {
      await start(mutual);
      const alice = await enters("alice@localhost/phone");
      const bob = await enters("bob@localhost/desk");
      await alice.leaves(how);
      await bob.receives("<presence from='alice@localhost/phone' to='bob@localhost' type='unavailable'/>");
      await bob.receivesNothing();
    });
  }

  test("of a session whose roster cannot be read still reaches who is known without it", async () => {
    talk = await Conversation.start({
      modules: [presence],
      answers: {
        presenceContacts: async (account) => {
          if (account.local === "alice") throw new Error("the database is away");
          return [];
        },
      },
    });
    const alice = await talk.login("alice@localhost/phone");
    const carol = await enters("carol@localhost/bed");
    await alice.sends("<presence to='carol@localhost'/>");
    await carol.takes();
    alice.session.presence = (await enters("bob@localhost/desk")).session.presence;
    await alice.leaves();
    expect(await heard(carol)).toEqual(["unavailable alice@localhost/phone"]);
  });

  test("is not said for a resource that never was available", async () => {
    await start(mutual);
    const bob = await enters("bob@localhost/desk");
    const alice = await talk.login("alice@localhost/phone");
    await alice.leaves();
    await bob.receivesNothing();
  });
});

describe("probes (4.3.2)", () => {
  const probe = (from: string, to: string) => `<presence from='${from}' to='${to}' type='probe'/>`;

  test("of somebody without a subscription: unsubscribed, from the bare address", async () => {
    await start();
    await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    const routed = watchRoutes();
    await bob.sends("<presence to='alice@localhost' type='probe'/>");
    await bob.sends("<presence to='alice@localhost/phone' type='probe'/>");
    expect(routed.filter((line) => line.startsWith("unsubscribed"))).toEqual([
      "unsubscribed alice@localhost > bob@localhost",
      "unsubscribed alice@localhost > bob@localhost",
    ]);
    await bob.receivesNothing();
  });

  test("for an account that does not exist look the same, and end the prober's subscription", async () => {
    await start([["bob", "ghost@localhost", "T"]]);
    const bob = await talk.login("bob@localhost/desk");
    await bob.sends("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    await bob.takes();
    await bob.sends("<presence to='ghost@localhost' type='probe'/>");
    const [unsubscribed, push] = await bob.takes();
    expect(words([unsubscribed!])).toEqual(["unsubscribed ghost@localhost"]);
    expect(push?.name).toBe("iq");
  });

  test("keep a pre-approval", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    await alice.sends("<presence to='bob@localhost' type='subscribed'/>");
    await talk.arrives(probe("bob@localhost", "alice@localhost"));
    const rows = await talk.store.db.selectFrom("rosterusers").select(["jid", "approved"]).execute();
    expect(rows).toEqual([{ jid: "bob@localhost", approved: 1 }]);
  });

  test("of a subscriber while nobody is there: unavailable", async () => {
    await start([["alice", "bob@localhost", "F"]]);
    const bob = await enters("bob@localhost/desk");
    await bob.sends("<presence to='alice@localhost' type='probe'/>");
    await bob.receives("<presence from='alice@localhost' to='bob@localhost/desk' type='unavailable'/>");
  });

  test("of a subscriber: every available resource, or the one asked for", async () => {
    await start([["alice", "bob@localhost", "F"]]);
    const phone = await enters("alice@localhost/phone");
    await enters("alice@localhost/laptop");
    await talk.login("alice@localhost/silent");
    await phone.takes();
    const bob = await enters("bob@localhost/desk");
    await bob.sends("<presence to='alice@localhost' type='probe'/>");
    expect(await heard(bob)).toEqual(["available alice@localhost/phone", "available alice@localhost/laptop"]);
    await bob.sends("<presence to='alice@localhost/laptop' type='probe'/>");
    expect(await heard(bob)).toEqual(["available alice@localhost/laptop"]);
    await bob.sends("<presence to='alice@localhost/silent' type='probe'/>");
    expect(await heard(bob)).toEqual(["unavailable alice@localhost/silent"]);
    await phone.receivesNothing(); // a client never sees a probe
  });

  test("by a server that may not see are not answered", async () => {
    await start();
    await enters("alice@localhost/phone");
    const routed = watchRoutes();
    await talk.arrives(probe("example.org", "alice@localhost"));
    expect(routed).toHaveLength(1);
  });
});

describe("directed presence (4.6)", () => {
  test("reaches a stranger, and so does its end, by the unavailable broadcast", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const carol = await enters("carol@localhost/bed");
    await alice.sends("<presence to='carol@localhost/bed'><status>hi</status></presence>");
    await carol.receives(
      "<presence from='alice@localhost/phone' to='carol@localhost/bed'><status>hi</status></presence>",
    );
    await alice.sends("<presence><show>away</show></presence>");
    await carol.receivesNothing(); // 4.6.3: later broadcasts are not for her
    await alice.sends("<presence type='unavailable'><status>bye</status></presence>");
    await carol.receives(
      "<presence from='alice@localhost/phone' to='carol@localhost/bed' type='unavailable'><status>bye</status></presence>",
    );
    await alice.leaves();
    await carol.receivesNothing();
  });

  test("ends with the session, also where the resource never was available", async () => {
    await start();
    const alice = await talk.login("alice@localhost/phone");
    const carol = await enters("carol@localhost/bed");
    await alice.sends("<presence to='carol@localhost'/>");
    expect(await heard(carol)).toEqual(["available alice@localhost/phone"]);
    await alice.leaves("lost");
    expect(await heard(carol)).toEqual(["unavailable alice@localhost/phone"]);
  });

  test("is taken back by an unavailable broadcast of a resource that never was available", async () => {
    await start();
    const alice = await talk.login("alice@localhost/phone");
    const carol = await enters("carol@localhost/bed");
    await alice.sends("<presence to='carol@localhost'/>");
    await alice.sends("<presence type='unavailable'/>");
    await alice.leaves();
    expect(await heard(carol)).toEqual(["available alice@localhost/phone", "unavailable alice@localhost/phone"]);
  });

  test("that was taken back directly is not taken back again", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const carol = await enters("carol@localhost/bed");
    await alice.sends("<presence to='carol@localhost'/>");
    await alice.sends("<presence to='carol@localhost' type='unavailable'/>");
    expect(await heard(carol)).toEqual(["available alice@localhost/phone", "unavailable alice@localhost/phone"]);
    await alice.leaves();
    await carol.receivesNothing();
  });

  test("to a subscriber is not taken back twice", async () => {
    await start(mutual);
    const alice = await enters("alice@localhost/phone");
    const bob = await enters("bob@localhost/desk");
    await alice.sends("<presence to='bob@localhost/desk'><show>chat</show></presence>");
    await alice.leaves();
    expect(await heard(bob)).toEqual(["available alice@localhost/phone", "unavailable alice@localhost/phone"]);
  });

  test("that came back as an error is forgotten", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    const routed = watchRoutes();
    await alice.sends("<presence to='room@example.org/nick'/>"); // no such server: the error comes by itself
    expect(await heard(alice)).toEqual(["error room@example.org/nick"]);
    await talk.arrives("<presence from='room@example.org/nick' to='alice@localhost/phone' type='error'/>");
    await alice.leaves();
    expect(routed.filter((line) => line.startsWith("unavailable"))).toEqual([
      "unavailable alice@localhost/phone > alice@localhost",
    ]);
  });

  test("goes to no more addresses than the limit", async () => {
    await start([], { max_directed_presences: 2 });
    const alice = await enters("alice@localhost/phone");
    for (const resource of ["a", "b", "a", "c"]) await alice.sends(`<presence to='carol@localhost/${resource}'/>`);
    expect(await heard(alice)).toEqual(["error carol@localhost/c"]);
  });

  test("lets the addressee ask again", async () => {
    await start();
    const alice = await enters("alice@localhost/phone");
    await alice.sends("<presence to='carol@localhost/bed'/>");
    const carol = await enters("carol@localhost/bed");
    await carol.sends("<presence to='alice@localhost/phone' type='probe'/>");
    expect(await heard(carol)).toEqual(["available alice@localhost/phone"]);
  });
});

test("works without rosters", async () => {
  talk = await Conversation.start({ modules: [presence] });
  const phone = await enters("alice@localhost/phone");
  const laptop = await talk.online("alice@localhost/laptop");
  expect(await heard(phone)).toEqual(["available alice@localhost/laptop"]);
  await laptop.leaves();
  expect(await heard(phone)).toEqual(["unavailable alice@localhost/laptop"]);
});
