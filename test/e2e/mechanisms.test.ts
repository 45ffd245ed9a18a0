/**
 * Every mechanism over every transport, by clients that others wrote: @xmpp/client here, with the SCRAM of StanzaJS where
 * it has none of its own. slixmpp.test.ts, strophe.test.ts and stanza-js.test.ts do the same with those clients' own SASL.
 *
 * | mechanism                    | STARTTLS, direct TLS              | WebSocket, in clear and over TLS        |
 * | ---------------------------- | --------------------------------- | --------------------------------------- |
 * | PLAIN, SCRAM-SHA-1/256/512   | SASL: slixmpp, here; SASL2: here  | SASL: strophe, stanza, here; SASL2: here |
 * | -PLUS, tls-exporter          | SASL, SASL2: here                 | not offered (1)                         |
 * | -PLUS, tls-server-end-point  | SASL: slixmpp, here; SASL2: here  | not offered (1)                         |
 * | HT-SHA-256-NONE (FAST)       | here                              | here                                    |
 * | HT-SHA-256-EXPR, -ENDP       | src/auth/ht.test.ts (2)           | not offered (1)                         |
 *
 * (1) No browser shows a page the TLS connection below its WebSocket, so no client there could bind to it.
 * (2) No client that is packaged has them.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { xml } from "@xmpp/client";
import { catalogue } from "../../src/modules/catalogue.ts";
import { onRequest, startServer, type TestServer } from "../support/server.ts";
import { type BindingType, useScram } from "../support/stanza-scram.ts";
import { XmppJs } from "../support/xmpp-js.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;

const inSasl2 = ["mod_sasl2", "mod_bind2", "mod_fast_auth_token"];

/** With SASL2, Bind 2 and FAST, and without. */
let modern: TestServer;
let classic: TestServer;

beforeAll(async () => {
  const modules = catalogue
    .filter(({ name }) => !inSasl2.includes(name) && !onRequest.includes(name))
    .map(({ name }) => `[modules.${name}]`)
    .join("\n");
  [modern, classic] = await Promise.all([startServer({ https: true }), startServer({ https: true, modules })]);
  await Promise.all([modern.register("alice"), classic.register("alice")]);
});
afterAll(async () => {
  await Promise.all([modern?.stop(), classic?.stop()]);
});

type Transport = "STARTTLS" | "direct TLS" | "WebSocket" | "WebSocket over TLS";
const transports: readonly Transport[] = ["STARTTLS", "direct TLS", "WebSocket", "WebSocket over TLS"];

function serviceOf(server: TestServer, transport: Transport): string {
  switch (transport) {
    case "STARTTLS":
      return `xmpp://127.0.0.1:${server.c2sPort}`;
    case "direct TLS":
      return `xmpps://127.0.0.1:${server.tlsPort}`;
    case "WebSocket":
      return `ws://127.0.0.1:${server.httpPort}/ws-xmpp`;
    case "WebSocket over TLS":
      return `wss://localhost:${server.httpsPort}/ws-xmpp`;
  }
}

/** What a client sent and was sent, as text. */
interface Wire {
  readonly sent: string[];
  readonly received: string[];
}

function watch(client: XmppJs): Wire {
  const wire: Wire = { sent: [], received: [] };
  client.xmpp.on("send", (element: Any) => wire.sent.push(String(element)));
  client.xmpp.on("element", (element: Any) => wire.received.push(String(element)));
  return wire;
}

interface Way {
  readonly mechanism: string;
  readonly binding?: BindingType;
  readonly username?: string;
}

function make(server: TestServer, transport: Transport, way: Way): { client: XmppJs; wire: Wire } {
  const client = new XmppJs({
    service: serviceOf(server, transport),
    resource: "cell",
    credentials: async (authenticate: Any, _offered: string[], _fast: unknown) => {
      const agent = xml("user-agent", { id: randomUUID() });
      await authenticate({ username: way.username ?? "alice", password: "secret" }, way.mechanism, agent);
    },
  });
  if (way.mechanism.startsWith("SCRAM-") && way.mechanism !== "SCRAM-SHA-1")
    useScram(client.xmpp, way.mechanism, way.binding);
  return { client, wire: watch(client) };
}

const scrams = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const plain: Way[] = ["PLAIN", ...scrams].map((mechanism) => ({ mechanism }));
const plus: Way[] = scrams.flatMap((name) =>
  (["tls-exporter", "tls-server-end-point"] as const).map((binding) => ({ mechanism: `${name}-PLUS`, binding })),
);
type Cell = [transport: Transport, mechanism: string, binding: string, way: Way];
const cells: Cell[] = transports.flatMap((transport) =>
  (transport.startsWith("WebSocket") ? plain : [...plain, ...plus]).map(
    (way): Cell => [transport, way.mechanism, way.binding ?? "without", way],
  ),
);

describe("SASL", () => {
  test.each(cells)("over %s: %s (%s channel binding)", async (transport, mechanism, _binding, way) => {
    const { client, wire } = make(classic, transport, way);
    await client.start();
    expect(client.jid).toBe("alice@localhost/cell");
    expect(wire.sent.join("")).toContain(`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="${mechanism}"`);
    await client.caughtUp();
    await client.stop();
  });
});

describe("SASL2 and Bind 2", () => {
  test.each(cells)("over %s: %s (%s channel binding)", async (transport, mechanism, _binding, way) => {
    const { client, wire } = make(modern, transport, way);
    await client.start();
    expect(client.jid).toStartWith("alice@localhost/cell");
    expect(wire.sent.join("")).toContain(`<authenticate xmlns="urn:xmpp:sasl:2" mechanism="${mechanism}"`);
    const success = wire.received.find((text) => text.startsWith("<success"));
    expect(success).toContain('<bound xmlns="urn:xmpp:bind:0"');
    expect(wire.sent.some((text) => text.includes("urn:ietf:params:xml:ns:xmpp-bind"))).toBe(false);
    await client.caughtUp();
    await client.stop();
  });
});

interface Token {
  readonly mechanism: string;
  readonly token: string;
  readonly expiry: string;
}

/** One installation of a client: its user agent stays the same, and so may its token. */
class Installation {
  readonly #agent = randomUUID();
  token: Token | undefined;

  /** Logs in, by the token where there is one; says which mechanisms it tried. */
  async login(server: TestServer, transport: Transport, password?: string): Promise<string[]> {
    const client = new XmppJs({
      service: serviceOf(server, transport),
      resource: "fast",
      credentials: async (authenticate: Any, _offered: string[], fast: Any) => {
        fast.saveToken = async (token: Token) => {
          this.token = token;
        };
        fast.deleteToken = async () => {
          this.token = undefined;
        };
        const agent = xml("user-agent", { id: this.#agent });
        await authenticate({ username: "alice", password, token: this.token }, "SCRAM-SHA-1", agent);
      },
    });
    const { sent } = watch(client);
    try {
      await client.start();
      expect(client.jid).toStartWith("alice@localhost/fast");
      await client.caughtUp();
    } finally {
      await client.stop();
    }
    return sent.flatMap((text) => /^<authenticate[^>]* mechanism="([^"]+)"/.exec(text)?.[1] ?? []);
  }
}

describe("FAST", () => {
  test.each(transports)("over %s: a token that came with the password logs in without it", async (transport) => {
    const phone = new Installation();
    expect(await phone.login(modern, transport, "secret")).toEqual(["SCRAM-SHA-1"]);
    expect(phone.token).toMatchObject({ mechanism: "HT-SHA-256-NONE" });
    const days = (Date.parse(phone.token!.expiry) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(20);
    expect(days).toBeLessThan(22);
    for (let again = 0; again < 3; again++) expect(await phone.login(modern, transport)).toEqual(["HT-SHA-256-NONE"]);
  });

  test("another installation cannot use it, and its password still works", async () => {
    const phone = new Installation();
    await phone.login(modern, "direct TLS", "secret");
    const thief = new Installation();
    thief.token = phone.token;
    await expect(thief.login(modern, "direct TLS", "guess")).rejects.toThrow("not-authorized");
    thief.token = phone.token;
    expect(await thief.login(modern, "direct TLS", "secret")).toEqual(["HT-SHA-256-NONE", "SCRAM-SHA-1"]);
    expect(thief.token?.token).not.toBe(phone.token!.token);
    expect(await phone.login(modern, "direct TLS")).toEqual(["HT-SHA-256-NONE"]);
  });

  test("a changed password voids it", async () => {
    await using own = await startServer();
    await own.register("alice");
    const phone = new Installation();
    await phone.login(own, "STARTTLS", "secret");
    await own.ctl("account", "changeUserPassword", "--user", "alice@localhost", "--newPassword", "new secret");
    expect(await phone.login(own, "STARTTLS", "new secret")).toEqual(["HT-SHA-256-NONE", "SCRAM-SHA-1"]);
    expect(await phone.login(own, "STARTTLS")).toEqual(["HT-SHA-256-NONE"]);
  });

  test("one that is about to expire is renewed, and survives a restart of the server", async () => {
    const modules = catalogue
      .filter(({ name }) => !onRequest.includes(name) && name !== "mod_fast_auth_token")
      .map(({ name }) => `[modules.${name}]`)
      .join("\n");
    const always = "[modules.mod_fast_auth_token]\nvalidity_days = 5\nrotate_before_expire_days = 6";
    await using own = await startServer({ modules: `${modules}\n${always}` });
    await own.register("alice");
    const phone = new Installation();
    await phone.login(own, "direct TLS", "secret");
    const first = phone.token!.token;
    expect(await phone.login(own, "direct TLS")).toEqual(["HT-SHA-256-NONE"]);
    const second = phone.token!.token;
    expect(second).not.toBe(first);
    await own.kill("SIGTERM");
    await own.restart();
    expect(await phone.login(own, "direct TLS")).toEqual(["HT-SHA-256-NONE"]);
    expect(phone.token!.token).not.toBe(second);
  });
});

test("imported accounts have one hash at first, and soon the others", async () => {
  await using own = await startServer();
  await own.register("alice");
  const file = join(own.dataDir, "users.csv");
  writeFileSync(file, "imported,localhost,secret\n");
  expect(await own.ctl("account", "importUsers", "--filename", file)).toMatchObject({ created: 1 });
  /** Which mechanisms alice is offered. */
  const offered = async (): Promise<string> => {
    const { client, wire } = make(own, "direct TLS", { mechanism: "SCRAM-SHA-256" });
    await client.start();
    await client.stop();
    return wire.received.find((text) => text.includes("SCRAM-SHA-256")) ?? "";
  };
  let features = await offered();
  for (let tries = 0; tries < 500 && !features.includes("SCRAM-SHA-512"); tries++) features = await offered();
  for (const mechanism of ["SCRAM-SHA-1", "SCRAM-SHA-512"]) {
    expect(features).toContain(`>${mechanism}<`);
    const { client } = make(own, "direct TLS", { mechanism, username: "imported" });
    await client.start();
    expect(client.jid).toStartWith("imported@localhost/");
    await client.stop();
  }
});

describe("what no cell is for", () => {
  test.each(["WebSocket", "WebSocket over TLS"] as const)(
    "over %s no channel binding is offered",
    async (transport) => {
      const { client, wire } = make(modern, transport, { mechanism: "PLAIN" });
      await client.start();
      const features = wire.received.find((text) => text.includes("SCRAM-SHA-1"));
      expect(features).toContain("HT-SHA-256-NONE");
      for (const absent of ["-PLUS", "channel-binding", "HT-SHA-256-EXPR", "HT-SHA-256-ENDP"])
        expect(features).not.toContain(absent);
      await client.stop();
    },
  );

  test.each(["SASL", "SASL2"])("by %s a binding to another connection is refused", async (profile) => {
    const server = profile === "SASL" ? classic : modern;
    const way: Way = { mechanism: "SCRAM-SHA-256-PLUS", binding: "tls-exporter" };
    const { client } = make(server, "direct TLS", way);
    // The keying material of somebody in the middle would be other than the server's.
    client.xmpp.on("connect", () => {
      client.xmpp.socket.socket.exportKeyingMaterial = () => Buffer.alloc(32, 1);
    });
    await expect(client.start()).rejects.toThrow("not-authorized");
    await client.stop();
  });
});
