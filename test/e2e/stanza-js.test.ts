/** The started server through stanza (StanzaJS) over WebSocket. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { createClient } from "stanza";
import { startServer, type TestServer } from "../support/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library's types describe far more than what is looked at here
type Any = any;

const waitMs = 20_000;

/** XEP-0157, and XEP-0215: a service for everybody, and one whose credentials are made for each user. */
const extra = `
[[modules.mod_disco.server_info]]
name = "abuse-addresses"
urls = ["mailto:abuse@localhost", "xmpp:carol@localhost"]
[[modules.mod_extdisco.service]]
type = "stun"
host = "192.0.2.1"
port = 3478
transport = "udp"
[[modules.mod_extdisco.service]]
type = "turn"
host = "turn.example.org"
port = 3479
transport = "tcp"
secret = "shared with the relay"
ttl = 600
`;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ extra });
  for (const name of ["alice", "bob"]) await server.register(name);
});
afterAll(async () => {
  await server.stop();
});

function make(username: string, resource: string, more: Record<string, unknown> = {}): Any {
  const websocket = `ws://127.0.0.1:${server.httpPort}/ws-xmpp`;
  const jid = `${username}@localhost`;
  return createClient({
    jid,
    password: "secret",
    resource,
    transports: { websocket, bosh: false },
    autoReconnect: false,
    ...more,
  } as Any) as Any;
}

/** The next event of this name whose value fits. Ask before doing what causes it. */
function next(client: Any, name: string, fits: (value: Any) => boolean = () => true): Promise<Any> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the event ${name} did not come`)), waitMs);
    const look = (value: Any) => {
      if (!fits(value)) return;
      clearTimeout(timer);
      client.off(name, look);
      resolve(value);
    };
    client.on(name, look);
  });
}

async function login(username: string, resource: string, more: Record<string, unknown> = {}): Promise<Any> {
  const client = make(username, resource, more);
  const started = next(client, "session:started");
  client.connect();
  await started;
  return client;
}

async function online(username: string, resource: string): Promise<Any> {
  const client = await login(username, resource);
  await client.getRoster();
  const seen = next(client, "available", (presence) => presence.from === client.jid);
  client.sendPresence();
  await seen;
  return client;
}

async function stop(...clients: Any[]): Promise<void> {
  for (const client of clients) {
    const gone = next(client, "disconnected");
    client.disconnect();
    await gone;
  }
}

describe("logging in", () => {
  const all = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];
  test.each(all)("by %s", async (mechanism) => {
    const client = make("alice", "login");
    for (const other of all) if (other !== mechanism) client.sasl.disable(other);
    let used: string | undefined;
    client.on("raw:outgoing", (text: string) => {
      used ??= /mechanism="([^"]+)"/.exec(text)?.[1];
    });
    const started = next(client, "session:started");
    client.connect();
    await started;
    expect(used).toBe(mechanism);
    expect(client.jid).toBe("alice@localhost/login");
    await stop(client);
  });

  test("a wrong password is refused", async () => {
    const wrong = make("alice", "wrong", { password: "guess" });
    const failed = next(wrong, "auth:failed");
    const gone = next(wrong, "disconnected");
    wrong.connect();
    await failed;
    await gone;
  });
});

describe("questions", () => {
  let alice: Any;
  beforeAll(async () => {
    alice = await online("alice", "asking");
  });
  afterAll(async () => {
    await stop(alice);
  });

  test("ping, version, time, last activity", async () => {
    await alice.ping("localhost");
    expect((await alice.getSoftwareVersion("localhost")).name).toBe("Meerkat");
    expect((await alice.getTime("localhost")).utc).toBeInstanceOf(Date);
    expect((await alice.getLastActivity("localhost")).seconds).toBeGreaterThanOrEqual(0);
  });

  test("service discovery", async () => {
    const info = await alice.getDiscoInfo("localhost");
    expect(info.identities).toContainEqual(expect.objectContaining({ category: "server", type: "im" }));
    expect(info.features).toContain("urn:xmpp:carbons:2");
    const services = (await alice.getDiscoItems("localhost")).items.map((item: Any) => item.jid);
    expect(services.sort()).toEqual([
      "conference.localhost",
      "muclight.localhost",
      "pubsub.localhost",
      "upload.localhost",
    ]);
  });

  test("vCard", async () => {
    await alice.publishVCard({ fullName: "Alice <A> & Co" });
    expect((await alice.getVCard("alice@localhost")).fullName).toBe("Alice <A> & Co");
  });

  test("private data", async () => {
    const rooms = [{ jid: "room@rooms.example", name: "Room", autoJoin: true }];
    await alice.setPrivateData("bookmarks", { rooms });
    expect((await alice.getPrivateData("bookmarks")).rooms).toEqual([expect.objectContaining(rooms[0]!)]);
  });

  test("roster", async () => {
    const pushed = next(alice, "roster:update");
    await alice.updateRosterItem({ jid: "carol@localhost", name: "Carol", groups: ["Friends"] });
    expect((await pushed).roster.items).toEqual([
      expect.objectContaining({ jid: "carol@localhost", name: "Carol", groups: ["Friends"], subscription: "none" }),
    ]);
    expect((await alice.getRoster()).items).toHaveLength(1);
    await alice.removeRosterItem("carol@localhost");
    expect((await alice.getRoster()).items).toHaveLength(0);
  });

  test("whom to write to about the server", async () => {
    const [form] = (await alice.getDiscoInfo("localhost")).extensions;
    const fields = Object.fromEntries(form.fields.map(({ name, value }: Any) => [name, value]));
    expect(fields.FORM_TYPE).toBe("http://jabber.org/network/serverinfo");
    expect(fields["abuse-addresses"]).toEqual(["mailto:abuse@localhost", "xmpp:carol@localhost"]);
  });

  test("services outside of XMPP, with credentials for a while", async () => {
    const { services } = await alice.getServices("localhost");
    expect(services).toHaveLength(2);
    expect(services[0]).toMatchObject({ type: "stun", host: "192.0.2.1", port: 3478, transport: "udp" });
    const relay = services[1];
    expect(relay).toMatchObject({ type: "turn", host: "turn.example.org", port: 3479, transport: "tcp" });
    expect(relay.username).toEndWith(":alice@localhost");
    const password = createHmac("sha1", "shared with the relay").update(relay.username).digest("base64");
    expect(relay.password).toBe(password);
    expect((relay.expires.getTime() - Date.now()) / 1_000).toBeWithin(500, 601);
    expect((await alice.getServices("localhost", "stun")).services).toHaveLength(1);
    const credentials = await alice.getServiceCredentials("localhost", "turn.example.org", "turn");
    expect(credentials.services?.[0] ?? credentials).toMatchObject({ host: "turn.example.org", type: "turn" });
    const unknown = await alice.getServiceCredentials("localhost", "turn.example.org", "ftp").catch((e: Any) => e);
    expect(unknown.error.condition).toBe("item-not-found");
  });

  test("what nobody knows is service-unavailable", async () => {
    const refused = await alice.getDiscoInfo("localhost", "no-such-node").catch((error: Any) => error);
    expect(refused.error.condition).toBe("item-not-found");
  });
});

describe("conversations", () => {
  test("carbons reach the other resource, sent and received", async () => {
    const desk = await online("alice", "desk");
    const phone = await online("alice", "phone");
    const bob = await online("bob", "desk");
    await phone.enableCarbons();
    const sent = next(phone, "carbon:sent");
    const received = next(bob, "chat");
    desk.sendMessage({ to: bob.jid, type: "chat", body: "from desk" });
    expect((await received).body).toBe("from desk");
    expect((await sent).carbon.forward.message.body).toBe("from desk");
    const copied = next(phone, "carbon:received");
    const arrived = next(desk, "chat");
    bob.sendMessage({ to: desk.jid, type: "chat", body: "to desk" });
    expect((await arrived).body).toBe("to desk");
    expect((await copied).carbon.forward.message.body).toBe("to desk");
    await stop(desk, phone, bob);
  });

  test("who is blocked does not get through", async () => {
    const alice = await online("alice", "blocking");
    const bob = await online("bob", "blocked");
    await alice.block("bob@localhost");
    expect((await alice.getBlocked()).jids).toEqual(["bob@localhost"]);
    const refused = next(bob, "message:error");
    bob.sendMessage({ to: "alice@localhost", type: "chat", body: "unwanted" });
    expect((await refused).error.condition).toBe("service-unavailable");
    await alice.unblock("bob@localhost");
    const wanted = next(alice, "chat");
    bob.sendMessage({ to: "alice@localhost", type: "chat", body: "wanted" });
    expect((await wanted).body).toBe("wanted");
    // As above: with the answer the acknowledgement is there.
    await alice.ping("localhost");
    await stop(alice, bob);
  });

  test("what can wait is held back from an inactive client, in order", async () => {
    const alice = await online("alice", "inactive");
    const bob = await online("bob", "typing");
    const order: string[] = [];
    alice.on("message", (message: Any) => order.push(message.body ?? message.chatState));
    alice.markInactive();
    await alice.ping("localhost");
    const chat = next(alice, "chat");
    bob.sendMessage({ to: alice.jid, type: "chat", chatState: "composing" });
    bob.sendMessage({ to: alice.jid, type: "chat", body: "now" });
    await chat;
    expect(order).toEqual(["composing", "now"]);
    // By its answer the client's acknowledgement is there too; without it the message would be kept for the next session.
    await alice.ping("localhost");
    await stop(alice, bob);
  });

  test("a broken connection is resumed and what was missed is sent", async () => {
    const alice = await online("alice", "resuming");
    expect(alice.sm.resumable).toBe(true);
    const bound = alice.jid;
    await alice.ping("localhost");
    const broken = next(alice, "disconnected");
    alice.transport.socket.terminate();
    await broken;
    const bob = await online("bob", "sender");
    bob.sendMessage({ to: bound, type: "chat", body: "missed" });
    await bob.ping("localhost");
    const resumed = next(alice, "stream:management:resumed");
    const missed = next(alice, "chat");
    alice.connect();
    await resumed;
    expect((await missed).body).toBe("missed");
    await stop(alice, bob);
  });
});
