/** XEP-0045 section 7.10: nicknames registered with a room, and with the whole service. */
import { type Effect, type MaybePromise, type Outcome, reply } from "../../hooks/effect.ts";
import { submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { formToFill } from "../../stanza/form-text.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { changeAffiliations, checkReserved } from "./affiliations.ts";
import { askForMembership } from "./approvals.ts";
import type { Room } from "./room.ts";

const nickField = "muc#register_roomnick";

/** What one who may register is shown, or the nickname he has. */
export function registrationForm(title: string, nick: string | undefined): Xml {
  if (nick !== undefined) {
    return xml`<query xmlns='${ns.register}'><registered/><username>${nick}</username></query>`;
  }
  const instructions = "Choose the nickname that shall be yours.";
  const form = formToFill({
    title,
    instructions,
    formType: ns.mucRegister,
    fields: [{ var: nickField, type: "text-single", label: "Nickname", required: true }],
  });
  return xml`<query xmlns='${ns.register}'><instructions>${instructions}</instructions>${form}</query>`;
}

/** The nickname in a registration; undefined when it asks to end one. Throws `StanzaError` bad-request. */
export function wantedNick(query: Element): string | undefined {
  if (query.child("remove") !== undefined) return undefined;
  const values = submittedForm(query, ns.mucRegister);
  const nick = values === undefined ? query.childText("nick") : values.get(nickField)?.[0];
  if (nick === undefined || nick === "") throw new StanzaError("bad-request", { text: "The form names no nickname" });
  return nick;
}

export function getRegistration(room: Room, from: Jid): Outcome {
  const affiliation = room.affiliationOf(from);
  if (affiliation === "outcast") throw new StanzaError("not-allowed", { text: "You are banned from the room" });
  return reply(registrationForm(`Registration with ${room.title}`, room.state.affiliations.get(from.bare)?.nick));
}

export function setRegistration(room: Room, from: Jid, query: Element): MaybePromise<Outcome> {
  const affiliation = room.affiliationOf(from);
  if (affiliation === "outcast") throw new StanzaError("not-allowed", { text: "You are banned from the room" });
  const nick = wantedNick(query);
  if (nick === undefined) return unregister(room, from.toBare());
  checkReserved(room, from.toBare(), nick);
  if (affiliation === "none" && membershipIsWorth(room, from)) return askForMembership(room, from.toBare(), nick);
  return registerNick(room, from.toBare(), nick);
}

/** Membership opens the room, or gives the voice that somebody was not given or has lost: then admins decide on it. */
function membershipIsWorth(room: Room, from: Jid): boolean {
  const silent = room.state.occupantsOf(from.bare).some(({ role }) => role === "visitor");
  return room.state.config.membersOnly || silent || room.state.roleOnEntering(from, "none") === "visitor";
}

/** Whoever registers becomes a member, unless he is more than that. */
export async function registerNick(room: Room, account: Jid, nick: string): Promise<Effect[]> {
  checkReserved(room, account, nick);
  const owner = await room.house.nickOwner(nick);
  if (owner !== undefined && owner !== account.bare) {
    throw new StanzaError("conflict", { text: "The nickname belongs to somebody else" });
  }
  checkReserved(room, account, nick);
  const own = room.ownAffiliationOf(account);
  const affiliation = own === "none" ? "member" : own;
  return changeAffiliations(room, undefined, [{ jid: account, affiliation, nick }]);
}

/** Takes back what registering has given. */
function unregister(room: Room, account: Jid): MaybePromise<Outcome> {
  const before = room.state.affiliations.get(account.bare);
  if (before?.nick === undefined) {
    throw new StanzaError("registration-required", { text: "You have registered no nickname" });
  }
  const affiliation = before.affiliation === "member" ? "none" : before.affiliation;
  return changeAffiliations(room, undefined, [{ jid: account, affiliation, nick: null }]);
}
