/** XEP-0016 Privacy Lists 1.7: rules of a user about who may reach whom, by address, group or subscription. */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import { deliverTo, type Effect, type Outcome, reply } from "../../hooks/effect.ts";
import type { IqContext } from "../../hooks/points.ts";
import { marks } from "../../session/resource.ts";
import type { Session } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { iq } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";
import { type Guard, guardOf, type PrivacyHouse } from "./guard.ts";
import { PrivacyList, type Rule, readRules, ruleXml } from "./privacy-list.ts";
import { type PrivacyState, type PrivacyWish, privacyMigrations } from "./privacy-store.ts";

/** Most lists of one account. */
const listsMax = 50;
/** Longest name of a list. */
const nameCharsMax = 250;

export const backendOption = option.choice({
  doc: "Where privacy lists and block lists are kept: together.",
  values: ["rdbms"],
  default: "rdbms",
  unsupported: { mnesia: "they are kept in the SQL database" },
});

export const privacy = defineModule({
  name: "mod_privacy",
  summary: "Privacy lists: users decide, rule by rule, who may send them what and who sees them.",
  xeps: [{ number: 16, version: "1.7" }],
  options: { backend: backendOption },
  features: { server: [ns.privacy] },
  migrations: privacyMigrations,

  setup(on, context) {
    const guard = guardOf(on, context);
    const lists = new PrivacyLists(guard, context);
    on.iq("get", "account", ns.privacy, "query", (_request, iq) => lists.get(iq));
    on.iq("set", "account", ns.privacy, "query", (_request, iq) => lists.set(iq));
    guard.onChange((account, before, after) => lists.pushes(account, before, after));
    return undefined;
  },
});

class PrivacyLists {
  readonly #guard: Guard;
  readonly #house: PrivacyHouse;
  /** Names of lists being set by this protocol right now: those pushes go to every resource. */
  readonly #edited = new Set<string>();

  constructor(guard: Guard, house: PrivacyHouse) {
    this.#guard = guard;
    this.#house = house;
  }

  /** Section 2.3. */
  async get({ session, from, payload }: IqContext): Promise<Outcome> {
    if (session !== undefined) session.mark(marks.privacy, true);
    const wanted = payload.elements();
    if (wanted.length > 1) throw new StanzaError("bad-request", { text: "One list at a time" });
    const state = await this.#guard.load(from.toBare());
    const [asked] = wanted;
    if (asked === undefined) return reply(namesXml(state, session && this.#guard.activeNameOf(session)));
    if (!asked.is("list", ns.privacy)) throw new StanzaError("bad-request");
    const name = nameOf(asked);
    const list = name === undefined ? undefined : state.lists.get(name);
    if (name === undefined || list === undefined) throw new StanzaError("item-not-found");
    const items = list.rules.map(ruleXml);
    return reply(xml`<query xmlns='${ns.privacy}'><list name='${name}'>${items}</list></query>`);
  }

  /** Sections 2.4 to 2.8. */
  async set({ session, from, payload }: IqContext): Promise<Outcome> {
    if (session === undefined) throw new StanzaError("not-allowed");
    session.mark(marks.privacy, true);
    const [wish, ...more] = payload.elements();
    if (wish === undefined || more.length > 0 || wish.ns !== ns.privacy) {
      throw new StanzaError("bad-request", { text: "One change at a time" });
    }
    switch (wish.name) {
      case "active":
        return this.#guard.setActive(session, nameOf(wish));
      case "default":
        return this.#guard.change(from.toBare(), (state) => this.#withDefault(state, session, nameOf(wish)));
      case "list":
        return this.#setList(session, wish);
      default:
        throw new StanzaError("bad-request");
    }
  }

  /** Section 2.5. */
  #withDefault(state: PrivacyState, session: Session, name: string | undefined): PrivacyWish | undefined {
    if (name !== undefined && !state.lists.has(name)) throw new StanzaError("item-not-found");
    if (name === state.defaultName) return undefined;
    if (state.defaultName !== undefined && this.#isDefaultElsewhere(session)) throw new StanzaError("conflict");
    return { defaultName: name, lists: state.lists };
  }

  async #setList(session: Session, element: Element): Promise<Outcome> {
    const name = nameOf(element);
    if (name === undefined || name === "" || name.length > nameCharsMax) {
      throw new StanzaError("bad-request", { text: `A list has a name of up to ${nameCharsMax} characters` });
    }
    const rules = readRules(element);
    if (rules.length === 0) {
      return this.#guard.change(session.account, (state) => this.#without(state, session, name));
    }
    await this.#checkGroups(session.account, rules);
    const edited = `${session.account.bare} ${name}`;
    this.#edited.add(edited);
    try {
      return await this.#guard.change(session.account, (state) => withList(state, name, rules));
    } finally {
      this.#edited.delete(edited);
    }
  }

  /** Section 2.8. */
  #without(state: PrivacyState, session: Session, name: string): PrivacyWish {
    if (!state.lists.has(name)) throw new StanzaError("item-not-found");
    const inUse =
      this.#guard.mayBeActiveElsewhere(session, name) ||
      (state.defaultName === name && this.#isDefaultElsewhere(session));
    if (inUse) throw new StanzaError("conflict");
    const lists = new Map(state.lists);
    lists.delete(name);
    return { defaultName: state.defaultName === name ? undefined : state.defaultName, lists };
  }

  /** Whether the default list applies to a connected resource other than this one. */
  #isDefaultElsewhere(session: Session): boolean {
    return this.#house
      .resourcesOf(session.account)
      .some((other) => other.jid.resource !== session.jid.resource && !other.marked(marks.privacyActive));
  }

  /** Section 2.1: a rule about a group that the roster does not have. Without a roster there is nothing to compare with. */
  async #checkGroups(account: Jid, rules: readonly Rule[]): Promise<void> {
    const named = rules.filter((rule) => rule.type === "group");
    if (named.length === 0) return;
    const roster = await this.#house.ask("roster", account);
    if (roster === undefined) return;
    const groups = new Set(roster.flatMap((entry) => entry.groups));
    if (named.some((rule) => !groups.has(rule.value))) {
      throw new StanzaError("item-not-found", { text: "No such group in the roster" });
    }
  }

  /** Section 2.2, rule 10: every connected resource learns the name of a list that was changed. */
  pushes(account: Jid, before: PrivacyState, after: PrivacyState): Effect[] {
    const effects: Effect[] = [];
    for (const [name, list] of after.lists) {
      if (before.lists.get(name) === list) continue;
      const everybody = this.#edited.has(`${account.bare} ${name}`);
      for (const resource of this.#house.resourcesOf(account)) {
        if (!everybody && !resource.marked(marks.privacy)) continue;
        const payload = xml`<query xmlns='${ns.privacy}'><list name='${name}'/></query>`;
        const id = `privacy-${this.#house.random.id(9)}`;
        effects.push(deliverTo(resource, iq({ type: "set", to: resource.jid, id, payload })));
      }
    }
    return effects;
  }
}

function nameOf(element: Element): string | undefined {
  return element.attr("name");
}

function withList(state: PrivacyState, name: string, rules: readonly Rule[]): PrivacyWish {
  const lists = new Map(state.lists);
  lists.set(name, new PrivacyList(rules));
  if (lists.size > listsMax) {
    throw new StanzaError("policy-violation", { text: `At most ${listsMax} privacy lists` });
  }
  return { defaultName: state.defaultName, lists };
}

/** The answer of example 2: active and default first. */
function namesXml(state: PrivacyState, active: string | undefined): Xml {
  const { defaultName } = state;
  const names = [...state.lists.keys()].map((name) => xml`<list${attributes({ name })}/>`);
  return xml`<query xmlns='${ns.privacy}'>${active !== undefined && xml`<active name='${active}'/>`}${
    defaultName !== undefined && xml`<default name='${defaultName}'/>`
  }${names}</query>`;
}
