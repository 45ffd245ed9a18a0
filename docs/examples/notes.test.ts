/** The worked example of docs/module-guide.md, in conversation. */
import { afterEach, expect, test } from "bun:test";
import { disco } from "../../src/modules/disco.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { Conversation, type Person } from "../../test/support/conversation.ts";
import { checkedNote, notes } from "./notes.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function begin(options: Record<string, unknown> = {}): Promise<Person> {
  talk = await Conversation.start({ modules: [notes, disco], options: { mod_example_notes: options } });
  return talk.login("alice@localhost/phone");
}

const ns = "urn:example:notes:0";
const done = "<iq type='result' id='1' from='alice@localhost' to='alice@localhost/phone'/>";
const write = (title: string, body: string) =>
  `<iq type='set' id='1'><note xmlns='${ns}' title='${title}'>${body}</note></iq>`;

async function has(person: Person, items: string) {
  await person.sends(`<iq type='get' id='2'><notes xmlns='${ns}'/></iq>`);
  const { account, jid } = person.session;
  await person.receives(
    `<iq type='result' id='2' from='${account.bare}' to='${jid.full}'><notes xmlns='${ns}'>${items}</notes></iq>`,
  );
}

async function isRefused(person: Person, text: string, condition: string) {
  await person.sends(text);
  const [answer, ...more] = await person.takes();
  expect(answer?.attr("type")).toBe("error");
  expect(answer?.child("error")?.firstElement()?.name).toBe(condition);
  expect(more).toEqual([]);
}

test("a note is written, written over and removed, and is its owner's alone", async () => {
  const alice = await begin();
  const bob = await talk.login("bob@localhost/desk");
  await has(alice, "");
  await alice.sends(write("milk", "two &amp; a half"));
  await alice.receives(done);
  await alice.sends(write("bread", "one"));
  await alice.receives(done);
  await has(alice, "<note title='bread'>one</note><note title='milk'>two &amp; a half</note>");
  await has(bob, "");
  await isRefused(bob, `<iq type='get' id='3' to='alice@localhost'><notes xmlns='${ns}'/></iq>`, "service-unavailable");

  await alice.sends(write("milk", "three"));
  await alice.receives(done);
  await alice.sends(write("bread", ""));
  await alice.receives(done);
  await has(alice, "<note title='milk'>three</note>");
});

test("limits have the errors they are documented with", async () => {
  const alice = await begin({ max_notes: 1, max_note_size: 5 });
  await isRefused(alice, write("", "text"), "bad-request");
  await isRefused(alice, write("a", "longer"), "policy-violation");
  await alice.sends(write("a", "12345"));
  await alice.receives(done);
  await isRefused(alice, write("b", "12345"), "resource-constraint");
  await alice.sends(write("a", "54321"));
  await alice.receives(done);
  await has(alice, "<note title='a'>54321</note>");
});

test("a marked message is kept and goes on without its mark; its acknowledgement waits for the commit", async () => {
  const alice = await begin();
  const bob = await talk.online("bob@localhost/desk");
  await bob.takes();
  const marked = (body: string) =>
    `<message type='chat' id='m' to='bob@localhost/desk'>${body}<keep xmlns='${ns}' title='said'/></message>`;
  await alice.sends(marked("<body>Shall we?</body>"));
  await bob.receives(
    "<message type='chat' id='m' from='alice@localhost/phone' to='bob@localhost/desk'><body>Shall we?</body></message>",
  );
  expect(alice.secured).toHaveLength(1);
  await Promise.all(alice.secured);
  await has(alice, "<note title='said'>Shall we?</note>");

  await isRefused(alice, marked(""), "bad-request");
  await bob.receivesNothing();
});

test("where messages are not kept, the mark is none of our business", async () => {
  const alice = await begin({ keep_messages: false });
  const bob = await talk.online("bob@localhost/desk");
  await bob.takes();
  const message = (from: string) =>
    `<message id='m' ${from} to='bob@localhost/desk'><body>x</body><keep xmlns='${ns}' title='t'/></message>`;
  await alice.sends(message(""));
  await bob.receives(message("from='alice@localhost/phone'"));
  await has(alice, "");
});

test("service discovery names the feature", async () => {
  const alice = await begin();
  await alice.sends("<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  const [answer] = await alice.takes();
  const features = answer!.firstElement()!.childrenNamed("feature");
  expect(features.map((feature) => feature.attr("var"))).toContain(ns);
});

test("whoever asks what is kept of him gets his notes", async () => {
  const alice = await begin();
  await alice.sends(write("milk", "two"));
  await alice.receives(done);
  const [table] = (await talk.host.registry.ask("personalData", parseJid("alice@localhost")!))!;
  const rows: unknown[] = [];
  for await (const row of table!.rows()) rows.push(row);
  expect(table!.columns).toEqual(["title", "body", "changed_at"]);
  expect(rows).toEqual([["milk", "two", expect.stringContaining("T00:00:00.")]]);
});

test("an account that is removed leaves no notes behind", async () => {
  const alice = await begin();
  await alice.sends(write("milk", "two"));
  await alice.receives(done);
  for (const removed of talk.host.registry.accounts.removed) await removed(parseJid("alice@localhost")!);
  await has(alice, "");
});

test("titles are counted in characters, bodies in bytes", () => {
  expect(checkedNote("😀".repeat(100), "é", 2)).toEqual({ title: "😀".repeat(100), body: "é" });
  expect(() => checkedNote("x".repeat(101), "", 2)).toThrow("bad-request");
  expect(() => checkedNote("t", "éé", 3)).toThrow("policy-violation");
  expect(() => checkedNote(undefined, "", 3)).toThrow("bad-request");
});
