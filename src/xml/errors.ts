/** What can be wrong with XML on a stream, named by the stream error of RFC 6120, section 4.9.3. */

/**
 * - `not-well-formed`: breaks XML 1.0 or Namespaces in XML 1.0 (RFC 6120, 4.9.3.13)
 * - `restricted-xml`: a comment, processing instruction, DTD or unknown entity (4.9.3.18, 11.1)
 * - `policy-violation`: over one of the limits (4.9.3.14)
 * - `unsupported-encoding`: bytes that are not UTF-8, or a declaration of another encoding (4.9.3.22)
 * - `bad-format`: well-formed, but no element: text between the elements of a stream (4.9.3.1)
 */
export type XmlCondition =
  | "not-well-formed"
  | "restricted-xml"
  | "policy-violation"
  | "unsupported-encoding"
  | "bad-format";

/** Input that is refused. `condition` is the stream error to answer; the message is for people and never quotes the input. */
export class XmlError extends Error {
  override readonly name = "XmlError";
  readonly condition: XmlCondition;

  constructor(condition: XmlCondition, message: string) {
    super(message);
    this.condition = condition;
  }
}

/** The error for input that breaks XML 1.0 or Namespaces in XML 1.0. */
export function malformed(message: string): XmlError {
  return new XmlError("not-well-formed", message);
}

/** The error for what RFC 6120, 11.1, keeps out of streams. */
export function restrictedMarkup(): XmlError {
  return new XmlError("restricted-xml", "a comment, processing instruction or document type");
}
