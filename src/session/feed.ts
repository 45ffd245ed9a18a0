/**
 * Long answers to a session, such as pages of an archive: one after the other, and no faster than its client takes and acknowledges
 * them. So however many a client asks for at once, what waits for it stays bounded, and it is not cut off.
 */
import { StanzaError } from "../stanza/errors.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type Session, SessionSlot } from "./session.ts";

/** Requests of one session that wait for their turn, and the characters of them. */
export const waitingMost = 500;
const waitingCharsMost = 250_000;

export interface LongAnswer {
  readonly stanzas: readonly Stanza[];
  /** Called when all of them have been written. */
  written?(): void;
}

export interface LongRequest {
  /** How much memory it takes while it waits. */
  readonly chars: number;
  /** Called when its turn has come; `late` when it had to wait for that. */
  answer(late: boolean): Promise<LongAnswer>;
  /** Tells the client that its answer does not come, or does not go on. */
  refuse(error: unknown): MaybePromise<void>;
}

const feeds = new SessionSlot<Feed>("feed");

/**
 * Answers at once where the client has nothing to catch up with, and resolves when the answer is made, so that its stream is read no
 * faster. Otherwise the request waits, and the stream is read on: the acknowledgements come behind it. Throws `StanzaError`, and
 * what `answer` throws.
 */
export function feed(session: Session, request: LongRequest): MaybePromise<void> {
  let own = feeds.get(session);
  if (own === undefined) {
    own = new Feed(session);
    feeds.set(session, own);
  }
  return own.take(request);
}

/** The session is over, or, with an error, about to move: what waits is refused with that. */
export function stopFeed(session: Session, error?: StanzaError): MaybePromise<void> {
  const own = feeds.get(session);
  feeds.set(session, undefined);
  return own?.stop(error);
}

class Feed {
  readonly #session: Session;
  readonly #waiting: LongRequest[] = [];
  #chars = 0;
  #current: LongRequest | undefined = undefined;
  #stopped = false;

  constructor(session: Session) {
    this.#session = session;
  }

  take(request: LongRequest): MaybePromise<void> {
    if (this.#current === undefined && roomOf(this.#session) === undefined) {
      this.#current = request;
      return this.#answer(request);
    }
    if (this.#waiting.length >= waitingMost || this.#chars + request.chars > waitingCharsMost) {
      throw new StanzaError("resource-constraint", { text: "Too many requests wait: acknowledge what was sent" });
    }
    this.#waiting.push(request);
    this.#chars += request.chars;
    if (this.#current === undefined) this.#next();
  }

  async #answer(request: LongRequest): Promise<void> {
    let writing: MaybePromise<void>;
    try {
      writing = this.#write(await request.answer(false));
    } catch (error) {
      if (this.#stopped) return;
      this.#next();
      throw error;
    }
    if (writing === undefined) this.#next();
    else void writing.then(() => this.#next());
  }

  #next(): void {
    if (this.#stopped) return;
    this.#current = this.#waiting.shift();
    if (this.#current === undefined) return;
    this.#chars -= this.#current.chars;
    void this.#answerLate(this.#current);
  }

  async #answerLate(request: LongRequest): Promise<void> {
    await this.#room();
    if (this.#stopped) return;
    try {
      await this.#write(await request.answer(true));
    } catch (error) {
      if (!this.#stopped) await request.refuse(error);
    }
    this.#next();
  }

  /** At once as far as there is room. */
  #write({ stanzas, written }: LongAnswer, from = 0): MaybePromise<void> {
    for (let at = from; at < stanzas.length; at++) {
      if (this.#stopped) return;
      if (roomOf(this.#session) !== undefined) return this.#room().then(() => this.#write({ stanzas, written }, at));
      this.#session.write(stanzas[at]!);
    }
    if (!this.#stopped) written?.();
  }

  async #room(): Promise<void> {
    for (let room = roomOf(this.#session); room !== undefined && !this.#stopped; room = roomOf(this.#session)) {
      await room;
    }
  }

  async stop(error: StanzaError | undefined): Promise<void> {
    this.#stopped = true;
    if (error === undefined) return;
    if (this.#current !== undefined) await this.#current.refuse(error);
    for (const request of this.#waiting) await request.refuse(error);
  }
}

/** Resolves when there may be more room for the client; undefined when there is. */
function roomOf({ outlet, link }: Session): Promise<void> | undefined {
  return outlet?.room?.() ?? link?.room?.();
}
