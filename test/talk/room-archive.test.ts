/** The archives of rooms, as a module that has rooms uses them: `context.service("roomArchive")`. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { RoomArchiveService } from "../../src/hooks/services.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { StanzaError } from "../../src/stanza/errors.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { type Stanza, stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { type Element, parseElement } from "../../src/xml/element.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { failure, field, messageIn, mamNs as ns } from "../support/archive-talk.ts";
import { Conversation } from "../support/conversation.ts";

const room = parseJid("tea@conference.localhost")!;
const al = parseJid("alice@localhost/phone")!;
const bo = parseJid("bob@localhost/desk")!;
const rsm = "http://jabber.org/protocol/rsm";
const retract = "urn:xmpp:message-retract:1";

let talk: Conversation;
let archive: RoomArchiveService;

beforeEach(async () => {
  talk = await Conversation.start({ modules: [mam] });
  archive = talk.host.registry.service("roomArchive")!;
});
afterEach(async () => {
  await talk.stop();
});

function said(nick: string, inner: string, attributes = ""): Stanza {
  const from = nick === "" ? room.full : `${room.bare}/${nick}`;
  const text = `<message from='${from}' to='alice@localhost/phone' type='groupchat' ${attributes}>${inner}</message>`;
  return stanzaFromFrame(parseFrame(text, undefined, "jabber:client"))!;
}

/** Archives a message and waits until it is; its id. */
async function store(nick: string, sender: typeof al, inner: string, attributes = ""): Promise<string> {
  const stored = archive.store(room, sender, said(nick, inner, attributes))!;
  await talk.writes.flush();
  await stored.stored;
  await talk.clock.advance(10);
  return stored.id;
}

interface Answer {
  readonly messages: readonly Element[];
  readonly results: readonly Element[];
  readonly bodies: readonly string[];
  readonly fin: Element;
}

async function ask(payload: string, seesRealAddresses = false, type = "set"): Promise<Answer> {
  const text = `<iq type='${type}' id='q' from='carol@elsewhere.example/x' to='${room.bare}'>${payload}</iq>`;
  const request = stanzaFromFrame(parseFrame(text, undefined, "jabber:client"))!;
  const effects = await archive.answer(room, request, { seesRealAddresses });
  const stanzas: Element[] = [];
  for (const effect of effects) {
    if (effect.do === "route") stanzas.push(parseElement(effect.stanza.toXml(), "jabber:client"));
    if (effect.do === "reply") stanzas.push(parseElement(effect.payload.text, ns));
  }
  const fin = stanzas.pop()!;
  const results = stanzas.map((message) => message.child("result", ns)!);
  return { messages: stanzas, results, bodies: results.map((each) => messageIn(each).childText("body") ?? ""), fin };
}

const query = (fields = "", set = "") =>
  `<query xmlns='${ns}'><x xmlns='jabber:x:data' type='submit'>${fields}</x><set xmlns='${rsm}'>${set}</set></query>`;

describe("a room's archive", () => {
  test("answers with what occupants said, from their addresses in the room, to nobody", async () => {
    const id = await store(
      "Al",
      al,
      "<body>Hello</body><x xmlns='http://jabber.org/protocol/muc#user'><item jid='forged@x'/></x>",
      "id='m1'",
    );
    const { messages, results, fin } = await ask(query());
    expect([messages[0]!.attr("from"), messages[0]!.attr("to")]).toEqual([room.bare, "carol@elsewhere.example/x"]);
    expect(results[0]!.attr("id")).toBe(id);
    const message = messageIn(results[0]!);
    expect(["from", "to", "id", "type"].map((name) => message.attr(name))).toEqual([
      `${room.bare}/Al`,
      undefined,
      "m1",
      "groupchat",
    ]);
    expect(message.elements().map((element) => element.name)).toEqual(["body"]);
    expect([fin.attr("type"), fin.attr("from"), fin.child("fin", ns)!.attr("complete")]).toEqual([
      "result",
      room.bare,
      "true",
    ]);
  });

  test("names real addresses only to those who may see them", async () => {
    await store("Al", al, "<body>one</body>");
    await store("Bo", bo, "<body>two</body>");
    await store("Al", bo, "<body>three</body>");
    const known = await ask(query(), true);
    const jids = known.results.map((result) =>
      messageIn(result).child("x", "http://jabber.org/protocol/muc#user")!.child("item")!.attr("jid"),
    );
    expect(jids).toEqual([al.full, bo.full, bo.full]);
    expect((await ask(query(field("with", "bob@localhost")), true)).bodies).toEqual(["two", "three"]);
    expect(await failure(ask(query(field("with", "bob@localhost"))))).toContain("forbidden");
    expect((await ask(query(field("with", `${room.bare}/Al`)))).bodies).toEqual(["one", "three"]);
  });

  test("keeps subjects, and none of chat states, no-store or private addresses", async () => {
    await store("Al", al, "<subject>Tea</subject>");
    expect(
      archive.store(room, al, said("Al", "<composing xmlns='http://jabber.org/protocol/chatstates'/>")),
    ).toBeUndefined();
    expect(archive.store(room, al, said("Al", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>"))).toBeUndefined();
    const { results } = await ask(query());
    expect(results.map((result) => messageIn(result).childText("subject"))).toEqual(["Tea"]);
  });

  test("pages, searches, and tells its ends and its form", async () => {
    const ids: string[] = [];
    for (const text of ["one cup", "two cups", "three cups"]) ids.push(await store("Al", al, `<body>${text}</body>`));
    expect((await ask(query("", "<max>2</max><before/>"))).bodies).toEqual(["two cups", "three cups"]);
    expect((await ask(query(field("after-id", ids[1]!)))).bodies).toEqual(["three cups"]);
    expect((await ask(query(field("{urn:xmpp:fulltext:0}fulltext", "cups three")))).bodies).toEqual(["three cups"]);
    const { fin } = await ask(`<metadata xmlns='${ns}'/>`, false, "get");
    expect([fin.child("start", ns)!.attr("id"), fin.child("end", ns)!.attr("id")]).toEqual([ids[0], ids[2]]);
    const form = await ask(`<query xmlns='${ns}'/>`, false, "get");
    const fields = form.fin
      .elements()[0]!
      .elements()
      .map((element) => element.attr("var"));
    expect(fields).toContain("ids");
    expect(fields).not.toContain("include-groupchat");
    expect(await failure(ask(`<prefs xmlns='${ns}'/>`, false, "get"))).toContain("feature-not-implemented");
    expect(await failure(ask(query("", "<after>5</after>")))).toContain("item-not-found");
    expect(StanzaError).toBeDefined();
  });

  test("gives those who enter the newest, not before a time", async () => {
    const ids: string[] = [];
    const times: number[] = [];
    for (const text of ["a", "b", "c", "d"]) {
      times.push(talk.clock.now());
      ids.push(await store("Al", al, `<body>${text}</body>`));
    }
    const read = async (limit: number, since?: number) =>
      (await archive.history(room, limit, since)).map(({ id, at, stanza }) => [
        ids.indexOf(id),
        times.findLastIndex((time) => time <= at),
        stanza.text("body"),
      ]);
    expect(await read(2)).toEqual([
      [2, 2, "c"],
      [3, 3, "d"],
    ]);
    expect((await read(10, times[1]!)).map(([index]) => index)).toEqual([1, 2, 3]);
    expect((await archive.history(room, 10, undefined, times[2]!)).map(({ id }) => ids.indexOf(id))).toEqual([0, 1]);
    expect(await read(0)).toEqual([]);
    expect((await archive.get(room, ids[1]!))!.stanza.text("body")).toBe("b");
    expect([await archive.get(room, "5"), await archive.get(room, "x")]).toEqual([undefined, undefined]);
  });

  test("a retraction leaves a tombstone of the sender's own message, of nobody else's", async () => {
    const id = await store(
      "Al",
      al,
      "<body>oops</body><occupant-id xmlns='urn:xmpp:occupant-id:0' id='o1'/>",
      "id='m1'",
    );
    await store("Al", bo, `<retract xmlns='${retract}' id='${id}'/>`, "id='r0'");
    expect((await ask(query())).bodies).toEqual(["oops", ""]);
    await store("Al2", al, `<retract xmlns='${retract}' id='${id}'/>`, "id='r1'");
    const stone = messageIn((await ask(query())).results[0]!);
    expect(stone.elements().map((element) => element.name)).toEqual(["occupant-id", "retracted"]);
    expect(stone.child("retracted", retract)!.attr("id")).toBe("r1");
    expect((await ask(query())).results.length).toBe(3);
  });

  test("a moderator's retraction says who and why; an occupant cannot claim to be one", async () => {
    const id = await store("Al", al, "<body>spam</body>", "id='m1'");
    await store(
      "Bo",
      al,
      `<retract xmlns='${retract}' id='${id}'><moderated xmlns='urn:xmpp:message-moderate:1'/></retract>`,
      "id='r1'",
    );
    expect((await ask(query())).bodies).toEqual(["spam", ""]);
    expect(await archive.moderate(room, "17", { by: undefined })).toBe(false);
    expect(await archive.moderate(room, "what", { by: undefined })).toBe(false);
    const by = parseJid(`${room.bare}/Mo`)!;
    expect(await archive.moderate(room, id, { by, occupantId: "o9", reason: "spam & co" })).toBe(true);
    expect(await archive.moderate(room, id, { by })).toBe(false);
    const retracted = messageIn((await ask(query())).results[0]!).child("retracted", retract)!;
    const moderated = retracted.child("moderated", "urn:xmpp:message-moderate:1")!;
    expect([moderated.attr("by"), moderated.child("occupant-id", "urn:xmpp:occupant-id:0")!.attr("id")]).toEqual([
      by.full,
      "o9",
    ]);
    expect(retracted.childText("reason")).toBe("spam & co");
  });

  test("goes with its room, and forgets who has left the server", async () => {
    await store("Al", al, "<body>mine</body>");
    await store("Bo", bo, "<body>his</body>");
    const tables = (await talk.host.registry.askAll("personalData", al.toBare())).flat();
    const rows: unknown[][] = [];
    for await (const row of tables.find(({ name }) => name === "archive_rooms")!.rows()) rows.push([...row]);
    expect(rows.map((row) => row[2])).toEqual([room.bare]);
    for (const removed of talk.host.registry.accounts.removed) await removed(al.toBare());
    const left = await ask(query(), true);
    expect(left.bodies).toEqual(["mine", "his"]);
    expect(
      left.results.map(
        (result) => messageIn(result).child("x", "http://jabber.org/protocol/muc#user")?.elements().length,
      ),
    ).toEqual([undefined, 1]);
    await archive.remove(room);
    expect((await ask(query())).results).toEqual([]);
  });
});
