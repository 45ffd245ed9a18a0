/**
 * What logins cost that all nodes hear of, on clusters of 1 to 16 nodes. The nodes run in this process over a simulated network, engine and
 * all; the time each spends is measured apart, as if it had a core to itself.
 *
 *   ./bin/run-bun bench/micro/replication.ts [--logins 20000] [--nodes 1,2,4,8,16]
 */
import { parseArgs } from "node:util";
import { ClusterFabric } from "../../src/cluster/fabric/engine.ts";
import type { Transport, TransportEvents } from "../../src/cluster/fabric/transport.ts";
import { Replicator } from "../../src/cluster/replicator.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import { silentLog } from "../../src/observe/log.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { fairWeather, type SimMachine, SimNetwork } from "../../src/runtime/sim/network.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import type { Clock } from "../../src/util/clock.ts";
import { printOutcome } from "../measure/program.ts";

const { values } = parseArgs({
  options: {
    logins: { type: "string", default: "20000" },
    nodes: { type: "string", default: "1,2,4,8,16" },
    json: { type: "boolean", default: false },
  },
});

/** By the system's account, so that what else runs on the machine does not count. */
function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** The CPU time one node spends, turn by turn. */
class Stopwatch {
  totalNs = 0;
  longestNs = 0;

  run<Result>(work: () => Result): Result {
    const start = cpuNs();
    try {
      return work();
    } finally {
      const took = cpuNs() - start;
      this.totalNs += took;
      this.longestNs = Math.max(this.longestNs, took);
    }
  }

  reset(): void {
    this.totalNs = 0;
    this.longestNs = 0;
  }
}

/** A machine whose every turn is measured; the bytes it sends are counted. */
class TimedMachine implements Transport {
  readonly envelopeBytesMax = 1024 * 1024;
  readonly clock: Clock;
  sentBytes = 0;
  readonly #machine: SimMachine;
  readonly #watch: Stopwatch;

  constructor(machine: SimMachine, watch: Stopwatch) {
    this.#machine = machine;
    this.#watch = watch;
    const { clock } = machine;
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (ms, run) => clock.after(ms, () => watch.run(run)),
      every: (ms, run) => clock.every(ms, () => watch.run(run)),
    };
  }

  start(events: TransportEvents): Promise<void> {
    return this.#machine.start({
      ...events,
      received: (envelope) => this.#watch.run(() => events.received(envelope)),
    });
  }

  send(node: number, envelope: Uint8Array): void {
    this.sentBytes += envelope.length;
    this.#machine.send(node, envelope);
  }

  broadcast(envelope: Uint8Array): void {
    this.#machine.broadcast(envelope);
  }

  queuedBytes(): number {
    return 0;
  }

  stop(): Promise<void> {
    return this.#machine.stop();
  }
}

class Node {
  readonly watch = new Stopwatch();
  readonly machine: TimedMachine;
  readonly directory: SessionDirectory;
  readonly replicator: Replicator;
  readonly #fabric: ClusterFabric;
  #serial = 0;

  constructor(network: SimNetwork, number: number) {
    this.machine = new TimedMachine(network.machine(number), this.watch);
    const { clock } = this.machine;
    const atTurnEnd = (run: () => void) => void clock.after(0, run);
    const self = { cluster: "bench", name: `node${number}`, number, incarnation: 1, version: "1", address: "" };
    this.#fabric = new ClusterFabric({ self, transport: this.machine, clock, log: silentLog, atTurnEnd });
    this.directory = new SessionDirectory({ clock, random: network.random, log: silentLog });
    const options = { channel: this.#fabric.channel(2), clock, log: silentLog, atTurnEnd };
    this.replicator = new Replicator(options);
    this.replicator.add(this.directory);
  }

  start(): Promise<void> {
    this.replicator.start();
    return this.#fabric.start();
  }

  login(index: number): void {
    const local = `u${String(index).padStart(9, "0")}`;
    const serial = ++this.#serial;
    const resource = `res-${String(index).padStart(12, "0")}`;
    const name = { local, domain: "example.org", resource };
    this.directory.publish({ ...name, serial, startedAt: 1_704_067_200_000, priority: 0, marks: 0 });
    this.directory.update(name, serial, 5, 1);
  }
}

function cluster(): SimNetwork {
  const network = new SimNetwork(new SimClock(), new SimRandom(1));
  network.weather = { ...fairWeather };
  return network;
}

/** Microseconds of CPU, and bytes, for each login. */
async function logins(
  nodes: number,
  count: number,
): Promise<{ ownNode: number; eachOther: number; bytesSent: number }> {
  const network = cluster();
  const all: Node[] = [];
  for (let number = 1; number <= nodes; number++) {
    const node = new Node(network, number);
    await node.start();
    all.push(node);
  }
  network.clock.advance(3000);
  const [owner, ...others] = all as [Node, ...Node[]];
  let best = Number.POSITIVE_INFINITY;
  let bestOther = 0;
  let bytes = 0;
  for (let round = 0; round < 4; round++) {
    for (const node of all) node.watch.reset();
    owner.machine.sentBytes = 0;
    for (let index = 0; index < count; index += 10) {
      // Ten logins in a turn, each with its presence.
      owner.watch.run(() => {
        for (let login = index; login < index + 10; login++) owner.login(round * count + login);
      });
      network.clock.advance(2);
    }
    if (owner.watch.totalNs >= best) continue;
    best = owner.watch.totalNs;
    bestOther = others.reduce((sum, { watch }) => sum + watch.totalNs, 0) / Math.max(1, others.length);
    bytes = owner.machine.sentBytes;
  }
  const us = (ns: number) => ns / 1000 / count;
  return { ownNode: us(best), eachOther: us(bestOther), bytesSent: Math.round(bytes / count) };
}

console.log("logins, each with its presence, ten in a turn; microseconds of CPU a login");
console.log("nodes    owner  each other  bytes sent");
let last = { ownNode: 0, eachOther: 0, bytesSent: 0 };
for (const nodes of values.nodes.split(",").map(Number)) {
  last = await logins(nodes, Number(values.logins));
  const { ownNode, eachOther, bytesSent } = last;
  const columns = [String(nodes).padStart(5), ownNode.toFixed(2).padStart(8), eachOther.toFixed(2).padStart(11)];
  console.log(`${columns.join(" ")} ${String(bytesSent).padStart(11)}`);
}
if (values.json) printOutcome(Number(values.logins), last);
