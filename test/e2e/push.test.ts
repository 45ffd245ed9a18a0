/** Push and personal nodes of the started server through @xmpp/client, with an HTTP server in MongoosePush's place. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { xml } from "@xmpp/client";
import { startServer, type TestServer } from "../support/server.ts";
import { XmppJs } from "../support/xmpp-js.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;

const pubsub = "http://jabber.org/protocol/pubsub";
const pushNs = "urn:xmpp:push:0";
const waitMs = 20_000;

let server: TestServer;
let http: Server;
/** Words of messages for which the service says that it does not know the device. */
const refused = new Set<string>();
const posts: { readonly url: string; readonly body: Any }[] = [];
let posted: () => void = () => {};

beforeAll(async () => {
  http = createServer((request, response) => {
    void textOf(request).then((text) => {
      const post = { url: request.url!, body: JSON.parse(text) };
      posts.push(post);
      response.statusCode = refused.has(wordsOf(post)) ? 410 : 200;
      response.end("{}");
      posted();
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  const names = ["disco", "caps", "roster", "presence", "offline", "stream_management", "csi"];
  server = await startServer({
    modules: `${names.map((name) => `[modules.mod_${name}]`).join("\n")}
[outgoing_pools.http.push.connection]
host = "http://127.0.0.1:${port}"
[modules.mod_pubsub]
plugins = ["flat", "pep", "push"]
[modules.mod_push]
[modules.mod_push_service_mongoosepush]
pool_name = "push"
`,
  });
  for (const name of ["alice", "bob"]) await server.register(name);
});
afterAll(async () => {
  await server?.stop();
  http?.close();
});

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const wordsOf = ({ body }: { readonly body: Any }): string => body.alert?.body ?? body.data["last-message-body"];

/**
 * The next request of the server to the push service about a message of these words. Among several nodes a device whose session has just
 * ended may be woken twice for the same one.
 */
async function postOf(words: string): Promise<{ readonly url: string; readonly body: Any }> {
  for (;;) {
    for (let post = posts.shift(); post !== undefined; post = posts.shift()) if (wordsOf(post) === words) return post;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing was pushed about '${words}'`)), waitMs);
      posted = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function online(username: string): Promise<XmppJs> {
  const service = `xmpps://127.0.0.1:${server.tlsPort}`;
  const client = await new XmppJs({ service, username, password: "secret", resource: "x" }).start();
  await client.send(xml("presence"));
  await client.receives("own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === client.jid);
  return client;
}

let ids = 0;
async function asks(client: XmppJs, type: string, child: Any, to?: string): Promise<Any> {
  const id = `q${++ids}`;
  await client.send(xml("iq", { type, id, to }, child));
  return client.receives("an answer", (stanza) => stanza.is("iq") && stanza.attrs.id === id);
}

const field = (name: string, value: string) => xml("field", { var: name }, xml("value", {}, value));
const form = (type: string, ...fields: Any[]) =>
  xml("x", { xmlns: "jabber:x:data", type: "submit" }, field("FORM_TYPE", `${pubsub}#${type}`), ...fields);

test("a message to a phone that is gone reaches MongoosePush; a device it does not know is forgotten", async () => {
  const alice = await online("alice");
  const bob = await online("bob");
  const created = await asks(
    alice,
    "set",
    xml("pubsub", { xmlns: pubsub }, xml("create", { node: "phone", type: "push" })),
    "pubsub.localhost",
  );
  expect(created.attrs.type).toBe("result");
  const options = form(
    "publish-options",
    field("device_id", "token 1"),
    field("service", "apns"),
    field("topic", "app"),
  );
  const enabled = await asks(
    alice,
    "set",
    xml("enable", { xmlns: pushNs, jid: "pubsub.localhost", node: "phone" }, options),
  );
  expect(enabled.attrs.type).toBe("result");
  await alice.stop();

  const write = (body: string) =>
    bob.send(xml("message", { to: "alice@localhost", type: "chat", id: body }, xml("body", {}, body)));
  await write("wake up");
  const { url, body } = await postOf("wake up");
  expect(url).toBe("/v3/notification/token%201");
  expect(body).toEqual({
    service: "apns",
    topic: "app",
    alert: { title: "bob@localhost", body: "wake up", badge: 1, tag: "bob@localhost" },
  });

  refused.add("again");
  await write("again");
  await postOf("again");
  // What was forgotten is not told; a second device shows that the message came through.
  const later = await online("alice");
  for (const text of ["wake up", "again"]) {
    await later.receives(text, (stanza) => stanza.is("message") && stanza.getChildText("body") === text);
  }
  const other = form("publish-options", field("device_id", "token2"), field("service", "fcm"), field("silent", "true"));
  await asks(later, "set", xml("enable", { xmlns: pushNs, jid: "pubsub.localhost", node: "phone" }, other));
  await later.stop();
  await write("third");
  const third = await postOf("third");
  expect(third.url).toBe("/v3/notification/token2");
  expect(third.body.data["last-message-body"]).toBe("third");
  expect(posts.filter((post) => post.url !== third.url)).toEqual([]);
  await bob.stop();
});

test("bookmarks are published with options and read back", async () => {
  const bob = await online("bob");
  const node = "urn:xmpp:bookmarks:1";
  const options = form(
    "publish-options",
    field("pubsub#persist_items", "true"),
    field("pubsub#max_items", "max"),
    field("pubsub#access_model", "whitelist"),
  );
  const conference = xml("conference", { xmlns: node, name: "Room", autojoin: "true" }, xml("nick", {}, "bob"));
  const publish = xml("publish", { node }, xml("item", { id: "room@rooms.example" }, conference));
  const done = await asks(bob, "set", xml("pubsub", { xmlns: pubsub }, publish, xml("publish-options", {}, options)));
  expect(done.attrs.type).toBe("result");
  const read = await asks(bob, "get", xml("pubsub", { xmlns: pubsub }, xml("items", { node })));
  const items = read.getChild("pubsub").getChild("items").getChildren("item");
  expect(items.map((one: Any) => [one.attrs.id, one.getChild("conference").getChildText("nick")])).toEqual([
    ["room@rooms.example", "bob"],
  ]);
  await bob.stop();
});
