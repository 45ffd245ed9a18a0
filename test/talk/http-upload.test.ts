/** XEP-0363: slots. What becomes of the files is in http-upload-files.test.ts. */
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UploadStore } from "../../src/modules/http-upload/upload-store.ts";
import { Jid } from "../../src/stanza/jid.ts";
import { eventually } from "../support/eventually.ts";
import { filesBelow, UploadTalk } from "../support/upload-talk.ts";

const day = 86_400_000;
const alice = Jid.of("alice", "localhost", "");
let running: UploadTalk | undefined;

async function start(...args: Parameters<typeof UploadTalk.start>): Promise<UploadTalk> {
  running = await UploadTalk.start(...args);
  return running;
}

afterEach(async () => {
  await running?.stop();
  running = undefined;
});

test("the service is among the items of the host and says its largest file", async () => {
  const { talk } = await start({ max_file_size: 5_242_880 });
  const person = await talk.login("alice@localhost/desk");
  await person.sends(
    "<iq type='get' id='1' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
  );
  await person.receives(
    "<iq type='result' id='1' from='localhost' to='alice@localhost/desk'><query xmlns='http://jabber.org/protocol/disco#items'>" +
      "<item jid='upload.localhost'/></query></iq>",
  );
  await person.sends(
    "<iq type='get' id='2' to='upload.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
  );
  await person.receives(
    "<iq type='result' id='2' from='upload.localhost' to='alice@localhost/desk'><query xmlns='http://jabber.org/protocol/disco#info'>" +
      "<identity category='store' type='file' name='HTTP File Upload'/>" +
      "<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>" +
      "<feature var='urn:xmpp:http:upload:0'/><feature var='urn:xmpp:http:upload:purpose:0#message'/>" +
      "<feature var='urn:xmpp:http:upload:purpose:0#ephemeral'/><feature var='urn:xmpp:ping'/>" +
      "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:http:upload:0</value></field>" +
      "<field var='max-file-size'><value>5242880</value></field></x></query></iq>",
  );
});

test("no file can be larger than all files of an account together, and the service says so", async () => {
  const { talk } = await start({ max_file_size: 5_000, quota: 3_000 });
  const person = await talk.login("alice@localhost/desk");
  await person.sends(
    "<iq type='get' id='2' to='upload.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
  );
  expect((await person.takes())[0]!.toXml()).toContain("<value>3000</value>");
});

test("a slot has two URLs, with the name in ASCII, and no headers", async () => {
  const { talk } = await start();
  const person = await talk.login("alice@localhost/desk");
  await person.sends(
    "<iq type='get' id='step_03' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='très cool.jpg' size='23456' content-type='image/jpeg'/></iq>",
  );
  const [answer] = await person.takes();
  expect([answer!.attr("type"), answer!.attr("from"), answer!.attr("id")]).toEqual([
    "result",
    "upload.localhost",
    "step_03",
  ]);
  const slot = answer!.child("slot", "urn:xmpp:http:upload:0")!;
  const put = slot.child("put", "urn:xmpp:http:upload:0")!;
  const get = slot.child("get", "urn:xmpp:http:upload:0")!;
  expect(put.elements()).toEqual([]);
  expect(get.attr("url")).toMatch(/^http:\/\/localhost:5280\/upload\/[^/]+\/tr%C3%A8s%20cool\.jpg$/);
  expect(put.attr("url")).toStartWith(`${get.attr("url")}?slot=`);
});

test("who is no account of the host gets no slot", async () => {
  const { talk } = await start();
  const request = "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/>";
  const strangers = [
    "mallory@elsewhere.example/x",
    "elsewhere.example",
    "localhost",
    "upload.localhost",
    "nobody@localhost/x",
  ];
  const answers: string[] = [];
  talk.router.domains.set("elsewhere.example", (stanza) => {
    answers.push(stanza.toXml());
    return undefined;
  });
  for (const from of strangers) {
    await talk.arrives(`<iq type='get' id='1' from='${from}' to='upload.localhost'>${request}</iq>`);
  }
  expect(answers).toHaveLength(2);
  for (const answer of answers) expect(answer).toContain("<forbidden");
  expect(
    await talk.store.tables<{ http_upload: { token: string } }>().selectFrom("http_upload").selectAll().execute(),
  ).toEqual([]);
});

test("the access rule decides among the accounts", async () => {
  const upload = await start({ access: "uploaders" }, { access: { uploaders: "deny" } });
  const person = await upload.talk.login("alice@localhost/desk");
  const answer = await upload.asks(person, "a.txt", 1);
  expect(answer).toContain("type='auth'");
  expect(answer).toContain("<forbidden");
});

test("a file that is too large is refused with the largest size", async () => {
  const { talk } = await start({ max_file_size: 20_000 });
  const person = await talk.login("alice@localhost/desk");
  await person.sends(
    "<iq type='get' id='1' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a.jpg' size='23456'/></iq>",
  );
  await person.receives(
    "<iq type='error' id='1' from='upload.localhost' to='alice@localhost/desk'><error type='modify'>" +
      "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
      "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>File too large. The maximum file size is 20000 bytes</text>" +
      "<file-too-large xmlns='urn:xmpp:http:upload:0'><max-file-size>20000</max-file-size></file-too-large></error></iq>",
  );
});

test("requests that are none are refused by the right name", async () => {
  const upload = await start();
  const person = await upload.talk.login("alice@localhost/desk");
  for (const size of ["0", "-1", "1.5", "1e3", "0x10", " 1", "", "99999999999999999999", "NaN"]) {
    expect(await upload.asks(person, "a.txt", size)).toContain("<bad-request");
  }
  expect(await upload.asks(person, "", 1)).toContain("<bad-request");
  await person.sends(
    "<iq type='get' id='1' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a'/></iq>",
  );
  expect((await person.takes())[0]!.toXml()).toContain("<bad-request");
  const strange = [
    "..",
    ".",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "a&#10;b",
    "photo\u202egpj.exe",
    "x".repeat(256),
    "ü".repeat(128),
  ];
  for (const name of strange) {
    const escaped = name.replace("&#10;", "\n");
    await person.sends(
      `<iq type='get' id='1' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='${name}' size='1'/></iq>`,
    );
    const answer = (await person.takes())[0]!.toXml();
    expect([escaped, /<not-acceptable/.test(answer)]).toEqual([escaped, true]);
  }
  for (const type of ["text", "text/html\nx", "a/b/c", 'text/plain; x="\u0001"', `a/${"b".repeat(300)}`]) {
    expect(await upload.asks(person, "a.txt", 1, type)).toContain("<not-acceptable");
  }
});

test("what is no request of a client's is answered as nothing is there", async () => {
  const { talk } = await start();
  const person = await talk.login("alice@localhost/desk");
  const request = "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/>";
  for (const [type, to] of [
    ["set", "upload.localhost"],
    ["get", "x@upload.localhost"],
    ["get", "upload.localhost/x"],
  ]) {
    await person.sends(`<iq type='${type}' id='1' to='${to}'>${request}</iq>`);
    expect((await person.takes())[0]!.toXml()).toContain("<service-unavailable");
  }
  await person.sends("<message to='upload.localhost'><body>hello</body></message>");
  expect((await person.takes())[0]!.toXml()).toContain("<service-unavailable");
});

test("over the quota a slot is refused until files have expired, and the answer says when", async () => {
  const upload = await start({ quota: 2_000, max_file_size: 2_000, file_expiry: 10 });
  const person = await upload.talk.login("alice@localhost/desk");
  const started = upload.talk.clock.now();
  await upload.uploads(person, "a.txt", "a".repeat(1_500));
  await upload.talk.clock.leap(day);
  await upload.uploads(person, "b.txt", "b".repeat(400));
  const refusal = await upload.asks(person, "c.txt", 700);
  expect(refusal).toContain("type='wait'");
  expect(refusal).toContain("<resource-constraint");
  const [, stamp] = /<retry xmlns='urn:xmpp:http:upload:0' stamp='([^']*Z)'/.exec(refusal)!;
  expect(Math.abs(Date.parse(stamp!) - (started + 10 * day))).toBeLessThan(5_000);
  // Nothing of the refused one is left.
  expect(await upload.asks(person, "d.txt", 100)).toContain("<slot");
  // Others have a quota of their own.
  const bob = await upload.talk.login("bob@localhost/desk");
  expect(await upload.asks(bob, "c.txt", 700)).toContain("<slot");
  await upload.talk.clock.leap(Date.parse(stamp!) - upload.talk.clock.now() + 1);
  expect(await upload.asks(person, "c.txt", 700)).toContain("<slot");
});

test("slots count as files until their time is over, so that nobody collects them", async () => {
  const upload = await start({ max_files: 3, expiration_time: 60 });
  const person = await upload.talk.login("alice@localhost/desk");
  for (let number = 0; number < 3; number++) expect(await upload.asks(person, "a.txt", 1)).toContain("<slot");
  expect(await upload.asks(person, "a.txt", 1)).toContain("<resource-constraint");
  await upload.talk.clock.leap(2 * 3_600_000);
  expect(await upload.asks(person, "a.txt", 1)).toContain("<slot");
});

test("two requests at once do not both get the last that fits", async () => {
  const upload = await start({ quota: 2_000, max_file_size: 2_000 });
  const [desk, phone] = [
    await upload.talk.login("alice@localhost/desk"),
    await upload.talk.login("alice@localhost/phone"),
  ];
  const answers = await Promise.all([upload.asks(desk, "a", 1_500), upload.asks(phone, "b", 1_500)]);
  expect(answers.filter((answer) => answer.includes("<slot")).length).toBeLessThan(2);
});

test("an ephemeral file is gone at the time its owner has said", async () => {
  const upload = await start();
  const person = await upload.talk.login("alice@localhost/desk");
  const at = new Date(upload.talk.clock.now() + 3_600_000).toISOString();
  const wanted = `<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='${at}'/>`;
  const answer = await upload.asks(person, "story.txt", 3, undefined, wanted);
  const put = /<put url=['"]([^'"]*)/.exec(answer)![1]!;
  const get = /<get url=['"]([^'"]*)/.exec(answer)![1]!;
  expect((await upload.put(put, "abc")).status).toBe(201);
  expect((await upload.get(get)).status).toBe(200);
  await upload.talk.clock.leap(3_600_001);
  expect((await upload.get(get)).status).toBe(404);
  for (const time of ["yesterday", "", "2001-01-01T00:00:00Z"]) {
    const bad = `<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='${time}'/>`;
    expect(await upload.asks(person, "s", 3, undefined, bad)).toMatch(/<(bad-request|not-acceptable)/);
  }
});

test("an account takes its files with it, and they are listed before", async () => {
  const upload = await start();
  const person = await upload.talk.login("alice@localhost/desk");
  const bob = await upload.talk.login("bob@localhost/desk");
  const gone = await upload.uploads(person, "résumé.txt", "about me", "text/plain");
  const kept = await upload.uploads(bob, "b.txt", "about Bob");
  await upload.slot(person, "never.txt", 5);
  const { registry } = upload.talk.host;
  const rows: unknown[] = [];
  for (const table of (await registry.askAll("personalData", alice)).flat()) {
    for await (const row of table.rows()) rows.push(row.slice(0, 5));
  }
  expect(rows).toEqual([
    ["résumé.txt", gone, 8, "text/plain", "stored"],
    ["never.txt", expect.any(String), 5, null, "slot"],
  ]);
  for (const handler of registry.accounts.removed) await handler(alice);
  expect((await upload.get(gone)).status).toBe(404);
  expect((await upload.get(kept)).status).toBe(200);
  expect(filesBelow(join(upload.folder, "uploads"))).toHaveLength(1);
  const left = await upload.talk.store
    .tables<{ http_upload: { username: string } }>()
    .selectFrom("http_upload")
    .select("username")
    .execute();
  expect(left).toEqual([{ username: "bob" }]);
});

test("a file that cannot be removed is told without what it could be read by", async () => {
  const upload = await start();
  const person = await upload.talk.login("alice@localhost/desk");
  const slot = await upload.slot(person, "stays.bin", 5);
  const token = new URL(slot.get).pathname.split("/")[2]!;
  mkdirSync(join(upload.folder, "uploads", token.slice(0, 2), token), { recursive: true });
  for (const handler of upload.talk.host.registry.accounts.removed) await handler(alice);
  const [warning] = upload.talk.warnings;
  expect(warning!.fields).toEqual({ reason: "ERR_FS_EISDIR", token: `${token.slice(0, 8)}…` });
});

test("the operator has slots of his own, which are nobody's", async () => {
  const upload = await start({ max_file_size: 1_024, max_files: 1, file_expiry: 1 });
  const service = upload.talk.host.registry.service("uploads")!;
  for (let number = 0; number < 3; number++) {
    const slot = await service.operatorSlot("rules.txt", 5, "text/plain", 1_000_000);
    await upload.talk.clock.leap(900_000);
    expect((await upload.put(slot.putUrl, "rules")).status).toBe(201);
    expect(await (await upload.get(slot.getUrl)).text()).toBe("rules");
  }
  for (const [name, size, type] of [
    ["../x", 5, undefined],
    ["x", 0, undefined],
    ["x", 2_000, undefined],
    ["x", 5, "no type"],
  ] as const) {
    await expect(service.operatorSlot(name, size, type, 1_000)).rejects.toThrow();
  }
  const person = await upload.talk.login("alice@localhost/desk");
  expect(await upload.asks(person, "a.txt", 1)).toContain("<slot");
  for (const handler of upload.talk.host.registry.accounts.removed) await handler(alice);
  expect(filesBelow(join(upload.folder, "uploads"))).toHaveLength(3);
  await upload.talk.clock.leap(day);
  await eventually(20_000, async () => {
    await upload.talk.clock.leap(70_000);
    expect(filesBelow(join(upload.folder, "uploads"))).toEqual([]);
  });
});

test("what a node that died was receiving is removed", async () => {
  const upload = await start();
  const person = await upload.talk.login("alice@localhost/desk");
  const slot = await upload.slot(person, "half.bin", 5);
  const token = new URL(slot.get).pathname.split("/")[2]!;
  // As the other node left it: claimed, half of it written.
  expect(await new UploadStore(upload.talk.store).claim(token, upload.talk.clock.now())).toBe(true);
  const folder = join(upload.folder, "uploads", token.slice(0, 2));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${token}.part`), "ha");
  expect((await upload.put(slot.put, "whole")).status).toBe(409);
  await upload.talk.clock.leap(2 * 3_600_000);
  await eventually(20_000, async () => {
    await upload.talk.clock.leap(70_000);
    expect(filesBelow(join(upload.folder, "uploads"))).toEqual([]);
    expect((await upload.get(slot.get)).status).toBe(404);
  });
});

test("what is over is removed from the disk, many files step by step", async () => {
  const upload = await start({ file_expiry: 1, max_files: 500 });
  const person = await upload.talk.login("alice@localhost/desk");
  for (let number = 0; number < 60; number++) await upload.uploads(person, `${number}.txt`, "x");
  await upload.slot(person, "never.txt", 5);
  expect(filesBelow(join(upload.folder, "uploads"))).toHaveLength(60);
  await upload.talk.clock.leap(day);
  const late = await upload.uploads(person, "late.txt", "y");
  const count = async () =>
    (
      await upload.talk.store
        .tables<{ http_upload: { token: string } }>()
        .selectFrom("http_upload")
        .select("token")
        .execute()
    ).length;
  await eventually(20_000, async () => {
    await upload.talk.clock.leap(70_000);
    expect(await count()).toBe(1);
  });
  expect(filesBelow(join(upload.folder, "uploads"))).toHaveLength(1);
  expect((await upload.get(late)).status).toBe(200);
});
