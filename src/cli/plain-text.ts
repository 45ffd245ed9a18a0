/** Text from the network, made harmless for a terminal. */

/**
 * Control characters (a C1 byte can move the cursor just as an escape can) and those that reorder text are replaced
 * by their code, so that what others chose as a status or a resource cannot draw on the operator's screen.
 */
export function plainText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (found) => {
    return found === "\n" ? " ⏎ " : `\\u{${found.codePointAt(0)!.toString(16)}}`;
  });
}
