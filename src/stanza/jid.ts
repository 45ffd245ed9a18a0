/** RFC 7622: XMPP addresses. Values that never change, prepared once, remembered in a bounded cache. */
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
    this.escaped = resource === "" ? full : escapeFull(full);
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
    return prepared === undefined ? undefined : Jid.join(bare, prepared);
  }

  /** Puts a prepared resource behind a bare address. */
  static join(bare: Jid, resource: string): Jid {
    const full = ownCopy(`${bare.bare}/${resource}`);
    return new Jid(bare.local, bare.domain, full.slice(bare.bare.length + 1), full, bare);
  }

  /** A bare address from its prepared text; without a domain object, the text is a domain. */
  static bareFrom(domain: Jid | undefined, full: string): Jid {
    const own = ownCopy(full);
    if (domain === undefined) return new Jid("", own, "", own, undefined);
    return new Jid(own.slice(0, own.length - domain.domain.length - 1), domain.domain, "", own, undefined);
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
    return Jid.join(this.bareJid, prepared);
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
  private readonly entriesMax: number;
  private readonly unitsMax: number;

  constructor(limits: JidCacheLimits = { entries: 20_000, units: 1_000_000 }) {
    this.entriesMax = Math.max(1, limits.entries >> 1);
    this.unitsMax = Math.max(1, limits.units >> 1);
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
    if (slash < 0) return this.parseBare(text);
    const resource = prepareResource(text.slice(slash + 1));
    if (resource === undefined) return undefined;
    const bare = this.parse(text.slice(0, slash));
    if (bare === undefined) return undefined;
    const jid = Jid.join(bare, resource);
    this.remember(jid.full === text ? jid.full : ownCopy(text), jid);
    return jid;
  }

  private parseBare(text: string): Jid | undefined {
    const at = text.indexOf("@");
    const jid = at < 0 ? this.newDomain(text) : this.newAccount(text.slice(0, at), text.slice(at + 1));
    if (jid !== undefined) this.remember(jid.full === text ? jid.full : ownCopy(text), jid);
    return jid;
  }

  private newAccount(local: string, domain: string): Jid | undefined {
    const preparedLocal = prepareLocal(local);
    if (preparedLocal === undefined) return undefined;
    // A domain is shared by all its accounts, so it is looked up and not made again. An "@" in it makes it invalid.
    const host = domain.includes("@") ? undefined : this.parse(domain);
    if (host === undefined) return undefined;
    return this.known(Jid.bareFrom(host, `${preparedLocal}@${host.domain}`));
  }

  private newDomain(text: string): Jid | undefined {
    const domain = prepareDomain(text);
    return domain === undefined ? undefined : this.known(Jid.bareFrom(undefined, domain));
  }

  /** The object that the prepared text already has, so that several spellings share one. */
  private known(fresh: Jid): Jid {
    return this.young.get(fresh.full) ?? this.old.get(fresh.full) ?? fresh;
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

// Only a resource can hold these: a prepared localpart and a domain have none of them.
function escapeFull(text: string): string {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x26 || code === 0x3c || code === 0x3e || code === 0x22 || code === 0x27) return escapeSlow(text);
  }
  return text;
}

function escapeSlow(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&apos;");
}
