/** XEP-0425 Moderated Message Retraction 0.3.0: a moderator takes back what somebody has said. */
import type { Effect, Outcome } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { raw, xml } from "../../xml/xml.ts";
import { publish } from "./messages.ts";
import type { Room } from "./room.ts";
import { isAtLeast, occupantIdXml } from "./room-state.ts";

const reasonCharsMax = 1_000;

export async function moderate(room: Room, stanza: Stanza, request: Element): Promise<Outcome> {
  const from = stanza.from!;
  const occupant = room.state.occupantAt(from);
  if (occupant?.role !== "moderator" && !isAtLeast(room.affiliationOf(from), "admin")) {
    throw new StanzaError("forbidden", { text: "Only moderators take back what others have said" });
  }
  const id = request.attr("id");
  if (id === undefined || request.child("retract", ns.retraction) === undefined) {
    throw new StanzaError("bad-request", { text: "Which message is to be retracted?" });
  }
  const by = occupant?.address ?? room.jid;
  const occupantId = room.state.occupantId(from.toBare());
  const reason = request.childText("reason")?.slice(0, reasonCharsMax);
  const { archive } = room;
  const known = room.state.history.find(id) !== undefined;
  const wanted = { by, occupantId, ...(reason === undefined ? {} : { reason }) };
  const retracted = archive === undefined ? known : await archive.moderate(room.jid, id, wanted);
  if (!retracted) throw new StanzaError("item-not-found", { text: "There is no such message" });
  room.state.history.retract(id, undefined);
  const words = reason === undefined ? undefined : xml`<reason>${reason}</reason>`;
  const payload = xml`<retract xmlns='${ns.retraction}' id='${id}'><moderated xmlns='${ns.moderation}' by='${by.full}'>${raw(
    occupantIdXml(occupantId),
  )}</moderated>${words}</retract>`;
  const retraction = message({ from: room.jid, type: "groupchat", id: `retract-${room.house.random.id(9)}`, payload });
  const effects: Effect[] = publish(room, retraction, {
    sender: from,
    occupantId,
    remembered: false,
    subject: undefined,
  });
  return effects;
}
