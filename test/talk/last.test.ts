/** XEP-0012 Last Activity. */
import { afterEach, describe, expect, test } from "bun:test";
import type { RosterEntry } from "../../src/hooks/points.ts";
import { last } from "../../src/modules/last.ts";
import { blocking } from "../../src/modules/privacy/blocking.ts";
import { type Jid, parseJid } from "../../src/stanza/jid.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const alice = parseJid("alice@localhost")!;
const query = (to?: string) =>
  `<iq type='get' id='l'${to === undefined ? "" : ` to='${to}'`}><query xmlns='jabber:iq:last'/></iq>`;
const answer = (to: Person, from: string, seconds: number, status = "") =>
  `<iq type='result' id='l' from='${from}' to='${to.session.jid.full}'><query xmlns='jabber:iq:last' seconds='${seconds}'>${status}</query></iq>`;
const condition = async (person: Person) =>
  (await person.takes()).map((element) => element.child("error")?.elements()[0]?.name).join();

/** Bob may see Alice's presence, Carol may not although Alice sees hers. */
function rosterItem(account: Jid, contact: Jid): RosterEntry | undefined {
  if (account.local !== "alice") return undefined;
  const subscription = contact.local === "bob" ? "from" : contact.local === "carol" ? "to" : undefined;
  return subscription && { jid: contact.bare, name: "", subscription, groups: [], ask: false };
}
async function start() {
  talk = await Conversation.start({ modules: [blocking, last], answers: { rosterItem } });
  return { bob: await talk.online("bob@localhost/desk"), carol: await talk.online("carol@localhost/desk") };
}
const service = () => talk.host.registry.service("last")!;

test("the server says how long it has been up", async () => {
  const { bob } = await start();
  await talk.clock.advance(61_500);
  await bob.sends(query("localhost"));
  const [got] = await bob.takes();
  expect(Number(got!.firstElement()!.attr("seconds"))).toBe(61);
});

describe("a user who is away", () => {
  test("is described to subscribers by the time and words of the last resource's leaving", async () => {
    const { bob } = await start();
    const phone = await talk.online("alice@localhost/phone");
    const laptop = await talk.online("alice@localhost/laptop");
    await phone.sends("<presence type='unavailable'><status>phone &lt;off></status></presence>");
    await phone.leaves();
    await talk.clock.advance(5_000);
    await laptop.sends("<presence type='unavailable'><status>Heading &lt;Home></status></presence>");
    await laptop.leaves();
    await talk.clock.advance(903_000);
    await bob.sends(query("alice@localhost"));
    await bob.receives(answer(bob, "alice@localhost", 903, "Heading &lt;Home>"));
  });

  test("and was lost, is described without words", async () => {
    const { bob } = await start();
    await (await talk.online("alice@localhost/phone")).leaves("lost");
    await talk.clock.advance(10_000);
    await bob.sends(query("alice@localhost"));
    await bob.receives(answer(bob, "alice@localhost", 10));
  });

  test("and never was here is service-unavailable", async () => {
    const { bob } = await start();
    await bob.sends(query("alice@localhost"));
    expect(await condition(bob)).toBe("service-unavailable");
  });
});

test("a user who is connected is 0 seconds away, for subscribers and for himself", async () => {
  const { bob } = await start();
  const phone = await talk.login("alice@localhost/phone");
  await bob.sends(query("alice@localhost"));
  await bob.receives(answer(bob, "alice@localhost", 0));
  await phone.sends(query());
  await phone.receives(answer(phone, "alice@localhost", 0));
});

describe("nobody else may know (section 7)", () => {
  test("an account that exists and one that does not look the same", async () => {
    const { carol } = await start();
    await carol.sends(query("alice@localhost"));
    expect(await condition(carol)).toBe("forbidden");
    await carol.sends(query("nobody@localhost"));
    expect(await condition(carol)).toBe("forbidden");
  });

  test("a resource is not even asked", async () => {
    const { bob, carol } = await start();
    const phone = await talk.online("alice@localhost/phone");
    await carol.sends(query("alice@localhost/phone"));
    expect(await condition(carol)).toBe("forbidden");
    await phone.receivesNothing();
    await bob.sends(query("alice@localhost/phone"));
    expect((await phone.takes()).length).toBe(1);
    await bob.sends(query("alice@localhost/none"));
    expect(await condition(bob)).toBe("service-unavailable");
  });

  test("nor a subscriber from whom presence is hidden", async () => {
    const { bob } = await start();
    const phone = await talk.online("alice@localhost/phone");
    await phone.leaves();
    const row = { domain: "localhost", username: "alice", version: 1, default_list: "a" };
    const lists = JSON.stringify([["a", [["jid", "bob@localhost", 0, 1, 8]]]]);
    await talk.store.db
      .insertInto("privacy_lists")
      .values({ ...row, lists })
      .execute();
    await talk.clock.advance(31_000);
    await bob.sends(query("alice@localhost"));
    expect(await condition(bob)).toBe("forbidden");
  });
});

describe("for administrators", () => {
  test("activity can be read, set, counted and listed", async () => {
    await start();
    const { clock } = talk;
    const day = 86_400_000;
    for (const [at, name] of ["anna", "bert", "cleo"].entries()) {
      await Promise.all([
        service().set(parseJid(`${name}@localhost`)!, { at: clock.now() - at * day, status: name }),
        talk.settle(),
      ]);
    }
    expect(await service().get(parseJid("bert@localhost")!)).toEqual({
      at: clock.now() - (clock.now() % 1000) - day,
      status: "bert",
    });
    expect(await service().countActive(clock.now() - day - 2_000)).toBe(2);
    expect((await service().listOld(clock.now() - 1_000, 10)).map((each) => each.local)).toEqual(["bert", "cleo"]);
    expect((await service().listOld(clock.now() - 1_000, 1, "bert")).map((each) => each.local)).toEqual(["cleo"]);
  });

  test("a removed account leaves nothing", async () => {
    await start();
    await (await talk.online("alice@localhost/phone")).leaves();
    await talk.settle();
    for (const removed of talk.host.registry.accounts.removed) await removed(alice);
    expect(await service().get(alice)).toBeUndefined();
  });
});

test("a database that is away costs nothing but time", async () => {
  const { bob } = await start();
  await talk.store.db.schema.alterTable("last_activity").renameTo("elsewhere").execute();
  await (await talk.online("alice@localhost/phone")).leaves();
  await talk.clock.advance(1_000);
  await bob.sends(query("alice@localhost"));
  await bob.receives(answer(bob, "alice@localhost", 1));
  await talk.store.db.schema.alterTable("elsewhere").renameTo("last_activity").execute();
  await talk.clock.advance(10_000);
  await talk.settle();
  expect(await service().countActive(0)).toBe(1);
});

test("a mass disconnect is written in batches, and also when the server stops", async () => {
  await start();
  const people: Person[] = [];
  for (let number = 0; number < 1_100; number++) people.push(await talk.online(`user${number}@localhost/x`));
  let statements = 0;
  const add = talk.writes.add.bind(talk.writes);
  let waiting = 0;
  let most = 0;
  talk.writes.add = (write) => {
    statements++;
    waiting++;
    most = Math.max(most, waiting);
    return add(write).finally(() => {
      waiting--;
    });
  };
  for (const person of people) {
    talk.router.sessions.remove(person.session);
    person.session.presence = undefined;
    for (const handler of talk.host.registry.sessions.unavailable) {
      void handler(person.session, { has: () => false } as never);
    }
  }
  await talk.settle();
  await talk.settle();
  await talk.settle();
  expect(await service().countActive(0)).toBe(1_100);
  expect(statements).toBe(1_100);
  expect(most).toBeLessThanOrEqual(500);
});
