/**
 * What a message between two nodes costs: messages a second, and microseconds of CPU per message in the sender and in
 * the receiver, each a process of its own. Over Unix sockets, and over NATS where a server runs on port 4222; the bare
 * fabric, and the link with its acknowledgements; with many messages a turn of the event loop and with few.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClusterFabric } from "../../src/cluster/fabric/engine.ts";
import type { FabricEvents } from "../../src/cluster/fabric/fabric.ts";
import { LocalTransport, localAddress } from "../../src/cluster/fabric/local.ts";
import { NatsTransport } from "../../src/cluster/fabric/nats.ts";
import { Link } from "../../src/cluster/link.ts";
import { silentLog } from "../../src/observe/log.ts";
import { systemClock as clock } from "../../src/runtime/bun/clock.ts";
import { systemRandom as randomness } from "../../src/runtime/bun/random.ts";

/** About a chat message of one line. */
const messageBytes = 250;
const messages = 200_000;
const queueBytesMost = 2 * 1024 * 1024;

type Kind = "local" | "nats";

function nodeOf(kind: Kind, number: number, place: string): { fabric: ClusterFabric; link: Link } {
  const address = localAddress(place, `n${number}`);
  const self = { cluster: place, name: `n${number}`, number, incarnation: 1, version: "1", address };
  const shared = { number, clock, randomness, log: silentLog };
  const settings = {
    servers: ["127.0.0.1:4222"],
    username: undefined,
    password: undefined,
    token: undefined,
    credentialsFile: undefined,
    tls: undefined,
  };
  const local = kind === "local" ? new LocalTransport({ ...shared, path: address }) : undefined;
  const other = 3 - number;
  local?.learned({ number: other, name: `n${other}`, address: localAddress(place, `n${other}`) });
  const transport = local ?? new NatsTransport({ ...shared, settings, cluster: place, name: self.name });
  const fabric = new ClusterFabric({ self, transport, clock, log: silentLog, atTurnEnd: setImmediate });
  return { fabric, link: new Link({ channel: fabric.channel(1), log: silentLog, atTurnEnd: setImmediate }) };
}

const nothing: FabricEvents = {
  message: () => {},
  request: (_, bytes) => bytes,
  peerUp: () => {},
  peerDown: () => {},
  gap: (_, missed) => {
    throw new Error(`${missed} messages were lost`);
  },
};

/** Counts what comes, and answers each request with that count and its CPU time in microseconds. */
async function receive(kind: Kind, place: string): Promise<void> {
  const { fabric, link } = nodeOf(kind, 2, place);
  let count = 0;
  link.listen({ frame: () => void count++ });
  await fabric.start({
    ...nothing,
    message: () => void count++,
    request: () => {
      const { user, system } = process.cpuUsage();
      return new Uint8Array(Buffer.from(JSON.stringify({ count, cpu: user + system })));
    },
  });
  process.stdin.on("end", () => process.exit(0)).resume();
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function measure(kind: Kind): Promise<void> {
  const place = kind === "local" ? mkdtempSync(join(tmpdir(), "meerkat-bench-")) : randomBytes(6).toString("hex");
  const script = new URL(import.meta.url).pathname;
  const child: ChildProcess = spawn(process.execPath, [script, kind, place], { stdio: ["pipe", "inherit", "inherit"] });
  const { fabric, link } = nodeOf(kind, 1, place);
  const up = Promise.withResolvers<void>();
  link.listen({ frame: () => {} });
  await fabric.start({ ...nothing, peerUp: () => up.resolve() });
  await up.promise;
  const ask = async () => {
    const answer = await fabric.request(2, new Uint8Array(1), 30_000);
    return JSON.parse(Buffer.from(answer).toString()) as { count: number; cpu: number };
  };
  const bytes = new Uint8Array(messageBytes).fill(65);

  const run = async (name: string, perTurn: number, total: number, send: () => void, wait: () => Promise<void>) => {
    const before = await ask();
    const started = performance.now();
    const cpu = process.cpuUsage();
    for (let sent = 0; sent < total; ) {
      for (let index = 0; index < perTurn && sent < total; index++, sent++) send();
      await turn();
      await wait();
    }
    let after = await ask();
    while (after.count - before.count < total) after = await ask();
    const { user, system } = process.cpuUsage(cpu);
    const perSecond = total / ((performance.now() - started) / 1000);
    const [out, into] = [(user + system) / total, (after.cpu - before.cpu) / total];
    console.log(
      `${kind.padEnd(6)} ${name.padEnd(40)} ${perSecond.toFixed(0).padStart(9)}/s ${out.toFixed(2).padStart(7)} µs sender ${into.toFixed(2).padStart(7)} µs receiver`,
    );
  };

  const drained = async () => {
    while (fabric.queuedBytes(2) > queueBytesMost) await turn();
  };
  const send = () => fabric.send(2, bytes);
  await run("warming up", 100, messages / 4, send, drained);
  for (const [perTurn, total] of [
    [100, messages],
    [10, messages / 2],
    [1, messages / 10],
  ] as const) {
    await run(`fabric, ${perTurn} a turn`, perTurn, total, send, drained);
  }
  const acknowledged: Promise<void>[] = [];
  const sendFrame = () => void acknowledged.push(link.send(2, bytes, true)!);
  for (const [perTurn, total] of [
    [100, messages],
    [10, messages / 2],
    [1, messages / 10],
  ] as const) {
    await run(`link, every frame acknowledged, ${perTurn} a turn`, perTurn, total, sendFrame, () =>
      link.whenDrained(2),
    );
    await Promise.all(acknowledged.splice(0));
  }
  // One after the other: how long a message and its acknowledgement take.
  const rounds = 2000;
  const started = performance.now();
  for (let round = 0; round < rounds; round++) await link.send(2, bytes, true);
  const ms = (performance.now() - started) / rounds;
  console.log(
    `${kind.padEnd(6)} ${"link, there and acknowledged".padEnd(40)} ${(ms * 1000).toFixed(0).padStart(9)} µs`,
  );
  child.stdin!.end();
  await fabric.stop();
  if (kind === "local") rmSync(place, { recursive: true, force: true });
}

const natsRuns = () =>
  new Promise<boolean>((resolve) => {
    const socket = connect(4222, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

const [kind, place] = process.argv.slice(2);
if ((kind === "local" || kind === "nats") && place !== undefined) await receive(kind, place);
else {
  await measure("local");
  if (await natsRuns()) await measure("nats");
  else console.log("nats   no server runs on port 4222");
}
