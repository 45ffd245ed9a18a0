/**
 * Test messages, and the account of them. Each body is "MK", the sender's number (8 hex digits), a sequence number (8),
 * the time it was due in microseconds (14) and filler up to the wanted size; a message that is lost, doubled, overtaken
 * or changed is noticed by whoever receives, one by one.
 */
import { Histogram } from "../measure/statistics.ts";

const mark = "MK";
const headLength = mark.length + 8 + 8 + 14;
export const bodyBytesMin = headLength;

export interface Verdict {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly damaged: number;
  readonly bounced: number;
}

/** What one receiver has had of one sender. */
interface Account {
  next: number;
  /** Passed over so far: lost, unless they come late. */
  missing: Set<number> | undefined;
}

export function microseconds(): number {
  return Math.floor(performance.now() * 1000);
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

/** Messages from a fixed sender to a fixed recipient. */
export class Outbox {
  readonly #head: string;
  readonly #sender: string;
  readonly #tail: string;
  sequence = 0;

  constructor(sender: number, to: string, type: "chat" | "groupchat", bodyBytes: number) {
    this.#head = `<message to='${to}' type='${type}' id='m`;
    this.#sender = hex(sender, 8);
    this.#tail = `${fillerOf(bodyBytes)}</body></message>`;
  }

  next(due: number): string {
    const sequence = hex(this.sequence++, 8);
    return `${this.#head}${sequence}'><body>${mark}${this.#sender}${sequence}${hex(due, 14)}${this.#tail}`;
  }
}

function fillerOf(bodyBytes: number): string {
  return "x".repeat(Math.max(0, bodyBytes - headLength));
}

export class Ledger {
  sent = 0;
  received = 0;
  /** Microseconds from when a message was due. */
  readonly latency = new Histogram();
  #duplicated = 0;
  #reordered = 0;
  #damaged = 0;
  #bounced = 0;
  readonly #filler: string;
  readonly #accounts = new Map<number, Account>();
  readonly #complain: (text: string) => void;
  #complaints = 0;

  constructor(bodyBytes: number, complain: (text: string) => void) {
    this.#filler = fillerOf(bodyBytes);
    this.#complain = complain;
  }

  /**
   * Takes a message that `receiver` got, where only `sender` writes to it. True if it is a test message that had not
   * come before.
   */
  take(receiver: number, sender: number, text: string, start: number, end: number, now: number): boolean {
    const body = text.indexOf("<body>", start) + 6;
    if (body < 6 || body >= end) {
      if (text.slice(start, end).includes("type='error'")) this.#bounce(text, start, end);
      return false; // A chat state, the subject of a room and the like.
    }
    const at = body + mark.length;
    const bodyEnd = body + headLength + this.#filler.length;
    if (
      !text.startsWith(mark, body) ||
      Number.parseInt(text.slice(at, at + 8), 16) !== sender ||
      !text.startsWith(this.#filler, body + headLength) ||
      !text.startsWith("</body>", bodyEnd)
    ) {
      if (/^<message[^>]* type=['"]error['"]/.test(text.slice(start, end))) this.#bounce(text, start, end);
      else {
        this.#damaged++;
        this.#say(`u${receiver} got a damaged or misrouted message`, text.slice(start, end));
      }
      return false;
    }
    const sequence = Number.parseInt(text.slice(at + 8, at + 16), 16);
    if (!this.#count(receiver, sender, sequence)) {
      this.#duplicated++;
      this.#say(`u${receiver} got a message twice`, text.slice(start, end));
      return false;
    }
    this.received++;
    this.latency.add(now - Number.parseInt(text.slice(at + 16, at + 30), 16));
    return true;
  }

  verdict(): Verdict {
    return {
      sent: this.sent,
      received: this.received,
      lost: Math.max(0, this.sent - this.received),
      duplicated: this.#duplicated,
      reordered: this.#reordered,
      damaged: this.#damaged,
      bounced: this.#bounced,
    };
  }

  #count(receiver: number, sender: number, sequence: number): boolean {
    const key = receiver * 0x100000 + sender;
    let account = this.#accounts.get(key);
    if (account === undefined) {
      account = { next: 0, missing: undefined };
      this.#accounts.set(key, account);
    }
    if (sequence === account.next) {
      account.next++;
      return true;
    }
    if (sequence > account.next) {
      account.missing ??= new Set();
      for (let passed = account.next; passed < sequence; passed++) account.missing.add(passed);
      account.next = sequence + 1;
      return true;
    }
    if (account.missing?.delete(sequence) !== true) return false;
    this.#reordered++;
    return true;
  }

  #bounce(text: string, start: number, end: number): void {
    this.#bounced++;
    this.#say("a message came back", text.slice(start, end));
  }

  #say(what: string, element: string): void {
    if (this.#complaints++ < 3) this.#complain(`${what}: ${element}`);
  }
}

/** The words of what went wrong; undefined if nothing did. */
export function complaintOf(verdict: Verdict): string | undefined {
  const { lost, duplicated, reordered, damaged, bounced } = verdict;
  const wrong = Object.entries({ lost, duplicated, reordered, damaged, bounced }).filter(([, count]) => count > 0);
  return wrong.length === 0 ? undefined : wrong.map(([what, count]) => `${count} ${what}`).join(", ");
}
