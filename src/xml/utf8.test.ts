/** UTF-8 in chunks, against the platform's decoder. */

import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { decodeChunk } from "./utf8.ts";

/** The text before the first fault, and whether there was one or something is missing at the end. */
function decodedInPieces(bytes: Uint8Array, cuts: readonly number[]): { text: string; valid: boolean } {
  let text = "";
  let carry = 0;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    const decoded = decodeChunk(bytes.subarray(from, cut), carry);
    text += decoded.text;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is what ASCII is
    expect(decoded.wide || /^[\u0000-\u007f]*$/.test(decoded.text)).toBe(true);
    if (decoded.invalid) return { text, valid: false };
    carry = decoded.carry;
    from = cut;
  }
  return { text, valid: carry === 0 };
}

test("every character that is two to four bytes long, cut everywhere", () => {
  for (const codePoint of [0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfeff, 0xffff, 0x10000, 0x10ffff]) {
    const text = `a${String.fromCodePoint(codePoint)}b`;
    const bytes = Buffer.from(text);
    for (let i = 0; i <= bytes.length; i++) {
      for (let j = i; j <= bytes.length; j++) {
        expect(decodedInPieces(bytes, [i, j])).toEqual({ text, valid: true });
      }
    }
  }
});

test("every pair of bytes, and what may follow them, is judged as the platform does", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const judged = (bytes: Uint8Array): boolean => {
    try {
      strict.decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  const bytes = new Uint8Array(4);
  for (let first = 0x78; first < 256; first++) {
    for (let second = 0x78; second < 256; second++) {
      for (const [third, fourth] of [
        [0x80, 0xbf],
        [0x41, 0x42],
        [0xbf, 0x41],
      ] as const) {
        bytes.set([first, second, third, fourth]);
        const expected = judged(bytes);
        for (const cuts of [[], [1], [2], [3], [1, 2, 3]]) {
          const { text, valid } = decodedInPieces(bytes, cuts);
          if (valid !== expected) throw new Error(`${bytes} cut at ${cuts}: ${valid}`);
          if (valid && text !== strict.decode(bytes)) throw new Error(`${bytes} cut at ${cuts}: ${text}`);
        }
      }
    }
  }
});

test("what precedes a fault is handed out", () => {
  const bytes = Buffer.concat([Buffer.from("añ你\u{1f600}"), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from("b")]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    expect(decodedInPieces(bytes, [cut])).toEqual({ text: "añ你\u{1f600}", valid: false });
  }
});
