/** XEP-0059 Result Set Management 1.0: asking for a page of a long list, and saying which page it is. */
import type { Element } from "../xml/element.ts";
import { attributes, type Xml, xml } from "../xml/xml.ts";
import { StanzaError } from "./errors.ts";
import { ns } from "./ns.ts";

/** What a client asks for; everything may be left out. */
export interface PageRequest {
  readonly max: number | undefined;
  /** Items that follow the one with this id. */
  readonly after: string | undefined;
  /** Items that precede the one with this id; "" for the last page. */
  readonly before: string | undefined;
  /** The place of the first item wanted, counted from 0. */
  readonly index: number | undefined;
}

const wholeList: PageRequest = { max: undefined, after: undefined, before: undefined, index: undefined };

/** The `<set/>` inside a query. Throws `StanzaError` bad-request for numbers that are none. */
export function pageRequest(query: Element): PageRequest {
  const set = query.child("set", ns.rsm);
  if (set === undefined) return wholeList;
  return {
    max: wholeNumber("max", set.childText("max")),
    after: set.childText("after"),
    before: set.childText("before"),
    index: wholeNumber("index", set.childText("index")),
  };
}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\s*\d{1,15}\s*$/.test(text)) throw new StanzaError("bad-request", { text: `<${name}/> is a whole number` });
  return Number(text);
}

/** Which page was returned. */
export interface PageSaid {
  readonly first?: string | undefined;
  readonly last?: string | undefined;
  /** Place of the first item in the whole list. */
  readonly index?: number | undefined;
  /** Length of the whole list. */
  readonly count?: number | undefined;
}

/** The `<set/>` of an answer. */
export function resultSet({ first, last, index, count }: PageSaid): Xml {
  const items =
    first === undefined || last === undefined
      ? undefined
      : xml`<first${attributes({ index })}>${first}</first><last>${last}</last>`;
  return xml`<set xmlns='${ns.rsm}'>${items}${count === undefined ? undefined : xml`<count>${count}</count>`}</set>`;
}
