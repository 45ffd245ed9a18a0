/** What clients ask of rooms, read out of their XML. Everything here throws `StanzaError` bad-request for what is none of it. */
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { Element } from "../../xml/element.ts";
import type { AffiliationChange } from "./affiliations.ts";
import { addressCharsMax, type Blocked } from "./light-store.ts";

/** The version of a room a client knows; "" for none. */
export function knownVersion(query: Element): string {
  return query.childText("version") ?? "";
}

export interface Creation {
  readonly fields: readonly Element[];
  readonly occupants: readonly AffiliationChange[];
}

/** @param isUser whether an address can be an occupant's. */
export function readCreation(query: Element, isUser: (jid: Jid) => boolean): Creation {
  const occupants = readAffiliations(query.child("occupants")?.elements() ?? [], isUser);
  return { fields: query.child("configuration")?.elements() ?? [], occupants };
}

export function readAffiliations(users: readonly Element[], isUser: (jid: Jid) => boolean): AffiliationChange[] {
  return users.map((element) => {
    const affiliation = element.attr("affiliation");
    if (element.name !== "user" || !isAffiliation(affiliation)) {
      throw refused("Expected <user affiliation='owner|member|none'>address</user>");
    }
    const jid = addressIn(element);
    if (!isUser(jid)) throw refused(`${jid.bare} is no user`);
    return { jid: jid.bare, affiliation };
  });
}

export interface BlockingChange {
  readonly deny: readonly Blocked[];
  readonly allow: readonly Blocked[];
}

/** Of two words on one address the last counts. */
export function readBlocking(items: readonly Element[]): BlockingChange {
  const words = new Map<string, Blocked & { action: string }>();
  for (const element of items) {
    const { name: kind } = element;
    const action = element.attr("action");
    if ((kind !== "room" && kind !== "user") || (action !== "allow" && action !== "deny")) {
      throw refused("Expected <room action='deny|allow'>address</room> or <user action='deny|allow'>address</user>");
    }
    const { bare: jid } = addressIn(element);
    words.set(`${kind} ${jid}`, { kind, jid, action });
  }
  if (words.size === 0) throw refused("Whom, or which room?");
  const all = [...words.values()];
  return {
    deny: all.filter(({ action }) => action === "deny"),
    allow: all.filter(({ action }) => action === "allow"),
  };
}

function addressIn(element: Element): Jid {
  return addressFrom(element.firstElement() === undefined ? element.text().trim() : "", `<${element.name}/>`);
}

/** @param where what holds the address. */
function addressFrom(text: string, where: string): Jid {
  const jid = parseJid(text);
  if (jid === undefined || jid.local === "") throw refused(`${where} holds the address of a room or a user`);
  if (jid.bare.length > addressCharsMax) throw refused(`Addresses have at most ${addressCharsMax} characters here`);
  return jid;
}

/** As `readAffiliations`, of the items of muc#admin. */
export function readItems(items: readonly Element[], isUser: (jid: Jid) => boolean): AffiliationChange[] {
  return items.map((item) => {
    const affiliation = item.attr("affiliation");
    if (!isAffiliation(affiliation)) throw refused("Expected <item affiliation='owner|member|none' jid='address'/>");
    const jid = addressFrom(item.attr("jid") ?? "", "jid='' of <item/>");
    if (!isUser(jid)) throw refused(`${jid.bare} is no user`);
    return { jid: jid.bare, affiliation };
  });
}

/** As `readBlocking`, of the items of a privacy list: a room by its address, a user as `service/user`. */
export function readPrivacyItems(items: readonly Element[], service: string): BlockingChange {
  const asBlocking = items.map((item) => {
    const value = item.attr("value") ?? "";
    const isUser = value.startsWith(`${service}/`);
    const attributes = { action: item.attr("action") ?? "" };
    return new Element(isUser ? "user" : "room", "", attributes, [isUser ? value.slice(service.length + 1) : value]);
  });
  return readBlocking(asBlocking);
}

function isAffiliation(text: string | undefined): text is AffiliationChange["affiliation"] {
  return text === "owner" || text === "member" || text === "none";
}

function refused(text: string): StanzaError {
  return new StanzaError("bad-request", { text });
}
