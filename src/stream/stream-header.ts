/** Stream headers and footers: RFC 6120 section 4.7 over TCP, RFC 7395 section 3.3 over WebSocket. */

import type { StreamError } from "../stanza/errors.ts";
import { ns } from "../stanza/ns.ts";
import { errorTextElement } from "../stanza/stream-error.ts";
import type { Frame } from "../xml/scanner.ts";
import { escapeAttribute } from "../xml/xml.ts";

export type Framing = "stream" | "message";

export interface ClientHeader {
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly version: string | undefined;
  readonly lang: string | undefined;
}

export interface ServerHeader {
  readonly id: string;
  readonly from: string;
  readonly to: string | undefined;
  readonly lang: string;
}

export function readHeader(frame: Frame): ClientHeader {
  const header: { [name: string]: string | undefined } = {};
  for (let at = 0; at < frame.attributes.length; at += 2) header[frame.attributes[at]!] = frame.attributes[at + 1];
  return { to: header.to, from: header.from, version: header.version, lang: header["xml:lang"] };
}

export function writeHeader(framing: Framing, header: ServerHeader): string {
  const attributes =
    ` id='${escapeAttribute(header.id)}' from='${escapeAttribute(header.from)}'` +
    `${header.to === undefined ? "" : ` to='${escapeAttribute(header.to)}'`} version='1.0' xml:lang='${escapeAttribute(header.lang)}'`;
  return framing === "stream"
    ? `<?xml version='1.0'?><stream:stream xmlns='${ns.client}' xmlns:stream='${ns.streams}'${attributes}>`
    : `<open xmlns='${ns.framing}'${attributes}/>`;
}

export function writeFooter(framing: Framing): string {
  return framing === "stream" ? "</stream:stream>" : `<close xmlns='${ns.framing}'/>`;
}

export function writeFeatures(framing: Framing, features: string): string {
  return framing === "stream"
    ? `<stream:features>${features}</stream:features>`
    : `<stream:features xmlns:stream='${ns.streams}'>${features}</stream:features>`;
}

/** RFC 6120 section 4.9.1. */
export function writeStreamError(framing: Framing, error: StreamError): string {
  const declaration = framing === "stream" ? "" : ` xmlns:stream='${ns.streams}'`;
  return `<stream:error${declaration}>${errorTextElement(error)}</stream:error>`;
}
