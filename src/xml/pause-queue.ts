/** Input that came while nobody wanted it: bounded, in order. */

/**
 * How much may wait while a scanner is paused, in characters: more than a socket still delivers after it was told to
 * stop reading. More is a `policy-violation`.
 */
export const PAUSED_CHARS_MAX = 4 * 1024 * 1024;

/** What each piece counts beside its text, so that many tiny ones are bounded as well. */
const PIECE_CHARS = 16;

export class PauseQueue {
  #pieces: string[] = [];
  #taken = 0;
  #chars = 0;

  /** Returns false, and takes nothing, when the queue is full. */
  add(text: string): boolean {
    const chars = this.#chars + text.length + PIECE_CHARS;
    // A piece that finds the queue empty is taken whatever its size: the element's own limit judges it.
    if (chars > PAUSED_CHARS_MAX && this.#chars !== 0) return false;
    this.#chars = chars;
    this.#pieces.push(text);
    return true;
  }

  /** Takes the oldest piece out, or returns undefined. */
  takeFirst(): string | undefined {
    const text = this.#pieces[this.#taken];
    if (text === undefined) return undefined;
    this.#pieces[this.#taken++] = "";
    this.#chars -= text.length + PIECE_CHARS;
    if (this.#taken === this.#pieces.length) {
      this.#pieces = [];
      this.#taken = 0;
    }
    return text;
  }

  /** Takes everything out, joined. */
  takeAll(): string {
    const text = this.#pieces.join("");
    this.#pieces = [];
    this.#taken = 0;
    this.#chars = 0;
    return text;
  }
}
