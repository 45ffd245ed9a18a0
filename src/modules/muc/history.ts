/** The newest messages of a room, for those who enter (XEP-0045 sections 7.2.13 and 7.2.14). */
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { delayElement } from "../../stanza/reply.ts";
import { type Stanza, stanzaFromFrame } from "../../stanza/stanza.ts";
import { parseTimestamp } from "../../stanza/timestamp.ts";
import type { Element } from "../../xml/element.ts";
import { parseFrame } from "../../xml/scanner.ts";

interface Remembered {
  readonly at: number;
  /** As it was sent to the occupants; no `to`. */
  readonly stanza: Stanza;
  /** Who said it (XEP-0421); "" when that is not known. */
  readonly occupantId: string;
  /** The id the room gave it, "" for none. */
  readonly id: string;
  /** With its time, made when first needed. */
  delayed: Stanza | undefined;
}

export type HistoryDescription = readonly {
  readonly at: number;
  readonly xml: string;
  readonly occupantId: string;
  readonly id: string;
}[];

/** What one who enters wants at most. */
export interface HistoryLimits {
  readonly stanzas: number;
  readonly chars: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** Characters of the messages that a room remembers; the newest is remembered whatever its size. */
const charsMost = 512 * 1024;

export class History {
  readonly #most: number;
  #messages: Remembered[] = [];
  #chars = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get length(): number {
    return this.#messages.length;
  }

  add(stanza: Stanza, at: number, occupantId: string, id: string): void {
    if (this.#most === 0) return;
    this.#messages.push({ at, stanza, occupantId, id, delayed: undefined });
    this.#chars += stanza.inner.length;
    while (this.#messages.length > this.#most || (this.#chars > charsMost && this.#messages.length > 1)) {
      this.#chars -= this.#messages.shift()!.stanza.inner.length;
    }
  }

  /** The newest messages, oldest first, as they are sent to one who enters: the largest number that keeps all limits. */
  select(room: Jid, limits: HistoryLimits): Stanza[] {
    let chars = 0;
    let from = this.#messages.length;
    while (from > 0 && this.#messages.length - from < limits.stanzas) {
      const message = this.#messages[from - 1]!;
      if (message.at < limits.since) break;
      message.delayed ??= message.stanza.withChild("delay", ns.delay, delayElement(room, message.at));
      chars += message.delayed.toXml().length;
      if (chars > limits.chars) break;
      from--;
    }
    return this.#messages.slice(from).map(({ delayed }) => delayed!);
  }

  /** The message that the room gave this id; undefined when it is not among the newest. */
  find(id: string): Stanza | undefined {
    return this.#messages.find((message) => message.id === id)?.stanza;
  }

  /** Forgets a message that was retracted; `by` is the occupant id of its sender where he himself retracts it. */
  retract(id: string, by: string | undefined): void {
    this.#messages = this.#messages.filter(
      (message) => message.id !== id || (by !== undefined && message.occupantId !== by),
    );
    this.#chars = this.#messages.reduce((sum, { stanza }) => sum + stanza.inner.length, 0);
  }

  describe(): HistoryDescription {
    return this.#messages.map(({ at, stanza, occupantId, id }) => ({ at, xml: stanza.toXml(), occupantId, id }));
  }

  restore(described: HistoryDescription): void {
    for (const { at, xml, occupantId, id } of described) {
      const stanza = stanzaFromFrame(parseFrame(xml, undefined, ns.client));
      if (stanza !== undefined) this.add(stanza, at, occupantId, id);
    }
  }
}

/** What `<history/>` asks for, within what the room gives. Throws `StanzaError` bad-request. */
export function historyLimits(x: Element | undefined, roomMost: number, now: number): HistoryLimits {
  const history = x?.child("history");
  const number = (name: string): number => {
    const text = history?.attr(name);
    if (text === undefined) return Number.POSITIVE_INFINITY;
    if (!/^\d{1,15}$/.test(text)) throw new StanzaError("bad-request", { text: `'${name}' of history is a number` });
    return Number(text);
  };
  const sinceText = history?.attr("since");
  const since = sinceText === undefined ? Number.NEGATIVE_INFINITY : parseTimestamp(sinceText);
  if (since === undefined) throw new StanzaError("bad-request", { text: "'since' of history is a date and time" });
  return {
    stanzas: Math.min(number("maxstanzas"), roomMost),
    chars: number("maxchars"),
    since: Math.max(since, now - number("seconds") * 1000),
  };
}
