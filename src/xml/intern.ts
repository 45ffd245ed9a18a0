/** A small table of names and namespaces met lately, so that the same text is the same string everywhere. */

const SLOTS = 2048;
const CHARS_MAX = 96;

/** Each text has two places; it enters the first and is moved to the second by its successor. */
const table: string[] = new Array<string>(SLOTS).fill("");

/**
 * The part of `text` from `start` to `end` as a string that is shared with earlier equal ones and does not keep
 * `text` alive. A text longer than names usually are is copied but not remembered. Memory is bounded by the table.
 */
export function intern(text: string, start: number, end: number): string {
  const length = end - start;
  if (length === 0) return "";
  if (length > CHARS_MAX) return ownText(text.slice(start, end));
  // Six characters spread over the text tell real names apart; a collision costs time only.
  const quarter = length >> 2;
  let hash = Math.imul(length, 31) + text.charCodeAt(start);
  hash = Math.imul(hash, 31) + text.charCodeAt(start + quarter);
  hash = Math.imul(hash, 31) + text.charCodeAt(start + (length >> 1));
  hash = Math.imul(hash, 31) + text.charCodeAt(end - 1 - quarter);
  hash = Math.imul(hash, 31) + text.charCodeAt(end - (length > 1 ? 2 : 1));
  hash = Math.imul(hash, 31) + text.charCodeAt(end - 1);
  const slot = (hash ^ (hash >>> 11)) & (SLOTS - 1);
  const first = table[slot]!;
  if (first.length === length && occursAt(first, text, start)) return first;
  const second = table[slot ^ 1]!;
  if (second.length === length && occursAt(second, text, start)) return second;
  const fresh = ownText(text.slice(start, end));
  table[slot ^ 1] = first;
  table[slot] = fresh;
  return fresh;
}

/** Whether `text` continues with all of `part` at `start`. */
export function occursAt(part: string, text: string, start: number): boolean {
  for (let i = 0; i < part.length; i++) {
    if (part.charCodeAt(i) !== text.charCodeAt(start + i)) return false;
  }
  return true;
}

/**
 * A copy of a string that shares no memory with any other. The engine makes a slice by pointing into the string it
 * was taken from, so keeping a short slice keeps all of a long text: whoever stores text for longer than a turn of
 * the event loop (caches, sessions, queues) must copy it with this.
 */
export function ownText(text: string): string {
  if (text.length < 2) return text; // the engine shares these
  return joined(text.charAt(0), text.slice(1));
}

/**
 * Two strings as one in new memory. `a + b` would be a promise to copy: it keeps both alive, with all they were taken
 * from, until someone reads it, and some ways of reading (`charCodeAt`) do not count. Joining an array copies at once.
 */
export function joined(a: string, b: string): string {
  return [a, b].join("");
}
