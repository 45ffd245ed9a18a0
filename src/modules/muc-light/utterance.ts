/** What an occupant says, as the room passes it on. */
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { Stanza } from "../../stanza/stanza.ts";
import type { Randomness } from "../../util/random.ts";

/** From the sender's address in the room, with an id, to nobody yet. */
export function utterance(stanza: Stanza, room: Jid, random: Randomness): Stanza {
  const { kind, type, id = random.id(), extra, inner, children } = cleaned(stanza, room);
  return new Stanza(kind, undefined, room.withResource(stanza.from!.bare), type, id, extra, inner, children);
}

/** Without what only the room may say. */
function cleaned(stanza: Stanza, room: Jid): Stanza {
  if (!roomsOnly.some((namespace) => stanza.hasNamespace(namespace))) return stanza;
  return stanza.withoutChildren((name, namespace, parse) => {
    if (namespace === ns.stanzaIds) return name === "stanza-id" && parse().attr("by") === room.bare;
    return roomsOnly.includes(namespace);
  });
}

const roomsOnly: readonly string[] = [
  ns.stanzaIds,
  ns.mucLightAffiliations,
  ns.mucLightConfiguration,
  ns.mucLightDestroy,
  ns.mucUser,
  ns.delay,
];

export function stanzaIdXml(room: Jid, id: string): string {
  return `<stanza-id xmlns='${ns.stanzaIds}' by='${room.escaped}' id='${id}'/>`;
}
