/** A network in one process, driven by a simulated clock and a seed: it loses, doubles, delays and reorders, and can be cut. */
import type { Transport, TransportEvents } from "../../src/cluster/fabric/transport.ts";
import type { SimClock } from "../../src/runtime/sim/clock.ts";
import type { SimRandom } from "../../src/runtime/sim/random.ts";

export interface Weather {
  /** Chances of an envelope, 0 to 1. */
  loss: number;
  doubling: number;
  /** Of being delivered without regard to those before it. */
  reordering: number;
  delayMsMax: number;
}

export class LossyNetwork {
  readonly weather: Weather = { loss: 0, doubling: 0, reordering: 0, delayMsMax: 2 };
  readonly clock: SimClock;
  readonly random: SimRandom;
  readonly ports = new Map<number, LossyTransport>();
  /** Pairs "from>to" over which nothing comes. */
  readonly #cuts = new Set<string>();

  constructor(clock: SimClock, random: SimRandom) {
    this.clock = clock;
    this.random = random;
  }

  transport(node: number): LossyTransport {
    return new LossyTransport(this, node);
  }

  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  mend(): void {
    this.#cuts.clear();
  }

  carry(from: LossyTransport, to: LossyTransport, envelope: Uint8Array): void {
    if (this.#cuts.has(`${from.node}>${to.node}`) || this.random.next() < this.weather.loss) return;
    const copies = this.random.next() < this.weather.doubling ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const due = this.clock.monotonic() + this.random.next() * this.weather.delayMsMax;
      const ordered = this.random.next() >= this.weather.reordering;
      const at = ordered ? Math.max(due, from.lastDue.get(to.node) ?? 0) : due;
      if (ordered) from.lastDue.set(to.node, at);
      this.clock.after(at - this.clock.monotonic(), () => {
        if (this.ports.get(to.node) === to) to.events?.received(envelope.slice());
      });
    }
  }
}

export class LossyTransport implements Transport {
  envelopeBytesMax = 64 * 1024;
  /** Told as what has not left yet. */
  stuckBytes = 0;
  readonly node: number;
  readonly lastDue = new Map<number, number>();
  readonly #network: LossyNetwork;
  events: TransportEvents | undefined = undefined;

  constructor(network: LossyNetwork, node: number) {
    this.#network = network;
    this.node = node;
  }

  async start(events: TransportEvents): Promise<void> {
    this.events = events;
    this.#network.ports.set(this.node, this);
  }

  send(node: number, envelope: Uint8Array): void {
    const to = this.#network.ports.get(node);
    if (to !== undefined && this.events !== undefined) this.#network.carry(this, to, envelope);
  }

  broadcast(envelope: Uint8Array): void {
    for (const to of this.#network.ports.values()) if (to !== this) this.#network.carry(this, to, envelope);
  }

  queuedBytes(): number {
    return this.stuckBytes;
  }

  async stop(): Promise<void> {
    this.kill();
  }

  /** Gone without a word. */
  kill(): void {
    this.events = undefined;
    if (this.#network.ports.get(this.node) === this) this.#network.ports.delete(this.node);
  }
}
