/** Which messages are archived: XEP-0313 section 5.1, XEP-0334, and what MongooseIM's users are used to. */
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";

/** Whether a message is archived, and why (not): "why is it not in my history?" is a question operators ask. */
export interface ArchiveVerdict {
  readonly store: boolean;
  readonly reason: string;
}

export interface ArchivePolicy {
  /** `archive_chat_markers`. */
  readonly chatMarkers: boolean;
  /** Whether messages of type groupchat are kept here. */
  readonly groupchat: boolean;
  /** Whether a subject without a body counts, as in rooms. */
  readonly subject: boolean;
}

const verdicts = {
  type: { store: false, reason: "of a type that is never archived" },
  noStore: { store: false, reason: "no-store or no-permanent-store hint" },
  result: { store: false, reason: "comes out of an archive" },
  history: { store: false, reason: "a room's history, which was archived when it happened" },
  empty: { store: false, reason: "no body" },
  body: { store: true, reason: "a body" },
  subject: { store: true, reason: "a subject of a room" },
  retraction: { store: true, reason: "a retraction" },
  hint: { store: true, reason: "store hint" },
  marker: { store: true, reason: "a chat marker" },
} as const satisfies Record<string, ArchiveVerdict>;

export function archiveVerdict(stanza: Stanza, policy: ArchivePolicy): ArchiveVerdict {
  const { type, children } = stanza;
  if (type === "error" || type === "headline" || (type === "groupchat" && !policy.groupchat)) return verdicts.type;
  let verdict: ArchiveVerdict = verdicts.empty;
  for (let at = 0; at < children.length; at += 4) {
    const name = children[at];
    switch (children[at + 1]) {
      case ns.client:
        if (name === "body") verdict = verdicts.body;
        else if (name === "subject" && policy.subject && !verdict.store) verdict = verdicts.subject;
        break;
      case ns.hints:
        if (name === "no-store" || name === "no-permanent-store") return verdicts.noStore;
        if (name === "store" && !verdict.store) verdict = verdicts.hint;
        break;
      case ns.retraction:
        if (name === "retract" && !verdict.store) verdict = verdicts.retraction;
        break;
      case ns.chatMarkers:
        if (name !== "markable" && policy.chatMarkers && !verdict.store) verdict = verdicts.marker;
        break;
      case ns.mam:
        if (name === "result") return verdicts.result;
        break;
      case ns.delay:
        if (type === "groupchat") return verdicts.history;
        break;
    }
  }
  return verdict;
}

/** The text that is searched: all bodies, and the subject. */
export function searchableText(stanza: Stanza): string {
  const { children, inner } = stanza;
  let text = "";
  for (let at = 0; at < children.length; at += 4) {
    if (children[at + 1] !== ns.client || (children[at] !== "body" && children[at] !== "subject")) continue;
    const element = inner.slice(children[at + 2] as number, children[at + 3] as number);
    const start = element.indexOf(">") + 1;
    const inside = element.slice(start, Math.max(start, element.lastIndexOf("<")));
    // Nearly all bodies are plain text without an entity, which needs no parser.
    const plain = inside.includes("&") || inside.includes("<") ? stanza.text(children[at] as string) : inside;
    text += text === "" ? plain : ` ${plain}`;
  }
  return text;
}
