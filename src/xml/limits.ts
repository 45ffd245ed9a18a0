/** How much XML one peer may make us hold; a limit that is passed is a `policy-violation` (RFC 6120, 13.12). */

export interface XmlLimits {
  /** Largest top-level element, stream header included, in bytes on the wire. */
  readonly stanzaBytesMax: number;
  /** Deepest nesting of elements; the top-level element itself is depth 1. */
  readonly depthMax: number;
  /** Most attributes of one element, namespace declarations included. */
  readonly attributesMax: number;
  /** Longest name of an element or attribute with its prefix, in bytes of UTF-8; longest namespace, in characters. */
  readonly nameBytesMax: number;
  /** Most namespace prefixes in scope at once, those of the stream header included. */
  readonly declaredPrefixesMax: number;
}

/** For text we composed or accepted before: generous, but enough to keep any parse within its memory and stack. */
export const TRUSTED_LIMITS: XmlLimits = {
  stanzaBytesMax: 64 * 1024 * 1024,
  depthMax: 512,
  attributesMax: 1024,
  nameBytesMax: 4096,
  declaredPrefixesMax: 256,
};
