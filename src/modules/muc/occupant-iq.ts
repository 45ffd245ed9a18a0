/** IQs from one occupant to another, without either learning the other's address; and XEP-0410 Self-Ping. */
import { createHash } from "node:crypto";
import { handled, type Outcome, route } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import { Stanza } from "../../stanza/stanza.ts";
import type { Room } from "./room.ts";
import type { Occupant } from "./room-state.ts";

const idCharsMax = 1_000;
const tagChars = 12;

export function passIq(room: Room, stanza: Stanza): Outcome {
  if (stanza.type === "result" || stanza.type === "error") return passAnswer(room, stanza);
  const isStranger = room.state.occupantAt(stanza.from!) === undefined;
  if (isStranger && (stanza.has("query", ns.discoInfo) || stanza.has("query", ns.discoItems))) {
    // XEP-0045 section 6.6.
    throw new StanzaError("bad-request", { text: "Occupants are asked by occupants" });
  }
  const { occupant, session } = room.sender(stanza);
  const target = room.state.occupants.get(stanza.to!.resource);
  if (target === undefined) throw new StanzaError("item-not-found", { text: "Nobody of that name is in the room" });
  if (target === occupant && stanza.has("ping", ns.ping)) return route(resultOf(stanza));
  if (!room.state.config.allowQueryUsers) {
    throw new StanzaError("not-allowed", { text: "Occupants do not query each other here" });
  }
  if (stanza.id!.length > idCharsMax) throw new StanzaError("bad-request", { text: "The id is too long" });
  // Data of accounts are asked of the account; all else of the device that has spoken last.
  const to = isForAccount(stanza) ? target.account : target.main.jid;
  // The id says who asked whom, so that nothing is to be remembered; who answers cannot make one up for somebody else.
  const id = tag(room, session.jid.full) + tag(room, target.nick) + stanza.id;
  const { type, extra, inner, children } = stanza;
  return route(new Stanza("iq", to, occupant.address, type, id, extra, inner, children));
}

function isForAccount(stanza: Stanza): boolean {
  return stanza.has("vCard", ns.vcard) || stanza.has("pubsub", ns.pubsub);
}

/** Answers nobody waits for end here. */
function passAnswer(room: Room, stanza: Stanza): Outcome {
  const asking = room.state.occupants.get(stanza.to!.resource);
  const id = stanza.id!;
  const device = asking === undefined ? undefined : deviceOf(room, asking, id.slice(0, tagChars));
  const answering = room.state
    .occupantsOf(stanza.from!.bare)
    .find((occupant) => tag(room, occupant.nick) === id.slice(tagChars, 2 * tagChars));
  if (device === undefined || answering === undefined) return handled;
  const { type, extra, inner, children } = stanza;
  return route(new Stanza("iq", device, answering.address, type, id.slice(2 * tagChars), extra, inner, children));
}

function deviceOf(room: Room, occupant: Occupant, wanted: string): Jid | undefined {
  return occupant.sessions.find(({ jid }) => tag(room, jid.full) === wanted)?.jid;
}

function tag(room: Room, text: string): string {
  return createHash("sha256").update(room.state.secret).update(text).digest("base64url").slice(0, tagChars);
}
