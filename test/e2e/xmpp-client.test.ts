/** The started server through @xmpp/client: transports, logging in, messages, rosters, resumption, and what must fail. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { client, xml } from "@xmpp/client";
import { startServer, type TestServer } from "../support/server.ts";

// The server's certificate is its own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

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

/** A connected client that keeps what it receives. */
class Client {
  readonly xmpp: Any;
  readonly #inbox: Any[] = [];
  readonly #waiting: { fits: (stanza: Any) => boolean; take: (stanza: Any) => void }[] = [];

  constructor(options: Record<string, unknown>) {
    this.xmpp = client({ domain: "localhost", ...options } as Any);
    this.xmpp.reconnect.stop();
    this.xmpp.on("error", () => {});
    this.xmpp.on("stanza", (stanza: Any) => {
      const at = this.#waiting.findIndex((waiting) => waiting.fits(stanza));
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.take(stanza);
      else this.#inbox.push(stanza);
    });
  }

  async start(): Promise<this> {
    await this.xmpp.start();
    return this;
  }

  send(stanza: Any): Promise<void> {
    return this.xmpp.send(stanza);
  }

  request(stanza: Any): Promise<Any> {
    return this.xmpp.iqCaller.request(stanza, 5_000);
  }

  /** The first stanza that fits, received already or to come. */
  receives(what: string, fits: (stanza: Any) => boolean): Promise<Any> {
    const at = this.#inbox.findIndex(fits);
    if (at >= 0) return Promise.resolve(this.#inbox.splice(at, 1)[0]);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${what} did not arrive; there are: ${this.#inbox.join("\n")}`)),
        5_000,
      );
      this.#waiting.push({
        fits,
        take: (stanza) => {
          clearTimeout(timer);
          resolve(stanza);
        },
      });
    });
  }

  message(body: string): Promise<Any> {
    return this.receives(
      `the message '${body}'`,
      (stanza) => stanza.is("message") && stanza.getChildText("body") === body,
    );
  }

  /** Everything the server had to say before now has arrived when this resolves. */
  async caughtUp(): Promise<void> {
    await this.request(
      xml("iq", { type: "get", to: "localhost" }, xml("query", "http://jabber.org/protocol/disco#info")),
    );
  }

  received(fits: (stanza: Any) => boolean): boolean {
    return this.#inbox.some(fits);
  }

  /** The full address; SASL2's binding adds something of the server's to the resource asked for. */
  get jid(): string {
    return String(this.xmpp.jid);
  }

  stop(): Promise<void> {
    return this.xmpp.stop();
  }
}

const direct = () => `xmpps://127.0.0.1:${server.tlsPort}`;
const startTls = () => `xmpp://127.0.0.1:${server.c2sPort}`;

function connect(username: string, resource: string, more: Record<string, unknown> = {}): Promise<Client> {
  return new Client({ service: direct(), username, password: "secret", resource, ...more }).start();
}

async function online(username: string, resource: string): Promise<Client> {
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
    const wrong = new Client({ service: direct(), username: "alice", password: "guess", resource: "x" });
    await expect(wrong.start()).rejects.toThrow("not-authorized");
    await wrong.stop();
  });

  test("an account that does not exist gets the same answer", async () => {
    const nobody = new Client({ service: direct(), username: "nobody", password: "guess", resource: "x" });
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

test("kill -9 loses no message that was acknowledged", async () => {
  await using own = await startServer({
    extra: '[[access.max_user_offline_messages]]\nacl = "all"\nvalue = 1000',
  });
  await own.register("ann");
  await own.register("ben");
  const ann = await new Client({
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
  const ben = await new Client({
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
