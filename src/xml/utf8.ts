/** UTF-8 that arrives in chunks (RFC 3629), to text. Characters may be cut anywhere. */

import { Buffer, isAscii, isUtf8 } from "node:buffer";

/** The result of `decodeChunk`; one object is filled again and again. */
export interface DecodedChunk {
  text: string;
  /** Whether there is a character outside ASCII in it. */
  wide: boolean;
  /** The bytes of a cut character at the end, for the next call; 0 when there are none. */
  carry: number;
  /** Whether the bytes after `text` are no UTF-8. */
  invalid: boolean;
}

/** What follows a lead byte decides its validity; see table 3-7 of the Unicode standard. */
interface Sequence {
  readonly length: number;
  readonly secondMin: number;
  readonly secondMax: number;
}

const result: DecodedChunk = { text: "", wide: false, carry: 0, invalid: false };

// Called on plain byte arrays: wrapping each chunk in a Buffer would cost as much as decoding it.
interface Slices {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  utf8Slice(this: Uint8Array, start: number, end: number): string;
}
const { latin1Slice, utf8Slice } = Buffer.prototype as unknown as Slices;

/** Decodes a chunk that follows the cut character in `carry` (0 for none). */
export function decodeChunk(chunk: Uint8Array, carry: number): DecodedChunk {
  if (carry === 0 && isAscii(chunk)) {
    result.text = latin1Slice.call(chunk, 0, chunk.length);
    result.wide = false;
    result.carry = 0;
    result.invalid = false;
    return result;
  }
  return decodeWide(carry === 0 ? chunk : Buffer.concat([carriedBytes(carry), chunk]));
}

function decodeWide(bytes: Uint8Array): DecodedChunk {
  let end = bytes.length - cutBytes(bytes);
  result.carry = packed(bytes, end);
  result.invalid = false;
  if (!isUtf8(end === bytes.length ? bytes : bytes.subarray(0, end))) {
    end = validBytes(bytes);
    result.carry = 0;
    result.invalid = true;
  }
  result.text = utf8Slice.call(bytes, 0, end);
  result.wide = result.text.length !== end;
  return result;
}

/** How many bytes at the end, at most 3, are the beginning of a character. */
function cutBytes(bytes: Uint8Array): number {
  const length = bytes.length;
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      if (needed <= back) return 0;
      // A beginning that nothing can complete is an error now, not when more comes.
      return validSequence(bytes, length - back, length) ? back : 0;
    }
  }
  return 0;
}

/** The bytes from `start` on in one number: their count above, the bytes below. */
function packed(bytes: Uint8Array, start: number): number {
  const count = bytes.length - start;
  let value = count;
  for (let i = start; i < bytes.length; i++) value = value * 256 + bytes[i]!;
  return count === 0 ? 0 : value;
}

function carriedBytes(carry: number): Uint8Array {
  const count = carry >= 3 << 24 ? 3 : carry >= 2 << 16 ? 2 : 1;
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) bytes[i] = (carry >>> (8 * (count - 1 - i))) & 0xff;
  return bytes;
}

/** How many bytes at the beginning are UTF-8. */
function validBytes(bytes: Uint8Array): number {
  let pos = 0;
  while (pos < bytes.length) {
    if (bytes[pos]! < 0x80) {
      pos++;
      continue;
    }
    const length = sequenceOf(bytes[pos]!)?.length ?? 0;
    if (length === 0 || pos + length > bytes.length || !validSequence(bytes, pos, pos + length)) return pos;
    pos += length;
  }
  return pos;
}

/** Whether the bytes from `start` to `end` are a character or the beginning of one. */
function validSequence(bytes: Uint8Array, start: number, end: number): boolean {
  const sequence = sequenceOf(bytes[start]!);
  if (sequence === undefined || end - start > sequence.length) return false;
  for (let i = start + 1; i < end; i++) {
    const byte = bytes[i]!;
    const min = i === start + 1 ? sequence.secondMin : 0x80;
    const max = i === start + 1 ? sequence.secondMax : 0xbf;
    if (byte < min || byte > max) return false;
  }
  return true;
}

function sequenceOf(lead: number): Sequence | undefined {
  if (lead >= 0xc2 && lead <= 0xdf) return { length: 2, secondMin: 0x80, secondMax: 0xbf };
  if (lead === 0xe0) return { length: 3, secondMin: 0xa0, secondMax: 0xbf };
  if (lead === 0xed) return { length: 3, secondMin: 0x80, secondMax: 0x9f };
  if (lead >= 0xe1 && lead <= 0xef) return { length: 3, secondMin: 0x80, secondMax: 0xbf };
  if (lead === 0xf0) return { length: 4, secondMin: 0x90, secondMax: 0xbf };
  if (lead >= 0xf1 && lead <= 0xf3) return { length: 4, secondMin: 0x80, secondMax: 0xbf };
  if (lead === 0xf4) return { length: 4, secondMin: 0x80, secondMax: 0x8f };
  return undefined;
}
