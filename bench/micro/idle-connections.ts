/**
 * What an idle connection costs in memory: resident bytes of this process for each of N connections that a second
 * process opens, after each has said something and heard the answer.
 *
 *   ./bin/run-bun bench/micro/idle-connections.ts [--connections 5000] [--kind tcp,starttls,tls,websocket]
 */

import { heapStats } from "bun:jsc";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { parseArgs } from "node:util";
import { selfSigned } from "../../src/runtime/bun/certificate.ts";
import { systemClock } from "../../src/runtime/bun/clock.ts";
import { serveHttp } from "../../src/runtime/bun/http.ts";
import { listen } from "../../src/runtime/bun/listen.ts";
import { ServerCertificates } from "../../src/runtime/bun/tls.ts";
import { turnBatch } from "../../src/runtime/bun/turn.ts";
import type { ByteSocket, SocketHandler } from "../../src/socket/socket.ts";
import { TimerWheel } from "../../src/util/timer-wheel.ts";

const kinds = ["tcp", "starttls", "tls", "websocket"] as const;
type Kind = (typeof kinds)[number];

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "5000" },
    kind: { type: "string", default: kinds.join(",") },
    /** Internal: this process measures one kind. */
    server: { type: "string" },
    /** Internal: this process opens connections to the port. */
    client: { type: "string" },
  },
});
const connections = Number(values.connections);
/** Opened before the measurement begins, so that what every process needs once is not counted. */
const warmUp = 1000;

/** The least a stream can be: what is measured is the house's socket and the runtime. */
class Echo implements SocketHandler {
  readonly socket: ByteSocket;
  constructor(socket: ByteSocket) {
    this.socket = socket;
  }
  received(chunk: Uint8Array): void {
    if (chunk[0] === 83) {
      this.socket.write("P");
      this.socket.startTls();
    } else this.socket.write("x");
  }
  receivedMessage(): void {
    this.socket.write("x");
  }
  secured(): void {}
  drained(): void {}
  overflowed(): void {}
  closed(): void {}
}

if (values.server !== undefined) await serveAndMeasure(values.server as Kind);
else if (values.client !== undefined) await openOnDemand(values.client as Kind);
else {
  for (const kind of values.kind.split(",")) {
    const child = Bun.spawn(
      [process.execPath, import.meta.path, "--server", kind, "--connections", String(connections)],
      {
        stdout: "inherit",
        stderr: "inherit",
      },
    );
    if ((await child.exited) !== 0) process.exit(1);
  }
}

async function serveAndMeasure(kind: Kind): Promise<void> {
  const failed = (error: unknown) => console.error(error);
  const shared = {
    batch: turnBatch(failed),
    wheel: new TimerWheel(systemClock, failed),
    writeQueueBytesMax: 1_000_000,
    lingerMs: 2000,
    failed,
  };
  const certificates = new ServerCertificates([{ hosts: ["localhost"], ...(await selfSigned(["localhost"])) }]);
  let open = 0;
  const connected = (socket: ByteSocket) => {
    open++;
    return new Echo(socket);
  };
  const address = "127.0.0.1";
  const { port } =
    kind === "websocket"
      ? serveHttp({
          address,
          port: 0,
          requestBytesMax: 1000,
          failed,
          fetch: () => new Response(null, { status: 404 }),
          webSocket: { ...shared, messageBytesMax: 65_536, idleTimeoutSeconds: 900, upgrade: () => connected },
        })
      : listen({
          ...shared,
          address,
          port: 0,
          certificates,
          directTls: kind === "tls" ? "client" : undefined,
          connected,
        });
  const client = Bun.spawn([process.execPath, import.meta.path, "--client", kind], {
    env: { ...process.env, PORT: String(port) },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const answers = client.stdout.getReader();
  const ask = async (count: number) => {
    client.stdin.write(`${count}\n`);
    client.stdin.flush();
    if ((await answers.read()).done) throw new Error("the client died");
  };
  await ask(warmUp);
  const before = await settledMemory();
  await ask(connections);
  const after = await settledMemory();
  if (open !== warmUp + connections) throw new Error(`${open} connections are open`);
  const each = (kind: keyof Memory) => String(Math.round((after[kind] - before[kind]) / connections)).padStart(6);
  console.log(`${kind.padEnd(10)} ${each("resident")} bytes per idle connection, ${each("heap")} of them JavaScript's`);
  client.kill();
  process.exit(0);
}

interface Memory {
  readonly resident: number;
  readonly heap: number;
}

/** Once garbage is collected and freed memory is given back. */
async function settledMemory(): Promise<Memory> {
  for (let round = 0; round < 5; round++) {
    Bun.gc(true);
    await Bun.sleep(200);
  }
  const kibibytes = /^Rss:\s+(\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))?.[1];
  return { resident: Number(kibibytes) * 1024, heap: heapStats().heapSize };
}

async function openOnDemand(kind: Kind): Promise<void> {
  const port = Number(process.env.PORT);
  const open: unknown[] = [];
  for await (const line of console) {
    for (let left = Number(line); left > 0; left -= 50) {
      const batch = Array.from({ length: Math.min(left, 50) }, () => connectOne(kind, port));
      open.push(...(await Promise.all(batch)));
    }
    process.stdout.write("done\n");
  }
}

function connectOne(kind: Kind, port: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    if (kind === "websocket") {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`, "xmpp");
      socket.onopen = () => socket.send("<a/>");
      socket.onmessage = () => resolve(socket);
      socket.onerror = () => reject(new Error("no WebSocket"));
      return;
    }
    const secure = (plain?: net.Socket) => {
      const where = plain === undefined ? { port, host: "127.0.0.1" } : { socket: plain };
      const socket = tls.connect({ ...where, servername: "localhost", rejectUnauthorized: false }, () =>
        socket.write("a"),
      );
      socket.once("data", () => resolve(socket));
      socket.once("error", reject);
    };
    if (kind === "tls") {
      secure();
      return;
    }
    const socket = net.connect(port, "127.0.0.1", () => socket.write(kind === "tcp" ? "a" : "S"));
    socket.once("data", () => (kind === "tcp" ? resolve(socket) : secure(socket)));
    socket.once("error", reject);
  });
}
