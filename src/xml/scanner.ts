/** The incremental scanner of XML streams (RFC 6120, 11; RFC 7395, 3): bytes in, checked top-level elements out, no tree. */

import { passDeclaration } from "./declaration.ts";
import { malformed, restrictedMarkup, XmlError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { type FrameReader, takeReader } from "./frame-reader.ts";
import { intern, joined } from "./intern.ts";
import { TRUSTED_LIMITS, type XmlLimits } from "./limits.ts";
import { parseFrame } from "./parse-frame.ts";
import { PauseQueue } from "./pause-queue.ts";
import { NOTHING, passWhitespace, readEndTag, readStartTag, reservedNs, StartTag, sameExpandedName } from "./tag.ts";
import { TAIL_END_TAG, TAIL_SHORT, TAIL_START_TAG, Tail, wireSize } from "./tail.ts";
import { decodeChunk } from "./utf8.ts";

export { XmlError } from "./errors.ts";
export { type Frame, frameAttribute } from "./frame.ts";
export { ownText } from "./intern.ts";
export type { XmlLimits } from "./limits.ts";
export { parseFrame } from "./parse-frame.ts";
export { PAUSED_CHARS_MAX } from "./pause-queue.ts";

/** Who receives what a scanner finds. It may call the scanner's methods. */
export interface ScannerSink {
  /**
   * The root element has opened: its `inner` and `children` are empty. `declaredPrefixes` is flat, prefix and namespace by
   * turns; the default namespace is the scanner's `contentNs`. Returns false to pause.
   */
  streamStart(frame: Frame, declaredPrefixes: readonly string[]): boolean;
  /** An element is complete. Returns false to pause: what follows is kept until `resume()`. */
  element(frame: Frame): boolean;
  /** The root element has closed. Whatever follows is ignored until `reset()`. */
  streamEnd(): void;
}

/** The sink is being called, or text is being read. */
const RUNNING = 1;
/** The sink asked to wait. */
const PAUSED = 2;
/** `resume()` was called before the sink returned. */
const RESUMED = 4;
/** Nothing more is wanted: an error was thrown, or `close()` called. */
const CLOSED = 8;
/** The root element has closed. */
const ENDED = 16;
/** The text at hand has characters outside ASCII. */
const WIDE = 32;
/** Something of the document was seen, so an XML declaration may not follow. */
const BEGUN = 64;
/** This document follows another on the same connection. */
const RESTARTED = 128;
/** The bytes after the text at hand are no UTF-8. */
const INVALID = 256;
/** What waits in the queue has characters outside ASCII. */
const QUEUE_WIDE = 512;
/** The input is WebSocket messages. */
const MESSAGES = 1024;

const tag = new StartTag();

/** The prefixes of the last stream header: nearly all peers declare the same, so all streams share one list. */
let commonPrefixes: readonly string[] = NOTHING;

/**
 * Scans one connection. Between elements it holds nothing but the namespaces of the stream header.
 *
 * All of XML 1.0 and its namespaces that RFC 6120 allows is accepted and everything else refused, with an `XmlError`
 * thrown from `push`, `pushMessage` or `resume` after every element before the fault was handed out. Bytes that are not
 * UTF-8 are `unsupported-encoding` (RFC 6120, 4.9.3.22). After an error, also one thrown by the sink, the scanner ignores everything.
 */
export class Scanner {
  /** May be replaced at any time, for instance after authentication; share one object among connections. */
  limits: XmlLimits;
  readonly #sink: ScannerSink;
  #flags = 0;
  /** Text that came and is not yet read, from `#pos` on. */
  #text = "";
  #pos = 0;
  /** The bytes of a cut character, as `decodeChunk` packs them. */
  #carry = 0;
  /** The name of the root element as written, "" before it opens. */
  #root = "";
  #contentNs = "";
  #prefixes: readonly string[] = NOTHING;
  /** The element that is incomplete, if any. */
  #reader: FrameReader | null = null;
  /** The markup that is incomplete, if any. */
  #tail: Tail | null = null;
  /** What came during a pause or a call to the sink. */
  #queue: PauseQueue | null = null;

  constructor(sink: ScannerSink, limits: XmlLimits = TRUSTED_LIMITS) {
    this.#sink = sink;
    this.limits = limits;
  }

  /** The default namespace that the root element declared. */
  get contentNs(): string {
    return this.#contentNs;
  }

  /** Whether the sink paused the scanner. */
  get paused(): boolean {
    return (this.#flags & PAUSED) !== 0;
  }

  /** Takes the next bytes of a stream. The bytes may be reused by the caller afterwards. */
  push(chunk: Uint8Array): void {
    if ((this.#flags & (CLOSED | ENDED | INVALID)) !== 0 || chunk.length === 0) return;
    const decoded = decodeChunk(chunk, this.#carry);
    this.#carry = decoded.carry;
    if (decoded.invalid) this.#flags |= INVALID;
    if ((this.#flags & (RUNNING | PAUSED)) !== 0) {
      if (decoded.wide) this.#flags |= QUEUE_WIDE;
      this.#enqueue(decoded.text);
      return;
    }
    if (decoded.wide) this.#flags |= WIDE;
    this.#text = decoded.text;
    this.#run();
  }

  /** Takes one WebSocket message, which must be one complete element (RFC 7395, 3.3). */
  pushMessage(text: string): void {
    if ((this.#flags & CLOSED) !== 0) return;
    this.#flags |= MESSAGES;
    this.#enqueue(text);
    if ((this.#flags & (RUNNING | PAUSED)) === 0) this.#run();
  }

  /** Goes on after a pause. The sink may call it before the call that pauses has returned. */
  resume(): void {
    if ((this.#flags & RUNNING) !== 0) {
      this.#flags |= RESUMED;
    } else if ((this.#flags & PAUSED) !== 0) {
      this.#flags &= ~PAUSED;
      this.#run();
    }
  }

  /**
   * Begins a new document, as after SASL (RFC 6120, 4.3.3). What arrived behind the last element belongs to the new
   * document, unless it is to be discarded, as after STARTTLS, where it was not protected. Call it from the sink, or
   * while paused: later, what came behind the last element has already been read as part of the old document.
   */
  reset(discard = false): void {
    this.#flags = (this.#flags & ~(ENDED | BEGUN)) | RESTARTED;
    this.#root = "";
    this.#contentNs = "";
    this.#prefixes = NOTHING;
    this.#reader = null;
    this.#tail = null;
    if (discard) {
      this.#flags &= ~(WIDE | INVALID | QUEUE_WIDE);
      this.#text = "";
      this.#pos = 0;
      this.#carry = 0;
      this.#queue = null;
    }
  }

  /** Forgets everything and ignores all further input. */
  close(): void {
    this.reset(true);
    this.#flags |= CLOSED;
  }

  #enqueue(text: string): void {
    if (this.#queue === null) this.#queue = new PauseQueue();
    if (!this.#queue.add(text)) this.#fail(new XmlError("policy-violation", "too much sent during a pause"));
  }

  #fail(error: unknown): never {
    this.close();
    throw error;
  }

  #run(): void {
    this.#flags |= RUNNING;
    try {
      if ((this.#flags & MESSAGES) !== 0) this.#readMessages();
      else this.#readAll();
      if ((this.#flags & (INVALID | PAUSED | ENDED)) === INVALID) {
        throw new XmlError("unsupported-encoding", "bytes that are not UTF-8");
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#flags &= ~RUNNING;
    }
  }

  /** Reads the text at hand and what was queued while it was read. */
  #readAll(): void {
    for (;;) {
      if (this.#tail === null || this.#completeTail(this.#tail)) this.#read();
      const queue = this.#queue;
      if (queue === null || (this.#flags & PAUSED) !== 0) return;
      this.#queue = null;
      if ((this.#flags & ENDED) !== 0) return;
      this.#text = queue.takeAll();
      if ((this.#flags & QUEUE_WIDE) !== 0) this.#flags = (this.#flags & ~QUEUE_WIDE) | WIDE;
    }
  }

  /** Puts new text behind incomplete markup. Returns false when that is still incomplete. */
  #completeTail(tail: Tail): boolean {
    const text = this.#text;
    const wide = (this.#flags & WIDE) !== 0;
    if (tail.completedBy(text, wide)) {
      this.#text = joined(tail.join(), text);
      this.#tail = null;
      if (tail.wide) this.#flags |= WIDE;
      return true;
    }
    this.#text = "";
    this.#flags &= ~WIDE;
    this.#checkSize();
    return false;
  }

  /** The limit for an element of which the end has not come. */
  #checkSize(): void {
    const bytes = (this.#reader === null ? 0 : this.#reader.bytes) + (this.#tail === null ? 0 : this.#tail.bytes);
    if (bytes > this.limits.stanzaBytesMax) throw new XmlError("policy-violation", "an element too large");
  }

  /** Reads all text at hand, or until the sink pauses. */
  #read(): void {
    for (;;) {
      const text = this.#text;
      let pos = this.#pos;
      let reader = this.#reader;
      if (reader === null) {
        if (this.#root === "") {
          if (this.#readProlog(text, pos)) continue;
          return;
        }
        pos = passWhitespace(text, pos);
        if (pos === text.length) {
          this.#keep(text, pos, 0);
          return;
        }
        if (text.charCodeAt(pos) !== 0x3c) throw new XmlError("bad-format", "text between the elements of a stream");
        if (pos + 1 === text.length) {
          this.#keep(text, pos, TAIL_SHORT);
          return;
        }
        const c = text.charCodeAt(pos + 1);
        if (c === 0x2f) {
          if (this.#readRootEnd(text, pos)) continue;
          return;
        }
        if (c === 0x21 || c === 0x3f) throw restrictedMarkup();
        reader = takeReader(this.#contentNs, this.#prefixes);
      }
      const frame = reader.read(text, pos, (this.#flags & WIDE) !== 0, this.limits);
      if (frame === undefined) {
        this.#reader = reader;
        this.#keep(text, reader.keptFrom, reader.tailKind);
        return;
      }
      this.#reader = null;
      this.#pos = reader.end;
      this.#flags &= ~RESUMED;
      if (!this.#sink.element(frame) && this.#pauses()) return;
    }
  }

  /** Keeps incomplete markup of a kind (`TAIL_…`, 0 for none) for the next chunk and lets go of the text. */
  #keep(text: string, from: number, kind: number): void {
    this.#tail = kind === 0 ? null : new Tail(kind, text.slice(from), (this.#flags & WIDE) !== 0);
    this.#text = "";
    this.#pos = 0;
    this.#flags &= ~WIDE;
    if (kind !== 0 || this.#reader !== null) this.#checkSize();
  }

  /** Whether to stop after a call to the sink that asked for it. */
  #pauses(): boolean {
    if ((this.#flags & (RESUMED | CLOSED)) !== 0) return (this.#flags & CLOSED) !== 0;
    this.#flags |= PAUSED;
    return true;
  }

  /** Reads what comes before the root element, and its start tag. Returns false when there is nothing more to do now. */
  #readProlog(text: string, pos: number): boolean {
    if ((this.#flags & CLOSED) !== 0) return false;
    if ((this.#flags & BEGUN) === 0) {
      // White space behind the last element of the document before may arrive late.
      if ((this.#flags & RESTARTED) !== 0) pos = passWhitespace(text, pos);
      const next = pos === text.length ? pos : passDeclaration(text, pos);
      if (next === -1 || pos === text.length) {
        this.#keep(text, pos, next === -1 ? TAIL_SHORT : 0);
        return false;
      }
      this.#flags |= BEGUN;
      pos = next;
    }
    pos = passWhitespace(text, pos);
    if (pos === text.length) {
      this.#keep(text, pos, 0);
      return false;
    }
    if (text.charCodeAt(pos) !== 0x3c) throw malformed("text before the root element");
    if (pos + 1 === text.length) {
      this.#keep(text, pos, TAIL_SHORT);
      return false;
    }
    const c = text.charCodeAt(pos + 1);
    if (c === 0x21 || c === 0x3f) throw restrictedMarkup();
    const next = readStartTag(text, pos + 1, tag, this.limits, true);
    if (next === -1) {
      this.#keep(text, pos, TAIL_START_TAG);
      return false;
    }
    this.#pos = next;
    return this.#openRoot(text, pos, next);
  }

  /** Returns false when the sink pauses or the document is over. */
  #openRoot(text: string, start: number, end: number): boolean {
    const bytes = (this.#flags & WIDE) === 0 ? end - start : wireSize(text.slice(start, end), true);
    if (bytes > this.limits.stanzaBytesMax) throw new XmlError("policy-violation", "a stream header too large");
    const prefixes = tag.prefixes ?? NOTHING;
    if (prefixes.length > 2 * this.limits.declaredPrefixesMax)
      throw new XmlError("policy-violation", "too many prefixes");
    if (!sameList(prefixes, commonPrefixes)) commonPrefixes = prefixes;
    this.#root = tag.name;
    this.#contentNs = tag.defaultNs ?? "";
    this.#prefixes = commonPrefixes;
    let name = tag.name;
    let ns = this.#contentNs;
    if (tag.colon !== -1) {
      ns = boundIn(prefixes, name.slice(0, tag.colon));
      name = intern(name, tag.colon + 1, name.length);
    }
    if (tag.prefixed !== null) {
      const namespaces: string[] = [];
      for (const attribute of tag.prefixed)
        namespaces.push(boundIn(prefixes, attribute.slice(0, attribute.indexOf(":"))));
      if (sameExpandedName(tag.prefixed, namespaces)) throw malformed("an attribute given twice under two prefixes");
    }
    const frame = { name, ns, attributes: tag.attributes, inner: "", children: NOTHING, bytes };
    this.#flags &= ~RESUMED;
    if (tag.empty) {
      this.#sink.streamStart(frame, this.#prefixes);
      return this.#root === "" || this.#end();
    }
    return this.#sink.streamStart(frame, this.#prefixes) || !this.#pauses();
  }

  /** Returns whether the sink has begun a new document. */
  #readRootEnd(text: string, pos: number): boolean {
    const next = readEndTag(text, pos + 2, this.#root);
    if (next === -1) {
      this.#keep(text, pos, TAIL_END_TAG);
      return false;
    }
    this.#pos = next;
    return this.#end();
  }

  #end(): boolean {
    this.#flags |= ENDED;
    this.#sink.streamEnd();
    if ((this.#flags & ENDED) === 0) return true;
    this.#text = "";
    this.#pos = 0;
    return false;
  }

  #readMessages(): void {
    while ((this.#flags & (PAUSED | CLOSED)) === 0) {
      const text = this.#queue?.takeFirst();
      if (text === undefined) {
        this.#queue = null;
        return;
      }
      const frame = parseFrame(text, this.limits);
      this.#flags &= ~RESUMED;
      if (!this.#sink.element(frame)) this.#pauses();
    }
  }
}

function boundIn(prefixes: readonly string[], prefix: string): string {
  for (let i = 0; i < prefixes.length; i += 2) {
    if (prefixes[i] === prefix) return prefixes[i + 1]!;
  }
  return reservedNs(prefix);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}
