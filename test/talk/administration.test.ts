/** Administration by conversation: what is done in somebody's name is his as if a client of his had done it, and the log says who. */
import { afterEach, expect, test } from "bun:test";
import { findCommand } from "../../src/admin/catalogue.ts";
import { type AdminContext, readArguments } from "../../src/admin/command.ts";
import { type AdminLine, runCommand } from "../../src/admin/socket-api.ts";
import { carbons } from "../../src/modules/carbons.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { muc } from "../../src/modules/muc/muc.ts";
import { blocking } from "../../src/modules/privacy/blocking.ts";
import { createLog, silentLog } from "../../src/observe/log.ts";
import type { Jid } from "../../src/stanza/jid.ts";
import { query } from "../support/archive-talk.ts";
import { Conversation } from "../support/conversation.ts";

let talk: Conversation;
afterEach(async () => {
  await talk.stop();
});

const context = () =>
  ({
    router: talk.router,
    clock: talk.clock,
    random: { id: () => "given" },
    accounts: { exists: (account: Jid) => talk.accounts.has(account.local) },
    flushed: () => Promise.resolve(),
  }) as unknown as AdminContext;

async function run(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
  const command = findCommand("stanza", name)!;
  const done = Promise.resolve(command.run(context(), readArguments(command, args), () => undefined));
  // Writes are grouped by the clock.
  await talk.clock.advance(100);
  return done;
}

const hello = { from: "alice@localhost", to: "bob@localhost", body: "Hello" };

test("a message is in the archives of both, and its sender's devices get copies", async () => {
  talk = await Conversation.start({ modules: [mam, carbons] });
  const [phone, tablet, bob] = [
    await talk.online("alice@localhost/phone"),
    await talk.online("alice@localhost/tablet"),
    await talk.online("bob@localhost/desk"),
  ];
  for (const person of [phone, tablet]) {
    await person.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    await person.takes();
  }
  expect(await run("sendMessage", hello)).toEqual({ id: "given" });
  const [message] = await bob.takes();
  expect([message!.attr("from"), message!.childText("body")]).toEqual(["alice@localhost", "Hello"]);
  for (const person of [phone, tablet]) {
    const [copy] = await person.takes();
    expect(copy!.child("sent", "urn:xmpp:carbons:2")).toBeDefined();
  }
  expect((await query(bob)).bodies).toEqual(["Hello"]);
  expect((await query(phone)).bodies).toEqual(["Hello"]);
  const { stanzas } = (await run("getLastMessages", { caller: "alice@localhost" })) as { stanzas: unknown[] };
  expect(stanzas.length).toBe(1);
});

test("a message in the name of a device that is there is not copied to that device", async () => {
  talk = await Conversation.start({ modules: [mam, carbons] });
  const phone = await talk.online("alice@localhost/phone");
  await talk.online("alice@localhost/tablet");
  await talk.online("bob@localhost/desk");
  await phone.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  await phone.takes();
  await run("sendMessage", { ...hello, from: "alice@localhost/phone" });
  await phone.receivesNothing();
  expect((await query(phone)).bodies).toEqual(["Hello"]);
});

test("whom the account has blocked gets nothing in its name", async () => {
  talk = await Conversation.start({ modules: [mam, blocking] });
  const phone = await talk.online("alice@localhost/phone");
  const bob = await talk.online("bob@localhost/desk");
  await phone.sends("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block></iq>");
  await bob.takes();
  await run("sendMessage", hello);
  await bob.receivesNothing();
});

test("a room is made for accounts that exist only, and the log names both but nothing that is secret or said", async () => {
  talk = await Conversation.start({ modules: [muc] });
  const logged: Record<string, unknown>[] = [];
  const log = createLog("info", {
    pretty: false,
    destination: { write: (line) => void logged.push(JSON.parse(line)) },
  });
  const answer = async (command: string, args: Readonly<Record<string, unknown>>): Promise<AdminLine | undefined> => {
    let last: AdminLine | undefined;
    for await (const line of runCommand(context(), { category: "muc", command, args }, log)) last = line;
    return last;
  };
  const room = "den@conference.localhost";
  expect(await answer("createInstantRoom", { room, owner: "nobody@localhost/phone", nick: "N" })).toEqual({
    error: { code: "user_not_found", message: "There is no account nobody@localhost" },
  });
  await answer("enterRoom", { room, user: "bob@localhost/pc", nick: "Bob", password: "hush" });
  await answer("sendMessageToRoom", { room, from: "bob@localhost/pc", body: "between us" });
  expect(logged.map(({ level, time, ...fields }) => fields)).toEqual([
    { command: "muc createInstantRoom", room, owner: "nobody@localhost/phone", msg: "administration" },
    { command: "muc enterRoom", room, user: "bob@localhost/pc", msg: "administration" },
    { command: "muc sendMessageToRoom", room, from: "bob@localhost/pc", msg: "administration" },
  ]);
});

test("a list of all nodes names the one whose part is missing", async () => {
  talk = await Conversation.start({ modules: [] });
  await talk.login("alice@localhost/phone");
  const cluster = { everywhere: () => Promise.resolve({ parts: [2], silent: ["node-3"] }) };
  const asked = { category: "session", command: "countSessions", args: {} };
  const lines: AdminLine[] = [];
  for await (const line of runCommand({ ...context(), cluster } as unknown as AdminContext, asked, silentLog)) {
    lines.push(line);
  }
  expect(lines).toEqual([{ note: "node node-3 has not answered in time: its part is missing" }, { result: 3 }]);
});
