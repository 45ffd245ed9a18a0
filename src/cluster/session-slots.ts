/** The slots of the session directory: which node life each record belongs to, and the sums over its records. */
import type { NodeIdentity } from "./fabric/fabric.ts";
import { type Life, lifeKey } from "./table-protocol.ts";
import type { Digest } from "./table-store.ts";

/** What a record can say in its 12 bits. Slot 0 is that of freed records. */
export const slotsMax = 4096;

export class SessionSlots {
  /** 1: its records are in all reads. */
  readonly visible = new Uint8Array(slotsMax);
  /** 1: its records are gone for good and their memory has not been given back yet. */
  readonly dropped = new Uint8Array(slotsMax);
  /** The same number for all slots of one owner life. */
  readonly group = new Uint32Array(slotsMax);
  readonly owners: (NodeIdentity | undefined)[] = [];
  readonly #count = new Int32Array(slotsMax);
  readonly #hashA = new Int32Array(slotsMax);
  readonly #hashB = new Int32Array(slotsMax);
  readonly #bytes = new Float64Array(slotsMax);
  /** Records by domain. */
  readonly #domains: (Map<number, number> | undefined)[] = [];
  readonly #free: number[] = [];
  #fresh = 1;
  #groups = 0;

  /** Whether a new slot can be had without giving back memory first. */
  get available(): boolean {
    return this.#free.length > 0 || this.#fresh < slotsMax;
  }

  open(owner: NodeIdentity, sibling: number): number {
    const slot = this.#free.pop() ?? this.#fresh++;
    this.visible[slot] = 1;
    this.owners[slot] = owner;
    this.group[slot] = sibling === 0 ? ++this.#groups : this.group[sibling]!;
    this.#domains[slot] = new Map();
    return slot;
  }

  drop(slot: number): void {
    this.visible[slot] = 0;
    this.dropped[slot] = 1;
    this.#count[slot] = 0;
    this.#hashA[slot] = 0;
    this.#hashB[slot] = 0;
    this.#bytes[slot] = 0;
    this.#domains[slot] = undefined;
  }

  /** No record is left in this slot: it can be given out again. */
  release(slot: number): void {
    this.dropped[slot] = 0;
    this.owners[slot] = undefined;
    this.#free.push(slot);
  }

  /** Slots with records of this life, hidden ones too. */
  of(life: Life): number[] {
    const key = lifeKey(life);
    return [...this.#inUse()].filter((slot) => lifeKey(this.owners[slot]!) === key);
  }

  /** A record has come (`sign` 1) or gone (-1). */
  account(slot: number, domain: number, hashA: number, hashB: number, bytes: number, sign: 1 | -1): void {
    this.#count[slot]! += sign;
    this.#hashA[slot]! += sign * hashA;
    this.#hashB[slot]! += sign * hashB;
    this.#bytes[slot]! += sign * bytes;
    const domains = this.#domains[slot]!;
    const count = (domains.get(domain) ?? 0) + sign;
    if (count === 0) domains.delete(domain);
    else domains.set(domain, count);
  }

  /** A record has changed in its place. */
  amend(slot: number, hashA: number, hashB: number): void {
    this.#hashA[slot]! += hashA;
    this.#hashB[slot]! += hashB;
  }

  digest(slot: number): Digest {
    return { count: this.#count[slot]!, hashA: this.#hashA[slot]! >>> 0, hashB: this.#hashB[slot]! >>> 0 };
  }

  bytes(slot: number): number {
    return this.#bytes[slot]!;
  }

  /** Visible records, of one domain or of all, by owner. */
  counts(domain: number | undefined): Map<NodeIdentity, number> {
    const counts = new Map<NodeIdentity, number>();
    for (const slot of this.#inUse()) {
      if (this.visible[slot] !== 1) continue;
      const owner = this.owners[slot]!;
      const count = domain === undefined ? this.#count[slot]! : (this.#domains[slot]!.get(domain) ?? 0);
      counts.set(owner, (counts.get(owner) ?? 0) + count);
    }
    return counts;
  }

  *#inUse(): Generator<number> {
    for (let slot = 1; slot < this.#fresh; slot++) {
      if (this.owners[slot] !== undefined && this.dropped[slot] === 0) yield slot;
    }
  }
}
