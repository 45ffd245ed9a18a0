/** Rooms and those who mean no good: what is too much, too fast, of the wrong kind, or not theirs. */
import { describe, expect, test } from "bun:test";
import type { Person } from "../../support/conversation.ts";
import {
  admin,
  adminGet,
  adminSet,
  asks,
  configure,
  enter,
  forms,
  hears,
  inRoom,
  invite,
  items,
  room,
  say,
  service,
  told,
  user,
} from "./rooms.ts";

const muc = "http://jabber.org/protocol/muc";
const info = "http://jabber.org/protocol/disco#info";
const rsm = "http://jabber.org/protocol/rsm";

test.each([
  ["a space", "\u00a0", "not-acceptable"],
  ["a space and a letter", "\u00a0x", "not-acceptable"],
  ["a space without width", "\u200b", "jid-malformed"],
  ["a turn of the direction of writing", "\u202ex", "jid-malformed"],
  ["1,024 letters", "x".repeat(1_024), "jid-malformed"],
])("17.1: %s is no nickname", async (_what, nick, condition) => {
  const { talk, bob } = await inRoom();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter(nick));
  const [error] = await hears(carol);
  expect(error).toStartWith("presence error");
  expect(error).toEndWith(condition);
  await bob.receivesNothing();
  await talk.stop();
});

test.each([
  [
    "<item jid='carol@localhost' affiliation='member'/><item jid='Carol@localhost/x' affiliation='none'/>",
    "bad-request",
  ],
  ["<item nick='Bob' role='visitor'/><item nick='Bob' role='participant'/>", "bad-request"],
  [
    "<item jid='carol@localhost' nick='Caz' affiliation='member'/><item jid='dave@localhost' nick='CAZ' affiliation='member'/>",
    "conflict",
  ],
])("a request that contradicts itself changes nothing: %s", async (request, condition) => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
  await alice.takes();
  await bob.takes();
  await alice.sends(adminSet(request));
  expect(await hears(alice)).toEqual([`iq error ${condition}`]);
  await bob.receivesNothing();
  expect(items(await asks(alice, adminGet("<item affiliation='member'/>"))).length).toBe(0);
  await talk.stop();
});

test("a list that is asked for many times is given once", async () => {
  const { talk, alice } = await inRoom();
  expect(items(await asks(alice, adminGet("<item affiliation='owner'/>".repeat(200)))).length).toBe(1);
  expect(told(await asks(alice, adminGet("<item affiliation='owner'/>".repeat(201))))).toBe("iq error bad-request");
  await talk.stop();
});

test("a refusal of an invitation by somebody who is banned reaches nobody", async () => {
  const { talk, alice } = await inRoom();
  await alice.sends(adminSet("<item jid='carol@localhost' affiliation='outcast'/>"));
  await alice.takes();
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(`<message to='${room}'><x xmlns='${user}'><decline to='${room}/Alice'/></x></message>`);
  expect(await hears(carol)).toEqual([`message error ${room} forbidden`]);
  await alice.receivesNothing();
  await talk.stop();
});

test("requests that others are to decide on come no faster than one a minute, and so do refusals", async () => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  await alice.sends(configure({ "muc#roomconfig_membersonly": "1" }));
  await alice.sends(adminSet("<item jid='bob@localhost' affiliation='member'/>"));
  await bob.sends(enter("Bob"));
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  const carol = await talk.login("carol@localhost/pc");
  for (const person of [alice, bob, carol]) await person.takes();
  const submitted = (type: string, field: string, value: string) =>
    `<x xmlns='${forms}' type='submit'><field var='FORM_TYPE'><value>${muc}#${type}</value></field><field var='${field}'><value>${value}</value></field></x>`;
  const voice = `<message to='${room}'>${submitted("request", "muc#role", "participant")}</message>`;
  const membership = `<iq type='set' id='r' to='${room}'><query xmlns='jabber:iq:register'>${submitted("register", "muc#register_roomnick", "Caz")}</query></iq>`;
  const decline = `<message to='${room}'><x xmlns='${user}'><decline to='${room}/Alice'/></x></message>`;
  for (const round of [1, 2]) {
    await bob.sends(voice);
    await bob.sends(voice);
    for (const request of [membership, membership, decline, decline]) await carol.sends(request);
    expect([round, (await alice.takes()).length]).toEqual([round, 3]);
    expect(await hears(bob)).toEqual([`message error ${room} resource-constraint`]);
    expect(await hears(carol)).toEqual([
      "iq result",
      "iq error resource-constraint",
      `message error ${room} resource-constraint`,
    ]);
    await talk.clock.advance(60_000);
  }
  await talk.stop();
});

test("nobody gets his voice by registering a nickname: that is for admins to decide", async () => {
  const { talk, alice, bob } = await inRoom();
  const form = `<x xmlns='${forms}' type='submit'><field var='muc#register_roomnick'><value>Bobby</value></field></x>`;
  const wish = `<iq type='set' id='r' to='${room}'><query xmlns='jabber:iq:register'>${form}</query></iq>`;
  await alice.sends(adminSet("<item nick='Bob' role='visitor'/>"));
  await alice.takes();
  expect(told(await asks(bob, wish))).toBe("iq result");
  const [request] = await alice.takes();
  expect(request!.child("x", forms)!.toXml()).toContain("bob@localhost");
  await bob.sends(say("heard?"));
  expect(await hears(bob)).toEqual([`message error ${room} forbidden`]);
  // Nor by leaving first.
  await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
  await talk.clock.advance(60_000);
  expect(told(await asks(bob, wish))).toBe("iq result");
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toContain("presence Bob none visitor bob@localhost/pc 110");
  await talk.stop();
});

test("invitations come no faster than messages may", async () => {
  const { talk, alice } = await inRoom({ min_message_interval: 10 });
  const carol = await talk.online("carol@localhost/pc");
  await carol.takes();
  await alice.sends(invite("carol@localhost"));
  await alice.sends(invite("carol@localhost"));
  expect((await carol.takes()).length).toBe(1);
  expect(await hears(alice)).toEqual([`message error ${room} resource-constraint`]);
  await alice.sends(
    `<message to='${room}'><x xmlns='${user}'>${"<invite to='carol@localhost'/>".repeat(21)}</x></message>`,
  );
  expect(await hears(alice)).toEqual([`message error ${room} policy-violation`]);
  await talk.stop();
});

test("who leaves and comes back again and again is told to wait", async () => {
  const { talk, alice, bob } = await inRoom({ min_presence_interval: 10 });
  await talk.clock.advance(10_000);
  const again = async (): Promise<string[]> => {
    await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
    await bob.takes();
    await alice.takes();
    await bob.sends(enter("Bob"));
    return hears(bob);
  };
  expect(await again()).toContain("presence Bob none participant bob@localhost/pc 110");
  expect(await again()).toEqual(["presence error Bob resource-constraint"]);
  await alice.receivesNothing();
  await talk.clock.advance(10_000);
  await bob.sends(enter("Bob"));
  expect(await hears(bob)).toContain("presence Bob none participant bob@localhost/pc 110");
  await talk.stop();
});

// The rule that everybody knows by its name may be another, too.
test.each(["friends", "all"])(
  "a service that is not for everybody (%s) is closed to others in every way",
  async (rule) => {
    const { talk, alice } = await inRoom({ access: rule, access_create: "friends" }, { access: { [rule]: "deny" } });
    const carol = await talk.login("carol@localhost/pc");
    await carol.sends(enter("Carol"));
    expect(await hears(carol)).toEqual(["presence error Carol forbidden"]);
    expect(told(await asks(carol, `<iq type='get' id='i' to='${room}'><query xmlns='${info}'/></iq>`))).toBe(
      "iq error forbidden",
    );
    await carol.sends(say("hello"));
    expect(await hears(carol)).toEqual([`message error ${room} forbidden`]);
    // Whoever is in may leave.
    await carol.sends(`<presence type='unavailable' to='${room}/Carol'/>`);
    await carol.receivesNothing();
    await alice.receivesNothing();
    await talk.stop();
  },
);

test.each([
  [`<query xmlns='http://jabber.org/protocol/muc#owner'/>`, "bad-request"],
  [`<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}' type='result'/></query>`, "bad-request"],
  [`<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}'/></query>`, "bad-request"],
  [
    `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}' type='submit'><field var='FORM_TYPE'><value>other</value></field></x></query>`,
    "bad-request",
  ],
  [
    `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='${forms}' type='submit'><field><value>1</value></field></x></query>`,
    "bad-request",
  ],
  [`<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='@'/></query>`, "jid-malformed"],
])("10.2: what is no form of configuration changes nothing: %s", async (query, condition) => {
  const { talk, alice, bob } = await inRoom();
  expect(told(await asks(alice, `<iq type='set' id='c' to='${room}'>${query}</iq>`))).toBe(`iq error ${condition}`);
  await bob.receivesNothing();
  await talk.stop();
});

test.each([
  [{ "muc#roomconfig_maxusers": "1e2" }, "not-acceptable"],
  [{ "muc#roomconfig_maxusers": "0x10" }, "not-acceptable"],
  [{ "muc#roomconfig_maxusers": "-1" }, "not-acceptable"],
  [{ "muc#roomconfig_membersonly": [] }, "bad-request"],
  [{ "muc#roomconfig_whois": [] }, "not-acceptable"],
  [{ "muc#roomconfig_roomsecret": "x".repeat(1_001) }, "not-acceptable"],
  [{ "muc#roomconfig_roomowners": Array.from({ length: 1_001 }, (_, at) => `u${at}@localhost`) }, "policy-violation"],
])("10.2: a field of the wrong type is refused: %j", async (fields, condition) => {
  const { talk, alice, bob } = await inRoom();
  await alice.sends(configure(fields as Record<string, string>));
  expect(await hears(alice)).toEqual([`iq error ${condition}`]);
  await bob.receivesNothing();
  await talk.stop();
});

describe("a room with 10,000 affiliations", () => {
  /** Alice's room, on whose lists are 5,000 members and 4,999 outcasts, each banned for a long reason. */
  async function crowded() {
    const { talk, alice, bob } = await inRoom({ max_affiliations: 10_000, hibernate_timeout: 1_000 });
    await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
    for (const person of [alice, bob]) await person.sends(`<presence type='unavailable' to='${room}/x'/>`);
    await talk.clock.advance(20_000);
    const rows = [
      ...names("member", 5_000).map((jid) => ({ jid, affiliation: "member", reason: null })),
      ...names("outcast", 4_999).map((jid) => ({ jid, affiliation: "outcast", reason: "x".repeat(1_000) })),
    ].map((row) => ({ domain: service, room: "den", nick: null, ...row }));
    const tables = talk.store.tables<{ muc_affiliations: (typeof rows)[number] }>();
    for (let at = 0; at < rows.length; at += 1_000) {
      await tables
        .insertInto("muc_affiliations")
        .values(rows.slice(at, at + 1_000))
        .execute();
    }
    await alice.sends(enter("Alice"));
    await bob.sends(enter("Bob"));
    for (const person of [alice, bob]) await person.takes();
    return { talk, alice, bob };
  }

  const names = (word: string, count: number) =>
    Array.from({ length: count }, (_, at) => `${word}${String(at).padStart(4, "0")}@example.org`);

  /** The addresses of a page, and its `<set/>` in one line. */
  async function page(person: Person, affiliation: string, set = ""): Promise<{ jids: string[]; set: string }> {
    const within = set === "" ? "" : `<set xmlns='${rsm}'>${set}</set>`;
    const answer = await asks(person, adminGet(`<item affiliation='${affiliation}'/>${within}`));
    if (answer.attr("type") === "error") return { jids: [], set: told(answer) };
    const query = answer.child("query", admin)!;
    const said = query.child("set", rsm);
    const words = said === undefined ? [] : [said.child("first")?.attr("index"), said.childText("count")];
    return { jids: query.childrenNamed("item").map((item) => item.attr("jid")!), set: words.join(" of ") };
  }

  test("is told in full where that is no longer than half a million characters", async () => {
    const { talk, alice } = await crowded();
    expect((await page(alice, "member")).jids.length).toBe(5_000);
    const two = await page(alice, "member", "<max>2</max><index>7</index>");
    expect([two.jids.length, two.set]).toEqual([2, "7 of 5000"]);
    await talk.stop();
  });

  test("is told in pages where it is longer, forwards and backwards", async () => {
    const { talk, alice } = await crowded();
    const first = await page(alice, "outcast");
    expect(first.set).toBe("0 of 4999");
    expect(first.jids.length).toBeGreaterThan(400);
    expect(first.jids.length).toBeLessThan(500);
    const all = [...first.jids];
    while (all.length < 4_999) all.push(...(await page(alice, "outcast", `<after>${all.at(-1)}</after>`)).jids);
    expect(all.toSorted()).toEqual(names("outcast", 4_999));
    const last = await page(alice, "outcast", "<max>3</max><before/>");
    expect(last).toEqual({ jids: all.slice(-3), set: "4996 of 4999" });
    const end = await page(alice, "outcast", "<before/>");
    expect(end.jids).toEqual(all.slice(-end.jids.length));
    expect(end.set).toBe(`${4_999 - end.jids.length} of 4999`);
    expect((await page(alice, "outcast", "<max>0</max>")).set).toBe(" of 4999");
    expect((await page(alice, "outcast", "<after>nobody</after>")).set).toBe("iq error item-not-found");
    await talk.stop();
  });

  test("takes nobody more", async () => {
    const { talk, alice, bob } = await crowded();
    expect(told(await asks(alice, adminSet("<item jid='carol@localhost' affiliation='member'/>")))).toBe(
      "iq error resource-constraint",
    );
    await bob.receivesNothing();
    // Whoever is on it can be something else, and makes place.
    expect(told(await asks(alice, adminSet("<item jid='member0001@example.org' affiliation='outcast'/>")))).toBe(
      "iq result",
    );
    expect(told(await asks(alice, adminSet("<item jid='member0002@example.org' affiliation='none'/>")))).toBe(
      "iq result",
    );
    expect(told(await asks(alice, adminSet("<item jid='carol@localhost' affiliation='member'/>")))).toBe("iq result");
    await talk.stop();
  });
});
