/** Pages (XEP-0059) of lists that a room has in memory. */
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { pageRequest, resultSet } from "../../stanza/result-set.ts";
import type { Element } from "../../xml/element.ts";
import { raw, type Xml } from "../../xml/xml.ts";

/** One that stands in a list: what pages know it by, and its text. */
export interface Listed {
  readonly id: string;
  readonly xml: string;
}

/** Of one answer. */
export const listCharsMax = 500_000;

export interface PageLimits {
  readonly items: number;
  /** A stanza that is longer may not reach whoever has asked, or the node he is at. At least one item is given. */
  readonly chars: number;
}

/** The items that a query asks for, and the `<set/>` behind them unless they are all. @throws StanzaError item-not-found. */
export function pageOf(all: readonly Listed[], query: Element, limits: PageLimits): Xml {
  const page = pageRequest(query);
  const most = Math.min(page.max ?? limits.items, limits.items);
  let first = page.index ?? 0;
  let last = Math.min(first + most, all.length);
  if (page.after !== undefined) {
    first = placeOf(all, page.after) + 1;
    last = Math.min(first + most, all.length);
  } else if (page.before !== undefined) {
    last = page.before === "" ? all.length : placeOf(all, page.before);
    first = Math.max(0, last - most);
  }
  const shown = all.slice(first, last);
  const backwards = page.after === undefined && page.before !== undefined;
  while (shown.length > 1 && charsOf(shown) > limits.chars) {
    // In few steps, and never past the end that the page is to touch.
    const excess = Math.ceil(shown.length * (1 - limits.chars / charsOf(shown)));
    shown.splice(backwards ? 0 : shown.length - excess, Math.min(excess, shown.length - 1));
    if (backwards) first = last - shown.length;
  }
  const set = { first: shown[0]?.id, last: shown.at(-1)?.id, index: first, count: all.length };
  const partial = shown.length < all.length || query.child("set", ns.rsm) !== undefined;
  return raw(shown.map((item) => item.xml).join("") + (partial ? resultSet(set).text : ""));
}

function charsOf(items: readonly Listed[]): number {
  let chars = 0;
  for (const item of items) chars += item.xml.length;
  return chars;
}

function placeOf(all: readonly Listed[], id: string): number {
  const at = all.findIndex((item) => item.id === id);
  if (at < 0) throw new StanzaError("item-not-found", { text: "There is no such item" });
  return at;
}
