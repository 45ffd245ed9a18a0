/** Whether a message is worth waking a phone for, and what is said of it. */
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";

/** What decides: a body; or also a hint of its sender that the message is to be kept (XEP-0334), as calls have. */
export type PushPolicy = "body" | "hints";

export type PushVerdict = { readonly push: true } | { readonly push: false; readonly reason: string };

const yes: PushVerdict = { push: true };
const no = (reason: string): PushVerdict => ({ push: false, reason });

export function pushVerdict(stanza: Stanza, policy: PushPolicy): PushVerdict {
  if (stanza.type === "error" || stanza.type === "headline") return no(`a message of type ${stanza.type}`);
  if (stanza.from !== undefined && stanza.from.bare === stanza.to?.bare) return no("a message of the account itself");
  // His own words, as a group without nicknames sends them back (MUC Light).
  if (stanza.type === "groupchat" && stanza.from?.resource === stanza.to?.bare) return no("said by the account itself");
  // What a room says of its past when somebody enters.
  if (stanza.type === "groupchat" && stanza.has("delay", ns.delay)) return no("history of a room");
  if (stanza.has("no-store", ns.hints) || stanza.has("no-permanent-store", ns.hints)) return no("not to be kept");
  if (stanza.has("body", ns.client)) return stanza.text("body") === "" ? no("an empty body") : yes;
  if (policy === "body") return no("no body");
  if (!stanza.has("store", ns.hints)) return no("no body, and no hint");
  if (stanza.hasNamespace(ns.chatMarkers) || stanza.hasNamespace(ns.receipts) || stanza.hasNamespace(ns.chatStates)) {
    return no("a marker, receipt or chat state");
  }
  return yes;
}

export interface PushSummary {
  readonly sender: string;
  readonly body: string;
}

/** Of longer bodies the beginning is sent: services that wake phones take few kilobytes. */
const bodyCharsMax = 1_000;

export function summaryOf(stanza: Stanza): PushSummary {
  // In a room the nickname says who it was.
  const sender = stanza.type === "groupchat" ? stanza.from?.full : stanza.from?.bare;
  const body = stanza.has("body", ns.client) ? (stanza.text("body") ?? "") : "";
  return { sender: sender ?? "", body: [...body.slice(0, 2 * bodyCharsMax)].slice(0, bodyCharsMax).join("") };
}
