/** Long answers to clients with stream management (XEP-0198): pages of archives, and inboxes, asked for without waiting. */
import { afterEach, expect, test } from "bun:test";
import type { RoomArchiveService } from "../../src/hooks/services.ts";
import { inbox } from "../../src/modules/inbox/inbox.ts";
import { ArchiveStore } from "../../src/modules/mam/archive-store.ts";
import { conversationOf } from "../../src/modules/mam/archive-tables.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { waitingMost } from "../../src/session/feed.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { StreamManagement } from "../../src/stream/management.ts";
import { firstIdAt } from "../../src/util/time-ids.ts";
import type { Element } from "../../src/xml/element.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { messageIn, mamNs as ns } from "../support/archive-talk.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import { errorIn, inboxNs } from "../support/inbox-talk.ts";

const unacknowledgedMax = 1_000;

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

async function start(): Promise<void> {
  talk = await Conversation.start({ modules: [mam, inbox, offline] });
}

/** A client that counts what it gets, and acknowledges when it is asked and the test lets it. */
class Managed {
  readonly person: Person;
  readonly got: Element[] = [];
  cutOff = false;
  most = 0;
  readonly #management: StreamManagement;
  #asked = false;

  constructor(person: Person, requestEvery = 1) {
    this.person = person;
    this.#management = new StreamManagement(
      "id",
      { unacknowledgedMax, unacknowledgedBytesMax: 1_000_000, requestEvery },
      this,
    );
    person.session.outlet = this.#management;
  }

  acknowledge(): void {}

  request(): void {
    this.#asked = true;
  }

  overflowed(): void {
    this.cutOff = true;
  }

  /** Reads what has come; whether the server wants it acknowledged. */
  async reads(): Promise<boolean> {
    this.got.push(...(await this.person.takes()));
    this.most = Math.max(this.most, this.#management.unacknowledged.length);
    return this.#asked;
  }

  acknowledges(count = this.got.length): void {
    this.#asked = false;
    expect(this.#management.acknowledge(count)).toBeUndefined();
  }

  async catchesUp(): Promise<void> {
    while (await this.reads()) this.acknowledges();
  }

  get results(): Element[] {
    return this.got.filter((stanza) => stanza.child("result", ns) !== undefined);
  }
}

/** So many messages in somebody's archive; their ids. */
async function archived(owner: string, count: number): Promise<string[]> {
  const store = new ArchiveStore(talk.store);
  const ids: string[] = [];
  const stored: Promise<void>[] = [];
  for (let number = 0; number < count; number++) {
    const id = firstIdAt(talk.clock.now() - 1_000_000 + number);
    ids.push(id.toString());
    const row = {
      owner,
      id,
      peer: "carol@localhost",
      resource: "x",
      reference: null,
      outgoing: false,
      groupchat: false,
    };
    const conversation = conversationOf(owner, "carol@localhost");
    const stanza = `<message from='carol@localhost/x' type='chat'><body>${number}</body></message>`;
    stored.push(store.add(talk.writes, { ...row, conversation, stanza, words: undefined }));
  }
  await talk.writes.flush();
  await Promise.all(stored);
  return ids;
}

const page = (id: string, after: string | undefined) =>
  `<iq type='set' id='${id}'><query xmlns='${ns}'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max>${after === undefined ? "" : `<after>${after}</after>`}</set></query></iq>`;

for (const [requestEvery, pages] of [
  [1, 200],
  [Number.POSITIVE_INFINITY, 25],
] as const) {
  const count = pages * 50;
  test(`${count} messages in pages asked for at once, by a client that is asked to acknowledge after ${requestEvery}`, async () => {
    await start();
    const ids = await archived("alice@localhost", count);
    const alice = new Managed(await talk.login("alice@localhost/phone"), requestEvery);
    for (let number = 0; number < pages; number++) await alice.person.sends(page(`p${number}`, ids[number * 50 - 1]));
    await alice.catchesUp();
    expect(alice.cutOff).toBe(false);
    expect(alice.most).toBeLessThanOrEqual(unacknowledgedMax / 2);
    expect(alice.results.map((stanza) => stanza.child("result", ns)!.attr("id"))).toEqual(ids);
    // Each page is followed by its own end.
    const ends = alice.got.flatMap(({ name }, at) => (name === "iq" ? [`${alice.got[at]!.attr("id")} ${at}`] : []));
    expect(ends).toEqual(Array.from({ length: pages }, (_, number) => `p${number} ${number * 51 + 50}`));
  });
}

test("while pages wait for the client, what is new comes through, and what it asks is answered", async () => {
  await start();
  await archived("alice@localhost", 1_200);
  const alice = new Managed(await talk.online("alice@localhost/phone"));
  const carol = await talk.online("carol@localhost/x");
  for (let number = 0; number < 20; number++) await alice.person.sends(page(`p${number}`, undefined));
  await carol.sends("<message to='alice@localhost' type='chat'><body>new</body></message>");
  await alice.person.sends("<iq type='get' id='ask' to='alice@localhost'><what xmlns='urn:x'/></iq>");
  await alice.reads();
  expect(
    alice.got
      .filter(({ name }) => name === "message")
      .at(-1)!
      .childText("body"),
  ).toBe("new");
  expect(alice.got.at(-1)!.attr("id")).toBe("ask");
  expect(alice.results.length).toBeLessThanOrEqual(unacknowledgedMax / 2);
  await alice.catchesUp();
  expect(alice.results.length).toBe(20 * 50);
});

test("a page is made when its turn has come, and one that fails then gets its error", async () => {
  await start();
  await archived("alice@localhost", 600);
  const alice = new Managed(await talk.login("alice@localhost/phone"));
  for (let number = 0; number < 11; number++) await alice.person.sends(page(`p${number}`, undefined));
  const queries = talk.queries.length;
  await alice.person.sends(page("wrong", "123"));
  await alice.person.sends(page("last", undefined));
  expect(talk.queries.length).toBe(queries);
  await alice.catchesUp();
  const [wrong, last] = alice.got.filter(({ name }) => name === "iq").slice(-2);
  expect([wrong!.attr("id"), errorIn(wrong!)]).toEqual(["wrong", "item-not-found cancel The archive has no such id"]);
  expect([last!.attr("id"), last!.attr("type")]).toEqual(["last", "result"]);
});

test("requests that wait have a limit: one more gets an error, the others their answers", async () => {
  await start();
  await archived("alice@localhost", 100);
  const alice = new Managed(await talk.login("alice@localhost/phone"));
  const sent = waitingMost + 20;
  const iqs = Array.from({ length: sent }, (_, number) => page(`p${number}`, undefined));
  for (const iq of iqs.slice(0, 10)) await alice.person.sends(iq);
  await Promise.all(iqs.slice(10).map((iq) => alice.person.sends(iq)));
  await alice.catchesUp();
  expect(alice.cutOff).toBe(false);
  const ends = alice.got.filter(({ name }) => name === "iq");
  expect(ends.length).toBe(sent);
  const refused = ends.filter((end) => end.attr("type") === "error");
  expect(refused.length).toBeGreaterThan(0);
  expect(new Set(refused.map((end) => errorIn(end).split(" ").slice(0, 2).join(" ")))).toEqual(
    new Set(["resource-constraint wait"]),
  );
  expect(alice.results.length).toBe((sent - refused.length) * 50);
});

test("pages that a client has not acknowledged when its session ends are no messages to the account's other devices", async () => {
  await start();
  await archived("alice@localhost", 1_000);
  const alice = new Managed(await talk.online("alice@localhost/phone"));
  const tablet = await talk.online("alice@localhost/tablet");
  await alice.person.sends(page("p", undefined));
  await alice.person.sends(`<iq type='set' id='i'><inbox xmlns='${inboxNs}'/></iq>`);
  await tablet.takes();
  const { unacknowledged } = alice.person.session.outlet as StreamManagement;
  expect(unacknowledged.length).toBeGreaterThan(50);
  talk.router.sessions.remove(alice.person.session);
  for (const stanza of unacknowledged) await talk.router.giveBack(stanza, alice.person.session.account);
  expect(await tablet.takes()).toEqual([]);
});

test("whoever is put out of a room while his pages wait reads nothing that was said after he asked", async () => {
  await start();
  const room = parseJid("tea@conference.localhost")!;
  const archive: RoomArchiveService = talk.host.registry.service("roomArchive")!;
  const bob = parseJid("bob@localhost/desk")!;
  const say = async (body: string) => {
    const text = `<message from='${room.bare}/bob' type='groupchat'><body>${body}</body></message>`;
    await archive.store(room, bob, stanzaFromFrame(parseFrame(text, undefined, "jabber:client"))!)!.stored;
    await talk.clock.advance(10);
  };
  for (let number = 0; number < 50; number++) void say(`before ${number}`);
  await talk.settle();
  const alice = new Managed(await talk.login("alice@localhost/phone"));
  talk.router.domains.set("conference.localhost", (request) =>
    archive.answer(room, request, { seesRealAddresses: false }),
  );
  const to = " to='tea@conference.localhost'";
  const last = (id: string) =>
    `<iq type='set' id='${id}'${to}><query xmlns='${ns}'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max><before/></set></query></iq>`;
  for (let number = 0; number < 12; number++) await alice.person.sends(last(`p${number}`));
  await talk.clock.advance(1_000);
  void say("after");
  await talk.settle();
  await alice.catchesUp();
  expect(alice.results.length).toBe(12 * 50);
  const bodies = alice.results.map((stanza) => messageIn(stanza.child("result", ns)!).childText("body"));
  expect(bodies).not.toContain("after");
  await alice.person.sends(last("again"));
  await alice.catchesUp();
  expect(messageIn(alice.results.at(-1)!.child("result", ns)!).childText("body")).toBe("after");
});

test("an inbox of 1,000 conversations is one answer, and cuts nobody off", async () => {
  await start();
  const alice = new Managed(await talk.login("alice@localhost/phone"));
  for (let number = 0; number < 1_000; number++) {
    const text = `<message to='alice@localhost' from='peer${number}@elsewhere.example/x' type='chat'><body>${number}</body></message>`;
    void talk.router.route(stanzaFromFrame(parseFrame(text, undefined, "jabber:client"))!, undefined);
  }
  await talk.settle();
  await alice.person.sends(`<iq type='set' id='i'><inbox xmlns='${inboxNs}'/></iq>`);
  await alice.catchesUp();
  expect(alice.cutOff).toBe(false);
  expect(alice.most).toBeLessThanOrEqual(unacknowledgedMax / 2);
  expect(alice.got.filter((stanza) => stanza.child("result", inboxNs) !== undefined).length).toBe(1_000);
  expect(alice.got.at(-1)!.attr("id")).toBe("i");
});
