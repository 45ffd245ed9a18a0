/**
 * What every node knows of all sessions of the cluster: who is bound where. Compact, because every node has it (some 60 bytes for a
 * 10-letter name and a 16-letter resource, measured with a million), synchronous, and without an object per session.
 *
 *     const directory = new SessionDirectory({ clock, random, log, superseded: (serial, by) => … });
 *     replicator.add(directory);
 *     // Own sessions. The directory keeps a record of them too: for snapshots, and to notice two of one address.
 *     startedAt = directory.publish({ local, domain, resource, serial, startedAt, priority, marks });
 *     directory.update(jid, serial, priority, marks);
 *     directory.withdraw(jid, serial);
 *     // Sessions of other nodes that are up.
 *     directory.count(jid); directory.forEach(jid, (session) => …); directory.find(fullJid);
 *     for (const page of directory.pages()) …                    // all sessions, own ones too
 *     for (const page of directory.pagesOf(life)) …               // of one owner, even while it is gone (for OwnerEvents.clean)
 *
 * One session per full JID: of two, the one that started later stays; of two that started in the same 100 ms, that of the higher node
 * number. Every owner applies this to its own sessions: `superseded` names one of them that has lost, and the caller ends it (and
 * withdraws it). Because a new session must win over the one its user sees as old, `publish` moves `startedAt` behind that of
 * sessions of the same address that are known here, whatever the clocks of the nodes say.
 */
import type { Log } from "../observe/log.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import { AccountHash } from "./account-hash.ts";
import { type ByteReader, type ByteWriter, WireError } from "./bytes.ts";
import { DomainNames } from "./domain-names.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";
import { NameBuffer } from "./name-buffer.ts";
import { copyEntry, type PublishedSession, type SessionEntry } from "./session-entry.ts";
import { SessionShard } from "./session-shard.ts";
import { SessionSlots } from "./session-slots.ts";
import { priorityBias, SessionView, type ViewedDirectory } from "./session-view.ts";
import type { Life } from "./table-protocol.ts";
import { type Digest, type EntrySink, type OwnReader, ownSlot, TableFull, type TableStore } from "./table-store.ts";

/** The parts of an address; a `Jid` is one. */
export interface AccountName {
  readonly local: string;
  readonly domain: string;
}

export interface FullName extends AccountName {
  readonly resource: string;
}

export interface SessionDirectoryOptions {
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  /** A session of this node has lost its address to a later one of another node: end it. It is withdrawn by the caller. */
  readonly superseded?: (serial: number, by: SessionEntry) => void;
  /** A power of two; each shard is rebuilt in one go. The default is for millions. */
  readonly shards?: number;
}

const Entry = { put: 1, change: 2, drop: 3 } as const;

const unitMs = 100;
/** A step of the sweep looks at so many shards and rebuilds one at most. */
const sweepShardsLooked = 16;
const sweepPauseMs = 2;

export class SessionDirectory implements TableStore, ViewedDirectory {
  readonly name = "sessions";
  readonly #options: SessionDirectoryOptions;
  readonly #hash: AccountHash;
  readonly #shards: (SessionShard | undefined)[];
  readonly #shardBits: number;
  /** Where the last lookup found something. */
  #shard: SessionShard;
  readonly #slots = new SessionSlots();
  readonly #local = new NameBuffer();
  readonly #resource = new NameBuffer();
  readonly #domains = new DomainNames();
  readonly #views: SessionView[] = [];
  #visiting = 0;
  #sink: EntrySink | undefined;
  #sweepAt = -1;
  #sweeping: number[] = [];
  #waiting: number[] = [];
  #hashA = 0;
  #hashB = 0;

  constructor(options: SessionDirectoryOptions) {
    this.#options = options;
    this.#hash = new AccountHash(options.random);
    const shards = options.shards ?? 512;
    this.#shardBits = Math.log2(shards);
    this.#shard = new SessionShard(this.#hash, this.#shardBits);
    this.#shards = new Array<SessionShard | undefined>(shards).fill(undefined);
  }

  // Reads: sessions of other nodes.

  /** How many sessions an account has on other nodes. */
  count(account: AccountName): number {
    let count = 0;
    let record = this.#lookup(account);
    const shard = this.#shard;
    for (; record !== 0; record = shard.next(record)) if (this.#isRemote(shard.slotOf(record))) count++;
    return count;
  }

  /** Calls `visit` for every session that an account has on other nodes. It must not change the directory. */
  forEach(account: AccountName, visit: (session: SessionEntry) => void): void {
    let record = this.#lookup(account);
    if (record === 0) return;
    const shard = this.#shard;
    this.#views[this.#visiting] ??= new SessionView(this);
    const view = this.#views[this.#visiting++]!;
    try {
      for (; record !== 0; record = shard.next(record)) {
        if (!this.#isRemote(shard.slotOf(record))) continue;
        view.shard = shard;
        view.record = record;
        visit(view);
      }
    } finally {
      this.#visiting--;
    }
  }

  /** The session of another node at this address; of two, the one that stays. The view is valid until the next `find` or change. */
  find(jid: FullName): SessionEntry | undefined {
    let record = this.#lookup(jid);
    if (record === 0 || !this.#resource.set(jid.resource)) return undefined;
    const shard = this.#shard;
    let found = 0;
    for (; record !== 0; record = shard.next(record)) {
      if (!this.#isRemote(shard.slotOf(record))) continue;
      if (!shard.hasResource(record, this.#resource.bytes, this.#resource.length)) continue;
      if (found === 0 || this.#wins(shard, record, found)) found = record;
    }
    if (found === 0) return undefined;
    const view = this.#found;
    view.shard = shard;
    view.record = found;
    return view;
  }
  readonly #found = new SessionView(this);

  /** Sessions by owner, own ones too; of one domain or of all. */
  counts(domain?: string): Map<NodeIdentity, number> {
    const id = domain === undefined ? undefined : this.#domains.ids.get(domain);
    if (domain !== undefined && id === undefined) return new Map();
    return this.#slots.counts(id);
  }

  /** All sessions in reads, own ones too, in pages of some thousand at most. What comes or goes meanwhile may be among them or not. */
  pages(): Generator<SessionEntry[]> {
    return this.#pages((slot) => this.#slots.visible[slot] === 1);
  }

  /** The sessions of one owner, also while it is gone and out of all other reads. */
  pagesOf(owner: Life): Generator<SessionEntry[]> {
    return this.#pages((slot) => {
      const { dropped, owners } = this.#slots;
      const of = owners[slot];
      return dropped[slot] === 0 && of?.number === owner.number && of.incarnation === owner.incarnation;
    });
  }

  /** Of the records and their index. */
  get memoryBytes(): number {
    let bytes = 0;
    for (const shard of this.#shards) bytes += shard?.memoryBytes ?? 0;
    return bytes;
  }

  // The own side.

  /** Makes a session of this node known; again with the same serial replaces it. Returns when it has started, for the rule above. */
  publish(session: PublishedSession): number {
    const { local, domain, resource, serial, priority, marks } = session;
    if (!this.#local.set(local) || !this.#resource.set(resource)) throw new TableFull(`names too long: ${local}`);
    const domainId = this.#domains.idOf(domain);
    const shard = this.#shardToWrite(domainId, this.#resource.length);
    let startedAt = units(session.startedAt);
    for (let record = this.#first(shard, domainId); record !== 0; record = shard.next(record)) {
      const slot = shard.slotOf(record);
      if (slot === ownSlot || this.#slots.dropped[slot] === 1) continue;
      if (!shard.hasResource(record, this.#resource.bytes, this.#resource.length)) continue;
      if (this.#slots.visible[slot] === 1) {
        const theirs = shard.startedAtOf(record);
        if (((theirs - startedAt) | 0) >= 0) startedAt = (theirs + 1) >>> 0;
      } else {
        // Should its owner come back, this difference makes it be fetched anew, and then the two are compared.
        this.#remove(shard, record);
        return this.publish(session);
      }
    }
    this.#put(ownSlot, shard, domainId, serial, startedAt, stateOf(priority, marks));
    this.#writePut(this.#sink!, domain, serial, startedAt, stateOf(priority, marks));
    return this.millis(startedAt);
  }

  /** Tells priority and marks of an own session anew. False when it is not known. */
  update(account: AccountName, serial: number, priority: number, marks: number): boolean {
    const record = this.#findOwn(account, serial);
    if (record === 0) return false;
    const shard = this.#shard;
    const state = stateOf(priority, marks);
    if (shard.stateOf(record) === state) return true;
    this.#change(shard, ownSlot, record, state);
    const out = this.#sink!.begin();
    out.u8(Entry.change);
    out.u32(serial);
    out.u16(state >>> 8);
    out.u8(state & 0xff);
    out.text(this.#domains.names[shard.domainOf(record)]!);
    writeName(out, this.#local);
    this.#sink!.end();
    return true;
  }

  /** An own session is over. False when it is not known. */
  withdraw(account: AccountName, serial: number): boolean {
    const record = this.#findOwn(account, serial);
    if (record === 0) return false;
    const domain = this.#shard.domainOf(record);
    this.#remove(this.#shard, record);
    const out = this.#sink!.begin();
    out.u8(Entry.drop);
    out.u32(serial);
    out.text(this.#domains.names[domain]!);
    writeName(out, this.#local);
    this.#sink!.end();
    return true;
  }

  // For the replicator.

  attach(self: NodeIdentity, sink: EntrySink): void {
    this.#sink = sink;
    if (this.open(self, 0) !== ownSlot) throw new Error("a directory is attached once");
  }

  open(owner: NodeIdentity, sibling: number): number {
    while (!this.#slots.available) this.#sweepAll();
    return this.#slots.open(owner, sibling);
  }

  apply(slot: number, entry: ByteReader): void {
    const kind = entry.u8();
    if (kind === Entry.put) this.#applyPut(slot, entry);
    else if (kind === Entry.change) this.#applyChange(slot, entry);
    else if (kind === Entry.drop) this.#applyDrop(slot, entry);
    else throw new WireError(`entry ${kind} of the session directory`);
  }

  ownDigest(): Digest {
    return this.#slots.digest(ownSlot);
  }

  digest(slot: number): Digest {
    return this.#slots.digest(slot);
  }

  bytes(slot: number): number {
    return this.#slots.bytes(slot);
  }

  hide(slot: number): void {
    this.#slots.visible[slot] = 0;
  }

  show(slot: number): void {
    this.#slots.visible[slot] = 1;
  }

  drop(slot: number): void {
    this.#slots.drop(slot);
    this.#waiting.push(slot);
    if (this.#sweepAt < 0) this.#startSweep();
  }

  ownReader(): OwnReader {
    let at = 0;
    /** The next record is of this home in the shard, or of a later one: places change, homes do not. */
    let from = 0;
    let version = 0;
    return {
      read: (out, bytesMax) => {
        for (; at < this.#shards.length; at++, from = 0) {
          const shard = this.#shards[at];
          if (shard === undefined) continue;
          // After a rebuild the homes are others: this shard once more, which does no harm.
          if (shard.version !== version) from = 0;
          version = shard.version;
          let full = false;
          let last = 0;
          for (let record = shard.from(from); record !== 0; record = shard.following(record)) {
            const home = shard.homeOf(record);
            if (home < from) continue;
            // Those of one home go together, or it could not be told where to go on.
            if (full && home !== last) {
              from = home;
              return true;
            }
            last = home;
            if (shard.slotOf(record) === ownSlot) full = this.#writeRecord(out, shard, record) >= bytesMax;
          }
          if (!full) continue;
          at++;
          from = 0;
          return true;
        }
        return false;
      },
    };
  }

  // What the view reads.

  domainName(id: number): string {
    return this.#domains.names[id]!;
  }

  ownerOf(slot: number): NodeIdentity {
    return this.#slots.owners[slot]!;
  }

  /** The counter of 100 ms wraps after 13 years; a session is as old as fits the present. */
  millis(startedAt: number): number {
    const now = units(this.#options.clock.now());
    return (Math.floor(this.#options.clock.now() / unitMs) - ((now - startedAt) | 0)) * unitMs;
  }

  // Inside.

  #isRemote(slot: number): boolean {
    return slot !== ownSlot && this.#slots.visible[slot] === 1;
  }

  /** The first record of an account, in `#shard`; 0 when there is none. */
  #lookup(account: AccountName): number {
    const domain = this.#domains.find(account.domain);
    if (domain < 0 || !this.#local.set(account.local)) return 0;
    return this.#firstOf(domain);
  }

  /** As `#lookup`, for the name in `#local`. */
  #firstOf(domain: number): number {
    const { words, length } = this.#local;
    this.#hash.hash(words, 0, length, domain);
    const shard = this.#shards[this.#shardOfHash()];
    if (shard === undefined) return 0;
    this.#shard = shard;
    return shard.first(words, length, domain);
  }

  /** In two steps, since a shift by 32 would be none. */
  #shardOfHash(): number {
    return (this.#hash.value >>> 1) >>> (31 - this.#shardBits);
  }

  /** An own record, in `#shard`; 0 when there is none. */
  #findOwn(account: AccountName, serial: number): number {
    if (this.#visiting > 0) throw new Error("the directory changes while it is read");
    let record = this.#lookup(account);
    const shard = this.#shard;
    for (; record !== 0; record = shard.next(record)) {
      if (shard.slotOf(record) === ownSlot && shard.serialOf(record) === serial) break;
    }
    return record;
  }

  /** The shard of the name in `#local`, with room for a record; `#hash` holds its hash. */
  #shardToWrite(domain: number, resourceBytes: number): SessionShard {
    if (this.#visiting > 0) throw new Error("the directory changes while it is read");
    const { words, length } = this.#local;
    this.#hash.hash(words, 0, length, domain);
    const at = this.#shardOfHash();
    const shard = this.#shards[at] ?? new SessionShard(this.#hash, this.#shardBits);
    this.#shards[at] = shard;
    if (shard.ensure(length + resourceBytes, this.#slots.dropped)) this.#hash.hash(words, 0, length, domain);
    return shard;
  }

  #first(shard: SessionShard, domain: number): number {
    return shard.first(this.#local.words, this.#local.length, domain);
  }

  /** The record of this owner and serial in the account of `#local`. */
  #ofOwner(shard: SessionShard, domain: number, slot: number, serial: number): number {
    const { group, dropped } = this.#slots;
    let record = this.#first(shard, domain);
    for (; record !== 0; record = shard.next(record)) {
      const other = shard.slotOf(record);
      if (group[other] === group[slot] && dropped[other] === 0 && shard.serialOf(record) === serial) break;
    }
    return record;
  }

  /** Adds or replaces the record of this owner and serial, and says where it is; names are in `#local` and `#resource`. */
  #put(slot: number, shard: SessionShard, domain: number, serial: number, startedAt: number, state: number): number {
    const old = this.#ofOwner(shard, domain, slot, serial);
    if (old !== 0) this.#remove(shard, old);
    const record = shard.add(this.#local, this.#resource, domain, slot, serial, startedAt, state);
    if (record === 0) throw new TableFull("a shard of the session directory is full");
    this.#account(shard, record, 1);
    return record;
  }

  #remove(shard: SessionShard, record: number): void {
    this.#account(shard, record, -1);
    shard.remove(record);
  }

  #change(shard: SessionShard, slot: number, record: number, state: number): void {
    this.#hashRecord(shard, record);
    const hashA = this.#hashA;
    const hashB = this.#hashB;
    shard.setState(record, state);
    this.#hashRecord(shard, record);
    this.#slots.amend(slot, this.#hashA - hashA, this.#hashB - hashB);
  }

  #account(shard: SessionShard, record: number, sign: 1 | -1): void {
    this.#hashRecord(shard, record);
    const domain = shard.domainOf(record);
    this.#slots.account(shard.slotOf(record), domain, this.#hashA, this.#hashB, shard.sizeOf(record) * 4, sign);
  }

  /** Hashes what is the same of a record on all nodes. It must stay the same: nodes of the release before compare their sums with ours. */
  #hashRecord(shard: SessionShard, record: number): void {
    const local = shard.localBytes(record);
    const resource = shard.resourceBytes(record);
    const start = this.#domains.hashes[shard.domainOf(record)]!;
    this.#hashA = start;
    this.#hashB = start ^ resource;
    this.#hashWord(shard.serialOf(record));
    this.#hashWord(shard.startedAtOf(record));
    const long = shard.isLong(record);
    this.#hashWord((shard.stateOf(record) << 8) | (long ? 255 : local));
    if (long) this.#hashWord((local << 16) | resource);
    for (let index = 0; index * 4 < local + resource; index++) this.#hashWord(shard.nameWord(record, index));
    this.#hashA = (this.#hashA ^ (this.#hashA >>> 16)) | 0;
    this.#hashB = (this.#hashB ^ (this.#hashB >>> 16)) | 0;
  }

  #hashWord(word: number): void {
    const a = Math.imul(this.#hashA ^ word, 0x85ebca6b);
    this.#hashA = a ^ (a >>> 13);
    const b = Math.imul(this.#hashB + word, 0xc2b2ae35);
    this.#hashB = (b << 15) | (b >>> 17);
  }

  #applyPut(slot: number, entry: ByteReader): void {
    const serial = entry.u32();
    const startedAt = entry.u32();
    const state = (entry.u16() << 8) | entry.u8();
    const domain = this.#domains.read(entry, true);
    this.#local.read(entry);
    this.#resource.read(entry);
    const shard = this.#shardToWrite(domain, this.#resource.length);
    const theirs = this.#put(slot, shard, domain, serial, startedAt, state);
    let lost = 0;
    for (let record = this.#first(shard, domain); record !== 0; record = shard.next(record)) {
      if (shard.slotOf(record) !== ownSlot) continue;
      if (!shard.hasResource(record, this.#resource.bytes, this.#resource.length)) continue;
      if (this.#wins(shard, theirs, record)) lost = record;
    }
    if (lost === 0 || this.#slots.visible[slot] === 0) return;
    const view = new SessionView(this);
    view.shard = shard;
    view.record = theirs;
    this.#options.superseded?.(shard.serialOf(lost), copyEntry(view));
  }

  #applyChange(slot: number, entry: ByteReader): void {
    const serial = entry.u32();
    const state = (entry.u16() << 8) | entry.u8();
    const record = this.#readRecord(slot, serial, entry);
    // While a snapshot comes in, the record may be still to come, and is as it is now when it comes.
    if (record !== 0) this.#change(this.#shard, this.#shard.slotOf(record), record, state);
  }

  #applyDrop(slot: number, entry: ByteReader): void {
    const serial = entry.u32();
    const record = this.#readRecord(slot, serial, entry);
    if (record !== 0) this.#remove(this.#shard, record);
  }

  /** The record that an entry names, in `#shard`; 0 when it is not here. */
  #readRecord(slot: number, serial: number, entry: ByteReader): number {
    const domain = this.#domains.read(entry, false);
    this.#local.read(entry);
    return domain < 0 || this.#firstOf(domain) === 0 ? 0 : this.#ofOwner(this.#shard, domain, slot, serial);
  }

  /** Whether record `a` stays rather than `b`, of the same address. */
  #wins(shard: SessionShard, a: number, b: number): boolean {
    const later = (shard.startedAtOf(a) - shard.startedAtOf(b)) | 0;
    if (later !== 0) return later > 0;
    return this.ownerOf(shard.slotOf(a)).number > this.ownerOf(shard.slotOf(b)).number;
  }

  #writePut(sink: EntrySink, domain: string, serial: number, startedAt: number, state: number): void {
    const out = sink.begin();
    writePutHead(out, domain, serial, startedAt, state);
    writeName(out, this.#local);
    writeName(out, this.#resource);
    sink.end();
  }

  /** Returns how many bytes the message has now. */
  #writeRecord(sink: EntrySink, shard: SessionShard, record: number): number {
    const { bytes } = shard;
    const out = sink.begin();
    const domain = this.#domains.names[shard.domainOf(record)]!;
    writePutHead(out, domain, shard.serialOf(record), shard.startedAtOf(record), shard.stateOf(record));
    const local = shard.namesAt(record);
    const resource = local + shard.localBytes(record);
    out.u16(shard.localBytes(record));
    out.rawRange(bytes, local, resource);
    out.u16(shard.resourceBytes(record));
    out.rawRange(bytes, resource, resource + shard.resourceBytes(record));
    sink.end();
    return out.length;
  }

  *#pages(wanted: (slot: number) => boolean): Generator<SessionEntry[]> {
    const view = new SessionView(this);
    for (const shard of this.#shards) {
      if (shard === undefined) continue;
      const page: SessionEntry[] = [];
      view.shard = shard;
      for (let record = shard.from(1); record !== 0; record = shard.following(record)) {
        if (!wanted(shard.slotOf(record))) continue;
        view.record = record;
        page.push(copyEntry(view));
      }
      if (page.length > 0) yield page;
    }
  }

  // Memory of owners that are gone is given back shard by shard.

  #startSweep(): void {
    this.#sweepAt = 0;
    this.#sweeping = this.#waiting;
    this.#waiting = [];
    this.#options.clock.after(sweepPauseMs, () => this.#sweepStep());
  }

  #sweepStep(): void {
    if (this.#sweepAt < 0) return;
    const { dropped } = this.#slots;
    for (let looked = 0; looked < sweepShardsLooked && this.#sweepAt < this.#shards.length; looked++) {
      const shard = this.#shards[this.#sweepAt++];
      if (shard?.holds(dropped) !== true) continue;
      shard.rebuild(dropped);
      break;
    }
    if (this.#sweepAt < this.#shards.length) this.#options.clock.after(sweepPauseMs, () => this.#sweepStep());
    else this.#endSweep();
  }

  #endSweep(): void {
    this.#sweepAt = -1;
    for (const slot of this.#sweeping) this.#slots.release(slot);
    this.#sweeping = [];
    if (this.#waiting.length > 0) this.#startSweep();
  }

  /** All slots are in use: those of owners that are gone are needed now. */
  #sweepAll(): void {
    if (this.#sweepAt < 0) throw new TableFull("more owners than the session directory can tell apart");
    for (const shard of this.#shards)
      if (shard?.holds(this.#slots.dropped) === true) shard.rebuild(this.#slots.dropped);
    this.#sweeping.push(...this.#waiting);
    this.#waiting = [];
    this.#endSweep();
  }
}

function units(millis: number): number {
  return Math.floor(millis / unitMs) >>> 0;
}

/** Marks and priority as they stand together in a record. */
function stateOf(priority: number, marks: number): number {
  return ((marks & 0xffff) << 8) | ((priority + priorityBias) & 0xff);
}

function writePutHead(out: ByteWriter, domain: string, serial: number, startedAt: number, state: number): void {
  out.u8(Entry.put);
  out.u32(serial);
  out.u32(startedAt);
  out.u16(state >>> 8);
  out.u8(state & 0xff);
  out.text(domain);
}

function writeName(out: ByteWriter, name: NameBuffer): void {
  out.u16(name.length);
  out.rawRange(name.bytes, 0, name.length);
}
