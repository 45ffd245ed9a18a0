/** Character classes of XML 1.0 (fifth edition, sections 2.2 and 2.3) and its references (4.1, 4.6). */

import { malformed, XmlError } from "./errors.ts";

/** May begin a name; the colon is left out because namespaces give it a meaning of its own. */
export const NAME_START = 1;
/** May continue a name. */
export const NAME = 2;
/** Space, tab, line feed, carriage return. */
export const WHITESPACE = 4;
/** Cannot simply be passed over in character data: `<`, `&`, `]` and characters XML forbids. */
export const STOPS_TEXT = 8;
/** Cannot simply be passed over in an attribute value: quotes, `<`, `&`, whitespace other than space, and characters XML forbids. */
export const STOPS_VALUE = 16;

/** The classes of the ASCII characters, one byte of flags each. */
export const CLASS: Uint8Array = asciiClasses();

/** A reference needs more than this many characters only when padded with zeros; refusing those keeps scanning linear. */
export const REFERENCE_CHARS_MAX = 32;

function asciiClasses(): Uint8Array {
  const table = new Uint8Array(128);
  for (let c = 0; c < 128; c++) {
    const letter = (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || c === 0x5f;
    const digit = c >= 0x30 && c <= 0x39;
    const blank = c === 0x20 || c === 0x09 || c === 0x0a || c === 0x0d;
    const forbidden = c < 0x20 && !blank;
    const markup = c === 0x3c || c === 0x26;
    let flags = 0;
    if (letter) flags |= NAME_START;
    if (letter || digit || c === 0x2d || c === 0x2e) flags |= NAME;
    if (blank) flags |= WHITESPACE;
    if (forbidden || markup || c === 0x5d) flags |= STOPS_TEXT;
    if (forbidden || markup || (blank && c !== 0x20) || c === 0x22 || c === 0x27) flags |= STOPS_VALUE;
    table[c] = flags;
  }
  return table;
}

/** Whether a code point is a character of XML 1.0 at all; a lone surrogate is not. */
export function isChar(codePoint: number): boolean {
  if (codePoint < 0x20) return codePoint === 0x09 || codePoint === 0x0a || codePoint === 0x0d;
  return codePoint <= 0xd7ff || (codePoint >= 0xe000 && codePoint <= 0xfffd) || codePoint >= 0x10000;
}

/** Whether a code point may begin a name, the colon excepted. */
export function isNameStart(c: number): boolean {
  if (c < 0x80) return (CLASS[c]! & NAME_START) !== 0;
  return (
    (c >= 0xc0 && c <= 0x2ff && c !== 0xd7 && c !== 0xf7) ||
    (c >= 0x370 && c <= 0x1fff && c !== 0x37e) ||
    c === 0x200c ||
    c === 0x200d ||
    (c >= 0x2070 && c <= 0x218f) ||
    (c >= 0x2c00 && c <= 0x2fef) ||
    (c >= 0x3001 && c <= 0xd7ff) ||
    (c >= 0xf900 && c <= 0xfdcf) ||
    (c >= 0xfdf0 && c <= 0xfffd) ||
    (c >= 0x10000 && c <= 0xeffff)
  );
}

/** Whether a code point may continue a name, the colon excepted. */
export function isNameChar(c: number): boolean {
  if (c < 0x80) return (CLASS[c]! & NAME) !== 0;
  return isNameStart(c) || c === 0xb7 || (c >= 0x300 && c <= 0x36f) || c === 0x203f || c === 0x2040;
}

/**
 * Steps over one character outside ASCII in text or an attribute value: the position after it.
 * Such a character is 1 or 2 units of the string.
 */
export function passWide(text: string, pos: number): number {
  const c = text.charCodeAt(pos);
  if (c < 0xd800 || (c > 0xdfff && c < 0xfffe)) return pos + 1;
  if (c < 0xdc00) {
    const low = text.charCodeAt(pos + 1);
    if (low >= 0xdc00 && low <= 0xdfff) return pos + 2;
  }
  throw malformed("a character that XML forbids");
}

/** The position after the `;` of the reference whose `&` is at `pos`, or -1 when the text ends before. */
export function passReference(text: string, pos: number): number {
  const stop = Math.min(text.length, pos + REFERENCE_CHARS_MAX);
  let end = pos + 1;
  while (end < stop) {
    const c = text.charCodeAt(end);
    if (c === 0x3b) break;
    if (c !== 0x23 && (c >= 0x80 || (CLASS[c]! & NAME) === 0)) throw malformed("an & that begins no reference");
    end++;
  }
  if (end === stop) {
    if (stop === text.length && stop < pos + REFERENCE_CHARS_MAX) return -1;
    throw new XmlError("policy-violation", `a reference of more than ${REFERENCE_CHARS_MAX} characters`);
  }
  referenced(text, pos, end);
  return end + 1;
}

/** The code point meant by the reference from its `&` at `start` to its `;` at `end`. */
export function referenced(text: string, start: number, end: number): number {
  if (text.charCodeAt(start + 1) !== 0x23) return predefined(text.slice(start + 1, end));
  const hex = text.charCodeAt(start + 2) === 0x78;
  let pos = start + (hex ? 3 : 2);
  if (pos === end) throw malformed("a character reference without a number");
  let codePoint = 0;
  for (; pos < end; pos++) {
    const digit = digitValue(text.charCodeAt(pos), hex);
    if (digit < 0) throw malformed("a character reference that is no number");
    codePoint = codePoint * (hex ? 16 : 10) + digit;
    if (codePoint > 0x10ffff) throw malformed("a reference to a character beyond Unicode");
  }
  if (!isChar(codePoint)) throw malformed("a reference to a character that XML forbids");
  return codePoint;
}

function digitValue(c: number, hex: boolean): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  if (!hex) return -1;
  if (c >= 0x61 && c <= 0x66) return c - 0x57;
  if (c >= 0x41 && c <= 0x46) return c - 0x37;
  return -1;
}

function predefined(name: string): number {
  switch (name) {
    case "amp":
      return 0x26;
    case "lt":
      return 0x3c;
    case "gt":
      return 0x3e;
    case "quot":
      return 0x22;
    case "apos":
      return 0x27;
    case "":
      throw malformed("a reference without a name");
    default:
      throw new XmlError("restricted-xml", "an entity other than the five predefined ones");
  }
}

/**
 * The value an application sees of checked text between `start` and `end`: references replaced, line ends made
 * `\n` (XML 1.0, 2.11), and, in an attribute value, literal whitespace made a space (3.3.3).
 */
export function decode(text: string, start: number, end: number, attribute: boolean): string {
  let out = "";
  let from = start;
  for (let pos = start; pos < end; ) {
    const c = text.charCodeAt(pos);
    if (c === 0x26) {
      const stop = text.indexOf(";", pos);
      out += text.slice(from, pos) + String.fromCodePoint(referenced(text, pos, stop));
      pos = from = stop + 1;
    } else if (c === 0x0d || (attribute && (c === 0x0a || c === 0x09))) {
      out += text.slice(from, pos) + (attribute ? " " : "\n");
      pos += c === 0x0d && pos + 1 < end && text.charCodeAt(pos + 1) === 0x0a ? 2 : 1;
      from = pos;
    } else {
      pos++;
    }
  }
  return from === start ? text.slice(start, end) : out + text.slice(from, end);
}
