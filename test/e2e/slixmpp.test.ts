/** The started server through Debian's python3-slixmpp: each script of `slixmpp/` is one topic and prints its findings. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { catalogue } from "../../src/modules/catalogue.ts";
import { onRequest, startServer, type TestServer } from "../support/server.ts";

const python = "/usr/bin/python3";
const available = existsSync(python) && spawnSync(python, ["-c", "import slixmpp"]).status === 0;
const suite = available ? describe : describe.skip;
/** Where the defaults leave something out. */
const options: Readonly<Record<string, string>> = {
  mod_mam: 'user_prefs_store = "rdbms"',
  mod_roster: "versioning = true",
};
const boundMs = 55_000;

let server: TestServer;

beforeAll(async () => {
  if (!available) return;
  const modules = catalogue
    .filter(({ name }) => name === "mod_register" || name === "mod_mam" || !onRequest.includes(name))
    .map(({ name }) => `[modules.${name}]\n${options[name] ?? ""}`);
  server = await startServer({ modules: modules.join("\n"), general: 'registration_timeout = "infinity"' });
  const names = ["alice", "bob", "carol", "dora", "erik", "fred", "gina", "hana", "ivan", "newcomer"];
  names.push("hugo", "ida", "jane", "kurt", "lisa", "mona", "nick");
  names.push("olga", "paul", "quin", "rita");
  names.push("sara", "theo");
  names.push("oona", "pete");
  names.push("uma", "vera");
  await Promise.all(names.map((name) => server.register(name)));
});
afterAll(async () => {
  await server?.stop();
});

type Finding = Record<string, unknown>;

/** Runs a script to its end; what it printed, a finding a line. */
async function findings(script: string): Promise<Finding[]> {
  const path = fileURLToPath(new URL(`slixmpp/${script}.py`, import.meta.url));
  const settings = JSON.stringify({ c2sPort: server.c2sPort, tlsPort: server.tlsPort });
  const child = spawn(python, ["-B", path, settings], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    complaint += chunk;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), boundMs);
  const code = await new Promise<number | null>((done) => child.once("close", done));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${script}.py ended with ${code} after:\n${output}\n${complaint}`);
  return output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Finding);
}

suite(`python3-slixmpp${available ? "" : " (not installed)"}`, () => {
  test("uploads a file, which another client reads from its URL", async () => {
    expect(await findings("upload")).toEqual([
      { service: "upload.localhost", largest: "10485760" },
      { status: 200, type: "image/png", same: true },
      { status: 206, range: "bytes 1024001-1024009/1024010", end: "cool" },
      { big: "not-acceptable" },
    ]);
  });

  test("logs in by each mechanism over STARTTLS and direct TLS", async () => {
    const found = await findings("login");
    const mechanisms = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"];
    const all = [...mechanisms, ...mechanisms.slice(1).map((name) => `${name}-PLUS`)];
    const expected = ["starttls", "tls"].flatMap((transport) =>
      all.map((name) => ({ name, transport, outcome: "session", mechanism: name, jid: "alice@localhost/login" })),
    );
    expect(found.slice(0, expected.length)).toEqual(expected);
    expect(found.slice(expected.length).map(({ name, mechanism }) => [name, mechanism])).toEqual([
      ["forged binding", null],
      ["wrong password", null],
      ["nobody", null],
    ]);
    for (const { outcome } of found.slice(expected.length))
      expect(["refused", "disconnected"]).toContain(String(outcome));
  });

  test("gets in as it comes, though it claims a channel binding that TLS 1.3 does not have", async () => {
    expect(await findings("stock")).toEqual([{ outcome: "session" }]);
  });

  test("of two at one address the newer wins", async () => {
    expect(await findings("conflict")).toEqual([{ newer: "session", older: "conflict" }, { newer: "goes on" }]);
  });

  test("contacts: asked, approved, chatted with, removed", async () => {
    expect(await findings("roster")).toEqual([
      { alice: "to" },
      { bob: "from" },
      { alice: "both", bob: "both" },
      { message: "alice@localhost/desk" },
      { delayed: true, by: "localhost" },
      { name: "Bob", groups: ["Friends"] },
      { removed: [], bob: "none" },
    ]);
  });

  test("service discovery, ping, version, time, last activity, vCard, private data", async () => {
    const all: Finding = Object.assign({}, ...(await findings("queries")));
    const { identities, features, account, ...rest } = all;
    expect(identities).toContainEqual(["server", "im"]);
    expect(account).toContainEqual(["account", "registered"]);
    for (const feature of ["urn:xmpp:ping", "urn:xmpp:time", "jabber:iq:version", "jabber:iq:last", "vcard-temp"])
      expect(features).toContain(feature);
    expect(rest).toEqual({
      items: 4,
      ping: true,
      version: "Meerkat",
      time: "20",
      uptime: true,
      card: "Carol <C> & Co",
      private: ["room@rooms.example"],
      unknown: "service-unavailable",
    });
  });

  test("publish-subscribe: on the service and on accounts, tune, avatar, private data", async () => {
    expect(await findings("pubsub")).toEqual([
      { account: true },
      { tune: "The Song", sender: "sara@localhost" },
      { avatar: true },
      { picture: true },
      { private: 1 },
      { closed: "not-allowed" },
      { taken: "conflict" },
      { subscription: "subscribed" },
      { event: "one", payload: "first", sender: "pubsub.localhost" },
      { forbidden: "forbidden" },
      { items: ["one"] },
      { access: "open" },
      { retracted: true },
      { deleted: "item-not-found" },
      { last: "The Song" },
    ]);
  });

  test("blocking", async () => {
    expect(await findings("blocking")).toEqual([
      { pushed: ["erik@localhost"] },
      { blocked: ["erik@localhost"] },
      { refused: "service-unavailable" },
      { unblocked: true },
    ]);
  });

  test("privacy lists: edited, pushed, active, default, in the way of each other", async () => {
    expect(await findings("privacy")).toEqual([
      { at_first: { lists: [], active: "", default: "" } },
      { pushed: ["quiet"] },
      {
        items: [
          ["jid", "ida@localhost", "deny", "1", true],
          ["", "", "allow", "2", false],
        ],
      },
      { chosen: { lists: ["quiet"], active: "quiet", default: "" } },
      { active: "service-unavailable" },
      { phone: "has no active list" },
      { default: "service-unavailable" },
      { unknown: "item-not-found" },
      { in_use: "conflict" },
      { needed_by_desk: "conflict" },
      { unwanted: [] },
    ]);
  });

  test("entity capabilities: the server's hash is right, and a client is asked once what its own means", async () => {
    expect(await findings("caps")).toEqual([
      { server: ["http://jabber.org/protocol/caps", "urn:xmpp:caps", "urn:xmpp:carbons:2"] },
      { first: [true] },
      { same_again: [] },
      { relayed: true },
    ]);
  });

  test("stanza ids: one of the account's own, none forged", async () => {
    const honest = { by: ["lisa@localhost"], forged: false };
    expect(await findings("stanza_ids")).toEqual([
      { ...honest, origin: "origin one" },
      { ...honest, origin: "origin two" },
      { sorted: true, different: 2 },
    ]);
  });

  test("last activity of a user, for those who may see his presence", async () => {
    expect(await findings("last")).toEqual([
      { stranger: "forbidden", nobody: "forbidden" },
      { here: [true, null] },
      { resource: [true, "Thinking"] },
      { gone: [true, "Gone fishing"] },
    ]);
  });

  test("hints: what is not to be stored or copied", async () => {
    expect(await findings("hints")).toEqual([{ kept: [] }, { copies: ["to be copied"], received: true }]);
  });

  test("avatars: the hash of the vCard's picture in the presence of each resource", async () => {
    expect(await findings("avatar")).toEqual([{ hash: "in both" }, { picture: true }]);
  });

  test("roster versions", async () => {
    expect(await findings("versions")).toEqual([
      { offered: true, version: true },
      { changed: "nothing", sent: null },
      { changed: "tom", sent: ["sam@localhost", "tom@localhost"] },
    ]);
  });

  test("a broken connection is resumed", async () => {
    expect(await findings("resume")).toEqual([{ enabled: true }, { again: "resumed" }, { received: "missed" }]);
  });

  test("carbons", async () => {
    expect(await findings("carbons")).toEqual([{ sent: "from desk" }, { received: "to desk" }]);
  });

  test("registration before login, over STARTTLS and direct TLS", async () => {
    const asks = ["password", "username"];
    expect(await findings("registration")).toEqual([
      { name: "starttls", outcome: "session", asks, made: true },
      { name: "tls", outcome: "session", asks, made: true },
      { name: "taken", outcome: "disconnected", asks, made: "conflict" },
    ]);
  });

  test("change of the password, removal of the account", async () => {
    const found = await findings("register");
    expect(found.slice(0, 2)).toEqual([{ login: "session" }, { changed: "result" }]);
    expect(["refused", "disconnected"]).toContain(String(found[2]!.old));
    expect(found.slice(3, 5)).toEqual([{ new: "session" }, { removed: true }]);
    expect(["refused", "disconnected"]).toContain(String(found[5]!.gone));
  });

  test("archive: read back by page, contact and time; turned off for a contact", async () => {
    expect(await findings("archive")).toEqual([
      { features: ["urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:mam:2#groupchat-field"] },
      {
        fields: [
          "FORM_TYPE",
          "after-id",
          "before-id",
          "end",
          "ids",
          "include-groupchat",
          "start",
          "with",
          "{urn:xmpp:fulltext:0}fulltext",
        ],
      },
      { everything: 27, first: "number 0", last: "to carol" },
      { backwards: ["to carol", "an answer", "number 24"] },
      { carol: ["to carol"] },
      { later: [] },
      { ends: true },
      { others: "forbidden" },
      { default: "never", always: ["ivan@localhost"] },
      { last: ["archived", "to carol"] },
    ]);
  });

  test("rooms: made, configured, entered, spoken in, moderated, ended", async () => {
    expect(await findings("rooms")).toEqual([
      { created: true },
      { persistent: false, owners: ["oona@localhost"] },
      { name: ["Slix"], persistent: true },
      { own: "Pete", occupants: ["Oona", "Pete"] },
      { nickname: "conflict" },
      { heard: "slix@conference.localhost/Pete", kind: "groupchat" },
      { private: "slix@conference.localhost/Oona" },
      { members: ["pete@localhost"] },
      { moderators: ["Oona", "Pete"] },
      { destroy: "forbidden" },
      { kicked: [110, 307] },
      { after: "item-not-found" },
    ]);
  });
});
