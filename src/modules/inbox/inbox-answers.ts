/** How conversations look in XML. */
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultSet } from "../../stanza/result-set.ts";
import { message, Stanza } from "../../stanza/stanza.ts";
import { raw, type Xml, xml } from "../../xml/xml.ts";
import { placeId } from "./inbox-query.ts";
import type { Entry, Properties } from "./inbox-store.ts";

const tagLength = "<message".length;

/** The last message, and when it was sent. */
export function forwardedLast({ content, lastAt }: Entry): Xml {
  const stamp = new Date(lastAt).toISOString();
  return raw(
    `<forwarded xmlns='${ns.forward}'><delay xmlns='${ns.delay}' stamp='${stamp}'/><message xmlns='${ns.client}'${content.slice(tagLength)}</forwarded>`,
  );
}

export function propertyElements({ box, unread, mutedUntil }: Properties, now: number): Xml {
  const mute = mutedUntil > now ? new Date(mutedUntil).toISOString() : "0";
  return xml`<read>${String(unread === 0)}</read><box>${box}</box><archive>${String(box === "archive")}</archive><mute>${mute}</mute>`;
}

/** One conversation of an answer. */
export function resultMessage(entry: Entry, to: Jid, id: string, queryId: string, now: number): Stanza {
  const { text } =
    xml`<result xmlns='${ns.inbox}' unread='${entry.unread}' queryid='${queryId}'>${forwardedLast(entry)}${propertyElements(entry, now)}</result>`;
  return new Stanza("message", to, to.toBare(), undefined, id, "", text, ["result", ns.inbox, 0, text.length]);
}

/** The end of an answer. It counts what the answer holds, as MongooseIM's does. */
export function finElement(entries: readonly Entry[]): Xml {
  let unread = 0;
  let active = 0;
  for (const entry of entries) {
    unread += entry.unread;
    if (entry.unread > 0) active++;
  }
  const place = (entry: Entry | undefined) =>
    entry === undefined ? undefined : placeId({ at: entry.lastAt, peer: entry.peer });
  const set = resultSet({ first: place(entries[0]), last: place(entries.at(-1)) });
  return xml`<fin xmlns='${ns.inbox}'>${set}<count>${entries.length}</count><unread-messages>${unread}</unread-messages><active-conversations>${active}</active-conversations></fin>`;
}

/** What all devices are told when one has changed a conversation. */
export function changedMessage(account: Jid, peer: Jid, id: string, queryId: string, properties: Xml): Stanza {
  const payload = xml`<x xmlns='${ns.inboxConversation}' jid='${peer.bare}' queryid='${queryId}'>${properties}</x>`;
  return message({ from: account, to: account, id, payload });
}
