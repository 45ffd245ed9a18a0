/** Requests that moderators and admins answer: for voice (XEP-0045 sections 7.13 and 8.6), for membership (9.9). */
import { type MaybePromise, type Outcome, spread } from "../../hooks/effect.ts";
import { type FormValues, formBoolean, submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { formFlag, formToFill } from "../../stanza/form-text.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import { Element } from "../../xml/element.ts";
import { changeRoles } from "./affiliations.ts";
import { registerNick } from "./nicknames.ts";
import { checkRequest } from "./pace.ts";
import type { Room } from "./room.ts";
import { isAtLeast, type Occupant } from "./room-state.ts";

/** A form that an occupant sends to the room. */
export function takeApproval(room: Room, stanza: Stanza): MaybePromise<Outcome> {
  const { occupant } = room.sender(stanza);
  const form = stanza.child("x", ns.dataForms)!;
  if (form.attr("type") === "cancel") return [];
  const type = form
    .childrenNamed("field")
    .find((field) => field.attr("var") === "FORM_TYPE")
    ?.childText("value");
  if (type !== ns.mucRequest && type !== ns.mucRegister) {
    throw new StanzaError("bad-request", { text: "The room does not know this form" });
  }
  const values = submittedForm(new Element("message", ns.client, {}, [form]), type)!;
  return type === ns.mucRequest ? voice(room, occupant, values) : membership(room, stanza.from!, values);
}

function voice(room: Room, occupant: Occupant, values: FormValues): Outcome {
  const role = values.get("muc#role")?.[0];
  const allowed = values.get("muc#request_allow")?.[0];
  if (allowed !== undefined) return voiceAnswer(room, occupant, values, formBoolean(allowed) === true);
  if (role !== undefined && role !== "participant") {
    throw new StanzaError("not-acceptable", { text: "Only voice can be asked for" });
  }
  if (occupant.role !== "visitor") throw new StanzaError("conflict", { text: "You have voice" });
  checkRequest(room, "voice", occupant.account);
  const payload = formToFill({
    title: "Voice request",
    instructions: "To let this person speak, choose so and submit the form.",
    formType: ns.mucRequest,
    fields: [
      { var: "muc#role", type: "list-single", label: "Requested role", values: ["participant"] },
      { var: "muc#jid", type: "jid-single", label: "User ID", values: [occupant.main.jid.full] },
      { var: "muc#roomnick", type: "text-single", label: "Room nickname", values: [occupant.nick] },
      { var: "muc#request_allow", type: "boolean", label: "Grant voice to this person?", values: [formFlag(false)] },
    ],
  });
  return spread([message({ from: room.jid, payload })], moderators(room));
}

function moderators(room: Room): Jid[] {
  const devices: Jid[] = [];
  for (const occupant of room.state.occupants.values()) {
    if (occupant.role === "moderator") devices.push(...occupant.sessions.map((session) => session.jid));
  }
  return devices;
}

function voiceAnswer(room: Room, moderator: Occupant, values: FormValues, allowed: boolean): Outcome {
  if (moderator.role !== "moderator") throw new StanzaError("forbidden", { text: "Only moderators give voice" });
  if (!allowed) return [];
  const nick = values.get("muc#roomnick")?.[0] ?? "";
  const occupant = room.state.occupants.get(nick);
  if (occupant === undefined) throw new StanzaError("item-not-found", { text: "Nobody of that name is in the room" });
  if (occupant.role !== "visitor") return [];
  return changeRoles(room, moderator, [{ nick, role: "participant" }]);
}

/** Asks the admins who are in the room. Throws `StanzaError` not-allowed when none is. */
export function askForMembership(room: Room, account: Jid, nick: string): Outcome {
  const admins: Jid[] = [];
  for (const occupant of room.state.occupants.values()) {
    if (!isAtLeast(room.affiliationOf(occupant.account), "admin")) continue;
    admins.push(...occupant.sessions.map((session) => session.jid));
  }
  if (admins.length === 0) {
    throw new StanzaError("not-allowed", { text: "Admins decide who becomes a member, and none of them is there" });
  }
  checkRequest(room, "membership", account);
  const payload = formToFill({
    title: "Registration request",
    instructions: "To make this person a member, choose so and submit the form.",
    formType: ns.mucRegister,
    fields: [
      { var: "muc#register_jid", type: "jid-single", label: "User ID", values: [account.bare] },
      { var: "muc#register_roomnick", type: "text-single", label: "Desired nickname", values: [nick] },
      {
        var: "muc#register_allow",
        type: "boolean",
        label: "Allow this person to register with the room?",
        values: [formFlag(false)],
      },
    ],
  });
  return spread([message({ from: room.jid, payload })], admins);
}

function membership(room: Room, admin: Jid, values: FormValues): MaybePromise<Outcome> {
  room.requireAffiliation(admin, "admin");
  if (formBoolean(values.get("muc#register_allow")?.[0] ?? "") !== true) return [];
  const account = parseJid(values.get("muc#register_jid")?.[0] ?? "");
  if (account === undefined || account.local === "") {
    throw new StanzaError("jid-malformed", { text: "Whom to make a member is missing" });
  }
  return registerNick(room, account.toBare(), values.get("muc#register_roomnick")?.[0] ?? "");
}
