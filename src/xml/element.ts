/** A tree of XML elements: for the few stanzas whose inside someone wants to read or change. */

import { escapeAttribute, escapeText } from "./escape.ts";
import { XML_NS } from "./tag.ts";

export { parseContent, parseElement } from "./parse.ts";

export type Node = Element | string;

/** Attributes for a new element; those without a value are left out. */
export type AttributesInit = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** One element with its namespace resolved. Prefixes of elements are gone; those of attributes stay part of their names. */
export class Element {
  /** Local name. */
  name: string;
  /** Namespace, "" for none. */
  ns: string;
  /** Values by name as written, such as `id` or `xml:lang`; never namespace declarations. */
  readonly attributes: Map<string, string> = new Map();
  /** Child elements and text in document order. */
  readonly children: Node[];
  /** The namespaces of attribute prefixes other than `xml`, if there are any. */
  prefixes: Map<string, string> | undefined = undefined;

  constructor(name: string, ns: string, attributes?: AttributesInit, children: Node[] = []) {
    this.name = name;
    this.ns = ns;
    this.children = children;
    if (attributes !== undefined) {
      for (const key in attributes) this.set(key, attributes[key]);
    }
  }

  /** The value of an attribute by its name as written, or undefined. */
  attr(name: string): string | undefined {
    return this.attributes.get(name);
  }

  /** Sets an attribute, or removes it when the value is null or undefined. Its prefix must be `xml` or in `prefixes`. */
  set(name: string, value: string | number | boolean | null | undefined): this {
    if (value === undefined || value === null) this.attributes.delete(name);
    else this.attributes.set(name, String(value));
    return this;
  }

  /** Adds children at the end; `undefined` adds nothing. */
  append(...nodes: (Node | undefined)[]): this {
    for (const node of nodes) {
      if (node !== undefined) this.children.push(node);
    }
    return this;
  }

  /** Whether this element has that name and, when given, that namespace. */
  is(name: string, ns?: string): boolean {
    return this.name === name && (ns === undefined || this.ns === ns);
  }

  /** The first child element of that name; its namespace is this element's own unless given. */
  child(name: string, ns: string = this.ns): Element | undefined {
    for (const node of this.children) {
      if (typeof node !== "string" && node.name === name && node.ns === ns) return node;
    }
    return undefined;
  }

  /** All child elements of that name; their namespace is this element's own unless given. */
  childrenNamed(name: string, ns: string = this.ns): Element[] {
    const found: Element[] = [];
    for (const node of this.children) {
      if (typeof node !== "string" && node.name === name && node.ns === ns) found.push(node);
    }
    return found;
  }

  /** All child elements. */
  elements(): Element[] {
    const found: Element[] = [];
    for (const node of this.children) {
      if (typeof node !== "string") found.push(node);
    }
    return found;
  }

  /** The first child element, whatever it is. */
  firstElement(): Element | undefined {
    for (const node of this.children) {
      if (typeof node !== "string") return node;
    }
    return undefined;
  }

  /** The text directly inside, "" when there is none. */
  text(): string {
    let out = "";
    for (const node of this.children) {
      if (typeof node === "string") out += node;
    }
    return out;
  }

  /** The text of the first child of that name, or undefined when there is no such child. */
  childText(name: string, ns: string = this.ns): string | undefined {
    return this.child(name, ns)?.text();
  }

  /** A deep copy. */
  clone(): Element {
    const copy = new Element(this.name, this.ns);
    for (const [name, value] of this.attributes) copy.attributes.set(name, value);
    if (this.prefixes !== undefined) copy.prefixes = new Map(this.prefixes);
    for (const node of this.children) copy.children.push(typeof node === "string" ? node : node.clone());
    return copy;
  }

  /**
   * The element as XML for a place whose default namespace is `contextNs`. Elements carry no prefixes, and `xmlns`
   * stands only where the namespace changes; without a context it stands here whenever there is a namespace.
   */
  toXml(contextNs?: string): string {
    const reserved = this.ns === XML_NS; // can only be had by its prefix
    const name = reserved ? `xml:${this.name}` : this.name;
    let out = `<${name}`;
    if (!reserved && this.ns !== contextNs && !(contextNs === undefined && this.ns === "")) {
      out += ` xmlns='${escapeAttribute(this.ns)}'`;
    }
    if (this.prefixes !== undefined) {
      for (const [prefix, ns] of this.prefixes) out += ` xmlns:${prefix}='${escapeAttribute(ns)}'`;
    }
    for (const [name, value] of this.attributes) out += ` ${name}='${escapeAttribute(value)}'`;
    if (this.children.length === 0) return `${out}/>`;
    out += ">";
    const innerNs = reserved ? contextNs : this.ns;
    for (const node of this.children) out += typeof node === "string" ? escapeText(node) : node.toXml(innerNs);
    return `${out}</${name}>`;
  }

  toString(): string {
    return this.toXml();
  }
}

/** Whether two trees mean the same: order of attributes and choice of prefixes do not matter, adjacent texts count as one. */
export function equalElements(a: Element, b: Element): boolean {
  if (a.name !== b.name || a.ns !== b.ns || a.attributes.size !== b.attributes.size) return false;
  const expanded = new Map<string, string>();
  for (const [name, value] of a.attributes) expanded.set(expandedName(a, name), value);
  for (const [name, value] of b.attributes) {
    if (expanded.get(expandedName(b, name)) !== value) return false;
  }
  const left = mergedChildren(a);
  const right = mergedChildren(b);
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) {
    const l = left[i]!;
    const r = right[i]!;
    if (typeof l === "string" || typeof r === "string" ? l !== r : !equalElements(l, r)) return false;
  }
  return true;
}

/** `{namespace}local` for an attribute. */
function expandedName(element: Element, name: string): string {
  const colon = name.indexOf(":");
  if (colon === -1) return name;
  const prefix = name.slice(0, colon);
  const ns = prefix === "xml" ? XML_NS : element.prefixes?.get(prefix);
  return ns === undefined ? name : `{${ns}}${name.slice(colon + 1)}`;
}

function mergedChildren(element: Element): Node[] {
  const merged: Node[] = [];
  for (const node of element.children) {
    const last = merged.length - 1;
    if (node === "") continue;
    if (typeof node === "string" && typeof merged[last] === "string") merged[last] += node;
    else merged.push(node);
  }
  return merged;
}
