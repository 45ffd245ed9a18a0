/** XEP-0424 and XEP-0425: what is left of a message that was taken back. */
import type { Moderation } from "../../hooks/services.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { Stanza, stanzaFromFrame } from "../../stanza/stanza.ts";
import { stanzaIdBy } from "../../stanza/stanza-ids.ts";
import { parseFrame } from "../../xml/scanner.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";

/** A stanza out of the archive. */
export function archivedStanza(text: string): Stanza {
  const stanza = stanzaFromFrame(parseFrame(text, undefined, ns.client));
  if (stanza === undefined) throw new Error("The archive holds something that is no stanza");
  return stanza;
}

/** What a message retracts; undefined when it retracts nothing, or has no id by which its tombstone could name it. */
export function retractionIn(stanza: Stanza): { messageId: string; by: string } | undefined {
  if (!stanza.has("retract", ns.retraction) || stanza.id === undefined) return undefined;
  const retract = stanza.child("retract", ns.retraction)!;
  const messageId = retract.attr("id");
  // A moderator's retraction (XEP-0425) is carried out by the room, whoever else claims to be one.
  if (messageId === undefined || retract.child("moderated", ns.moderation) !== undefined) return undefined;
  return { messageId, by: stanza.id };
}

/** What a message of a group takes back, by the id that the group gave it; of its own sender, or by a moderator in the name of the group. */
export interface GroupRetraction {
  readonly groupId: string;
  readonly from: Jid;
  readonly occupantId: string | undefined;
  readonly element: Xml;
}

export function groupRetractionIn(stanza: Stanza, at: number): GroupRetraction | undefined {
  const retract = stanza.has("retract", ns.retraction) ? stanza.child("retract", ns.retraction)! : undefined;
  const groupId = retract?.attr("id");
  const from = stanza.from;
  if (retract === undefined || groupId === undefined || from === undefined) return undefined;
  const moderated = retract.child("moderated", ns.moderation);
  // Only the group itself speaks from its bare address.
  if ((moderated !== undefined) !== from.isBare) return undefined;
  const occupantId = stanza.child("occupant-id", ns.occupantId)?.attr("id");
  if (moderated === undefined) {
    return stanza.id === undefined
      ? undefined
      : { groupId, from, occupantId, element: retractedElement(stanza.id, at) };
  }
  const by = parseJid(moderated.attr("by") ?? "");
  const moderator = moderated.child("occupant-id", ns.occupantId)?.attr("id");
  const element = moderatedElement({ by, occupantId: moderator, reason: retract.childText("reason") }, at);
  return { groupId, from, occupantId: undefined, element };
}

/** The tombstone of a message of a group in a user's archive; undefined unless the retraction means it. */
export function groupTombstoneOf(text: string, { groupId, from, occupantId, element }: GroupRetraction) {
  const stanza = archivedStanza(text);
  if (stanzaIdBy(stanza, from.toBare()) !== groupId) return undefined;
  const isGroup = from.isBare;
  // A nickname may be another's now, an occupant's id may not.
  const same = stanza.from?.full === from.full && stanza.child("occupant-id", ns.occupantId)?.attr("id") === occupantId;
  if (!isGroup && !same) return undefined;
  const named = xml`<stanza-id xmlns='${ns.stanzaIds}' by='${from.bare}' id='${groupId}'/>${element}`;
  return tombstoneOf(text, named);
}

/** The element of a message's own sender. */
export function retractedElement(retractionId: string, at: number): Xml {
  return xml`<retracted xmlns='${ns.retraction}' id='${retractionId}' stamp='${new Date(at).toISOString()}'/>`;
}

/** The element of a moderator. */
export function moderatedElement({ by, occupantId, reason }: Moderation, at: number): Xml {
  const occupant = occupantId !== undefined && xml`<occupant-id xmlns='${ns.occupantId}' id='${occupantId}'/>`;
  const moderated = xml`<moderated xmlns='${ns.moderation}'${attributes({ by: by?.full })}>${occupant}</moderated>`;
  const why = reason !== undefined && xml`<reason>${reason}</reason>`;
  return xml`<retracted xmlns='${ns.retraction}' stamp='${new Date(at).toISOString()}'>${moderated}${why}</retracted>`;
}

/**
 * The tombstone of a message: its addresses, type and id, who it was in the room, and `retracted`. Undefined for what is a
 * tombstone already, and for a message that `meant` does not mean: of another id, or a private one of another occupant,
 * whose bare address is the room's.
 */
export function tombstoneOf(text: string, retracted: Xml, meant?: { messageId: string; by: Jid }): string | undefined {
  const stanza = archivedStanza(text);
  if (meant !== undefined) {
    if (stanza.id !== meant.messageId) return undefined;
    if (stanza.has("x", ns.mucUser) && stanza.from?.bare === meant.by.bare && stanza.from.full !== meant.by.full) {
      return undefined;
    }
  }
  if (stanza.has("retracted", ns.retraction)) return undefined;
  const occupant = stanza.child("occupant-id", ns.occupantId);
  const inner = xml`${occupant}${retracted}`.text;
  return new Stanza("message", stanza.to, stanza.from, stanza.type, stanza.id, "", inner, undefined).toXml();
}

/**
 * Carries a retraction out. The message may have been taken in by another node, which holds it still: one that is not found is
 * looked for once more when the other nodes have written.
 */
export async function retractOnceWritten(
  retract: () => Promise<boolean>,
  writtenElsewhere: () => undefined | Promise<unknown>,
): Promise<void> {
  if (await retract()) return;
  const others = writtenElsewhere();
  if (others === undefined) return;
  await others;
  await retract();
}
