/** Several nodes of a cluster in one process: real cores with real modules over a simulated network, on one clock and one database. */
import { ClusterFabric } from "../../src/cluster/fabric/engine.ts";
import { AccessRules } from "../../src/config/access.ts";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import type { Log } from "../../src/observe/log.ts";
import { runSessionEvent, takeFromClient } from "../../src/router/from-client.ts";
import type { Host } from "../../src/router/host.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { type SimMachine, SimNetwork } from "../../src/runtime/sim/network.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { ClusterNode } from "../../src/server/cluster/cluster-node.ts";
import { type DrainReport, drain } from "../../src/server/cluster/drain.ts";
import { type Core, startCore } from "../../src/server/core.ts";
import { marks } from "../../src/session/resource.ts";
import type { Session, SessionLink } from "../../src/session/session.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { type Stanza, stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { StreamManagement } from "../../src/stream/management.ts";
import { managementOf } from "../../src/stream/session-keeper.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { optionsInCode } from "./conversation.ts";

const domain = "localhost";
const waitMs = 300_000;

export const quiet: Log = {
  debug() {},
  info() {},
  warn() {},
  error(fields: object, text?: string) {
    throw new Error(`${text}: ${String((fields as { err?: unknown }).err)}`, {
      cause: (fields as { err?: unknown }).err,
    });
  },
  child: () => quiet,
} as unknown as Log;

export class TalkNode {
  readonly number: number;
  readonly machine: SimMachine;
  readonly cluster: ClusterNode;
  core!: Core;
  /** It has been drained and has left. */
  gone = false;

  constructor(number: number, machine: SimMachine, cluster: ClusterNode) {
    this.number = number;
    this.machine = machine;
    this.cluster = cluster;
  }

  get host(): Host {
    return this.core.router.hosts.get(domain)!;
  }
}

/** Options by module name, with their names in the file. */
export type ClusterTalkOptions = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export class ClusterTalk {
  readonly clock = new SimClock();
  readonly random: SimRandom;
  readonly network: SimNetwork;
  readonly nodes: TalkNode[] = [];
  readonly store: Store;
  readonly #modules: readonly ModuleDefinition[];
  readonly #options: ClusterTalkOptions;
  #incarnation = 0;

  private constructor(store: Store, modules: readonly ModuleDefinition[], options: ClusterTalkOptions, seed: number) {
    this.store = store;
    this.#modules = modules;
    this.#options = options;
    this.random = new SimRandom(seed);
    this.network = new SimNetwork(this.clock, this.random);
  }

  static async start(
    count: number,
    modules: readonly ModuleDefinition[],
    options: ClusterTalkOptions = {},
    seed = 7,
  ): Promise<ClusterTalk> {
    const clock = new SimClock();
    const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock, log: quiet });
    const talk = new ClusterTalk(store, modules, options, seed);
    for (let number = 1; number <= count; number++) await talk.addNode(number);
    await talk.settle(3_000);
    return talk;
  }

  async addNode(number: number): Promise<TalkNode> {
    const machine = this.network.machine(number);
    const incarnation = ++this.#incarnation;
    const self = { cluster: "talk", name: `n${number}`, number, incarnation, version: "1", address: "" };
    const atTurnEnd = queueMicrotask;
    const { clock } = machine;
    const fabric = new ClusterFabric({ self, transport: machine, clock, log: quiet, atTurnEnd });
    const cluster = new ClusterNode({ fabric, clock, random: this.random, log: quiet, atTurnEnd });
    const node = new TalkNode(number, machine, cluster);
    node.core = await startCore({
      clock,
      random: this.random,
      log: quiet,
      store: this.store,
      hosts: [
        {
          domain,
          modules: this.#modules.map((definition) => {
            const given = this.#options[definition.name] ?? {};
            return { definition, options: optionsInCode(definition.options, given) };
          }),
          access: new AccessRules(domain, new Set([domain]), new Map(), new Map()),
          hashes: ["sha256"],
          iterations: 4096,
          usersMax: Number.POSITIVE_INFINITY,
        },
      ],
      sessionsPerAccountMax: () => 10,
      requestsMax: 100,
      rememberedSessionsMax: 10,
      unacknowledgedBytesMax: 4 * 2 ** 20,
      cluster,
    });
    cluster.write = () => node.core.writes.flush();
    await cluster.join(node.core.router, node.core.keeper);
    this.nodes.push(node);
    return node;
  }

  async account(name: string): Promise<void> {
    const row = { domain, username: name, passDetails: "{}" };
    await this.nodes[0]!.core.accountRows.create(row);
  }

  async login(node: TalkNode, address: string, available = true): Promise<TalkClient> {
    const client = new TalkClient(this, address);
    await client.bind(node);
    if (available) await client.sends("<presence/>");
    await this.settle();
    return client;
  }

  /** Lets promises and the network come to rest. */
  async settle(ms = 60): Promise<void> {
    for (let passed = 0; passed < ms; passed += 5) {
      await this.clock.advanceSettling(5);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    for (const { core, machine, gone } of this.nodes) if (!machine.dead && !gone) await core.writes.flush();
  }

  /** As `meerkat ctl node drain`: resolves to what has moved, once the node has left. */
  async drain(node: TalkNode, avoid: (name: string) => boolean = () => false): Promise<DrainReport> {
    const { core, cluster } = node;
    const parts = { core, cluster, clock: node.machine.clock, log: quiet, avoid, withinMs: 60_000 };
    const report = await this.passing(drain(parts));
    await this.passing(core.stop());
    await cluster.stop();
    node.gone = true;
    return report;
  }

  /** Lets time pass for as long as it takes. */
  async passing<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const settled = () => {
      over = true;
    };
    promise.then(settled, settled);
    for (let rounds = 0; !over && rounds < 10_000; rounds++) await this.settle(5);
    return promise;
  }

  /** As `kill -9`. */
  kill(node: TalkNode): void {
    node.machine.kill();
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) {
      if (node.machine.dead || node.gone) continue;
      await node.cluster.stop();
    }
    await this.store.close();
  }
}

/** A client with stream management whose connection can break, and go on at another node. */
export class TalkClient implements SessionLink {
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 5222;
  readonly secure = true;
  readonly transport = "tcp";
  node!: TalkNode;
  session!: Session;
  closedWith: string | undefined = undefined;
  /** Whether it has a connection. */
  attached = true;
  /** Its connection is dead, and nobody has noticed: what the server writes does not come. */
  deaf = false;
  readonly got: Stanza[] = [];
  readonly #talk: ClusterTalk;
  readonly #address: string;
  readonly #resumeId: string;
  #counted = 0;
  /** Somebody else lets time pass. */
  #patient = false;

  constructor(talk: ClusterTalk, address: string) {
    this.#talk = talk;
    this.#address = address;
    this.#resumeId = `resume ${address} ${talk.random.id()}`;
  }

  async bind(node: TalkNode): Promise<void> {
    const { keeper } = node.core;
    this.node = node;
    this.session = await keeper.bind(node.host, parseJid(this.#address)!, this);
    const silent = { acknowledge() {}, request() {}, overflowed() {} };
    const limits = { unacknowledgedMax: 10_000, unacknowledgedBytesMax: 4 * 2 ** 20, requestEvery: 10_000 };
    const management = new StreamManagement(this.#resumeId, limits, silent);
    this.session.outlet = management;
    keeper.resumptions.add(this.#resumeId, this.session, management);
  }

  send(stanza: Stanza): void {
    if (this.deaf) return;
    this.got.push(stanza);
    this.#counted++;
  }

  close(error: { condition: string } | undefined): void {
    this.closedWith = error?.condition ?? "";
  }

  part(): void {
    this.attached = false;
    void this.node.core.keeper.lost(this.session, waitMs, true);
  }

  /** The connection breaks; what the server writes from now on is not received. */
  async breaks(): Promise<void> {
    this.attached = false;
    await this.node.core.keeper.lost(this.session, waitMs);
  }

  /** XEP-0198 at this node; false when the session is not to be had. */
  async resumes(node: TalkNode): Promise<boolean> {
    const { keeper, router } = node.core;
    const account = parseJid(this.#address)!.toBare();
    const find = () => keeper.resumptions.find(this.#resumeId, account.bare);
    const coming = find() === undefined ? router.elsewhere!.fetch(this.#resumeId, account) : undefined;
    if (coming !== undefined) await this.#while(coming);
    const found = find();
    if (found === undefined) return false;
    this.node = node;
    this.attached = true;
    this.deaf = false;
    this.session = found.session;
    this.session.link = this;
    keeper.resumptions.attached(this.#resumeId);
    if (found.management.acknowledge(this.#counted) !== undefined) throw new Error("counted too much");
    const silent = { acknowledge() {}, request() {}, overflowed() {} };
    for (const stanza of [...found.management.attach(silent)]) this.send(stanza);
    this.session.mark(marks.detached, false);
    await this.#while(runSessionEvent(router, node.host, "resumed", this.session));
    return true;
  }

  /** Lets time pass for as long as it takes. */
  async #while<T>(promise: T | Promise<T>): Promise<T> {
    return promise instanceof Promise && !this.#patient ? this.#talk.passing(promise) : promise;
  }

  /** From now on time is another's matter. */
  patient(): this {
    this.#patient = true;
    return this;
  }

  /** Of all that has come. */
  acknowledges(): void {
    if (managementOf(this.session)!.acknowledge(this.#counted) !== undefined) throw new Error("counted too much");
  }

  async sends(text: string): Promise<void> {
    const stanza = stanzaFromFrame(parseFrame(text, undefined, ns.client))!;
    const management = this.session.outlet as StreamManagement;
    management.received();
    await this.#while(takeFromClient(this.node.core.router, this.node.host, this.session, stanza));
    management.processed();
  }

  /** How many of its stanzas the server has acknowledged, were it asked. */
  get acknowledged(): number {
    return (this.session.outlet as StreamManagement).handled;
  }

  /** What came since the last call. */
  takes(): Stanza[] {
    return this.got.splice(0);
  }

  bodies(): (string | undefined)[] {
    return this.takes()
      .filter((stanza) => stanza.kind === "message")
      .map((stanza) => stanza.text("body"));
  }
}
