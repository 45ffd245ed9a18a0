/** The archives of a host's accounts: what goes into them, and what their owners read out of them. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import {
  type Effect,
  feedTo,
  handled,
  type MaybePromise,
  type Outcome,
  replaceWith,
  route,
  secureBy,
} from "../../hooks/effect.ts";
import type { IqContext, PersonalData } from "../../hooks/points.ts";
import type { ArchivedMessage, ArchiveService } from "../../hooks/services.ts";
import type { LongAnswer } from "../../session/feed.ts";
import { type Session, SessionSlot } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { resultOf } from "../../stanza/reply.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { stanzaIdBy, withoutForgedIds, withStanzaId } from "../../stanza/stanza-ids.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { lastIdAt, parseTimeId, type TimeIds, timeOfId } from "../../util/time-ids.ts";
import type { Xml } from "../../xml/xml.ts";
import { highest } from "./archive-query.ts";
import { type ArchiveAnswer, ArchiveReader } from "./archive-reader.ts";
import { ArchiveStore } from "./archive-store.ts";
import { conversationOf, referenceToMessage } from "./archive-tables.ts";
import { type ArchivePolicy, archiveVerdict, searchableText } from "./archive-verdict.ts";
import type { userOptions } from "./options.ts";
import type { PreferenceBook } from "./preferences.ts";
import {
  archivedStanza,
  groupRetractionIn,
  groupTombstoneOf,
  retractedElement,
  retractionIn,
  retractOnceWritten,
  tombstoneOf,
} from "./tombstone.ts";
import { wordsOf } from "./words.ts";

export type UserArchivesHouse = Pick<
  ModuleContext<unknown>,
  | "domain"
  | "store"
  | "writes"
  | "clock"
  | "sessionsOf"
  | "resourcesOf"
  | "accountExists"
  | "notices"
  | "written"
  | "writtenElsewhere"
>;

/** Accounts that are known to exist without asking the database again. */
const knownMax = 20_000;
/** Messages of groups that are recognised when further resources of their recipient get them. */
const groupMessagesMax = 10_000;

/** A stretch of the archive that the session has read, or will: ids above `after`, up to `upTo`. */
interface Read {
  readonly after: bigint;
  readonly upTo: bigint;
}

const read = new SessionSlot<Read>("archive read", {
  pack: ({ after, upTo }) => [after.toString(), upTo.toString()],
  unpack: (packed) => {
    const [after, upTo] = packed as [string, string];
    return { after: BigInt(after), upTo: BigInt(upTo) };
  },
});

/** The end of the archive when a session was told of it, until it reads it or seems not to. */
const announced = new SessionSlot<bigint>("archive announced");
/** How long a client that was told of its archive may take to ask for the first page. */
const catchUpWithinMs = 2_000;

export class UserArchives implements ArchiveService {
  readonly #house: UserArchivesHouse;
  readonly #options: NonNullable<ReturnType<typeof userOptions>>;
  readonly #policy: ArchivePolicy;
  readonly #ids: TimeIds;
  readonly #store: ArchiveStore;
  readonly #reader: ArchiveReader;
  readonly #preferences: PreferenceBook | undefined;
  readonly #known = new BoundedMap<string, true>(knownMax);
  readonly #tellGone: (account: string) => void;
  readonly #groupMessages = new BoundedMap<string, string>(groupMessagesMax);
  /** Who wants to know whether a session that was told of its archive reads it. */
  readonly #waiting = new WeakMap<Session, () => void>();
  /** Ids of messages on their way out, for the copies to their sender's other resources. */
  readonly #sentIds = new WeakMap<Stanza, string>();
  /** A message between two of our users is cut into words once. */
  #lastText = "";
  #lastWords: readonly string[] = [];

  constructor(
    house: UserArchivesHouse,
    options: NonNullable<ReturnType<typeof userOptions>>,
    ids: TimeIds,
    preferences: PreferenceBook | undefined,
  ) {
    this.#house = house;
    this.#options = options;
    this.#policy = { chatMarkers: options.archiveChatMarkers, groupchat: options.archiveGroupchats, subject: false };
    this.#ids = ids;
    this.#store = new ArchiveStore(house.store);
    this.#reader = new ArchiveReader(this.#store, () => house.written(), options);
    this.#preferences = preferences;
    this.#tellGone = house.notices("accounts", (account) => {
      if (account === undefined) this.#known.clear();
      else this.#known.delete(account);
    });
  }

  /** Stage "outgoing": the sender's own copy. */
  sent(stanza: Stanza, session: Session): MaybePromise<Outcome> {
    // What a group gets comes back from it, and what a user sends to himself arrives; each is archived then.
    if (stanza.type === "groupchat" || stanza.to === undefined || stanza.to.bare === session.account.bare) {
      return undefined;
    }
    if (!archiveVerdict(stanza, this.#policy).store) return undefined;
    const wanted = this.#preferences === undefined || this.#preferences.wants(session.account, stanza.to);
    if (wanted instanceof Promise) return wanted.then((yes) => (yes ? this.#takeSent(stanza, session) : undefined));
    return wanted ? this.#takeSent(stanza, session) : undefined;
  }

  /** Where the database is slower than those who write, they wait for it: what they send is not read until there is room. */
  #takeSent(stanza: Stanza, session: Session): MaybePromise<Outcome> {
    const { writes } = this.#house;
    return writes.full
      ? writes.whenDrained().then(() => this.#addSent(stanza, session))
      : this.#addSent(stanza, session);
  }

  #addSent(stanza: Stanza, session: Session): Outcome {
    const id = this.#ids.next();
    if (!this.#options.noStanzaidElement && this.#house.resourcesOf(session.account).length > 1) {
      this.#sentIds.set(stanza, id.toString());
    }
    return secureBy(this.#add(session.account, id, stanza, stanza.to!, true));
  }

  sentId(stanza: Stanza): string | undefined {
    return this.#sentIds.get(stanza);
  }

  /** Stage "incoming": the recipient's copy, and the id of it in the message. */
  received(stanza: Stanza, account: Jid): MaybePromise<Outcome> {
    const honest = withoutForgedIds(stanza, this.#house.domain);
    const leave = honest === stanza ? undefined : replaceWith(honest);
    if (stanza.from === undefined || !archiveVerdict(stanza, this.#policy).store) return leave;
    const exists = this.#exists(account);
    if (exists === false) return leave;
    const wanted = this.#preferences === undefined || this.#preferences.wants(account, stanza.from);
    if (exists === true && wanted === true && !this.#house.writes.full) return this.#addReceived(honest, account);
    return this.#addReceivedIf(exists, wanted, honest, account, leave);
  }

  async #addReceivedIf(
    exists: MaybePromise<boolean>,
    wanted: MaybePromise<boolean>,
    honest: Stanza,
    account: Jid,
    leave: Outcome,
  ): Promise<Outcome> {
    const [isThere, isWanted] = await Promise.all([exists, wanted]);
    if (this.#house.writes.full) await this.#house.writes.whenDrained();
    return isThere && isWanted ? this.#addReceived(honest, account) : leave;
  }

  #exists(account: Jid): MaybePromise<boolean> {
    if (this.#known.get(account.bare) !== undefined) return true;
    const exists = this.#house.resourcesOf(account).length > 0 ? true : this.#house.accountExists(account);
    if (exists instanceof Promise) return exists.then((yes) => this.#learn(account, yes));
    return this.#learn(account, exists);
  }

  #learn(account: Jid, exists: boolean): boolean {
    if (exists) this.#known.set(account.bare, true);
    return exists;
  }

  #addReceived(stanza: Stanza, account: Jid): Outcome {
    const from = stanza.from!;
    const again = stanza.type === "groupchat" ? groupMessageKey(stanza, account) : undefined;
    const givenBefore = again === undefined ? undefined : this.#groupMessages.get(again);
    if (givenBefore !== undefined) return this.#identified(stanza, account, givenBefore);
    const id = this.#ids.next();
    const text = id.toString();
    if (again !== undefined) this.#groupMessages.set(again, text);
    const stored = this.#add(account, id, stanza, from, from.bare === account.bare);
    const identified = this.#identified(stanza, account, text);
    return identified === undefined ? secureBy(stored) : [secureBy(stored), identified];
  }

  #identified(stanza: Stanza, account: Jid, id: string): Effect | undefined {
    return this.#options.noStanzaidElement ? undefined : replaceWith(withStanzaId(stanza, account, id));
  }

  #add(account: Jid, id: bigint, stanza: Stanza, peer: Jid, outgoing: boolean): Promise<void> {
    const { writes } = this.#house;
    const owner = account.bare;
    const stored = this.#store.add(writes, {
      owner,
      id,
      peer: peer.bare,
      resource: peer.resource,
      conversation: conversationOf(owner, peer.bare),
      reference: nameOf(stanza, owner),
      outgoing,
      groupchat: stanza.type === "groupchat",
      stanza: stanza.toXml(),
      words: this.#options.fullTextSearch ? this.#words(stanza) : undefined,
    });
    const retract = this.#options.messageRetraction ? this.#retraction(owner, id, stanza, peer, outgoing) : undefined;
    if (retract === undefined) return stored;
    const retracted = retractOnceWritten(retract, () => this.#house.writtenElsewhere());
    return Promise.all([stored, retracted]).then(() => undefined);
  }

  /** What carries out a retraction; undefined for a message that is none. */
  #retraction(
    owner: string,
    id: bigint,
    stanza: Stanza,
    { bare: peer }: Jid,
    outgoing: boolean,
  ): (() => Promise<boolean>) | undefined {
    const { writes } = this.#house;
    if (stanza.type === "groupchat") {
      const retraction = groupRetractionIn(stanza, timeOfId(id));
      if (retraction === undefined) return undefined;
      const original = { owner, messageId: retraction.groupId, peer, outgoing };
      return () => this.#store.retract(writes, original, (text) => groupTombstoneOf(text, retraction));
    }
    const retraction = retractionIn(stanza);
    if (retraction === undefined) return undefined;
    const { messageId, by } = retraction;
    const element = retractedElement(by, timeOfId(id));
    const original = { owner, messageId, peer, outgoing };
    const meant = { messageId, by: stanza.from! };
    return () => this.#store.retract(writes, original, (text) => tombstoneOf(text, element, meant));
  }

  #words(stanza: Stanza): readonly string[] {
    const text = searchableText(stanza);
    if (text !== this.#lastText) {
      this.#lastText = text;
      this.#lastWords = wordsOf(text);
    }
    return this.#lastWords;
  }

  /** Section 4.1.6. */
  form(request: IqContext): Xml {
    mine(request);
    return this.#reader.form({ kind: "account", fullTextSearch: this.#options.fullTextSearch });
  }

  metadata(request: IqContext): Promise<Xml> {
    return this.#reader.metadata(mine(request));
  }

  /** Section 4: the messages go out before the result that ends them, past what holds other messages back. */
  async query(request: Stanza, iq: IqContext): Promise<Outcome> {
    const owner = mine(iq);
    const archive = {
      owner,
      kind: "account",
      seesRealAddresses: true,
      fullTextSearch: this.#options.fullTextSearch,
    } as const;
    const { session } = iq;
    if (session === undefined) {
      const { messages, fin } = await this.#reader.answer(iq.payload, archive, iq.from);
      return [handled, ...messages.map(route), route(resultOf(request, fin))];
    }
    const answer = async (): Promise<LongAnswer> => {
      const made = await this.#reader.answer(iq.payload, archive, iq.from);
      this.#readsNow(session);
      const stanzas = [...made.messages, resultOf(request, made.fin)];
      return { stanzas, written: () => noteRead(session, made) };
    };
    return [handled, feedTo(session, answer)];
  }

  /** XEP-0386: the state of the archive at this moment. */
  async bound(session: Session): Promise<Xml> {
    const ends = await this.#reader.ends(session.account);
    announced.set(session, ends?.last ?? -1n);
    return this.#reader.metadataOf(ends);
  }

  /**
   * XEP-0386 section 4.2 has a client of Bind 2 read everything from its archive, and so gets no offline messages. Not every
   * client that binds so knows of archives: it counts when it asks for the first page, at once.
   */
  reads(session: Session): MaybePromise<boolean | undefined> {
    if (announced.get(session) === undefined) return undefined;
    return new Promise((resolve) => {
      this.#waiting.set(session, () => resolve(true));
      this.#house.clock.after(catchUpWithinMs, () => {
        announced.set(session, undefined);
        resolve(false);
      });
    });
  }

  #readsNow(session: Session): void {
    const upTo = announced.get(session);
    if (upTo === undefined) return;
    announced.set(session, undefined);
    read.set(session, { after: -1n, upTo });
    this.#waiting.get(session)?.();
  }

  readBy(session: Session, text: string): boolean {
    const stretch = read.get(session);
    const id = stretch === undefined ? undefined : parseTimeId(text);
    return stretch !== undefined && id !== undefined && id > stretch.after && id <= stretch.upTo;
  }

  async last(
    account: Jid,
    { with: peer, before, limit }: { with?: Jid; before?: number; limit: number },
  ): Promise<readonly ArchivedMessage[]> {
    await this.#house.written();
    const filter = {
      owner: account.bare,
      ...(peer === undefined
        ? {}
        : { peer: { bare: peer.bare, ...(peer.resource === "" ? {} : { resource: peer.resource }) } }),
      ...(before === undefined ? {} : { to: lastIdAt(before - 1) }),
    };
    const page = await this.#store.page(filter, { limit, backwards: true });
    return page.map(({ id, stanza }) => ({ id: id.toString(), at: timeOfId(id), stanza: archivedStanza(stanza) }));
  }

  async removeAccount(account: Jid): Promise<void> {
    this.#known.delete(account.bare);
    this.#tellGone(account.bare);
    await this.#house.writes.flush();
    await this.#store.removeAll(account.bare);
    await this.#preferences?.remove(account);
  }

  personalData(account: Jid): readonly PersonalData[] {
    const messages = this.#messagesOf(account);
    return this.#preferences === undefined ? [messages] : [messages, this.#preferences.personalData(account)];
  }

  #messagesOf(account: Jid): PersonalData {
    const store = this.#store;
    return {
      name: "archive",
      columns: ["id", "time", "with", "message"],
      async *rows() {
        for await (const page of store.owned(account.bare)) {
          for (const { id, peer, stanza } of page) {
            yield [String(id), new Date(timeOfId(BigInt(id))).toISOString(), peer, stanza];
          }
        }
      },
    };
  }
}

/** Only the owner reads an archive, and changes what goes into it. */
export function mine({ from, target }: Pick<IqContext, "from" | "target">): Jid {
  if (from.bare !== target.bare) throw new StanzaError("forbidden", { text: "This archive is somebody else's" });
  return target.toBare();
}

/** What a retraction names a message by: its id, in a group the one that the group gave it. */
function nameOf(stanza: Stanza, owner: string): number | null {
  const given = stanza.type === "groupchat" ? stanzaIdBy(stanza, stanza.from!.toBare()) : undefined;
  const name = given ?? stanza.id;
  return name === undefined ? null : referenceToMessage(owner, name);
}

/** A room sends a message once to each resource of a user that is in it. */
function groupMessageKey(stanza: Stanza, account: Jid): string | undefined {
  const room = stanza.from!;
  const id =
    stanzaIdBy(stanza, room.toBare()) ?? (stanza.id === undefined ? undefined : `${room.resource} ${stanza.id}`);
  return id === undefined || id.length > 500 ? undefined : `${account.bare} ${room.bare} ${id}`;
}

/**
 * What a session has read of its whole archive, without gaps. It ends at the last message that was there, not at now: another node's clock
 * may be behind, and give what comes later an earlier id. Filters by contact, words or time leave gaps, a page that is not the last one has
 * to be followed by the next.
 */
function noteRead(session: Session, { query, page, complete }: ArchiveAnswer): void {
  const { filter, after, before, page: wanted } = query;
  const narrow = Object.keys(filter).some((name) => name !== "owner" && name !== "from" && name !== "groupchat");
  if (narrow || filter.groupchat === false || before !== undefined || wanted.index !== undefined) return;
  const floor = filter.from === undefined ? -1n : filter.from - 1n;
  const lower = after !== undefined && after > floor ? after : floor;
  const end = page.at(-1)?.id ?? lower;
  const known = read.get(session);
  // The last page: from its first message to the end, or all where nothing precedes it.
  const start = wanted.before === undefined || complete ? lower : (page[0]?.id ?? end) - 1n;
  const joins = known !== undefined && known.after <= start && start <= known.upTo;
  read.set(session, { after: joins ? known.after : start, upTo: joins ? highest(end, known.upTo)! : end });
}
