/** The started server behind a load balancer: @xmpp/client logs in through it, and the server knows the client's address. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { header, RawClient } from "../support/raw-client.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { XmppJs } from "../support/xmpp-js.ts";

const line = "PROXY TCP4 192.0.2.7 192.0.2.1 50000 5222\r\n";
/** Version 2: from 2001:db8::7 port 50001 to 2001:db8::1 port 5223. */
const binary = Buffer.from(
  "0d0a0d0a000d0a515549540a2121002420010db800000000000000000000000720010db8000000000000000000000001c3511467",
  "hex",
);

let server: TestServer;
const balancers: Server[] = [];

beforeAll(async () => {
  server = await startServer({ c2s: "proxy_protocol = true" });
  await server.register("alice");
});
afterAll(async () => {
  for (const balancer of balancers) balancer.close();
  await server?.stop();
});

/** Passes connections on to a port, each behind this header; resolves to its own port. */
async function balance(port: number, announcement: string | Buffer): Promise<number> {
  const balancer = createServer((client) => {
    const behind = connect(port, "127.0.0.1");
    behind.write(announcement);
    client.pipe(behind).pipe(client);
    client.on("error", () => behind.destroy());
    behind.on("error", () => client.destroy());
  });
  balancers.push(balancer);
  await once(balancer.listen(0, "127.0.0.1"), "listening");
  return (balancer.address() as { port: number }).port;
}

test.each([
  ["STARTTLS, version 1", "xmpp", () => server.c2sPort, line, "192.0.2.7", 50_000],
  ["direct TLS, version 2", "xmpps", () => server.tlsPort, binary, "2001:db8::7", 50_001],
] as const)("%s", async (_name, scheme, port, announcement, ip, clientPort) => {
  const service = `${scheme}://127.0.0.1:${await balance(port(), announcement)}`;
  const alice = await new XmppJs({ service, username: "alice", password: "secret", resource: "far" }).start();
  await alice.caughtUp();
  expect(await server.ctl("session", "listSessions")).toEqual([
    expect.objectContaining({ user: alice.jid, ip, port: clientPort }),
  ]);
  await alice.stop();
});

test("who comes past the balancer is closed without an answer", async () => {
  const client = await RawClient.open({ port: server.c2sPort });
  client.write(header());
  expect(await client.end()).toBe("");
});

test("PLAIN without TLS is for this machine only, whatever stands between", async () => {
  const client = await RawClient.open({ port: await balance(server.c2sPort, line) });
  client.write(header());
  const features = await client.until("</stream:features>");
  expect(features).toContain("<starttls");
  expect(features).not.toContain(">PLAIN<");
  client.close();
});
