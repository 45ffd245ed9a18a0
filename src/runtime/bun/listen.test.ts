/** The listener against clients of node:net. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import net from "node:net";
import { dial, gone, reads, serve, stopListeners } from "./listen.fixture.ts";
import { PortTaken, plainAddress } from "./listen.ts";

afterEach(stopListeners);

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
