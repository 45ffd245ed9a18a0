/** Growing delays for passwords after wrong ones, by address and by account. Pure: it tells how long to wait, its caller waits. */
import { isIPv6 } from "node:net";
import type { Clock } from "../util/clock.ts";

export interface ThrottleLimits {
  /** This many failures cost nothing: people mistype. */
  free: number;
  /** The delay after the first failure beyond those; each further one doubles it. */
  baseMs: number;
  addressMaxMs: number;
  /** Lower than the other: a stranger can make the owner of an account wait by guessing at it. */
  accountMaxMs: number;
  /** After this time a failure counts half, after twice this time a quarter, … */
  halfLifeMs: number;
  /** How many addresses, and how many accounts, are remembered; the one longest without a failure is forgotten first. */
  entries: number;
}

export const throttleDefaults: ThrottleLimits = {
  free: 3,
  baseMs: 1000,
  addressMaxMs: 30_000,
  accountMaxMs: 8000,
  halfLifeMs: 300_000,
  entries: 10_000,
};

interface Entry {
  score: number;
  at: number;
}

export class LoginThrottle {
  private readonly addresses = new Map<string, Entry>();
  private readonly accounts = new Map<string, Entry>();
  private readonly clock: Clock;
  private readonly limits: ThrottleLimits;

  constructor(clock: Clock, limits: ThrottleLimits = throttleDefaults) {
    this.clock = clock;
    this.limits = limits;
  }

  /**
   * Milliseconds to wait before the next attempt from this address at this account (a bare address) is heard, be it right or wrong: who
   * guesses need not wait for an answer that says no. "" for an address or account that does not count.
   */
  delayMs(address: string, account: string): number {
    const { addressMaxMs, accountMaxMs } = this.limits;
    return Math.max(
      address === "" ? 0 : this.delayOf(this.addresses.get(network(address)), addressMaxMs),
      account === "" ? 0 : this.delayOf(this.accounts.get(account), accountMaxMs),
    );
  }

  /** Counts a failed attempt. */
  failed(address: string, account: string): void {
    if (address !== "") this.count(this.addresses, network(address));
    if (account !== "") this.count(this.accounts, account);
  }

  /**
   * The account's owner is there, so its count is cleared. The address keeps its count: else who owns one account could clear his
   * guesses at others.
   */
  succeeded(account: string): void {
    this.accounts.delete(account);
  }

  /** How many addresses and accounts are remembered; a metric. */
  get size(): number {
    return this.addresses.size + this.accounts.size;
  }

  private scoreOf(entry: Entry): number {
    return entry.score * 2 ** ((entry.at - this.clock.monotonic()) / this.limits.halfLifeMs);
  }

  private delayOf(entry: Entry | undefined, maxMs: number): number {
    if (entry === undefined) return 0;
    // As if it were one more failure, which is known only afterwards.
    const beyond = Math.round(this.scoreOf(entry)) + 1 - this.limits.free;
    return beyond <= 0 ? 0 : Math.min(maxMs, this.limits.baseMs * 2 ** (beyond - 1));
  }

  private count(entries: Map<string, Entry>, key: string): void {
    const known = entries.get(key);
    const score = (known === undefined ? 0 : this.scoreOf(known)) + 1;
    // Put at the end: the order of the map is the order of the last failures. The cap keeps an attacked account from staying slow for hours.
    entries.delete(key);
    entries.set(key, { score: Math.min(score, this.limits.free + 16), at: this.clock.monotonic() });
    if (entries.size > this.limits.entries) entries.delete(entries.keys().next().value as string);
  }
}

/** One IPv6 customer has a /64 of addresses, so those count as one. IPv4 in IPv6 form counts as the IPv4 address. */
export function network(address: string): string {
  // Every connection comes by here, and the check for IPv6 is a long regular expression.
  if (!address.includes(":") || !isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1] as string;
  const [head = "", tail] = (address.split("%")[0] as string).toLowerCase().split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail ? tail.split(":") : [];
  // An IPv4 tail ("::1.2.3.4") stands for two groups; only the first four groups are of interest.
  const backGroups = back.length + (tail?.includes(".") ? 1 : 0);
  const groups =
    tail === undefined ? front : [...front, ...Array(Math.max(0, 8 - front.length - backGroups)).fill("0"), ...back];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
