/**
 * What an entity says of itself: XEP-0030 2.5.0 identities and features, XEP-0128 1.0.1 forms, and their hashes by
 * XEP-0115 1.6.0 and XEP-0390 0.3.2.
 */
import { createHash } from "node:crypto";
import type { Element } from "../xml/element.ts";
import { attributes, type Xml, xml } from "../xml/xml.ts";
import { ns } from "./ns.ts";

export interface DiscoIdentity {
  readonly category: string;
  readonly type: string;
  readonly lang?: string;
  readonly name?: string;
}

/** An entry of XEP-0030's items. */
export interface DiscoItem {
  readonly jid: string;
  readonly node?: string;
  readonly name?: string;
}

export interface DiscoField {
  readonly var: string;
  /** Type of the field, such as `hidden`; text-single when left out. */
  readonly type?: string;
  readonly values: readonly string[];
}

/** XEP-0128: one data form of type "result". */
export interface DiscoForm {
  readonly fields: readonly DiscoField[];
}

export interface DiscoInfo {
  readonly identities: readonly DiscoIdentity[];
  readonly features: readonly string[];
  readonly forms: readonly DiscoForm[];
  /** Something stood in the answer that XEP-0390 section 4.1 refuses to hash. */
  readonly irregular?: boolean;
}

/** A form of this FORM_TYPE (XEP-0068). */
export function discoForm(formType: string, fields: readonly DiscoField[]): DiscoForm {
  return { fields: [{ var: "FORM_TYPE", type: "hidden", values: [formType] }, ...fields] };
}

/** The `<query/>` that carries it. */
export function discoInfoElement(info: DiscoInfo, node?: string): Xml {
  const identities = info.identities.map(
    ({ category, type, lang, name }) => xml`<identity${attributes({ category, type, "xml:lang": lang, name })}/>`,
  );
  const features = info.features.map((feature) => xml`<feature var='${feature}'/>`);
  const forms = info.forms.map(formElement);
  return xml`<query xmlns='${ns.discoInfo}'${attributes({ node })}>${identities}${features}${forms}</query>`;
}

/** The `<query/>` of disco#items; `rest` goes behind the items. */
export function discoItemsElement(items: readonly DiscoItem[], node?: string, rest?: Xml): Xml {
  const elements = items.map((item) => xml`<item${attributes({ jid: item.jid, node: item.node, name: item.name })}/>`);
  return xml`<query xmlns='${ns.discoItems}'${attributes({ node })}>${elements}${rest}</query>`;
}

function formElement(form: DiscoForm): Xml {
  const fields = form.fields.map((field) => {
    const values = field.values.map((value) => xml`<value>${value}</value>`);
    return xml`<field${attributes({ var: field.var, type: field.type })}>${values}</field>`;
  });
  return xml`<x xmlns='${ns.dataForms}' type='result'>${fields}</x>`;
}

/** Reads a `<query/>`; `lang` is the language it stands in. Undefined when it is no disco#info. */
export function parseDiscoInfo(query: Element, lang = ""): DiscoInfo | undefined {
  if (!query.is("query", ns.discoInfo)) return undefined;
  const identities: DiscoIdentity[] = [];
  const features: string[] = [];
  const forms: DiscoForm[] = [];
  let irregular = false;
  const outer = query.attr("xml:lang") ?? lang;
  for (const child of query.elements()) {
    if (child.is("identity", ns.discoInfo)) {
      const own = child.attr("xml:lang") ?? outer;
      identities.push({
        category: child.attr("category") ?? "",
        type: child.attr("type") ?? "",
        ...(own === "" ? {} : { lang: own }),
        ...(child.attr("name") === undefined ? {} : { name: child.attr("name")! }),
      });
    } else if (child.is("feature", ns.discoInfo)) features.push(child.attr("var") ?? "");
    else if (child.is("x", ns.dataForms)) {
      forms.push({ fields: child.childrenNamed("field").map(parseField) });
      if (child.child("reported") !== undefined || child.child("item") !== undefined) irregular = true;
    } else irregular = true;
  }
  return { identities, features, forms, ...(irregular ? { irregular } : {}) };
}

function parseField(field: Element): DiscoField {
  const type = field.attr("type");
  const values = field.childrenNamed("value").map((value) => value.text());
  return { var: field.attr("var") ?? "", ...(type === undefined ? {} : { type }), values };
}

/** The FORM_TYPE of a form; undefined when it has none as XEP-0068 wants it. */
export function formTypeOf(form: DiscoForm): string | undefined {
  const field = form.fields.find((candidate) => candidate.var === "FORM_TYPE");
  return field?.type === "hidden" ? field.values[0] : undefined;
}

/** XEP-0300 names of hash functions, which are also IANA's for XEP-0115's, with the names the platform knows them by. */
const hashFunctions: Readonly<Record<string, string>> = {
  "sha-1": "sha1",
  "sha-224": "sha224",
  "sha-256": "sha256",
  "sha-384": "sha384",
  "sha-512": "sha512",
  "sha3-256": "sha3-256",
  "sha3-512": "sha3-512",
};

/** Whether we can compute this hash function. */
export function isHashKnown(name: string): boolean {
  return Object.hasOwn(hashFunctions, name);
}

function hashOf(input: string, name: string): string | undefined {
  if (!isHashKnown(name)) return undefined;
  return createHash(hashFunctions[name]!).update(input, "utf8").digest("base64");
}

/** XEP-0115 section 5.1: the verification string; undefined for a hash function we do not know. */
export function capsVersion(info: DiscoInfo, hash: string): string | undefined {
  return hashOf(capsInput(info), hash);
}

/** XEP-0390 section 4.2: the hash; undefined for a hash function we do not know, or what that XEP refuses to hash. */
export function caps2Hash(info: DiscoInfo, hash: string): string | undefined {
  const input = caps2Input(info);
  return input === undefined ? undefined : hashOf(input, hash);
}

/** XEP-0115 section 5.1, steps 1 to 7. Forms without a hidden FORM_TYPE are left out (section 5.4). */
export function capsInput(info: DiscoInfo): string {
  let input = "";
  const identities = [...info.identities].sort(
    (a, b) =>
      compareOctets(a.category, b.category) ||
      compareOctets(a.type, b.type) ||
      compareOctets(a.lang ?? "", b.lang ?? "") ||
      compareOctets(a.name ?? "", b.name ?? ""),
  );
  for (const { category, type, lang, name } of identities) input += `${category}/${type}/${lang ?? ""}/${name ?? ""}<`;
  for (const feature of [...info.features].sort(compareOctets)) input += `${feature}<`;
  const forms = info.forms.filter((form) => formTypeOf(form) !== undefined);
  forms.sort((a, b) => compareOctets(formTypeOf(a)!, formTypeOf(b)!));
  for (const form of forms) {
    input += `${formTypeOf(form)}<`;
    const fields = form.fields.filter((field) => field.var !== "FORM_TYPE");
    fields.sort((a, b) => compareOctets(a.var, b.var));
    for (const field of fields) {
      input += `${field.var}<`;
      for (const value of [...field.values].sort(compareOctets)) input += `${value}<`;
    }
  }
  return input;
}

/** XEP-0390 section 4.1; undefined where that algorithm aborts. */
export function caps2Input(info: DiscoInfo): string | undefined {
  if (info.irregular || info.forms.some((form) => formTypeOf(form) === undefined)) return undefined;
  const features = info.features.map((feature) => `${feature}\x1f`);
  const identities = info.identities.map(
    ({ category, type, lang, name }) => `${category}\x1f${type}\x1f${lang ?? ""}\x1f${name ?? ""}\x1f\x1e`,
  );
  const forms = info.forms.map((form) => {
    const fields = form.fields.map((field) => {
      const values = field.values.map((value) => `${value}\x1f`);
      return `${field.var}\x1f${joinSorted(values)}\x1e`;
    });
    return `${joinSorted(fields)}\x1d`;
  });
  return `${joinSorted(features)}\x1c${joinSorted(identities)}\x1c${joinSorted(forms)}\x1c`;
}

function joinSorted(parts: string[]): string {
  return parts.sort(compareOctets).join("");
}

/** Order of the UTF-8 octets (i;octet), which is that of code points; that of UTF-16 differs beyond the first plane. */
export function compareOctets(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x === y) continue;
    const xSurrogate = x >= 0xd800 && x <= 0xdfff;
    const ySurrogate = y >= 0xd800 && y <= 0xdfff;
    if (xSurrogate !== ySurrogate) return xSurrogate ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** XEP-0115 section 5.4, steps 3.3 to 3.5: why an answer is ill-formed; undefined when it is not. */
export function illFormed(info: DiscoInfo): string | undefined {
  const identities = info.identities.map((id) => `${id.category}/${id.type}/${id.lang ?? ""}/${id.name ?? ""}`);
  if (hasDoubles(identities)) return "an identity twice";
  if (hasDoubles(info.features)) return "a feature twice";
  const types: string[] = [];
  for (const form of info.forms) {
    const type = formTypeOf(form);
    if (type === undefined) continue;
    types.push(type);
    const values = form.fields.find((field) => field.var === "FORM_TYPE")!.values;
    if (values.some((value) => value !== type)) return "a form with two FORM_TYPEs";
  }
  return hasDoubles(types) ? "two forms of one FORM_TYPE" : undefined;
}

const languageTag = /^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$/;

/**
 * Why an answer with the right XEP-0115 hash may still be forged: the hashed text forgets where identities end and
 * features begin, so one text can be read in several ways (the warning of section 5.4). Such an answer is believed of the
 * client that gave it and of no other. Undefined when no other honest answer has this text.
 */
export function ambiguity(info: DiscoInfo): string | undefined {
  if (info.identities.length === 0) return "no identity";
  for (const { category, type, lang, name } of info.identities) {
    if (category === "" || type === "") return "an identity without category or type";
    if (category.includes("/") || type.includes("/")) return "a slash in an identity";
    if (lang !== undefined && !languageTag.test(lang)) return "no language";
    if (`${category}${type}${name ?? ""}`.includes("<")) return "a '<' in an identity";
  }
  let last = "";
  for (const feature of info.features) {
    if (feature === "" || feature.includes("<")) return "an empty feature or one with '<'";
    if (compareOctets(feature, last) > 0) last = feature;
  }
  for (const form of info.forms) {
    const type = formTypeOf(form);
    if (type === undefined) continue;
    // Features at the end of the text, sorted as they are, could be passed off as a form and so be hidden.
    if (compareOctets(type, last) > 0) return "a form that may be features";
    for (const field of form.fields) {
      if (field.var.includes("<") || field.values.some((value) => value.includes("<"))) return "a '<' in a form";
    }
  }
  return undefined;
}

function hasDoubles(texts: readonly string[]): boolean {
  return new Set(texts).size < texts.length;
}
