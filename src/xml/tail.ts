/** Text that arrived in pieces, put together in linear time and with little memory however small the pieces are. */

import { Buffer } from "node:buffer";
import { malformed } from "./errors.ts";
import { ownText } from "./intern.ts";

const PIECES_MAX = 256;

/** Strings to be joined, 256 at a time so that many tiny ones do not cost an array slot each. */
export class Pieces {
  /** Characters so far. */
  length = 0;
  #joined = "";
  #recent: string[] = [];

  add(text: string): void {
    this.length += text.length;
    this.#recent.push(ownText(text)); // else one byte of an unfinished element would keep the chunk it came in
    if (this.#recent.length === PIECES_MAX) {
      this.#joined += this.#recent.join("");
      this.#recent = [];
    }
  }

  join(): string {
    return this.#recent.length === 0 ? this.#joined : this.#joined + this.#recent.join("");
  }
}

/** Something short: look again whenever more text has come. */
export const TAIL_SHORT = 1;
/** A start tag: complete at a `>` outside quotes. */
export const TAIL_START_TAG = 2;
/** An end tag: complete at a `>`. */
export const TAIL_END_TAG = 3;

/** Markup that began and whose end has not come yet. What was searched is never searched again. */
export class Tail {
  /** Size on the wire so far. */
  bytes = 0;
  /** Whether there is a character outside ASCII in it. */
  wide = false;
  readonly #kind: number;
  readonly #pieces = new Pieces();
  /** The quote that is open in a start tag, or 0. */
  #quote = 0;

  constructor(kind: number, text: string, wide: boolean) {
    this.#kind = kind;
    if (kind === TAIL_START_TAG) this.#findTagEnd(text, 1); // 1: its own "<"
    this.#keep(text, wide);
  }

  /** Whether the markup may be complete together with `text`; if not, `text` has been taken in. */
  completedBy(text: string, wide: boolean): boolean {
    switch (this.#kind) {
      case TAIL_START_TAG:
        if (this.#findTagEnd(text, 0)) return true;
        break;
      case TAIL_END_TAG:
        if (text.includes(">")) return true;
        break;
      default:
        return true;
    }
    this.#keep(text, wide);
    return false;
  }

  join(): string {
    return this.#pieces.join();
  }

  #keep(text: string, wide: boolean): void {
    this.#pieces.add(text);
    this.bytes += wireSize(text, wide);
    this.wide ||= wide;
  }

  /** In a well-formed tag quotes stand around values only; in any other the whole tag is refused when it is read. */
  #findTagEnd(text: string, pos: number): boolean {
    let quote = this.#quote;
    for (; pos < text.length; pos++) {
      const c = text.charCodeAt(pos);
      if (c === 0x3c) throw malformed("a < inside a tag");
      if (quote !== 0) {
        if (c === quote) quote = 0;
      } else if (c === 0x22 || c === 0x27) {
        quote = c;
      } else if (c === 0x3e) {
        return true;
      }
    }
    this.#quote = quote;
    return false;
  }
}

/** The size of text in UTF-8, quick when it is known to be ASCII. */
export function wireSize(text: string, wide: boolean): number {
  return wide ? Buffer.byteLength(text, "utf8") : text.length;
}
