/**
 * Finds where the stream's header and each element below it end. It knows tags, quoted attributes and the XML
 * declaration, which is all that a server may send; nothing is checked, so that the load stays cheap.
 */

const LT = 60;
const GT = 62;
const SLASH = 47;
const QUESTION = 63;
const DOUBLE = 34;
const SINGLE = 39;

export interface Pieces {
  /** The opening tag of the stream. */
  header(): void;
  /** An element below the stream is `text.slice(start, end)`. */
  element(text: string, start: number, end: number): void;
  /** The stream's end tag. */
  end(): void;
}

export class Splitter {
  #rest = "";
  /** Elements open around the end of what was fed: 0 before the header. */
  #depth = 0;

  /** A new stream begins, after TLS or SASL. */
  reset(): void {
    this.#rest = "";
    this.#depth = 0;
  }

  feed(chunk: string, pieces: Pieces): void {
    const text = this.#rest === "" ? chunk : this.#rest + chunk;
    this.#rest = "";
    const length = text.length;
    let depth = this.#depth;
    /** The piece at hand begins here, and `depth` was this there. */
    let start = 0;
    let at = 0;
    for (;;) {
      const open = text.indexOf("<", at);
      if (open < 0) {
        // White space between elements is thrown away; text within one is kept.
        if (depth > 1) this.#rest = text.slice(start);
        break;
      }
      if (depth <= 1) start = open;
      const close = tagEnd(text, open + 1, length);
      if (close < 0) {
        this.#rest = text.slice(start);
        break;
      }
      at = close + 1;
      const second = text.charCodeAt(open + 1);
      if (second === QUESTION) continue;
      if (second === SLASH) {
        depth--;
        if (depth === 0) {
          this.#depth = 0;
          pieces.end();
          return;
        }
        if (depth === 1) {
          this.#depth = 1;
          pieces.element(text, start, at);
          if (this.#depth !== 1) return; // reset by whom it was told to
        }
      } else if (text.charCodeAt(close - 1) === SLASH) {
        if (depth === 1) {
          pieces.element(text, start, at);
          if (this.#depth !== 1) return;
        }
      } else {
        depth++;
        if (depth === 1) {
          this.#depth = 1;
          pieces.header();
        }
      }
    }
    // What is kept begins anew with the piece at hand, so it is scanned again from there.
    this.#depth = depth === 0 ? 0 : 1;
  }
}

/** The place of the `>` that ends the tag, past quoted values. */
function tagEnd(text: string, from: number, length: number): number {
  for (let at = from; at < length; at++) {
    const code = text.charCodeAt(at);
    if (code === GT) return at;
    if (code === DOUBLE || code === SINGLE) {
      at = text.indexOf(code === DOUBLE ? '"' : "'", at + 1);
      if (at < 0) return -1;
    } else if (code === LT) throw new Error(`bad XML from the server: ${text.slice(from - 1, at + 20)}`);
  }
  return -1;
}

/** The value of an attribute of the element's own tag; "" if it has none. Servers quote with either kind. */
export function attributeOf(text: string, start: number, name: string): string {
  const end = text.indexOf(">", start);
  const at = text.indexOf(` ${name}=`, start);
  if (at < 0 || at > end) return "";
  const from = at + name.length + 3;
  return text.slice(from, text.indexOf(text[from - 1]!, from));
}

/** The text of the first `<name …>text</name>` in the element; "" if it has none. */
export function textOf(text: string, start: number, end: number, name: string): string {
  const open = text.indexOf(`<${name}`, start);
  if (open < 0 || open >= end) return "";
  const from = text.indexOf(">", open) + 1;
  if (text.charCodeAt(from - 2) === SLASH) return "";
  return text.slice(from, text.indexOf("<", from));
}
