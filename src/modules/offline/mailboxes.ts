/**
 * Handing stored messages over to the sessions of their recipients, in order and without loss.
 *
 * A message leaves the database only when its recipient surely has it: when the client has acknowledged it (XEP-0198),
 * or, where it cannot, when its stream has outlived the message by some seconds or was closed by its own word. Until
 * then the message is claimed: no other session gets it. If the recipient is lost, so is the claim, and the next
 * session gets the message; it may then come twice, but it never gets lost.
 */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { deliverTo, handled, type MaybePromise, type Outcome, route, secureBy } from "../../hooks/effect.ts";
import type { PersonalData, SessionEnd } from "../../hooks/points.ts";
import type { OfflineService } from "../../hooks/services.ts";
import { toStanzaError } from "../../router/failure.ts";
import { mostAvailable } from "../../router/route.ts";
import { type Session, SessionSlot } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { delayElement, errorOf, mayBounce } from "../../stanza/reply.ts";
import { type Stanza, stanzaFromFrame } from "../../stanza/stanza.ts";
import { stanzaIdBy } from "../../stanza/stanza-ids.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import { parseFrame } from "../../xml/scanner.ts";
import { OfflineStore, type WaitingMessage } from "./offline-store.ts";
import { expiryOf, offlineVerdict } from "./offline-verdict.ts";

/**
 * Messages read and handed over at a time. The next page waits for the acknowledgement of this one, so it must be well
 * below what stream management lets a client leave unacknowledged.
 */
const pageSize = 50;
/** Some clients count wrongly and never acknowledge the last of a page: the next one goes out after this time. */
const acknowledgedWithinMs = 1_000;
/** Between pages for a client that does not acknowledge: a thousand messages a second. */
const pageEveryMs = 50;
/** A client without stream management counts as having got what it was sent this long ago. */
const arrivedAfterMs = 10_000;
/** After a failure to read, the backlog is tried again. */
const retryAfterMs = 30_000;
/** New messages one session may have waiting behind its backlog; further ones are refused. */
const heldMax = 1_000;
/** Accounts whose number of waiting messages is remembered. */
const countedMax = 10_000;
/** Word of a session that has become available on another node has arrived here by then. */
const lateAfterMs = 2_000;
/** A full mailbox is not counted again sooner than this. */
const recountAfterMs = 5_000;

export type OfflineHouse = Pick<
  ModuleContext<unknown>,
  | "domain"
  | "store"
  | "writes"
  | "clock"
  | "log"
  | "access"
  | "ask"
  | "sessionsOf"
  | "resourcesOf"
  | "isAvailable"
  | "notices"
  | "accountExists"
  | "run"
>;

/** What was given to a session and is still in the database. */
interface Handout {
  /** Parallel: numbers, and the insides of the stanzas they became. */
  readonly ids: readonly number[];
  readonly inners: readonly string[];
  /** The rows are deleted, or free again. */
  settled: boolean;
  whenSettled: (() => void) | undefined;
}

/** A session that has asked for its messages by being available. */
interface Reader {
  /** New messages that wait until the backlog is through; undefined when it is. */
  held: Stanza[] | undefined;
  /** The backlog itself is on its way through the filters, ours among them. */
  handing: boolean;
  /** More was stored while the backlog was read, or it is wanted again. */
  again: boolean;
  /** The session is still available. */
  wanted: boolean;
}

/** A stored message that was given to a session which has ended, and may come back from its stream management. */
interface Returning {
  readonly id: number;
  readonly inner: string;
}

interface Count {
  waiting: number;
  /** When the database was asked, on the monotonic clock. */
  countedAt: number;
}

const reader = new SessionSlot<Reader>("offline reader");
/** Moves, so that the other node neither hands the same out again nor forgets to delete it. */
const handouts = new SessionSlot<readonly Handout[]>("offline handouts", {
  pack: (given) => given.map(({ ids, inners }) => [ids, inners]),
  unpack: (packed) =>
    (packed as [number[], string[]][]).map(([ids, inners]) => ({
      ids,
      inners,
      settled: false,
      whenSettled: undefined,
    })),
});

export class Mailboxes implements OfflineService {
  readonly #house: OfflineHouse;
  readonly #store: OfflineStore;
  /** Tells the node of an account's available resource that there is something to read. */
  readonly #tell: (account: string) => void;
  /** Accounts for which something was stored just now. */
  readonly #maybeLate = new Set<string>();
  readonly #accessRule: string;
  readonly #defaultMost: number;
  readonly #counts = new BoundedMap<string, Count>(countedMax);
  /** Messages in the hands of sessions, by account. */
  readonly #claimed = new Map<string, Set<number>>();
  /** Messages on their way to the database. */
  #adding = 0;
  /** Messages on their way back, by account, in the order they went out. */
  readonly #returning = new Map<string, Returning[]>();
  /** The handing over that runs for an account; the next one waits for it. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(house: OfflineHouse, accessRule: string, defaultMost: number) {
    this.#house = house;
    this.#store = new OfflineStore(house.store);
    this.#tell = house.notices("offline", (bare) => {
      const account = bare === undefined ? undefined : parseJid(bare);
      if (account !== undefined) this.#handOverHere(account);
    });
    this.#accessRule = accessRule;
    this.#defaultMost = defaultMost;
  }

  /** Stage "undelivered": keeps a message, or leaves it to be refused. Throws service-unavailable when there is no room. */
  keep(stanza: Stanza, account: Jid): MaybePromise<Outcome> {
    if (!offlineVerdict(stanza, account).store) return undefined;
    if (this.#isBack(stanza, account)) return handled;
    const exists = this.#house.accountExists(account);
    const count = this.#counts.get(account.bare);
    if (typeof exists === "boolean" && count !== undefined && count.waiting < this.#most(account)) {
      return exists ? this.#add(stanza, account, count) : undefined;
    }
    return this.#keepSlowly(stanza, account, exists);
  }

  async #keepSlowly(stanza: Stanza, account: Jid, exists: MaybePromise<boolean>): Promise<Outcome> {
    if (!(await exists)) return undefined;
    const count = await this.#roomIn(account);
    return this.#add(stanza, account, count);
  }

  #most(account: Jid): number {
    return this.#house.access.number(this.#accessRule, account, this.#defaultMost);
  }

  /** The count of an account with room for one more; other nodes may have emptied it, so a full one is counted again. */
  async #roomIn(account: Jid): Promise<Count> {
    const { clock, writes } = this.#house;
    const most = this.#most(account);
    let count = this.#counts.get(account.bare);
    const fresh = count !== undefined && clock.monotonic() - count.countedAt < recountAfterMs;
    if (count === undefined || (count.waiting >= most && !fresh)) {
      await writes.flush();
      const waiting = await this.#store.count(account);
      count = { waiting, countedAt: clock.monotonic() };
      this.#counts.set(account.bare, count);
    }
    if (count.waiting >= most) throw new StanzaError("service-unavailable");
    return count;
  }

  #add(stanza: Stanza, account: Jid, count: Count): Outcome {
    const { clock, writes } = this.#house;
    const storedAt = clock.now();
    count.waiting++;
    this.#adding++;
    const stored = this.#store.add(writes, account, {
      from: stanza.from?.full ?? "",
      storedAt,
      expiresAt: expiryOf(stanza, storedAt),
      stanza: stanza.toXml(),
    });
    stored.then(
      () => {
        this.#adding--;
        this.#meetLatecomer(account);
      },
      () => {
        this.#adding--;
        count.waiting--;
      },
    );
    return [secureBy(stored), handled];
  }

  /** Somebody became available while the message was on its way to the database. */
  #meetLatecomer(account: Jid): void {
    if (this.#handOverHere(account)) return;
    if (this.#house.isAvailable(account)) return this.#tell(account.bare);
    // Word of a session on another node may still be on its way to this one.
    this.#maybeLate.add(account.bare);
    if (this.#maybeLate.size > 1) return;
    this.#house.clock.after(lateAfterMs, () => {
      const accounts = [...this.#maybeLate];
      this.#maybeLate.clear();
      for (const bare of accounts) if (this.#house.isAvailable(parseJid(bare)!)) this.#tell(bare);
    });
  }

  #handOverHere(account: Jid): boolean {
    for (const session of this.#house.sessionsOf(account)) {
      if (!session.available || session.priority < 0) continue;
      this.handOver(session);
      return true;
    }
    return false;
  }

  /** A session is there to get messages: its backlog is on its way, and what comes meanwhile waits behind it. */
  handOver(session: Session): void {
    if (session.priority < 0) return;
    const current = reader.get(session);
    if (current?.held !== undefined) {
      current.again = true;
      current.wanted = true;
      return;
    }
    const bare = session.account.bare;
    // Nearly always nothing waits: then nobody has to be read to, or waited for.
    if (this.#adding === 0 && !this.#running.has(bare) && this.#store.surelyEmpty(session.account)) return;
    const state: Reader = { held: [], handing: false, again: false, wanted: true };
    reader.set(session, state);
    const run = this.#read(session, state, this.#running.get(bare)).finally(() => {
      if (this.#running.get(bare) === run) this.#running.delete(bare);
    });
    this.#running.set(bare, run);
  }

  async #read(session: Session, state: Reader, before: Promise<void> | undefined): Promise<void> {
    const { writes, clock, log } = this.#house;
    try {
      await before;
      do {
        state.again = false;
        await writes.flush();
        await this.#readAll(session, state);
      } while (state.again && this.#takes(session, state));
    } catch (error) {
      log.warn({ err: error, jid: session.jid.full }, "Stored messages could not be read; trying again later");
      clock.after(retryAfterMs, () => {
        if (this.#takes(session, state)) this.handOver(session);
      });
    }
    await this.#release(session, state);
  }

  async #readAll(session: Session, state: Reader): Promise<void> {
    const { clock } = this.#house;
    let after = 0;
    while (this.#takes(session, state)) {
      const page = await this.#store.page(session.account, after, pageSize);
      if (page.length === 0) return;
      const reads = this.#house.ask("readsArchive", session);
      if (reads instanceof Promise) await reads;
      if (!this.#takes(session, state)) return;
      const handout = this.#hand(session, state, page);
      if (page.length < pageSize) return;
      after = page[page.length - 1]!.id;
      if (session.outlet?.afterAcknowledged === undefined) {
        await new Promise<void>((resolve) => clock.after(pageEveryMs, resolve));
      } else if (handout !== undefined && !handout.settled) {
        await new Promise<void>((resolve) => {
          handout.whenSettled = resolve;
          clock.after(acknowledgedWithinMs, resolve);
        });
      }
    }
  }

  /** Whether the session still wants its messages from this very round. */
  #takes(session: Session, state: Reader): boolean {
    if (reader.get(session) !== state || !state.wanted || !session.available || session.priority < 0) return false;
    return this.#house.sessionsOf(session.account).includes(session);
  }

  /** Gives a page to a session and notes what it was given; undefined when others have all of it. */
  #hand(session: Session, state: Reader, page: readonly WaitingMessage[]): Handout | undefined {
    const { domain, clock, log } = this.#house;
    const claimed = this.#claimsOf(session.account);
    const now = clock.now();
    const superfluous: number[] = [];
    const ids: number[] = [];
    const stanzas: Stanza[] = [];
    for (const message of page) {
      if (claimed.has(message.id)) continue;
      if (message.expiresAt !== null && message.expiresAt <= now) {
        superfluous.push(message.id);
        continue;
      }
      try {
        const stanza = withDelay(domain, message);
        if (this.#isRead(stanza, session)) {
          superfluous.push(message.id);
          continue;
        }
        stanzas.push(stanza);
        ids.push(message.id);
        claimed.add(message.id);
      } catch (error) {
        log.error({ err: error, jid: session.account.bare, message: message.id }, "A stored message cannot be read");
      }
    }
    this.#remove(session.account, superfluous);
    if (ids.length === 0) {
      this.#drop(session.account, ids);
      return undefined;
    }
    const inners = stanzas.map(({ inner }) => inner);
    const handout: Handout = { ids, inners, settled: false, whenSettled: undefined };
    handouts.set(session, [...(handouts.get(session) ?? []), handout]);
    state.handing = true;
    try {
      for (const stanza of stanzas) session.deliver(stanza);
    } finally {
      state.handing = false;
    }
    const settle = () => this.#settle(session, handout);
    if (session.outlet?.afterAcknowledged !== undefined) session.outlet.afterAcknowledged(settle);
    else clock.after(arrivedAfterMs, settle);
    return handout;
  }

  /** XEP-0313 section 5.1.1, XEP-0386 section 4.2: the client has it from the archive, where it stays. */
  #isRead(stanza: Stanza, session: Session): boolean {
    const id = stanzaIdBy(stanza, session.account);
    return id !== undefined && this.#house.ask("readFromArchive", session, id) === true;
  }

  /** The backlog is through: what came meanwhile follows. */
  async #release(session: Session, state: Reader): Promise<void> {
    const held = state.held ?? [];
    state.held = undefined;
    if (held.length > 0) await this.#house.run(held.map((stanza) => deliverTo(session, stanza)));
  }

  /** Stage "delivering": a message stands back while older ones are on their way. Throws resource-constraint. */
  hold(stanza: Stanza, session: Session): Outcome {
    const state = reader.get(session);
    if (state?.held === undefined || state.handing || stanza.type === "error") return undefined;
    if (state.held.length >= heldMax) throw new StanzaError("resource-constraint");
    state.held.push(stanza);
    return handled;
  }

  /** The session gets no further messages: it is unavailable, or of negative priority now. */
  forget(session: Session): void {
    const state = reader.get(session);
    if (state !== undefined) state.wanted = false;
  }

  /** The session is over. What it got is deleted, or is free for the next session. */
  ended(session: Session, how: SessionEnd): MaybePromise<undefined> {
    const state = reader.get(session);
    reader.set(session, undefined);
    const held = state?.held ?? [];
    if (state !== undefined) state.held = undefined;
    const given = handouts.get(session) ?? [];
    if (session.outlet?.afterAcknowledged !== undefined) {
      this.#awaitReturn(session, given);
      // Behind what was not acknowledged before, which the house routes again after this event.
      for (const stanza of held) session.write(stanza);
      return undefined;
    }
    for (const handout of given) {
      if (how === "closed") this.#settle(session, handout);
      else {
        this.#drop(session.account, handout.ids);
        close(handout);
      }
    }
    if (held.length > 0) return this.#placeAll(session.account, held);
    return undefined;
  }

  /** The session moves to another node: what waits behind its backlog joins what the client has not acknowledged. */
  leaving(session: Session): undefined | Promise<undefined> {
    const state = reader.get(session);
    reader.set(session, undefined);
    const held = state?.held ?? [];
    if (state !== undefined) state.held = undefined;
    for (const stanza of held) session.write(stanza);
    // What is being deleted must be gone before the other node reads.
    if (this.#claimed.has(session.account.bare)) return this.#house.writes.flush().then(() => undefined);
  }

  /** It has moved, and with it the care for what it was given. */
  left(session: Session): void {
    for (const handout of handouts.get(session) ?? []) {
      this.#drop(session.account, handout.ids);
      close(handout);
    }
  }

  /** A session has moved here, perhaps with messages that its client has not acknowledged. */
  arrived(session: Session): void {
    for (const handout of handouts.get(session) ?? []) {
      const claimed = this.#claimsOf(session.account);
      for (const id of handout.ids) claimed.add(id);
      session.outlet?.afterAcknowledged?.(() => this.#settle(session, handout));
    }
    if (session.available) this.handOver(session);
  }

  /** Finds other resources for messages that no session took after all, or keeps them. */
  async #placeAll(account: Jid, stanzas: readonly Stanza[]): Promise<undefined> {
    for (const stanza of stanzas) {
      const others = mostAvailable(this.#house.resourcesOf(account), false);
      try {
        const outcome =
          others.length > 0 ? others.map((resource) => deliverTo(resource, stanza)) : await this.keep(stanza, account);
        if (outcome === undefined) throw new StanzaError("service-unavailable");
        await this.#house.run("length" in outcome ? outcome : [outcome]);
      } catch (error) {
        const refusal = toStanzaError(error);
        if (!(error instanceof StanzaError))
          this.#house.log.error({ err: error, jid: account.bare }, "Message not stored");
        if (mayBounce(stanza)) await this.#house.run([route(errorOf(stanza, refusal))]);
      }
    }
    return undefined;
  }

  /**
   * With stream management, the house routes what was not acknowledged once more, right after this. What comes back
   * here is free again, in its old place; what found another session can be deleted a little later.
   */
  #awaitReturn(session: Session, given: readonly Handout[]): void {
    const { account } = session;
    const back = this.#returning.get(account.bare) ?? [];
    for (const { ids, inners } of given) {
      ids.forEach((id, at) => {
        back.push({ id, inner: inners[at]! });
      });
    }
    for (const handout of given) close(handout);
    if (back.length === 0) return;
    this.#returning.set(account.bare, back);
    const numbers = new Set(given.flatMap((handout) => handout.ids));
    this.#house.clock.after(arrivedAfterMs, () => {
      const rest = (this.#returning.get(account.bare) ?? []).filter(({ id }) => !numbers.has(id));
      const arrived = (this.#returning.get(account.bare) ?? []).filter(({ id }) => numbers.has(id));
      if (rest.length === 0) this.#returning.delete(account.bare);
      else this.#returning.set(account.bare, rest);
      const ids = arrived.map(({ id }) => id);
      this.#remove(account, ids);
    });
  }

  #isBack(stanza: Stanza, account: Jid): boolean {
    const back = this.#returning.get(account.bare);
    if (back === undefined) return false;
    const at = back.findIndex(({ inner }) => inner === stanza.inner);
    if (at < 0) return false;
    const [found] = back.splice(at, 1);
    if (back.length === 0) this.#returning.delete(account.bare);
    this.#drop(account, [found!.id]);
    this.#meetLatecomer(account);
    return true;
  }

  /** The recipient has these. */
  #settle(session: Session, handout: Handout): void {
    if (handout.settled) return;
    const rest = handouts.get(session)?.filter((other) => other !== handout) ?? [];
    handouts.set(session, rest.length === 0 ? undefined : rest);
    this.#remove(session.account, handout.ids);
    close(handout);
  }

  /** Deletes rows; they stay claimed until they are gone. */
  #remove(account: Jid, ids: readonly number[]): void {
    if (ids.length === 0) return;
    const { writes, log } = this.#house;
    this.#store.remove(writes, ids).then(
      () => {
        const count = this.#counts.get(account.bare);
        if (count !== undefined) count.waiting = Math.max(0, count.waiting - ids.length);
        this.#drop(account, ids);
      },
      (error: unknown) => {
        log.warn({ err: error, jid: account.bare }, "Delivered messages could not be deleted; they will come again");
        this.#drop(account, ids);
      },
    );
  }

  #claimsOf(account: Jid): Set<number> {
    let claimed = this.#claimed.get(account.bare);
    if (claimed === undefined) {
      claimed = new Set();
      this.#claimed.set(account.bare, claimed);
    }
    return claimed;
  }

  #drop(account: Jid, ids: readonly number[]): void {
    const claimed = this.#claimed.get(account.bare);
    if (claimed === undefined) return;
    for (const id of ids) claimed.delete(id);
    if (claimed.size === 0) this.#claimed.delete(account.bare);
  }

  async count(account: Jid): Promise<number> {
    await this.#house.writes.flush();
    return this.#store.count(account);
  }

  personalData(account: Jid): PersonalData {
    return this.#store.personalData(account);
  }

  async clear(account: Jid): Promise<number> {
    await this.#house.writes.flush();
    const removed = await this.#store.clear(account);
    this.#counts.delete(account.bare);
    return removed;
  }

  removeExpired(): Promise<number> {
    return this.#store.removeExpired(this.#house.domain, this.#house.clock.now());
  }

  removeOld(before: number): Promise<number> {
    return this.#store.removeOld(this.#house.domain, before);
  }
}

function close(handout: Handout): void {
  handout.settled = true;
  handout.whenSettled?.();
}

/** XEP-0160 example 4. A message that was stored before, and came back unacknowledged, keeps its first stamp. */
function withDelay(domain: string, message: WaitingMessage): Stanza {
  const stanza = stanzaFromFrame(parseFrame(message.stanza, undefined, ns.client));
  if (stanza === undefined) throw new Error("not a stanza");
  if (stanza.has("delay", ns.delay) && stanza.child("delay", ns.delay)!.attr("from") === domain) return stanza;
  return stanza.withChild("delay", ns.delay, delayElement(domain, message.storedAt, "Offline Storage"));
}
