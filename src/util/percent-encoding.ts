/** Texts as parts of URLs. */

/** As one segment of a path, or a parameter of a header (RFC 8187): all but letters, digits and `-._~` encoded (RFC 3986). */
export function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The text again; undefined when that cannot be one. */
export function percentDecoded(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
