/** Makes a `Frame` of complete text: a WebSocket message (RFC 7395, 3.3), or a stanza that we wrote ourselves. */

import { Buffer } from "node:buffer";
import { passDeclaration } from "./declaration.ts";
import { malformed, restrictedMarkup, XmlError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { takeReader } from "./frame-reader.ts";
import { TRUSTED_LIMITS, type XmlLimits } from "./limits.ts";
import { NOTHING, passWhitespace } from "./tag.ts";

/**
 * Reads text that is exactly one element, white space around it and an XML declaration before it apart, in a place where
 * `defaultNs` and no prefixes hold. Throws `XmlError`.
 */
export function parseFrame(text: string, limits: XmlLimits = TRUSTED_LIMITS, defaultNs = ""): Frame {
  const bytes = Buffer.byteLength(text, "utf8");
  let pos = passWhitespace(text, 0);
  if (text.startsWith("<?xml")) pos = passWhitespace(text, Math.max(passDeclaration(text, 0), 0));
  if (bytes - pos > limits.stanzaBytesMax) throw new XmlError("policy-violation", "an element too large");
  if (text.charCodeAt(pos) !== 0x3c) throw malformed("text where an element must be");
  const c = text.charCodeAt(pos + 1);
  if (c === 0x21 || c === 0x3f) throw restrictedMarkup();
  const reader = takeReader(defaultNs, NOTHING);
  const frame = reader.read(text, pos, bytes !== text.length, limits);
  if (frame === undefined) throw malformed("an incomplete element");
  const end = passWhitespace(text, reader.end);
  if (end === text.length) return frame;
  if (text.charCodeAt(end) !== 0x3c) throw malformed("text after the element");
  const after = text.charCodeAt(end + 1);
  throw after === 0x21 || after === 0x3f ? restrictedMarkup() : malformed("more than one element");
}
