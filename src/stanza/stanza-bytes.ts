/**
 * A stanza as bytes between nodes of a cluster: its kind, then its parts as one text. What separates them cannot occur in XML, so nothing
 * needs escaping and a stanza is written and read in one go. Namespaces of the inside are self-contained already (see scanner).
 */
import { parseJid } from "./jid.ts";
import { Stanza, type StanzaKind } from "./stanza.ts";

const kinds: readonly StanzaKind[] = ["message", "presence", "iq"];
const separator = "\u0001";
/** Stands for a part that is not there, where "" would say something else. */
const absent = "\u0002";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
let scratch = new Uint8Array(64 * 1024);

/** The bytes that are no stanza; the peer is broken or of another version. */
export class StanzaBytesError extends Error {
  override readonly name = "StanzaBytesError";
}

/** `head` followed by the stanza. The bytes are the caller's to keep. */
export function stanzaToBytes(head: Uint8Array, stanza: Stanza): Uint8Array {
  const text =
    (stanza.from?.full ?? "") +
    separator +
    (stanza.to?.full ?? "") +
    separator +
    (stanza.type ?? "") +
    separator +
    (stanza.id ?? absent) +
    separator +
    stanza.extra +
    separator +
    stanza.inner;
  const most = head.length + 1 + text.length * 3;
  if (scratch.length < most) scratch = new Uint8Array(most);
  scratch.set(head);
  scratch[head.length] = stanza.kind === "message" ? 0 : stanza.kind === "presence" ? 1 : 2;
  const { written } = encoder.encodeInto(text, scratch.subarray(head.length + 1));
  const bytes = scratch.slice(0, head.length + 1 + written);
  if (scratch.length > 1024 * 1024) scratch = new Uint8Array(64 * 1024);
  return bytes;
}

/** The stanza that starts at `at`. Throws `StanzaBytesError`. */
export function stanzaFromBytes(bytes: Uint8Array, at: number): Stanza {
  const kind = kinds[bytes[at] ?? 255];
  if (kind === undefined) throw new StanzaBytesError("no kind of stanza");
  const text = decoder.decode(at === 0 ? bytes.subarray(1) : bytes.subarray(at + 1));
  const from = text.indexOf(separator);
  const to = text.indexOf(separator, from + 1);
  const type = text.indexOf(separator, to + 1);
  const id = text.indexOf(separator, type + 1);
  const extra = text.indexOf(separator, id + 1);
  // One that is not found has the next search begin anew, so that places do not grow.
  if (from < 0 || to < from || type < to || id < type || extra < id) throw new StanzaBytesError("a stanza cut short");
  const fromText = text.slice(0, from);
  const toText = text.slice(from + 1, to);
  const typeText = text.slice(to + 1, type);
  const idText = text.slice(type + 1, id);
  const fromJid = fromText === "" ? undefined : parseJid(fromText);
  const toJid = toText === "" ? undefined : parseJid(toText);
  if ((fromText !== "" && fromJid === undefined) || (toText !== "" && toJid === undefined)) {
    throw new StanzaBytesError("a stanza with a malformed address");
  }
  return new Stanza(
    kind,
    toJid,
    fromJid,
    typeText === "" ? undefined : typeText,
    idText === absent ? undefined : idText,
    text.slice(id + 1, extra),
    text.slice(extra + 1),
    undefined,
  );
}
