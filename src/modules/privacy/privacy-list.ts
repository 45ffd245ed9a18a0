/** XEP-0016 section 2.1: one privacy list, its rules, and what it decides. Pure. */
import type { RosterEntry, Subscription } from "../../hooks/points.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, raw, type Xml, xml } from "../../xml/xml.ts";

/** Kinds of stanzas a rule may be about; a sum of them is a rule's `kinds`. */
export const MESSAGE = 1;
export const IQ = 2;
export const PRESENCE_IN = 4;
export const PRESENCE_OUT = 8;
/** A rule about every stanza in both directions. */
export const EVERYTHING = 16;

const kindNames = [
  ["message", MESSAGE],
  ["iq", IQ],
  ["presence-in", PRESENCE_IN],
  ["presence-out", PRESENCE_OUT],
] as const;

export type RuleType = "jid" | "group" | "subscription" | "any";

/** `<item/>`: plain data, as it is stored. */
export interface Rule {
  readonly type: RuleType;
  /** An address, the name of a group, a subscription; "" for "any". */
  readonly value: string;
  readonly allow: boolean;
  readonly order: number;
  readonly kinds: number;
}

/** What the roster knows about the other side. */
export type ContactFacts = Pick<RosterEntry, "subscription" | "groups">;

const stranger: ContactFacts = { subscription: "none", groups: [] };

/** Most rules in one list. */
export const rulesMax = 5_000;
const orderMax = 2 ** 32 - 1;
const groupCharsMax = 1_023;

/** A list made ready to be asked for every stanza: however many addresses it names, an answer takes a few look-ups. */
export class PrivacyList {
  /** In ascending order. */
  readonly rules: readonly Rule[];
  /** Whether a decision needs to know the contact's roster entry. */
  readonly needsRoster: boolean;
  readonly #byAddress = new Map<string, Rule[]>();
  readonly #others: Rule[] = [];

  constructor(rules: readonly Rule[]) {
    this.rules = [...rules].sort((a, b) => a.order - b.order);
    for (const rule of this.rules) {
      if (rule.type !== "jid") {
        this.#others.push(rule);
        continue;
      }
      const same = this.#byAddress.get(rule.value);
      if (same === undefined) this.#byAddress.set(rule.value, [rule]);
      else same.push(rule);
    }
    this.needsRoster = this.#others.some((rule) => rule.type !== "any");
  }

  /** The first rule about this peer and kind of stanza (0: neither message, IQ nor presence notification). */
  ruleFor(peer: Jid, kind: number, facts: ContactFacts = stranger): Rule | undefined {
    let first: Rule | undefined;
    if (this.#byAddress.size > 0) {
      first = this.#firstAt(peer.bare, kind, first);
      if (peer.resource !== "") first = this.#firstAt(peer.full, kind, first);
      if (peer.local !== "") first = this.#firstAt(peer.domain, kind, first);
    }
    for (const rule of this.#others) {
      if (first !== undefined && first.order < rule.order) break;
      if (applies(rule, kind) && concerns(rule, facts)) return rule;
    }
    return first;
  }

  /** Whether this list keeps such a stanza away; who is in no rule is allowed (section 2.2). */
  denies(peer: Jid, kind: number, facts?: ContactFacts): boolean {
    return this.ruleFor(peer, kind, facts)?.allow === false;
  }

  #firstAt(address: string, kind: number, best: Rule | undefined): Rule | undefined {
    const rules = this.#byAddress.get(address);
    if (rules === undefined) return best;
    for (const rule of rules) {
      if (best !== undefined && best.order <= rule.order) return best;
      if (applies(rule, kind)) return rule;
    }
    return best;
  }
}

function applies(rule: Rule, kind: number): boolean {
  return rule.kinds === EVERYTHING || (rule.kinds & kind) !== 0;
}

function concerns(rule: Rule, facts: ContactFacts): boolean {
  switch (rule.type) {
    case "group":
      return facts.groups.includes(rule.value);
    case "subscription":
      return facts.subscription === rule.value;
    default:
      return true;
  }
}

/**
 * The kind of a stanza as rules see it: subscriptions, probes and the like are no notifications (section 2.12), and of
 * what a user sends, only presence can be singled out.
 */
export function kindOf(stanza: Stanza, direction: "in" | "out"): number {
  switch (stanza.kind) {
    case "message":
      return direction === "in" ? MESSAGE : 0;
    case "iq":
      return direction === "in" ? IQ : 0;
    case "presence":
      if (stanza.type !== undefined && stanza.type !== "unavailable") return 0;
      return direction === "in" ? PRESENCE_IN : PRESENCE_OUT;
  }
}

/** Whether XEP-0191 shows this rule as a blocked address. */
export function isBlock(rule: Rule): boolean {
  return rule.type === "jid" && !rule.allow && rule.kinds === EVERYTHING;
}

const subscriptions: ReadonlySet<string> = new Set<Subscription>(["none", "to", "from", "both"]);

/** The rules of a `<list/>`. Throws `StanzaError` bad-request for what section 2.1 forbids, policy-violation for too many. */
export function readRules(list: Element): Rule[] {
  const items = list.elements();
  if (items.length > rulesMax) {
    throw new StanzaError("policy-violation", { text: `A privacy list has at most ${rulesMax} items` });
  }
  const rules: Rule[] = [];
  const orders = new Set<number>();
  for (const item of items) {
    if (!item.is("item", list.ns)) throw bad(`<${item.name}/> in a privacy list`);
    const rule = readRule(item);
    if (orders.has(rule.order)) throw bad(`The order ${rule.order} is given twice`);
    orders.add(rule.order);
    rules.push(rule);
  }
  return rules;
}

function readRule(item: Element): Rule {
  const action = item.attr("action");
  if (action !== "allow" && action !== "deny") throw bad("An action is allow or deny");
  const orderText = item.attr("order") ?? "";
  const order = Number(orderText);
  if (orderText.trim() === "" || !Number.isInteger(order) || order < 0 || order > orderMax) {
    throw bad("An order is a non-negative integer");
  }
  let kinds = 0;
  for (const child of item.elements()) {
    const kind = child.ns === item.ns ? kindNames.find(([name]) => name === child.name) : undefined;
    if (kind === undefined) throw bad(`No rule is about <${child.name}/>`);
    kinds |= kind[1];
  }
  const { type, value } = readSubject(item.attr("type"), item.attr("value"));
  return { type, value, allow: action === "allow", order, kinds: kinds === 0 ? EVERYTHING : kinds };
}

function readSubject(type: string | undefined, value: string | undefined): { type: RuleType; value: string } {
  if (type === undefined) return { type: "any", value: "" };
  if (value === undefined) throw bad(`A rule of type ${type.slice(0, 32)} needs a value`);
  switch (type) {
    case "jid": {
      const jid = parseJid(value);
      if (jid === undefined) throw bad("The value of a rule of type jid is an address");
      return { type, value: jid.full };
    }
    case "group":
      if (value === "" || value.length > groupCharsMax) throw bad("That is no name of a group");
      return { type, value };
    case "subscription":
      if (!subscriptions.has(value)) throw bad("A subscription is none, to, from or both");
      return { type, value };
    default:
      throw bad(`'${type.slice(0, 32)}' is no type of rule`);
  }
}

function bad(text: string): StanzaError {
  return new StanzaError("bad-request", { text });
}

/** `<item/>` of a rule. */
export function ruleXml(rule: Rule): Xml {
  const given = {
    type: rule.type === "any" ? undefined : rule.type,
    value: rule.type === "any" ? undefined : rule.value,
    action: rule.allow ? "allow" : "deny",
    order: rule.order,
  };
  if (rule.kinds === EVERYTHING) return xml`<item${attributes(given)}/>`;
  const kinds = kindNames.filter(([, kind]) => (rule.kinds & kind) !== 0).map(([name]) => `<${name}/>`);
  return xml`<item${attributes(given)}>${kinds.map((kind) => raw(kind))}</item>`;
}
