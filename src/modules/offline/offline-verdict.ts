/** XEP-0160 section 3 and XEP-0334: which messages are kept for somebody who is away. */
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";

/** Whether a message is stored, and why (not). */
export interface OfflineVerdict {
  readonly store: boolean;
  readonly reason: string;
}

const verdicts = {
  type: { store: false, reason: "of a type that is never stored" },
  noStore: { store: false, reason: "no-store hint" },
  carbon: { store: false, reason: "a carbon copy, whose original is elsewhere" },
  chatState: { store: false, reason: "nothing but a chat state" },
  hint: { store: true, reason: "store hint" },
  message: { store: true, reason: "a message" },
} as const satisfies Record<string, OfflineVerdict>;

/** Children that do not make a chat state worth keeping. */
function accompanies(name: string, namespace: string): boolean {
  return (
    (name === "thread" && namespace === ns.client) ||
    namespace === ns.hints ||
    namespace === ns.stanzaIds ||
    namespace === ns.delay
  );
}

export function offlineVerdict(stanza: Stanza, account: Jid): OfflineVerdict {
  const type = stanza.type;
  if (type === "error" || type === "groupchat" || type === "headline") return verdicts.type;
  const children = stanza.children;
  let chatState = false;
  let content = false;
  let storeHint = false;
  for (let at = 0; at < children.length; at += 4) {
    const name = children[at] as string;
    const namespace = children[at + 1] as string;
    if (namespace === ns.hints) {
      if (name === "no-store") return verdicts.noStore;
      if (name === "store") storeHint = true;
    } else if (namespace === ns.carbons && (name === "sent" || name === "received")) {
      if (stanza.from?.full === account.bare) return verdicts.carbon;
      content = true;
    } else if (namespace === ns.chatStates) chatState = true;
    else if (!accompanies(name, namespace)) content = true;
  }
  if (storeHint) return verdicts.hint;
  return chatState && !content ? verdicts.chatState : verdicts.message;
}

/** Longest lifetime taken at its word, in seconds: a hundred years. */
const lifetimeMaxS = 3_155_760_000;

/** When a message becomes worthless by XEP-0023 (`<x xmlns='jabber:x:expire' seconds='60'/>`), or null. */
export function expiryOf(stanza: Stanza, now: number): number | null {
  if (!stanza.has("x", ns.expire)) return null;
  const text = stanza.child("x", ns.expire)!.attr("seconds") ?? "";
  const seconds = Number(text);
  if (text.trim() === "" || !Number.isFinite(seconds) || seconds < 0) return null;
  return seconds > lifetimeMaxS ? null : now + Math.trunc(seconds) * 1000;
}
