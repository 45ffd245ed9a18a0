/**
 * Numbers that sort by the time they were given, on all nodes of a cluster, and that no two nodes give twice: 41 bits of
 * milliseconds, 10 bits of node, 12 bits of counter. They fit a signed 64-bit column.
 */
import type { Randomness } from "./random.ts";

/** 2020-01-01T00:00:00Z; 41 bits of milliseconds reach to September 2089. */
const epoch = 1_577_836_800_000;
const nodeBits = 10;
const countBits = 12;
const countMax = 2 ** countBits - 1;
const timeShift = BigInt(nodeBits + countBits);
const restMask = (1n << timeShift) - 1n;

/** The number of nodes that can give ids. */
export const timeIdNodesMax = 2 ** nodeBits;

export class TimeIds {
  readonly #now: () => number;
  readonly #random: Randomness;
  /** The node's number in its place. */
  readonly #node: number;
  /** Milliseconds since the epoch of the last id, which a clock that is set back does not change. */
  #time = -1;
  #count = 0;

  /** `now` is in milliseconds since the Unix epoch. @throws RangeError for a node number that does not fit. */
  constructor(now: () => number, random: Randomness, nodeNumber: number) {
    if (!Number.isInteger(nodeNumber) || nodeNumber < 0 || nodeNumber >= timeIdNodesMax) {
      throw new RangeError(`a node number is from 0 to ${timeIdNodesMax - 1}, not ${nodeNumber}`);
    }
    this.#now = now;
    this.#random = random;
    this.#node = nodeNumber * 2 ** countBits;
  }

  /**
   * Greater than every id this object gave to the same archive before, and than `after`, which may be of another node whose clock is ahead. Then
   * the others that this object gives are not, so that one wrong clock spoils no other archive.
   */
  next(after = -1n): bigint {
    const id = this.#byClock();
    return id > after ? id : this.#idAt(Number(after >> timeShift) + 1, this.#anyCount());
  }

  #byClock(): bigint {
    // The clock of simulations is finer than a millisecond.
    const now = Math.trunc(this.#now()) - epoch;
    if (now > this.#time) {
      this.#time = now;
      this.#count = this.#anyCount();
    } else if (++this.#count > countMax) {
      this.#time++;
      this.#count = 0;
    }
    return this.#idAt(this.#time, this.#count);
  }

  /** XEP-0313 wants ids that are not predictable: each millisecond begins at a random place of the lower half. */
  #anyCount(): number {
    return Math.floor((this.#random.next() * countMax) / 2);
  }

  #idAt(time: number, count: number): bigint {
    return (BigInt(time) << timeShift) | BigInt(this.#node + count);
  }
}

/** When an id was given, milliseconds since the Unix epoch. */
export function timeOfId(id: bigint): number {
  return Number(id >> timeShift) + epoch;
}

/** The smallest id of that millisecond; 0 for times before 2020. */
export function firstIdAt(ms: number): bigint {
  const since = Math.max(0, Math.ceil(ms) - epoch);
  return BigInt(since) << timeShift;
}

/** The greatest id of that millisecond; -1 for times before 2020. */
export function lastIdAt(ms: number): bigint {
  const since = Math.floor(ms) - epoch;
  return since < 0 ? -1n : (BigInt(since) << timeShift) | restMask;
}

const idMax = 2n ** 63n - 1n;

/** The id in a decimal text as we write it; undefined for anything else. */
export function parseTimeId(text: string): bigint | undefined {
  if (!/^(0|[1-9]\d{0,18})$/.test(text)) return undefined;
  const id = BigInt(text);
  return id > idMax ? undefined : id;
}
