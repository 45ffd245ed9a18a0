/** XEP-0359 Unique and Stable Stanza IDs: who may have given an id, and how one is written. */
import { Xml } from "../xml/xml.ts";
import { type Jid, parseJid } from "./jid.ts";
import { ns } from "./ns.ts";
import type { Stanza } from "./stanza.ts";

/**
 * Section 3, rules 2 and 3: without the ids that only addresses of `domain`, ours, may have given. Those of others stay,
 * and so does `<origin-id/>`.
 */
export function withoutForgedIds(stanza: Stanza, domain: string): Stanza {
  if (!stanza.has("stanza-id", ns.stanzaIds)) return stanza;
  if (stanza.inner === honestInside && domain === honestFor) return stanza;
  const honest = stanza.withoutChildren((name, namespace, parse) => {
    if (name !== "stanza-id" || namespace !== ns.stanzaIds) return false;
    const by = parseJid(parse().attr("by") ?? "");
    return by === undefined || by.domain === domain;
  });
  if (honest === stanza) {
    honestInside = stanza.inner;
    honestFor = domain;
  }
  return honest;
}

/** What was looked at last: a message to a group comes once for each of its people, all with the same inside. */
let honestInside = "";
let honestFor = "";

/** The stanza with an id; `id` needs no escaping. */
export function withStanzaId(stanza: Stanza, by: Jid, id: string): Stanza {
  const element = new Xml(`<stanza-id xmlns='${ns.stanzaIds}' id='${id}' by='${by.escaped}'/>`);
  return stanza.withChild("stanza-id", ns.stanzaIds, element);
}

/** The id that `by` has given; undefined when it gave none. */
export function stanzaIdBy(stanza: Stanza, by: Jid): string | undefined {
  if (!stanza.has("stanza-id", ns.stanzaIds)) return undefined;
  for (const element of stanza.elements()) {
    if (element.is("stanza-id", ns.stanzaIds) && element.attr("by") === by.full) return element.attr("id");
  }
  return undefined;
}
