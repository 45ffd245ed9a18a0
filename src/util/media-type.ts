/** Media types as HTTP has them (RFC 9110 section 8.3.1). */

const charsMax = 200;
const token = "[A-Za-z0-9!#$&^_.+-]+";
const pattern = new RegExp(`^${token}/${token}(\\s*;\\s*${token}=(${token}|"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"))*$`);

/** Whether a text is a media type. */
export function isMediaType(text: string): boolean {
  return text.length <= charsMax && pattern.test(text);
}

/** Type and subtype, which are what two of them are compared by. */
export function essenceOf(type: string): string {
  return type.split(";", 1)[0]!.trim().toLowerCase();
}
