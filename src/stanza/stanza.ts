/** A stanza (RFC 6120 section 8) as it travels through the house: its addresses parsed, its inside untouched text. */
import { type Element, parseElement } from "../xml/element.ts";
import { type Frame, parseFrame } from "../xml/scanner.ts";
import { escapeAttribute, type Xml } from "../xml/xml.ts";
import { StanzaError } from "./errors.ts";
import { type Jid, parseJid } from "./jid.ts";
import { ns } from "./ns.ts";

export type StanzaKind = "message" | "presence" | "iq";

/** The direct children of a stanza, flat: local name, namespace, start and end offset in its inside, and so on. */
export type ChildIndex = readonly (string | number)[];

const noChildren: ChildIndex = [];

/** The parts a new stanza is made of; what is left out is not written. */
export interface StanzaParts {
  to?: Jid | undefined;
  from?: Jid | undefined;
  type?: string | undefined;
  id?: string | undefined;
  /** Value of `xml:lang`. */
  lang?: string | undefined;
  payload?: Xml | string | undefined;
}

/** Immutable: every change makes a new stanza, sharing the inside. */
export class Stanza {
  readonly kind: StanzaKind;
  readonly to: Jid | undefined;
  readonly from: Jid | undefined;
  readonly type: string | undefined;
  readonly id: string | undefined;
  /** All other attributes, as they stand on the wire: ` xml:lang='en'`. */
  readonly extra: string;
  /** The serialised children, valid where the default namespace is `jabber:client`. */
  readonly inner: string;
  #children: ChildIndex | undefined;
  #xml: string | undefined = undefined;

  constructor(
    kind: StanzaKind,
    to: Jid | undefined,
    from: Jid | undefined,
    type: string | undefined,
    id: string | undefined,
    extra: string,
    inner: string,
    children: ChildIndex | undefined,
  ) {
    this.kind = kind;
    this.to = to;
    this.from = from;
    this.type = type;
    this.id = id;
    this.extra = extra;
    this.inner = inner;
    this.#children = inner === "" ? noChildren : children;
  }

  /** The direct children's names and places; computed when the stanza was made here and not scanned. */
  get children(): ChildIndex {
    this.#children ??= indexChildren(this.inner);
    return this.#children;
  }

  /** Whether a direct child of this name and namespace exists. */
  has(name: string, namespace: string): boolean {
    const children = this.children;
    for (let at = 0; at < children.length; at += 4) {
      if (children[at] === name && children[at + 1] === namespace) return true;
    }
    return false;
  }

  /** Whether any direct child is in this namespace. */
  hasNamespace(namespace: string): boolean {
    const children = this.children;
    for (let at = 1; at < children.length; at += 4) if (children[at] === namespace) return true;
    return false;
  }

  /** The first direct child of this name (and namespace, `jabber:client` unless told) as a tree, parsed now. */
  child(name: string, namespace: string = ns.client): Element | undefined {
    const children = this.children;
    for (let at = 0; at < children.length; at += 4) {
      if (children[at] === name && children[at + 1] === namespace) return this.#parse(at);
    }
    return undefined;
  }

  /** Every direct child as a tree, parsed now. */
  elements(): Element[] {
    const elements: Element[] = [];
    for (let at = 0; at < this.children.length; at += 4) elements.push(this.#parse(at));
    return elements;
  }

  /** The only payload of an IQ request (RFC 6120 section 8.2.3), parsed now. */
  firstChild(): Element | undefined {
    return this.children.length === 0 ? undefined : this.#parse(0);
  }

  #parse(at: number): Element {
    return parseElement(this.inner.slice(this.children[at + 2] as number, this.children[at + 3] as number), ns.client);
  }

  /** The text of a direct child of `jabber:client`, such as `body` or `show`. */
  text(name: string): string | undefined {
    return this.child(name)?.text();
  }

  withFrom(from: Jid | undefined): Stanza {
    return new Stanza(this.kind, this.to, from, this.type, this.id, this.extra, this.inner, this.#children);
  }

  withTo(to: Jid | undefined): Stanza {
    return new Stanza(this.kind, to, this.from, this.type, this.id, this.extra, this.inner, this.#children);
  }

  /** Both addresses at once, as every stanza of a client needs. */
  withAddresses(from: Jid | undefined, to: Jid | undefined): Stanza {
    return new Stanza(this.kind, to, from, this.type, this.id, this.extra, this.inner, this.#children);
  }

  withType(type: string | undefined): Stanza {
    return new Stanza(this.kind, this.to, this.from, type, this.id, this.extra, this.inner, this.#children);
  }

  /** The same stanza with one more child, of this name and namespace, at the end. */
  withChild(name: string, namespace: string, child: Xml): Stanza {
    const start = this.inner.length;
    const inner = this.inner + child.text;
    const children = [...this.children, name, namespace, start, inner.length];
    return new Stanza(this.kind, this.to, this.from, this.type, this.id, this.extra, inner, children);
  }

  /** The same stanza without the direct children for which `drop` says so. */
  withoutChildren(drop: (name: string, namespace: string, parse: () => Element) => boolean): Stanza {
    let inner = "";
    let kept = 0;
    let changed = false;
    for (let at = 0; at < this.children.length; at += 4) {
      const name = this.children[at] as string;
      const namespace = this.children[at + 1] as string;
      if (!drop(name, namespace, () => this.#parse(at))) continue;
      inner += this.inner.slice(kept, this.children[at + 2] as number);
      kept = this.children[at + 3] as number;
      changed = true;
    }
    if (!changed) return this;
    inner += this.inner.slice(kept);
    return new Stanza(this.kind, this.to, this.from, this.type, this.id, this.extra, inner, undefined);
  }

  /** For `StanzaMould`: the same stanza to somebody else, with the text it is written as. */
  written(to: Jid, xml: string): Stanza {
    const copy = new Stanza(this.kind, to, this.from, this.type, this.id, this.extra, this.inner, this.children);
    copy.#xml = xml;
    return copy;
  }

  /** As written to a stream whose default namespace is `jabber:client`. */
  toXml(): string {
    this.#xml ??= this.#serialise("");
    return this.#xml;
  }

  /** As written where no stream header has bound the namespace: a WebSocket frame or a forwarded copy. */
  toStandaloneXml(): string {
    return this.#serialise(" xmlns='jabber:client'");
  }

  #serialise(declaration: string): string {
    let text = `<${this.kind}${declaration}`;
    if (this.from !== undefined) text += ` from='${this.from.escaped}'`;
    if (this.to !== undefined) text += ` to='${this.to.escaped}'`;
    if (this.type !== undefined) text += ` type='${escapeAttribute(this.type)}'`;
    if (this.id !== undefined) text += ` id='${escapeAttribute(this.id)}'`;
    text += this.extra;
    return this.inner === "" ? `${text}/>` : `${text}>${this.inner}</${this.kind}>`;
  }
}

/**
 * Makes copies of one stanza that differ in `to` alone. Everything else is serialised once, and copies that wait in many
 * queues share its text.
 */
export class StanzaMould {
  readonly #stanza: Stanza;
  readonly #head: string;
  readonly #tail: string;

  constructor(stanza: Stanza) {
    this.#stanza = stanza;
    const text = stanza.withTo(undefined).toXml();
    // What stands before `to` when a stanza is written: its name and `from`.
    const at = 1 + stanza.kind.length + (stanza.from === undefined ? 0 : 8 + stanza.from.escaped.length);
    this.#head = `${text.slice(0, at)} to='`;
    this.#tail = `'${text.slice(at)}`;
  }

  copy(to: Jid): Stanza {
    return this.#stanza.written(to, this.#head + to.escaped + this.#tail);
  }
}

function make(kind: StanzaKind, parts: StanzaParts): Stanza {
  const extra = parts.lang === undefined ? "" : ` xml:lang='${escapeAttribute(parts.lang)}'`;
  const payload = parts.payload;
  const inner = payload === undefined ? "" : typeof payload === "string" ? payload : payload.text;
  return new Stanza(kind, parts.to, parts.from, parts.type, parts.id, extra, inner, undefined);
}

export const message = (parts: StanzaParts): Stanza => make("message", parts);
export const presence = (parts: StanzaParts): Stanza => make("presence", parts);
export const iq = (parts: StanzaParts & { type: "get" | "set" | "result" | "error" }): Stanza => make("iq", parts);

const messageTypes = new Set(["normal", "chat", "groupchat", "headline", "error"]);
const presenceTypes = new Set([
  "error",
  "probe",
  "subscribe",
  "subscribed",
  "unavailable",
  "unsubscribe",
  "unsubscribed",
]);
const iqTypes = new Set(["get", "set", "result", "error"]);

/**
 * The stanza in a frame of a stream. Returns undefined when the frame is no stanza.
 * Throws `StanzaError`: jid-malformed for an address that is none, bad-request for a type or IQ shape RFC 6120 forbids.
 * An unknown message type counts as normal (RFC 6121 section 5.2.2).
 */
export function stanzaFromFrame(frame: Frame): Stanza | undefined {
  const kind = frame.name;
  if (kind !== "message" && kind !== "presence" && kind !== "iq") return undefined;
  let to: string | undefined;
  let from: string | undefined;
  let type: string | undefined;
  let id: string | undefined;
  let extra = "";
  const attributes = frame.attributes;
  for (let at = 0; at < attributes.length; at += 2) {
    const value = attributes[at + 1]!;
    switch (attributes[at]) {
      case "to":
        to = value;
        break;
      case "from":
        from = value;
        break;
      case "type":
        type = value;
        break;
      case "id":
        id = value;
        break;
      default:
        // A prefix other than xml: is bound outside the inside, where a receiver cannot see it.
        if (attributes[at] === "xml:lang" || !attributes[at]!.includes(":")) {
          extra += ` ${attributes[at]}='${escapeAttribute(value)}'`;
        }
    }
  }
  const problem = typeProblem(kind, type, id, frame.children.length);
  const toJid = to === undefined ? undefined : parseJid(to);
  const fromJid = from === undefined ? undefined : parseJid(from);
  if (problem !== undefined || (to !== undefined && toJid === undefined)) {
    const error =
      problem ?? new StanzaError("jid-malformed", { text: "The 'to' attribute is not an address (RFC 7622)" });
    throw new UnroutableStanza(new Stanza(kind, toJid, fromJid, type, id, extra, frame.inner, frame.children), error);
  }
  if (from !== undefined && fromJid === undefined) throw new InvalidFrom();
  if (kind === "message" && type !== undefined && !messageTypes.has(type)) type = undefined;
  return new Stanza(kind, toJid, fromJid, type, id, extra, frame.inner, frame.children);
}

function typeProblem(kind: StanzaKind, type: string | undefined, id: string | undefined, children: number) {
  if (kind === "iq") {
    if (type === undefined || !iqTypes.has(type)) {
      return new StanzaError("bad-request", { text: "The type of an iq is get, set, result or error" });
    }
    if (id === undefined || id === "") return new StanzaError("bad-request", { text: "An iq needs an id" });
    if ((type === "get" || type === "set") && children !== 4) {
      return new StanzaError("bad-request", { text: "An iq request has exactly one child" });
    }
    if (type === "result" && children > 4) {
      return new StanzaError("bad-request", { text: "An iq result has at most one child" });
    }
  } else if (kind === "presence" && type !== undefined && !presenceTypes.has(type)) {
    return new StanzaError("bad-request", { text: `'${type.slice(0, 32)}' is no type of presence` });
  }
  return undefined;
}

/** A stanza whose sender gets an error back instead of it being routed. */
export class UnroutableStanza extends Error {
  override readonly name = "UnroutableStanza";
  readonly stanza: Stanza;
  readonly error: StanzaError;

  constructor(stanza: Stanza, error: StanzaError) {
    super(error.message);
    this.stanza = stanza;
    this.error = error;
  }
}

/** The `from` of a client's stanza is no address at all: stream error invalid-from (RFC 6120 section 4.9.3.9). */
export class InvalidFrom extends Error {
  override readonly name = "InvalidFrom";
}

function indexChildren(inner: string): ChildIndex {
  return parseFrame(`<m>${inner}</m>`, undefined, ns.client).children;
}
