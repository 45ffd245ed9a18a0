/** `legacy_mode`: what rooms tell their occupants, in the words of XEP-0045. Nicknames are bare addresses. */
import { type Effect, route, spread } from "../../hooks/effect.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { message, presence } from "../../stanza/stanza.ts";
import { attributes, type XmlValue, xml } from "../../xml/xml.ts";
import type { AffiliationChange } from "./affiliations.ts";
import { addressesOf } from "./occupancy.ts";
import { movement, notice, type Tongue } from "./tongue.ts";

const roles = { owner: "moderator", member: "participant", none: "none" } as const;

/** As XEP-0045 names an occupant. */
export function legacyItem({ jid, affiliation }: AffiliationChange) {
  const nick = affiliation === "none" ? undefined : jid;
  return xml`<item${attributes({ affiliation, jid, nick, role: roles[affiliation] })}/>`;
}

function status(code: number) {
  return xml`<status code='${String(code)}'/>`;
}

function occupantPresence(room: Jid, occupant: string, type: "unavailable" | undefined, inside: XmlValue, to?: string) {
  const payload = xml`<x xmlns='${ns.mucUser}'>${inside}</x>`;
  const address = to === undefined ? undefined : parseJid(to);
  return presence({ from: room.withResource(occupant), type, payload, to: address });
}

export const legacyTongue: Tongue = {
  /** Only who makes a room is in it at first. */
  created({ room }, users) {
    const told = () =>
      users.map(({ jid, affiliation }) => {
        const item = xml`<item affiliation='${affiliation}' role='${roles[affiliation]}'/>`;
        return route(occupantPresence(room, jid, undefined, [item, status(110), status(201)], jid));
      });
    return { kept: undefined, told };
  },

  configured(about, texts, _versions, occupants) {
    const addresses = addressesOf(occupants.keys());
    const [only] = texts;
    if (only !== undefined && texts.length === 1 && only[0] === "subject") {
      const subject = xml`<subject>${only[1]}</subject>`.text;
      return { kept: subject, told: (mark) => [spread([notice(about, subject + mark)], addresses)] };
    }
    const changed = xml`<x xmlns='${ns.mucUser}'>${status(104)}</x>`.text;
    return { kept: undefined, told: () => [spread([notice(about, changed)], addresses)] };
  },

  changed({ room }, change, _versions, by) {
    const { stay, come, left } = movement(change);
    const inviter = by ?? room.bare;
    const told = (): Effect[] => {
      const seen = change.changes.map((user) => {
        const gone = user.affiliation === "none";
        const inside = gone ? [legacyItem(user), status(321)] : legacyItem(user);
        return occupantPresence(room, user.jid, gone ? "unavailable" : undefined, inside);
      });
      const effects: Effect[] = stay.length === 0 ? [] : [spread(seen, addressesOf(stay))];
      for (const { jid } of come) {
        const payload = xml`<x xmlns='${ns.mucUser}'><invite from='${inviter}'/></x>`;
        effects.push(route(message({ from: room, to: parseJid(jid), payload })));
      }
      for (const jid of left) {
        const inside = [legacyItem({ jid, affiliation: "none" }), status(321)];
        effects.push(route(occupantPresence(room, jid, "unavailable", inside, jid)));
      }
      return effects;
    };
    return { kept: undefined, told };
  },

  destroyed({ room }, occupants) {
    const inside = xml`<item affiliation='none' role='none'/><destroy/>`;
    const told = () =>
      [...occupants.keys()].map((jid) => route(occupantPresence(room, jid, "unavailable", inside, jid)));
    return { kept: undefined, told };
  },
};
