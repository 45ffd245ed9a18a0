/** The listener against clients of node:tls: STARTTLS, TLS from the first byte, certificates. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import type { ByteSocket } from "../../socket/socket.ts";
import {
  dial,
  dialTls,
  gone,
  one,
  opened,
  Peer,
  reads,
  serve,
  served,
  startTls,
  stopListeners,
  two,
} from "./listen.fixture.ts";
import type { ListenOptions } from "./listen.ts";
import { ServerCertificates, TlsConfigurationError } from "./tls.ts";

afterEach(stopListeners);

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
    const plain = await server.peer();
    expect(() => plain.socket.startTls()).toThrow("no certificate");
    const secure = serve({ certificates: new ServerCertificates([one]) });
    await startTls(secure);
    const peer = await secure.peer();
    await peer.sees("secured");
    expect(() => peer.socket.startTls()).toThrow("already on");
  });
});
