/** The domains of the session directory: each is kept once, and a record names it by its number. */
import type { ByteReader } from "./bytes.ts";
import { TableFull } from "./table-store.ts";

/** A record has 20 bits for it. */
const domainsMax = 2 ** 20;

const decoder = new TextDecoder();

export class DomainNames {
  /** By number. */
  readonly names: string[] = [];
  readonly hashes: number[] = [];
  /** The number of a domain of which a session was ever known. */
  readonly ids = new Map<string, number>();
  /** The domain read last, as its bytes: nearly always the next is the same. */
  #lastBytes = new Uint8Array(0);
  #last = 0;
  /** The domain asked for last: nearly always the next is the same. */
  #foundName = "";
  #foundId = -1;

  /** The number of a domain; -1 when no session of it was ever known. */
  find(domain: string): number {
    if (domain === this.#foundName) return this.#foundId;
    const id = this.ids.get(domain);
    if (id === undefined) return -1;
    this.#foundName = domain;
    this.#foundId = id;
    return id;
  }

  /**
   * The number of a domain; a new one is learned.
   * @throws TableFull when there are too many.
   */
  idOf(domain: string): number {
    const known = this.ids.get(domain);
    if (known !== undefined) return known;
    const id = this.names.length;
    if (id >= domainsMax) throw new TableFull(`more than ${domainsMax} domains`);
    let hash = 0x811c9dc5;
    for (let index = 0; index < domain.length; index++) hash = Math.imul(hash ^ domain.charCodeAt(index), 0x01000193);
    this.names.push(domain);
    this.hashes.push(hash);
    this.ids.set(domain, id);
    return id;
  }

  /** The domain that comes next in an entry; -1 when it is not known and not to be learned. */
  read(entry: ByteReader, learn: boolean): number {
    const length = entry.u16();
    const start = entry.skip(length);
    const last = this.#lastBytes;
    if (length === last.length) {
      let at = 0;
      while (at < length && entry.bytes[start + at] === last[at]) at++;
      if (at === length && length > 0) return this.#last;
    }
    const bytes = entry.bytes.slice(start, start + length);
    const domain = decoder.decode(bytes);
    const id = learn ? this.idOf(domain) : (this.ids.get(domain) ?? -1);
    if (id >= 0) {
      this.#lastBytes = bytes;
      this.#last = id;
    }
    return id;
  }
}
