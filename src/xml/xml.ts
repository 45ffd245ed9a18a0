/** The `xml` tagged template: composes XML text in which every inserted string is escaped. */

import { Element } from "./element.ts";
import { escapeAttribute, escapeText } from "./escape.ts";

export { escapeAttribute, escapeText } from "./escape.ts";

/** Text that is XML already and is inserted as it stands. */
export class Xml {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

/** What a template accepts: strings and numbers are escaped, XML and elements inserted, lists joined, nothing left out. */
export type XmlValue = string | number | bigint | boolean | null | undefined | Xml | Element | readonly XmlValue[];

/** No XML at all. */
export const NO_XML = new Xml("");

/** Vouches that a string is well-formed XML content, such as the inside of a stanza. */
export function raw(text: string): Xml {
  return text === "" ? NO_XML : new Xml(text);
}

/**
 * Composes XML: ``xml`<query xmlns='${ns}'>${items}</query>` ``. An inserted string is escaped for the place it stands in
 * (attribute value or text); `undefined`, `null` and `false` insert nothing. An `Element` brings its namespace declaration along.
 */
export function xml(strings: TemplateStringsArray, ...values: XmlValue[]): Xml {
  const inAttribute = placesOf(strings);
  let out = strings[0]!;
  for (let i = 0; i < values.length; i++) {
    out += rendered(values[i], inAttribute[i] === 1) + strings[i + 1]!;
  }
  return new Xml(out);
}

/**
 * Attributes for a start tag, each with a leading space, those without a value left out:
 * ``xml`<item${attributes({ jid, name })}/>` ``.
 */
export function attributes(values: Readonly<Record<string, string | number | boolean | null | undefined>>): Xml {
  let out = "";
  for (const name in values) {
    const value = values[name];
    if (value !== undefined && value !== null) out += ` ${name}='${escapeAttribute(String(value))}'`;
  }
  return raw(out);
}

function rendered(value: XmlValue, inAttribute: boolean): string {
  if (value === undefined || value === null || value === false) return "";
  if (typeof value === "string") return inAttribute ? escapeAttribute(value) : escapeText(value);
  if (value instanceof Xml) return inAttribute ? escapeAttribute(value.text) : value.text;
  if (value instanceof Element) return inAttribute ? escapeAttribute(value.toXml()) : value.toXml();
  if (Array.isArray(value)) {
    let out = "";
    for (const item of value) out += rendered(item, inAttribute);
    return out;
  }
  return String(value);
}

/** The engine hands the same array for the same template, so each template is examined once. */
const places = new WeakMap<TemplateStringsArray, Uint8Array>();

/** For each hole of a template, 1 when it stands inside a quoted attribute value. */
function placesOf(strings: TemplateStringsArray): Uint8Array {
  let found = places.get(strings);
  if (found === undefined) {
    found = new Uint8Array(strings.length - 1);
    let inTag = false;
    let quote = "";
    for (let i = 0; i < found.length; i++) {
      for (const c of strings[i]!) {
        if (quote !== "") quote = c === quote ? "" : quote;
        else if (!inTag) inTag = c === "<";
        else if (c === ">") inTag = false;
        else if (c === "'" || c === '"') quote = c;
      }
      found[i] = quote === "" ? 0 : 1;
    }
    places.set(strings, found);
  }
  return found;
}
