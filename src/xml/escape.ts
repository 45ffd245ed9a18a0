/** Turns any string into character data or an attribute value of XML 1.0; what XML forbids becomes U+FFFD. */

/** Escapes a string for use between tags. Carriage returns survive the receiver's line-end normalisation. */
export function escapeText(value: string): string {
  return escaped(value, false);
}

/** Escapes a string for use in an attribute value between quotes of either kind. Tabs and line ends survive normalisation. */
export function escapeAttribute(value: string): string {
  return escaped(value, true);
}

function escaped(value: string, attribute: boolean): string {
  const length = value.length;
  let out = "";
  let from = 0;
  for (let pos = 0; pos < length; pos++) {
    const c = value.charCodeAt(pos);
    if (c > 0x3e && c < 0xd800) continue;
    if (c >= 0xd800 && c < 0xdc00) {
      const low = value.charCodeAt(pos + 1);
      if (low >= 0xdc00 && low <= 0xdfff) {
        pos++;
        continue;
      }
    }
    const replacement = replacementOf(c, attribute);
    if (replacement === "") continue;
    out += value.slice(from, pos) + replacement;
    from = pos + 1;
  }
  return from === 0 ? value : out + value.slice(from);
}

/** What must stand for the code unit, or "" when it may stay. Half a surrogate pair must not. */
function replacementOf(c: number, attribute: boolean): string {
  switch (c) {
    case 0x26:
      return "&amp;";
    case 0x3c:
      return "&lt;";
    case 0x3e:
      return "&gt;"; // needed after "]]" only; always done because most parsers' authors expect it
    case 0x27:
      return attribute ? "&apos;" : "";
    case 0x22:
      return attribute ? "&quot;" : "";
    case 0x09:
      return attribute ? "&#9;" : "";
    case 0x0a:
      return attribute ? "&#10;" : "";
    case 0x0d:
      return "&#13;";
    default:
      return c < 0x20 || (c >= 0xd800 && c <= 0xdfff) || c >= 0xfffe ? "\ufffd" : "";
  }
}
