/** Reads one start tag or end tag of XML 1.0 with namespaces from a string; used by the scanner and by the tree parser. */

import {
  CLASS,
  decode,
  isNameChar,
  isNameStart,
  NAME,
  NAME_START,
  passReference,
  passWide,
  STOPS_VALUE,
  WHITESPACE,
} from "./chars.ts";
import { malformed, XmlError } from "./errors.ts";
import { intern } from "./intern.ts";
import type { XmlLimits } from "./limits.ts";

export const XML_NS = "http://www.w3.org/XML/1998/namespace";
export const XMLNS_NS = "http://www.w3.org/2000/xmlns/";

/** For every element without attributes or without children; never written to. */
export const NOTHING: readonly never[] = [];

/** What `readStartTag` found. One object is filled again and again, so take what you need before the next call. */
export class StartTag {
  /** The name as written, prefix included. */
  name = "";
  /** Where the colon is in `name`, or -1. */
  colon = -1;
  /** `<name/>` */
  empty = false;
  /** Flat names as written and decoded values, without namespace declarations; only filled when asked for. */
  attributes: readonly string[] = NOTHING;
  /** The declared default namespace ("" takes it back), or undefined. */
  defaultNs: string | undefined = undefined;
  /** Declared prefixes with their namespaces, flat, or null. */
  prefixes: string[] | null = null;
  /** Names as written of the attributes with a prefix other than `xml`, or null. */
  prefixed: string[] | null = null;
}

/** The colon's index in the name read last, or -1. */
let nameColon = -1;
/** Where the name read last ended. */
let nameEnd = 0;
/** Whether the value passed last holds references or whitespace to normalise. */
let valueDirty = false;

/** Names of the attributes of the tag being read, and the wanted ones with values. Kept to spare allocations. */
const seen: string[] = [];
const wanted: string[] = [];

const INCOMPLETE = -1;

/**
 * Reads the start tag whose `<` is just before `pos` into `tag`. Returns the position after its `>`, or -1 when the text ends
 * before. Checks everything about a tag except that prefixes in use are bound, which needs the elements around it.
 */
export function readStartTag(
  text: string,
  pos: number,
  tag: StartTag,
  limits: XmlLimits,
  wantAttributes: boolean,
): number {
  const end = text.length;
  const name = readName(text, pos, limits);
  if (nameEnd === end) return INCOMPLETE;
  tag.name = name;
  tag.colon = nameColon;
  tag.defaultNs = undefined;
  tag.prefixes = null;
  tag.prefixed = null;
  tag.attributes = NOTHING;
  tag.empty = false;
  pos = nameEnd;
  let seenCount = 0;
  let wantedCount = 0;
  for (;;) {
    let c = text.charCodeAt(pos);
    if (c === 0x3e) {
      if (wantedCount !== 0) tag.attributes = wanted.slice(0, wantedCount);
      return pos + 1;
    }
    if (c === 0x2f) {
      if (pos + 1 === end) return INCOMPLETE;
      if (text.charCodeAt(pos + 1) !== 0x3e) throw malformed("a / in a tag that does not end it");
      if (wantedCount !== 0) tag.attributes = wanted.slice(0, wantedCount);
      tag.empty = true;
      return pos + 2;
    }
    if (c >= 0x80 || (CLASS[c]! & WHITESPACE) === 0)
      throw malformed("attributes without space between them, or a bad name");
    pos = passWhitespace(text, pos + 1);
    if (pos === end) return INCOMPLETE;
    c = text.charCodeAt(pos);
    if (c === 0x3e || c === 0x2f) continue;

    const attribute = readName(text, pos, limits);
    const colon = nameColon;
    pos = passWhitespace(text, nameEnd);
    if (pos === end) return INCOMPLETE;
    if (text.charCodeAt(pos) !== 0x3d) throw malformed("an attribute without a value");
    pos = passWhitespace(text, pos + 1);
    if (pos === end) return INCOMPLETE;
    const quote = text.charCodeAt(pos);
    if (quote !== 0x22 && quote !== 0x27) throw malformed("an attribute value without quotes");
    const start = pos + 1;
    pos = passValue(text, start, quote);
    if (pos === INCOMPLETE) return INCOMPLETE;
    for (let i = 0; i < seenCount; i++) {
      if (seen[i] === attribute) throw malformed("an attribute given twice");
    }
    if (seenCount === limits.attributesMax) throw new XmlError("policy-violation", "too many attributes");
    seen[seenCount++] = attribute;
    if (colon === -1 && attribute === "xmlns") {
      if (pos - start > limits.nameBytesMax) throw namespaceTooLong();
      tag.defaultNs = declaredDefault(valueDirty ? decode(text, start, pos, true) : intern(text, start, pos));
    } else if (colon === 5 && attribute.startsWith("xmlns")) {
      if (pos - start > limits.nameBytesMax) throw namespaceTooLong();
      declarePrefix(tag, attribute.slice(6), valueDirty ? decode(text, start, pos, true) : intern(text, start, pos));
    } else {
      if (colon !== -1 && !(colon === 3 && attribute.startsWith("xml"))) {
        if (tag.prefixed === null) tag.prefixed = [attribute];
        else tag.prefixed.push(attribute);
      }
      if (wantAttributes) {
        wanted[wantedCount] = attribute;
        wanted[wantedCount + 1] = valueDirty ? decode(text, start, pos, true) : text.slice(start, pos);
        wantedCount += 2;
      }
    }
    pos++; // the closing quote
    if (pos === end) return INCOMPLETE;
  }
}

/**
 * Reads the end tag whose `</` is just before `pos` and which must close `name`. Returns the position after its `>`,
 * or -1 when the text ends before.
 */
export function readEndTag(text: string, pos: number, name: string): number {
  const end = text.length;
  const length = name.length;
  for (let i = 0; i < length; i++) {
    if (text.charCodeAt(pos + i) !== name.charCodeAt(i)) {
      if (pos + i >= end) return INCOMPLETE;
      throw malformed("an end tag that does not match its start tag");
    }
  }
  pos += length;
  if (pos < end && text.charCodeAt(pos) === 0x3e) return pos + 1;
  pos = passWhitespace(text, pos);
  if (pos === end) return INCOMPLETE;
  if (text.charCodeAt(pos) !== 0x3e) throw malformed("an end tag that does not match its start tag");
  return pos + 1;
}

export function passWhitespace(text: string, pos: number): number {
  for (;;) {
    const c = text.charCodeAt(pos); // NaN at the end
    if (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) pos++;
    else return pos;
  }
}

/** Reads a name that may have a prefix; sets `nameColon` and `nameEnd`. A name that meets the end of the text is unfinished. */
function readName(text: string, pos: number, limits: XmlLimits): string {
  const start = pos;
  const end = text.length;
  let colon = INCOMPLETE;
  let atStart = true;
  let wide = 0;
  for (; pos < end; pos++) {
    const c = text.charCodeAt(pos);
    if (c < 0x80) {
      const flags = CLASS[c]!;
      if (atStart) {
        if ((flags & NAME_START) === 0) throw malformed("a name that begins with no letter");
        atStart = false;
      } else if ((flags & NAME) === 0) {
        if (c !== 0x3a) break;
        if (colon !== INCOMPLETE) throw malformed("a name with two colons");
        colon = pos - start;
        atStart = true;
      }
    } else {
      const codePoint = text.codePointAt(pos)!;
      if (atStart ? !isNameStart(codePoint) : !isNameChar(codePoint)) throw malformed("a character that no name has");
      atStart = false;
      wide += codePoint < 0x800 ? 1 : 2;
      if (codePoint > 0xffff) pos++;
    }
  }
  if (pos - start + wide > limits.nameBytesMax) throw new XmlError("policy-violation", "a name too long");
  if (atStart && pos < end) throw malformed("a prefix without a name");
  nameColon = colon;
  nameEnd = pos;
  return pos === end ? "" : intern(text, start, pos);
}

/** The position of the closing quote, or -1 when the text ends before; sets `valueDirty`. */
function passValue(text: string, pos: number, quote: number): number {
  const end = text.length;
  valueDirty = false;
  while (pos < end) {
    const c = text.charCodeAt(pos);
    if (c >= 0x80) {
      pos = passWide(text, pos);
    } else if ((CLASS[c]! & STOPS_VALUE) === 0) {
      pos++;
    } else if (c === quote) {
      return pos;
    } else if (c === 0x26) {
      valueDirty = true;
      pos = passReference(text, pos);
      if (pos === INCOMPLETE) return INCOMPLETE;
    } else if (c === 0x22 || c === 0x27) {
      pos++;
    } else if (c === 0x09 || c === 0x0a || c === 0x0d) {
      valueDirty = true;
      pos++;
    } else {
      throw malformed(c === 0x3c ? "a < in an attribute value" : "a character that XML forbids");
    }
  }
  return INCOMPLETE;
}

/**
 * A tree writes its namespaces out where a peer wrote short prefixes, so with one of 200 KB an element of as much became gigabytes.
 */
function namespaceTooLong(): XmlError {
  return new XmlError("policy-violation", "a namespace too long");
}

/** Namespaces in XML 1.0, section 3: two names are reserved. */
function declaredDefault(ns: string): string {
  if (ns === XML_NS || ns === XMLNS_NS) throw malformed("a reserved namespace declared as default");
  return ns;
}

function declarePrefix(tag: StartTag, prefix: string, ns: string): void {
  if (prefix === "xml" ? ns !== XML_NS : ns === XML_NS) throw malformed("the prefix xml bound to another namespace");
  if (prefix === "xmlns" || ns === XMLNS_NS) throw malformed("the prefix xmlns declared");
  if (ns === "") throw malformed("a prefix bound to no namespace");
  if (prefix === "xml") return;
  if (tag.prefixes === null) tag.prefixes = [prefix, ns];
  else tag.prefixes.push(prefix, ns);
}

/**
 * Whether two prefixed attributes have the same expanded name (Namespaces in XML 1.0, 6.3). `namespaces` holds, in
 * order, what the prefixes of `prefixed` are bound to.
 */
export function sameExpandedName(prefixed: readonly string[], namespaces: readonly string[]): boolean {
  for (let i = 1; i < prefixed.length; i++) {
    for (let j = 0; j < i; j++) {
      if (namespaces[i] !== namespaces[j]) continue;
      if (localName(prefixed[i]!) === localName(prefixed[j]!)) return true;
    }
  }
  return false;
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

/** The namespace of a prefix that nobody declared: only `xml` has one. */
export function reservedNs(prefix: string): string {
  if (prefix === "xml") return XML_NS;
  throw malformed("a prefix that is not declared");
}
