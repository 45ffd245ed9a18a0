/**
 * Who is told of an event, and the telling. Subscribers are reached by the router, as by any message. Those who are
 * subscribed by their presence alone (XEP-0163) are reached resource by resource: one that wants the node gets the
 * notification directly, made once and shared by all. What a resource on another node of the cluster wants is known there,
 * so it is sent with a note that the other node takes off again (`filterElsewhere`).
 */
import { deliverTo, drop, type Effect, type Outcome, replaceWith, route } from "../../hooks/effect.ts";
import type { RosterEntry } from "../../hooks/points.ts";
import { marks, type Resource } from "../../session/resource.ts";
import { Session } from "../../session/session.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { type Access, isInGroup, refusedByAffiliation, sharesPresence } from "./access.ts";
import type { PubSubHouse, PubSubNode, PubSubService } from "./core.ts";
import { delayed, itemsEvent, subidHeader, subscriptionEvent } from "./events.ts";
import { interestsOf } from "./interests.ts";
import type { PubSubStore } from "./pubsub-store.ts";
import type { Affiliation, Item, Subscription } from "./pubsub-tables.ts";
import { readOptions } from "./subscribe-options.ts";

const nsWanted = "urn:x-meerkat:events";

/** How an event differs from others. */
export interface EventKind {
  /** Also to those who wait for approval. */
  readonly pendingToo?: boolean;
}

export class Notifier {
  readonly #house: PubSubHouse;
  readonly #store: PubSubStore;
  readonly #access: Access;
  readonly #itemPublisher: boolean;

  constructor(house: PubSubHouse, store: PubSubStore, access: Access, itemPublisher: boolean) {
    this.#house = house;
    this.#store = store;
    this.#access = access;
    this.#itemPublisher = itemPublisher;
  }

  items(
    service: PubSubService,
    node: PubSubNode,
    items: readonly Pick<Item, "id" | "payload" | "publisher">[],
  ): Promise<Effect[]> {
    return this.toAll(service, node, itemsEvent(node.name, items, node.config, this.#itemPublisher));
  }

  /** Everybody who is to hear of an event. */
  async toAll(service: PubSubService, node: PubSubNode, event: Xml, kind: EventKind = {}): Promise<Effect[]> {
    const stanza = this.#message(service, node, event);
    const effects: Effect[] = [];
    const reached = new Set<string>();
    const affiliations: ReadonlyMap<string, Affiliation> = node.shared
      ? await this.#store.affiliations(node.id)
      : new Map();
    if (node.shared) {
      const subscriptions = await this.#store.subscriptions(node.id);
      await this.#toSubscribers(service, node, stanza, subscriptions, affiliations, kind, reached, effects);
    }
    if (service.account !== undefined) {
      await this.#toPresent(service.account, node, stanza, affiliations, reached, effects);
    }
    return effects;
  }

  #message(service: PubSubService, node: PubSubNode, payload: Xml): Stanza {
    const stanza = message({
      from: service.address,
      type: node.config.notification_type,
      id: this.#house.random.id(),
      payload,
    });
    // The index of its children is made now, and all copies share it.
    void stanza.children;
    return stanza;
  }

  // Subscribers.

  async #toSubscribers(
    service: PubSubService,
    node: PubSubNode,
    stanza: Stanza,
    subscriptions: readonly Subscription[],
    affiliations: ReadonlyMap<string, Affiliation>,
    kind: EventKind,
    reached: Set<string>,
    effects: Effect[],
  ): Promise<void> {
    const subids = subidsByEntity(subscriptions);
    for (const subscription of subscriptions) {
      if (subscription.state !== "subscribed" && kind.pendingToo !== true) continue;
      const jid = parseJid(subscription.jid);
      if (jid === undefined) continue;
      if (!(await this.#mayReceive(service, node, jid, affiliations))) {
        // Rosters change without a word to nodes, so it shows now.
        if (subscription.state === "subscribed") effects.push(await this.#cancel(service, node, jid));
        continue;
      }
      reached.add(jid.full);
      if (!this.#wantsNow(node, jid, subscription) || (await this.#isBlocked(service, stanza, jid))) continue;
      const several = subids.get(jid.bare)!.length > 1;
      const copy = several ? withHeader(stanza, [subscription.subid]) : stanza;
      effects.push(route(copy.withTo(jid)));
    }
  }

  /** XEP-0163 section 6.3: whoever may not receive any more has no subscription any more, and hears of that. */
  async cancelLost(service: PubSubService, node: PubSubNode): Promise<Effect[]> {
    if (!node.shared) return [];
    const affiliations = await this.#store.affiliations(node.id);
    const effects: Effect[] = [];
    for (const { jid: address, state } of await this.#store.subscriptions(node.id)) {
      const jid = parseJid(address);
      if (jid === undefined || state !== "subscribed") continue;
      if (await this.#mayReceive(service, node, jid, affiliations)) continue;
      effects.push(await this.#cancel(service, node, jid));
    }
    return effects;
  }

  async #cancel(service: PubSubService, node: PubSubNode, jid: Jid): Promise<Effect> {
    await this.#store.removeSubscription(node.id, jid);
    return this.plain(service, jid, subscriptionEvent(node.name, jid.full, "none"));
  }

  /** A subscription may have outlived what allowed it. */
  async #mayReceive(
    service: PubSubService,
    node: PubSubNode,
    jid: Jid,
    affiliations: ReadonlyMap<string, Affiliation>,
  ): Promise<boolean> {
    if (service.account?.bare === jid.bare) return true;
    const affiliation = affiliations.get(jid.bare);
    if (refusedByAffiliation(affiliation) !== undefined) return false;
    return affiliation !== undefined || (await this.#access.modelRefuses(service, node, jid)) === undefined;
  }

  #wantsNow(node: PubSubNode, jid: Jid, subscription: Subscription): boolean {
    const options = readOptions(subscription.options);
    if (!options.deliver) return false;
    if (jid.domain !== this.#house.domain) return true;
    if (node.config.presence_based_delivery && !this.#house.isAvailable(jid.toBare())) return false;
    if (options.show.length === 0) return true;
    return this.#house.resourcesOf(jid.toBare()).some((resource) => {
      if (!resource.available || (jid.resource !== "" && jid.resource !== resource.jid.resource)) return false;
      // What a resource on another node shows is not known here.
      return !(resource instanceof Session) || options.show.includes(showOf(resource));
    });
  }

  /** Whether the owner of the service has blocked this address. */
  async #isBlocked(service: PubSubService, stanza: Stanza, jid: Jid): Promise<boolean> {
    if (service.account === undefined) return false;
    return (await this.#house.ask("blocked", service.account, undefined, stanza.withTo(jid), "out")) === true;
  }

  // Those who are subscribed by their presence.

  async #toPresent(
    account: Jid,
    node: PubSubNode,
    stanza: Stanza,
    affiliations: ReadonlyMap<string, Affiliation>,
    reached: ReadonlySet<string>,
    effects: Effect[],
  ): Promise<void> {
    const copies = new Copies(stanza, node.name);
    if (!reached.has(account.bare)) await this.#toResources(account, account, node.name, copies, reached, effects);
    if (node.config.access_model === "authorize") return;
    const contacts = (await this.#house.ask("presenceContacts", account)) ?? [];
    const groups = node.config.access_model === "roster" ? await this.#groupsOf(account) : undefined;
    for (const { jid, subscription } of contacts) {
      const contact = jid.toBare();
      if (subscription === "to" || contact.domain !== this.#house.domain || reached.has(contact.bare)) continue;
      if (node.config.access_model === "whitelist" && !affiliations.has(contact.bare)) continue;
      if (node.shared && refusedByAffiliation(affiliations.get(contact.bare)) !== undefined) continue;
      if (groups !== undefined && !isAllowed(groups.get(contact.bare), node, affiliations.has(contact.bare))) continue;
      const done = this.#toResources(account, contact, node.name, copies, reached, effects);
      if (done !== undefined) await done;
    }
  }

  async #groupsOf(account: Jid): Promise<Map<string, RosterEntry>> {
    const roster = (await this.#house.ask("roster", account)) ?? [];
    return new Map(roster.map((entry) => [entry.jid, entry]));
  }

  /** A promise only where block lists have to be read. */
  #toResources(
    account: Jid,
    receiver: Jid,
    node: string,
    copies: Copies,
    reached: ReadonlySet<string>,
    effects: Effect[],
  ): undefined | Promise<void> {
    let waiting: Promise<void> | undefined;
    for (const resource of this.#house.resourcesOf(receiver)) {
      if (!resource.available || (reached.size > 0 && reached.has(resource.jid.full))) continue;
      if (!(resource instanceof Session) && !resource.marked(marks.events)) continue;
      const wanted = resource instanceof Session ? interestsOf(this.#house, resource) : undefined;
      if (wanted !== undefined && !(wanted instanceof Promise) && !wanted.has(node)) continue;
      const copy = wanted === undefined ? copies.filtered(resource) : copies.plain(resource);
      const send = () => {
        if (wanted instanceof Promise) this.#whenKnown(wanted, resource as Session, node, copy);
        else effects.push(deliverTo(resource, copy));
      };
      const blocked = receiver === account ? false : this.#isBlockedBetween(account, receiver, copy);
      if (blocked === false) send();
      else if (blocked !== true) {
        const settled = blocked.then((is) => (is ? undefined : send()));
        waiting = waiting === undefined ? settled : waiting.then(() => settled);
      }
    }
    return waiting;
  }

  /** Whether one of them has blocked the other. */
  #isBlockedBetween(account: Jid, receiver: Jid, stanza: Stanza): boolean | Promise<boolean> {
    const out = this.#house.ask("blocked", account, undefined, stanza, "out");
    if (out instanceof Promise) return out.then((is) => is === true || this.#isBlockedIn(receiver, stanza));
    return out === true || this.#isBlockedIn(receiver, stanza);
  }

  #isBlockedIn(receiver: Jid, stanza: Stanza): boolean | Promise<boolean> {
    const incoming = this.#house.ask("blocked", receiver, undefined, stanza, "in");
    return incoming instanceof Promise ? incoming.then((is) => is === true) : incoming === true;
  }

  /** A client that is being asked what it wants gets the event when it has answered. */
  #whenKnown(wanted: Promise<ReadonlySet<string>>, session: Session, node: string, stanza: Stanza): void {
    wanted
      .then((nodes) => {
        if (nodes.has(node) && session.available) return this.#house.run([deliverTo(session, stanza)]);
      })
      .catch((error: unknown) => this.#house.log.error({ err: error }, "an event could not be delivered"));
  }

  // One item for one receiver.

  /** The last item, for an entity that has just subscribed. */
  toSubscriber(service: PubSubService, node: PubSubNode, item: Item, to: Jid): Effect {
    return route(this.#late(service, node, item).withTo(to));
  }

  /** The last item, for a resource that has just come or been let in. */
  lastItem(service: PubSubService, node: PubSubNode, item: Item, resource: Resource): Stanza {
    const copies = new Copies(this.#late(service, node, item), node.name);
    return resource instanceof Session ? copies.plain(resource) : copies.filtered(resource);
  }

  #late(service: PubSubService, node: PubSubNode, item: Item): Stanza {
    const event = itemsEvent(node.name, [item], node.config, this.#itemPublisher);
    return this.#message(service, node, delayed(event, service.address, item.publishedAt));
  }

  /** Word about somebody's subscription, to him or to an owner. */
  plain(service: PubSubService, to: Jid, event: Xml): Effect {
    return route(message({ from: service.address, to, type: "headline", id: this.#house.random.id(), payload: event }));
  }
}

/** The notification as resources get it. */
class Copies {
  readonly #stanza: Stanza;
  readonly #node: string;
  #filtered: Stanza | undefined;

  constructor(stanza: Stanza, node: string) {
    this.#stanza = stanza;
    this.#node = node;
  }

  plain(resource: Resource): Stanza {
    return this.#stanza.withTo(resource.jid);
  }

  /** For another node of the cluster, which takes the note off, and drops what the resource does not want. */
  filtered(resource: Resource): Stanza {
    this.#filtered ??= this.#stanza.withChild(
      "wanted",
      nsWanted,
      xml`<wanted xmlns='${nsWanted}' node='${this.#node}'/>`,
    );
    return this.#filtered.withTo(resource.jid);
  }
}

/** The stage "delivering" of a session whose events were decided on another node. */
export function filterElsewhere(house: Pick<PubSubHouse, "ask">, stanza: Stanza, session: Session): Outcome {
  // Events come from accounts and services; what clients send comes from a full address, and needs no further look.
  if (stanza.from?.resource !== "" || !stanza.has("wanted", nsWanted)) return undefined;
  const node = stanza.child("wanted", nsWanted)!.attr("node") ?? "";
  const wanted = interestsOf(house, session);
  // While the client is being asked: the last item follows when it has answered.
  if (wanted instanceof Promise || !wanted.has(node)) return drop("an event the client does not want");
  return replaceWith(stanza.withoutChildren((name, namespace) => name === "wanted" && namespace === nsWanted));
}

function isAllowed(entry: RosterEntry | undefined, node: PubSubNode, affiliated: boolean): boolean {
  if (affiliated) return true;
  return entry !== undefined && sharesPresence(entry) && isInGroup(entry, node.config.roster_groups_allowed);
}

function subidsByEntity(subscriptions: readonly Subscription[]): Map<string, string[]> {
  const subids = new Map<string, string[]>();
  for (const { jid, subid } of subscriptions) {
    const bare = parseJid(jid)?.bare ?? jid;
    const list = subids.get(bare);
    if (list === undefined) subids.set(bare, [subid]);
    else list.push(subid);
  }
  return subids;
}

function withHeader(stanza: Stanza, subids: readonly string[]): Stanza {
  return stanza.withChild("headers", "http://jabber.org/protocol/shim", subidHeader(subids));
}

/** The state of presence as XEP-0060 section 16.4.2 names it. */
function showOf(session: Session): string {
  const show = session.presence?.text("show")?.trim();
  return show === undefined || show === "" ? "online" : show;
}
