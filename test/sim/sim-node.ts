/** One life of a node as the simulator runs it: everything of src/cluster above the transport, and what a server would do with it. */
import { ClusterFabric } from "../../src/cluster/fabric/engine.ts";
import type { NodeIdentity } from "../../src/cluster/fabric/fabric.ts";
import type { GoneOwner } from "../../src/cluster/gone-owners.ts";
import { KeyedTable } from "../../src/cluster/keyed-table.ts";
import { Link } from "../../src/cluster/link.ts";
import { Replicator, type ReplicatorOptions } from "../../src/cluster/replicator.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import type { PublishedSession, SessionEntry } from "../../src/cluster/session-entry.ts";
import { type Log, silentLog } from "../../src/observe/log.ts";
import type { SimMachine, SimNetwork } from "../../src/runtime/sim/network.ts";
import { LinkWitness } from "./link-witness.ts";

export interface SimNodeOptions {
  readonly number: number;
  readonly incarnation: number;
  readonly skewMs?: number;
  readonly queueBytesMax?: number;
  readonly replicator?: Partial<ReplicatorOptions>;
  /** How long cleaning up after a dead node takes. */
  readonly cleanMs?: number;
  readonly log?: Log;
  /** Hears all that is told to this node, in order. */
  readonly told?: (node: SimNode, what: string) => void;
  /** A session of this node has ended for another one. */
  readonly superseded?: (node: SimNode, session: SimSession, by: SessionEntry) => void;
  readonly down?: (node: SimNode, peer: NodeIdentity) => void;
}

export interface SimSession extends PublishedSession {
  priority: number;
  marks: number;
}

export class SimNode {
  readonly identity: NodeIdentity;
  readonly life: string;
  readonly machine: SimMachine;
  readonly fabric: ClusterFabric;
  readonly replicator: Replicator;
  readonly directory: SessionDirectory;
  readonly rooms: KeyedTable<string>;
  readonly link: Link;
  readonly witness: LinkWitness;
  /** This node's truth, as the table of its bound sessions would be. */
  readonly sessions = new Map<number, SimSession>();
  readonly ownRooms = new Map<string, string>();
  /** What it was told of others, in order. */
  readonly story: string[] = [];
  /** Lives that have been up for it. */
  readonly met = new Set<string>();
  /** Lives it has begun and finished cleaning up after. */
  readonly cleaningBegun: string[] = [];
  readonly cleaned: string[] = [];
  readonly #options: SimNodeOptions;
  #serial = 0;

  constructor(network: SimNetwork, options: SimNodeOptions) {
    const { number, incarnation } = options;
    this.#options = options;
    this.identity = { cluster: "sim", name: `node${number}`, number, incarnation, version: "1.0.0", address: "" };
    this.life = lifeOf(this.identity);
    this.machine = network.machine(number);
    this.machine.skewMs = options.skewMs ?? 0;
    const { clock } = this.machine;
    const log = options.log ?? silentLog;
    const atTurnEnd = (run: () => void) => void clock.after(0, run);
    const channelOptions = { clock, log, atTurnEnd };
    this.fabric = new ClusterFabric({
      self: this.identity,
      transport: this.machine,
      ...channelOptions,
      ...(options.queueBytesMax === undefined ? {} : { queueBytesMax: options.queueBytesMax }),
    });
    this.directory = new SessionDirectory({
      clock,
      random: network.random,
      log,
      shards: 2,
      superseded: (serial, by) => this.#superseded(serial, by),
    });
    this.rooms = new KeyedTable<string>({
      name: "rooms",
      clock,
      conflict: (key, winner) => {
        this.#tell(`room ${key} gives way to ${lifeOf(winner.owner)}`);
        this.closeRoom(key);
      },
    });
    this.replicator = new Replicator({
      channel: this.fabric.channel(2),
      ...channelOptions,
      ...options.replicator,
      events: {
        gone: (owner, reason) => {
          this.#tell(`${lifeOf(owner)} is gone (${reason})`);
          options.down?.(this, owner);
        },
        returned: (owner) => this.#tell(`${lifeOf(owner)} has returned`),
        ready: () => this.#tell("ready"),
        clean: (owner) => this.#clean(owner),
      },
    });
    this.replicator.add(this.directory);
    this.replicator.add(this.rooms);
    this.link = new Link({ channel: this.fabric.channel(3), log, atTurnEnd });
    this.witness = new LinkWitness(this.identity, this.link);
  }

  async start(): Promise<void> {
    this.replicator.start();
    this.witness.start(this.fabric.channel(4), (peer) => this.met.add(lifeOf(peer)));
    await this.fabric.start();
  }

  /** Says goodbye. */
  async leave(): Promise<void> {
    this.replicator.stop();
    await this.fabric.stop();
  }

  /** Binds a session; one of the same address on this node ends. */
  bind(local: string, resource: string, priority = 0): SimSession {
    for (const other of this.sessions.values()) {
      if (other.local === local && other.resource === resource) this.unbind(other);
    }
    const serial = ++this.#serial;
    const asked = { local, domain: "example.org", resource, serial, priority, marks: 0 };
    const startedAt = this.directory.publish({ ...asked, startedAt: this.machine.clock.now() });
    const session = { ...asked, startedAt };
    this.sessions.set(serial, session);
    return session;
  }

  change(session: SimSession, priority: number, marks: number): void {
    session.priority = priority;
    session.marks = marks;
    this.directory.update(session, session.serial, priority, marks);
  }

  unbind(session: SimSession): void {
    if (this.sessions.delete(session.serial)) this.directory.withdraw(session, session.serial);
  }

  openRoom(key: string, subject: string): void {
    this.ownRooms.set(key, subject);
    this.rooms.set(key, subject);
  }

  closeRoom(key: string): void {
    if (this.ownRooms.delete(key)) this.rooms.delete(key);
  }

  /** Its own sessions, by its own truth. */
  truth(): string[] {
    return [...this.sessions.values()].map((session) => lineOf(session, this.identity));
  }

  /** All sessions as this node knows them, own ones by its own truth. */
  view(): string[] {
    const lines = this.truth();
    for (const page of this.directory.pages()) {
      for (const entry of page) if (entry.owner !== this.identity) lines.push(lineOf(entry, entry.owner));
    }
    return lines.sort();
  }

  roomTruth(): string[] {
    return [...this.ownRooms].map(([key, value]) => `${key}=${value} at ${this.life}`);
  }

  /** All rooms as reads see them. */
  roomView(): string[] {
    return [...this.rooms.entries()].map(({ key, value, owner }) => `${key}=${value} at ${lifeOf(owner)}`).sort();
  }

  #tell(what: string): void {
    this.story.push(what);
    this.#options.told?.(this, what);
  }

  #superseded(serial: number, by: SessionEntry): void {
    const session = this.sessions.get(serial);
    if (session === undefined) return;
    this.#tell(`session ${serial} gives way to ${lifeOf(by.owner)}`);
    this.#options.superseded?.(this, session, by);
    this.unbind(session);
  }

  #clean(owner: GoneOwner): Promise<void> | void {
    const life = lifeOf(owner.identity);
    const { cleanMs } = this.#options;
    this.cleaningBegun.push(life);
    this.#tell(`cleans up after ${life}`);
    const done = () => {
      if (owner.pending) this.cleaned.push(life);
    };
    if (cleanMs === undefined) return done();
    return new Promise((resolve) => {
      this.machine.clock.after(cleanMs, () => {
        done();
        resolve();
      });
    });
  }
}

export function lifeOf(identity: { number: number; incarnation: number }): string {
  return `${identity.number}.${identity.incarnation}`;
}

function lineOf(session: Omit<PublishedSession, "startedAt">, owner: NodeIdentity): string {
  const { local, domain, resource, serial, priority, marks } = session;
  return `${local}@${domain}/${resource} #${serial} ${priority} ${marks} at ${lifeOf(owner)}`;
}
