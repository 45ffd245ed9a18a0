/** How tests of the scanner see it: all it says, and that no way of cutting the bytes changes that. */
import { expect } from "bun:test";
import { Buffer } from "node:buffer";
import { type Frame, Scanner, XmlError, type XmlLimits } from "../../src/xml/scanner.ts";

export const OPEN = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
export const OPENED = "open {http://etherx.jabber.org/streams}stream";

/** Writes down all that a scanner says, one line for each event. */
export class Trace {
  readonly events: string[] = [];
  readonly frames: Frame[] = [];
  readonly scanner: Scanner;
  pauseAlways = false;

  constructor(limits?: XmlLimits) {
    this.scanner = new Scanner(
      {
        streamStart: (frame, prefixes) => {
          this.events.push(`open ${shown(frame)}`);
          expect(prefixes.length % 2).toBe(0);
          return !this.pauseAlways;
        },
        element: (frame) => {
          this.frames.push(frame);
          this.events.push(shown(frame));
          return !this.pauseAlways;
        },
        streamEnd: () => this.events.push("end"),
      },
      limits,
    );
  }

  push(bytes: Uint8Array | string): this {
    return this.attempt(() => this.scanner.push(typeof bytes === "string" ? Buffer.from(bytes) : bytes));
  }

  message(text: string): this {
    return this.attempt(() => this.scanner.pushMessage(text));
  }

  attempt(action: () => void): this {
    try {
      action();
    } catch (error) {
      if (!(error instanceof XmlError)) throw error;
      this.events.push(`error ${error.condition}`);
    }
    return this;
  }
}

export function shown(frame: Frame): string {
  let out = `{${frame.ns}}${frame.name}`;
  for (let i = 0; i < frame.attributes.length; i += 2) out += ` ${frame.attributes[i]}=[${frame.attributes[i + 1]}]`;
  if (frame.inner !== "") out += ` inner=[${frame.inner}]`;
  for (let i = 0; i < frame.children.length; i += 4) {
    const [name, ns, start, end] = frame.children.slice(i, i + 4) as [string, string, number, number];
    out += ` child={${ns}}${name}@[${frame.inner.slice(start, end)}]`;
  }
  return out;
}

/** The trace of a document, after checking that no way of cutting it changes anything. */
export function traceOf(document: string | Uint8Array, limits?: XmlLimits): string[] {
  const bytes = typeof document === "string" ? Buffer.from(document) : document;
  const whole = new Trace(limits).push(bytes);
  const sizes = whole.frames.map((frame) => frame.bytes);
  const compare = (other: Trace) => {
    expect(other.events).toEqual(whole.events);
    expect(other.frames.map((frame) => frame.bytes)).toEqual(sizes);
  };

  const single = new Trace(limits);
  for (let i = 0; i < bytes.length; i++) single.push(bytes.subarray(i, i + 1));
  compare(single);

  for (let i = 1; i < bytes.length; i++) {
    compare(new Trace(limits).push(bytes.subarray(0, i)).push(bytes.subarray(i)));
  }

  const paused = new Trace(limits);
  paused.pauseAlways = true;
  for (let i = 0; i < bytes.length; i += 7) paused.push(bytes.subarray(i, i + 7));
  while (paused.scanner.paused) paused.attempt(() => paused.scanner.resume());
  compare(paused);
  return whole.events;
}
