/** The NATS fabric and its server: restarts, pauses, credentials, TLS, small payloads. Each test has a server of its own. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { nkeys } from "@nats-io/transport-node";
import { subjectToken } from "../../../src/cluster/fabric/nats.ts";
import { Link } from "../../../src/cluster/link.ts";
import { natsInstalled, OwnNats, selfSigned } from "../../support/nats.ts";
import { recordingLog } from "../../support/recording-log.ts";
import { type Arena, bytesOf, natsArena, soonSilentMs, type TestNode, text } from "./arena.ts";

const suite = natsInstalled ? describe : describe.skip;
const arenas: Arena[] = [];
const servers: OwnNats[] = [];

afterEach(async () => {
  for (const arena of arenas.splice(0)) await arena.close();
  for (const server of servers.splice(0)) await server.end();
});

async function server(config = "", files: Record<string, string> = {}): Promise<OwnNats> {
  const nats = await OwnNats.start(config, files);
  servers.push(nats);
  return nats;
}

function arenaOf(...args: Parameters<typeof natsArena>): Arena {
  const arena = natsArena(...args);
  arenas.push(arena);
  return arena;
}

const logs = (arena: Arena, node: TestNode, line: RegExp, count = 1) =>
  arena.until(
    () => node.logged.filter(({ msg }) => line.test(msg)).length >= count,
    `a log line ${line}`,
    node.logged.map(({ msg }) => msg),
  );

test("the name of a cluster becomes one part of a subject", () => {
  expect(subjectToken("meerkat-2_A")).toBe("meerkat-2_A");
  expect(subjectToken("a.b c*>ö=")).toBe("a=2eb=20c=2a=3e=c3=b6=3d");
});

suite(natsInstalled ? "NATS" : "NATS (no nats-server is installed)", () => {
  test("a server that is restarted costs messages, which is noticed, and no more", async () => {
    const nats = await server();
    const arena = arenaOf({ servers: [nats.url] });
    const [a, b] = await arena.pair({ expiryMs: 30_000 });
    let sent = 0;
    const stream = arena.clock.every(5, () => a.fabric.send(2, bytesOf(`m${sent++}`)));
    await b.hears("n1: m20");
    await nats.kill();
    await logs(arena, a, /connection to NATS is lost/);
    await nats.up();
    await logs(arena, a, /Connected to NATS/, 2);
    await logs(arena, b, /Connected to NATS/, 2);
    const mark = sent + 20;
    await arena.until(() => sent > mark, "some more are sent");
    stream.cancel();
    a.fabric.send(2, bytesOf("end"));
    await arena.until(() => b.heard.includes("n1: end"), "the end is heard", b.heard);
    let next = 21;
    let missed = 0;
    for (const line of b.take()) {
      const gap = /^n1 gap (\d+)$/.exec(line);
      if (gap !== null) {
        next += Number(gap[1]);
        missed += Number(gap[1]);
      } else if (line !== "n1: end") expect(line).toBe(`n1: m${next++}`);
    }
    expect(next).toBe(sent);
    expect(missed).toBeGreaterThan(0);
    expect(a.logged.filter(({ msg }) => /cannot be reached/.test(msg)).length).toBeLessThanOrEqual(1);
  });

  test("over the link nothing is lost, doubled or out of order, whatever the server does", async () => {
    const nats = await server();
    const arena = arenaOf({ servers: [nats.url] });
    const [a, b] = await arena.pair({ expiryMs: 60_000 });
    const linkOf = ({ fabric }: TestNode) =>
      new Link({ channel: fabric.channel(1), log: recordingLog().log, atTurnEnd: setImmediate });
    const [from, to] = [linkOf(a), linkOf(b)];
    const received: string[] = [];
    from.listen({ frame: () => {} });
    to.listen({ frame: (_, bytes) => void received.push(text(bytes)) });
    let sent = 0;
    let acknowledged = 0;
    const stream = arena.clock.every(2, () => {
      for (let count = 0; count < 20; count++)
        void from.send(2, bytesOf(`${sent++}`), true)!.then(() => {
          acknowledged++;
        });
    });
    for (let round = 1; round <= 2; round++) {
      const mark = acknowledged;
      await arena.until(() => acknowledged > mark + 200, "it flows");
      await nats.kill();
      await nats.up();
      await logs(arena, b, /Connected to NATS/, round + 1);
    }
    const mark = acknowledged;
    await arena.until(() => acknowledged > mark, "it flows again");
    stream.cancel();
    await arena.until(() => acknowledged === sent, "all are acknowledged");
    expect(received).toEqual(Array.from({ length: sent }, (_, index) => String(index)));
    expect(from.counters.repeated).toBeGreaterThan(0);
  });

  test("a server that is away longer than the time of expiry parts the nodes; they return", async () => {
    const nats = await server();
    const arena = arenaOf({ servers: [nats.url] });
    const [a, b] = await arena.pair({ expiryMs: soonSilentMs });
    await nats.kill();
    await Promise.all([a.hears("n2 silent"), b.hears("n1 silent")]);
    await nats.up();
    await Promise.all([a.hears("n2 returned"), b.hears("n1 returned")]);
    a.fabric.send(2, bytesOf("again"));
    await b.hears("n1: again");
  });

  test("a node starts before its server, and waits for it", async () => {
    const nats = await server();
    await nats.kill();
    const arena = arenaOf({ servers: [nats.url] });
    const a = arena.node(1);
    const started = a.start();
    await logs(arena, a, /NATS cannot be reached; trying again/);
    await nats.up();
    await started;
    await logs(arena, a, /Connected to NATS/);
  });

  test("a node that is stopped while it waits for its server stops", async () => {
    const nats = await server();
    await nats.kill();
    const arena = arenaOf({ servers: [nats.url] });
    const a = arena.node(1);
    const started = a.start();
    await logs(arena, a, /NATS cannot be reached/);
    await a.fabric.stop();
    await started;
  });

  test("wrong credentials are named in the log and tried again until they are right", async () => {
    const account = (password: string) => `authorization { user: meerkat, password: "${password}" }`;
    const nats = await server(account("right"));
    const arena = arenaOf({ servers: [nats.url], username: "meerkat", password: "wrong" });
    const a = arena.node(1);
    const started = a.start();
    await logs(arena, a, /NATS refuses the credentials of this node/);
    expect(JSON.stringify(a.logged)).not.toContain('"wrong"');
    await nats.kill();
    await nats.up(account("wrong"));
    await started;
    // Later too: the account is changed while the node runs.
    await nats.kill();
    await nats.up(account("other"));
    await logs(arena, a, /NATS refuses the credentials of this node/, 2);
    await nats.kill();
    await nats.up(account("wrong"));
    await logs(arena, a, /Connected to NATS/, 2);
  });

  test("a token, and the file of an nkey that is read again at each connect", async () => {
    const nats = await server('authorization { token: "secret" }');
    const [a] = await arenaOf({ servers: [nats.url], token: "secret" }).pair();
    expect(a.fabric.peers.size).toBe(1);

    const [first, second] = [nkeys.createUser(), nkeys.createUser()];
    const users = (key: typeof first) => `authorization { users: [ { nkey: ${key.getPublicKey()} } ] }`;
    const other = await server(users(first), { seed: "" });
    writeFileSync(other.path("seed"), first.getSeed());
    const arena = arenaOf({ servers: [other.url], credentialsFile: other.path("seed") });
    const [b] = await arena.pair();
    await other.kill();
    await other.up(users(second));
    await logs(arena, b, /NATS refuses the credentials/);
    writeFileSync(other.path("seed"), second.getSeed());
    await logs(arena, b, /Connected to NATS/, 2);
  });

  test("a file of credentials, as an operator's tools make it", async () => {
    const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
    const token = (by: typeof user, of: typeof user, name: string, type: string) => {
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { jti: name, iat: 1_700_000_000, iss: by.getPublicKey(), name, sub: of.getPublicKey() };
      const limits = { subs: -1, data: -1, payload: -1 };
      const account = { limits: { ...limits, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 } };
      const nats = { type, version: 2, ...(type === "account" ? account : type === "user" ? limits : {}) };
      const signed = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ ...claims, nats })}`;
      return `${signed}.${Buffer.from(by.sign(Buffer.from(signed))).toString("base64url")}`;
    };
    const lines = [
      `operator: ${token(operator, operator, "o", "operator")}`,
      `resolver: MEMORY\nresolver_preload: { ${account.getPublicKey()}: ${token(operator, account, "a", "account")} }`,
    ];
    const nats = await server(lines.join("\n"));
    const seed = Buffer.from(user.getSeed()).toString();
    writeFileSync(
      nats.path("user.creds"),
      `-----BEGIN NATS USER JWT-----\n${token(account, user, "u", "user")}\n------END NATS USER JWT------\n\n` +
        `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    );
    const [a, b] = await arenaOf({ servers: [nats.url], credentialsFile: nats.path("user.creds") }).pair();
    a.fabric.send(2, bytesOf("hello"));
    await b.hears("n1: hello");
    const arena = arenaOf({ servers: [nats.url] });
    const stranger = arena.node(1);
    void stranger.start();
    await logs(arena, stranger, /NATS refuses the credentials/);
  });

  test("TLS with a certificate of one's own authority; without that the server is not trusted", async () => {
    const pem = selfSigned();
    if (pem === undefined) throw new Error("openssl is needed to make a certificate");
    const nats = await server('tls { cert_file: "FOLDER/cert.pem", key_file: "FOLDER/key.pem" }', {
      "cert.pem": readFileSync(pem.cert, "utf8"),
      "key.pem": readFileSync(pem.key, "utf8"),
    });
    const tls = { caFile: pem.cert, certFile: undefined, keyFile: undefined, verify: true, handshakeFirst: false };
    const [a, b] = await arenaOf({ servers: [`localhost:${nats.port}`], tls }).pair();
    a.fabric.send(2, new Uint8Array(2_000_000));
    await b.hears("n1: 2000000 bytes");

    const arena = arenaOf({ servers: [`localhost:${nats.port}`], tls: { ...tls, caFile: undefined } });
    const stranger = arena.node(1);
    void stranger.start();
    await logs(arena, stranger, /NATS cannot be reached/);
    const unchecked = arenaOf({ servers: [nats.url], tls: { ...tls, caFile: undefined, verify: false } });
    await unchecked.pair();
  });

  test("a server that takes nothing leaves a bounded queue; what is dropped is a gap", async () => {
    const nats = await server();
    const arena = arenaOf({ servers: [nats.url] });
    const queueBytesMax = 4 * 1024 * 1024;
    const [a, b] = await arena.pair({ expiryMs: 60_000, queueBytesMax });
    nats.pause();
    for (let round = 0; round < 400; round++) {
      a.fabric.send(2, new Uint8Array(50_000));
      await new Promise(setImmediate);
      expect(a.fabric.queuedBytes(2)).toBeLessThanOrEqual(queueBytesMax + 51_000);
    }
    expect(a.fabric.counters.dropped).toBeGreaterThan(100);
    nats.resume();
    await arena.until(() => a.fabric.queuedBytes(2) < 300_000, "the queue drains");
    a.fabric.send(2, bytesOf("after"));
    await arena.until(() => b.heard.includes("n1: after"), "it is heard", b.heard);
    const gaps = b.heard.filter((line) => /gap/.test(line)).map((line) => Number(line.split(" ").at(-1)));
    expect(gaps.reduce((sum, missed) => sum + missed, 0)).toBe(a.fabric.counters.dropped);
  });

  test("a server that takes only small messages gets small ones", async () => {
    const nats = await server("max_payload: 8192");
    const [a, b] = await arenaOf({ servers: [nats.url] }).pair();
    a.fabric.send(2, new Uint8Array(100_000));
    for (let index = 0; index < 500; index++) a.fabric.send(2, bytesOf("x".repeat(100)));
    a.fabric.send(2, bytesOf("end"));
    await b.hears("n1: 100000 bytes");
    await b.hears("n1: end");
    expect(b.fabric.counters.messagesIn).toBe(502);
  });

  test("a user who may not have the subjects is told so", async () => {
    const nats = await server(
      'authorization { users: [ { user: u, password: p, permissions: { publish: "other.>", subscribe: "other.>" } } ] }',
    );
    const arena = arenaOf({ servers: [nats.url], username: "u", password: "p" });
    const a = arena.node(1);
    await a.start();
    await logs(arena, a, /does not allow this node its subjects/);
  });
});
