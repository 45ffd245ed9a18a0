/** The programs of docs/apps.md and the module of docs/module-guide.md, run as they say. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { request } from "node:http";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { xml } from "@xmpp/client";
import { startServer, type TestServer } from "../support/server.ts";
import { hasChromium, launchChromium } from "../support/web-chat.ts";
import { XmppJs } from "../support/xmpp-js.ts";

const examples = resolve(fileURLToPath(new URL("../../docs/examples", import.meta.url)));
let server: TestServer;

beforeAll(async () => {
  server = await startServer({
    general: `module_files = ["${join(examples, "notes.ts")}"]`,
    extra: "[modules.mod_example_notes]\nmax_notes = 1\n",
  });
  for (const name of ["alice", "bob", "carol", "dave", "erin"]) await server.register(name);
});
afterAll(() => server.stop());

/** Runs first-message.mjs with Node.js; `says` resolves to the next line it prints. */
function firstMessage(args: readonly string[], trusted = true) {
  const program = spawn("node", [join(examples, "first-message.mjs"), ...args], {
    env: {
      ...process.env,
      NODE_TLS_REJECT_UNAUTHORIZED: "1",
      XMPP_SERVICE: `xmpp://localhost:${server.c2sPort}`,
      NODE_EXTRA_CA_CERTS: trusted ? join(server.dataDir, "tls/self-signed.crt") : "",
    },
  });
  const ended = new Promise<number | null>((done) => program.on("exit", done));
  const lines = createInterface(program.stdout)[Symbol.asyncIterator]();
  const errors = createInterface(program.stderr)[Symbol.asyncIterator]();
  return {
    says: async () => (await lines.next()).value as string | undefined,
    complains: async () => (await errors.next()).value as string | undefined,
    ended,
    async stop() {
      program.kill("SIGINT");
      await ended;
    },
  };
}

test("Node.js: a message gets from one program to the other", async () => {
  const bob = firstMessage(["bob@localhost", "secret"]);
  expect(await bob.says()).toStartWith("online as bob@localhost/");
  const alice = firstMessage(["alice@localhost", "secret", "bob@localhost"]);
  expect(await alice.says()).toStartWith("online as alice@localhost/");
  expect(await bob.says()).toMatch(/^alice@localhost\/.+: Hello$/);
  await Promise.all([alice.stop(), bob.stop()]);
}, 30_000);

test("Node.js: a certificate nobody vouches for, and a wrong password, are said and end it", async () => {
  const stranger = firstMessage(["alice@localhost", "secret"], false);
  expect(await stranger.complains()).toBe("self-signed certificate");
  expect(await stranger.ended).toBe(1);
  const wrong = firstMessage(["alice@localhost", "guessed"]);
  expect(await wrong.complains()).toBe("not-authorized");
  expect(await wrong.ended).toBe(1);
}, 30_000);

test.skipIf(!hasChromium)(
  "browser: a page from elsewhere sends and receives over the WebSocket",
  async () => {
    const browser = await launchChromium();
    try {
      const pages = await Promise.all([browser.newPage(), browser.newPage()]);
      const people = ["carol", "dave"];
      for (const [at, page] of pages.entries()) {
        await page.goto(pathToFileURL(join(examples, "first-message.html")).href);
        await page.locator("[name=me]").fill(`${people[at]}@localhost`);
        await page.locator("[name=password]").fill("secret");
        await page.locator("[name=to]").fill(`${people[1 - at]}@localhost`);
        await page.locator("[name=service]").fill(`ws://localhost:${server.httpPort}/ws-xmpp`);
        await page.getByRole("button").click();
        await page.locator("pre", { hasText: `online as ${people[at]}@localhost/` }).waitFor();
      }
      await pages[0]!.locator("pre", { hasText: /dave@localhost\/.+: Hello/ }).waitFor();
    } finally {
      await browser.close();
    }
  },
  30_000,
);

test("backend: a command through the socket of the data folder", async () => {
  const answer = await new Promise<string>((done, fail) => {
    const asked = request(
      { socketPath: join(server.dataDir, "meerkat.sock"), method: "POST", path: "/" },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part) => (text += part));
        response.on("end", () => done(text));
      },
    );
    asked.on("error", fail);
    asked.end('{"category": "account", "command": "checkUser", "args": {"user": "bob@localhost"}}');
  });
  expect(JSON.parse(answer)).toEqual({ result: { exist: true, message: "User bob@localhost exists" } });
});

test("the example module, loaded from its file, answers clients", async () => {
  const erin = await new XmppJs({
    service: `xmpp://localhost:${server.c2sPort}`,
    username: "erin",
    password: "secret",
  }).start();
  const ns = "urn:example:notes:0";
  await erin.request(xml("iq", { type: "set" }, xml("note", { xmlns: ns, title: "milk" }, "two")));
  const answer = await erin.request(xml("iq", { type: "get" }, xml("notes", { xmlns: ns })));
  expect(answer.getChild("notes", ns)!.getChildText("note")).toBe("two");
  await erin.stop();
});
