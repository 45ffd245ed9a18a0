/** What one socket still has to send: text of this turn, and the bytes the kernel did not take yet. Bounded. */

/** Where bytes go: returns how many it took, at once and without keeping the buffer; less than asked means "full". */
export interface ByteSink {
  take(bytes: Uint8Array, offset: number, length: number): number;
}

export type FlushOutcome = "empty" | "blocked";

/** Text up to this many UTF-16 units is encoded into the shared buffer; longer text gets a buffer of its own. */
const sharedUnitsMax = 64 * 1024;
/** Shared by all writers: encoding and handing over to the kernel happen within one call. A unit is 3 bytes at most. */
const shared = Buffer.allocUnsafeSlow(sharedUnitsMax * 3);

/**
 * A queue that holds nothing while it is empty. Text is encoded once, when it is flushed; while the peer is slow the
 * text waits as it is, sharing its pieces with other queues that wait with the same stanza.
 */
export class Writer {
  #text = "";
  #rest: Uint8Array | undefined = undefined;

  /** Bytes that wait, counting a character not yet encoded as one. */
  get queuedBytes(): number {
    return this.#text.length + (this.#rest === undefined ? 0 : this.#rest.length);
  }

  get empty(): boolean {
    return this.#text.length === 0 && this.#rest === undefined;
  }

  add(text: string): void {
    this.#text += text;
  }

  /** Drops all that waits. */
  clear(): void {
    this.#text = "";
    this.#rest = undefined;
  }

  /** Hands over as much as the sink takes. "blocked": flush again when the sink says that it has room. */
  flush(sink: ByteSink): FlushOutcome {
    const rest = this.#rest;
    if (rest !== undefined) {
      const taken = sink.take(rest, 0, rest.length);
      if (taken < rest.length) {
        // A view would keep the whole of a large buffer alive for its last bytes.
        if (taken > 0) this.#rest = rest.slice(taken);
        return "blocked";
      }
      this.#rest = undefined;
    }
    const text = this.#text;
    if (text.length === 0) return "empty";
    this.#text = "";
    const bytes = text.length <= sharedUnitsMax ? shared : Buffer.from(text, "utf8");
    const length = bytes === shared ? shared.write(text, 0, "utf8") : bytes.length;
    const taken = sink.take(bytes, 0, length);
    if (taken >= length) return "empty";
    this.#rest = Uint8Array.prototype.slice.call(bytes, taken, length);
    return "blocked";
  }
}
