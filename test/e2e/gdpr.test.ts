/**
 * What the server keeps of a person, on each kind of database: everything is exported, and nothing is left when the account goes. A person fills every
 * table there is, through the protocol; a table that nobody fills fails the test, so one that is new has to be dealt with here.
 */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
// @ts-expect-error: the library brings no types
import { parse } from "ltx";
import { catalogue } from "../../src/modules/catalogue.ts";
import { ownerWord } from "../../src/modules/mam/archive-tables.ts";
import type { Store } from "../../src/store/store.ts";
import { eachDatabase, openTestStore, type TestDatabase } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { onRequest, startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";
import { XmppJs } from "../support/xmpp-js.ts";
import { readZip } from "../support/zip.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;
type Row = Readonly<Record<string, unknown>>;

/** Her name, and a word that is in everything she writes; neither may be found anywhere afterwards. */
const name = "zeldaquux";
const word = "quuxtext";
const zelda = `${name}@localhost`;
const bob = "bob@localhost";
const forms = "jabber:x:data";
const pubsubNs = "http://jabber.org/protocol/pubsub";

/** Tables without anything of a person, each with the reason. */
const impersonal: Readonly<Record<string, string>> = {
  schema_migrations: "which migrations have run",
  server_secrets: "secrets of the server",
  archive_cleanup: "when archives are cleaned next, by domain",
  cluster_nodes: "the nodes of a cluster",
  cluster_incarnations: "the counter of the cluster",
  muc_vcards: "pictures of rooms",
};

/** What others keep of her for themselves, and what is said in rooms: by table, the rows that may stay. */
const ofOthers: Readonly<Record<string, (row: Row) => boolean>> = {
  rosterusers: (row) => row.username === "bob",
  archive_messages: (row) => row.owner === bob || (String(row.owner).startsWith("den@") && !mentions(row, name)),
  inbox: (row) => row.username === "bob",
  muc_rooms: (row) => !mentions(row, name),
  offline_messages: (row) => row.username === "bob",
  // SQLite's index of words: those of his archive and of the room; `pagesOfHers` looks for hers.
  archive_words: (row) => !mentions(row, name),
  archive_words_data: (row) => !mentions(row, name),
};

const mentions = (row: Row, text: string): boolean =>
  Object.values(row).some((value) => textOf(value).toLowerCase().includes(text));

function textOf(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value);
}

/** Every table of the database with all its rows. */
async function everything(store: Store, { dialect }: TestDatabase): Promise<Map<string, Row[]>> {
  const db = store.tables<Any>();
  const names = {
    sqlite: sql<{ name: string }>`select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`,
    postgres: sql<{
      name: string;
    }>`select table_name as name from information_schema.tables where table_schema = current_schema()`,
    mysql: sql<{
      name: string;
    }>`select table_name as name from information_schema.tables where table_schema = database()`,
  }[dialect];
  const tables = new Map<string, Row[]>();
  for (const { name: table } of (await names.execute(db)).rows) {
    tables.set(table, (await sql<Row>`select * from ${sql.table(table)}`.execute(db)).rows);
  }
  return tables;
}

/** How many pages of SQLite's index of words have the one of her archive, be it marked as deleted; elsewhere the index is part of the rows. */
function pagesOfHers(tables: ReadonlyMap<string, readonly Row[]>): number {
  // Words share their beginnings with those before them.
  const end = ownerWord(zelda).slice(4);
  return (tables.get("archive_words_data") ?? []).filter((row) => mentions(row, end)).length;
}

/** Where she is mentioned, and may not be. */
function traces(tables: ReadonlyMap<string, readonly Row[]>): string[] {
  const found: string[] = [];
  for (const [table, rows] of tables) {
    for (const row of rows) {
      if (!mentions(row, name) && !mentions(row, word)) continue;
      if (ofOthers[table]?.(row) === true) continue;
      found.push(`${table}: ${JSON.stringify(row, (_, value) => (typeof value === "bigint" ? String(value) : value))}`);
    }
  }
  return found;
}

async function open(server: TestServer, username: string, password = "secret"): Promise<XmppJs> {
  const client = new XmppJs({
    service: `xmpps://localhost:${server.tlsPort}`,
    resource: `${word}-desk`,
    credentials: async (authenticate: Any, _mechanisms: string[], fast: Any) => {
      // So that there are tokens.
      if (fast != null) fast.saveToken = async () => {};
      const agent = parse(`<user-agent id='${randomUUID()}'/>`);
      await authenticate({ username, password }, "SCRAM-SHA-1", agent);
    },
  });
  await client.start();
  await client.send(parse("<presence/>"));
  return client;
}

let ids = 0;
const asks = (client: XmppJs, type: "get" | "set", to: string | undefined, payload: string): Promise<Any> =>
  client.request(parse(`<iq type='${type}' id='q${++ids}'${to === undefined ? "" : ` to='${to}'`}>${payload}</iq>`));
const form = (type: string, fields: Record<string, string>): string => {
  const all = Object.entries({ FORM_TYPE: type, ...fields });
  return `<x xmlns='${forms}' type='submit'>${all.map(([key, value]) => `<field var='${key}'><value>${value}</value></field>`).join("")}</x>`;
};

/** Does whatever makes the server keep something of her. */
async function live(server: TestServer): Promise<{ upload: string }> {
  const she = await open(server, name);
  const he = await open(server, "bob");
  const contact = (jid: string, called: string) =>
    `<query xmlns='jabber:iq:roster'><item jid='${jid}' name='${called}'><group>${called}</group></item></query>`;
  await asks(she, "set", undefined, contact(bob, word));
  await asks(he, "set", undefined, contact(zelda, "Zelda"));
  for (const [from, to, address] of [
    [she, he, bob],
    [he, she, zelda],
  ] as const) {
    await from.send(parse(`<presence type='subscribe' to='${address}'/>`));
    await to.receives("a request", (stanza) => stanza.is("presence") && stanza.attrs.type === "subscribe");
    await to.send(parse(`<presence type='subscribed' to='${address === bob ? zelda : bob}'/>`));
    await from.receives("the answer", (stanza) => stanza.is("presence") && stanza.attrs.type === "subscribed");
  }
  await asks(she, "set", undefined, `<vCard xmlns='vcard-temp'><FN>${word}</FN></vCard>`);
  await asks(
    she,
    "set",
    undefined,
    `<query xmlns='jabber:iq:private'><note xmlns='urn:example:${word}'>${word}</note></query>`,
  );
  await asks(she, "set", undefined, `<block xmlns='urn:xmpp:blocking'><item jid='${word}@blocked.example'/></block>`);
  await asks(
    she,
    "set",
    undefined,
    `<prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never><jid>${word}@never.example</jid></never></prefs>`,
  );
  await asks(she, "set", undefined, `<enable xmlns='urn:xmpp:push:0' jid='push.example' node='${word}'/>`);

  // Publish and subscribe: nodes of her own, on the service, and a subscription to one of his.
  const item = `<item id='${word}'><entry xmlns='urn:example:entry'>${word}</entry></item>`;
  await asks(
    she,
    "set",
    undefined,
    `<pubsub xmlns='${pubsubNs}'><publish node='${word}:own'>${item}</publish></pubsub>`,
  );
  for (const [client, node] of [
    [she, word],
    [he, "bobs"],
  ] as const) {
    const open = form("http://jabber.org/protocol/pubsub#node_config", {
      "pubsub#access_model": "open",
      "pubsub#publish_model": "open",
    });
    const create = `<pubsub xmlns='${pubsubNs}'><create node='${node}'/><configure>${open}</configure></pubsub>`;
    await asks(client, "set", "pubsub.localhost", create);
    const publish = `<pubsub xmlns='${pubsubNs}'><publish node='${node}'>${item}</publish></pubsub>`;
    await asks(she, "set", "pubsub.localhost", publish);
  }
  await asks(
    she,
    "set",
    "pubsub.localhost",
    `<pubsub xmlns='${pubsubNs}'><subscribe node='bobs' jid='${zelda}'/></pubsub>`,
  );

  // A file.
  const request = `<request xmlns='urn:xmpp:http:upload:0' filename='${word}.txt' size='${word.length}'/>`;
  const slot = (await asks(she, "get", "upload.localhost", request)).getChild("slot");
  const upload: string = slot.getChild("get").attrs.url;
  expect((await fetch(slot.getChild("put").attrs.url, { method: "PUT", body: word })).status).toBe(201);

  // A room of his: she is a member, has a nickname, says something and sets the subject.
  const den = "den@conference.localhost";
  await he.send(parse(`<presence to='${den}/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>`));
  await he.receives("his own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === `${den}/bob`);
  const room = form("http://jabber.org/protocol/muc#roomconfig", {
    "muc#roomconfig_persistentroom": "1",
    "muc#roomconfig_changesubject": "1",
  });
  await asks(he, "set", den, `<query xmlns='http://jabber.org/protocol/muc#owner'>${room}</query>`);
  await asks(he, "set", den, "<vCard xmlns='vcard-temp'><FN>Den</FN></vCard>");
  const nick = form("http://jabber.org/protocol/muc#register", { "muc#register_roomnick": `${word}nick` });
  await asks(she, "set", den, `<query xmlns='jabber:iq:register'>${nick}</query>`);
  await asks(
    she,
    "set",
    "conference.localhost",
    `<query xmlns='jabber:iq:register'>${form("http://jabber.org/protocol/muc#register", { "muc#register_roomnick": `${word}service` })}</query>`,
  );
  await asks(
    he,
    "set",
    den,
    `<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='admin' jid='${zelda}'><reason>${word}</reason></item></query>`,
  );
  await she.send(parse(`<presence to='${den}/${word}nick'><x xmlns='http://jabber.org/protocol/muc'/></presence>`));
  await he.receives("her presence", (stanza) => stanza.is("presence") && stanza.attrs.from === `${den}/${word}nick`);
  await she.send(parse(`<message type='groupchat' to='${den}'><body>${word} in the den</body></message>`));
  await he.message(`${word} in the den`);
  await she.send(parse(`<message type='groupchat' to='${den}'><subject>${word}</subject></message>`));
  await he.receives("the subject", (stanza) => stanza.getChildText("subject") === word);

  // Her nickname with the service of another host.
  await asks(
    she,
    "set",
    "conference.other.example",
    `<query xmlns='jabber:iq:register'>${form("http://jabber.org/protocol/muc#register", { "muc#register_roomnick": `${word}guest` })}</query>`,
  );

  // A group of her own without presence, and somebody she does not want to be added by.
  const light = "urn:xmpp:muclight:0";
  const group = `<configuration><roomname>${word}</roomname></configuration><occupants/>`;
  await asks(she, "set", `${word}@muclight.localhost`, `<query xmlns='${light}#create'>${group}</query>`);
  const deny = `<user action='deny'>${word}@blocked.example</user>`;
  await asks(she, "set", "muclight.localhost", `<query xmlns='${light}#blocking'>${deny}</query>`);

  // Messages between the two, her last words, and one that waits for her.
  await she.send(parse(`<message type='chat' id='m1' to='${bob}'><body>${word} to him</body></message>`));
  await he.message(`${word} to him`);
  await he.send(parse(`<message type='chat' id='m2' to='${zelda}'><body>an answer with ${word}</body></message>`));
  await she.message(`an answer with ${word}`);
  await she.send(
    parse(`<message type='chat' to='${bob}'><displayed xmlns='urn:xmpp:chat-markers:0' id='m2'/></message>`),
  );
  await she.send(parse(`<presence type='unavailable'><status>${word} away</status></presence>`));
  await she.caughtUp();
  await she.stop();
  await he.receives("her leaving", (stanza) => stanza.is("presence") && String(stanza).includes(`${word} away`));
  await he.send(parse(`<message type='chat' id='m3' to='${zelda}'><body>${word} for later</body></message>`));
  await he.caughtUp();
  await he.stop();
  return { upload };
}

await eachDatabase(describe, (database) => {
  test("everything of a person is exported, and nothing of it is left when the account goes", async () => {
    const fresh = await database.fresh();
    const options: Readonly<Record<string, string>> = {
      mod_mam: 'user_prefs_store = "rdbms"\n[modules.mod_mam.pm]\n[modules.mod_mam.muc]',
      mod_roster: "versioning = true",
      mod_muc_light: '[[modules.mod_muc_light.config_schema]]\nfield = "roomname"\nstring_value = "Untitled"',
    };
    const modules = catalogue
      .filter((module) => module.name === "mod_mam" || !onRequest.includes(module.name))
      .map((module) => `[modules.${module.name}]\n${options[module.name] ?? ""}`)
      .join("\n");
    const hosts = ["localhost", "other.example"];
    const server = await startServer({ hosts, modules, database: connectionToml(fresh), alone: true });
    const store = await openTestStore(fresh.settings);
    try {
      for (const username of [name, "bob"]) await server.register(username);
      const { upload } = await live(server);

      await eventually(20_000, async () => {
        const empty: string[] = [];
        for (const [table, rows] of await everything(store, database)) {
          // What SQLite keeps an index in; scanned below all the same.
          if (table in impersonal || /^archive_words(_|$)/.test(table)) continue;
          if (!rows.some((row) => mentions(row, name) || mentions(row, word))) empty.push(table);
        }
        expect(empty).toEqual([]);
      });

      const before = await everything(store, database);
      if (database.dialect === "sqlite") expect(pagesOfHers(before)).toBeGreaterThan(0);
      const zip = join(server.dataDir, "zelda.zip");
      const where = ["--username", name, "--domain", "localhost", "--resultFilepath", zip];
      const report = (await server.ctl("gdpr", "retrievePersonalData", ...where)) as { rows: Record<string, number> };
      const files = readZip(readFileSync(zip));
      expect(Object.keys(report.rows).sort()).toEqual([...files.keys()].map((file) => file.replace(".csv", "")).sort());
      const empty = Object.entries(report.rows).filter(
        ([table, rows]) => rows === 0 && !table.endsWith("(other.example)"),
      );
      expect(empty).toEqual([]);
      expect(report.rows["muc_registered (other.example)"]).toBe(1);
      expect([...files.keys()].sort()).toEqual(expected.map((table) => `${table}.csv`).sort());
      for (const [file, text] of files) {
        if (!["account.csv", "login_tokens.csv", "muc_light_occupants.csv"].includes(file) && !file.includes("(other"))
          expect([file, text.includes(word) || text.includes("bob")]).toEqual([file, true]);
      }
      const whole = [...files.values()].join("\n");
      expect(whole).toContain(upload);
      // Nothing that one could log in with.
      for (const row of before.get("users")!) expect(whole).not.toContain(String(row.pass_details).slice(10, 60));
      for (const row of before.get("fast_auth_tokens")!) expect(whole).not.toContain(String(row.token));
      await expect(server.ctl("gdpr", "retrievePersonalData", ...where)).rejects.toThrow(/cannot be written/);

      // She is there when it happens, and what her leaving would be recorded by must not be.
      const she = await open(server, name);
      await server.ctl("account", "removeUser", "--user", zelda);
      await she.stop();
      const after = await everything(store, database);
      expect(traces(after)).toEqual([]);
      expect(pagesOfHers(after)).toBe(0);
      expect((await fetch(upload)).status).toBe(404);
      const uploads = readdirSync(join(server.dataDir, "uploads"), { recursive: true, withFileTypes: true });
      expect(uploads.filter((entry) => entry.isFile())).toEqual([]);
      await expect(server.ctl("gdpr", "retrievePersonalData", ...where.slice(0, 5), `${zip}.2`)).rejects.toThrow(
        /no account/,
      );
    } finally {
      await store.close();
      await server.stop();
      await fresh.drop();
    }
  }, 90_000);
});

/** The tables of an export where all modules are on. */
const expected = [
  "account",
  "archive",
  "archive_preferences",
  "archive_rooms",
  "inbox",
  "last_activity",
  "login_tokens",
  "muc_affiliations",
  "muc_light_blocking",
  "muc_light_occupants",
  "muc_registered",
  "muc_registered (other.example)",
  "muc_affiliations (other.example)",
  "muc_light_blocking (other.example)",
  "muc_light_occupants (other.example)",
  "offline_messages",
  "privacy_lists",
  "private_storage",
  "pubsub_affiliations",
  "pubsub_nodes",
  "pubsub_payloads",
  "pubsub_subscriptions",
  "push_registrations",
  "roster",
  "smart_markers",
  "uploads",
  "vcard",
];
