/** XEP-0191 Blocking Command 1.3: the simple way to shut somebody out. A block list is what the default privacy list denies. */
import { defineModule } from "../../hooks/define-module.ts";
import { deliverTo, type Effect, type Outcome, reply } from "../../hooks/effect.ts";
import type { IqContext } from "../../hooks/points.ts";
import { marks } from "../../session/resource.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { iq } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { defaultOf, type Guard, guardOf, type PrivacyHouse } from "./guard.ts";
import { backendOption } from "./privacy.ts";
import { EVERYTHING, isBlock, PrivacyList, type Rule, rulesMax } from "./privacy-list.ts";
import { type PrivacyState, type PrivacyWish, privacyMigrations } from "./privacy-store.ts";

/** The list that blocking makes where there is no default list; the name MongooseIM gives it. */
export const blockListName = "blocking";

export const blocking = defineModule({
  name: "mod_blocking",
  summary: "Users block and unblock contacts, who then see them as away and cannot reach them.",
  xeps: [{ number: 191, version: "1.3" }],
  options: { backend: backendOption },
  features: { server: [ns.blocking] },
  migrations: privacyMigrations,

  setup(on, context) {
    const guard = guardOf(on, context);
    const blocks = new Blocks(guard, context);
    on.iq("get", "account", ns.blocking, "blocklist", (_request, iq) => blocks.list(iq));
    on.iq("set", "account", ns.blocking, "block", (_request, iq) => blocks.block(iq));
    on.iq("set", "account", ns.blocking, "unblock", (_request, iq) => blocks.unblock(iq));
    guard.onChange((account, before, after) => blocks.changed(account, before, after));
    return undefined;
  },
});

class Blocks {
  readonly #guard: Guard;
  readonly #house: PrivacyHouse;
  /** Accounts whose change is made by these commands: it is pushed as it was commanded. */
  readonly #commanding = new Set<string>();

  constructor(guard: Guard, house: PrivacyHouse) {
    this.#guard = guard;
    this.#house = house;
  }

  /** Section 3.2; from now on (section 3.3) the resource gets changes. */
  async list({ session, from }: IqContext): Promise<Outcome> {
    if (session !== undefined) session.mark(marks.blocking, true);
    const blocked = blockedBy(await this.#guard.load(from.toBare()));
    return reply(xml`<blocklist xmlns='${ns.blocking}'>${itemsXml(blocked)}</blocklist>`);
  }

  /** Section 3.3. */
  async block({ from, payload }: IqContext): Promise<Outcome> {
    const addresses = readItems(payload);
    if (addresses.length === 0) throw new StanzaError("bad-request", { text: "Whom to block?" });
    const effects = await this.#command(from.toBare(), (state) => withBlocks(state, addresses));
    return [...this.#push(from, xml`<block xmlns='${ns.blocking}'>${itemsXml(addresses)}</block>`), ...effects];
  }

  /** Sections 3.4 and 3.5. */
  async unblock({ from, payload }: IqContext): Promise<Outcome> {
    const addresses = readItems(payload);
    const effects = await this.#command(from.toBare(), (state) => withoutBlocks(state, addresses));
    return [...this.#push(from, xml`<unblock xmlns='${ns.blocking}'>${itemsXml(addresses)}</unblock>`), ...effects];
  }

  async #command(account: Jid, decide: (state: PrivacyState) => PrivacyWish | undefined): Promise<Effect[]> {
    this.#commanding.add(account.bare);
    try {
      return await this.#guard.change(account, decide);
    } finally {
      this.#commanding.delete(account.bare);
    }
  }

  /** Section 5, 2: what another client does to the default list by XEP-0016 is a change of the block list too. */
  changed(account: Jid, before: PrivacyState, after: PrivacyState): Effect[] {
    if (this.#commanding.has(account.bare)) return [];
    const had = new Set(blockedBy(before));
    const has = new Set(blockedBy(after));
    const added = [...has].filter((address) => !had.has(address));
    const removed = [...had].filter((address) => !has.has(address));
    const effects: Effect[] = [];
    if (removed.length > 0) {
      effects.push(...this.#push(account, xml`<unblock xmlns='${ns.blocking}'>${itemsXml(removed)}</unblock>`));
    }
    if (added.length > 0) {
      effects.push(...this.#push(account, xml`<block xmlns='${ns.blocking}'>${itemsXml(added)}</block>`));
    }
    return effects;
  }

  #push(account: Jid, payload: Xml): Effect[] {
    const effects: Effect[] = [];
    for (const resource of this.#house.resourcesOf(account.toBare())) {
      if (!resource.marked(marks.blocking)) continue;
      const id = `block-${this.#house.random.id(9)}`;
      effects.push(deliverTo(resource, iq({ type: "set", to: resource.jid, id, payload })));
    }
    return effects;
  }
}

/** The addresses of the items, prepared, each once. Throws `StanzaError` bad-request, jid-malformed. */
function readItems(command: Element): string[] {
  const addresses = new Set<string>();
  for (const item of command.elements()) {
    if (!item.is("item", ns.blocking)) throw new StanzaError("bad-request", { text: `<${item.name}/> is no item` });
    const jid = parseJid(item.attr("jid") ?? "");
    if (jid === undefined) throw new StanzaError("jid-malformed");
    addresses.add(jid.full);
  }
  return [...addresses];
}

function itemsXml(addresses: readonly string[]): Xml[] {
  return addresses.map((jid) => xml`<item jid='${jid}'/>`);
}

function blockedBy(state: PrivacyState): string[] {
  const blocked = (defaultOf(state)?.rules ?? []).filter(isBlock).map((rule) => rule.value);
  return [...new Set(blocked)];
}

/** Section 5: blocks come first in the default list, which is made where there is none. */
export function withBlocks(state: PrivacyState, addresses: readonly string[]): PrivacyWish | undefined {
  const blocked = new Set(blockedBy(state));
  const added = addresses.filter((address) => !blocked.has(address));
  if (added.length === 0) return undefined;
  const name = state.defaultName ?? blockListName;
  // A list of that name may be there without being the default; its rules are the user's, and stay.
  const rules = state.lists.get(name)?.rules ?? [];
  const kept = rules.filter((rule) => !(isBlock(rule) && added.includes(rule.value)));
  const blocks: Rule[] = added.map((value) => ({ type: "jid", value, allow: false, order: 0, kinds: EVERYTHING }));
  return withRules(state, name, [...blocks, ...kept]);
}

/** Without the blocks on these addresses; without any when there are none. Other rules stay. */
export function withoutBlocks(state: PrivacyState, addresses: readonly string[]): PrivacyWish | undefined {
  const list = defaultOf(state);
  if (list === undefined || state.defaultName === undefined) return undefined;
  const leaving = new Set(addresses);
  const kept = list.rules.filter((rule) => !isBlock(rule) || (leaving.size > 0 && !leaving.has(rule.value)));
  if (kept.length === list.rules.length) return undefined;
  if (kept.length > 0) return withRules(state, state.defaultName, kept);
  const lists = new Map(state.lists);
  lists.delete(state.defaultName);
  return { defaultName: undefined, lists };
}

function withRules(state: PrivacyState, name: string, rules: readonly Rule[]): PrivacyWish {
  if (rules.length > rulesMax) {
    throw new StanzaError("policy-violation", { text: `At most ${rulesMax} addresses can be blocked` });
  }
  const lists = new Map(state.lists);
  lists.set(name, new PrivacyList(rules.map((rule, at) => ({ ...rule, order: at + 1 }))));
  return { defaultName: name, lists };
}
