/** Uploads through the started server: real sockets, large files, connections that break, and two nodes with one folder. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { xml } from "@xmpp/client";
import { testDatabases } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";
import { XmppJs } from "../support/xmpp-js.ts";

const MiB = 1024 * 1024;
const modules = "[modules.mod_disco]\n[modules.mod_http_upload]\nmax_file_size = 104857600\nquota = 1073741824";

let server: TestServer;
let alice: XmppJs;

beforeAll(async () => {
  server = await startServer({ modules, alone: true });
  await server.register("alice");
  alice = await openClient(server, "alice");
}, 60_000);
afterAll(async () => {
  await alice?.xmpp.stop();
  await server?.stop();
});

function openClient(at: TestServer, username: string): Promise<XmppJs> {
  const service = `xmpps://localhost:${at.tlsPort}`;
  return new XmppJs({ service, username, password: "secret", resource: "upload" }).start();
}

async function slotOf(client: XmppJs, name: string, size: number): Promise<{ put: string; get: string }> {
  const request = xml("request", { xmlns: "urn:xmpp:http:upload:0", filename: name, size: String(size) });
  const answer = await client.request(xml("iq", { type: "get", to: "upload.localhost" }, request));
  const slot = answer.getChild("slot");
  return { put: slot.getChild("put").attrs.url, get: slot.getChild("get").attrs.url };
}

const residentMb = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test("a large file goes through in little memory, both ways", async () => {
  const content = new Uint8Array(100 * MiB);
  for (let at = 0; at < content.length; at += 4096) content[at] = at % 251;
  const slot = await slotOf(alice, "large.bin", content.length);
  const before = residentMb(server.pid);
  let highest = before;
  const watch = setInterval(() => {
    highest = Math.max(highest, residentMb(server.pid));
  }, 5);
  const answer = await fetch(slot.put, { method: "PUT", body: content });
  expect(answer.status).toBe(201);
  const got = await fetch(slot.get);
  let length = 0;
  let same = true;
  for await (const chunk of got.body!) {
    same &&= Buffer.compare(chunk, content.subarray(length, length + chunk.length)) === 0;
    length += chunk.length;
  }
  clearInterval(watch);
  expect([length, same]).toEqual([content.length, true]);
  expect(highest - before).toBeLessThan(90); // of a hundred, and then twice
  const middle = await fetch(slot.get, { headers: { range: `bytes=${4096 * 7}-${4096 * 7 + 1}` } });
  expect([middle.status, ...new Uint8Array(await middle.arrayBuffer())]).toEqual([206, (4096 * 7) % 251, 0]);
  const head = await fetch(slot.get, { method: "HEAD" });
  expect(head.headers.get("content-length")).toBe(String(content.length));
}, 60_000);

test("a connection that breaks leaves nothing, and the file can be sent again", async () => {
  const folder = join(server.dataDir, "uploads");
  const before = filesBelow(folder).length;
  const slot = await slotOf(alice, "broken.bin", 3 * MiB);
  const url = new URL(slot.put);
  const socket = connect(Number(url.port), "127.0.0.1");
  const head = `PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Length: ${3 * MiB}\r\n\r\n`;
  socket.write(head);
  socket.write(Buffer.alloc(MiB));
  await eventually(20_000, () => expect(filesBelow(folder).length).toBe(before + 1));
  expect((await fetch(slot.put, { method: "PUT", body: Buffer.alloc(3 * MiB) })).status).toBe(409);
  socket.destroy();
  await eventually(20_000, () => expect(filesBelow(folder).length).toBe(before));
  expect((await fetch(slot.get)).status).toBe(404);
  await eventually(20_000, async () => {
    expect((await fetch(slot.put, { method: "PUT", body: Buffer.alloc(3 * MiB, 7) })).status).toBe(201);
  });
  expect((await (await fetch(slot.get)).arrayBuffer()).byteLength).toBe(3 * MiB);
  expect(server.log.filter((line) => /"level":"(error|fatal)"|"level":[56]0/.test(line))).toEqual([]);
}, 60_000);

test("a body without a length, and one that is too large for anybody, are refused", async () => {
  const slot = await slotOf(alice, "a.bin", 5);
  const url = new URL(slot.put);
  const answerTo = (head: string, body: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let text = "";
      const socket = connect(Number(url.port), "127.0.0.1", () =>
        socket.write(
          `PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n${head}\r\n\r\n${body}`,
        ),
      );
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("close", () => resolve(text.split("\r\n")[0]!));
      socket.on("error", reject);
    });
  expect(await answerTo("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")).toContain(" 411 ");
  expect(await answerTo(`Content-Length: ${200 * MiB}`, "x")).toContain(" 413 ");
  expect(await answerTo("Content-Length: 5", "hello")).toContain(" 201 ");
}, 60_000);

test("the operator makes a slot from the command line", async () => {
  const given = ["--domain", "localhost", "--filename", "house rules.txt", "--size", "5", "--timeout", "60"];
  const slot = (await server.ctl("httpUpload", "getUrl", ...given)) as { putUrl: string; getUrl: string };
  expect((await fetch(slot.putUrl, { method: "PUT", body: "quiet" })).status).toBe(201);
  expect(await (await fetch(slot.getUrl)).text()).toBe("quiet");
  await expect(server.ctl("httpUpload", "getUrl", ...given.slice(0, -1), "0")).rejects.toThrow(/--timeout must be/);
  await expect(server.ctl("httpUpload", "getUrl", ...given.with(3, "../rules"))).rejects.toThrow(/not taken/);
}, 60_000);

test("a node takes the file for a slot that another has given out", async () => {
  const postgres = (await testDatabases()).find(({ dialect }) => dialect === "postgres")!;
  if (postgres.unavailable !== undefined) return;
  const database = await postgres.fresh();
  const folder = mkdtempSync(join(tmpdir(), "meerkat-shared-"));
  const plan = (node: string) => ({
    modules: `${modules}\n[modules.mod_http_upload.local]\nfolder = "${folder}"`,
    database: connectionToml(database),
    extra: `\n[cluster]\nname = "upload-${process.pid}"\nnode_name = "${node}"\nfabric = "local"\n`,
    alone: true,
  });
  const one = await startServer(plan("one"));
  const two = await startServer(plan("two"));
  try {
    await one.register("alice");
    const client = await openClient(one, "alice");
    const slot = await slotOf(client, "shared.txt", 6);
    const at = (url: string, node: TestServer) => url.replace(/:\d+\//, `:${node.httpPort}/`);
    const answers = await Promise.all(
      [one, two].map((node) => fetch(at(slot.put, node), { method: "PUT", body: "shared" })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    for (const node of [one, two]) expect(await (await fetch(at(slot.get, node))).text()).toBe("shared");
    await client.xmpp.stop();
    await two.ctl("account", "removeUser", "--user", "alice@localhost");
    for (const node of [one, two]) expect((await fetch(at(slot.get, node))).status).toBe(404);
    expect(filesBelow(folder)).toEqual([]);
  } finally {
    await Promise.all([one.stop(), two.stop()]);
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

test("without a handler in a listener the server says what is missing, and does not start", async () => {
  const attempt = startServer({ modules, alone: true, without: ["meerkat_upload_handler"] });
  await expect(attempt).rejects.toThrow(/mod_http_upload of localhost needs .*meerkat_upload_handler/);
}, 60_000);
