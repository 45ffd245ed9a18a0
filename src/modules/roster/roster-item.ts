/** RFC 6121 section 2.1: roster items as clients send and see them, with the limits of section 2.3.3. */
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Element } from "../../xml/element.ts";
import { escapeAttribute, escapeText, Xml } from "../../xml/xml.ts";
import type { RosterItem } from "./roster-store.ts";
import { APPROVED, PENDING_OUT, subscriptionOf } from "./subscription.ts";

/** Most characters of a contact's name and of a group's. */
export const nameCharsMax = 1023;
/** Most groups one contact is in. */
export const groupsMax = 100;

/** What a client wants of one contact. */
export interface ItemWish {
  readonly contact: Jid;
  readonly remove: boolean;
  readonly name: string;
  readonly groups: readonly string[];
}

/**
 * Reads the `<query/>` of a roster set. The other attributes of the item are the server's to set, and ignored (2.1.2).
 * @throws StanzaError bad-request, jid-malformed, not-acceptable.
 */
export function readWish(query: Element): ItemWish {
  const items = query.childrenNamed("item");
  const [item] = items;
  if (item === undefined || items.length !== 1) {
    throw new StanzaError("bad-request", { text: "A roster set has exactly one item" });
  }
  const address = item.attr("jid");
  if (address === undefined) throw new StanzaError("bad-request", { text: "A roster item needs a jid" });
  const contact = parseJid(address);
  if (contact === undefined) {
    throw new StanzaError("jid-malformed", { text: "The jid of the item is not an address (RFC 7622)" });
  }
  if (item.attr("subscription") === "remove") return { contact, remove: true, name: "", groups: [] };
  const name = item.attr("name") ?? "";
  const groups = item.childrenNamed("group").map((group) => group.text());
  checkNames(name, groups);
  return { contact, remove: false, name, groups };
}

/** Section 2.3.3. @throws StanzaError bad-request for a group given twice, not-acceptable for a name that is none. */
export function checkNames(name: string, groups: readonly string[]): void {
  if (name.length > nameCharsMax) {
    throw new StanzaError("not-acceptable", { text: `A name has at most ${nameCharsMax} characters` });
  }
  if (groups.length > groupsMax) {
    throw new StanzaError("not-acceptable", { text: `A contact is in at most ${groupsMax} groups` });
  }
  if (new Set(groups).size !== groups.length) {
    throw new StanzaError("bad-request", { text: "A group is named twice" });
  }
  for (const group of groups) {
    if (group === "") throw new StanzaError("not-acceptable", { text: "A group needs a name" });
    if (group.length > nameCharsMax) {
      throw new StanzaError("not-acceptable", { text: `A group's name has at most ${nameCharsMax} characters` });
    }
  }
}

/** One `<item/>`, as text. */
export function itemText(item: RosterItem): string {
  let out = `<item jid='${escapeAttribute(item.jid)}'`;
  if (item.name !== "") out += ` name='${escapeAttribute(item.name)}'`;
  out += ` subscription='${subscriptionOf(item.state)}'`;
  if (item.state & PENDING_OUT) out += " ask='subscribe'";
  if (item.state & APPROVED) out += " approved='true'";
  if (item.groups.length === 0) return `${out}/>`;
  out += ">";
  for (const group of item.groups) out += `<group>${escapeText(group)}</group>`;
  return `${out}</item>`;
}

/** The item of a push that takes a contact away. */
export function removedText(jid: string): string {
  return `<item jid='${escapeAttribute(jid)}' subscription='remove'/>`;
}

/** The `<query/>` around items; `version` only where versioning is on. */
export function queryXml(items: string, version: number | undefined): Xml {
  const ver = version === undefined ? "" : ` ver='${version}'`;
  return new Xml(
    items === "" ? `<query xmlns='${ns.roster}'${ver}/>` : `<query xmlns='${ns.roster}'${ver}>${items}</query>`,
  );
}
