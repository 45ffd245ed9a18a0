/** XEP-0060 sections 5.6, 5.7 and 6: subscriptions and affiliations of whoever asks, and retrieving items. */
import { type Effect, type Outcome, reply } from "../../hooks/effect.ts";
import { submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { type PageRequest, pageRequest, resultSet } from "../../stanza/result-set.ts";
import { parseTimestamp } from "../../stanza/timestamp.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";
import type { Authorization } from "./authorization.ts";
import {
  type Core,
  expiredBefore,
  nodeOf,
  type PubSubNode,
  type PubSubRequest,
  type PubSubService,
  pubsubElement,
  requireBehind,
} from "./core.ts";
import { itemElement, subscriptionEvent } from "./events.ts";
import { formTypes } from "./node-config.ts";
import { pubsubError, unsupported } from "./pubsub-errors.ts";
import type { Item, Subscription } from "./pubsub-tables.ts";
import { defaultOptions, optionsForm, optionsFrom, readOptions, writeOptions } from "./subscribe-options.ts";

/**
 * Most items and characters of payloads of one answer; the rest is asked for page by page. An answer is one stanza, and has to fit what may
 * wait for a client with a slow network.
 */
const itemsPerAnswerMax = 1_000;
const charsPerAnswerMax = 500_000;
const idsPerRequestMax = 200;
/** Subscriptions of one account, of it and of its resources, to one node: it must not take the places of all others. */
const ownSubscriptionsMax = 50;

export class Subscribing {
  readonly #core: Core;
  readonly #authorization: Authorization;

  constructor(core: Core, authorization: Authorization) {
    this.#core = core;
    this.#authorization = authorization;
  }

  // Subscribing.

  async subscribe(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action, pubsub } = request;
    const { access, store, nodes } = this.#core;
    const jid = ownAddress(action, from);
    if (jid === undefined) throw pubsubError("bad-request", "invalid-jid");
    const node = await nodeOf(this.#core, request);
    const affiliation = await access.affiliation(service, node, from);
    if (affiliation === "outcast" || affiliation === "publish-only") throw new StanzaError("forbidden");
    if (!node.config.subscribe) throw unsupported("subscribe");
    if (affiliation === undefined) {
      const refused = await access.modelRefuses(service, node, from);
      if (refused !== undefined) throw refused;
    }
    const own = await store.subscriptions(node.id, jid.bare);
    const before = own.find((subscription) => subscription.jid === jid.full);
    if (before?.state === "pending") throw pubsubError("not-authorized", "pending-subscription");
    const options = pubsub.child("options");
    if (options !== undefined) requireBehind(pubsub, action, options);
    const given = optionsIn(options, before);
    if (before === undefined && (own.length >= ownSubscriptionsMax || (await this.#isFull(node)))) {
      throw pubsubError("policy-violation", "too-many-subscriptions", { type: "wait" });
    }
    const pending = node.config.access_model === "authorize" && affiliation === undefined && before === undefined;
    const subscription: Subscription = {
      nodeId: node.id,
      jid: jid.full,
      subid: before?.subid ?? this.#core.house.random.id(),
      state: pending ? "pending" : "subscribed",
      options: given === undefined ? (before?.options ?? "") : writeOptions(given.options),
      expiresAt: given?.expiresAt ?? before?.expiresAt ?? 0,
    };
    await store.setSubscription(node.id, jid, subscription);
    nodes.changed(service, node.name);
    const answer = reply(pubsubElement(subscriptionElement(node.name, subscription, true)));
    if (pending) return [answer, ...(await this.#authorization.ask(service, node, jid, subscription.subid))];
    if (before !== undefined) return answer;
    return [answer, ...(await this.#welcome(service, node, jid, subscription))];
  }

  /** What follows a new subscription: the last item, and word to the owners. */
  async #welcome(service: PubSubService, node: PubSubNode, jid: Jid, subscription: Subscription): Promise<Effect[]> {
    const effects = await this.#authorization.tellOwners(
      service,
      node,
      subscriptionEvent(node.name, jid.full, subscription.state),
    );
    effects.push(...(await this.lastItem(service, node, jid)));
    return effects;
  }

  async lastItem(service: PubSubService, node: PubSubNode, jid: Jid): Promise<Effect[]> {
    if (node.config.send_last_published_item === "never") return [];
    const { store, notifier, house } = this.#core;
    const [item] = await store.newest(node.id, 1, expiredBefore(node.config, house.clock.now()));
    return item === undefined ? [] : [notifier.toSubscriber(service, node, item, jid)];
  }

  async unsubscribe(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action } = request;
    const node = await nodeOf(this.#core, request);
    const { subscription, jid } = await this.#own(node, action, from, "forbidden");
    await this.#core.store.removeSubscription(node.id, jid);
    this.#core.nodes.changed(service, node.name);
    const gone = subscriptionElement(node.name, { ...subscription, state: "none" }, false);
    const told = await this.#authorization.tellOwners(service, node, subscriptionEvent(node.name, jid.full, "none"));
    return [reply(pubsubElement(gone)), ...told];
  }

  async #isFull(node: PubSubNode): Promise<boolean> {
    return (await this.#core.store.countSubscriptions(node.id)) >= this.#core.settings.subscriptionsMax;
  }

  async #find(node: PubSubNode, jid: Jid): Promise<Subscription | undefined> {
    const subscriptions = await this.#core.store.subscriptions(node.id, jid.bare);
    return subscriptions.find((subscription) => subscription.jid === jid.full);
  }

  /** The sender's subscription that a request is about. */
  async #own(
    node: PubSubNode,
    action: Element,
    from: Jid,
    otherwise: "forbidden" | "invalid-jid",
  ): Promise<{ subscription: Subscription; jid: Jid }> {
    const given = action.attr("jid");
    if (given === undefined) throw pubsubError("bad-request", "jid-required");
    const jid = ownAddress(action, from);
    if (jid === undefined) {
      throw otherwise === "forbidden" ? new StanzaError("forbidden") : pubsubError("bad-request", "invalid-jid");
    }
    const subscription = await this.#find(node, jid);
    if (subscription === undefined) throw pubsubError("unexpected-request", "not-subscribed", { type: "cancel" });
    checkSubid(action, subscription);
    return { subscription, jid };
  }

  // Options of a subscription.

  async getOptions(request: PubSubRequest): Promise<Outcome> {
    const { from, action } = request;
    const node = await nodeOf(this.#core, request);
    const { subscription, jid } = await this.#own(node, action, from, "forbidden");
    const form = optionsForm(readOptions(subscription.options), subscription.expiresAt);
    const about = attributes({ node: node.name, jid: jid.full, subid: subscription.subid });
    return reply(pubsubElement(xml`<options${about}>${form}</options>`));
  }

  async setOptions(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action } = request;
    const node = await nodeOf(this.#core, request);
    const { subscription, jid } = await this.#own(node, action, from, "forbidden");
    const form = submittedForm(action, formTypes.subscribeOptions);
    if (form === undefined) throw pubsubError("bad-request", "invalid-options");
    const before = { options: readOptions(subscription.options), expiresAt: subscription.expiresAt };
    const { options, expiresAt } = optionsFrom(form, before, parseTimestamp);
    await this.#core.store.setSubscription(node.id, jid, {
      ...subscription,
      options: writeOptions(options),
      expiresAt,
    });
    this.#core.nodes.changed(service, node.name);
    return undefined;
  }

  async defaultOptions({ action }: PubSubRequest): Promise<Outcome> {
    const about = attributes({ node: action.attr("node") });
    return reply(pubsubElement(xml`<default${about}>${optionsForm(defaultOptions, 0)}</default>`));
  }

  // What the sender has.

  async subscriptions({ service, from, action }: PubSubRequest): Promise<Outcome> {
    const name = action.attr("node");
    const all = await this.#core.store.subscriptionsOf(service.key, from.bare);
    const wanted = name === undefined ? all : all.filter((subscription) => subscription.node === name);
    const elements = wanted.map((one) => subscriptionElement(one.node, one, false));
    return reply(pubsubElement(xml`<subscriptions${attributes({ node: name })}>${elements}</subscriptions>`));
  }

  async affiliations({ service, from, action }: PubSubRequest): Promise<Outcome> {
    const name = action.attr("node");
    const { nodes, store } = this.#core;
    const all =
      service.account?.bare === from.bare
        ? (await nodes.ofAccount(service.key)).map((node) => ({ node: node.name, affiliation: "owner" }))
        : await store.affiliationsOf(service.key, from.bare);
    const wanted = name === undefined ? all : all.filter((one) => one.node === name);
    const elements = wanted.map(
      ({ node, affiliation }) => xml`<affiliation node='${node}' affiliation='${affiliation}'/>`,
    );
    return reply(pubsubElement(xml`<affiliations${attributes({ node: name })}>${elements}</affiliations>`));
  }

  // Items.

  async items(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action, pubsub } = request;
    const node = await nodeOf(this.#core, request);
    const refused = await this.#core.access.readingRefused(service, node, from);
    if (refused !== undefined) throw refused;
    if (action.attr("subid") !== undefined) {
      const own = await this.#core.store.subscriptions(node.id, from.bare);
      if (own.length > 0 && !own.some(({ subid }) => subid === action.attr("subid"))) throw invalidSubid();
    }
    if (!node.config.persist_items) throw unsupported("persistent-items");
    const { items, set } = await this.#read(node, action, pubsub);
    const elements = items.map((item) => itemElement(item, true, this.#core.settings.itemPublisher));
    return reply(pubsubElement(xml`<items node='${node.name}'>${elements}</items>${set}`));
  }

  async #read(node: PubSubNode, action: Element, pubsub: Element): Promise<{ items: readonly Item[]; set?: Xml }> {
    const { store, house } = this.#core;
    const notBefore = expiredBefore(node.config, house.clock.now());
    const ids = action.childrenNamed("item").map((item) => item.attr("id") ?? "");
    if (ids.length > idsPerRequestMax) {
      throw new StanzaError("policy-violation", { text: `Ask for ${idsPerRequestMax} items at most` });
    }
    if (ids.length > 0) {
      const items = await store.itemsById(node.id, ids, notBefore);
      if (fitting(items) < items.length) {
        throw new StanzaError("policy-violation", { text: "These items are too much for one answer: ask for fewer" });
      }
      return { items };
    }
    const page = pageRequest(pubsub);
    const wished = wholeNumber(action.attr("max_items")) ?? page.max ?? itemsPerAnswerMax;
    const limit = Math.min(wished, page.max ?? wished, itemsPerAnswerMax);
    const found = await store.page(node.id, limit, page, notBefore);
    if (found === undefined) throw new StanzaError("item-not-found", { text: "The page starts at no item" });
    // A page that ends at an item loses items at its other end.
    const backwards = page.before !== undefined;
    const fit = fitting(backwards ? found.items.toReversed() : found.items);
    const left = backwards ? found.items.length - fit : 0;
    const items = found.items.slice(left, left + fit);
    const whole = items.length === found.count || (action.attr("max_items") !== undefined && items.length === wished);
    if (whole && !isPaged(page)) return { items };
    const set = resultSet({
      first: items[0]?.id,
      last: items.at(-1)?.id,
      index: found.index + left,
      count: found.count,
    });
    return { items, set };
  }
}

function isPaged({ max, after, before, index }: PageRequest): boolean {
  return (max ?? after ?? before ?? index) !== undefined;
}

function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new StanzaError("bad-request", { text: "max_items is a whole number" });
  return Number(text);
}

/** How many of the first items one answer carries, at least one. */
function fitting(items: readonly Item[]): number {
  let chars = 0;
  for (let at = 0; at < items.length; at++) {
    chars += items[at]!.payload.length;
    if (chars > charsPerAnswerMax && at > 0) return at;
  }
  return items.length;
}

/** The address a request is for; undefined unless it is the sender's own. */
function ownAddress(action: Element, from: Jid): Jid | undefined {
  const jid = parseJid(action.attr("jid") ?? "");
  return jid?.bare === from.bare ? jid : undefined;
}

function optionsIn(element: Element | undefined, before: Subscription | undefined) {
  const form = element === undefined ? undefined : submittedForm(element, formTypes.subscribeOptions);
  if (form === undefined) return undefined;
  const start = { options: readOptions(before?.options ?? ""), expiresAt: before?.expiresAt ?? 0 };
  return optionsFrom(form, start, parseTimestamp);
}

const invalidSubid = () => pubsubError("not-acceptable", "invalid-subid");

function checkSubid(action: Element, subscription: Subscription): void {
  const subid = action.attr("subid");
  if (subid !== undefined && subid !== subscription.subid) throw invalidSubid();
}

export function subscriptionElement(
  node: string,
  { jid, subid, state }: { jid: string; subid: string; state: string },
  configurable: boolean,
): Xml {
  const about = attributes({ node, jid, subid, subscription: state });
  if (!configurable) return xml`<subscription${about}/>`;
  return xml`<subscription${about}><subscribe-options/></subscription>`;
}
