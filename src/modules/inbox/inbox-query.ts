/** What clients ask of their inbox: the form of a query with its pages, and the properties of a conversation; and the forms that say what may be asked. */
import { formBoolean, submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { pageRequest } from "../../stanza/result-set.ts";
import { parseTimestamp } from "../../stanza/timestamp.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import type { EntryFilter, Place, PropertyChange } from "./inbox-store.ts";

/** A client matches results to queries by it; it is repeated in each. */
const queryIdCharsMax = 1_000;
const fieldsMax = 32;
/** Whoever wants silence for longer mutes again. */
const muteSecondsMax = 3_155_760_000;

export interface InboxQuery {
  readonly queryId: string;
  readonly filter: EntryFilter;
  /** In which the client wants them. */
  readonly order: "asc" | "desc";
  /** Undefined where the client names no number. */
  readonly max: number | undefined;
  /** The page follows this place, in the client's order. */
  readonly after: Place | undefined;
  /** The page precedes this place; "end" for the last page. */
  readonly before: Place | "end" | undefined;
}

/** Throws `StanzaError` for what is wrong with the query. `boxes` are all there are. */
export function readInboxQuery(query: Element, iqId: string, boxes: readonly string[]): InboxQuery {
  const queryId = readQueryId(query, iqId);
  // MongooseIM's own examples submit forms of the type "form".
  const given = query.child("x", ns.dataForms);
  if (given?.attr("type") === "form") given.set("type", "submit");
  const form = submittedForm(query, ns.inbox, { fieldsMax, valuesMax: 1 }) ?? new Map<string, readonly string[]>();
  let start: number | undefined;
  let end: number | undefined;
  let order: "asc" | "desc" = "desc";
  let unreadOnly = false;
  let box: string | undefined;
  let archive: boolean | undefined;
  for (const [name, [value = ""]] of form) {
    switch (name) {
      case "start":
        start = valid(name, value, parseTimestamp(value));
        break;
      case "end":
        end = valid(name, value, parseTimestamp(value));
        break;
      case "order":
        order = valid(name, value, value === "asc" || value === "desc" ? value : undefined);
        break;
      case "hidden_read":
        unreadOnly = valid(name, value, formBoolean(value));
        break;
      case "box":
        box = valid(name, value, value === "all" || boxes.includes(value) ? value : undefined);
        break;
      case "archive":
        archive = valid(name, value, formBoolean(value));
        break;
      default:
        throw new StanzaError("bad-request", {
          text: `Unknown inbox form field=${shortened(name)}, value=${shortened(value)}`,
        });
    }
  }
  if (box === undefined && archive !== undefined) box = archive ? "archive" : "inbox";

  const page = pageRequest(query);
  if (page.index !== undefined) {
    throw new StanzaError("feature-not-implemented", { text: "An inbox has no pages by index" });
  }
  const after = page.after === undefined || page.after === "" ? undefined : readPlace(page.after);
  const before = page.before === undefined ? undefined : page.before === "" ? "end" : readPlace(page.before);
  // Where both say where to begin, the page's word is the newer one.
  const [low, high] = order === "asc" ? [after, before] : [before, after];
  const filter: EntryFilter = {
    ...(start === undefined || low !== undefined ? {} : { start }),
    ...(end === undefined || high !== undefined ? {} : { end }),
    box,
    unreadOnly,
  };
  return { queryId, filter, order, max: page.max, after, before };
}

/** The id of the request where the query has none. */
export function readQueryId(query: Element, iqId: string): string {
  const queryId = query.attr("queryid") ?? iqId;
  if (queryId.length > queryIdCharsMax) {
    throw new StanzaError("policy-violation", { text: `A queryid has at most ${queryIdCharsMax} characters` });
  }
  return queryId;
}

function valid<T>(field: string, text: string, value: T | undefined): T {
  if (value !== undefined) return value;
  throw new StanzaError("bad-request", {
    text: `Invalid inbox form field value, field=${field}, value=${shortened(text)}`,
  });
}

const shortened = (text: string) => text.slice(0, 100);

/** How a place is named in pages: stable however the list changes. */
export function placeId({ at, peer }: Place): string {
  return `${at}/${Buffer.from(peer, "utf8").toString("base64")}`;
}

const placePattern = /^(\d{1,15})\/([A-Za-z0-9+/]+={0,2})$/;

/** XEP-0059 section 2.2: item-not-found for an id that is none of ours. */
function readPlace(id: string): Place {
  const match = placePattern.exec(id);
  if (match === null) throw new StanzaError("item-not-found", { text: "The inbox has no such id" });
  return { at: Number(match[1]), peer: Buffer.from(match[2]!, "base64").toString("utf8") };
}

/** With whom the conversation is that a request names by its `jid`; undefined when it names none. */
export function readPeer(request: Element): Jid | undefined {
  const text = request.attr("jid");
  if (text === undefined) return undefined;
  const jid = parseJid(text);
  if (jid === undefined) throw badRequest("invalid-jid");
  return jid.toBare();
}

export function requirePeer(request: Element): Jid {
  const peer = readPeer(request);
  if (peer === undefined) throw badRequest("jid-required");
  return peer;
}

/** Throws `StanzaError` bad-request with the words MongooseIM's clients know. */
export function readChange(request: Element, boxes: readonly string[], now: number): PropertyChange {
  let box: string | undefined;
  let archive: boolean | undefined;
  let read: boolean | undefined;
  let mutedUntil: number | undefined;
  const properties = request.elements();
  if (properties.length === 0) throw badRequest("no-property");
  for (const property of properties) {
    const value = property.text();
    switch (property.ns === ns.inboxConversation ? property.name : "") {
      case "box":
        if (!boxes.includes(value)) throw badRequest("invalid-box");
        box = value;
        break;
      case "archive":
        archive = trueOrFalse(value);
        break;
      case "read":
        read = trueOrFalse(value);
        break;
      case "mute": {
        const seconds = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
        if (!(seconds <= muteSecondsMax)) throw badRequest("bad-request");
        mutedUntil = seconds === 0 ? 0 : now + seconds * 1_000;
        break;
      }
      default:
        throw badRequest("bad-request");
    }
  }
  box ??= archive === undefined ? undefined : archive ? "archive" : "inbox";
  return {
    ...(box === undefined ? {} : { box }),
    ...(read === undefined ? {} : { read }),
    ...(mutedUntil === undefined ? {} : { mutedUntil }),
  };
}

function trueOrFalse(text: string): boolean {
  if (text === "true") return true;
  if (text === "false") return false;
  throw badRequest("bad-request");
}

function badRequest(text: string): StanzaError {
  return new StanzaError("bad-request", { text });
}

/** What a query may say. */
export function queryForm(boxes: readonly string[]): Xml {
  const order = xml`<field var='order' type='list-single'><value>desc</value>${choice("asc", "Ascending by timestamp")}${choice("desc", "Descending by timestamp")}</field>`;
  return xml`<query xmlns='${ns.inbox}'><x xmlns='${ns.dataForms}' type='form'>${formType(ns.inbox)}<field var='start' type='text-single'/><field var='end' type='text-single'/>${order}<field var='hidden_read' type='text-single'><value>false</value></field>${boxField(boxes)}<field var='archive' type='boolean'><value>false</value></field></x></query>`;
}

/** Which properties a conversation has. */
export function propertyForm(boxes: readonly string[]): Xml {
  return xml`<query xmlns='${ns.inboxConversation}'><x xmlns='${ns.dataForms}' type='form'>${formType(ns.inboxConversation)}${boxField(boxes)}<field var='archive' type='boolean'><value>false</value></field><field var='read' type='boolean'><value>false</value></field><field var='mute' type='text-single'><value>0</value></field></x></query>`;
}

const formType = (name: string): Xml => xml`<field type='hidden' var='FORM_TYPE'><value>${name}</value></field>`;
const choice = (value: string, label = value): Xml => xml`<option label='${label}'><value>${value}</value></option>`;

function boxField(boxes: readonly string[]): Xml {
  return xml`<field var='box' type='list-single'><value>all</value>${["all", ...boxes].map((box) => choice(box))}</field>`;
}
