/** PRECIS string classes and profiles (RFC 8264, RFC 8265) and IDNA2008 domain names (RFC 5890–5893) for addresses (RFC 7622). */
import { createRequire } from "node:module";
import { isIPv6 } from "node:net";

/** The most bytes of UTF-8 one part of an address may have, RFC 7622 section 3.1. */
export const jidPartBytesMax = 1023;

// One bit per question about an ASCII character, so that ordinary addresses need no Unicode tables.
const inLocal = 1;
const inDomain = 2;
const inResource = 4;
const upper = 8;
const asciiClass = new Uint8Array(128);
for (let code = 0x20; code < 0x7f; code++) {
  const char = String.fromCharCode(code);
  let bits = inResource;
  // RFC 7622 section 3.3.1 takes these out of the localpart, the IdentifierClass has no space.
  if (!" \"&'/:<>@".includes(char)) bits |= inLocal;
  // The underscore is not in RFC 5890's LDH, but hosts of Compose and of many intranets have it, and peers accept it.
  if (/[A-Za-z0-9._-]/.test(char)) bits |= inDomain;
  if (/[A-Z]/.test(char)) bits |= upper;
  asciiClass[code] = bits;
}

/** All bits of `mask` hold for each character: `asciiPlain` as it stands, `asciiUpper` after lower-casing; else `notAscii` or `asciiBad`. */
const asciiPlain = 0;
const asciiUpper = 1;
const notAscii = 2;
const asciiBad = 3;

function scanAscii(text: string, mask: number): number {
  let seen = 0;
  let bad = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return notAscii;
    const bits = asciiClass[code] as number;
    if ((bits & mask) === 0) bad = true;
    seen |= bits;
  }
  if (bad) return asciiBad;
  return seen & upper ? asciiUpper : asciiPlain;
}

/** The localpart in its UsernameCaseMapped form (RFC 8265 section 3.3, RFC 7622 section 3.3), or undefined when it is none. */
export function prepareLocal(text: string): string | undefined {
  if (text.length === 0 || text.length > jidPartBytesMax) return undefined;
  const verdict = scanAscii(text, inLocal);
  if (verdict === asciiPlain) return text;
  if (verdict === asciiUpper) return text.toLowerCase();
  return verdict === asciiBad ? undefined : stable(text, mapLocal);
}

/** The resourcepart in its OpaqueString form (RFC 8265 section 4.2, RFC 7622 section 3.4), or undefined when it is none. */
export function prepareResource(text: string): string | undefined {
  if (text.length === 0 || text.length > jidPartBytesMax) return undefined;
  const verdict = scanAscii(text, inResource);
  if (verdict === asciiPlain || verdict === asciiUpper) return text;
  return verdict === asciiBad ? undefined : stable(text, mapOpaque);
}

/**
 * The domainpart: lower-case U-labels without a trailing dot, an IPv4 address, or an IPv6 address in brackets
 * (RFC 7622 section 3.2), or undefined when it is none.
 */
export function prepareDomain(text: string): string | undefined {
  if (text.length === 0 || text.length > jidPartBytesMax + 1) return undefined;
  if (text.charCodeAt(0) === 0x5b) return prepareIpv6(text);
  const verdict = scanAscii(text, inDomain);
  if (verdict === asciiBad) return undefined;
  if (verdict === notAscii) return prepareIdn(text);
  const lower = verdict === asciiUpper ? text.toLowerCase() : text;
  if (lower.includes("xn--")) return prepareIdn(lower);
  const name = lower.charCodeAt(lower.length - 1) === 0x2e ? lower.slice(0, -1) : lower;
  return labelsFit(name) ? name : undefined;
}

/** No label is empty, longer than 63 characters, or begins or ends with a hyphen. For ASCII names. */
function labelsFit(name: string): boolean {
  if (name.length === 0 || name.length > jidPartBytesMax) return false;
  let start = 0;
  for (let index = 0; index <= name.length; index++) {
    if (index < name.length && name.charCodeAt(index) !== 0x2e) continue;
    if (index === start || index - start > 63) return false;
    if (name.charCodeAt(start) === 0x2d || name.charCodeAt(index - 1) === 0x2d) return false;
    start = index + 1;
  }
  return true;
}

function prepareIpv6(text: string): string | undefined {
  if (!text.endsWith("]")) return undefined;
  const address = text.slice(1, -1);
  // A zone id names an interface of one machine; it has no meaning in an address others see.
  return isIPv6(address) && !address.includes("%") ? text.toLowerCase() : undefined;
}

/** RFC 8264 section 7: mappings are not always idempotent, so they are applied until the text stands, at most four times. */
function stable(text: string, map: (text: string) => string | undefined): string | undefined {
  let before = text;
  for (let round = 0; round < 4; round++) {
    const after = map(before);
    if (after === undefined) return undefined;
    if (after === before) return Buffer.byteLength(after) <= jidPartBytesMax ? after : undefined;
    before = after;
  }
  return undefined;
}

function mapLocal(text: string): string | undefined {
  // Width, case, normalisation, direction: the order of RFC 8265 section 3.3.2. ("toLowerCase" knows the final sigma.)
  const mapped = narrow(text).toLowerCase().normalize("NFC");
  if (mapped.length === 0 || /["&'/:<>@]/.test(mapped)) return undefined;
  if (!identifierText.test(mapped) || !contextFits(mapped)) return undefined;
  return rightToLeft(mapped) && !bidiRuleHolds(mapped) ? undefined : mapped;
}

function mapOpaque(text: string): string | undefined {
  const mapped = text.replace(/\p{Zs}/gu, " ").normalize("NFC");
  return freeformText.test(mapped) && contextFits(mapped) ? mapped : undefined;
}

/** Full-width and half-width characters become their ordinary forms; half-width Hangul stays, and is then refused, as its mapping would be. */
function narrow(text: string): string {
  return text.replace(/[\uFF01-\uFF5E\uFF61-\uFF9F]/g, (char) => char.normalize("NFKC"));
}

// The derived property of RFC 8264 section 8, spelled as character classes: Exceptions (F) first, then what is refused, then what is
// accepted. HasCompat (Q) is a question about normalisation, not a class; `hasCompat` answers it.
const exceptionsValid = "\\u00DF\\u03C2\\u06FD\\u06FE\\u0F0B\\u3007";
const contextual = "\\u00B7\\u0375\\u05F3\\u05F4\\u30FB\\u0660-\\u0669\\u06F0-\\u06F9\\u200C\\u200D";
const exceptionsRefused = "\\u0640\\u07FA\\u302E\\u302F\\u3031-\\u3035\\u303B";
const oldHangulJamo = "\\u1100-\\u11FF\\uA960-\\uA97C\\uD7B0-\\uD7C6\\uD7CB-\\uD7FB";
const letterDigits = "\\p{Ll}\\p{Lu}\\p{Lo}\\p{Nd}\\p{Lm}\\p{Mn}\\p{Mc}";
const refused = `[${exceptionsRefused}${oldHangulJamo}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}\\p{Cc}]`;

const identifierPattern = new RegExp(
  `^(?:[${exceptionsValid}${contextual}\\u0021-\\u007E]|(?!${refused})[${letterDigits}])*$`,
  "u",
);
const freeformPattern = new RegExp(
  `^(?:[${exceptionsValid}${contextual}]|(?!${refused})[${letterDigits}\\p{Lt}\\p{Nl}\\p{No}\\p{Me}\\p{Zs}\\p{S}\\p{P}])*$`,
  "u",
);
// IDNA2008's property, RFC 5892 section 3; "Unstable" and "IgnorableProperties" are what changes under NFKC_Casefold, and white space.
const domainRefused = `[${exceptionsRefused}${oldHangulJamo}\\p{Changes_When_NFKC_Casefolded}\\p{Default_Ignorable_Code_Point}\\p{White_Space}\\p{Noncharacter_Code_Point}\\u20D0-\\u20FF\\u{1D100}-\\u{1D24F}]`;
const domainPattern = new RegExp(
  `^(?:[${exceptionsValid}${contextual}a-z0-9.-]|(?!${domainRefused})[${letterDigits}])*$`,
  "u",
);
const exceptionPattern = new RegExp(`[${exceptionsValid}${contextual}]`, "u");

const identifierText = {
  test: (text: string): boolean => identifierPattern.test(text) && !hasCompat(text),
};
const freeformText = {
  test: (text: string): boolean => text.length > 0 && freeformPattern.test(text),
};

/** RFC 8264 section 9.17: some character has a compatibility equivalent (and is no exception, which is asked first). */
function hasCompat(text: string): boolean {
  if (text.normalize("NFKC") === text) return false;
  for (const char of text) {
    if (char.normalize("NFKC") !== char && !exceptionPattern.test(char)) return true;
  }
  return false;
}

/** The CONTEXTJ and CONTEXTO rules of RFC 5892, appendix A. */
function contextFits(text: string): boolean {
  if (text.includes("\u00B7")) {
    for (let at = text.indexOf("\u00B7"); at >= 0; at = text.indexOf("\u00B7", at + 1)) {
      if (text[at - 1] !== "l" || text[at + 1] !== "l") return false;
    }
  }
  if (/\u0375(?!\p{Script=Greek})/u.test(text)) return false;
  if (/(?<!\p{Script=Hebrew})[\u05F3\u05F4]/u.test(text)) return false;
  if (text.includes("\u30FB") && !/[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u.test(text)) return false;
  if (/[\u0660-\u0669]/.test(text) && /[\u06F0-\u06F9]/.test(text)) return false;
  return !/[\u200C\u200D]/.test(text) || joinersFit(text);
}

/**
 * The tables that JavaScript's own character classes lack: virama, joining types, bidirectional classes. tr46 carries them; they take
 * some megabytes, so they are read when the first address needs them.
 */
interface Idna {
  toUnicode(name: string, options: Record<string, boolean>): { domain: string; error: boolean };
  toASCII(name: string, options: Record<string, boolean>): string | null;
}
type IdnaTables = Record<
  | "combiningClassVirama"
  | "validZWNJ"
  | "bidiDomain"
  | "bidiS1LTR"
  | "bidiS1RTL"
  | "bidiS2"
  | "bidiS3"
  | "bidiS4EN"
  | "bidiS4AN"
  | "bidiS5"
  | "bidiS6",
  RegExp
>;
const load = createRequire(import.meta.url);
let idna: Idna | undefined;
let tables: IdnaTables | undefined;

function idnaTables(): IdnaTables {
  tables ??= load("tr46/lib/regexes.js") as IdnaTables;
  return tables;
}

function joinersFit(text: string): boolean {
  const { combiningClassVirama, validZWNJ } = idnaTables();
  const chars = Array.from(text);
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index];
    if (char !== "\u200C" && char !== "\u200D") continue;
    if (index > 0 && combiningClassVirama.test(chars[index - 1] as string)) continue;
    if (char === "\u200D") return false;
    // Between joining letters: only the neighbourhood up to the next and previous non-joiner counts.
    const before = chars.lastIndexOf("\u200C", index - 1);
    const after = chars.indexOf("\u200C", index + 1);
    if (!validZWNJ.test(chars.slice(before + 1, after < 0 ? undefined : after).join(""))) return false;
  }
  return true;
}

function rightToLeft(text: string): boolean {
  // No right-to-left or Arabic-number character lies below U+0590, so most texts need no table.
  return (
    /[\u0590-\u08FF\u200F\uFB1D-\uFEFF\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u.test(text) &&
    idnaTables().bidiDomain.test(text)
  );
}

/** RFC 5893 section 2, for one string. */
function bidiRuleHolds(text: string): boolean {
  const table = idnaTables();
  const first = String.fromCodePoint(text.codePointAt(0) as number);
  if (table.bidiS1RTL.test(first)) {
    return (
      table.bidiS2.test(text) && table.bidiS3.test(text) && !(table.bidiS4EN.test(text) && table.bidiS4AN.test(text))
    );
  }
  return table.bidiS1LTR.test(first) && table.bidiS5.test(text) && table.bidiS6.test(text);
}

const idnaChecks = { checkHyphens: true, checkBidi: true, checkJoiners: true, useSTD3ASCIIRules: true };

/** A name with U-labels or A-labels: mapped as UTS #46 maps (case, width, ideographic full stop), then held to IDNA2008. */
function prepareIdn(text: string): string | undefined {
  // An A-label form is never shorter than its name and the DNS takes 253 characters; more (a trailing dot, marks that compose) is not looked at.
  if (text.length > 512) return undefined;
  idna ??= load("tr46") as Idna;
  const { domain, error } = idna.toUnicode(text, idnaChecks);
  if (error) return undefined;
  const name = domain.endsWith(".") ? domain.slice(0, -1) : domain;
  if (!domainPattern.test(name) || Buffer.byteLength(name) > jidPartBytesMax) return undefined;
  for (const label of name.split(".")) if (!contextFits(label)) return undefined;
  // The A-label form must exist and fit the DNS, or nobody could reach the name.
  return idna.toASCII(name, { ...idnaChecks, verifyDNSLength: true }) === null ? undefined : name;
}

/** The domain as the DNS and certificates spell it (A-labels). For a name that `prepareDomain` returned. */
export function domainToAscii(domain: string): string {
  if (scanAscii(domain, inDomain) !== notAscii) return domain;
  idna ??= load("tr46") as Idna;
  return idna.toASCII(domain, idnaChecks) ?? domain;
}
