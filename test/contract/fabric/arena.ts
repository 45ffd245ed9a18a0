/** Fabrics to test, each with nodes that remember what they heard: over NATS, over Unix sockets, over a simulated network. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClusterFabric, type FabricOptions } from "../../../src/cluster/fabric/engine.ts";
import type { FabricEvents, NodeIdentity } from "../../../src/cluster/fabric/fabric.ts";
import { LocalTransport, localAddress } from "../../../src/cluster/fabric/local.ts";
import { NatsTransport } from "../../../src/cluster/fabric/nats.ts";
import type { Transport } from "../../../src/cluster/fabric/transport.ts";
import type { NatsSettings } from "../../../src/config/settings.ts";
import type { Log } from "../../../src/observe/log.ts";
import { SimClock } from "../../../src/runtime/sim/clock.ts";
import { SimNetwork } from "../../../src/runtime/sim/network.ts";
import { SimRandom } from "../../../src/runtime/sim/random.ts";
import type { Clock } from "../../../src/util/clock.ts";
import { realClock } from "../../support/databases.ts";
import { sharedNats } from "../../support/nats.ts";
import { type LoggedLine, recordingLog } from "../../support/recording-log.ts";

export const heartbeatMs = 100;
/** So long that nobody falls silent because the machine is busy; a test of silence says how short it is there. */
const expiryMs = 15_000;
/** Short enough that silence is soon noticed, long enough for a busy machine. */
export const soonSilentMs = 1_500;

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
export const bytesOf = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

/** A fabric whose user writes down what it hears. */
export class TestNode {
  readonly fabric: ClusterFabric;
  readonly transport: Transport;
  readonly heard: string[] = [];
  readonly logged: readonly LoggedLine[];
  answer: (question: string) => Promise<Uint8Array> | Uint8Array = (question) => bytesOf(`${question}!`);
  /** Of large messages only the length is written down. */
  readonly events: FabricEvents = {
    message: (from, bytes) =>
      this.#hear(`${from.name}: ${bytes.length > 1000 ? `${bytes.length} bytes` : text(bytes)}`),
    request: (_, bytes) => this.answer(text(bytes)),
    peerUp: (peer, returned) => this.#hear(`${peer.name} ${returned ? "returned" : "up"}`),
    peerDown: (peer, reason) => this.#hear(`${peer.name} ${reason}`),
    gap: (from, missed) => this.#hear(`${from.name} gap ${missed}`),
  };
  readonly #arena: Arena;

  constructor(arena: Arena, fabric: ClusterFabric, transport: Transport, logged: readonly LoggedLine[]) {
    this.#arena = arena;
    this.fabric = fabric;
    this.transport = transport;
    this.logged = logged;
  }

  start(): Promise<void> {
    return this.fabric.start(this.events);
  }

  /** Resolves when this was heard; forgets all up to it. */
  async hears(line: string): Promise<void> {
    await this.#arena.until(() => this.heard.includes(line), `${this.fabric.self.name} hears "${line}"`, this.heard);
    this.heard.splice(0, this.heard.indexOf(line) + 1);
  }

  /** All that was heard since the last time. */
  take(): string[] {
    return this.heard.splice(0);
  }

  #hear(line: string): void {
    this.heard.push(line);
    this.#arena.changed();
  }
}

/** A place where the nodes of one test live. */
export class Arena {
  readonly cluster: string;
  readonly clock: Clock;
  readonly #makeTransport: (self: NodeIdentity, log: Log, arena: Arena) => Transport;
  readonly #close: () => void;
  /** Where its sockets are, for the local fabric. */
  readonly folder: string;
  readonly address: (number: number) => string;
  readonly nodes: TestNode[] = [];
  #waiting: (() => void)[] = [];

  constructor(options: {
    cluster?: string;
    clock: Clock;
    transport: (self: NodeIdentity, log: Log, arena: Arena) => Transport;
    address?: (number: number) => string;
    folder?: string;
    close?: () => void;
  }) {
    this.cluster = options.cluster ?? `test-${randomBytes(6).toString("hex")}`;
    this.clock = options.clock;
    this.#makeTransport = options.transport;
    this.address = options.address ?? (() => "");
    this.#close = options.close ?? (() => {});
    this.folder = options.folder ?? "";
  }

  node(number: number, options: Partial<FabricOptions> & { incarnation?: number; cluster?: string } = {}): TestNode {
    const self: NodeIdentity = {
      cluster: options.cluster ?? this.cluster,
      name: `n${number}`,
      number,
      incarnation: options.incarnation ?? 1,
      version: "1.0",
      address: this.address(number),
    };
    const { log, lines } = recordingLog(() => this.changed());
    const transport = this.#makeTransport(self, log, this);
    const { clock } = this;
    const atTurnEnd = clock instanceof SimClock ? (run: () => void) => void clock.after(0, run) : setImmediate;
    const fabric = new ClusterFabric({ self, transport, clock, log, atTurnEnd, heartbeatMs, expiryMs, ...options });
    const node = new TestNode(this, fabric, transport, lines);
    this.nodes.push(node);
    return node;
  }

  async pair(options: Partial<FabricOptions> = {}): Promise<[TestNode, TestNode]> {
    const a = this.node(1, options);
    const b = this.node(2, options);
    await Promise.all([a.start(), b.start()]);
    await Promise.all([a.hears("n2 up"), b.hears("n1 up")]);
    return [a, b];
  }

  /** Something happened that somebody may wait for. */
  changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const look of waiting) look();
  }

  /** Resolves when the condition holds after something has happened; fails after 20 s. */
  async until(condition: () => boolean, what: string, story: readonly string[] = []): Promise<void> {
    const { clock } = this;
    if (clock instanceof SimClock) {
      for (let step = 0; step < 20_000 && !condition(); step++) await clock.advanceSettling(1);
      if (!condition()) throw new Error(`never: ${what}; heard ${JSON.stringify(story)}`);
      return;
    }
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      // What nobody tells of (a counter, a settled promise) is looked at now and then.
      const now = clock.every(20, () => this.changed());
      const timer = clock.after(20_000, () => {
        now.cancel();
        reject(new Error(`never: ${what}; heard ${JSON.stringify(story.slice(-20))}`));
      });
      const look = () => {
        if (!condition()) return void this.#waiting.push(look);
        now.cancel();
        timer.cancel();
        resolve();
      };
      look();
    });
  }

  async close(): Promise<void> {
    const stops = this.nodes.map((node) => node.fabric.stop());
    const { clock } = this;
    if (clock instanceof SimClock) await clock.advanceSettling(2000);
    await Promise.all(stops);
    this.#close();
  }
}

export const noCredentials: NatsSettings = {
  servers: [],
  username: undefined,
  password: undefined,
  token: undefined,
  credentialsFile: undefined,
  tls: undefined,
};

export function natsArena(settings: Partial<NatsSettings>, cluster?: string): Arena {
  return new Arena({
    cluster,
    clock: realClock,
    transport: (self, log) =>
      new NatsTransport({
        settings: { ...noCredentials, ...settings },
        cluster: self.cluster,
        number: self.number,
        name: self.name,
        clock: realClock,
        randomness: new SimRandom(self.number),
        log,
      }),
  });
}

export function localArena(given?: string, cluster?: string): Arena {
  const folder = given ?? mkdtempSync(join(tmpdir(), "meerkat-fabric-"));
  const address = (number: number) => localAddress(folder, `n${number}`);
  return new Arena({
    cluster,
    folder,
    clock: realClock,
    address,
    transport: (self, log) => {
      const transport = new LocalTransport({
        number: self.number,
        path: self.address,
        clock: realClock,
        randomness: new SimRandom(self.number),
        log,
      });
      for (let number = 1; number <= 10; number++)
        transport.learned({ number, name: `n${number}`, address: address(number) });
      return transport;
    },
    close: () => {
      if (given === undefined) rmSync(folder, { recursive: true, force: true });
    },
  });
}

function simulatedArena(): Arena {
  const clock = new SimClock();
  const network = new SimNetwork(clock, new SimRandom(1));
  return new Arena({ clock, transport: (self) => network.machine(self.number) });
}

export interface FabricKind {
  readonly title: string;
  readonly arena: () => Arena;
  /** Why there is none here; undefined when there is. */
  readonly unavailable: string | undefined;
}

export async function fabricKinds(): Promise<FabricKind[]> {
  const { servers, unavailable } = await sharedNats();
  return [
    { title: "simulated", arena: simulatedArena, unavailable: undefined },
    { title: "local", arena: localArena, unavailable: undefined },
    { title: "nats", arena: () => natsArena({ servers }), unavailable },
  ];
}
