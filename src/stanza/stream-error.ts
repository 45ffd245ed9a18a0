/** The children of a stream error (RFC 6120 section 4.9.2). */
import { escapeText } from "../xml/xml.ts";
import type { StreamError } from "./errors.ts";
import { ns } from "./ns.ts";

export function errorTextElement(error: StreamError): string {
  const text =
    error.text === undefined ? "" : `<text xmlns='${ns.streamErrors}' xml:lang='en'>${escapeText(error.text)}</text>`;
  return `<${error.condition} xmlns='${ns.streamErrors}'/>${text}${error.application ?? ""}`;
}
