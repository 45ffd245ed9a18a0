/** What a client asks a slot for (XEP-0363 section 5), checked. */
import { StanzaError, type StanzaErrorDetails } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { parseTimestamp } from "../../stanza/timestamp.ts";
import { isMediaType } from "../../util/media-type.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";

export interface SlotRequest {
  readonly name: string;
  readonly size: number;
  readonly contentType: string | undefined;
  /** The file must not be there from then on (section 6.3), milliseconds since the epoch. */
  readonly expireBefore: number | undefined;
}

/** What file systems and URLs of others still take. */
const nameBytesMax = 255;

/**
 * Characters that no honest file name has: controls, line separators, what turns the direction of writing (so that "exe.gpj" looks like a
 * picture), and the separators of paths.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to refuse
const strangeCharacter = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069/\\]/;

/** Reads a `<request/>`. Throws as `checkFile` does. */
export function readSlotRequest(request: Element, fileBytesMax: number, now: number): SlotRequest {
  const [name, size] = [request.attr("filename"), request.attr("size")];
  const file = checkFile(name, size, request.attr("content-type"), fileBytesMax);
  return { ...file, expireBefore: expireBeforeOf(request, now) };
}

/**
 * Throws `StanzaError`: bad-request for what describes no file, not-acceptable for a name or type that is not taken, and for a file that is
 * too large, with the largest size.
 */
export function checkFile(
  name: string | undefined,
  sizeText: string | undefined,
  type: string | undefined,
  fileBytesMax: number,
): Omit<SlotRequest, "expireBefore"> {
  if (name === undefined || name === "") throw badRequest("A slot is for a file with a name");
  if (sizeText === undefined || !/^\d{1,16}$/.test(sizeText) || Number(sizeText) === 0) {
    throw badRequest("A slot is for a file with a size, in bytes, which is a positive number");
  }
  if (new TextEncoder().encode(name).length > nameBytesMax) {
    throw notAcceptable(`The name of a file has at most ${nameBytesMax} bytes`);
  }
  if (strangeCharacter.test(name) || name === "." || name === "..") {
    throw notAcceptable("That name of a file is not taken");
  }
  const contentType = type || undefined;
  if (contentType !== undefined && !isMediaType(contentType)) throw notAcceptable("That is no content type");
  const size = Number(sizeText);
  if (size > fileBytesMax) throw tooLarge(fileBytesMax);
  return { name, size, contentType };
}

function expireBeforeOf(request: Element, now: number): number | undefined {
  const ephemeral = request.child("ephemeral", ns.httpUploadPurpose);
  if (ephemeral === undefined) return undefined;
  const at = parseTimestamp(ephemeral.attr("expire-before") ?? "");
  if (at === undefined) throw badRequest("expire-before is no date and time");
  if (at <= now) throw notAcceptable("expire-before is past");
  return at;
}

/** Section 7: the size that would be taken travels with the error. */
export function tooLarge(fileBytesMax: number): StanzaError {
  const limit = xml`<file-too-large xmlns='${ns.httpUpload}'><max-file-size>${fileBytesMax}</max-file-size></file-too-large>`;
  return notAcceptable(`File too large. The maximum file size is ${fileBytesMax} bytes`, { application: limit.text });
}

/** Section 7: a temporary error; `retryAt` is when enough will have been removed, where that is known. */
export function quotaReached(text: string, retryAt: number | undefined): StanzaError {
  if (retryAt === undefined) return new StanzaError("resource-constraint", { text });
  const stamp = new Date(Math.ceil(retryAt / 1000) * 1000).toISOString().replace(".000", "");
  return new StanzaError("resource-constraint", {
    text,
    application: xml`<retry xmlns='${ns.httpUpload}' stamp='${stamp}'/>`.text,
  });
}

function badRequest(text: string): StanzaError {
  return new StanzaError("bad-request", { text });
}

function notAcceptable(text: string, details: StanzaErrorDetails = {}): StanzaError {
  return new StanzaError("not-acceptable", { text, ...details });
}
