/** Bad input at the started server: each kind gets the RFC's error or is cut off, and the others notice nothing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { readFileSync } from "node:fs";
import { header, plain, RawClient } from "../support/raw-client.ts";
import { startServer, type TestServer } from "../support/server.ts";

const sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
const streams = "urn:ietf:params:xml:ns:xmpp-streams";
const framing = "urn:ietf:params:xml:ns:xmpp-framing";
const maxStanzaSize = 65_536;
/** The default. */
const webSocketStanzaSize = 262_144;
const writeQueueBytesMax = 262_144;
const unacknowledgedBytesMax = 100_000;

let server: TestServer;
let bob: RawClient;

beforeAll(async () => {
  server = await startServer({
    c2s: `max_stanza_size = ${maxStanzaSize}`,
    extra: `[limits]\nwrite_queue_bytes_max = ${writeQueueBytesMax}\nunacknowledged_bytes_max = ${unacknowledgedBytesMax}`,
  });
  for (const name of ["alice", "bob", "carol"]) await server.register(name);
  bob = await RawClient.login({ port: server.c2sPort }, "bob", "witness");
});
afterAll(async () => {
  bob.close();
  await server.stop();
});

const tcp = () => ({ port: server.c2sPort });

/** The stream ends with this error and a footer, and so does the connection. */
async function endsWith(client: RawClient, condition: string): Promise<void> {
  const text = await client.end();
  expect(text).toContain(`<${condition} xmlns='${streams}'/>`);
  expect(text).toEndWith("</stream:stream>");
}

/** The witness, connected all along, is still served. */
async function othersGoOn(): Promise<void> {
  bob.write("<iq type='get' id='alive' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
  expect(await bob.until("id='alive'")).not.toContain("stream:error");
}

const nested = (depth: number): string => "<a>".repeat(depth) + "</a>".repeat(depth);

describe("before login", () => {
  const headers: [string, string, string][] = [
    ["something that is no XML", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"],
    [
      "a header in a wrong namespace",
      "<stream:stream xmlns='jabber:client' xmlns:stream='urn:x' to='localhost' version='1.0'>",
      "invalid-namespace",
    ],
    ["an unknown host", header("to='elsewhere.example' version='1.0'"), "host-unknown"],
    ["a header without a version", header("to='localhost'"), "unsupported-version"],
    ["a document type", `<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>${header().slice(21)}`, "restricted-xml"],
    [
      "an encoding other than UTF-8",
      header().replace("'1.0'?", "'1.0' encoding='ISO-8859-1'?"),
      "unsupported-encoding",
    ],
  ];
  test.each(headers)("%s", async (_name, bytes, condition) => {
    const client = await RawClient.open(tcp());
    client.write(bytes);
    await endsWith(client, condition);
  });

  const elements: [string, string | Uint8Array, string][] = [
    ["malformed XML", "<auth></oops>", "not-well-formed"],
    ["an unbound prefix", "<x:y/>", "not-well-formed"],
    ["a message", "<message to='bob@localhost'><body>hi</body></message>", "not-authorized"],
    ["a request", "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized"],
    [
      "a resource binding",
      "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
      "not-authorized",
    ],
    ["an element nobody knows", "<hello xmlns='urn:hello'/>", "not-authorized"],
    ["more than 10,000 bytes", `<message><body>${"x".repeat(10_000)}</body></message>`, "policy-violation"],
    ["an element that does not end", `<message><body>${"x".repeat(10_000)}`, "policy-violation"],
    ["a tag that does not end", `<message a='${"x".repeat(10_000)}`, "policy-violation"],
    ["text that does not end between elements", "x".repeat(10_001), "bad-format"],
    ["a comment", "<!-- hello -->", "restricted-xml"],
    ["a processing instruction", "<?php echo 1 ?>", "restricted-xml"],
    ["an entity of its own", "<message><body>&lol;</body></message>", "restricted-xml"],
    ["invalid UTF-8", Buffer.from([0x3c, 0x61, 0x3e, 0xc3, 0x28, 0x3c, 0x2f, 0x61, 0x3e]), "unsupported-encoding"],
    ["a zero byte", "<message>\0</message>", "not-well-formed"],
  ];
  test.each(elements)("%s", async (_name, bytes, condition) => {
    const client = await RawClient.stream(tcp());
    client.write(bytes);
    const text = await client.end();
    expect(text).toMatch(new RegExp(`<(${condition}) xmlns='${streams}'/>`));
    expect(text).toEndWith("</stream:stream>");
  });

  test("who says nothing is closed with connection-timeout", async () => {
    await using impatient = await startServer({ c2s: "state_timeout = 1000" });
    const silent = await RawClient.open({ port: impatient.c2sPort });
    const halfway = await RawClient.stream({ port: impatient.c2sPort });
    await endsWith(silent, "connection-timeout");
    await endsWith(halfway, "connection-timeout");
  });

  test("what was sent in clear behind <starttls/> is thrown away", async () => {
    const client = await RawClient.stream(tcp());
    client.write(`<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${header()}${plain("alice", "secret")}`);
    const answer = await client.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    expect(answer).not.toContain("success");
    // Either the handshake fails on the clear text, or it goes on as if nothing had been sent: never a login.
    const secured = await client.startTls().then(
      () => true,
      () => false,
    );
    if (secured) {
      client.write(header());
      const features = await client.until("</stream:features>");
      expect(features).toContain("<mechanisms");
      expect(features).not.toContain("success");
    }
    client.close();
  });
});

describe("wrong passwords", () => {
  test("three of them end the connection, and the next are answered ever later", async () => {
    await using guarded = await startServer();
    await guarded.register("mallory");
    const guess = async (client: RawClient): Promise<number> => {
      const started = performance.now();
      client.write(plain("mallory", "guess"));
      expect(await client.until("</failure>")).toContain("<not-authorized/>");
      return performance.now() - started;
    };
    const first = await RawClient.stream({ port: guarded.c2sPort });
    const waits = [await guess(first), await guess(first), await guess(first)];
    expect(Math.min(...waits)).toBeLessThan(900); // a busy machine may take its time over one of them
    await endsWith(first, "policy-violation");
    const second = await RawClient.stream({ port: guarded.c2sPort });
    expect(await guess(second)).toBeGreaterThanOrEqual(950);
    expect(await guess(second)).toBeGreaterThanOrEqual(1_950);
    second.close();
  });

  test("the last of too many senseless attempts is answered once, as what it was", async () => {
    const client = await RawClient.stream(tcp());
    const senseless = Buffer.from("senseless").toString("base64");
    for (let tries = 0; tries < 3; tries++) {
      client.write(`<auth xmlns='${sasl}' mechanism='SCRAM-SHA-256'>${senseless}</auth>`);
      expect(await client.until("</failure>")).toContain("<malformed-request/>");
    }
    const rest = await client.end();
    expect(rest).toStartWith("<stream:error>");
    expect(rest).toContain(`<policy-violation xmlns='${streams}'/>`);
  });

  test("a recorded SCRAM login cannot be replayed", async () => {
    const response = (text: string) => `<response xmlns='${sasl}'>${Buffer.from(text).toString("base64")}</response>`;
    const bare = "n=alice,r=recorded";
    const begin = `<auth xmlns='${sasl}' mechanism='SCRAM-SHA-256'>${Buffer.from(`n,,${bare}`).toString("base64")}</auth>`;
    const first = await RawClient.stream(tcp());
    first.write(begin);
    const challenge = /<challenge[^>]*>([^<]*)</.exec(await first.until("</challenge>"))![1]!;
    const serverFirst = Buffer.from(challenge, "base64").toString();
    const [nonce, salt, iterations] = serverFirst.split(",").map((field) => field.slice(2)) as [string, string, string];
    const salted = pbkdf2Sync("secret", Buffer.from(salt, "base64"), Number(iterations), 32, "sha256");
    const clientKey = createHmac("sha256", salted).update("Client Key").digest();
    const storedKey = createHash("sha256").update(clientKey).digest();
    const message = `${bare},${serverFirst},c=biws,r=${nonce}`;
    const signature = createHmac("sha256", storedKey).update(message).digest();
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at]!)).toString("base64");
    const final = response(`c=biws,r=${nonce},p=${proof}`);
    first.write(final);
    await first.until("<success");
    first.close();
    const second = await RawClient.stream(tcp());
    second.write(begin);
    await second.until("</challenge>");
    second.write(final);
    expect(await second.until("</failure>")).not.toContain("success");
    second.close();
  });
});

/** Numbers the resources. */
let session = 0;

describe("after login", () => {
  const login = () => RawClient.login(tcp(), "alice", `bad${++session}`);

  const elements: [string, string | Uint8Array, string][] = [
    ["malformed XML", "<message></iq>", "not-well-formed"],
    [
      "too large a stanza",
      `<message to='bob@localhost'><body>${"x".repeat(maxStanzaSize)}</body></message>`,
      "policy-violation",
    ],
    [
      "too large a stanza that never ends",
      `<message to='bob@localhost'><body>${"x".repeat(maxStanzaSize)}`,
      "policy-violation",
    ],
    ["deep nesting", `<message to='bob@localhost'>${nested(1_000)}</message>`, "policy-violation"],
    [
      "1,000 attributes",
      `<message to='bob@localhost' ${Array.from({ length: 1_000 }, (_, at) => `a${at}=''`).join(" ")}/>`,
      "policy-violation",
    ],
    ["an attribute twice", "<message id='a' id='b'/>", "not-well-formed"],
    [
      "invalid UTF-8",
      Buffer.concat([Buffer.from("<message><body>"), Buffer.from([0xff, 0xfe]), Buffer.from("</body></message>")]),
      "unsupported-encoding",
    ],
    ["a comment within a stanza", "<message><body><!-- x --></body></message>", "restricted-xml"],
    ["a processing instruction within a stanza", "<message><?x y?></message>", "restricted-xml"],
    ["a document type", "<!DOCTYPE x>", "restricted-xml"],
    [
      "another's address",
      "<message from='bob@localhost/witness' to='bob@localhost'><body>x</body></message>",
      "invalid-from",
    ],
    [
      "another resource's address",
      "<message from='alice@localhost/other' to='bob@localhost'><body>x</body></message>",
      "invalid-from",
    ],
    ["no address at all", "<message from='a@b@c' to='bob@localhost'><body>x</body></message>", "invalid-from"],
    ["an unknown stanza", "<post to='bob@localhost'/>", "unsupported-stanza-type"],
    ["an unknown element beside stanzas", "<hello xmlns='urn:hello'/>", "unsupported-stanza-type"],
    ["logging in again", plain("alice", "secret"), "policy-violation"],
    ["a second XML declaration", header(), "restricted-xml"],
  ];
  test.each(elements)("%s", async (_name, bytes, condition) => {
    const alice = await login();
    alice.write(bytes);
    const text = await alice.end();
    expect(text).toMatch(new RegExp(`<(${condition}) xmlns='${streams}'/>`));
    expect(text).toEndWith("</stream:stream>");
  });

  test("nothing of a forged stanza arrived", async () => {
    bob.write("<iq type='get' id='mark' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(await bob.until("id='mark'")).not.toContain("<message");
  });

  test("a second resource is refused and the session goes on", async () => {
    const alice = await login();
    alice.write("<iq type='set' id='again'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    expect(await alice.until("</iq>")).toContain("<not-allowed");
    alice.write("<iq type='get' id='on' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    await alice.until("id='on'");
    alice.close();
  });

  test("acknowledging what was never sent is handled-count-too-high", async () => {
    const alice = await login();
    alice.write("<enable xmlns='urn:xmpp:sm:3'/>");
    await alice.until("<enabled");
    alice.write("<a xmlns='urn:xmpp:sm:3' h='1000'/>");
    const text = await alice.end();
    expect(text).toContain(`<undefined-condition xmlns='${streams}'/>`);
    expect(text).toMatch(/<handled-count-too-high xmlns='urn:xmpp:sm:3' h='1000' send-count='0'\/>/);
  });

  /** Two of them are kept for a client that acknowledges nothing, a third is too much. */
  const large = (id: number): string =>
    `<message to='alice@localhost' type='chat' id='large-${id}'><body>${"x".repeat(40_000)}</body></message>`;

  test("who acknowledges nothing is cut off when too much waits, and gets it at the next login", async () => {
    const alice = await login();
    alice.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    await alice.until("<enabled");
    alice.write("<presence/>");
    await alice.until("<presence");
    for (let id = 1; id <= 3; id++) bob.write(large(id));
    const text = await alice.end();
    expect(text).toContain(`<resource-constraint xmlns='${streams}'/>`);
    const again = await login();
    again.write("<presence/>");
    for (let id = 1; id <= 3; id++) await again.until(`id='large-${id}'`);
    again.close();
  });

  test("a request that is none is answered, not acted upon", async () => {
    const alice = await login();
    alice.write("<iq type='oops' id='odd' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(await alice.until("</iq>")).toContain("<bad-request");
    alice.write("<message to='@@' id='nowhere' type='chat'><body>x</body></message>");
    expect(await alice.until("</message>")).toContain("<jid-malformed");
    alice.close();
  });

  test("the others notice nothing", othersGoOn);
});

describe("over WebSocket", () => {
  const open = `<open xmlns='${framing}' to='localhost' version='1.0'/>`;

  class Frames {
    readonly #socket = new WebSocket(`ws://127.0.0.1:${server.httpPort}/ws-xmpp`, ["xmpp"]);
    #text = "";
    #over = false;
    #look = () => {};

    constructor() {
      this.#socket.addEventListener("message", ({ data }) => {
        this.#text += data;
        this.#look();
      });
      this.#socket.addEventListener("close", () => {
        this.#over = true;
        this.#look();
      });
    }

    async opened(): Promise<this> {
      await new Promise((ready) => this.#socket.addEventListener("open", ready));
      return this;
    }

    /** A session of alice. */
    async loggedIn(resource: string): Promise<this> {
      await this.opened();
      const bind = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind>`;
      for (const [frame, answer] of [
        [open, "</stream:features>"],
        [plain("alice", "secret"), "<success"],
        [open, "</stream:features>"],
        [`<iq xmlns='jabber:client' type='set' id='bind'>${bind}</iq>`, "</iq>"],
      ] as const) {
        this.send(frame);
        await this.until(answer);
      }
      return this;
    }

    send(frame: string | Uint8Array<ArrayBuffer>): void {
      this.#socket.send(frame);
    }

    /** What came up to this; a connection that ends before that is a failure. */
    async until(part: string): Promise<string> {
      await this.#when(() => this.#text.includes(part) || this.#over);
      if (!this.#text.includes(part)) throw new Error(`'${part}' never came, but: ${this.#text}`);
      const taken = this.#text;
      this.#text = "";
      return taken;
    }

    async end(): Promise<string> {
      await this.#when(() => this.#over);
      return this.#text;
    }

    #when(condition: () => boolean): Promise<void> {
      return new Promise((resolve) => {
        this.#look = () => {
          if (condition()) resolve();
        };
        this.#look();
      });
    }
  }

  async function endsFrames(frames: Frames, condition: string): Promise<void> {
    const text = await frames.end();
    expect(text).toContain(`<${condition} xmlns='${streams}'/>`);
    expect(text).toEndWith(`<close xmlns='${framing}'/>`);
  }

  const before: [string, string[], string][] = [
    ["malformed XML", [open, "<auth></oops>"], "not-well-formed"],
    ["half an element in a frame", [open, "<message>"], "not-well-formed"],
    ["two elements in a frame", [open, "<message/><message/>"], "not-well-formed"],
    ["an unknown host", [`<open xmlns='${framing}' to='elsewhere.example' version='1.0'/>`], "host-unknown"],
    ["a header of the other framing", [header()], "not-well-formed"],
    ["a stanza before login", [open, "<message xmlns='jabber:client' to='bob@localhost'/>"], "not-authorized"],
    [
      "more than 10,000 bytes",
      [open, `<message xmlns='jabber:client'><body>${"x".repeat(10_000)}</body></message>`],
      "policy-violation",
    ],
    ["a comment", [open, "<!-- x --><a/>"], "restricted-xml"],
  ];
  test.each(before)("%s", async (_name, frames, condition) => {
    const socket = await new Frames().opened();
    for (const frame of frames) socket.send(frame);
    await endsFrames(socket, condition);
  });

  const message = (inside: string, attributes = "to='bob@localhost'") =>
    `<message xmlns='jabber:client' ${attributes}>${inside}</message>`;
  const after: [string, string, string][] = [
    ["malformed XML", "<message xmlns='jabber:client'></iq>", "not-well-formed"],
    ["half a stanza", "<message xmlns='jabber:client' to='bob@localhost'><body>x", "not-well-formed"],
    ["two stanzas in a frame", `${message("<body>1</body>")}${message("<body>2</body>")}`, "not-well-formed"],
    ["an empty frame", "", "not-well-formed"],
    ["no element at all", "hello", "not-well-formed"],
    ["too large a stanza", message(`<body>${"x".repeat(webSocketStanzaSize)}</body>`), "policy-violation"],
    ["deep nesting", message(nested(1_000)), "policy-violation"],
    [
      "1,000 attributes",
      message("", Array.from({ length: 1_000 }, (_, at) => `a${at}=''`).join(" ")),
      "policy-violation",
    ],
    ["a comment within a stanza", message("<body><!-- x --></body>"), "restricted-xml"],
    ["a document type", "<!DOCTYPE x>", "restricted-xml"],
    ["an entity of its own", message("<body>&lol;</body>"), "restricted-xml"],
    ["a character that XML forbids", message("<body>\u0007</body>"), "not-well-formed"],
    ["another's address", message("<body>x</body>", "from='bob@localhost/witness' to='bob@localhost'"), "invalid-from"],
    ["an unknown stanza", "<post xmlns='jabber:client' to='bob@localhost'/>", "unsupported-stanza-type"],
    ["logging in again", plain("alice", "secret"), "policy-violation"],
    ["the header of the other framing", header(), "not-well-formed"],
  ];
  test.each(after)("after login: %s", async (_name, frame, condition) => {
    const socket = await new Frames().loggedIn(`web${++session}`);
    socket.send(frame);
    await endsFrames(socket, condition);
  });

  test("after login: a frame far beyond any stanza ends the connection", async () => {
    const socket = await new Frames().loggedIn("huge");
    socket.send(message(`<body>${"x".repeat(3 * webSocketStanzaSize)}</body>`));
    expect(await socket.end()).not.toContain("<message");
  });

  test("after login: a binary frame ends the connection", async () => {
    const socket = await new Frames().loggedIn("binary");
    socket.send(new TextEncoder().encode(message("<body>x</body>")));
    expect(await socket.end()).not.toContain("<message");
  });

  test("after login: a request that is none is answered, and the session goes on", async () => {
    const socket = await new Frames().loggedIn("odd");
    socket.send("<iq xmlns='jabber:client' type='oops' id='odd' to='localhost'/>");
    expect(await socket.until("</iq>")).toContain("<bad-request");
    socket.send("<iq xmlns='jabber:client' type='get' id='on' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    await socket.until("id='on'");
    socket.send(`<close xmlns='${framing}'/>`);
    await socket.end();
  });

  test("the others notice nothing, and nothing forged arrived", async () => {
    bob.write("<iq type='get' id='web' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(await bob.until("id='web'")).not.toContain("<message");
  });
});

describe("floods", () => {
  const residentBytes = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))![1]) * 1024;

  test("a client that never reads is cut off, and the server's memory stays bounded", async () => {
    const sender = await RawClient.login(tcp(), "alice", "sender");
    const deaf = await RawClient.login(tcp(), "carol", "deaf");
    deaf.write("<presence><priority>5</priority></presence>");
    await deaf.until("<presence");
    deaf.stopReading();
    const sessions = async () => JSON.stringify(await server.ctl("session", "listSessions", "--domain", "localhost"));
    expect(await sessions()).toContain("carol@localhost/deaf");
    const before = residentBytes();
    const body = "x".repeat(30_000);
    const rounds = 60;
    for (let round = 0; round < rounds; round++) {
      for (let each = 0; each < 20; each++)
        sender.write(`<message to='carol@localhost/deaf' type='headline'><body>${body}</body></message>`);
      sender.write(`<iq type='get' id='round${round}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>`);
      await sender.until(`id='round${round}'`);
    }
    // 36 MB were sent to someone who reads none of it.
    expect(residentBytes() - before).toBeLessThan(150 * 1024 * 1024);
    expect(await sessions()).not.toContain("carol@localhost/deaf");
    await othersGoOn();
    sender.close();
    deaf.close();
  }, 60_000);

  test("connections beyond the limit of one address are refused, those who are in go on", async () => {
    const most = 10;
    await using guarded = await startServer({ extra: `[limits]\nconnections_per_address_max = ${most}` });
    await guarded.register("dave");
    const there = { port: guarded.c2sPort };
    const member = await RawClient.login(there, "dave", "member");
    const strangers: RawClient[] = [];
    for (let at = 0; at < most; at++) strangers.push(await RawClient.stream(there));
    for (let at = 0; at < 50; at++) {
      // The system may have told of the connection before the server cut it.
      const answer = await RawClient.open(there).then(
        async (refused) => {
          refused.write(header());
          return await refused.end();
        },
        () => "",
      );
      expect(answer).toBe("");
    }
    member.write("<iq type='get' id='alive' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(await member.until("id='alive'")).not.toContain("stream:error");
    strangers[0]!.write(plain("dave", "secret"));
    await strangers[0]!.until("<success");
    for (const stranger of strangers.slice(1)) stranger.write("</stream:stream>");
    for (const stranger of strangers.slice(1)) await stranger.end();
    const welcome = await RawClient.login(there, "dave", "welcome");
    for (const client of [welcome, member, strangers[0]!]) client.close();
  });
});
