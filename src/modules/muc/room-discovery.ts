/** What a room says of itself (XEP-0045 sections 6.4 to 6.6), and who has which nickname. */
import { type Outcome, reply } from "../../hooks/effect.ts";
import { type DiscoField, type DiscoInfo, discoForm, discoInfoElement } from "../../stanza/disco-info.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { formFlag } from "../../stanza/form-text.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Element } from "../../xml/element.ts";
import { parseElement } from "../../xml/element.ts";
import { attributes, xml } from "../../xml/xml.ts";
import { listCharsMax, pageOf } from "./paging.ts";
import type { Room } from "./room.ts";
import { isAtLeast } from "./room-state.ts";

const reservedNickNode = "x-roomuser-item";
const itemsMost = 1_000;
const contactsMost = 10;

/** What every room can do. */
const roomFeatures: readonly string[] = [
  ns.muc,
  ns.mucStableId,
  ns.mucSelfPing,
  ns.mucRegister,
  ns.mucRequest,
  ns.mucRoomConfig,
  ns.mucRoomInfo,
  ns.discoInfo,
  ns.discoItems,
  ns.moderation,
  ns.occupantId,
  ns.ping,
  ns.register,
  ns.rsm,
  ns.stanzaIds,
  ns.vcard,
];

export function roomInfo(room: Room, from: Jid, node: string | undefined): Outcome {
  switch (node) {
    case undefined:
    case "":
      return reply(discoInfoElement(describe(room)));
    case reservedNickNode:
      return reply(discoInfoElement(reservedNick(room, from), node));
    case ns.mucTraffic:
      // Section 18.1.1: nothing is filtered out.
      throw new StanzaError("service-unavailable");
    default:
      throw new StanzaError("item-not-found", { text: "There is no such node" });
  }
}

function reservedNick(room: Room, from: Jid): DiscoInfo {
  const nick = room.state.affiliations.get(from.bare)?.nick;
  const identities = nick === undefined ? [] : [{ category: "conference", type: "text", name: nick }];
  return { identities, features: [], forms: [] };
}

function describe(room: Room): DiscoInfo {
  const { config } = room.state;
  const kind = [
    config.passwordProtected ? "muc_passwordprotected" : "muc_unsecured",
    config.public ? "muc_public" : "muc_hidden",
    config.persistent ? "muc_persistent" : "muc_temporary",
    config.membersOnly ? "muc_membersonly" : "muc_open",
    config.moderated ? "muc_moderated" : "muc_unmoderated",
    config.anonymous ? "muc_semianonymous" : "muc_nonanonymous",
  ];
  const features = new Set([...roomFeatures, ...(room.archive?.features ?? []), ...kind]);
  return {
    identities: [{ category: "conference", type: "text", name: room.title }],
    features: [...features].sort(),
    forms: [discoForm(ns.mucRoomInfo, infoFields(room))],
  };
}

function infoFields(room: Room): DiscoField[] {
  const { config, subject, occupants, avatar } = room.state;
  const fields: DiscoField[] = [
    { var: "muc#roomconfig_roomname", values: [config.title] },
    { var: "muc#roominfo_description", values: [config.description] },
    { var: "muc#roominfo_occupants", values: [String(occupants.size)] },
    { var: "muc#roomconfig_changesubject", type: "boolean", values: [formFlag(config.allowChangeSubject)] },
    { var: "muc#roominfo_subjectmod", type: "boolean", values: [formFlag(config.allowChangeSubject)] },
    { var: "muc#maxhistoryfetch", values: [String(config.maxHistory)] },
  ];
  // What is spoken of where not everybody may enter is nobody else's matter.
  if (subject !== undefined && !config.membersOnly && !config.passwordProtected) {
    const text = parseElement(`<x>${subject.inner}</x>`, ns.client).childText("subject", ns.client);
    if (text !== undefined) fields.push({ var: "muc#roominfo_subject", values: [text] });
  }
  if (config.lang !== "") fields.push({ var: "muc#roominfo_lang", values: [config.lang] });
  if (config.pubsub !== "") fields.push({ var: "muc#roomconfig_pubsub", values: [config.pubsub] });
  if (avatar !== "") fields.push({ var: "muc#roominfo_avatarhash", type: "text-multi", values: [avatar] });
  if (!config.anonymous) {
    const owners: string[] = [];
    for (const [jid, { affiliation }] of room.state.affiliations) {
      if (affiliation === "owner" && owners.length < contactsMost) owners.push(jid);
    }
    fields.push({ var: "muc#roominfo_contactjid", type: "jid-multi", values: owners });
  }
  return fields;
}

/** Without asking for a password, which nobody gives before he enters. */
function mayEnter(room: Room, from: Jid): boolean {
  const affiliation = room.affiliationOf(from);
  const { membersOnly, passwordProtected } = room.state.config;
  return isAtLeast(affiliation, membersOnly || passwordProtected ? "member" : "none");
}

/** Section 6.5: who is in the room, where that is no secret. */
export function roomItems(room: Room, from: Jid, query: Element): Outcome {
  const node = query.attr("node");
  if (node !== undefined && node !== "") throw new StanzaError("item-not-found", { text: "There is no such node" });
  const visible = room.state.occupantAt(from) !== undefined || (room.state.config.publicList && mayEnter(room, from));
  const all = visible ? [...room.state.occupants.keys()] : [];
  const items = all.map((nick) => {
    const { full } = room.jid.withResource(nick);
    return { id: full, xml: xml`<item jid='${full}'/>`.text };
  });
  const page = pageOf(items, query, { items: itemsMost, chars: listCharsMax });
  return reply(xml`<query xmlns='${ns.discoItems}'${attributes({ node })}>${page}</query>`);
}
