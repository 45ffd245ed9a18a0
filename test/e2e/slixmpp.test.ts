/** The started server through Debian's python3-slixmpp: each script of `slixmpp/` is one topic and prints its findings. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { catalogue } from "../../src/modules/catalogue.ts";
import { startServer, type TestServer } from "../support/server.ts";

const python = "/usr/bin/python3";
const available = existsSync(python) && spawnSync(python, ["-c", "import slixmpp"]).status === 0;
const suite = available ? describe : describe.skip;
const boundMs = 28_000;

let server: TestServer;

beforeAll(async () => {
  if (!available) return;
  const modules = catalogue.filter(({ name }) => name !== "mod_extdisco").map(({ name }) => `[modules.${name}]`);
  server = await startServer({ modules: modules.join("\n"), general: 'registration_timeout = "infinity"' });
  const names = ["alice", "bob", "carol", "dora", "erik", "fred", "gina", "newcomer"];
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
      items: 0,
      ping: true,
      version: "Meerkat",
      time: "20",
      uptime: true,
      card: "Carol <C> & Co",
      private: ["room@rooms.example"],
      unknown: "service-unavailable",
    });
  });

  test("blocking", async () => {
    expect(await findings("blocking")).toEqual([
      { pushed: ["erik@localhost"] },
      { blocked: ["erik@localhost"] },
      { refused: "service-unavailable" },
      { unblocked: true },
    ]);
  });

  test("a broken connection is resumed", async () => {
    expect(await findings("resume")).toEqual([{ enabled: true }, { again: "resumed" }, { received: "missed" }]);
  });

  test("carbons", async () => {
    expect(await findings("carbons")).toEqual([{ sent: "from desk" }, { received: "to desk" }]);
  });

  test("change of the password, removal of the account", async () => {
    const found = await findings("register");
    expect(found.slice(0, 2)).toEqual([{ login: "session" }, { changed: "result" }]);
    expect(["refused", "disconnected"]).toContain(String(found[2]!.old));
    expect(found.slice(3, 5)).toEqual([{ new: "session" }, { removed: true }]);
    expect(["refused", "disconnected"]).toContain(String(found[5]!.gone));
  });
});
