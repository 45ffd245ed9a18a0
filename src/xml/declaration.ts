/** The XML declaration (XML 1.0, 2.8; RFC 6120, 11.5 and 11.6). */

import { malformed, XmlError } from "./errors.ts";

/** Nobody needs more; refusing more keeps scanning linear. */
export const DECLARATION_CHARS_MAX = 256;

// Once per stream, and on a bounded text.
const DECLARATION =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:'([^'<&]*)'|"([^"<&]*)")(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:'([A-Za-z][A-Za-z0-9._-]*)'|"([A-Za-z][A-Za-z0-9._-]*)"))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:'(?:yes|no)'|"(?:yes|no)"))?[ \t\r\n]*\?>$/;

/**
 * Passes the declaration that may stand at `pos`, the very beginning of a document. Returns the position after it, `pos`
 * when there is none, or -1 when the text ends too early to know.
 */
export function passDeclaration(text: string, pos: number): number {
  const start = "<?xml";
  for (let i = 0; i < start.length; i++) {
    if (pos + i === text.length) return -1;
    if (text.charCodeAt(pos + i) === start.charCodeAt(i)) continue;
    if (i < 2) return pos;
    throw new XmlError("restricted-xml", "a processing instruction");
  }
  const end = text.indexOf("?>", pos);
  if ((end === -1 ? text.length : end) - pos > DECLARATION_CHARS_MAX) {
    throw new XmlError("policy-violation", "an XML declaration too long");
  }
  if (end === -1) return -1;
  const found = DECLARATION.exec(text.slice(pos, end + 2));
  if (found === null) throw malformed("an XML declaration that is none");
  if ((found[1] ?? found[2]) !== "1.0") throw malformed("an XML version other than 1.0");
  const encoding = found[3] ?? found[4];
  if (encoding !== undefined && encoding.toLowerCase() !== "utf-8") {
    throw new XmlError("unsupported-encoding", "an encoding other than UTF-8");
  }
  return end + 2;
}
