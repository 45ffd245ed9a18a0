/** The listener against clients of node:net and node:tls. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import type { ByteSocket, SocketHandler } from "../../socket/socket.ts";
import { TimerWheel } from "../../util/timer-wheel.ts";
import { SimClock } from "../sim/clock.ts";
import { selfSigned } from "./certificate.ts";
import { type Listener, type ListenOptions, listen, PortTaken, plainAddress } from "./listen.ts";
import { ServerCertificates, TlsConfigurationError } from "./tls.ts";
import { turnBatch } from "./turn.ts";

const one = { hosts: ["one.example"], ...(await selfSigned(["one.example"])) };
const two = { hosts: ["two.example", "*.two.example"], ...(await selfSigned(["two.example", "*.two.example"])) };

/** Answers "<starttls/>" as a stream would, and echoes everything else; keeps what happened. */
class Peer implements SocketHandler {
  readonly socket: ByteSocket;
  readonly log: string[] = [];
  closedWith: Error | undefined;
  received_ = 0;
  onChange: () => void = () => {};
  received(chunk: Uint8Array): void {
    const text = Buffer.from(chunk).toString();
    this.received_ += chunk.length;
    this.#note(text.length > 40 ? `${text.length} bytes` : text);
    if (text === "<starttls/>") {
      this.socket.write("<proceed/>");
      this.socket.startTls();
    } else if (text === "throw") throw new Error("thrown by the handler");
    else if (text === "bye") {
      this.socket.write("good bye");
      this.socket.close();
    } else if (text !== "quiet") this.socket.write(`echo ${text}`);
  }
  secured(): void {
    this.#note("secured");
  }
  drained(): void {
    this.#note("drained");
  }
  overflowed(): void {
    this.#note("overflowed");
  }
  closed(reason: Error | undefined): void {
    this.closedWith = reason;
    this.#note("closed");
  }
  constructor(socket: ByteSocket) {
    this.socket = socket;
  }
  async sees(entry: string): Promise<void> {
    while (!this.log.includes(entry)) await new Promise<void>((resolve) => (this.onChange = resolve));
  }
  #note(entry: string): void {
    this.log.push(entry);
    this.onChange();
  }
}

const opened: { stop(): void }[] = [];
afterEach(() => {
  for (const listener of opened.splice(0)) listener.stop();
});

interface Server {
  readonly listener: Listener;
  readonly peers: Peer[];
  readonly failures: unknown[];
  readonly clock: SimClock;
  peer(): Promise<Peer>;
}

function serve(options: Partial<ListenOptions> = {}): Server {
  const clock = new SimClock();
  const failures: unknown[] = [];
  const peers: Peer[] = [];
  let arrived: () => void = () => {};
  const failed = (error: unknown) => failures.push(error);
  const listener = listen({
    address: "127.0.0.1",
    port: 0,
    batch: turnBatch(failed),
    wheel: new TimerWheel(clock, failed),
    writeQueueBytesMax: 100_000,
    lingerMs: 2000,
    failed,
    connected(socket) {
      const peer = new Peer(socket);
      peers.push(peer);
      arrived();
      return peer;
    },
    ...options,
  });
  opened.push(listener);
  const peer = async () => {
    while (peers.length === 0) await new Promise<void>((resolve) => (arrived = resolve));
    return peers[peers.length - 1]!;
  };
  return { listener, peers, failures, clock, peer };
}

async function dial(server: Server): Promise<net.Socket> {
  const socket = net.connect({ port: server.listener.port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

/** The client's connection is over, in whatever way. */
function gone(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.on("error", () => {}).once("close", () => resolve()));
}

/** The client receives exactly this text next. */
async function reads(socket: net.Socket, text: string): Promise<void> {
  let seen = "";
  while (seen.length < text.length) {
    const chunk = socket.read();
    if (chunk === null) await once(socket, "readable");
    else seen += String(chunk);
  }
  expect(seen).toBe(text);
}

async function dialTls(server: Server, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    port: server.listener.port,
    host: "127.0.0.1",
    servername: "one.example",
    rejectUnauthorized: false,
    ...options,
  });
  await once(socket, "secureConnect");
  return socket;
}

async function startTls(server: Server, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const plain = await dial(server);
  plain.write("<starttls/>");
  await reads(plain, "<proceed/>");
  const socket = tls.connect({ socket: plain, servername: "one.example", rejectUnauthorized: false, ...options });
  await once(socket, "secureConnect");
  return socket;
}

const served = (socket: tls.TLSSocket) => socket.getPeerCertificate().subjectaltname;

describe("in clear", () => {
  test("bytes go both ways, and the addresses are known, also afterwards", async () => {
    const server = serve();
    const client = await dial(server);
    client.write("hällo");
    await reads(client, "echo hällo");
    const peer = await server.peer();
    expect(peer.socket.secure).toBe(false);
    expect(peer.socket.tlsInfo()).toBeUndefined();
    expect(peer.socket.channelBinding("tls-exporter")).toBeUndefined();
    const port = client.localPort!;
    client.destroy();
    await peer.sees("closed");
    expect(peer.socket.remoteAddress).toBe("127.0.0.1");
    expect(peer.socket.remotePort).toBe(port);
    expect(server.listener.connections).toBe(0);
  });

  test("a client that closes its half still gets what was written, and then our end", async () => {
    const server = serve();
    const client = await dial(server);
    client.end("last words");
    await reads(client, "echo last words");
    await once(client, "end");
    const peer = await server.peer();
    await peer.sees("closed");
    expect(peer.closedWith).toBeUndefined();
  });

  test("close sends what is queued, then our end, and waits for the client's", async () => {
    const server = serve();
    const client = await dial(server);
    client.write("bye");
    await reads(client, "good bye");
    await once(client, "end");
    const peer = await server.peer();
    client.write("ignored");
    client.end();
    await peer.sees("closed");
    expect(peer.log).toEqual(["bye", "closed"]);
    expect(peer.closedWith).toBeUndefined();
  });

  test("a client that never closes its half is cut off when the linger time is over", async () => {
    const server = serve();
    const client = await dial(server);
    client.on("error", () => {});
    client.write("bye");
    await reads(client, "good bye");
    const peer = await server.peer();
    expect(peer.log).toEqual(["bye"]);
    server.clock.advance(4000);
    await peer.sees("closed");
    expect(server.listener.connections).toBe(0);
  });

  test("nothing is received while reading is paused", async () => {
    const server = serve();
    const client = await dial(server);
    const peer = await server.peer();
    peer.socket.pause();
    client.write("quiet");
    const second = await dial(server);
    second.write("round trip");
    await reads(second, "echo round trip");
    expect(peer.log).toEqual([]);
    peer.socket.resume();
    await peer.sees("quiet");
  });

  test("a client that never reads overflows its queue once; memory stays bounded and others notice nothing", async () => {
    const server = serve();
    const client = await dial(server);
    client.on("error", () => {});
    client.pause();
    const peer = await server.peer();
    const text = "x".repeat(10_000);
    let written = 0;
    while (!peer.log.includes("overflowed")) {
      for (let index = 0; index < 5; index++) peer.socket.write(text);
      written += 5 * text.length;
      expect(peer.socket.queuedBytes).toBeLessThanOrEqual(100_000 + text.length);
      await new Promise((resolve) => setImmediate(resolve));
      expect(written).toBeLessThan(50_000_000);
    }
    peer.socket.write(text);
    expect(peer.socket.queuedBytes).toBeLessThanOrEqual(100_000 + text.length);
    const other = await dial(server);
    other.write("still served");
    await reads(other, "echo still served");
    peer.socket.abort();
    await peer.sees("closed");
    expect(peer.log).toEqual(["overflowed", "closed"]);
  });

  test("a slow client gets every byte, in order", async () => {
    const server = serve({ writeQueueBytesMax: 30_000_000 });
    const client = await dial(server);
    const peer = await server.peer();
    let sent = "";
    for (let index = 0; index < 2000; index++) sent += `${index}: ${"äx€😀".repeat(500)}\n`;
    for (let index = 0; index < sent.length; index += 70_001) peer.socket.write(sent.slice(index, index + 70_001));
    await new Promise((resolve) => setImmediate(resolve));
    expect(peer.socket.queuedBytes).toBeGreaterThan(0);
    peer.socket.close();
    const chunks: Buffer[] = [];
    for await (const chunk of client) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString() === sent).toBe(true);
    client.end();
    await peer.sees("closed");
  });

  test("a handler that throws loses its own connection only", async () => {
    const server = serve();
    const [bad, good] = [await dial(server), await dial(server)];
    bad.on("error", () => {});
    bad.write("throw");
    await gone(bad);
    expect(server.failures).toEqual([new Error("thrown by the handler")]);
    good.write("hi");
    await reads(good, "echo hi");
  });

  test("a reset connection ends with a reason", async () => {
    const server = serve();
    const client = await dial(server);
    const peer = await server.peer();
    client.resetAndDestroy();
    await peer.sees("closed");
    expect(server.listener.connections).toBe(0);
  });
});

describe("limits of the listener", () => {
  test("a taken port is a typed error that names it", () => {
    const server = serve();
    const again = () => serve({ port: server.listener.port });
    expect(again).toThrow(PortTaken);
    expect(again).toThrow(`port ${server.listener.port} of 127.0.0.1 is taken`);
  });

  test("an address of another machine is a typed error with its code", () => {
    expect(() => serve({ address: "192.0.2.1" })).toThrow(expect.objectContaining({ code: "EADDRNOTAVAIL" }));
  });

  test("with reusePort two listeners share a port", () => {
    const first = serve({ reusePort: true });
    const second = serve({ reusePort: true, port: first.listener.port });
    expect(second.listener.port).toBe(first.listener.port);
  });

  test("connections above the maximum are closed at once, and room is made when one leaves", async () => {
    const server = serve({ connectionsMax: 1 });
    const first = await dial(server);
    first.write("hi");
    await reads(first, "echo hi");
    const second = net.connect(server.listener.port, "127.0.0.1");
    second.on("error", () => {});
    await gone(second);
    expect(server.listener.refused).toEqual({ full: 1, denied: 0 });
    first.destroy();
    await (await server.peer()).sees("closed");
    const third = await dial(server);
    third.write("hi");
    await reads(third, "echo hi");
  });

  test("a refused address is closed at once and never reaches a stream", async () => {
    const server = serve({ accepts: (address) => address !== "127.0.0.1" });
    const client = net.connect(server.listener.port, "127.0.0.1");
    client.on("error", () => {});
    await gone(client);
    expect(server.peers).toEqual([]);
    expect(server.listener.refused).toEqual({ full: 0, denied: 1 });
  });

  test("an IPv6 listener serves both families, and shows IPv4 clients as such", async () => {
    const server = serve({ address: "::" });
    const client = await dial(server);
    client.write("hi");
    await reads(client, "echo hi");
    expect((await server.peer()).socket.remoteAddress).toBe("127.0.0.1");
    expect(plainAddress("::1")).toBe("::1");
  });
});

for (const [way, connect, extra] of [
  ["STARTTLS", startTls, {}],
  ["direct TLS", dialTls, { directTls: "client" }],
] as const) {
  describe(way, () => {
    const secure = (certificates: ServerCertificates, more: Partial<ListenOptions> = {}) =>
      serve({ certificates, ...extra, ...more });

    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      test(`${version}: bytes go both ways, and the channel bindings are the client's`, async () => {
        const server = secure(new ServerCertificates([one, two]));
        const client = await connect(server, { servername: "two.example", minVersion: version, maxVersion: version });
        client.write("hi");
        await reads(client, "echo hi");
        const peer = await server.peer();
        expect(peer.log).toContain("secured");
        expect(peer.socket.secure).toBe(true);
        expect(peer.socket.transport).toBe("tls");
        expect(peer.socket.tlsInfo()).toMatchObject({ version, servername: "two.example" });
        const exported = peer.socket.channelBinding("tls-exporter");
        if (version === "TLSv1.3") {
          const expected = client.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
          expect(Buffer.from(exported!).toString("hex")).toBe(expected.toString("hex"));
        } else expect(exported).toBeUndefined();
        const raw = client.getPeerCertificate().raw;
        const hash = new Bun.CryptoHasher("sha256").update(raw).digest("hex");
        expect(Buffer.from(peer.socket.channelBinding("tls-server-end-point")!).toString("hex")).toBe(hash);
      });
    }

    test("the certificate is the one of the host asked for; the first one otherwise", async () => {
      const server = secure(new ServerCertificates([one, two]));
      expect(served(await connect(server, { servername: "TWO.example" }))).toContain("two.example");
      expect(served(await connect(server, { servername: "chat.two.example" }))).toContain("two.example");
      expect(served(await connect(server, { servername: "a.b.two.example" }))).toBe("DNS:one.example");
      expect(served(await connect(server, { servername: "unknown.example" }))).toBe("DNS:one.example");
      expect(served(await connect(server, { servername: "" }))).toBe("DNS:one.example");
    });

    test("after a reload new connections get the new certificate, running ones go on", async () => {
      const certificates = new ServerCertificates([one]);
      const server = secure(certificates);
      const before = await connect(server, { servername: "" });
      expect(served(before)).toBe("DNS:one.example");
      certificates.reload([two]);
      expect(served(await connect(server, { servername: "" }))).toContain("two.example");
      before.write("hi");
      await reads(before, "echo hi");
    });

    test("a reload that cannot be used changes nothing", async () => {
      const certificates = new ServerCertificates([one]);
      expect(() => certificates.reload([{ ...two, key: one.key }])).toThrow(TlsConfigurationError);
      expect(() => certificates.reload([{ ...two, certificate: "nonsense" }])).toThrow(TlsConfigurationError);
      expect(() => certificates.reload([])).toThrow(TlsConfigurationError);
      const server = secure(certificates);
      expect(served(await connect(server))).toBe("DNS:one.example");
    });

    test("only the configured versions are spoken", async () => {
      const server = secure(new ServerCertificates([one], { versions: ["tlsv1.3"] }));
      const refused = connect(server, { maxVersion: "TLSv1.2" });
      expect(refused).rejects.toThrow();
      const peer = await server.peer();
      await peer.sees("closed");
      expect(peer.closedWith?.message).toContain("the TLS handshake failed");
      await refused.catch((error: unknown) => error);
      expect((await connect(server)).getProtocol()).toBe("TLSv1.3");
    });

    test("TLS 1.1 is never spoken", async () => {
      const server = secure(new ServerCertificates([one]));
      const refused = connect(server, { minVersion: "TLSv1", maxVersion: "TLSv1.1" });
      expect(refused).rejects.toThrow();
      await (await server.peer()).sees("closed");
    });

    test("a configured cipher list is kept to", async () => {
      const server = secure(new ServerCertificates([one], { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" }));
      const client = await connect(server, { maxVersion: "TLSv1.2" });
      expect(client.getCipher().name).toBe("ECDHE-ECDSA-AES256-GCM-SHA384");
      expect(() => new ServerCertificates([one], { ciphers: "NO-SUCH-CIPHER" })).toThrow(TlsConfigurationError);
    });

    test("close sends what is queued, then the end, and waits for the client's", async () => {
      const server = secure(new ServerCertificates([one]));
      const client = await connect(server);
      client.write("bye");
      await reads(client, "good bye");
      await once(client, "end");
      client.end();
      const peer = await server.peer();
      await peer.sees("closed");
      expect(peer.closedWith).toBeUndefined();
    });

    test("a slow client gets every byte, in order", async () => {
      const server = secure(new ServerCertificates([one]), { writeQueueBytesMax: 30_000_000 });
      const client = await connect(server);
      const peer = await server.peer();
      await peer.sees("secured");
      let sent = "";
      for (let index = 0; index < 2000; index++) sent += `${index}: ${"äx€😀".repeat(500)}\n`;
      for (let index = 0; index < sent.length; index += 70_001) peer.socket.write(sent.slice(index, index + 70_001));
      peer.socket.close();
      const chunks: Buffer[] = [];
      for await (const chunk of client) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString() === sent).toBe(true);
      client.end();
      await peer.sees("closed");
    });

    test("large input arrives whole, also around a pause", async () => {
      const server = secure(new ServerCertificates([one]));
      const client = await connect(server);
      const peer = await server.peer();
      await peer.sees("secured");
      peer.socket.write = () => {};
      client.write(Buffer.alloc(1_000_000, "a"));
      await new Promise<void>((resolve) => (peer.onChange = resolve));
      peer.socket.pause();
      const other = await connect(server);
      other.write("hi");
      await reads(other, "echo hi");
      const atPause = peer.received_;
      await new Promise((resolve) => setImmediate(resolve));
      expect(peer.received_).toBe(atPause);
      peer.socket.resume();
      while (peer.received_ < 1_000_000) await new Promise<void>((resolve) => (peer.onChange = resolve));
    });
  });
}

describe("the edges of TLS", () => {
  test("direct TLS agrees on xmpp-client, and refuses a client that only speaks something else", async () => {
    const server = serve({ certificates: new ServerCertificates([one]), directTls: "client" });
    const client = await dialTls(server, { ALPNProtocols: ["xmpp-client"] });
    expect(client.alpnProtocol).toBe("xmpp-client");
    client.write("hi");
    await reads(client, "echo hi");
    expect((await server.peer()).socket.tlsInfo()?.alpn).toBe("xmpp-client");
    expect(dialTls(server, { ALPNProtocols: ["http/1.1"] })).rejects.toThrow();
    const peer = server.peers.at(-1)!;
    await peer.sees("closed").catch(() => {});
  });

  test("what a stream writes before the direct handshake is done waits for it", async () => {
    class Greeter extends Peer {
      constructor(socket: ByteSocket) {
        super(socket);
        socket.write("welcome");
      }
    }
    const server = serve({
      certificates: new ServerCertificates([one]),
      directTls: "client",
      connected: (socket) => new Greeter(socket),
    });
    await reads(await dialTls(server), "welcome");
  });

  test("clear text where a handshake should come ends the connection with a reason", async () => {
    const server = serve({ certificates: new ServerCertificates([one]), directTls: "client" });
    const client = await dial(server);
    client.on("error", () => {});
    client.resume();
    client.write("<stream:stream to='localhost'>");
    const peer = await server.peer();
    await peer.sees("closed");
    expect(peer.closedWith?.message).toContain("the TLS handshake failed");
    expect(peer.received_).toBe(0);
  });

  test("a client that leaves in the middle of the handshake is forgotten", async () => {
    const server = serve({ certificates: new ServerCertificates([one]), directTls: "client" });
    for (const start of [undefined, Buffer.from("160301", "hex")]) {
      const client = await dial(server);
      client.on("error", () => {});
      if (start !== undefined) client.write(start);
      client.end();
      await gone(client);
    }
    for (const peer of server.peers) await peer.sees("closed");
    expect(server.listener.connections).toBe(0);
  });

  test("a handshake that comes byte by byte succeeds", async () => {
    const server = serve({ certificates: new ServerCertificates([one]), directTls: "client" });
    const relay = net.createServer((from) => {
      const to = net.connect(server.listener.port, "127.0.0.1");
      to.setNoDelay(true);
      let queue = Promise.resolve();
      from.on("data", (chunk: Buffer) => {
        queue = queue.then(async () => {
          for (let index = 0; index < chunk.length; index += 100) {
            to.write(chunk.subarray(index, index + 100));
            await new Promise((resolve) => setImmediate(resolve));
          }
        });
      });
      to.pipe(from);
    });
    relay.listen(0, "127.0.0.1");
    await once(relay, "listening");
    opened.push({ stop: () => relay.close() });
    const port = (relay.address() as net.AddressInfo).port;
    const client = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    await once(client, "secureConnect");
    client.write("hi");
    await reads(client, "echo hi");
    client.destroy();
  });

  test("STARTTLS without a certificate, or twice, is a bug of the caller", async () => {
    const server = serve();
    await dial(server);
    expect(() => server.peers[0]!.socket.startTls()).toThrow("no certificate");
    const secure = serve({ certificates: new ServerCertificates([one]) });
    await startTls(secure);
    const peer = await secure.peer();
    await peer.sees("secured");
    expect(() => peer.socket.startTls()).toThrow("already on");
  });
});

describe("behind a load balancer", () => {
  const announced = (server: Server) =>
    server.peer().then((peer) => [peer.socket.remoteAddress, peer.socket.remotePort]);

  test("the PROXY header says whose a connection is, in one piece with the first bytes or byte by byte", async () => {
    for (const pieces of [1, 1_000]) {
      const server = serve({ proxyProtocol: true });
      const client = await dial(server);
      client.setNoDelay(true);
      const text = "PROXY TCP4 192.0.2.7 192.0.2.1 50000 5222\r\nhello";
      const size = Math.ceil(text.length / pieces);
      for (let at = 0; at < text.length; at += size) {
        client.write(text.slice(at, at + size));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await announced(server)).toEqual(["192.0.2.7", 50_000]);
      await (await server.peer()).sees(pieces === 1 ? "hello" : "o");
      client.destroy();
    }
  });

  test("TLS from the first byte on follows the header", async () => {
    const certificates = new ServerCertificates([one]);
    const server = serve({ proxyProtocol: true, certificates, directTls: "client" });
    const plain = await dial(server);
    plain.write("PROXY TCP6 2001:DB8::0:7 2001:db8::1 50000 5223\r\n");
    const client = tls.connect({ socket: plain, ALPNProtocols: ["xmpp-client"], rejectUnauthorized: false });
    await once(client, "secureConnect");
    client.write("hello");
    await reads(client, "echo hello");
    expect(await announced(server)).toEqual(["2001:db8::7", 50_000]);
    client.destroy();
  });

  test("a health check of the balancer is the balancer's", async () => {
    const server = serve({ proxyProtocol: true });
    const client = await dial(server);
    client.write("PROXY UNKNOWN\r\nhello");
    await reads(client, "echo hello");
    expect(await announced(server)).toEqual(["127.0.0.1", client.localPort!]);
    client.destroy();
  });

  const wrong: [string, (client: net.Socket, clock: SimClock) => unknown, string][] = [
    ["says no header", (client) => client.write("<stream:stream>"), "it does not begin with a PROXY header"],
    ["says nothing", (_client, clock) => clock.advance(3_000), "it sent no PROXY header in time"],
    ["ends within it", (client) => client.end("PROXY TCP4"), "it ended before its PROXY header"],
  ];
  test.each(wrong)("who %s is closed, and its place is free again", async (_name, act, reason) => {
    const reasons: string[] = [];
    let told: () => void = () => {};
    const server = serve({
      proxyProtocol: true,
      connectionsMax: 1,
      unannounced: (address, why) => {
        reasons.push(`${address}: ${why}`);
        told();
      },
    });
    const client = await dial(server);
    const over = gone(client);
    while (server.listener.connections === 0) await new Promise((resolve) => setImmediate(resolve));
    const heard = new Promise<void>((resolve) => (told = resolve));
    act(client, server.clock);
    await heard;
    expect(reasons).toEqual([`127.0.0.1: ${reason}`]);
    expect(server.listener.connections).toBe(0);
    expect(server.peers).toHaveLength(0);
    client.destroy();
    await over;
  });

  test("the announced address is the one that may be refused", async () => {
    const asked: string[] = [];
    const accepts = (address: string) => {
      asked.push(address);
      return false;
    };
    const server = serve({ proxyProtocol: true, accepts });
    const client = await dial(server);
    const over = gone(client);
    client.write("PROXY TCP4 192.0.2.7 192.0.2.1 50000 5222\r\nhello");
    await over;
    expect(asked).toEqual(["192.0.2.7"]);
    expect(server.listener.connections).toBe(0);
    expect(server.listener.refused.denied).toBe(1);
  });
});
