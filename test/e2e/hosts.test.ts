/** Two domains in one server, each with its own certificate and modules: @xmpp/client, and what `node:tls` is served. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { xml } from "@xmpp/client";
import { selfSigned } from "../../src/runtime/bun/certificate.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { XmppJs } from "../support/xmpp-js.ts";

const hosts = ["one.example", "two.example"] as const;
const basic = ["mod_roster", "mod_presence", "mod_disco", "mod_ping"];

let server: TestServer;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "meerkat-hosts-e2e-"));
  for (const host of hosts) {
    const { certificate, key } = await selfSigned([host]);
    writeFileSync(join(folder, `${host}.crt`), certificate);
    writeFileSync(join(folder, `${host}.key`), key);
  }
  const certificates = hosts.map(
    (host) => `[[general.domain_certfile]]
domain = "${host}"
certfile = "${join(folder, `${host}.crt`)}"
keyfile = "${join(folder, `${host}.key`)}"`,
  );
  const second = basic.map((name) => `[host_config.modules.${name}]`).join("\n");
  const modules = [...basic, "mod_version", "mod_time"].map((name) => `[modules.${name}]`).join("\n");
  server = await startServer({
    hosts,
    general: certificates.join("\n"),
    modules,
    extra: `[[host_config]]\nhost = "two.example"\n${second}`,
  });
  for (const host of hosts) await server.register("alice", host);
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function online(domain: string): Promise<XmppJs> {
  const service = `xmpps://127.0.0.1:${server.tlsPort}`;
  const client = await new XmppJs({ service, domain, username: "alice", password: "secret", resource: "desk" }).start();
  await client.send(xml("presence"));
  await client.receives("own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === client.jid);
  return client;
}

test.each(hosts)("a client of %s gets its certificate", async (servername) => {
  const names = await new Promise<string | undefined>((resolve, reject) => {
    const options = { servername, rejectUnauthorized: false, ALPNProtocols: ["xmpp-client"] };
    const socket = connect({ host: "127.0.0.1", port: server.tlsPort, ...options }, () => {
      resolve(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
    });
    socket.once("error", reject);
  });
  expect(names).toBe(`DNS:${servername}`);
});

describe("alice of each host", () => {
  let one: XmppJs;
  let two: XmppJs;
  beforeAll(async () => {
    [one, two] = await Promise.all([online("one.example"), online("two.example")]);
  });
  afterAll(async () => {
    await Promise.all([one.stop(), two.stop()]);
  });

  test("is a person of her own, and they chat", async () => {
    expect([one.jid, two.jid]).toEqual(["alice@one.example/desk", "alice@two.example/desk"]);
    await one.send(xml("message", { to: "alice@two.example", type: "chat" }, xml("body", {}, "Are you me?")));
    expect((await two.message("Are you me?")).attrs.from).toBe(one.jid);
    await two.send(xml("message", { to: one.jid, type: "chat" }, xml("body", {}, "No")));
    await one.message("No");
  });

  test("has the modules of her host", async () => {
    const version = (to: string) => xml("iq", { type: "get", to }, xml("query", "jabber:iq:version"));
    const answer = await one.request(version("one.example"));
    expect(answer.getChild("query").getChildText("name")).toBe("Meerkat");
    await expect(two.request(version("two.example"))).rejects.toThrow("service-unavailable");
  });

  test("has a password of her own", async () => {
    await server.ctl("account", "changeUserPassword", "--user", "alice@two.example", "--newPassword", "other");
    const service = `xmpps://127.0.0.1:${server.tlsPort}`;
    const wrong = new XmppJs({ service, domain: "two.example", username: "alice", password: "secret", resource: "x" });
    await expect(wrong.start()).rejects.toThrow("not-authorized");
    await wrong.stop();
    await (await online("one.example")).stop();
  });
});
