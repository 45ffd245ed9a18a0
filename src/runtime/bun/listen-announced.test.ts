/** A listener behind a load balancer that says whose a connection is (PROXY protocol). */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import type net from "node:net";
import tls from "node:tls";
import type { SimClock } from "../sim/clock.ts";
import { dial, gone, one, reads, type Server, serve, stopListeners } from "./listen.fixture.ts";
import { ServerCertificates } from "./tls.ts";

afterEach(stopListeners);

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
      const peer = await server.peer();
      // However many pieces come together.
      while (peer.log.join("") !== "hello") await new Promise<void>((resolve) => (peer.onChange = resolve));
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
