/** The picture and card of a room: XEP-0054 on its address, with XEP-0486 MUC Avatars 0.1.0. */
import { type MaybePromise, type Outcome, reply, spread } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { photoOf } from "../../stanza/vcard-photo.ts";
import type { Element } from "../../xml/element.ts";
import { raw } from "../../xml/xml.ts";
import { avatarPresence } from "./entering.ts";
import type { Room } from "./room.ts";
import { notice } from "./room-presence.ts";

const vcardCharsMax = 100_000;

export async function getVcard(room: Room, from: Jid): Promise<Outcome> {
  if (room.affiliationOf(from) === "outcast")
    throw new StanzaError("forbidden", { text: "You are banned from the room" });
  const vcard = room.isStored ? await room.house.store.vcard(room.jid.local) : room.state.vcard;
  if (vcard === undefined) throw new StanzaError("item-not-found", { text: "The room has no vCard" });
  return reply(raw(vcard));
}

export function setVcard(room: Room, from: Jid, vcard: Element): MaybePromise<Outcome> {
  room.requireAffiliation(from, "owner");
  const text = vcard.toXml();
  if (text.length > vcardCharsMax) {
    throw new StanzaError("policy-violation", { text: `A room's vCard has at most ${vcardCharsMax} characters` });
  }
  return room.inOrder(async () => {
    const { state, house } = room;
    const avatar = photoOf(vcard)?.hash ?? "";
    if (room.isStored) {
      await house.store.setVcard(room.jid.local, text);
      await house.store.change(
        room.jid.local,
        { ...room.row(), state: JSON.stringify({ ...state.stored, avatar }) },
        [],
      );
    } else state.vcard = text;
    const changed = state.avatar !== avatar;
    state.avatar = avatar;
    const effects = notice(room, "", [104]);
    if (changed && state.size > 0) effects.push(spread([avatarPresence(room)], state.everyone));
    return effects;
  });
}
