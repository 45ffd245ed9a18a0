/** Checks of single texts in the configuration: domains, addresses, paths, patterns. */
import { isIP } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { globPattern } from "./access.ts";

/** A domain in the form addresses are compared in: lower case, Unicode; undefined when it is none. */
export function normalDomain(text: string): string | undefined {
  if (text === "" || /[\s@/\\:[\]]/.test(text) || text.startsWith(".") || text.endsWith(".")) return undefined;
  if (text.split(".").some((label) => label === "" || new TextEncoder().encode(label).length > 63)) return undefined;
  if (domainToASCII(text) === "") return undefined;
  return domainToUnicode(text);
}

export const isDomain = (text: string): boolean => normalDomain(text) !== undefined;

export const isIpAddress = (text: string): boolean => isIP(text) !== 0;

/** A host as one connects to it: a name, an address, or the folder of a Unix socket. */
export const isHost = (text: string): boolean => isIP(text) !== 0 || text.startsWith("/") || isDomain(text);

export const isFilled = (text: string): boolean => text !== "";

/** The path of a URL, as handlers have it; without what routers take for patterns. */
export const isUrlPath = (text: string): boolean => /^\/[A-Za-z0-9._~!$&'()+,;=@/-]*$/.test(text);

/** The beginning of URLs of HTTPS. */
export function isHttpsBase(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return protocol === "https:" && username + password + search + hash === "";
}

/** A language as `xml:lang` takes it (BCP 47, its shape). */
export const isLanguage = (text: string): boolean => /^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$/.test(text);

export const isRegexp = (text: string): boolean => compiles(() => new RegExp(text, "u"));
export const isGlob = (text: string): boolean => compiles(() => globPattern(text));

function compiles(pattern: () => RegExp): boolean {
  try {
    pattern();
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}
