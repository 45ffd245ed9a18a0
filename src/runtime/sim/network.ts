/**
 * A network and its machines in one process, from a seed: it loses, doubles, delays and reorders what nodes send each other, can be cut in
 * either direction, and its nodes can be frozen, slowed down, and killed at any moment.
 */
import type { Transport, TransportEvents } from "../../cluster/fabric/transport.ts";
import type { Clock, Timer } from "../../util/clock.ts";
import type { SimClock } from "./clock.ts";
import type { SimRandom } from "./random.ts";

/** How the network treats what it carries; chances are 0 to 1. */
export interface Weather {
  loss: number;
  doubling: number;
  /** Of overtaking what was sent before between the same two nodes. */
  overtaking: number;
  delayMsMin: number;
  delayMsMax: number;
}

export const fairWeather: Weather = { loss: 0, doubling: 0, overtaking: 0, delayMsMin: 0, delayMsMax: 1 };

export class SimNetwork {
  readonly clock: SimClock;
  readonly random: SimRandom;
  weather: Weather = { ...fairWeather };
  readonly #machines = new Map<number, SimMachine>();
  /** Pairs between which nothing comes: sender * 1024 + receiver. */
  readonly #cuts = new Set<number>();
  readonly #lastDue = new Map<number, number>();

  constructor(clock: SimClock, random: SimRandom) {
    this.clock = clock;
    this.random = random;
  }

  /** A machine for one life of the node of this number. What was there before is off the network. */
  machine(number: number): SimMachine {
    const machine = new SimMachine(this, number);
    this.#machines.set(number, machine);
    return machine;
  }

  /** Nothing comes from one to the other any more. */
  cut(from: number, to: number): void {
    this.#cuts.add(from * 1024 + to);
  }

  /** Cuts every pair of which one is on each side, in both directions. */
  part(some: readonly number[], others: readonly number[]): void {
    for (const a of some) {
      for (const b of others) {
        this.cut(a, b);
        this.cut(b, a);
      }
    }
  }

  mend(): void {
    this.#cuts.clear();
  }

  /** For `SimMachine`. */
  get machines(): Iterable<SimMachine> {
    return this.#machines.values();
  }

  /** By how much what is under way comes later than now, milliseconds: much when it waits for a machine that was slow. */
  get lateMs(): number {
    return Math.max(0, ...this.#lastDue.values()) - this.clock.monotonic();
  }

  /** For `SimMachine`. */
  carry(from: SimMachine, number: number, envelope: Uint8Array): void {
    const { weather, random, clock } = this;
    const to = this.#machines.get(number);
    if (to === undefined || this.#cuts.has(from.number * 1024 + number) || random.next() < weather.loss) return;
    const copies = random.next() < weather.doubling ? 2 : 1;
    const pair = from.number * 1024 + number;
    const now = clock.monotonic();
    for (let copy = 0; copy < copies; copy++) {
      let due = now + weather.delayMsMin + random.next() * (weather.delayMsMax - weather.delayMsMin);
      if (random.next() >= weather.overtaking) {
        const last = this.#lastDue.get(pair) ?? 0;
        due = Math.max(due, last);
        if (to.bytesPerMs < Number.POSITIVE_INFINITY)
          due = Math.max(due, Math.max(now, last) + envelope.length / to.bytesPerMs);
        this.#lastDue.set(pair, due);
      }
      from.queued.set(number, (from.queued.get(number) ?? 0) + envelope.length);
      clock.after(due - now, () => {
        from.queued.set(number, from.queued.get(number)! - envelope.length);
        to.receive(copy === 0 ? envelope : envelope.slice());
      });
    }
  }
}

/** Where one life of a node runs: its clock and its way into the network. Frozen, nothing happens on it; dead, never again. */
export class SimMachine implements Transport {
  readonly number: number;
  readonly envelopeBytesMax = 64 * 1024;
  /** How fast it takes in what is sent to it. */
  bytesPerMs = Number.POSITIVE_INFINITY;
  /** Bytes under way to each other node. */
  readonly queued = new Map<number, number>();
  readonly clock: Clock;
  /** What this machine's wall clock is ahead of the true time. */
  skewMs = 0;
  readonly #network: SimNetwork;
  #events: TransportEvents | undefined = undefined;
  #state: "running" | "frozen" | "dead" = "running";
  /** What would have happened while it was frozen, in order. */
  #held: (() => void)[] = [];

  constructor(network: SimNetwork, number: number) {
    this.#network = network;
    this.number = number;
    const { clock } = network;
    this.clock = {
      now: () => clock.now() + this.skewMs,
      monotonic: () => clock.monotonic(),
      after: (ms, run) => this.#timer((fire) => clock.after(ms, fire), run, false),
      every: (ms, run) => this.#timer((fire) => clock.every(ms, fire), run, true),
    };
  }

  get running(): boolean {
    return this.#state === "running";
  }

  get dead(): boolean {
    return this.#state === "dead";
  }

  /** As by SIGSTOP. */
  freeze(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  /** As by SIGCONT: what fell due meanwhile happens now. */
  thaw(): void {
    if (this.#state !== "frozen") return;
    this.#state = "running";
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.#do(run);
  }

  /** As by SIGKILL. */
  kill(): void {
    this.#state = "dead";
    this.#events = undefined;
    this.#held = [];
  }

  async start(events: TransportEvents): Promise<void> {
    this.#events = events;
  }

  send(node: number, envelope: Uint8Array): void {
    if (this.#events !== undefined) this.#network.carry(this, node, envelope);
  }

  broadcast(envelope: Uint8Array): void {
    if (this.#events === undefined) return;
    for (const machine of this.#network.machines) {
      if (machine.number !== this.number) this.#network.carry(this, machine.number, envelope.slice());
    }
  }

  /** What a slow receiver has not taken yet; in the network itself nothing piles up. */
  queuedBytes(node: number): number {
    for (const machine of this.#network.machines) {
      if (machine.number !== node) continue;
      return machine.bytesPerMs < Number.POSITIVE_INFINITY || !machine.running ? (this.queued.get(node) ?? 0) : 0;
    }
    return 0;
  }

  async stop(): Promise<void> {
    this.kill();
  }

  /** For `SimNetwork`. */
  receive(envelope: Uint8Array): void {
    this.#do(() => this.#events?.received(envelope));
  }

  #do(run: () => void): void {
    if (this.#state === "running") run();
    else if (this.#state === "frozen") this.#held.push(run);
  }

  /** While the machine is frozen a timer that repeats falls due once. */
  #timer(schedule: (fire: () => void) => Timer, run: () => void, repeats: boolean): Timer {
    let cancelled = false;
    let held = false;
    const fire = () => {
      if (held) return;
      held = repeats && this.#state === "frozen";
      this.#do(() => {
        held = false;
        if (!cancelled) run();
      });
    };
    const timer = schedule(fire);
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }
}
