/** What the scanner hands out for each top-level element of a stream. */

import { type Node, parseContent } from "./element.ts";
import { XmlError } from "./errors.ts";
import { escapeText } from "./escape.ts";
import type { XmlLimits } from "./limits.ts";

/**
 * One complete top-level element, found without building a tree.
 *
 * Its strings may point into the text of the chunk they came in, and keep all of that chunk (as much as one read from a
 * socket brings) in memory: whoever stores one for longer than a turn of the event loop copies it with `ownText`.
 */
export interface Frame {
  /** Local name. */
  readonly name: string;
  /** Namespace, "" for none. */
  readonly ns: string;
  /**
   * Flat name, value, name, value…: values decoded and normalised, names as written (`xml:lang`), namespace declarations
   * left out. What another prefix than `xml` means is not told: such attributes have no meaning in XMPP (RFC 6120, 8.1).
   */
  readonly attributes: readonly string[];
  /**
   * The text between start tag and end tag, valid as it stands inside any element whose default namespace is `ns`. It is
   * as the peer wrote it unless that leaned on declarations outside; then it was written anew.
   */
  readonly inner: string;
  /** Direct child elements, flat: local name, namespace, start and end (exclusive) in `inner`, and so on. */
  readonly children: readonly (string | number)[];
  /** Size on the wire. */
  readonly bytes: number;
}

/** The value of a frame's attribute, or undefined. */
export function frameAttribute(frame: Frame, name: string): string | undefined {
  const attributes = frame.attributes;
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i] === name) return attributes[i + 1];
  }
  return undefined;
}

/** The inside of a frame that leaned on declarations outside, and where its children are then. */
export interface RewrittenInner {
  readonly inner: string;
  readonly children: readonly (string | number)[];
}

/** What is left of `room` characters beside the namespaces and names of a node, at the least; stops counting below 0. */
function roomBeside(node: Node, ns: string, room: number): number {
  if (typeof node === "string") return room - node.length;
  let left = room - node.name.length - (node.ns === ns ? 0 : node.ns.length);
  for (let index = 0; left >= 0 && index < node.children.length; index++) {
    left = roomBeside(node.children[index]!, node.ns, left);
  }
  return left;
}

/**
 * Writes checked content anew so that it stands in the default namespace `ns` without any prefix bound outside.
 * `defaultNs` and `prefixes` are what held where it came from. Short prefixes can stand for long namespaces, so the result
 * has the limit that the original had.
 */
export function rewriteInner(
  inner: string,
  defaultNs: string,
  prefixes: readonly string[],
  ns: string,
  limits: XmlLimits,
): RewrittenInner {
  let out = "";
  const children: (string | number)[] = [];
  const nodes = parseContent(inner, defaultNs, prefixes, limits);
  let room = limits.stanzaBytesMax;
  for (const node of nodes) {
    // Before anything is written: what is refused must not have cost the time of writing it.
    room = roomBeside(node, ns, room);
    if (room < 0) throw new XmlError("policy-violation", "an element too large without prefixes");
  }
  for (const node of nodes) {
    const start = out.length;
    out += typeof node === "string" ? escapeText(node) : node.toXml(ns);
    if (out.length > limits.stanzaBytesMax)
      throw new XmlError("policy-violation", "an element too large without prefixes");
    if (typeof node !== "string") children.push(node.name, node.ns, start, out.length);
  }
  return { inner: out, children };
}
