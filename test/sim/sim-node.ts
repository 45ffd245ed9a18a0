/** One life of a node as the simulator runs it: everything of src/cluster above the transport, and what a server would do with it. */
import { ClusterFabric } from "../../src/cluster/fabric/engine.ts";
import type { NodeIdentity } from "../../src/cluster/fabric/fabric.ts";
import type { GoneOwner } from "../../src/cluster/gone-owners.ts";
import { KeyedTable } from "../../src/cluster/keyed-table.ts";
import { Link } from "../../src/cluster/link.ts";
import type { PeerTableFaults } from "../../src/cluster/peer-table.ts";
import { Replicator, type ReplicatorOptions } from "../../src/cluster/replicator.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import type { PublishedSession } from "../../src/cluster/session-entry.ts";
import { silentLog } from "../../src/observe/log.ts";
import type { SimMachine, SimNetwork } from "../../src/runtime/sim/network.ts";

export interface SimNodeOptions {
  readonly number: number;
  readonly incarnation: number;
  readonly skewMs?: number;
  readonly queueBytesMax?: number;
  readonly faults?: PeerTableFaults;
  readonly replicator?: Partial<ReplicatorOptions>;
  /** How long cleaning up after a dead node takes. */
  readonly cleanMs?: number;
  readonly told?: (what: string) => void;
}

export interface SimSession extends PublishedSession {
  priority: number;
  marks: number;
}

export class SimNode {
  readonly identity: NodeIdentity;
  readonly machine: SimMachine;
  readonly fabric: ClusterFabric;
  readonly replicator: Replicator;
  readonly directory: SessionDirectory;
  readonly rooms: KeyedTable<string>;
  readonly link: Link;
  /** This node's truth, as the table of its bound sessions would be. */
  readonly sessions = new Map<number, SimSession>();
  readonly ownRooms = new Map<string, string>();
  /** What it was told of others, in order. */
  readonly story: string[] = [];
  /** Lives it has begun and finished cleaning up after. */
  readonly cleaningBegun: string[] = [];
  readonly cleaned: string[] = [];
  #serial = 0;

  constructor(network: SimNetwork, options: SimNodeOptions) {
    const { number, incarnation } = options;
    this.identity = { cluster: "sim", name: `node${number}`, number, incarnation, version: "1.0.0", address: "" };
    this.machine = network.machine(number);
    this.machine.skewMs = options.skewMs ?? 0;
    const { clock } = this.machine;
    const atTurnEnd = (run: () => void) => void clock.after(0, run);
    const tell = (what: string) => {
      this.story.push(what);
      options.told?.(`node ${lifeOf(this.identity)}: ${what}`);
    };
    this.fabric = new ClusterFabric({
      self: this.identity,
      transport: this.machine,
      clock,
      log: silentLog,
      atTurnEnd,
      ...(options.queueBytesMax === undefined ? {} : { queueBytesMax: options.queueBytesMax }),
    });
    this.directory = new SessionDirectory({
      clock,
      random: network.random,
      log: silentLog,
      shards: 4,
      superseded: (serial, by) => {
        const session = this.sessions.get(serial);
        tell(`session ${serial} gives way to ${lifeOf(by.owner)}`);
        if (session !== undefined) this.unbind(session);
      },
    });
    this.rooms = new KeyedTable<string>({
      name: "rooms",
      clock,
      conflict: (key, winner) => {
        tell(`room ${key} gives way to ${lifeOf(winner.owner)}`);
        this.closeRoom(key);
      },
    });
    this.replicator = new Replicator({
      channel: this.fabric.channel(2),
      clock,
      log: silentLog,
      atTurnEnd,
      ...(options.faults === undefined ? {} : { faults: options.faults }),
      ...options.replicator,
      events: {
        gone: (owner, reason) => tell(`${lifeOf(owner)} is gone (${reason})`),
        returned: (owner) => tell(`${lifeOf(owner)} has returned`),
        ready: () => tell("ready"),
        clean: (owner: GoneOwner) => {
          const life = lifeOf(owner.identity);
          this.cleaningBegun.push(life);
          tell(`cleans up after ${life}`);
          const done = () => {
            if (owner.pending) this.cleaned.push(life);
          };
          if (options.cleanMs === undefined) return done();
          return new Promise<void>((resolve) => {
            clock.after(options.cleanMs!, () => {
              done();
              resolve();
            });
          });
        },
      },
    });
    this.replicator.add(this.directory);
    this.replicator.add(this.rooms);
    this.link = new Link({ channel: this.fabric.channel(3), log: silentLog, atTurnEnd });
  }

  async start(): Promise<void> {
    this.replicator.start();
    await this.fabric.start();
  }

  /** Binds a session; one of the same address on this node ends. */
  bind(local: string, resource: string, priority = 0): SimSession {
    for (const other of this.sessions.values()) {
      if (other.local === local && other.resource === resource) this.unbind(other);
    }
    const serial = ++this.#serial;
    const startedAt = this.machine.clock.now();
    const session = { local, domain: "example.org", resource, serial, startedAt, priority, marks: 0 };
    this.sessions.set(serial, session);
    this.directory.publish(session);
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

  /** All sessions as this node knows them, own ones by its own truth. */
  view(): string[] {
    const lines: string[] = [];
    for (const session of this.sessions.values()) lines.push(lineOf(session, this.identity));
    for (const page of this.directory.pages()) {
      for (const entry of page) if (entry.owner !== this.identity) lines.push(lineOf(entry, entry.owner));
    }
    return lines.sort();
  }

  /** All rooms as reads see them. */
  roomView(): string[] {
    return [...this.rooms.entries()].map(({ key, value, owner }) => `${key}=${value} at ${lifeOf(owner)}`).sort();
  }
}

export function lifeOf(identity: { number: number; incarnation: number }): string {
  return `${identity.number}.${identity.incarnation}`;
}

function lineOf(session: Omit<PublishedSession, "startedAt">, owner: NodeIdentity): string {
  const { local, domain, resource, serial, priority, marks } = session;
  return `${local}@${domain}/${resource} #${serial} ${priority} ${marks} at ${lifeOf(owner)}`;
}
