/** Builds trees of elements from complete text, with every check of XML 1.0 and its namespaces. */

import { CLASS, decode, passReference, passWide, STOPS_TEXT } from "./chars.ts";
import { Element, type Node } from "./element.ts";
import { malformed, restrictedMarkup, XmlError } from "./errors.ts";
import { TRUSTED_LIMITS, type XmlLimits } from "./limits.ts";
import { NOTHING, passWhitespace, readEndTag, readStartTag, reservedNs, StartTag, sameExpandedName } from "./tag.ts";

/**
 * Parses text that is exactly one element, whitespace around it apart, in a place whose default namespace is `defaultNs`.
 * Throws `XmlError`.
 */
export function parseElement(text: string, defaultNs = "", limits: XmlLimits = TRUSTED_LIMITS): Element {
  let found: Element | undefined;
  for (const node of parseContent(text, defaultNs, NOTHING, limits)) {
    if (typeof node === "string") {
      if (!isBlank(node)) throw new XmlError("bad-format", "text beside the element");
    } else if (found === undefined) {
      found = node;
    } else {
      throw malformed("more than one element");
    }
  }
  if (found === undefined) throw malformed("no element");
  return found;
}

/**
 * Parses the inside of an element: any number of elements and texts. `prefixes` are bound outside, flat with their namespaces.
 * Throws `XmlError`.
 */
export function parseContent(
  text: string,
  defaultNs = "",
  prefixes: readonly string[] = NOTHING,
  limits: XmlLimits = TRUSTED_LIMITS,
): Node[] {
  const root: Node[] = [];
  let siblings = root;
  const tag = new StartTag();
  const open: OpenElement[] = [];
  const bindings = [...prefixes];
  let pos = 0;
  while (pos < text.length) {
    if (text.charCodeAt(pos) !== 0x3c) {
      const start = pos;
      pos = passText(text, pos);
      addText(siblings, decode(text, start, pos, false));
      continue;
    }
    const c = text.charCodeAt(pos + 1);
    if (c === 0x2f) {
      const top = open.pop();
      if (top === undefined) throw malformed("an end tag without a start tag");
      pos = complete(readEndTag(text, pos + 2, top.written));
      bindings.length = top.bindings;
      siblings = top.siblings;
    } else if (c === 0x21 || c === 0x3f) {
      if (!text.startsWith("<![CDATA[", pos)) throw restrictedMarkup();
      const end = complete(text.indexOf("]]>", pos + 9));
      checkChars(text, pos + 9, end);
      addText(siblings, normalisedLines(text.slice(pos + 9, end)));
      pos = end + 3;
    } else {
      if (open.length === limits.depthMax) throw new XmlError("policy-violation", "elements nested too deeply");
      pos = complete(readStartTag(text, pos + 1, tag, limits, true));
      const before = bindings.length;
      if (tag.prefixes !== null) {
        for (const part of tag.prefixes) bindings.push(part);
        if (bindings.length > 2 * limits.declaredPrefixesMax)
          throw new XmlError("policy-violation", "too many prefixes");
      }
      const outer = open.length === 0 ? defaultNs : open[open.length - 1]!.defaultNs;
      const inherited = tag.defaultNs ?? outer;
      const element = elementOf(tag, inherited, bindings);
      siblings.push(element);
      if (tag.empty) {
        bindings.length = before;
      } else {
        open.push({ written: tag.name, bindings: before, defaultNs: inherited, siblings });
        siblings = element.children;
      }
    }
  }
  if (open.length !== 0) throw malformed("an element without an end tag");
  return root;
}

/** An element whose end tag has not come yet, with what holds again after it. */
interface OpenElement {
  readonly written: string;
  readonly bindings: number;
  readonly defaultNs: string;
  readonly siblings: Node[];
}

function elementOf(tag: StartTag, defaultNs: string, bindings: readonly string[]): Element {
  const name = tag.name;
  const element =
    tag.colon === -1
      ? new Element(name, defaultNs)
      : new Element(name.slice(tag.colon + 1), bound(bindings, name.slice(0, tag.colon)));
  const flat = tag.attributes;
  for (let i = 0; i < flat.length; i += 2) element.attributes.set(flat[i]!, flat[i + 1]!);
  if (tag.prefixed !== null) {
    const used = new Map<string, string>();
    const namespaces: string[] = [];
    for (const attribute of tag.prefixed) {
      const prefix = attribute.slice(0, attribute.indexOf(":"));
      const ns = bound(bindings, prefix);
      used.set(prefix, ns);
      namespaces.push(ns);
    }
    if (sameExpandedName(tag.prefixed, namespaces)) throw malformed("an attribute given twice under two prefixes");
    element.prefixes = used;
  }
  return element;
}

/** What a prefix is bound to; the innermost binding stands last. */
function bound(bindings: readonly string[], prefix: string): string {
  for (let i = bindings.length - 2; i >= 0; i -= 2) {
    if (bindings[i] === prefix) return bindings[i + 1]!;
  }
  return reservedNs(prefix);
}

/** The end of the character data that begins at `pos`: a `<` or the end of the text. */
function passText(text: string, pos: number): number {
  const end = text.length;
  while (pos < end) {
    const c = text.charCodeAt(pos);
    if (c >= 0x80) pos = passWide(text, pos);
    else if ((CLASS[c]! & STOPS_TEXT) === 0) pos++;
    else if (c === 0x3c) return pos;
    else if (c === 0x26) pos = complete(passReference(text, pos));
    else if (c !== 0x5d) throw malformed("a character that XML forbids");
    else if (text.startsWith("]]>", pos)) throw malformed("]]> in text");
    else pos++;
  }
  return pos;
}

/** Checks what a CDATA section holds. */
function checkChars(text: string, pos: number, end: number): void {
  while (pos < end) {
    const c = text.charCodeAt(pos);
    if (c >= 0x80) pos = passWide(text, pos);
    else if (c >= 0x20 || c === 0x09 || c === 0x0a || c === 0x0d) pos++;
    else throw malformed("a character that XML forbids");
  }
}

/** XML 1.0, 2.11, for text without references. */
function normalisedLines(text: string): string {
  return text.includes("\r") ? text.replaceAll("\r\n", "\n").replaceAll("\r", "\n") : text;
}

function addText(siblings: Node[], text: string): void {
  const last = siblings.length - 1;
  if (last >= 0 && typeof siblings[last] === "string") siblings[last] += text;
  else if (text !== "") siblings.push(text);
}

/** What a reader returned, unless the text ended too early. */
function complete(pos: number): number {
  if (pos === -1) throw malformed("text that ends inside markup");
  return pos;
}

function isBlank(text: string): boolean {
  return passWhitespace(text, 0) === text.length;
}
