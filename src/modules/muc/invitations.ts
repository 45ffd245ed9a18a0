/** XEP-0045 section 7.8.2: invitations and refusals that go through the room. */
import { type Effect, handled, type MaybePromise, type Outcome, route } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";
import { changeAffiliations } from "./affiliations.ts";
import { checkInterval, checkRequest, pace } from "./pace.ts";
import type { Room } from "./room.ts";
import { isAtLeast, occupantIdXml } from "./room-state.ts";

/** Invitations of one message. */
const inviteesMost = 20;

export function takeInvitation(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  const x = stanza.child("x", ns.mucUser)!;
  const invites = x.childrenNamed("invite");
  if (invites.length > 0) return invite(room, stanza, invites);
  const decline = x.child("decline");
  if (decline !== undefined) return declined(room, stanza, decline);
  room.sender(stanza);
  throw new StanzaError("bad-request", { text: "An invitation or its refusal was expected" });
}

async function invite(room: Room, stanza: Stanza, invites: readonly Element[]): Promise<Outcome> {
  const { occupant, session } = room.sender(stanza);
  const { config } = room.state;
  const { options, clock } = room.house;
  const affiliation = room.affiliationOf(stanza.from!);
  const mayInvite = config.allowUserInvites || occupant.role === "moderator" || isAtLeast(affiliation, "admin");
  if (!mayInvite) throw new StanzaError("forbidden", { text: "You may not invite others to this room" });
  if (invites.length > inviteesMost) {
    throw new StanzaError("policy-violation", { text: `A message invites at most ${inviteesMost}` });
  }
  const invitees = invites.map((one) => {
    const jid = parseJid(one.attr("to") ?? "");
    if (jid === undefined) throw new StanzaError("jid-malformed", { text: "Whom to invite is missing" });
    return jid;
  });
  // Invitations reach people outside, so nobody sends more of them than he says in the room.
  checkInterval(room, session.messageAt, options.minMessageIntervalMs, "messages");
  session.messageAt = clock.monotonic();
  const slowed = pace(room, stanza, options.userMessageShaper);
  if (slowed !== undefined) {
    await slowed;
    if (room.state.occupantAt(session.jid) !== occupant) return handled;
  }
  const effects: Effect[] = [];
  if (config.membersOnly) {
    const strangers = new Map<string, Jid>();
    for (const jid of invitees) if (room.affiliationOf(jid) === "none") strangers.set(jid.bare, jid.toBare());
    if (strangers.size > 0 && !config.allowUserInvites && !isAtLeast(affiliation, "admin")) {
      throw new StanzaError("forbidden", { text: "Only admins invite to this room for members" });
    }
    const items = [...strangers.values()].map((jid) => ({ jid, affiliation: "member" as const }));
    if (items.length > 0) effects.push(...(await changeAffiliations(room, occupant.nick, items)));
  }
  // In a room that hides addresses the inviter is known by his address there.
  const from = config.anonymous ? occupant.address : stanza.from!;
  invites.forEach((one, at) => {
    const payload = invitation(room, from, one.childText("reason"), one.child("continue")?.attr("thread"), one);
    const id = occupantIdXml(occupant.id);
    effects.push(route(message({ from: room.jid, to: invitees[at], id: stanza.id, payload: payload.text + id })));
  });
  return effects;
}

/** What the room sends on; clients without XEP-0045's form of it understand XEP-0249's. */
export function invitation(
  room: Room,
  from: Jid,
  reason: string | undefined,
  thread?: string,
  original?: Element,
): Xml {
  const { passwordProtected, password } = room.state.config;
  const secret = passwordProtected ? password : undefined;
  const goesOn = original?.child("continue") === undefined ? undefined : xml`<continue${attributes({ thread })}/>`;
  const words = reason === undefined ? undefined : xml`<reason>${reason}</reason>`;
  const key = secret === undefined ? undefined : xml`<password>${secret}</password>`;
  return xml`<x xmlns='${ns.mucUser}'><invite from='${from.full}'>${words}${goesOn}</invite>${key}</x><x xmlns='${
    ns.conference
  }'${attributes({ jid: room.jid.bare, reason, password: secret })}/>`;
}

/** The refusal goes back to who invited, in the name of the room. */
function declined(room: Room, stanza: Stanza, decline: Element): Outcome {
  if (room.affiliationOf(stanza.from!) === "outcast") {
    throw new StanzaError("forbidden", { text: "You are banned from the room" });
  }
  const to = parseJid(decline.attr("to") ?? "");
  if (to === undefined) throw new StanzaError("jid-malformed", { text: "Whose invitation is declined is missing" });
  const inRoom = to.bare === room.jid.bare ? room.state.occupants.get(to.resource) : undefined;
  const receivers = inRoom?.sessions.map((session) => session.jid) ?? devicesOf(room, to);
  // Else anybody could write to anybody in the room's name.
  if (receivers.length === 0) return handled;
  checkRequest(room, "decline", stanza.from!);
  const reason = decline.childText("reason");
  const words = reason === undefined ? undefined : xml`<reason>${reason}</reason>`;
  const payload = xml`<x xmlns='${ns.mucUser}'><decline from='${stanza.from!.bare}'>${words}</decline></x>`;
  return receivers.map((jid) => route(message({ from: room.jid, to: jid, id: stanza.id, payload })));
}

function devicesOf(room: Room, account: Jid): Jid[] {
  const devices = room.state.occupantsOf(account.bare).flatMap((one) => one.sessions.map((session) => session.jid));
  return account.isBare ? devices : devices.filter((jid) => jid.full === account.full);
}
