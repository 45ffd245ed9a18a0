/** Which messages belong into inboxes, and what they do there. */
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";

/** What a message does to a conversation, and why: "why is it not unread?" is a question operators ask. */
export interface InboxVerdict {
  /** It becomes the conversation's last message. */
  readonly shown: boolean;
  /** It is one more to be read. */
  readonly counted: boolean;
  readonly reason: string;
}

const verdicts = {
  type: { shown: false, counted: false, reason: "of a type that no conversation is made of" },
  noStore: { shown: false, counted: false, reason: "no-store or no-permanent-store hint" },
  history: { shown: false, counted: false, reason: "a room's history, which was counted when it happened" },
  empty: { shown: false, counted: false, reason: "no body" },
  signal: { shown: false, counted: false, reason: "a marker, receipt or chat state" },
  body: { shown: true, counted: true, reason: "a body" },
  hint: { shown: true, counted: true, reason: "store hint" },
  // What was taken back must not go on being shown, but is nothing to read.
  retraction: { shown: true, counted: false, reason: "a retraction" },
} as const satisfies Record<string, InboxVerdict>;

export function inboxVerdict(stanza: Stanza): InboxVerdict {
  const { type, children } = stanza;
  if (type === "error" || type === "headline") return verdicts.type;
  let body = false;
  let hint = false;
  let signal = false;
  let retraction = false;
  for (let at = 0; at < children.length; at += 4) {
    const name = children[at];
    switch (children[at + 1]) {
      case ns.client:
        if (name === "body") body = true;
        break;
      case ns.hints:
        if (name === "no-store" || name === "no-permanent-store") return verdicts.noStore;
        if (name === "store") hint = true;
        break;
      case ns.retraction:
        if (name === "retract") retraction = true;
        break;
      case ns.chatMarkers:
        if (name !== "markable") signal = true;
        break;
      case ns.receipts:
        if (name === "received") signal = true;
        break;
      case ns.chatStates:
        signal = true;
        break;
      case ns.delay:
        if (type === "groupchat") return verdicts.history;
        break;
    }
  }
  if (retraction) return verdicts.retraction;
  if (body) return verdicts.body;
  if (!hint) return signal ? verdicts.signal : verdicts.empty;
  return signal ? verdicts.signal : verdicts.hint;
}

/** XEP-0333: the ids of messages that a message marks in one of these ways. */
export function markedIds(stanza: Stanza, markers: readonly string[]): string[] {
  const ids: string[] = [];
  for (const marker of markers) {
    const id = stanza.has(marker, ns.chatMarkers) ? stanza.child(marker, ns.chatMarkers)!.attr("id") : undefined;
    if (id !== undefined && id !== "" && !ids.includes(id)) ids.push(id);
  }
  return ids;
}
