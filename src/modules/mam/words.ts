/**
 * The words of a message as full-text search knows them. They are cut here and not by the database, so that the three kinds
 * of database find the same: letters and digits, in any script, without case and accents. Scripts that do not write spaces
 * between words (Chinese, Japanese, Thai, …) are cut into overlapping pairs of characters.
 */

/** Longer words are cut, when they are stored and when they are looked for. MariaDB indexes no more than 84 characters. */
const wordCharsMax = 64;
/** Different words of one message that can be found. */
const wordsMax = 500;
/** Characters of a message that are looked at. */
const textCharsMax = 20_000;

const asciiOnly = /^[\0-\x7f]*$/;
const asciiWord = /[a-z0-9]+/g;
const anyWord = /[\p{L}\p{N}]+/gu;
const marks = /\p{M}+/gu;
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]+/gu;

/** The different words of a text, in the order they first occur. */
export function wordsOf(text: string, most = wordsMax): string[] {
  const words = new Set<string>();
  const start = text.length > textCharsMax ? text.slice(0, textCharsMax) : text;
  if (asciiOnly.test(start)) {
    for (const [word] of start.toLowerCase().matchAll(asciiWord)) {
      words.add(word.length > wordCharsMax ? word.slice(0, wordCharsMax) : word);
      if (words.size >= most) break;
    }
    return [...words];
  }
  const plain = start.normalize("NFKD").replace(marks, "").toLowerCase();
  for (const [run] of plain.matchAll(anyWord)) {
    for (const word of partsOf(run)) {
      if (words.size >= most) return [...words];
      words.add(word);
    }
  }
  return [...words];
}

/** A run of letters, with what is written without spaces cut into pairs. */
function* partsOf(run: string): Generator<string> {
  let done = 0;
  for (const match of run.matchAll(unspaced)) {
    if (match.index > done) yield run.slice(done, match.index).slice(0, wordCharsMax);
    const characters = [...match[0]];
    if (characters.length === 1) yield characters[0]!;
    for (let at = 0; at + 1 < characters.length; at++) yield characters[at]! + characters[at + 1]!;
    done = match.index + match[0].length;
  }
  if (done < run.length) yield run.slice(done).slice(0, wordCharsMax);
}
