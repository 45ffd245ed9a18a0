/** Answers to stanzas: results, errors (RFC 6120 section 8.3), and the stamps many features share. */
import { escapeAttribute, Xml, xml } from "../xml/xml.ts";
import type { StanzaError } from "./errors.ts";
import type { Jid } from "./jid.ts";
import { ns } from "./ns.ts";
import { Stanza } from "./stanza.ts";

/** The result of an IQ request, addresses swapped. */
export function resultOf(request: Stanza, payload?: Xml): Stanza {
  return new Stanza("iq", request.from, request.to, "result", request.id, "", payload?.text ?? "", undefined);
}

/** Whether RFC 6120 lets us answer this stanza with an error: never to an error, a result, or presence updates. */
export function mayBounce(stanza: Stanza): boolean {
  if (stanza.type === "error") return false;
  if (stanza.kind === "iq") return stanza.type === "get" || stanza.type === "set";
  return true;
}

/** The error answer to a stanza, addresses swapped; the original payload is not sent back (it may be large). */
export function errorOf(stanza: Stanza, error: StanzaError): Stanza {
  return new Stanza(stanza.kind, stanza.from, stanza.to, "error", stanza.id, "", errorElement(error).text, undefined);
}

/** The `<error/>` child of RFC 6120 section 8.3.2. */
export function errorElement(error: StanzaError): Xml {
  const text =
    error.text === undefined ? undefined : xml`<text xmlns='${ns.stanzaErrors}' xml:lang='en'>${error.text}</text>`;
  const application = error.application === undefined ? undefined : new Xml(error.application);
  const condition = new Xml(`<${error.condition} xmlns='${ns.stanzaErrors}'/>`);
  return xml`<error type='${error.type}'>${condition}${text}${application}</error>`;
}

/** XEP-0203: when and by whom a stanza was held back. `at` is in milliseconds since the epoch. */
export function delayElement(from: Jid | string, at: number, reason?: string): Xml {
  const by = typeof from === "string" ? from : from.full;
  return new Xml(
    `<delay xmlns='${ns.delay}' from='${escapeAttribute(by)}' stamp='${new Date(at).toISOString()}'${
      reason === undefined ? "/>" : `>${xml`${reason}`.text}</delay>`
    }`,
  );
}

/** XEP-0297: a stanza carried inside another. */
export function forwardedElement(stanza: Stanza, delay?: Xml): Xml {
  return xml`<forwarded xmlns='${ns.forward}'>${delay}${new Xml(stanza.toStandaloneXml())}</forwarded>`;
}
