/** What an XML parser that others wrote (saxes) says about a stream, put so that our scanner's verdict can be compared. */

import { type Buffer, isUtf8 } from "node:buffer";
import { SaxesParser, type SaxesTagNS } from "saxes";
import { REFERENCE_CHARS_MAX } from "../../src/xml/chars.ts";
import { Element } from "../../src/xml/element.ts";

/** A stream that was read to the end of its root element, as a tree; or undefined when it is refused or incomplete. */
export type Verdict = Element | undefined;

/** The verdict on a document about which saxes is known to be wrong. */
export const INCOMPARABLE = "incomparable";

/** In a well-formed document only padding makes a reference this long. */
const LONG_REFERENCE = new RegExp(`&#[x0-9a-fA-F]{${REFERENCE_CHARS_MAX - 2},}`);

/**
 * Judges a whole stream. Where RFC 6120 or our documentation is stricter or laxer than an XML parser, the list is:
 *
 *  1. comments, processing instructions and document types are refused (RFC 6120, 11.1);
 *  2. between the elements of a stream only literal white space may stand, no reference and no CDATA;
 *  3. a byte order mark is a character like any other (RFC 6120, 11.6), so none may come first;
 *  4. the version must be 1.0 and the encoding UTF-8, by declaration and in fact;
 *  5. what follows the root element's end is ignored;
 *  6. references longer than `REFERENCE_CHARS_MAX` are refused;
 *  7. of attributes with a prefix, on the root and on top-level elements, only the name as written is compared.
 *
 * And where saxes departs from Namespaces in XML 1.0:
 *
 *  8. it takes white space off both ends of a namespace, so documents with such a namespace are incomparable;
 *  9. it lets anything that may continue a name follow its colon, so that is checked here.
 */
export function judge(bytes: Buffer): Verdict | typeof INCOMPARABLE {
  let valid = bytes.length;
  while (valid > 0 && !isUtf8(bytes.subarray(0, valid))) valid--;
  const text = bytes.toString("utf8", 0, valid);
  if (text.startsWith("\ufeff")) return undefined; // 3

  const parser = new SaxesParser({ xmlns: true, position: true });
  const open: Element[] = [];
  let root: Element | undefined;
  let finished = false;
  let finishedAt = 0;
  let refused = false;
  let incomparable = false;
  const refuse = () => {
    if (!finished) refused = true; // 5
  };
  parser.on("error", (error) => {
    // It closes an element first and complains about the name of the end tag then.
    if (finished && parser.position === finishedAt && error.message.includes("unexpected close tag")) refused = true;
    refuse();
  });
  parser.on("comment", refuse); // 1
  parser.on("processinginstruction", refuse); // 1
  parser.on("doctype", refuse); // 1
  parser.on("xmldecl", ({ version, encoding }) => {
    if (version !== "1.0" || (encoding !== undefined && encoding.toLowerCase() !== "utf-8")) refuse(); // 4
  });
  parser.on("attribute", ({ name, value }) => {
    if (!finished && name.startsWith("xmlns") && value !== value.trim()) incomparable = true; // 8
    if (!beginsLocalName(name)) refuse(); // 9
  });
  parser.on("opentag", (tag) => {
    if (finished) return;
    if (!beginsLocalName(tag.name)) refuse(); // 9
    const element = elementOf(tag, open.length > 1);
    open[open.length - 1]?.children.push(element);
    open.push(element);
    root ??= element;
  });
  parser.on("closetag", () => {
    open.pop();
    if (open.length !== 0 || finished) return;
    finished = true;
    finishedAt = parser.position;
  });
  parser.on("text", (value) => {
    if (open.length > 1) open[open.length - 1]!.children.push(value);
    else if (!finished && /[^ \t\r\n]/.test(value)) refuse(); // 2
  });
  parser.on("cdata", (value) => {
    if (open.length > 1) open[open.length - 1]!.children.push(value);
    else refuse(); // 2
  });
  parser.write(text);
  if (incomparable) return INCOMPARABLE;
  if (!finished || refused) return undefined;
  if (LONG_REFERENCE.test(text)) return undefined; // 6
  return referenceBetween(text) ? undefined : root;
}

const judgedNames = new Map<string, boolean>();
const JUDGED_NAMES_MAX = 10_000;

/** Whether what follows the colon of a name could be a name itself: without a colon before it saxes knows. */
function beginsLocalName(name: string): boolean {
  const colon = name.indexOf(":");
  if (colon === -1) return true;
  const local = name.slice(colon + 1);
  let good = judgedNames.get(local);
  if (good === undefined) {
    const parser = new SaxesParser();
    let failed = false;
    parser.on("error", () => {
      failed = true;
    });
    parser.write(`<${local}/>`).close();
    good = !failed;
    if (judgedNames.size === JUDGED_NAMES_MAX) judgedNames.clear();
    judgedNames.set(local, good);
  }
  return good;
}

function elementOf(tag: SaxesTagNS, keepPrefixes: boolean): Element {
  const element = new Element(tag.local, tag.uri);
  for (const attribute of Object.values(tag.attributes)) {
    if (attribute.prefix === "xmlns" || attribute.name === "xmlns") continue;
    element.attributes.set(attribute.name, attribute.value);
    if (keepPrefixes && attribute.prefix !== "" && attribute.prefix !== "xml") {
      element.prefixes ??= new Map();
      element.prefixes.set(attribute.prefix, attribute.uri);
    }
  }
  return element;
}

/** Whether a well-formed stream has a reference between its elements, which the parser reports like a literal character. */
function referenceBetween(text: string): boolean {
  let depth = 0;
  for (let pos = 0; pos < text.length; pos++) {
    const c = text[pos];
    if (c === "&" && depth === 1) return true;
    if (c !== "<") continue;
    if (text.startsWith("<![CDATA[", pos)) {
      pos = text.indexOf("]]>", pos) + 2;
    } else if (text[pos + 1] === "?") {
      pos = text.indexOf("?>", pos) + 1;
    } else {
      let quote = "";
      const closing = text[pos + 1] === "/";
      for (pos++; quote !== "" || text[pos] !== ">"; pos++) {
        const d = text[pos]!;
        if (quote !== "") quote = d === quote ? "" : quote;
        else if (d === "'" || d === '"') quote = d;
      }
      if (closing) depth--;
      else if (text[pos - 1] !== "/") depth++;
      if (depth === 0) return false;
    }
  }
  return false;
}
