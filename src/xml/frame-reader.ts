/** Reads one top-level element out of text that may come in pieces, checks it completely, and makes a `Frame` of it. */

import { CLASS, passReference, passWide, STOPS_TEXT } from "./chars.ts";
import { malformed, restrictedMarkup, XmlError } from "./errors.ts";
import { type Frame, rewriteInner } from "./frame.ts";
import { intern, joined, ownText } from "./intern.ts";
import type { XmlLimits } from "./limits.ts";
import { NOTHING, readEndTag, readStartTag, reservedNs, StartTag, sameExpandedName } from "./tag.ts";
import { Pieces, TAIL_END_TAG, TAIL_SHORT, TAIL_START_TAG, wireSize } from "./tail.ts";

/** A reader that has met an element with more children than this is not used again, so that its arrays stay small. */
const REUSE_CHILDREN_MAX = 256;
/** The same for nesting. */
const REUSE_DEPTH_MAX = 64;

const CDATA_START = "<![CDATA[";

const tag = new StartTag();

/**
 * One reader is shared by all scanners as long as elements arrive complete; a scanner whose chunk ends inside an element
 * keeps the reader it has, and the next scanner makes a new one.
 */
let spare: FrameReader | null = null;

/** A reader ready for an element in a place where `defaultNs` and `prefixes` hold. */
export function takeReader(defaultNs: string, prefixes: readonly string[]): FrameReader {
  const reader = spare ?? new FrameReader();
  spare = null;
  reader.contextNs = defaultNs;
  reader.contextPrefixes = prefixes;
  return reader;
}

export class FrameReader {
  /** The default namespace around the element. */
  contextNs = "";
  /** The prefixes bound around the element, flat with their namespaces. */
  contextPrefixes: readonly string[] = NOTHING;

  /** After `read` returned undefined: where the text begins that must be given again with more behind it. */
  keptFrom = 0;
  /** After `read` returned undefined: what kind of markup begins there (a `TAIL_…`), or 0. */
  tailKind = 0;
  /** Bytes taken in so far. */
  bytes = 0;
  /** After `read` returned a frame: the position after it. */
  end = 0;

  #depth = 0;
  /** Names as written and default namespaces of the open elements, by depth. */
  readonly #names: string[] = [];
  readonly #defaults: string[] = [];
  /** Prefixes declared inside, flat with their namespaces, and the depth of each declaration. */
  readonly #prefixes: string[] = [];
  readonly #prefixDepths: number[] = [];
  #prefixCount = 0;
  /** How many of them the top-level element itself declared. */
  #ownPrefixes = 0;

  #name = "";
  #ns = "";
  #attributes: readonly string[] = NOTHING;
  readonly #children: (string | number)[] = [];
  #childCount = 0;
  /** The inside as far as it came in earlier pieces, or null. */
  #held: Pieces | null = null;
  /** What to add to a position in the text to have the position in the inside. */
  #shift = 0;
  #inCdata = false;
  /** Whether the inside leans on declarations outside. */
  #leans = false;

  /**
   * Reads on at `pos`. Returns the frame, with `end` behind it, or undefined when the text ends before: then call again
   * with the text from `keptFrom` on and what came behind it, at position 0. Throws `XmlError`, after which the reader is
   * of no use.
   */
  read(text: string, pos: number, wide: boolean, limits: XmlLimits): Frame | undefined {
    const length = text.length;
    const from = pos;
    let depth = this.#depth;
    for (;;) {
      if (depth !== 0) {
        if (this.#inCdata) {
          pos = this.#passCdata(text, pos);
          if (this.#inCdata) return this.#suspend(text, from, pos, TAIL_SHORT, depth, wide);
        }
        while (pos < length) {
          const c = text.charCodeAt(pos);
          if (c >= 0x80) {
            pos = passWide(text, pos);
          } else if ((CLASS[c]! & STOPS_TEXT) === 0) {
            pos++;
          } else if (c === 0x3c) {
            break;
          } else {
            const next = passSpecial(text, pos, c);
            if (next === -1) return this.#suspend(text, from, pos, TAIL_SHORT, depth, wide);
            pos = next;
          }
        }
        if (pos + 1 >= length) return this.#suspend(text, from, pos, TAIL_SHORT, depth, wide);

        const c = text.charCodeAt(pos + 1);
        if (c === 0x2f) {
          const next = readEndTag(text, pos + 2, this.#names[depth - 1]!);
          if (next === -1) return this.#suspend(text, from, pos, TAIL_END_TAG, depth, wide);
          depth--;
          if (this.#prefixCount !== 0) this.#undeclare(depth);
          if (depth === 1) this.#children[this.#childCount++] = next + this.#shift;
          else if (depth === 0) return this.#finish(text, from, pos, next, wide, limits);
          pos = next;
          continue;
        }
        if (c === 0x21 || c === 0x3f) {
          const next = passCdataStart(text, pos);
          if (next === -1) return this.#suspend(text, from, pos, TAIL_SHORT, depth, wide);
          this.#inCdata = true;
          pos = next;
          continue;
        }
      }

      const next = readStartTag(text, pos + 1, tag, limits, depth === 0);
      if (next === -1) return this.#suspend(text, from, pos, TAIL_START_TAG, depth, wide);
      if (depth >= limits.depthMax) throw new XmlError("policy-violation", "elements nested too deeply");
      if (tag.prefixes !== null) this.#declare(tag.prefixes, depth, limits);
      const declared = tag.defaultNs;
      const inherited = declared !== undefined ? declared : depth === 0 ? this.contextNs : this.#defaults[depth - 1]!;
      let name = tag.name;
      let ns = inherited;
      if (tag.colon !== -1) {
        ns = this.#bound(name.slice(0, tag.colon), depth);
        name = intern(name, tag.colon + 1, name.length);
      }
      if (tag.prefixed !== null) this.#checkPrefixed(tag.prefixed, depth);

      if (depth === 0) {
        this.#ownPrefixes = this.#prefixCount;
        this.#name = name;
        this.#ns = ns;
        this.#attributes = tag.attributes;
        this.#shift = -next;
      } else if (depth === 1) {
        const children = this.#children;
        const count = this.#childCount;
        children[count] = name;
        children[count + 1] = ns;
        children[count + 2] = pos + this.#shift;
        this.#childCount = count + 3;
        if (this.#defaults[0] !== this.#ns) this.#leans = true;
        if (tag.empty) children[this.#childCount++] = next + this.#shift;
      }
      if (tag.empty) {
        if (this.#prefixCount !== 0) this.#undeclare(depth);
        if (depth === 0) return this.#finish(text, from, next, next, wide, limits);
      } else {
        this.#names[depth] = tag.name;
        this.#defaults[depth] = inherited;
        depth++;
      }
      pos = next;
    }
  }

  /** Notes where the text ended; what is before `keptFrom` is complete and goes to the inside. */
  #suspend(text: string, from: number, keptFrom: number, kind: number, depth: number, wide: boolean): undefined {
    this.tailKind = keptFrom === text.length ? 0 : kind;
    this.keptFrom = keptFrom;
    this.#depth = depth;
    if (depth === 0) return undefined;
    this.bytes += wide ? wireSize(text.slice(from, keptFrom), true) : keptFrom - from;
    let innerFrom = 0;
    if (this.#held === null) {
      this.#held = new Pieces();
      innerFrom = -this.#shift;
      this.#attributes = this.#attributes.map(ownText); // else they keep the chunk until the element's end comes
    }
    if (innerFrom < keptFrom) this.#held.add(text.slice(innerFrom, keptFrom));
    this.#shift = this.#held.length;
    return undefined;
  }

  #finish(text: string, from: number, innerEnd: number, end: number, wide: boolean, limits: XmlLimits): Frame {
    const bytes = this.bytes + (wide ? wireSize(text.slice(from, end), true) : end - from);
    if (bytes > limits.stanzaBytesMax) throw new XmlError("policy-violation", "an element too large");
    const held = this.#held;
    const count = this.#childCount;
    let inner = held === null ? text.slice(-this.#shift, innerEnd) : joined(held.join(), text.slice(0, innerEnd));
    let children: readonly (string | number)[] = count === 0 ? NOTHING : this.#children.slice(0, count);
    if (this.#leans) {
      ({ inner, children } = this.#rewritten(inner, limits));
    }
    const frame = { name: this.#name, ns: this.#ns, attributes: this.#attributes, inner, children, bytes };
    this.end = end;
    if (count <= REUSE_CHILDREN_MAX && this.#names.length <= REUSE_DEPTH_MAX) this.#giveBack();
    return frame;
  }

  #giveBack(): void {
    this.contextPrefixes = NOTHING;
    this.bytes = 0;
    this.#depth = 0;
    this.#prefixCount = 0;
    this.#attributes = NOTHING;
    this.#childCount = 0;
    this.#held = null;
    this.#leans = false;
    spare = this;
  }

  #rewritten(inner: string, limits: XmlLimits): { inner: string; children: readonly (string | number)[] } {
    const prefixes = this.contextPrefixes.concat(this.#prefixes.slice(0, 2 * this.#ownPrefixes));
    return rewriteInner(inner, this.#defaults[0]!, prefixes, this.#ns, limits);
  }

  #declare(declared: readonly string[], depth: number, limits: XmlLimits): void {
    for (let i = 0; i < declared.length; i += 2) {
      const count = this.#prefixCount++;
      this.#prefixes[2 * count] = declared[i]!;
      this.#prefixes[2 * count + 1] = declared[i + 1]!;
      this.#prefixDepths[count] = depth;
    }
    if (this.#prefixCount + this.contextPrefixes.length / 2 > limits.declaredPrefixesMax) {
      throw new XmlError("policy-violation", "too many prefixes");
    }
  }

  /** Forgets what the element at `depth` declared. */
  #undeclare(depth: number): void {
    let count = this.#prefixCount;
    while (count !== 0 && this.#prefixDepths[count - 1] === depth) count--;
    this.#prefixCount = count;
  }

  /** What a prefix used at `depth` is bound to; notes when something inside leans on a binding outside. */
  #bound(prefix: string, depth: number): string {
    for (let i = this.#prefixCount - 1; i >= 0; i--) {
      if (this.#prefixes[2 * i] === prefix) {
        if (depth !== 0 && this.#prefixDepths[i] === 0) this.#leans = true;
        return this.#prefixes[2 * i + 1]!;
      }
    }
    const context = this.contextPrefixes;
    for (let i = 0; i < context.length; i += 2) {
      if (context[i] === prefix) {
        if (depth !== 0) this.#leans = true;
        return context[i + 1]!;
      }
    }
    return reservedNs(prefix);
  }

  #checkPrefixed(prefixed: readonly string[], depth: number): void {
    const namespaces: string[] = [];
    for (const name of prefixed) namespaces.push(this.#bound(name.slice(0, name.indexOf(":")), depth));
    if (sameExpandedName(prefixed, namespaces)) throw malformed("an attribute given twice under two prefixes");
  }

  /** Goes on inside a CDATA section: the position after it, or, when it is still open, of what must be looked at again. */
  #passCdata(text: string, pos: number): number {
    const length = text.length;
    for (let c = 0; pos < length; ) {
      c = text.charCodeAt(pos);
      if (c >= 0x80) {
        pos = passWide(text, pos);
      } else if (c === 0x5d) {
        const second = text.charCodeAt(pos + 1);
        if (pos + 1 === length || (second === 0x5d && pos + 2 === length)) return pos;
        if (second === 0x5d && text.charCodeAt(pos + 2) === 0x3e) {
          this.#inCdata = false;
          return pos + 3;
        }
        pos++;
      } else if (c >= 0x20 || c === 0x09 || c === 0x0a || c === 0x0d) {
        pos++;
      } else {
        throw malformed("a character that XML forbids");
      }
    }
    return pos;
  }
}

/** Steps over what stops plain text and is no `<`: the position after it, or -1 when the text ends too early to know. */
function passSpecial(text: string, pos: number, c: number): number {
  if (c === 0x26) return passReference(text, pos);
  if (c !== 0x5d) throw malformed("a character that XML forbids");
  if (pos + 1 === text.length) return -1;
  if (text.charCodeAt(pos + 1) !== 0x5d) return pos + 1;
  if (pos + 2 === text.length) return -1;
  if (text.charCodeAt(pos + 2) === 0x3e) throw malformed("]]> in text");
  return pos + 1;
}

/** RFC 6120, 11.1: of all that begins with `<!` or `<?` only CDATA may occur. */
function passCdataStart(text: string, pos: number): number {
  const stop = Math.min(text.length, pos + CDATA_START.length);
  for (let i = pos + 1; i < stop; i++) {
    if (text.charCodeAt(i) !== CDATA_START.charCodeAt(i - pos)) {
      throw restrictedMarkup();
    }
  }
  return stop === pos + CDATA_START.length ? stop : -1;
}
