/** Messages to a room: what is said to all, the subject, private messages, invitations, requests. */
import { type Effect, handled, type MaybePromise, type Outcome, secureBy, spread } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import { Xml } from "../../xml/xml.ts";
import { takeApproval } from "./approvals.ts";
import { undelivered } from "./entering.ts";
import { takeInvitation } from "./invitations.ts";
import { checkInterval, pace, paceRoom } from "./pace.ts";
import type { Room } from "./room.ts";
import { type Occupant, type OccupantSession, occupantIdXml } from "./room-state.ts";

export function takeMessage(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  if (stanza.type === "error") return takeError(room, stanza);
  if (room.state.locked && room.state.occupantAt(stanza.from!) === undefined) {
    // Section 17.1: before its owner has configured it, there is no room.
    throw new StanzaError("item-not-found", { text: "There is no such room" });
  }
  const toRoom = stanza.to!.resource === "";
  if (stanza.type === "groupchat") {
    if (!toRoom) {
      throw new StanzaError("bad-request", {
        text: "A private message is of type chat, and one to all goes to the room",
      });
    }
    return takeGroupchat(room, stanza);
  }
  if (!toRoom) return privateMessage(room, stanza);
  if (stanza.has("x", ns.mucUser)) return takeInvitation(room, stanza);
  if (stanza.has("x", ns.dataForms)) return takeApproval(room, stanza);
  room.sender(stanza);
  throw new StanzaError("bad-request", { text: "What is said to all is of type groupchat" });
}

/** An error from an occupant is for whoever it was in private with, or says that a device is gone. */
function takeError(room: Room, stanza: Stanza): Outcome {
  const from = room.state.occupantAt(stanza.from!);
  const to = room.state.occupants.get(stanza.to!.resource);
  if (from === undefined) return handled;
  // Errors to private messages are passed back. What was said to all is answered to the room's own bookkeeping alone.
  const pending = to === undefined ? undefined : room.privately.take(privately(from, to, stanza.id ?? ""));
  if (pending === undefined) return undelivered(room, stanza);
  undelivered(room, stanza);
  return spread(
    [stanza.withAddresses(from.address, undefined)],
    to!.sessions.map((session) => session.jid),
  );
}

/** By what an error to a private message is known; ids of any length fit. */
function privately(to: Occupant, from: Occupant, id: string): string {
  return `${to.nick}\n${from.nick}\n${id.slice(0, 200)}`;
}

function takeGroupchat(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  const { occupant, session } = room.sender(stanza);
  const { options, clock } = room.house;
  checkInterval(room, session.messageAt, options.minMessageIntervalMs, "messages");
  session.messageAt = clock.monotonic();
  const own = pace(room, stanza, options.userMessageShaper);
  const all = paceRoom(room, stanza);
  if (own === undefined && all === undefined) return say(room, occupant, session, stanza);
  return Promise.all([own, all]).then(() => {
    // He may have left, or lost his voice, while he waited.
    if (room.state.occupantAt(session.jid) !== occupant) return handled;
    return say(room, occupant, session, stanza);
  });
}

/** Section 7.4, and 8.1 for the subject. */
function say(room: Room, occupant: Occupant, session: OccupantSession, stanza: Stanza): Outcome {
  const hasBody = stanza.has("body", ns.client);
  const isSubject = !hasBody && stanza.has("subject", ns.client) && !stanza.has("thread", ns.client);
  if (isSubject) {
    const mayChange = room.state.config.allowChangeSubject
      ? occupant.role !== "visitor"
      : occupant.role === "moderator";
    if (!mayChange) throw new StanzaError("forbidden", { text: "You may not change the subject" });
  } else if (occupant.role === "visitor") {
    throw new StanzaError("forbidden", { text: "You have no voice in this room" });
  }
  const clean = cleaned(room, stanza).withAddresses(occupant.address, undefined);
  const vouched = clean.withChild("occupant-id", ns.occupantId, new Xml(occupantIdXml(occupant.id)));
  return publish(room, vouched, {
    sender: session.jid,
    occupantId: occupant.id,
    remembered: hasBody,
    subject: isSubject ? occupant.nick : undefined,
  });
}

/** What is to be known of a message that goes to everybody. */
export interface Publication {
  /** Real address of the sender. */
  readonly sender: Stanza["from"] & {};
  readonly occupantId: string;
  /** It belongs to the history. */
  readonly remembered: boolean;
  /** It sets the subject, in the name of this nickname. */
  readonly subject: string | undefined;
}

/** Archives a message, remembers it, and sends it to everybody: one stanza for all. */
export function publish(room: Room, stanza: Stanza, publication: Publication): Effect[] {
  const { state, house } = room;
  const { archive } = room;
  const { sender, occupantId, remembered, subject } = publication;
  const effects: Effect[] = [];
  const stored = archive?.store(room.jid, sender, stanza, state.newestId);
  if (stored !== undefined) state.newestId = stored.id;
  // Without an archive messages get an id all the same, by which moderators and replies can name them.
  const id = stored?.id ?? (archive === undefined && remembered ? house.random.id(12) : "");
  const identified = id === "" ? stanza : room.identified(stanza, id);
  if (stored !== undefined) effects.push(secureBy(stored.stored));
  if (subject !== undefined) {
    state.subject = { inner: subjectOnly(identified), nick: subject, at: house.clock.now() };
    const saved = room.saveState();
    if (saved !== undefined) effects.push(secureBy(saved));
  }
  const retracted = retractedId(stanza);
  if (retracted !== undefined) state.history.retract(retracted, occupantId);
  if (remembered && !stanza.has("no-store", ns.hints)) state.history.add(identified, house.clock.now(), occupantId, id);
  if (!house.rooms.unheard) {
    const said = {
      kind: "muc",
      room: room.jid,
      sender,
      stanza: identified,
      id,
      people: () => belonging(room),
    } as const;
    effects.push(...house.rooms.said(said));
  }
  effects.push(spread([identified], state.everyone));
  return effects;
}

function* belonging({ state }: Room): Generator<string> {
  for (const [jid, { affiliation }] of state.affiliations) if (affiliation !== "outcast") yield jid;
}

/** Without what only the room may say: its ids (XEP-0359 section 3, XEP-0421 section 3) and muc#user. */
function cleaned(room: Room, stanza: Stanza): Stanza {
  if (!forbidden.some((namespace) => stanza.hasNamespace(namespace))) return stanza;
  return stanza.withoutChildren((name, namespace, parse) => {
    if (namespace === ns.stanzaIds) return name === "stanza-id" && parse().attr("by") === room.jid.bare;
    return forbidden.includes(namespace);
  });
}

const forbidden: readonly string[] = [ns.mucUser, ns.occupantId, ns.stanzaIds, ns.mucAdmin, ns.mucOwner, ns.delay];

function subjectOnly(stanza: Stanza): string {
  const kept = stanza.withoutChildren(
    (name, namespace) =>
      !(name === "subject" && namespace === ns.client) && namespace !== ns.stanzaIds && namespace !== ns.occupantId,
  );
  return kept.inner;
}

/** XEP-0424: the id of the message that this one retracts. */
function retractedId(stanza: Stanza): string | undefined {
  if (!stanza.has("retract", ns.retraction)) return undefined;
  return stanza.child("retract", ns.retraction)?.attr("id");
}

/** Section 7.5. */
function privateMessage(room: Room, stanza: Stanza): Outcome {
  const { occupant } = room.sender(stanza);
  const to = room.state.occupants.get(stanza.to!.resource);
  if (to === undefined) throw new StanzaError("item-not-found", { text: "Nobody of that name is in the room" });
  if (!mayWritePrivately(room, occupant)) {
    throw new StanzaError("forbidden", { text: "Private messages are not allowed here" });
  }
  if (stanza.has("x", ns.conference) && !room.state.config.allowUserInvites && occupant.role !== "moderator") {
    throw new StanzaError("forbidden", { text: "You may not invite others to this room" });
  }
  const inner = `<x xmlns='${ns.mucUser}'/>${occupantIdXml(occupant.id)}`;
  const clean = cleaned(room, stanza);
  const copy = message({ from: occupant.address, type: stanza.type, id: stanza.id, payload: clean.inner + inner });
  if (stanza.id !== undefined) room.privately.set(privately(to, occupant, stanza.id), true);
  return spread(
    [copy],
    to.sessions.map((session) => session.jid),
  );
}

function mayWritePrivately(room: Room, occupant: Occupant): boolean {
  switch (room.state.config.allowPrivateMessages) {
    case "anyone":
      return true;
    case "participants":
      return occupant.role !== "visitor";
    case "moderators":
      return occupant.role === "moderator";
    case "none":
      return false;
  }
}
