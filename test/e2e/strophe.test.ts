/** The started server through strophe.js over WebSocket: mechanisms, roster, presence, chat, resumption. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { $iq, $msg, $pres, Strophe } from "strophe.js";
import { startServer, type TestServer } from "../support/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library's types know the DOM, which is not ours
type Any = any;

const { Status, NS } = Strophe as Any;
const waitMs = 20_000;
(Strophe as Any).setLogLevel((Strophe as Any).LogLevel.FATAL);

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
  for (const name of ["alice", "bob"]) await server.register(name);
});
afterAll(async () => {
  await server.stop();
});

/** A connection that keeps what it receives and which states it went through. */
class Client {
  readonly connection: Any;
  readonly #statuses: number[] = [];
  readonly #inbox: Any[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(options: Record<string, unknown> = {}) {
    this.connection = new (Strophe as Any).Connection(`ws://127.0.0.1:${server.httpPort}/ws-xmpp`, options);
  }

  connect(jid: string, password: string): void {
    for (const name of ["message", "presence", "iq"]) {
      this.connection.addHandler(
        (stanza: Any) => {
          this.#inbox.push(stanza);
          this.#wake();
          return true;
        },
        null,
        name,
        null,
      );
    }
    this.connection.connect(jid, password, (status: number) => {
      this.#statuses.push(status);
      this.#wake();
    });
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }

  #wait<T>(what: string, take: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const taken = take();
        if (taken === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(taken);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        const inbox = this.#inbox.map((stanza) => (Strophe as Any).serialize(stanza)).join("\n");
        reject(new Error(`${what} did not come; states ${this.#statuses}; there are: ${inbox}`));
      }, waitMs);
      this.#waiting.add(look);
      look();
    });
  }

  async status(...wanted: number[]): Promise<number> {
    return await this.#wait(`one of the states ${wanted}`, () => {
      const at = this.#statuses.findIndex((status) => wanted.includes(status));
      return at < 0 ? undefined : this.#statuses.splice(0, at + 1).at(-1);
    });
  }

  receives(what: string, fits: (stanza: Any) => boolean): Promise<Any> {
    return this.#wait(what, () => {
      const at = this.#inbox.findIndex(fits);
      return at < 0 ? undefined : this.#inbox.splice(at, 1)[0];
    });
  }

  message(body: string): Promise<Any> {
    return this.receives(`the message '${body}'`, (stanza) => childText(stanza, "body") === body);
  }

  request(stanza: Any): Promise<Any> {
    return new Promise((resolve, reject) => {
      this.connection.sendIQ(
        stanza,
        resolve,
        (error: Any) => reject(new Error(error === null ? "no answer" : (Strophe as Any).serialize(error))),
        waitMs,
      );
    });
  }

  send(stanza: Any): void {
    this.connection.send(stanza);
  }

  async stop(): Promise<void> {
    this.connection.disconnect();
    await this.status(Status.DISCONNECTED);
  }
}

function childText(stanza: Any, name: string): string | undefined {
  return stanza.getElementsByTagName(name)[0]?.textContent ?? undefined;
}

async function login(username: string, resource: string, options: Record<string, unknown> = {}): Promise<Client> {
  const client = new Client(options);
  client.connect(`${username}@localhost/${resource}`, "secret");
  expect(await client.status(Status.CONNECTED, Status.AUTHFAIL, Status.CONNFAIL)).toBe(Status.CONNECTED);
  return client;
}

describe("logging in", () => {
  test.each([
    ["PLAIN", "SASLPlain"],
    ["SCRAM-SHA-1", "SASLSHA1"],
    ["SCRAM-SHA-256", "SASLSHA256"],
    ["SCRAM-SHA-512", "SASLSHA512"],
  ])("by %s", async (name, mechanism) => {
    const alice = await login("alice", "login", { mechanisms: [(Strophe as Any)[mechanism]] });
    expect(alice.connection.jid).toBe("alice@localhost/login");
    expect(alice.connection._sasl_mechanism?.mechname).toBe(name);
    await alice.stop();
  });

  test("a wrong password is refused", async () => {
    const wrong = new Client();
    wrong.connect("alice@localhost/wrong", "guess");
    expect(await wrong.status(Status.CONNECTED, Status.AUTHFAIL)).toBe(Status.AUTHFAIL);
    wrong.connection.disconnect();
  });

  test("an account that does not exist is refused alike", async () => {
    const nobody = new Client();
    nobody.connect("nobody@localhost/wrong", "guess");
    expect(await nobody.status(Status.CONNECTED, Status.AUTHFAIL)).toBe(Status.AUTHFAIL);
    nobody.connection.disconnect();
  });

  test("the newer of two at one address wins", async () => {
    const older = await login("alice", "same");
    const newer = await login("alice", "same");
    await older.status(Status.DISCONNECTED);
    await newer.request($iq({ type: "get", to: "localhost" }).c("ping", { xmlns: "urn:xmpp:ping" }));
    await newer.stop();
  });
});

describe("two people", () => {
  test("find each other, see each other come and go, and chat", async () => {
    const alice = await login("alice", "web");
    const bob = await login("bob", "web");
    for (const each of [alice, bob]) {
      await each.request($iq({ type: "get" }).c("query", { xmlns: NS.ROSTER }));
      each.send($pres());
    }
    alice.send($pres({ to: "bob@localhost", type: "subscribe" }));
    await bob.receives("the request", (stanza) => stanza.getAttribute("type") === "subscribe");
    bob.send($pres({ to: "alice@localhost", type: "subscribed" }));
    await alice.receives("the approval", (stanza) => stanza.getAttribute("type") === "subscribed");
    await alice.receives(
      "bob's presence",
      (stanza) => stanza.tagName === "presence" && stanza.getAttribute("from") === "bob@localhost/web",
    );
    await alice.receives("the roster push", (stanza) => {
      const item = stanza.getElementsByTagName("item")[0];
      return (
        stanza.tagName === "iq" &&
        item?.getAttribute("jid") === "bob@localhost" &&
        item.getAttribute("subscription") === "to"
      );
    });

    alice.send($msg({ to: "bob@localhost/web", type: "chat" }).c("body").t("Hello <Bob> & co 👋"));
    const received = await bob.message("Hello <Bob> & co 👋");
    expect(received.getAttribute("from")).toBe("alice@localhost/web");
    bob.send($msg({ to: "alice@localhost", type: "chat" }).c("body").t("Hello Alice"));
    await alice.message("Hello Alice");

    bob.send($pres().c("show").t("away"));
    await alice.receives("that bob is away", (stanza) => childText(stanza, "show") === "away");
    await bob.stop();
    await alice.receives(
      "that bob is gone",
      (stanza) => stanza.getAttribute("type") === "unavailable" && stanza.getAttribute("from") === "bob@localhost/web",
    );

    alice.send($msg({ to: "bob@localhost", type: "chat" }).c("body").t("while you were out"));
    await alice.request($iq({ type: "get", to: "localhost" }).c("ping", { xmlns: "urn:xmpp:ping" }));
    const back = await login("bob", "back");
    back.send($pres());
    const late = await back.message("while you were out");
    expect(late.getElementsByTagName("delay")).not.toHaveLength(0);
    await back.stop();
    await alice.stop();
  });

  test("an unknown request is service-unavailable", async () => {
    const alice = await login("alice", "asking");
    const unknown = alice.request($iq({ type: "get", to: "localhost" }).c("query", { xmlns: "urn:nobody:knows" }));
    await expect(unknown).rejects.toThrow("service-unavailable");
    await alice.stop();
  });
});

describe("stream management", () => {
  test("a connection that broke is resumed, and what was missed is sent", async () => {
    const alice = await login("alice", "resuming", { enableStreamManagement: true });
    alice.send($pres());
    await alice.receives("own presence", (stanza) => stanza.tagName === "presence");
    // An answer from the server is behind its <enabled/>.
    await alice.request($iq({ type: "get", to: "localhost" }).c("ping", { xmlns: "urn:xmpp:ping" }));
    expect(alice.connection.sm.enabled ?? alice.connection.sm._state.enabled).toBe(true);
    alice.connection._proto.socket.close(3000);
    await alice.status(Status.DISCONNECTED, Status.CONNFAIL);
    const bob = await login("bob", "sender");
    bob.send($msg({ to: "alice@localhost/resuming", type: "chat" }).c("body").t("missed"));
    await bob.request($iq({ type: "get", to: "localhost" }).c("ping", { xmlns: "urn:xmpp:ping" }));
    await bob.stop();
    alice.connect("alice@localhost/resuming", "secret");
    await alice.status(Status.CONNECTED, Status.ATTACHED);
    expect(alice.connection.hasResumed()).toBe(true);
    await alice.message("missed");
    await alice.stop();
  });
});
