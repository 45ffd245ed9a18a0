/** XEP-0313 section 4: what a query asks for, and the form that says what it may ask for. */
import { type FormValues, formBoolean, submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { type PageRequest, pageRequest } from "../../stanza/result-set.ts";
import { parseTimestamp } from "../../stanza/timestamp.ts";
import { firstIdAt, lastIdAt, parseTimeId } from "../../util/time-ids.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import type { ArchiveFilter } from "./archive-store.ts";
import { wordsOf } from "./words.ts";

/** XEP-0431. */
const fullText = `{${ns.fullText}}fulltext`;
/** Most ids one query may ask for by name. */
const idsMax = 500;
const fieldsMax = 32;
/** A client matches results to queries by it; it is repeated in each. */
const queryIdCharsMax = 1_000;
/** Words of a search that count. */
const searchWordsMax = 20;

/** Whose archive is asked, and what the asking one may ask for. */
export interface QueriedArchive {
  readonly owner: Jid;
  readonly kind: "account" | "room";
  /** In a room: `with` may name real addresses. */
  readonly seesRealAddresses: boolean;
  readonly fullTextSearch: boolean;
}

export interface ArchiveQuery {
  readonly queryId: string | undefined;
  readonly filter: ArchiveFilter;
  readonly page: PageRequest;
  /** Bounds of the page within what the filter matches. */
  readonly after: bigint | undefined;
  readonly before: bigint | undefined;
  /** Send the page's messages in reverse order. */
  readonly flip: boolean;
  /** MongooseIM's own field: do not count. */
  readonly simple: boolean;
  /** Ids that must be in the archive. */
  readonly mentioned: readonly bigint[];
  /** Nothing can match: a search without a single word. */
  readonly nothing: boolean;
}

/** Throws `StanzaError` for what is wrong with the query. */
export function readQuery(query: Element, archive: QueriedArchive): ArchiveQuery {
  const queryId = query.attr("queryid");
  if (queryId !== undefined && queryId.length > queryIdCharsMax) {
    throw new StanzaError("policy-violation", { text: `A queryid has at most ${queryIdCharsMax} characters` });
  }
  if (query.attr("node") !== undefined) throw new StanzaError("item-not-found", { text: "This archive has no nodes" });
  const form = submittedForm(query, ns.mam, { fieldsMax, valuesMax: idsMax }) ?? new Map<string, readonly string[]>();
  const fields = new Fields(form);
  const page = pageRequest(query);

  const mentioned: bigint[] = [];
  const mention = (text: string | undefined): bigint | undefined => {
    if (text === undefined) return undefined;
    const id = knownId(text);
    mentioned.push(id);
    return id;
  };
  const beforeId = mention(fields.text("before-id"));
  const afterId = mention(fields.text("after-id"));
  const ids = fields.texts("ids")?.map((text) => mention(text)!);
  const after = mention(page.after);
  const before = mention(page.before === "" ? undefined : page.before);

  const search = fields.text(fullText, "full-text-search") ?? "";
  if (search !== "" && !archive.fullTextSearch) throw unknownField(fullText);
  const words = search === "" ? undefined : wordsOf(search, searchWordsMax);
  const filter: ArchiveFilter = {
    owner: archive.owner.bare,
    ...withWhom(fields.text("with"), archive),
    from: highest(fields.time("start", firstIdAt), next(afterId), fields.id("from-id")),
    to: lowest(fields.time("end", lastIdAt), previous(beforeId), fields.id("to-id")),
    ids,
    groupchat: fields.boolean("include-groupchat"),
    words,
  };
  const simple = fields.boolean("simple") ?? false;
  fields.refuseOthers();
  return {
    queryId,
    filter: withoutUndefined(filter),
    page,
    after,
    before,
    flip: query.child("flip-page") !== undefined,
    simple,
    mentioned,
    nothing: words?.length === 0,
  };
}

/** The fields of a form, each looked at once. */
class Fields {
  readonly #form: FormValues;
  readonly #known = new Set<string>();

  constructor(form: FormValues) {
    this.#form = form;
  }

  texts(...names: string[]): readonly string[] | undefined {
    let found: readonly string[] | undefined;
    for (const name of names) {
      this.#known.add(name);
      found ??= this.#form.get(name);
    }
    return found;
  }

  text(...names: string[]): string | undefined {
    return this.texts(...names)?.[0];
  }

  boolean(name: string): boolean | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = formBoolean(text);
    if (value === undefined) throw new StanzaError("bad-request", { text: `${name} is true or false` });
    return value;
  }

  time(name: string, idAt: (ms: number) => bigint): bigint | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const time = parseTimestamp(text);
    if (time === undefined) throw new StanzaError("bad-request", { text: `${name} is no date and time (XEP-0082)` });
    return idAt(time);
  }

  /** A bound that need not be in the archive. */
  id(name: string): bigint | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : knownId(text);
  }

  refuseOthers(): void {
    for (const name of this.#form.keys()) if (!this.#known.has(name)) throw unknownField(name);
  }
}

function unknownField(name: string): StanzaError {
  return new StanzaError("feature-not-implemented", { text: `The field ${name.slice(0, 100)} is not known here` });
}

function knownId(text: string): bigint {
  const id = parseTimeId(text);
  if (id === undefined) throw new StanzaError("item-not-found", { text: "The archive has no such id" });
  return id;
}

/** Section 4.1.1. */
function withWhom(text: string | undefined, archive: QueriedArchive): Partial<ArchiveFilter> {
  if (text === undefined) return {};
  const jid = parseJid(text);
  if (jid === undefined) throw new StanzaError("jid-malformed", { text: "'with' is no address" });
  if (archive.kind === "account") {
    // Messages to oneself match by the bare address alone.
    const exact = jid.resource !== "" && jid.bare !== archive.owner.bare;
    return { peer: exact ? { bare: jid.bare, resource: jid.resource } : { bare: jid.bare } };
  }
  if (jid.bare === archive.owner.bare) return { nick: jid.resource };
  if (!archive.seesRealAddresses) {
    throw new StanzaError("forbidden", { text: "This room does not say who its occupants are" });
  }
  return { sender: jid.bare };
}

const next = (id: bigint | undefined) => (id === undefined ? undefined : id + 1n);
const previous = (id: bigint | undefined) => (id === undefined ? undefined : id - 1n);

/** The greatest of the lower bounds that are there. */
export function highest(...bounds: readonly (bigint | undefined)[]): bigint | undefined {
  return bounds.reduce((found, bound) =>
    found === undefined || (bound !== undefined && bound > found) ? bound : found,
  );
}

/** The smallest of the upper bounds that are there. */
export function lowest(...bounds: readonly (bigint | undefined)[]): bigint | undefined {
  return bounds.reduce((found, bound) =>
    found === undefined || (bound !== undefined && bound < found) ? bound : found,
  );
}

function withoutUndefined(filter: ArchiveFilter): ArchiveFilter {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as typeof filter;
}

/** Section 4.1.6: the fields there are. */
export function queryForm(archive: Pick<QueriedArchive, "kind" | "fullTextSearch">): Xml {
  const open = xml`<validate xmlns='${ns.formValidation}' datatype='xs:string'><open/></validate>`;
  const groupchat = archive.kind === "account" && xml`<field type='boolean' var='include-groupchat'/>`;
  const search = archive.fullTextSearch && xml`<field type='text-single' var='${fullText}'/>`;
  return xml`<query xmlns='${ns.mam}'><x xmlns='${ns.dataForms}' type='form'><field type='hidden' var='FORM_TYPE'><value>${ns.mam}</value></field><field type='jid-single' var='with'/><field type='text-single' var='start'/><field type='text-single' var='end'/><field type='text-single' var='before-id'/><field type='text-single' var='after-id'/><field type='list-multi' var='ids'>${open}</field>${groupchat}${search}</x></query>`;
}
