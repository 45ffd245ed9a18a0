/** What rooms tell their occupants, as the inside of messages. */
import { ns } from "../../stanza/ns.ts";
import { escapeText } from "../../xml/xml.ts";
import type { AffiliationChange } from "./affiliations.ts";
import { type ConfigTexts, configXml } from "./room-schema.ts";

/** Of which a notice says what it needs to. */
export interface Versions {
  readonly previous?: string;
  readonly version?: string;
}

/** A body belongs to each: servers and clients that know nothing of rooms keep messages by it. */
const body = "<body/>";

export function affiliationsNotice(users: readonly AffiliationChange[], versions: Versions = {}): string {
  return `<x xmlns='${ns.mucLightAffiliations}'>${versionsXml(versions)}${usersXml(users)}</x>${body}`;
}

export function configurationNotice(texts: ConfigTexts, versions: Versions): string {
  return `<x xmlns='${ns.mucLightConfiguration}'>${versionsXml(versions)}${configXml(texts)}</x>${body}`;
}

export function destroyedNotice(jid: string): string {
  const left = affiliationsNotice([{ jid, affiliation: "none" }]);
  return `${left.slice(0, -body.length)}<x xmlns='${ns.mucLightDestroy}'/>${body}`;
}

export function usersXml(users: Iterable<AffiliationChange>): string {
  let text = "";
  for (const { jid, affiliation } of users) text += `<user affiliation='${affiliation}'>${escapeText(jid)}</user>`;
  return text;
}

function versionsXml({ previous, version }: Versions): string {
  const before = previous === undefined ? "" : `<prev-version>${escapeText(previous)}</prev-version>`;
  return version === undefined ? before : `${before}<version>${escapeText(version)}</version>`;
}
