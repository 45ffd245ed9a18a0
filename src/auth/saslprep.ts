/** RFC 4013 SASLprep: one form for a password however it was typed. */
import { createRequire } from "node:module";

/** A longer password is refused: nobody types it, and hashing it is work for us. UTF-16 units. */
export const passwordUnitsMax = 1023;

type Saslprep = (text: string, options: { allowUnassigned: boolean }) => string;

// The tables of Unicode 3.2 take some megabytes; most houses only ever see ASCII passwords.
const load = createRequire(import.meta.url);
let prepare: Saslprep | undefined;

/**
 * The prepared password, or undefined when it is empty, too long, or holds what RFC 4013 prohibits. Characters newer than Unicode 3.2
 * pass, as in queries of RFC 4013 section 2.5: an emoji in a password must not lock its owner out.
 */
export function saslprep(text: string): string | undefined {
  if (text.length === 0 || text.length > passwordUnitsMax) return undefined;
  if (isPrintableAscii(text)) return text;
  prepare ??= load("@mongodb-js/saslprep") as Saslprep;
  try {
    return prepare(text, { allowUnassigned: true }) || undefined;
  } catch (error) {
    // The library throws for prohibited text, and stumbles (TypeError) over text of which the mapping leaves nothing.
    if (error instanceof Error) return undefined;
    throw error;
  }
}

function isPrintableAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}
