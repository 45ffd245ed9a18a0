/** Answers queries of XEP-0313: the messages of a page as stanzas, and the words that end it. */
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultSet } from "../../stanza/result-set.ts";
import { Stanza } from "../../stanza/stanza.ts";
import { lastIdAt, timeOfId } from "../../util/time-ids.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, escapeAttribute, type Xml, xml } from "../../xml/xml.ts";
import { type ArchiveQuery, highest, lowest, type QueriedArchive, queryForm, readQuery } from "./archive-query.ts";
import type { ArchiveEnds, ArchiveFilter, ArchiveRow, ArchiveStore } from "./archive-store.ts";

/** Most text of one page, which waits in memory for a client that is slow to take it: messages may be long. */
const pageCharsMax = 1_000_000;
/** Longer lists are not counted: XEP-0059 allows it where counting is dear. */
const countedMax = 1_000;
/** The last place that `<index/>` may name. */
const skippedMax = 10_000;
/** Where each row has to be looked at, and not the index alone. */
const countedSlowlyMax = 250;
/** `<max>0</max>` asks for nothing but the count, so there it may take longer. */
const countedAloneMax = 1_000_000;

export interface ReaderLimits {
  readonly defaultResultLimit: number;
  readonly maxResultLimit: number;
  readonly enforceSimpleQueries: boolean;
}

export interface ArchiveAnswer {
  /** In the order they are to be sent. */
  readonly messages: readonly Stanza[];
  readonly fin: Xml;
  readonly query: ArchiveQuery;
  /** In the order of the archive. */
  readonly page: readonly ArchiveRow[];
  readonly complete: boolean;
}

export class ArchiveReader {
  readonly #store: ArchiveStore;
  readonly #written: () => Promise<boolean>;
  readonly #limits: ReaderLimits;

  /** `written`: see `ModuleContext.written`. */
  constructor(store: ArchiveStore, written: () => Promise<boolean>, limits: ReaderLimits) {
    this.#store = store;
    this.#written = written;
    this.#limits = limits;
  }

  form(archive: Pick<QueriedArchive, "kind" | "fullTextSearch">): Xml {
    return queryForm(archive);
  }

  /** Section 5: where the archive begins and ends. */
  async metadata(owner: Jid): Promise<Xml> {
    return this.metadataOf(await this.ends(owner));
  }

  async ends(owner: Jid): Promise<ArchiveEnds | undefined> {
    await this.#written();
    return this.#store.ends(owner.bare);
  }

  metadataOf(ends: ArchiveEnds | undefined): Xml {
    if (ends === undefined) return xml`<metadata xmlns='${ns.mam}'/>`;
    return xml`<metadata xmlns='${ns.mam}'><start${endAttributes(ends.first)}/><end${endAttributes(ends.last)}/></metadata>`;
  }

  /** Of messages that were there at `upTo`, where that is given. Throws `StanzaError`. */
  async answer(payload: Element, archive: QueriedArchive, to: Jid, upTo?: number): Promise<ArchiveAnswer> {
    const asked = readQuery(payload, archive);
    const query = upTo === undefined ? asked : endingAt(asked, lastIdAt(upTo));
    // What was taken in before the query is in the answer; else a message on its way just now would be neither there nor in live traffic.
    const stable = await this.#written();
    const mentioned = await this.#store.existing(archive.owner.bare, query.mentioned);
    if (query.mentioned.some((id) => !mentioned.has(id))) {
      throw new StanzaError("item-not-found", { text: "The archive has no such id" });
    }
    const { page, complete, skipped } = await this.#page(query);
    const { index, count } = await this.#place(query, page, complete, skipped);
    const rows = query.flip ? page.toReversed() : page;
    const set = resultSet({ first: page[0]?.id.toString(), last: page.at(-1)?.id.toString(), index, count });
    const fin = xml`<fin xmlns='${ns.mam}'${attributes({ complete: complete ? "true" : undefined, stable: stable ? undefined : "false" })}>${set}</fin>`;
    const messages = rows.map((row) => resultMessage(archive, to, query.queryId, row));
    return { messages, fin, query, page, complete };
  }

  async #page(query: ArchiveQuery): Promise<{ page: ArchiveRow[]; complete: boolean; skipped: number }> {
    const { defaultResultLimit, maxResultLimit } = this.#limits;
    const limit = Math.min(query.page.max ?? defaultResultLimit, maxResultLimit);
    const { filter, page: wanted } = query;
    const skipped = wanted.index ?? 0;
    if (skipped > skippedMax) {
      throw new StanzaError("feature-not-implemented", { text: `No page by an index beyond ${skippedMax}` });
    }
    if (query.nothing) return { page: [], complete: true, skipped };
    const backwards = wanted.before !== undefined;
    const bounds: ArchiveFilter = {
      ...filter,
      ...bound("from", highest(filter.from, query.after === undefined ? undefined : query.after + 1n)),
      ...bound("to", lowest(filter.to, query.before === undefined ? undefined : query.before - 1n)),
    };
    const skip = skipped > 0 ? { skip: skipped } : {};
    const found = await this.#store.page(bounds, { limit: limit + 1, backwards, ...skip });
    const fit = Math.min(limit, fitting(backwards ? found.toReversed() : found));
    // What does not fit is at the end that the next page begins with.
    const page = backwards ? found.slice(found.length - fit) : found.slice(0, fit);
    return { page, complete: page.length === found.length, skipped };
  }

  /** The page's place in all that match the filter, where it is cheap to tell. */
  async #place(
    query: ArchiveQuery,
    page: readonly ArchiveRow[],
    complete: boolean,
    skipped: number,
  ): Promise<{ index?: number; count?: number }> {
    const { filter, page: wanted, after, before } = query;
    if (query.nothing) return { count: 0 };
    const whole = after === undefined && before === undefined && skipped === 0;
    if (whole && complete) return { index: 0, count: page.length };
    if (query.simple || this.#limits.enforceSimpleQueries) return {};
    const alone = wanted.max === 0;
    // The index of words has to find all of them before the first is counted.
    if (filter.words !== undefined && wanted.max !== 0) return {};
    const slow = (filter.peer ?? filter.nick ?? filter.sender) !== undefined;
    const most = alone ? countedAloneMax : slow ? countedSlowlyMax : countedMax;
    const { total, earlier } = await this.#store.count(filter, most + 1, page[0]?.id);
    if (total > most) return alone ? { count: most } : whole && wanted.before === undefined ? { index: 0 } : {};
    return page.length === 0 ? { count: total } : { index: earlier, count: total };
  }
}

/** How many of the first messages one answer carries, at least one. */
function fitting(rows: readonly ArchiveRow[]): number {
  let chars = 0;
  for (let at = 0; at < rows.length; at++) {
    chars += rows[at]!.stanza.length;
    if (chars > pageCharsMax && at > 0) return at;
  }
  return rows.length;
}

function endingAt(query: ArchiveQuery, last: bigint): ArchiveQuery {
  return { ...query, filter: { ...query.filter, ...bound("to", lowest(query.filter.to, last)) } };
}

function bound(name: "from" | "to", value: bigint | undefined): Partial<ArchiveFilter> {
  return value === undefined ? {} : { [name]: value };
}

function endAttributes(id: bigint): Xml {
  return attributes({ id: id.toString(), timestamp: new Date(timeOfId(id)).toISOString() });
}

/** Section 4.2. Written as one text: there are many of them. */
function resultMessage(archive: QueriedArchive, to: Jid, queryId: string | undefined, row: ArchiveRow): Stanza {
  const query = queryId === undefined ? "" : ` queryid='${escapeAttribute(queryId)}'`;
  const stamp = new Date(timeOfId(row.id)).toISOString();
  const inner = `<result xmlns='${ns.mam}'${query} id='${row.id}'><forwarded xmlns='${ns.forward}'><delay xmlns='${ns.delay}' stamp='${stamp}'/>${forwardedText(row, archive)}</forwarded></result>`;
  return new Stanza("message", to, archive.owner, undefined, undefined, "", inner, ["result", ns.mam, 0, inner.length]);
}

const tagLength = "<message".length;

/** The message as it stands in the archive, fit for a place of another namespace; in a room perhaps with who sent it. */
function forwardedText(row: ArchiveRow, archive: QueriedArchive): string {
  const text = `<message xmlns='${ns.client}'${row.stanza.slice(tagLength)}`;
  if (archive.kind !== "room" || !archive.seesRealAddresses || row.peer === "") return text;
  const who = `<x xmlns='${ns.mucUser}'><item jid='${escapeAttribute(row.peer)}'/></x>`;
  if (text.endsWith("/>")) return `${text.slice(0, -2)}>${who}</message>`;
  return `${text.slice(0, -"</message>".length)}${who}</message>`;
}
