/**
 * A node joins one that has a million sessions, while that one takes a thousand logins a second: two processes over Unix sockets, each on a
 * core of its own where there are two. How long until it is ready, and how long either side was deaf to its users at most.
 *
 *   ./bin/run-bun bench/micro/cluster-join.ts [--sessions 1000000]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { ClusterFabric } from "../../src/cluster/fabric/engine.ts";
import { LocalTransport, localAddress } from "../../src/cluster/fabric/local.ts";
import { Replicator } from "../../src/cluster/replicator.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import { silentLog } from "../../src/observe/log.ts";
import { systemClock as clock } from "../../src/runtime/bun/clock.ts";
import { systemRandom as random } from "../../src/runtime/bun/random.ts";
import { atTurnEnd } from "../../src/runtime/bun/turn.ts";
import { printOutcome } from "../measure/program.ts";

const { values } = parseArgs({
  options: {
    sessions: { type: "string", default: "1000000" },
    json: { type: "boolean", default: false },
    role: { type: "string" },
    folder: { type: "string" },
  },
});
const sessions = Number(values.sessions);
const names = ["giver", "taker"] as const;
const loginsPerTick = 10;
const tickMs = 10;

interface Told {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly longestMs: number;
  readonly sentBytes: number;
  readonly known: number;
}

/** One of the two nodes, without its server. */
function nodeOf(folder: string, number: number) {
  const address = (of: number) => localAddress(folder, names[of - 1]!);
  const self = {
    cluster: "bench",
    name: names[number - 1]!,
    number,
    incarnation: 1,
    version: "1",
    address: address(number),
  };
  const transport = new LocalTransport({ number, path: self.address, clock, randomness: random, log: silentLog });
  const other = 3 - number;
  transport.learned({ number: other, name: names[other - 1]!, address: address(other) });
  const fabric = new ClusterFabric({ self, transport, clock, log: silentLog, atTurnEnd });
  const directory = new SessionDirectory({ clock, random, log: silentLog });
  const replicator = new Replicator({ channel: fabric.channel(0), clock, log: silentLog, atTurnEnd });
  replicator.add(directory);
  return { fabric, directory, replicator };
}

/** How long the event loop was held up at most; asked each millisecond. */
class Lag {
  longestMs = 0;
  #last = performance.now();

  constructor() {
    setInterval(() => this.#tick(), 1);
  }

  reset(): void {
    this.longestMs = 0;
    this.#last = performance.now();
  }

  #tick(): void {
    const now = performance.now();
    this.longestMs = Math.max(this.longestMs, now - this.#last - 1);
    this.#last = now;
  }
}

async function run(role: string, folder: string): Promise<void> {
  const number = names.indexOf(role as "giver") + 1;
  const { fabric, directory, replicator } = nodeOf(folder, number);
  let serial = 0;
  const login = (): void => {
    const local = `u${String(++serial).padStart(9, "0")}`;
    const resource = `res-${String(serial).padStart(12, "0")}`;
    directory.publish({
      local,
      domain: "example.org",
      resource,
      serial,
      startedAt: clock.now(),
      priority: 0,
      marks: 1,
    });
  };
  replicator.start();
  if (role === "giver") {
    for (let index = 0; index < sessions; index++) {
      login();
      // As they would have come: a few in a turn.
      if (index % 1000 === 0) await new Promise((done) => setImmediate(done));
    }
    Bun.gc(true);
  } else replicator.expect([1]);
  const lag = new Lag();
  const begun = performance.now();
  const cpu = process.cpuUsage();
  const tell = (): void => {
    const { user, system } = process.cpuUsage(cpu);
    let known = 0;
    for (const [owner, count] of directory.counts()) if (owner.number !== number) known += count;
    const told: Told = {
      seconds: (performance.now() - begun) / 1000,
      cpuSeconds: (user + system) / 1e6,
      longestMs: lag.longestMs,
      sentBytes: fabric.counters.bytesOut,
      known,
    };
    console.log(JSON.stringify(told));
  };
  // Whoever asks does so by a line, and ends this by closing the input.
  process.stdin.on("data", tell).on("end", () => process.exit(0));
  lag.reset();
  await fabric.start();
  if (role === "giver") {
    console.log("{}");
    setInterval(() => {
      for (let index = 0; index < loginsPerTick; index++) login();
    }, tickMs);
    return;
  }
  const look = setInterval(() => {
    if (!replicator.ready) return;
    clearInterval(look);
    tell();
  }, 1);
}

function start(role: string, core: number, folder: string): { child: ChildProcess; next(): Promise<Told> } {
  const script = new URL(import.meta.url).pathname;
  const args = ["-c", String(core), process.execPath, script, "--role", role, "--folder", folder];
  const child = spawn("taskset", [...args, "--sessions", String(sessions)], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    child,
    async next() {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the ${role} has ended`);
      return JSON.parse(value) as Told;
    },
  };
}

async function measure(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "meerkat-join-"));
  const giver = start("giver", 0, folder);
  const children = [giver.child];
  try {
    await giver.next();
    const taker = start("taker", availableParallelism() > 1 ? 1 : 0, folder);
    children.push(taker.child);
    const taken = await taker.next();
    giver.child.stdin!.write("\n");
    const given = await giver.next();
    if (taken.known < sessions) throw new Error(`ready with ${taken.known} of ${sessions} sessions`);
    const megabytes = given.sentBytes / 1e6;
    console.log(`a node that joins takes in ${taken.known} sessions (${megabytes.toFixed(1)} MB):`);
    console.log(`  ready after ${taken.seconds.toFixed(2)} s`);
    console.log(`  giver ${given.cpuSeconds.toFixed(2)} s of CPU, deaf for ${given.longestMs.toFixed(1)} ms at most`);
    console.log(`  taker ${taken.cpuSeconds.toFixed(2)} s of CPU, deaf for ${taken.longestMs.toFixed(1)} ms at most`);
    if (!values.json) return;
    const outcome = {
      readySeconds: taken.seconds,
      giverTurn: given.longestMs,
      takerTurn: taken.longestMs,
      giverCpu: given.cpuSeconds,
      takerCpu: taken.cpuSeconds,
      megabytes,
    };
    printOutcome(sessions, outcome, given.cpuSeconds + taken.cpuSeconds);
  } finally {
    for (const child of children) child.stdin!.end();
    await Promise.all(children.map((child) => child.exitCode ?? once(child, "exit")));
    rmSync(folder, { recursive: true, force: true });
  }
}

if (values.role !== undefined && values.folder !== undefined) await run(values.role, values.folder);
else await measure();
