/** HTTP, HTTPS, WebSockets and the Unix socket against standard clients. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import type { ByteSocket, SocketHandler } from "../../socket/socket.ts";
import { TimerWheel } from "../../util/timer-wheel.ts";
import { SimClock } from "../sim/clock.ts";
import { selfSigned } from "./certificate.ts";
import { type HttpOptions, type HttpServer, type RequestInfo, serveHttp, type WebSocketOptions } from "./http.ts";
import { PortTaken } from "./listen.ts";
import { ServerCertificates } from "./tls.ts";
import { turnBatch } from "./turn.ts";
import { fetchUnix, SocketTaken, serveUnix } from "./unix-http.ts";

const one = { hosts: ["one.example"], ...(await selfSigned(["one.example"])) };
const two = { hosts: ["two.example"], ...(await selfSigned(["two.example"])) };

/** Echoes; keeps what happened. */
class Peer implements SocketHandler {
  readonly socket: ByteSocket;
  readonly log: string[] = [];
  closedWith: Error | undefined;
  #changed: () => void = () => {};
  constructor(socket: ByteSocket) {
    this.socket = socket;
  }
  received(): void {
    throw new Error("a WebSocket receives messages");
  }
  receivedMessage(text: string): void {
    this.note(text);
    if (text === "<throw/>") throw new Error("thrown by the handler");
    if (text === "<close/>") {
      this.socket.write("<close/>");
      this.socket.close();
    } else if (text !== "<quiet/>") this.socket.write(`<echo>${text}</echo>`);
  }
  secured(): void {}
  drained(): void {
    this.note("drained");
  }
  overflowed(): void {
    this.note("overflowed");
  }
  closed(reason: Error | undefined): void {
    this.closedWith = reason;
    this.note("closed");
  }
  async sees(entry: string): Promise<void> {
    while (!this.log.includes(entry)) await new Promise<void>((resolve) => (this.#changed = resolve));
  }
  note(entry: string): void {
    this.log.push(entry);
    this.#changed();
  }
}

const servers: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.abort()));
});

interface World {
  readonly server: HttpServer;
  readonly peers: Peer[];
  readonly failures: unknown[];
  readonly clock: SimClock;
  readonly infos: RequestInfo[];
}

function world(options: Partial<HttpOptions> = {}, webSocket: Partial<WebSocketOptions> = {}): World {
  const failures: unknown[] = [];
  const failed = (error: unknown) => void failures.push(error);
  const clock = new SimClock();
  const peers: Peer[] = [];
  const infos: RequestInfo[] = [];
  const server = serveHttp({
    address: "127.0.0.1",
    port: 0,
    requestBytesMax: 1000,
    failed,
    async fetch(request, info) {
      infos.push(info);
      const { pathname } = new URL(request.url);
      if (pathname === "/throw") throw new Error("a bug");
      return new Response(`${request.method} ${pathname} ${(await request.text()).length}`);
    },
    webSocket: {
      batch: turnBatch(failed),
      wheel: new TimerWheel(clock, failed),
      writeQueueBytesMax: 100_000,
      lingerMs: 2000,
      failed,
      messageBytesMax: 10_000,
      idleTimeoutSeconds: 60,
      upgrade(request, info) {
        infos.push(info);
        const { pathname } = new URL(request.url);
        if (pathname === "/denied") return new Response("too often", { status: 429 });
        if (pathname !== "/ws-xmpp") return undefined;
        return (socket) => {
          const peer = new Peer(socket);
          peers.push(peer);
          return peer;
        };
      },
      ...webSocket,
    },
    ...options,
  });
  servers.push(server);
  return { server, peers, failures, clock, infos };
}

async function dial(server: HttpServer, path = "/ws-xmpp", protocols = ["xmpp"]): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, protocols);
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
  return socket;
}

/** The next `count` messages. */
function reads(socket: WebSocket, count: number): Promise<string[]> {
  return new Promise((resolve) => {
    const messages: string[] = [];
    socket.onmessage = (event) => {
      messages.push(String(event.data));
      if (messages.length === count) resolve(messages);
    };
  });
}

function closes(socket: WebSocket): Promise<number> {
  return new Promise((resolve) => {
    socket.onclose = (event) => resolve(event.code);
  });
}

const at = (server: HttpServer, path: string) => `http://127.0.0.1:${server.port}${path}`;

describe("HTTP", () => {
  test("answers, and knows the peer", async () => {
    const { server, infos } = world();
    const response = await fetch(at(server, "/x"), { method: "POST", body: "12345" });
    expect(await response.text()).toBe("POST /x 5");
    expect(infos).toEqual([{ remote: "127.0.0.1", remotePort: expect.any(Number), secure: false }]);
  });

  test("a bug in a handler is an empty 500, and is reported", async () => {
    const { server, failures } = world();
    const response = await fetch(at(server, "/throw"));
    expect(response.status).toBe(500);
    expect(await response.text()).toBe("");
    expect(failures).toEqual([new Error("a bug")]);
  });

  test("a body above the limit is refused", async () => {
    const { server } = world();
    const response = await fetch(at(server, "/x"), { method: "POST", body: "x".repeat(1001) });
    expect(response.status).toBe(413);
  });

  test("a taken port is a typed error", () => {
    const { server } = world();
    expect(() => world({ port: server.port })).toThrow(PortTaken);
  });

  test("stop refuses new connections and lets WebSockets go on", async () => {
    const { server, peers } = world();
    const socket = await dial(server);
    const stopped = server.stop();
    expect(fetch(at(server, "/x"))).rejects.toThrow();
    const answer = reads(socket, 1);
    socket.send("<a/>");
    expect(await answer).toEqual(["<echo><a/></echo>"]);
    socket.close();
    await peers[0]!.sees("closed");
    await stopped;
  });
});

describe("HTTPS", () => {
  async function served(server: HttpServer, servername: string, more: tls.ConnectionOptions = {}): Promise<string> {
    const socket = tls.connect({
      port: server.port,
      host: "127.0.0.1",
      servername,
      rejectUnauthorized: false,
      ...more,
    });
    await once(socket, "secureConnect");
    const names = String(socket.getPeerCertificate().subjectaltname);
    socket.destroy();
    return names;
  }

  test("the certificate is the one of the host asked for; the first one otherwise", async () => {
    const { server } = world({ certificates: new ServerCertificates([one, two]) });
    expect(await served(server, "two.example")).toBe("DNS:two.example");
    expect(await served(server, "one.example")).toBe("DNS:one.example");
    expect(await served(server, "")).toBe("DNS:one.example");
  });

  test("after a reload new connections get the new certificate on the same port, WebSockets go on", async () => {
    const certificates = new ServerCertificates([one]);
    const { server, failures } = world({ certificates });
    const socket = new WebSocket(`wss://127.0.0.1:${server.port}/ws-xmpp`, {
      protocols: ["xmpp"],
      tls: { rejectUnauthorized: false },
    } as unknown as string[]);
    await new Promise((resolve) => (socket.onopen = resolve));
    certificates.reload([two]);
    expect(await served(server, "")).toBe("DNS:two.example");
    const answer = reads(socket, 1);
    socket.send("<a/>");
    expect(await answer).toEqual(["<echo><a/></echo>"]);
    certificates.reload([one]);
    expect(await served(server, "")).toBe("DNS:one.example");
    expect(failures).toEqual([]);
    socket.close();
  });

  test("only the configured versions are spoken", async () => {
    const certificates = new ServerCertificates([one], { versions: ["tlsv1.3"] });
    const { server } = world({ certificates });
    expect(served(server, "", { maxVersion: "TLSv1.2" })).rejects.toThrow();
    expect(await served(server, "")).toBe("DNS:one.example");
  });
});

describe("WebSocket", () => {
  test("every write is one text frame, in order", async () => {
    const { server, peers } = world();
    const socket = await dial(server);
    expect(socket.protocol).toBe("xmpp");
    const answers = reads(socket, 2);
    socket.send("<a/>");
    socket.send("<ü/>");
    expect(await answers).toEqual(["<echo><a/></echo>", "<echo><ü/></echo>"]);
    const peer = peers[0]!;
    expect(peer.socket).toMatchObject({ framing: "message", transport: "websocket", secure: false });
    expect(peer.socket.remoteAddress).toBe("127.0.0.1");
    expect(peer.socket.queuedBytes).toBe(0);
    expect(server.webSockets).toBe(1);
    const burst = reads(socket, 3);
    for (const text of ["<x/>", "<y/>", "<z/>"]) peer.socket.write(text);
    expect(await burst).toEqual(["<x/>", "<y/>", "<z/>"]);
  });

  test("the subprotocol is required, among whatever else is offered", async () => {
    const { server, peers } = world();
    expect((await dial(server, "/ws-xmpp", ["chat", "xmpp"])).protocol).toBe("xmpp");
    expect(dial(server, "/ws-xmpp", ["chat"])).rejects.toThrow();
    const raw = await fetch(at(server, "/ws-xmpp"), { headers: { upgrade: "websocket", connection: "upgrade" } });
    expect(raw.status).toBe(400);
    const incomplete = await fetch(at(server, "/ws-xmpp"), {
      headers: { upgrade: "websocket", connection: "upgrade", "sec-websocket-protocol": "xmpp" },
    });
    expect(incomplete.status).toBe(400);
    expect(server.webSockets).toBe(1);
    expect(peers.length).toBe(1);
  });

  test("elsewhere there is none, and a refusal is the one given", async () => {
    const { server } = world();
    const headers = { upgrade: "websocket", connection: "upgrade", "sec-websocket-protocol": "xmpp" };
    expect(await (await fetch(at(server, "/else"), { headers })).text()).toBe("GET /else 0");
    expect((await fetch(at(server, "/denied"), { headers })).status).toBe(429);
  });

  test("above the maximum of connections an upgrade gets 503", async () => {
    const { server, peers } = world({}, { connectionsMax: 1 });
    const socket = await dial(server);
    expect(dial(server)).rejects.toThrow();
    socket.close();
    await peers[0]!.sees("closed");
    expect(server.webSockets).toBe(0);
    await dial(server);
  });

  test("our close sends what is queued and ends in order", async () => {
    const { server, peers } = world();
    const socket = await dial(server);
    const closed = closes(socket);
    const last = reads(socket, 1);
    socket.send("<close/>");
    expect(await last).toEqual(["<close/>"]);
    expect(await closed).toBe(1000);
    await peers[0]!.sees("closed");
    expect(peers[0]!.closedWith).toBeUndefined();
  });

  test("a client that closes in order gives no reason, one that vanishes does", async () => {
    const { server, peers } = world();
    const first = await dial(server);
    first.close(1000);
    await peers[0]!.sees("closed");
    expect(peers[0]!.closedWith).toBeUndefined();
    const second = await dial(server);
    (second as unknown as { terminate(): void }).terminate();
    await peers[1]!.sees("closed");
    expect(peers[1]!.closedWith?.message).toContain("code 1006");
  });

  test("a binary frame and an oversized frame end the connection", async () => {
    const { server, peers } = world();
    const binary = await dial(server);
    let closed = closes(binary);
    binary.send(new Uint8Array([1, 2, 3]));
    expect(await closed).toBe(1003);
    await peers[0]!.sees("closed");
    expect(peers[0]!.closedWith?.message).toBe("the client sent a binary frame");
    const large = await dial(server);
    closed = closes(large);
    large.send("x".repeat(10_001));
    expect(await closed).toBe(1009);
    await peers[1]!.sees("closed");
    expect(peers.map((peer) => peer.log)).toEqual([["closed"], ["closed"]]);
  });

  test("nothing is received while reading is paused, and nothing is lost", async () => {
    const { server, peers } = world();
    const socket = await dial(server);
    peers[0]!.socket.pause();
    for (let index = 0; index < 5; index++) socket.send(`<m${index}/>`);
    const other = await dial(server);
    const answer = reads(other, 1);
    other.send("<a/>");
    await answer;
    expect(peers[0]!.log).toEqual([]);
    const answers = reads(socket, 5);
    peers[0]!.socket.resume();
    expect(await answers).toEqual([0, 1, 2, 3, 4].map((index) => `<echo><m${index}/></echo>`));
  });

  test("a handler that throws loses its own connection only", async () => {
    const { server, failures } = world();
    const [bad, good] = [await dial(server), await dial(server)];
    const closed = closes(bad);
    bad.send("<throw/>");
    await closed;
    expect(failures).toEqual([new Error("thrown by the handler")]);
    const answer = reads(good, 1);
    good.send("<a/>");
    await answer;
  });

  /** A WebSocket client by hand, since a standard one cannot refuse to read. */
  async function dialUnreading(server: HttpServer): Promise<net.Socket> {
    const socket = net.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      `GET /ws-xmpp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n${""}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n`,
    );
    await once(socket, "readable");
    socket.pause();
    return socket;
  }

  test("a client that never reads overflows its queue once, and memory stays bounded", async () => {
    const { server, peers } = world();
    await dialUnreading(server);
    const peer = peers[0]!;
    const text = `<m>${"x".repeat(9_000)}</m>`;
    let written = 0;
    while (!peer.log.includes("overflowed")) {
      for (let index = 0; index < 5; index++) peer.socket.write(text);
      written += 5;
      expect(peer.socket.queuedBytes).toBeLessThanOrEqual(100_000 + 2 * text.length);
      await new Promise((resolve) => setImmediate(resolve));
      expect(written).toBeLessThan(5000);
    }
    peer.socket.abort();
    await peer.sees("closed");
    expect(peer.log).toEqual(["overflowed", "closed"]);
    expect(server.webSockets).toBe(0);
  });

  test("a slow client gets every frame, in order, and the writer is told", async () => {
    const { server, peers } = world({}, { writeQueueBytesMax: 20_000_000 });
    const raw = await dialUnreading(server);
    const peer = peers[0]!;
    const count = 1000;
    for (let index = 0; index < count; index++) {
      const name = `m${String(index).padStart(4, "0")}`;
      peer.socket.write(`<${name}>${"x".repeat(9_000)}</${name}>`);
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(peer.socket.queuedBytes).toBeGreaterThan(0);
    let text = "";
    const all = new Promise<void>((resolve) => {
      raw.on("data", (chunk) => {
        text += chunk.toString("latin1");
        if (text.endsWith("</m0999>")) resolve();
      });
    });
    raw.resume();
    await all;
    await peer.sees("drained");
    const order = [...text.matchAll(/<m(\d{4})>/g)].map((match) => Number(match[1]));
    expect(order).toEqual(Array.from({ length: count }, (_, index) => index));
    raw.destroy();
  });
});

describe("Unix socket", () => {
  const directory = mkdtempSync(join(tmpdir(), "unix-http-"));
  const serve = (path: string, failures: unknown[] = []) =>
    serveUnix({
      path,
      requestBytesMax: 1000,
      failed: (error) => failures.push(error),
      async fetch(request) {
        if (request.url.endsWith("/throw")) throw new Error("a bug");
        return new Response(`${request.method} ${await request.text()}`);
      },
    });

  test("only its owner can open it, and it is gone after the stop", async () => {
    const path = join(directory, "a.sock");
    const before = process.umask();
    const failures: unknown[] = [];
    const server = await serve(path, failures);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(process.umask()).toBe(before);
    const response = await fetchUnix(path, "http://node/x", { method: "POST", body: "hi" });
    expect(await response.text()).toBe("POST hi");
    expect((await fetchUnix(path, "http://node/throw")).status).toBe(500);
    expect(failures).toEqual([new Error("a bug")]);
    await server.stop();
    expect(existsSync(path)).toBe(false);
    expect(fetchUnix(path, "http://node/x")).rejects.toThrow();
  });

  test("a living server is not replaced, a dead one's file is", async () => {
    const path = join(directory, "b.sock");
    const dead = Bun.spawnSync([
      process.execPath,
      "-e",
      `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response() }); process.kill(process.pid, "SIGKILL")`,
    ]);
    expect(dead.signalCode).toBe("SIGKILL");
    expect(existsSync(path)).toBe(true);
    const server = await serve(path);
    expect(serve(path)).rejects.toThrow(SocketTaken);
    expect(await (await fetchUnix(path, "http://node/")).text()).toBe("GET ");
    await server.stop();
  });

  test("a path where something else lies is not removed", async () => {
    const path = join(directory, "file");
    writeFileSync(path, "not a socket");
    expect(serve(path)).rejects.toThrow("it is no socket");
    expect(existsSync(path)).toBe(true);
  });

  test.serial("the directory of these tests is removed", () => rmSync(directory, { recursive: true }));
});
