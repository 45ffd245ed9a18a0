/**
 * One run of the simulator: a whole cluster in one process, from a seed. Some nodes, random work and random faults; then everything heals,
 * and after a while all must agree with what is true. The same seed gives the same run, to the last message.
 */
import type { Log } from "../../src/observe/log.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { fairWeather, SimNetwork } from "../../src/runtime/sim/network.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { lifeOf, SimNode, type SimSession } from "./sim-node.ts";

export interface RunResult {
  readonly seed: number;
  /** What did not hold; empty when all is well. */
  readonly violations: readonly string[];
  /** How long after the healing all nodes agreed, in simulated milliseconds. */
  readonly agreedAfterMs: number;
  readonly counts: Record<string, number>;
}

/** Nodes that can see each other agree within this after everything has healed: one expiry, and what repairs take. */
const agreeWithinMs = 15_000;
/** After that the dead must have been cleaned up after: the longest wait is for a cleaner that is asked again. */
const cleanWithinMs = 45_000;
const stepMs = 25;

interface Death {
  readonly life: string;
  readonly atMs: number;
}

/** What a run may meet, drawn from its seed. */
interface Plan {
  readonly nodes: number;
  readonly steps: number;
  readonly lossy: boolean;
  readonly faults: readonly Fault[];
}

type Fault =
  | "cut"
  | "partition"
  | "mend"
  | "crash"
  | "leave"
  | "start"
  | "freeze"
  | "thaw"
  | "slow"
  | "weather"
  | "clock";

const faultsEach: readonly (readonly Fault[])[] = [
  [],
  ["crash", "leave"],
  ["crash", "start"],
  ["crash", "leave", "start", "start"],
  ["partition", "mend", "cut"],
  ["freeze", "thaw"],
  ["crash", "start", "partition", "mend", "cut", "freeze", "thaw", "weather", "slow", "leave", "clock"],
];

class Run {
  readonly #random: SimRandom;
  readonly #clock = new SimClock();
  readonly #network: SimNetwork;
  readonly #plan: Plan;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #violations: string[] = [];
  readonly #log: Log;
  /** All lives there have been. */
  readonly #all: SimNode[] = [];
  readonly #deaths: Death[] = [];
  readonly #startsAt: number[] = [];
  readonly #incarnations = new Map<number, number>();
  readonly #slow = new Set<SimNode>();
  #disturbed = false;
  #counts: Record<string, number> = {};

  constructor(seed: number, trace: ((line: string) => void) | undefined) {
    this.#random = new SimRandom(seed);
    this.#trace = trace;
    this.#network = new SimNetwork(this.#clock, new SimRandom(seed + 1e9));
    this.#log = watchfulLog((message, fields) => this.#violate(`logged: ${message} ${String(fields)}`));
    this.#plan = {
      // Few nodes find most, and cost least.
      nodes: 2 + Math.min(this.#below(6), this.#below(6)),
      steps: 8 + this.#below(25),
      lossy: this.#chance(0.6),
      faults: this.#pick(faultsEach),
    };
  }

  async run(): Promise<{ violations: string[]; agreedAfterMs: number; counts: Record<string, number> }> {
    const { nodes, steps, lossy, faults } = this.#plan;
    this.#say(
      `${nodes} nodes, ${steps} steps, ${lossy ? "bad" : "fair"} weather, faults: ${faults.join(" ") || "none"}`,
    );
    if (lossy) this.#changeWeather();
    for (let number = 1; number <= nodes; number++) {
      await this.#start(number);
      if (this.#chance(0.5)) await this.#pass(this.#below(400));
    }
    await this.#pass(500);
    for (let step = 0; step < steps; step++) {
      for (let work = this.#below(4); work > 0; work--) this.#work();
      if (faults.length > 0 && this.#chance(0.35)) await this.#fault(this.#pick(faults));
      await this.#pass(this.#chance(0.1) ? this.#below(7000) : this.#below(400));
    }
    const agreedAfterMs = await this.#heal();
    return { violations: this.#violations, agreedAfterMs, counts: this.#counts };
  }

  // Work.

  #work(): void {
    const node = this.#anyRunning();
    if (node === undefined) return;
    const user = `user${this.#below(8)}`;
    const sessions = [...node.sessions.values()];
    switch (this.#below(10)) {
      case 0:
      case 1:
      case 2: {
        const session = node.bind(user, `r${this.#below(3)}`, this.#below(10));
        this.#say(`node ${node.life}: binds ${user}/${session.resource} as ${session.serial}`);
        return;
      }
      case 3:
        if (sessions.length > 0) node.change(this.#pick(sessions), this.#below(256) - 128, this.#below(65_536));
        return;
      case 4: {
        if (sessions.length === 0) return;
        const session = this.#pick(sessions);
        this.#say(`node ${node.life}: unbinds ${session.local}/${session.resource}, ${session.serial}`);
        node.unbind(session);
        return;
      }
      case 5:
        this.#makeRoom(node, `room${this.#below(6)}`);
        return;
      case 6: {
        const room = this.#pick([...node.ownRooms.keys(), ""]);
        if (room === "") return;
        if (this.#chance(0.5)) node.closeRoom(room);
        else node.openRoom(room, `subject ${this.#below(100)}`);
        return;
      }
      case 7:
        // Many at once: larger than a message, and more than the log of some nodes holds.
        if (this.#chance(0.6)) return;
        for (let count = 10 + this.#below(50); count > 0; count--)
          node.bind(`user${count}`, `bulk${node.identity.number}`);
        this.#say(`node ${node.life}: binds many`);
        return;
      default:
        for (const peer of node.fabric.peers.keys()) {
          for (let count = this.#below(6); count > 0; count--) node.witness.send(peer);
        }
    }
  }

  /** A room is made through the node that rendezvous hashing names, if there is none. */
  #makeRoom(node: SimNode, key: string): void {
    if (node.rooms.get(key) !== undefined) return;
    const via = this.#living().find(({ identity }) => identity.number === node.replicator.createVia(key));
    if (via?.machine.running !== true || via.rooms.get(key) !== undefined) return;
    this.#say(`node ${via.life}: opens ${key}`);
    via.openRoom(key, "new");
  }

  // Faults.

  async #fault(fault: Fault): Promise<void> {
    const living = this.#living();
    const numbers = living.map(({ identity }) => identity.number);
    const node = this.#pick(living);
    switch (fault) {
      case "cut": {
        const other = this.#pick(living);
        if (other === node) return;
        this.#say(`nothing comes from ${node.life} to ${other.life}`);
        this.#network.cut(node.identity.number, other.identity.number);
        return;
      }
      case "partition": {
        const some = numbers.filter(() => this.#chance(0.5));
        this.#say(`${some.join(" ")} are cut off from the others`);
        this.#network.part(
          some,
          numbers.filter((number) => !some.includes(number)),
        );
        return;
      }
      case "mend":
        this.#say("all is connected again");
        this.#network.mend();
        return;
      case "crash":
        if (living.length > 1) this.#kill(node);
        return;
      case "leave":
        if (living.length < 2 || !node.machine.running) return;
        this.#say(`node ${node.life} leaves`);
        this.#deaths.push({ life: node.life, atMs: this.#clock.monotonic() });
        await node.leave();
        return;
      case "start": {
        const dead = [...this.#incarnations.keys()].filter((number) => !numbers.includes(number));
        if (dead.length > 0) await this.#start(this.#pick(dead));
        else if (numbers.length < 7) await this.#start(numbers.length + 1);
        return;
      }
      case "freeze":
        this.#say(`node ${node.life} is frozen`);
        node.machine.freeze();
        return;
      case "thaw":
        this.#thawAll();
        return;
      case "slow":
        this.#say(`node ${node.life} is slow`);
        node.machine.bytesPerMs = 0.5 + this.#random.next() * 4;
        this.#slow.add(node);
        return;
      case "weather":
        this.#changeWeather();
        return;
      case "clock":
        node.machine.skewMs = this.#below(7_200_000) - 3_600_000;
        this.#say(`the clock of ${node.life} jumps to ${node.machine.skewMs} ms beside the true time`);
    }
  }

  #changeWeather(): void {
    const delayMsMin = this.#below(20);
    const weather = {
      loss: this.#chance(0.3) ? 0 : this.#random.next() * 0.1,
      doubling: this.#chance(0.5) ? 0 : this.#random.next() * 0.1,
      overtaking: this.#chance(0.5) ? 0 : this.#random.next() * 0.1,
      delayMsMin,
      delayMsMax: delayMsMin + this.#below(this.#chance(0.2) ? 300 : 30),
    };
    this.#say(`weather: ${JSON.stringify(weather)}`);
    this.#network.weather = weather;
  }

  async #start(number: number): Promise<void> {
    const incarnation = (this.#incarnations.get(number) ?? 0) + 1;
    this.#incarnations.set(number, incarnation);
    this.#startsAt.push(this.#clock.monotonic());
    const node = new SimNode(this.#network, {
      number,
      incarnation,
      log: this.#log,
      skewMs: this.#chance(0.3) ? this.#below(20_000) - 10_000 : 0,
      queueBytesMax: this.#chance(0.3) ? 8 * 1024 : 16 * 1024 * 1024,
      ...(this.#chance(0.5) ? { cleanMs: this.#below(4000) } : {}),
      replicator: {
        messageBytes: 200 + this.#below(1000),
        chunksAhead: 1 + this.#below(4),
        logBytesMax: this.#below(4000),
        keepGoneMs: 10_000,
      },
      told: (teller, what) => this.#say(`node ${teller.life}: ${what}`),
      superseded: (loser, session, by) => this.#checkSuperseded(loser, session, by),
      down: (_, peer) => {
        if (!this.#deaths.some(({ life }) => life === lifeOf(peer))) this.#disturbed = true;
      },
    });
    this.#say(`node ${node.life} starts`);
    this.#all.push(node);
    await node.start();
  }

  #kill(node: SimNode): void {
    this.#say(`node ${node.life} is killed`);
    this.#deaths.push({ life: node.life, atMs: this.#clock.monotonic() });
    node.machine.kill();
  }

  #thawAll(): void {
    for (const node of this.#living()) {
      if (!node.machine.running) this.#say(`node ${node.life} goes on`);
      node.machine.thaw();
    }
  }

  // What must hold.

  async #heal(): Promise<number> {
    this.#say("everything heals");
    this.#network.mend();
    this.#network.weather = { ...fairWeather, delayMsMax: 1 + this.#below(20) };
    for (const node of this.#slow) node.machine.bytesPerMs = Number.POSITIVE_INFINITY;
    this.#thawAll();
    // A slow node is well again once it has taken in what has been waiting for it.
    while (this.#network.lateMs > 100) await this.#pass(100);
    const healedAt = this.#clock.monotonic();
    const passed = () => this.#clock.monotonic() - healedAt;
    while (this.#disagreement() !== undefined && passed() < agreeWithinMs) await this.#pass(100);
    const agreedAfterMs = passed();
    const disagreement = this.#disagreement();
    if (disagreement !== undefined) this.#violate(`no agreement after ${agreeWithinMs} ms: ${disagreement}`);
    else this.#say(`agreement after ${agreedAfterMs} ms`);
    while (this.#uncleaned() !== undefined && passed() < cleanWithinMs) await this.#pass(500);
    const uncleaned = this.#uncleaned();
    if (uncleaned !== undefined) this.#violate(uncleaned);
    // Still so, when all that was under way has come.
    await this.#pass(1000);
    const later = this.#disagreement();
    if (disagreement === undefined && later !== undefined) this.#violate(`agreement did not last: ${later}`);
    this.#checkOneSessionEach();
    this.#checkCleanedOnce();
    // A loss at the end is noticed with the next hello.
    for (let waited = 0; this.#linkTrouble() !== undefined && waited < agreeWithinMs; waited += 250)
      await this.#pass(250);
    const trouble = this.#linkTrouble();
    if (trouble !== undefined) this.#violate(trouble);
    for (const node of this.#all) for (const fault of node.witness.faults) this.#violate(`link: ${fault}`);
    this.#count();
    return agreedAfterMs;
  }

  /** Convergence, no record of a dead life, none of a living one lost: every node's view is what all living nodes' truths are together. */
  #disagreement(): string | undefined {
    const living = this.#living();
    for (const node of living) {
      if (!node.replicator.inSync || node.fabric.peers.size !== living.length - 1) return `${node.life} is not in sync`;
    }
    const sessions = living.flatMap((node) => node.truth()).sort();
    const rooms = living.flatMap((node) => node.roomTruth()).sort();
    for (const node of living) {
      const difference = firstDifference(node.view(), sessions) ?? firstDifference(node.roomView(), rooms);
      if (difference !== undefined) return `${node.life} ${difference}`;
      for (const line of node.truth()) {
        const [, local, resource] = /^(.*)@.*\/(.*) #/.exec(line)!;
        const other = living.find((reader) => reader !== node);
        if (
          other?.directory.find({ local: local!, domain: "example.org", resource: resource! }) === undefined &&
          other
        ) {
          return `${other.life} does not find ${line}`;
        }
      }
    }
    return undefined;
  }

  #checkOneSessionEach(): void {
    const seen = new Map<string, string>();
    for (const node of this.#living()) {
      for (const { local, resource } of node.sessions.values()) {
        const other = seen.get(`${local}/${resource}`);
        if (other !== undefined) this.#violate(`${local}/${resource} is bound at ${other} and ${node.life}`);
        seen.set(`${local}/${resource}`, node.life);
      }
    }
  }

  /** A session ends for another one only if that was really bound, and is the later by the rule. */
  #checkSuperseded(
    loser: SimNode,
    session: SimSession,
    by: { owner: { number: number; incarnation: number }; startedAt: number },
  ) {
    this.#counts.superseded = (this.#counts.superseded ?? 0) + 1;
    const winner = this.#all.find((node) => node.life === lifeOf(by.owner));
    const later =
      by.startedAt > Math.floor(session.startedAt / 100) * 100 ||
      (by.startedAt === Math.floor(session.startedAt / 100) * 100 && by.owner.number > loser.identity.number);
    if (winner === undefined || winner === loser || !later) {
      this.#violate(`${loser.life}: session ${session.serial} gave way to ${lifeOf(by.owner)} without reason`);
    }
  }

  /** A dead life that somebody still knows has to be cleaned up after; the first that was not. */
  #uncleaned(): string | undefined {
    const living = this.#living();
    for (const { life } of this.#deaths) {
      if (!living.some((node) => node.met.has(life))) continue;
      if (!this.#all.some((node) => node.cleaned.includes(life))) return `nobody has cleaned up after ${life}`;
      for (const node of living) {
        for (const state of node.replicator.states()) {
          if (lifeOf(state.owner) === life && state.phase !== "gone") return `${node.life} takes ${life} for alive`;
        }
      }
    }
    return undefined;
  }

  /** Exactly once: unless the survivors took each other for dead, the cleaner died too, or a node had only just come. */
  #checkCleanedOnce(): void {
    if (this.#disturbed) return;
    for (const { life, atMs } of this.#deaths) {
      if (this.#startsAt.some((at) => at > atMs - 3000 && at < atMs + 10_000)) continue;
      const begun = this.#all.filter((node) => node.cleaningBegun.includes(life));
      if (begun.some(({ machine }) => machine.dead)) continue;
      this.#counts.cleanedOnce = (this.#counts.cleanedOnce ?? 0) + 1;
      const times = begun.flatMap((node) => node.cleaningBegun.filter((cleaned) => cleaned === life)).length;
      if (times > 1)
        this.#violate(`${life} was cleaned up after ${times} times, by ${begun.map((node) => node.life).join(" ")}`);
    }
  }

  /** Frames that have not come, or whose acknowledgement has not. */
  #linkTrouble(): string | undefined {
    const living = this.#living();
    for (const node of living) {
      for (const peer of living) {
        if (peer === node) continue;
        const { frames } = node.link.unacknowledged(peer.identity.number);
        if (frames > 0) return `link: ${frames} of ${node.life}'s frames to ${peer.life} are not acknowledged`;
        const sent = node.witness.sentTo(peer.identity.number);
        if (sent > 0 && peer.witness.cameFrom(node.identity.number, node.identity.incarnation) !== sent) {
          return `link: not all of ${node.life}'s ${sent} frames have come to ${peer.life}`;
        }
      }
    }
    return undefined;
  }

  #count(): void {
    const add = (name: string, count: number) => {
      this.#counts[name] = (this.#counts[name] ?? 0) + count;
    };
    add("deaths", this.#deaths.length);
    for (const node of this.#all) {
      add("messages", node.fabric.counters.messagesIn);
      add("gaps", node.fabric.counters.gaps);
      add("frames", node.witness.framesIn);
      add("cleanings", node.cleaned.length);
      add("returned", node.replicator.counters.ownersReturned);
      if (node.replicator.counters.malformedEntries > 0) this.#violate(`${node.life}: entries not understood`);
      for (const { own, repairs, snapshots } of node.replicator.states()) {
        if (own) continue;
        add("repairs", repairs);
        add("snapshots", snapshots);
      }
    }
  }

  // Small things.

  #violate(what: string): void {
    if (this.#violations.length < 20) this.#violations.push(what);
    this.#say(`VIOLATION: ${what}`);
  }

  #say(line: string): void {
    this.#trace?.(`${String(Math.round(this.#clock.monotonic())).padStart(7)} ms  ${line}`);
  }

  #living(): SimNode[] {
    return this.#all.filter(({ machine }) => !machine.dead);
  }

  #anyRunning(): SimNode | undefined {
    const running = this.#all.filter(({ machine }) => machine.running);
    return running.length === 0 ? undefined : this.#pick(running);
  }

  async #pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.#clock.advance(Math.min(left, stepMs));
      // Promises that have settled go on.
      await Promise.resolve();
    }
  }

  #below(count: number): number {
    return Math.floor(this.#random.next() * count);
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)]!;
  }
}

/** Runs one seed; `trace` is told what happens, line by line. */
export async function simulate(seed: number, trace?: (line: string) => void): Promise<RunResult> {
  const run = new Run(seed, trace);
  try {
    return { seed, ...(await run.run()) };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { seed, violations: [`thrown: ${text}`], agreedAfterMs: 0, counts: {} };
  }
}

function firstDifference(found: readonly string[], expected: readonly string[]): string | undefined {
  if (found.length === expected.length && found.every((line, at) => line === expected[at])) return undefined;
  const missing = expected.find((line) => !found.includes(line));
  if (missing !== undefined) return `lacks ${missing}`;
  const extra = found.find((line) => !expected.includes(line));
  return extra === undefined ? undefined : `has ${extra}`;
}

/** Nothing a cluster meets is an error of ours. */
function watchfulLog(failed: (message: string, fields: unknown) => void): Log {
  const quiet = () => {};
  const loud = (fields: object, message: string) => failed(message, (fields as { err?: unknown }).err ?? "");
  const log: Log = { fatal: loud, error: loud, warn: quiet, info: quiet, debug: quiet, trace: quiet, child: () => log };
  return log;
}
