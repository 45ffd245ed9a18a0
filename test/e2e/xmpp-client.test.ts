/** The started server through @xmpp/client: transports, logging in, messages, rosters, resumption, and what must fail. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { xml } from "@xmpp/client";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw-client.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { XmppJs } from "../support/xmpp-js.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
  for (const name of ["alice", "bob", "carol", "dave"]) await server.register(name);
});
afterAll(async () => {
  await server.stop();
});

const direct = () => `xmpps://127.0.0.1:${server.tlsPort}`;
const startTls = () => `xmpp://127.0.0.1:${server.c2sPort}`;

function connect(username: string, resource: string, more: Record<string, unknown> = {}): Promise<XmppJs> {
  return new XmppJs({ service: direct(), username, password: "secret", resource, ...more }).start();
}

async function online(username: string, resource: string): Promise<XmppJs> {
  const connected = await connect(username, resource);
  await connected.send(xml("presence"));
  await connected.receives("own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === connected.jid);
  return connected;
}

function message(to: string, body: string, id: string) {
  return xml("message", { to, type: "chat", id }, xml("body", {}, body));
}

describe("logging in", () => {
  test.each([
    ["STARTTLS", startTls],
    ["direct TLS", direct],
  ])("over %s", async (_name, service) => {
    const alice = await connect("alice", "login", { service: service() });
    expect(alice.jid).toStartWith("alice@localhost/login");
    await alice.stop();
  });

  test.each(["SCRAM-SHA-1", "PLAIN"])("by %s", async (mechanism) => {
    const alice = await connect("alice", "mechanism", {
      credentials: async (callback: Any, _mechanisms: string[]) => {
        await callback({ username: "alice", password: "secret" }, mechanism);
      },
      username: undefined,
      password: undefined,
    });
    expect(alice.jid).toStartWith("alice@localhost/mechanism");
    await alice.stop();
  });

  test("a wrong password is not-authorized", async () => {
    const wrong = new XmppJs({ service: direct(), username: "alice", password: "guess", resource: "x" });
    await expect(wrong.start()).rejects.toThrow("not-authorized");
    await wrong.stop();
  });

  test("an account that does not exist gets the same answer", async () => {
    const nobody = new XmppJs({ service: direct(), username: "nobody", password: "guess", resource: "x" });
    await expect(nobody.start()).rejects.toThrow("not-authorized");
    await nobody.stop();
  });
});

describe("messages", () => {
  test("go both ways, unchanged, in order", async () => {
    const [alice, bob] = await Promise.all([online("alice", "a"), online("bob", "b")]);
    const text = "Grüße & <Ω> 😀 ]]>";
    await alice.send(message(bob.jid, text, "one"));
    expect((await bob.message(text)).attrs).toMatchObject({
      from: alice.jid,
      to: bob.jid,
      type: "chat",
      id: "one",
    });
    for (let n = 0; n < 200; n++) await bob.send(message("alice@localhost", `n${n}`, `id${n}`));
    const order: string[] = [];
    for (let n = 0; n < 200; n++)
      order.push((await alice.receives("a message", (stanza) => stanza.is("message"))).getChildText("body"));
    expect(order).toEqual(Array.from({ length: 200 }, (_, n) => `n${n}`));
    await Promise.all([alice.stop(), bob.stop()]);
  });

  test("to someone offline are kept, and delivered in order with the time they were sent", async () => {
    const alice = await online("alice", "a");
    for (const body of ["first", "second", "third"]) await alice.send(message("carol@localhost", body, body));
    await alice.caughtUp();
    const carol = await online("carol", "c");
    const bodies: string[] = [];
    for (let n = 0; n < 3; n++) {
      const kept = await carol.receives("an offline message", (stanza) => stanza.is("message"));
      expect(kept.getChild("delay", "urn:xmpp:delay").attrs.from).toBe("localhost");
      bodies.push(kept.getChildText("body"));
    }
    expect(bodies).toEqual(["first", "second", "third"]);
    await Promise.all([alice.stop(), carol.stop()]);
  });

  test("to an account that does not exist come back as service-unavailable", async () => {
    const alice = await online("alice", "a");
    await alice.send(message("nobody@localhost", "anybody?", "lost"));
    const error = await alice.receives(
      "the error",
      (stanza) => stanza.attrs.type === "error" && stanza.attrs.id === "lost",
    );
    expect(error.getChild("error").getChild("service-unavailable")).toBeDefined();
    await alice.stop();
  });

  test("carbons show them on the other devices", async () => {
    const [phone, laptop, bob] = [
      await online("alice", "phone"),
      await online("alice", "laptop"),
      await online("bob", "b"),
    ];
    await laptop.request(xml("iq", { type: "set" }, xml("enable", "urn:xmpp:carbons:2")));
    await phone.send(message("bob@localhost", "from the phone", "c1"));
    await bob.message("from the phone");
    const copy = await laptop.receives(
      "the carbon",
      (stanza) => stanza.getChild("sent", "urn:xmpp:carbons:2") !== undefined,
    );
    expect(copy.attrs.from).toBe("alice@localhost");
    await Promise.all([phone.stop(), laptop.stop(), bob.stop()]);
  });
});

describe("rosters and presence", () => {
  test("two people add each other and see each other come and go", async () => {
    const [alice, dave] = await Promise.all([online("alice", "a"), online("dave", "d")]);
    for (const person of [alice, dave])
      await person.request(xml("iq", { type: "get" }, xml("query", "jabber:iq:roster")));
    await alice.send(xml("presence", { to: "dave@localhost", type: "subscribe" }));
    await dave.receives("the request", (stanza) => stanza.is("presence") && stanza.attrs.type === "subscribe");
    await dave.send(xml("presence", { to: "alice@localhost", type: "subscribed" }));
    await dave.send(xml("presence", { to: "alice@localhost", type: "subscribe" }));
    await alice.receives(
      "dave's presence",
      (stanza) => stanza.is("presence") && stanza.attrs.from === dave.jid && stanza.attrs.type === undefined,
    );
    await alice.receives("dave's request", (stanza) => stanza.is("presence") && stanza.attrs.type === "subscribe");
    await alice.send(xml("presence", { to: "dave@localhost", type: "subscribed" }));
    await dave.receives(
      "alice's presence",
      (stanza) => stanza.is("presence") && stanza.attrs.from === alice.jid && stanza.attrs.type === undefined,
    );
    const roster = await alice.request(xml("iq", { type: "get" }, xml("query", "jabber:iq:roster")));
    expect(roster.getChild("query").getChild("item").attrs).toMatchObject({
      jid: "dave@localhost",
      subscription: "both",
    });
    await alice.stop();
    await dave.receives("alice's goodbye", (stanza) => stanza.is("presence") && stanza.attrs.type === "unavailable");
    await dave.stop();
  });

  test("a request that was approved before it came is granted without a question (RFC 6121, 3.4)", async () => {
    const [bob, carol] = await Promise.all([online("bob", "b"), online("carol", "c")]);
    await bob.request(xml("iq", { type: "get" }, xml("query", "jabber:iq:roster")));
    await bob.send(xml("presence", { to: "carol@localhost", type: "subscribed" }));
    await bob.receives("the push of the approval", (stanza) => {
      const item = stanza.is("iq") ? stanza.getChild("query")?.getChild("item") : undefined;
      return item?.attrs.jid === "carol@localhost" && item.attrs.approved === "true";
    });
    await carol.send(xml("presence", { to: "bob@localhost", type: "subscribe" }));
    await carol.receives("the approval", (stanza) => stanza.is("presence") && stanza.attrs.type === "subscribed");
    await carol.receives(
      "bob's presence",
      (stanza) => stanza.is("presence") && stanza.attrs.from === bob.jid && stanza.attrs.type === undefined,
    );
    await Promise.all([bob.stop(), carol.stop()]);
  });
});

test("the session request of old clients is granted (RFC 3921), and host-meta names the WebSocket (XEP-0156)", async () => {
  const alice = await connect("alice", "legacy");
  const granted = await alice.request(
    xml("iq", { type: "set" }, xml("session", "urn:ietf:params:xml:ns:xmpp-session")),
  );
  expect(granted.attrs.type).toBe("result");
  await alice.stop();
  const response = await fetch(`http://localhost:${server.httpPort}/.well-known/host-meta.json`);
  const { links } = (await response.json()) as { links: { rel: string; href: string }[] };
  expect(links.find(({ rel }) => rel === "urn:xmpp:alt-connections:websocket")?.href).toMatch(/^wss?:.*\/ws-xmpp$/);
});

describe("entity capabilities 2.0", () => {
  /** The first example of XEP-0390, section 4.2, and its hash. */
  const hash = "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=";
  const features = [
    "http://jabber.org/protocol/si",
    "http://jabber.org/protocol/bytestreams",
    "http://jabber.org/protocol/chatstates",
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    "urn:xmpp:ping",
    "jabber:iq:time",
    "jabber:iq:privacy",
    "jabber:iq:version",
    "http://jabber.org/protocol/rosterx",
    "urn:xmpp:time",
    "jabber:x:oob",
    "http://jabber.org/protocol/ibb",
    "http://jabber.org/protocol/si/profile/file-transfer",
    "urn:xmpp:receipts",
    "jabber:iq:roster",
    "jabber:iq:last",
  ];

  /** Sends presence with the hash; the nodes that the server asks for until it has dealt with it. */
  async function asked(client: XmppJs): Promise<string[]> {
    const nodes: string[] = [];
    const info = "http://jabber.org/protocol/disco#info";
    client.xmpp.iqCallee.get(info, "query", ({ element }: Any) => {
      nodes.push(element.attrs.node);
      return xml(
        "query",
        { xmlns: info, node: element.attrs.node },
        xml("identity", { category: "client", type: "mobile", name: "BombusMod" }),
        ...features.map((name) => xml("feature", { var: name })),
      );
    });
    const sum = xml("hash", { xmlns: "urn:xmpp:hashes:2", algo: "sha-256" }, hash);
    await client.send(xml("presence", {}, xml("c", "urn:xmpp:caps", sum)));
    for (let again = 0; again < 2; again++) await client.caughtUp();
    return nodes;
  }

  test("a client is asked once for all what its hash means", async () => {
    const phone = await connect("alice", "phone");
    expect(await asked(phone)).toEqual([`urn:xmpp:caps#sha-256.${hash}`]);
    // What was learned is kept a moment later.
    await eventually(20_000, async () => {
      const laptop = await connect("bob", "laptop");
      const questions = await asked(laptop);
      await laptop.stop();
      expect(questions).toEqual([]);
    });
    await phone.stop();
  });

  test("the server says in the stream features what its own hash is, and at that node what it means", async () => {
    const announced = new Promise<Any>((resolve) => {
      const own = new XmppJs({ service: direct(), username: "alice", password: "secret", resource: "caps" });
      own.xmpp.on("element", (element: Any) => {
        const caps = element.is("features") ? element.getChild("c", "urn:xmpp:caps") : undefined;
        if (caps !== undefined) resolve({ own, sum: caps.getChild("hash") });
      });
      own.start();
    });
    const { own, sum } = await announced;
    expect(sum.attrs.algo).toBe("sha-256");
    const node = `urn:xmpp:caps#sha-256.${sum.text()}`;
    const query = xml("query", { xmlns: "http://jabber.org/protocol/disco#info", node });
    const answer = (await own.request(xml("iq", { type: "get", to: "localhost" }, query))).getChild("query");
    expect(answer.attrs.node).toBe(node);
    expect(answer.getChildren("feature").map((feature: Any) => feature.attrs.var)).toContain("urn:xmpp:carbons:2");
    await own.stop();
  });
});

describe("stream management", () => {
  test("a client whose connection broke goes on where it was, and misses nothing", async () => {
    const [alice, bob] = [await online("alice", "mobile"), await online("bob", "b")];
    await alice.caughtUp();
    const mobile = alice.jid;
    const resumed = new Promise<void>((resolve) => alice.xmpp.streamManagement.once("resumed", resolve));
    alice.xmpp.socket.socket?.destroy?.();
    alice.xmpp.socket.destroy?.();
    await bob.send(message(mobile, "while you were away", "sm1"));
    await bob.caughtUp();
    alice.xmpp.reconnect.start();
    await alice.xmpp.reconnect.reconnect();
    await resumed;
    await alice.message("while you were away");
    alice.xmpp.reconnect.stop();
    await Promise.all([alice.stop(), bob.stop()]);
  });
});

test("who has been silent is pinged; who does not answer is closed", async () => {
  const ping =
    "[modules.mod_ping]\nsend_pings = true\nping_interval = 1\nping_req_timeout = 3\ntimeout_action = 'kill'";
  await using own = await startServer({ modules: `[modules.mod_presence]\n[modules.mod_disco]\n${ping}` });
  for (const name of ["alice", "bob"]) await own.register(name);
  const service = `xmpps://127.0.0.1:${own.tlsPort}`;
  const alice = await new XmppJs({ service, username: "alice", password: "secret", resource: "a" }).start();
  const pings: string[] = [];
  const fourth = new Promise<void>((resolve) => {
    alice.xmpp.on("element", (element: Any) => {
      if (element.getChild("ping", "urn:xmpp:ping") !== undefined && pings.push(element.attrs.from) === 4) resolve();
    });
  });
  const mute = await RawClient.login({ port: own.c2sPort }, "bob", "mute");
  expect(await mute.end()).toContain("<connection-timeout");
  await fourth;
  await alice.caughtUp();
  await alice.stop();
});

test("kill -9 loses no message that was acknowledged", async () => {
  await using own = await startServer({
    extra: '[[access.max_user_offline_messages]]\nacl = "all"\nvalue = 1000',
  });
  await own.register("ann");
  await own.register("ben");
  const ann = await new XmppJs({
    service: `xmpps://127.0.0.1:${own.tlsPort}`,
    username: "ann",
    password: "secret",
    resource: "a",
  }).start();
  const acknowledged: string[] = [];
  ann.xmpp.streamManagement.on("ack", (stanza: Any) => {
    if (stanza.is("message")) acknowledged.push(stanza.attrs.id);
  });
  const half = new Promise<void>((resolve) => {
    ann.xmpp.streamManagement.on("ack", () => {
      if (acknowledged.length >= 100) resolve();
    });
  });
  const sending = (async () => {
    for (let n = 0; n < 400; n++) {
      await ann.send(message("ben@localhost", `m${n}`, `m${n}`));
      if (n % 20 === 0) await ann.send(xml("r", { xmlns: "urn:xmpp:sm:3" }));
    }
  })();
  sending.catch(() => {});
  await half;
  await own.kill("SIGKILL");
  ann.xmpp.stop().catch(() => {});
  await own.restart();
  const ben = await new XmppJs({
    service: `xmpps://127.0.0.1:${own.tlsPort}`,
    username: "ben",
    password: "secret",
    resource: "b",
  }).start();
  await ben.send(xml("presence"));
  await ben.caughtUp();
  for (const id of acknowledged) await ben.receives(id, (stanza) => stanza.attrs.id === id);
  await ben.stop();
});
