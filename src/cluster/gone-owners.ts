/**
 * Who cleans up after a node that is gone. Every survivor notices by itself; rendezvous hashing over those who were there names the one, so
 * that no talk is needed in the usual case. The others nominate it, which costs a message and settles the rest: it answers when it
 * cannot (it started later, or had not all records), and when it has finished long ago. When it dies before it has said "cleaned", the others choose
 * again among themselves. So a node that dies is cleaned up after at least once while one survivor had its records, and exactly
 * once unless the cleaner dies too or the survivors cannot see each other.
 */
import { rendezvous } from "../util/rendezvous.ts";
import type { NodeIdentity, PeerDownReason } from "./fabric/fabric.ts";
import { type Life, lifeKey } from "./table-protocol.ts";

/** An owner whose records are out of all reads. */
export class GoneOwner {
  readonly identity: NodeIdentity;
  readonly reason: PeerDownReason;
  /** Whether all of its records were here when it went. */
  readonly complete: boolean;
  /** Monotonic milliseconds. */
  readonly since: number;
  state: "waiting" | "cleaning" | "cleaned" | "returned" = "waiting";
  /** The nodes that were up when it went, without those that have gone since. */
  readonly candidates = new Map<number, NodeIdentity>();
  /** Candidates that cannot: because they have a part of its records only, or do not know it. */
  readonly refused = new Map<number, "partial" | "unknown">();
  cleaner: number | undefined = undefined;
  askedAt = 0;

  constructor(identity: NodeIdentity, reason: PeerDownReason, complete: boolean, since: number) {
    this.identity = identity;
    this.reason = reason;
    this.complete = complete;
    this.since = since;
  }

  /** Whether there is still something to clean: false once it has returned, or another node has done it. */
  get pending(): boolean {
    return this.state === "waiting" || this.state === "cleaning";
  }
}

export interface GoneOwnerActions {
  /** Monotonic milliseconds. */
  now(): number;
  /** Whether this very life is up. */
  isUp(life: Life): boolean;
  nominate(node: number, life: Life, lastResort: boolean): void;
  refuse(node: number, life: Life, why: "partial" | "unknown"): void;
  /** To one node, or to all. */
  announceCleaned(lives: readonly Life[], node?: number): void;
  /** Does the cleaning; settles when it is done. Never rejects. */
  clean(owner: GoneOwner): Promise<void> | void;
}

/** How often a cleaner that has not answered is asked again. */
const renominateMs = 10_000;
/** So many lives are remembered as cleaned, for those who ask late. */
const cleanedMax = 1024;

export class GoneOwners {
  readonly #self: NodeIdentity;
  readonly #actions: GoneOwnerActions;
  readonly #owners = new Map<string, GoneOwner>();
  readonly #cleaned = new Set<string>();

  constructor(self: NodeIdentity, actions: GoneOwnerActions) {
    this.#self = self;
    this.#actions = actions;
  }

  /** All that are still kept. */
  values(): IterableIterator<GoneOwner> {
    return this.#owners.values();
  }

  get(life: Life): GoneOwner | undefined {
    return this.#owners.get(lifeKey(life));
  }

  /** An owner has gone. `peers` are those that are up. */
  add(owner: GoneOwner, peers: Iterable<NodeIdentity>): void {
    this.#owners.set(lifeKey(owner.identity), owner);
    for (const peer of peers) owner.candidates.set(peer.number, peer);
    if (this.#cleaned.has(lifeKey(owner.identity))) owner.state = "cleaned";
    this.#decide(owner);
  }

  /** The owner is back; the records are its own again. Undefined when it was not known as gone. */
  returned(life: Life): GoneOwner | undefined {
    const key = lifeKey(life);
    const owner = this.#owners.get(key);
    // Should it go again, that is another matter.
    this.#cleaned.delete(key);
    if (owner === undefined) return undefined;
    owner.state = "returned";
    this.#owners.delete(key);
    return owner;
  }

  /** Its records are dropped: nothing of it is kept here but that it was cleaned. */
  forget(owner: GoneOwner): void {
    this.#owners.delete(lifeKey(owner.identity));
  }

  /** One that may have been a cleaner has gone. */
  peerDown(peer: NodeIdentity): void {
    for (const owner of this.#owners.values()) {
      if (owner.candidates.get(peer.number)?.incarnation !== peer.incarnation) continue;
      owner.candidates.delete(peer.number);
      if (owner.state === "waiting") this.#decide(owner);
    }
  }

  nominated(by: number, life: Life, lastResort: boolean): void {
    const key = lifeKey(life);
    const owner = this.#owners.get(key);
    if (this.#cleaned.has(key)) this.#actions.announceCleaned([life], by);
    else if (owner === undefined) {
      // Whoever still sees it alive will choose once it is down here too.
      if (!this.#actions.isUp(life)) this.#actions.refuse(by, life, "unknown");
    } else if (owner.state === "waiting" && !owner.complete) {
      if (lastResort) this.#clean(owner);
      else this.#actions.refuse(by, life, "partial");
    }
  }

  refused(by: number, life: Life, why: "partial" | "unknown"): void {
    const owner = this.#owners.get(lifeKey(life));
    if (owner === undefined || owner.state !== "waiting") return;
    owner.refused.set(by, why);
    this.#decide(owner);
  }

  cleaned(lives: readonly Life[]): void {
    for (const life of lives) {
      const owner = this.#owners.get(lifeKey(life));
      if (owner === undefined && this.#actions.isUp(life)) continue;
      this.#remember(life);
      if (owner?.pending === true) owner.state = "cleaned";
    }
  }

  tick(): void {
    for (const owner of this.#owners.values()) {
      if (owner.state === "waiting" && this.#actions.now() - owner.askedAt >= renominateMs) this.#decide(owner);
    }
  }

  #decide(owner: GoneOwner): void {
    if (owner.state !== "waiting") return;
    const self = this.#self.number;
    const able: number[] = owner.complete ? [self] : [];
    const partly: number[] = owner.complete ? [] : [self];
    for (const number of owner.candidates.keys()) {
      const refusal = owner.refused.get(number);
      if (refusal === undefined) able.push(number);
      else if (refusal === "partial") partly.push(number);
    }
    const lastResort = able.length === 0;
    const cleaner = rendezvous(lifeKey(owner.identity), lastResort ? partly : able)!;
    owner.cleaner = cleaner;
    owner.askedAt = this.#actions.now();
    if (cleaner === self) this.#clean(owner);
    else this.#actions.nominate(cleaner, owner.identity, lastResort);
  }

  #clean(owner: GoneOwner): void {
    owner.state = "cleaning";
    owner.cleaner = this.#self.number;
    const done = this.#actions.clean(owner);
    if (done === undefined) this.#finished(owner);
    else void done.then(() => this.#finished(owner));
  }

  #finished(owner: GoneOwner): void {
    if (owner.state !== "cleaning") return;
    owner.state = "cleaned";
    this.#remember(owner.identity);
    this.#actions.announceCleaned([owner.identity]);
  }

  #remember(life: Life): void {
    this.#cleaned.add(lifeKey(life));
    if (this.#cleaned.size > cleanedMax) this.#cleaned.delete(this.#cleaned.values().next().value!);
  }
}
