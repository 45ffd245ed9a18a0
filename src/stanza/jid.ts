/** RFC 7622: XMPP addresses. Values that never change, prepared once, remembered in a bounded cache. */
import { escapeAttribute } from "../xml/escape.ts";
import { prepareDomain, prepareLocal, prepareResource } from "./precis.ts";

/**
 * An address `local@domain/resource` in its prepared form. Two equal addresses may be two objects: compare with `equals`,
 * or use `full` or `bare` as a key.
 */
export class Jid {
  /** The account's name, "" when the address has none. */
  readonly local: string;
  /** Lower-case domain with U-labels, or an IP address (version 6 in brackets). Never empty. */
  readonly domain: string;
  /** The connection or occupant, "" when the address is bare. */
  readonly resource: string;
  /** `local@domain`, or `domain`. */
  readonly bare: string;
  /** The whole address. */
  readonly full: string;
  /** The whole address, escaped for an XML attribute in either kind of quotes. */
  readonly escaped: string;
  private readonly bareJid: Jid;

  /** For this file only: the arguments are prepared already. Everybody else calls `parseJid` or `Jid.of`. */
  private constructor(local: string, domain: string, resource: string, full: string, bareJid: Jid | undefined) {
    this.local = local;
    this.domain = domain;
    this.resource = resource;
    this.bareJid = bareJid ?? this;
    this.bare = bareJid === undefined ? full : bareJid.bare;
    this.full = full;
    // A prepared localpart and domain hold nothing to escape.
    this.escaped = resource === "" ? full : escapeAttribute(full);
  }

  /**
   * The address of these parts ("" leaves one out). For parts the house knows to be good (configuration, database, another address).
   * @throws RangeError when a part is invalid; text from a peer goes through `parseJid`.
   */
  static of(local: string, domain: string, resource = ""): Jid {
    const jid = Jid.make(local, domain, resource);
    if (jid === undefined) throw new RangeError(`not an XMPP address: ${join(local, domain, resource)}`);
    return jid;
  }

  /** As `of`, but undefined when a part is invalid. */
  static make(local: string, domain: string, resource = ""): Jid | undefined {
    const bare = bareOf(local, domain);
    if (bare === undefined || resource === "") return bare;
    const prepared = prepareResource(resource);
    return prepared === undefined ? undefined : Jid.withPrepared(bare, prepared);
  }

  /**
   * Puts a prepared resource behind a bare address. Here and in `account` the text is joined anew, so the parts cut out of it do not
   * keep alive what the arguments were cut out of.
   */
  static withPrepared(bare: Jid, resource: string): Jid {
    const full = `${bare.bare}/${resource}`;
    return new Jid(bare.local, bare.domain, full.slice(bare.bare.length + 1), full, bare);
  }

  /** The account of a prepared localpart at a domain. */
  static account(local: string, domain: Jid): Jid {
    const full = `${local}@${domain.domain}`;
    return new Jid(full.slice(0, local.length), domain.domain, "", full, undefined);
  }

  /** The address of a prepared domain, whose text is memory of its own. */
  static host(domain: string): Jid {
    return new Jid("", domain, "", domain, undefined);
  }

  /** Whether there is no resource. */
  get isBare(): boolean {
    return this.resource === "";
  }

  /** Whether this is a domain alone: no local part, no resource. */
  get isDomain(): boolean {
    return this.local === "" && this.resource === "";
  }

  /** The same address without its resource. */
  toBare(): Jid {
    return this.bareJid;
  }

  /** The address of the domain. */
  toDomain(): Jid {
    return this.local === "" ? this.bareJid : domainOf(this.domain);
  }

  /**
   * The same account or domain with another resource.
   * @throws RangeError when the resource is invalid; ask `prepareResource` first when it came from a peer.
   */
  withResource(resource: string): Jid {
    if (resource === this.resource) return this;
    if (resource === "") return this.bareJid;
    const prepared = prepareResource(resource);
    if (prepared === undefined) throw new RangeError(`not a resource: ${resource}`);
    return Jid.withPrepared(this.bareJid, prepared);
  }

  /** Whether both are the same address, resource included. */
  equals(other: Jid | undefined): boolean {
    return other !== undefined && (this === other || this.full === other.full);
  }

  /** Whether both belong to the same account or domain. */
  sameBare(other: Jid | undefined): boolean {
    return other !== undefined && (this.bareJid === other.bareJid || this.bare === other.bare);
  }

  toString(): string {
    return this.full;
  }

  toJSON(): string {
    return this.full;
  }
}

/** How many addresses and how many UTF-16 units of their text a cache holds at most. */
export interface JidCacheLimits {
  entries: number;
  units: number;
}

/**
 * Remembers parsed addresses by the text they were written as. Bounded by two generations: when the young one is full it becomes the
 * old one, whose forgotten rest is dropped whole; what is asked for in the old one moves to the young. So a lookup costs one or two map
 * reads and no bookkeeping. Texts that are no address are not remembered.
 */
export class JidCache {
  private young = new Map<string, Jid>();
  private old = new Map<string, Jid>();
  private youngUnits = 0;
  private entriesMax = 1;
  private unitsMax = 1;

  constructor(limits: JidCacheLimits = { entries: 20_000, units: 1_000_000 }) {
    this.allow(limits);
  }

  /** Raises the limits; they never fall. */
  allow({ entries, units }: JidCacheLimits): void {
    this.entriesMax = Math.max(this.entriesMax, entries >> 1);
    this.unitsMax = Math.max(this.unitsMax, units >> 1);
  }

  /** How many texts are remembered; one seen in both generations counts twice. */
  get size(): number {
    return this.young.size + this.old.size;
  }

  /** The address this text stands for, or undefined when it is none. */
  parse(text: string): Jid | undefined {
    const known = this.young.get(text);
    if (known !== undefined) return known;
    const older = this.old.get(text);
    if (older !== undefined) {
      this.remember(text === older.full ? older.full : ownCopy(text), older);
      return older;
    }
    return this.parseNew(text);
  }

  private parseNew(text: string): Jid | undefined {
    const slash = text.indexOf("/");
    if (slash >= 0) return this.parseFull(text, slash);
    const at = text.indexOf("@");
    return at < 0 ? this.parseDomain(text) : this.parseAccount(text, at);
  }

  private parseFull(text: string, slash: number): Jid | undefined {
    const resource = prepareResource(text.slice(slash + 1));
    if (resource === undefined) return undefined;
    const bare = this.parse(text.slice(0, slash));
    return bare && this.learn(text, Jid.withPrepared(bare, resource));
  }

  private parseAccount(text: string, at: number): Jid | undefined {
    const local = prepareLocal(text.slice(0, at));
    // A second "@" lies in the domain and makes it invalid: no cached domain has one.
    if (local === undefined || text.indexOf("@", at + 1) >= 0) return undefined;
    // The accounts of a domain share its object and its text.
    const domain = this.parse(text.slice(at + 1));
    return domain && this.learn(text, Jid.account(local, domain));
  }

  private parseDomain(text: string): Jid | undefined {
    const domain = prepareDomain(text);
    return domain === undefined ? undefined : this.learn(text, Jid.host(ownCopy(domain)));
  }

  /** Remembers a new address under its text and, where that is another, its prepared text: all spellings share one object. */
  private learn(text: string, fresh: Jid): Jid {
    const known = fresh.full === text ? undefined : (this.young.get(fresh.full) ?? this.old.get(fresh.full));
    if (known === undefined) this.remember(fresh.full, fresh);
    const jid = known ?? fresh;
    if (fresh.full !== text) this.remember(ownCopy(text), jid);
    return jid;
  }

  private remember(text: string, jid: Jid): void {
    if (this.young.size >= this.entriesMax || this.youngUnits + text.length > this.unitsMax) {
      this.old = this.young;
      this.young = new Map();
      this.youngUnits = 0;
    }
    this.young.set(text, jid);
    this.youngUnits += text.length;
  }
}

// One memo of immutable values for the process: it holds no state of a node, so several nodes in one process may share it.
const cache = new JidCache();
/** Each session is addressed by its account and its resource, and either may be in both generations. */
const entriesPerSession = 4;
const unitsPerSession = 4 * 50;

/**
 * So many sessions are bound: their addresses shall all be remembered, or a message to each in turn would find none of them. Strangers'
 * addresses never raise the limits.
 */
export function rememberAddressesOf(sessions: number): void {
  cache.allow({ entries: sessions * entriesPerSession, units: sessions * unitsPerSession });
}

/** The address this text stands for (RFC 7622), prepared, or undefined when it is none. Remembers what it parsed. */
export function parseJid(text: string): Jid | undefined {
  return cache.parse(text);
}

function bareOf(local: string, domain: string): Jid | undefined {
  if (local === "") return domain.includes("@") || domain.includes("/") ? undefined : cache.parse(domain);
  return local.includes("@") || local.includes("/") || domain.includes("/")
    ? undefined
    : cache.parse(`${local}@${domain}`);
}

function domainOf(domain: string): Jid {
  const jid = cache.parse(domain);
  if (jid === undefined) throw new RangeError(`not a domain: ${domain}`);
  return jid;
}

function join(local: string, domain: string, resource: string): string {
  return `${local === "" ? "" : `${local}@`}${domain}${resource === "" ? "" : `/${resource}`}`;
}

/** The same text in memory of its own: a slice of a network chunk would keep the whole chunk alive. */
function ownCopy(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
}
