/** XEP-0060 section 8: what owners do with their nodes. */
import { type Effect, handled, type Outcome, reply, route } from "../../hooks/effect.ts";
import { submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { errorElement } from "../../stanza/reply.ts";
import { iq, type Stanza } from "../../stanza/stanza.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import type { Authorization } from "./authorization.ts";
import {
  type Core,
  checkName,
  nodeNameOf,
  nodeOf,
  ownerElement,
  type PubSubNode,
  type PubSubRequest,
  type PubSubService,
} from "./core.ts";
import { configurationEvent, deleteEvent, purgeEvent, subscriptionEvent } from "./events.ts";
import { configForm, configured, formTypes, type NodeConfig } from "./node-config.ts";
import { pubsubError, unsupported } from "./pubsub-errors.ts";
import { type Affiliation, affiliations as affiliationNames, type Subscription } from "./pubsub-tables.ts";

/** Most entities of one change. */
const changesMax = 200;
const affiliationsMax = 10_000;
const redirectCharsMax = 2_000;

export class Owning {
  readonly #core: Core;
  readonly #authorization: Authorization;

  constructor(core: Core, authorization: Authorization) {
    this.#core = core;
    this.#authorization = authorization;
  }

  async #owned(request: PubSubRequest): Promise<PubSubNode> {
    const node = await nodeOf(this.#core, request);
    await this.#core.access.requireOwner(request.service, node, request.from);
    return node;
  }

  // Configuration.

  async getConfig(request: PubSubRequest): Promise<Outcome> {
    nodeNameOf(request.action);
    const node = await this.#owned(request);
    const form = configForm(node.config, (field, value) => this.#isOffered(request.service, field, value));
    return reply(ownerElement(xml`<configure node='${node.name}'>${form}</configure>`));
  }

  async getDefaults({ service }: PubSubRequest): Promise<Outcome> {
    const form = configForm(service.defaults, (field, value) => this.#isOffered(service, field, value));
    return reply(ownerElement(xml`<default>${form}</default>`));
  }

  #isOffered(service: PubSubService, field: keyof NodeConfig, value: string): boolean {
    return (
      field !== "node_type" || value !== "push" || (service.account === undefined && this.#core.settings.pushNodes)
    );
  }

  async configure(request: PubSubRequest): Promise<Outcome> {
    const { service, action } = request;
    const node = await this.#owned(request);
    if (action.child("x", "jabber:x:data")?.attr("type") === "cancel") return undefined;
    const form = submittedForm(action, formTypes.nodeConfig);
    if (form === undefined) throw new StanzaError("bad-request", { text: "A form is missing" });
    const config = configured(node.config, form, this.#core.settings);
    if (config.node_type !== node.config.node_type)
      throw new StanzaError("not-acceptable", { text: "A node keeps its type" });
    const after = await this.#core.nodes.configure(service, node, config);
    if (!config.persist_items) await this.#core.store.purge(node.id);
    const { notifier } = this.#core;
    const cancelled = await notifier.cancelLost(service, after);
    if (!config.notify_config) return cancelled;
    return [...cancelled, ...(await notifier.toAll(service, after, configurationEvent(node.name, config)))];
  }

  // Deleting and purging.

  async delete(request: PubSubRequest): Promise<Outcome> {
    const { service, action } = request;
    const node = await this.#owned(request);
    const redirect = action.child("redirect")?.attr("uri");
    if (redirect !== undefined && redirect.length > redirectCharsMax) throw new StanzaError("not-acceptable");
    // Who is to be told is known only as long as the node is there.
    const told = node.config.notify_delete
      ? await this.#core.notifier.toAll(service, node, deleteEvent(node.name, redirect), { pendingToo: true })
      : [];
    await this.#core.nodes.delete(service, [node]);
    return told;
  }

  async purge(request: PubSubRequest): Promise<Outcome> {
    const node = await this.#owned(request);
    if (!node.config.persist_items) throw unsupported("persistent-items");
    await this.#core.store.purge(node.id);
    if (!node.config.notify_retract) return undefined;
    return this.#core.notifier.toAll(request.service, node, purgeEvent(node.name));
  }

  // Subscriptions.

  async getSubscriptions(request: PubSubRequest): Promise<Outcome> {
    const node = await this.#owned(request);
    const all = await this.#core.store.subscriptions(node.id);
    const elements = all
      .filter(({ state }) => state === "subscribed")
      .map(({ jid, state, subid }) => xml`<subscription jid='${jid}' subscription='${state}' subid='${subid}'/>`);
    return reply(ownerElement(xml`<subscriptions node='${node.name}'>${elements}</subscriptions>`));
  }

  async setSubscriptions(request: PubSubRequest, stanza: Stanza): Promise<Outcome> {
    const { service, action } = request;
    const node = await this.#owned(request);
    const changes = action.childrenNamed("subscription");
    if (changes.length > changesMax) throw tooManyChanges();
    const before = await this.#core.store.subscriptions(node.id);
    const effects: Effect[] = [];
    const failed: Xml[] = [];
    for (const change of changes) {
      const jid = parseJid(change.attr("jid") ?? "");
      const wanted = change.attr("subscription");
      if (wanted === undefined) continue;
      const current = before.find((one) => one.jid === jid?.full);
      if (jid === undefined || (wanted !== "none" && wanted !== "subscribed")) {
        failed.push(xml`<subscription jid='${change.attr("jid") ?? ""}' subscription='${current?.state ?? "none"}'/>`);
        continue;
      }
      effects.push(...(await this.#changeSubscription(service, node, jid, current, wanted)));
    }
    return this.#afterChanges(service, node, stanza, failed, effects, "subscriptions");
  }

  async #changeSubscription(
    service: PubSubService,
    node: PubSubNode,
    jid: Jid,
    current: Subscription | undefined,
    wanted: "none" | "subscribed",
  ): Promise<Effect[]> {
    const { store, house, settings, notifier } = this.#core;
    if (current?.state === "pending")
      return this.#authorization.decide(service, node, current, wanted === "subscribed");
    if ((current?.state ?? "none") === wanted) return [];
    if (wanted === "none") await store.removeSubscription(node.id, jid);
    else {
      if ((await store.countSubscriptions(node.id)) >= settings.subscriptionsMax) {
        throw pubsubError("policy-violation", "too-many-subscriptions", { type: "wait" });
      }
      const subid = house.random.id();
      await store.setSubscription(node.id, jid, { subid, state: "subscribed", options: "", expiresAt: 0 });
    }
    return [notifier.plain(service, jid, subscriptionEvent(node.name, jid.full, wanted))];
  }

  // Affiliations.

  async getAffiliations(request: PubSubRequest): Promise<Outcome> {
    const { service } = request;
    const node = await this.#owned(request);
    const all = new Map<string, Affiliation>(await this.#core.store.affiliations(node.id));
    if (service.account !== undefined) all.set(service.account.bare, "owner");
    const elements = [...all].map(
      ([jid, affiliation]) => xml`<affiliation jid='${jid}' affiliation='${affiliation}'/>`,
    );
    return reply(ownerElement(xml`<affiliations node='${node.name}'>${elements}</affiliations>`));
  }

  async setAffiliations(request: PubSubRequest, stanza: Stanza): Promise<Outcome> {
    const { service, action } = request;
    const node = await this.#owned(request);
    const given = action.childrenNamed("affiliation");
    if (given.length > changesMax) throw tooManyChanges();
    const before = await this.#core.store.affiliations(node.id);
    const after = new Map(before);
    const changes = new Map<string, Affiliation | undefined>();
    const failed: Xml[] = [];
    for (const change of given) {
      const jid = parseJid(change.attr("jid") ?? "")?.toBare();
      const wanted = change.attr("affiliation");
      if (wanted === undefined) continue;
      const name = (affiliationNames as readonly string[]).includes(wanted) ? (wanted as Affiliation) : undefined;
      const known = name !== undefined || wanted === "none";
      if (jid === undefined || !known || !this.#mayChange(service, after, jid, name)) {
        const is = service.account?.bare === jid?.bare ? "owner" : (before.get(jid?.bare ?? "") ?? "none");
        failed.push(xml`<affiliation jid='${change.attr("jid") ?? ""}' affiliation='${is}'/>`);
        continue;
      }
      checkAddress(jid);
      if (name === undefined) after.delete(jid.bare);
      else after.set(jid.bare, name);
      changes.set(jid.bare, name);
    }
    if (after.size > affiliationsMax)
      throw new StanzaError("resource-constraint", { text: `${affiliationsMax} affiliations at most` });
    await this.#core.store.setAffiliations(node.id, changes);
    const effects = [...changes].map(([jid, affiliation]) =>
      this.#tellAffiliation(service, node, parseJid(jid)!, affiliation),
    );
    effects.push(...(await this.#core.notifier.cancelLost(service, node)));
    return this.#afterChanges(service, node, stanza, failed, effects, "affiliations");
  }

  /** Section 8.9.2.4: a node keeps an owner; that an account owns its own nodes cannot be changed. */
  #mayChange(
    service: PubSubService,
    now: ReadonlyMap<string, Affiliation>,
    jid: Jid,
    wanted: Affiliation | undefined,
  ): boolean {
    if (service.account !== undefined) return service.account.bare !== jid.bare || wanted === "owner";
    if (wanted === "owner" || now.get(jid.bare) !== "owner") return true;
    let owners = 0;
    for (const affiliation of now.values()) if (affiliation === "owner") owners++;
    return owners > 1;
  }

  #tellAffiliation(service: PubSubService, node: PubSubNode, jid: Jid, affiliation: Affiliation | undefined): Effect {
    const said = xml`<affiliation jid='${jid.bare}' affiliation='${affiliation ?? "none"}'/>`;
    const inside = xml`<pubsub xmlns='http://jabber.org/protocol/pubsub'><affiliations node='${node.name}'>${said}</affiliations></pubsub>`;
    return this.#core.notifier.plain(service, jid, inside);
  }

  /** Sections 8.8.2.4 and 8.9.2.4: those that could not be changed come back as they are. */
  #afterChanges(
    service: PubSubService,
    node: PubSubNode,
    stanza: Stanza,
    failed: readonly Xml[],
    effects: readonly Effect[],
    list: "subscriptions" | "affiliations",
  ): Outcome {
    this.#core.nodes.changed(service, node.name);
    if (failed.length === 0) return effects;
    const inside =
      list === "subscriptions"
        ? xml`<subscriptions node='${node.name}'>${failed}</subscriptions>`
        : xml`<affiliations node='${node.name}'>${failed}</affiliations>`;
    const payload = xml`${ownerElement(inside)}${errorElement(new StanzaError("not-acceptable"))}`;
    return [
      handled,
      route(iq({ type: "error", id: stanza.id, from: stanza.to, to: stanza.from, payload })),
      ...effects,
    ];
  }
}

function checkAddress(jid: Jid): void {
  checkName(jid.local, "A local part");
  checkName(jid.domain, "A domain");
}

const tooManyChanges = () => new StanzaError("policy-violation", { text: `${changesMax} changes at once, at most` });
