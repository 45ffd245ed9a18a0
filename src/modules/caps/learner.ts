/** Finds out what clients can do: from the cache by the hash they advertise, else by asking one of them. */
import type { Log } from "../../observe/log.ts";
import { asItIs, type Session, SessionSlot } from "../../session/session.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Clock } from "../../util/clock.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { type Advertisement, keyOf, verdictOn } from "./advertisement.ts";
import type { CapsCache } from "./caps-cache.ts";

/** Hashes of one client that are looked into within `lookupWindowMs`; more are left unknown. */
const lookupsMax = 10;
const lookupWindowMs = 60_000;

/** What is known of a session's client: its last advertisement, and what came of it. */
interface Known {
  readonly advertised: Advertisement;
  /** Undefined while we ask, and for ever when the answer was none or wrong. */
  readonly features: readonly string[] | undefined;
  readonly settled: boolean;
}

const known = new SessionSlot<Known>("caps", asItIs);

export interface LearnerParts {
  readonly cache: CapsCache;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of what was verified and holds for all clients of that hash. */
  learned(key: string, features: readonly string[]): void;
  /** Sends disco#info to a client; rejects when there is no answer. */
  ask(session: Session, payload: Xml): Promise<Stanza>;
}

export class Learner {
  readonly #parts: LearnerParts;
  /** Sessions that are looked into just now. */
  readonly #busy = new WeakMap<Session, Promise<void>>();
  /** Hashes somebody is asked about just now, so that a thousand equal clients are not. */
  readonly #asked = new Map<string, Promise<void>>();
  readonly #lookups = new WeakMap<Session, { count: number; since: number }>();

  constructor(parts: LearnerParts) {
    this.#parts = parts;
  }

  /** A client has advertised something; undefined when its presence says nothing of it, which changes nothing. */
  seen(session: Session, advertised: Advertisement | undefined): void {
    if (advertised === undefined) return;
    const before = known.get(session);
    if (before !== undefined && keyOf(before.advertised) === keyOf(advertised)) return;
    const cached = this.#parts.cache.get(keyOf(advertised));
    known.set(session, { advertised, features: cached, settled: cached !== undefined });
    if (cached === undefined) void this.#lookInto(session);
  }

  /** The features of a session's client; waits for an answer that is on its way. */
  featuresOf(session: Session): readonly string[] | undefined | Promise<readonly string[] | undefined> {
    const state = known.get(session);
    if (state === undefined || state.settled) return state?.features;
    return this.#lookInto(session).then(() => known.get(session)?.features);
  }

  /** One lookup a session at a time; a newer advertisement is looked into when the one before is done. */
  #lookInto(session: Session): Promise<void> {
    const busy = this.#busy.get(session);
    if (busy !== undefined) return busy;
    const done = this.#untilSettled(session).finally(() => this.#busy.delete(session));
    this.#busy.set(session, done);
    return done;
  }

  async #untilSettled(session: Session): Promise<void> {
    for (let state = known.get(session); state !== undefined && !state.settled; state = known.get(session)) {
      const { advertised } = state;
      const features = await this.#find(session, advertised);
      // The client may have advertised something else meanwhile.
      if (known.get(session)!.advertised === advertised) known.set(session, { advertised, features, settled: true });
    }
  }

  /** Never rejects: what cannot be found out is unknown. */
  async #find(session: Session, advertised: Advertisement): Promise<readonly string[] | undefined> {
    const { cache, log } = this.#parts;
    const key = keyOf(advertised);
    const other = this.#asked.get(key);
    if (other !== undefined) await other;
    const cached = cache.get(key);
    if (cached !== undefined) return cached;
    // Where that one's answer was no good, this client's may be (XEP-0115 section 5.4).
    if (!this.#mayLookUp(session)) {
      log.debug({ jid: session.jid.full }, "a client changes its capabilities too often");
      return undefined;
    }
    const asking = this.#ask(session, advertised);
    if (this.#asked.has(key)) return asking;
    const finished = asking.then(() => {
      this.#asked.delete(key);
    });
    this.#asked.set(key, finished);
    await finished;
    return asking;
  }

  async #ask(session: Session, advertised: Advertisement): Promise<readonly string[] | undefined> {
    const { cache, log } = this.#parts;
    let answer: Stanza;
    try {
      answer = await this.#parts.ask(session, xml`<query xmlns='${ns.discoInfo}' node='${advertised.node}'/>`);
    } catch (error) {
      log.debug({ err: error, jid: session.jid.full }, "a client did not say what it can do");
      return undefined;
    }
    const query = answer.type === "result" ? answer.child("query", ns.discoInfo) : undefined;
    const verdict = verdictOn(advertised, query, languageOf(answer));
    if (verdict.reason !== "verified") {
      log.debug({ jid: session.jid.full, node: advertised.node, reason: verdict.reason }, "capabilities in doubt");
    }
    if (verdict.features !== undefined && verdict.shared) {
      cache.set(keyOf(advertised), verdict.features);
      this.#parts.learned(keyOf(advertised), verdict.features);
    }
    return verdict.features;
  }

  #mayLookUp(session: Session): boolean {
    const now = this.#parts.clock.monotonic();
    const lookups = this.#lookups.get(session);
    if (lookups === undefined || now - lookups.since >= lookupWindowMs) {
      this.#lookups.set(session, { count: 1, since: now });
      return true;
    }
    return ++lookups.count <= lookupsMax;
  }
}

/** `xml:lang` of a stanza, "" when it has none. */
function languageOf(stanza: Stanza): string {
  return / xml:lang='([A-Za-z0-9-]*)'/.exec(stanza.extra)?.[1] ?? "";
}
