/** XEP-0060 sections 7 and 8.1: making nodes, publishing and retracting items. */
import { type Effect, type Outcome, reply } from "../../hooks/effect.ts";
import { type FormValues, submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";
import {
  type Core,
  checkName,
  expiredBefore,
  itemsMaxOf,
  nodeNameOf,
  nodeOf,
  type PubSubNode,
  type PubSubRequest,
  type PubSubService,
  pubsubElement,
  requireBehind,
} from "./core.ts";
import { retractEvent } from "./events.ts";
import { configured, formTypes, type NodeConfig, unmetPrecondition } from "./node-config.ts";
import { noSuchNode, pubsubError, unsupported } from "./pubsub-errors.ts";
import type { ItemToPublish } from "./pubsub-store.ts";

/** An item as somebody publishes it. */
interface Given extends ItemToPublish {
  readonly root: Element | undefined;
}

export class Publishing {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  // Making nodes.

  async create(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action, pubsub } = request;
    const asked = action.attr("node") ?? "";
    const name = asked === "" ? this.#core.house.random.id() : asked;
    const configure = pubsub.child("configure");
    if (configure !== undefined) requireBehind(pubsub, action, configure);
    const form = configure === undefined ? undefined : submittedForm(configure, formTypes.nodeConfig);
    const type = action.attr("type");
    if (type !== undefined && type !== "leaf" && type !== "push") throw unsupported("collections");
    await this.make(service, name, from, form ?? new Map(), type === "push" ? "push" : undefined);
    return asked === "" ? reply(pubsubElement(xml`<create node='${name}'/>`)) : undefined;
  }

  /** Makes a node with what a form says. @throws StanzaError forbidden, conflict and what the form's values deserve. */
  async make(service: PubSubService, name: string, creator: Jid, form: FormValues, type?: "push"): Promise<PubSubNode> {
    checkName(name, "The name of a node");
    this.#requireCreator(service, creator);
    const config = this.#allowed(
      service,
      configured(
        { ...service.defaults, ...(type === undefined ? {} : { node_type: type }) },
        form,
        this.#core.settings,
      ),
    );
    const { nodes, store, settings } = this.#core;
    if ((await nodes.find(service, name)) !== undefined) {
      throw new StanzaError("conflict", { text: "There is a node of that name" });
    }
    if ((await store.countNodes(service.key, creator.bare)) >= settings.nodesMax) {
      throw pubsubError("conflict", "max-nodes-exceeded", {
        text: `One account has ${settings.nodesMax} nodes at most`,
      });
    }
    return nodes.create(service, name, config, creator.bare);
  }

  #requireCreator(service: PubSubService, creator: Jid): void {
    const { house, settings } = this.#core;
    const may =
      service.account === undefined
        ? house.access.allow(settings.createRule, creator)
        : service.account.bare === creator.bare;
    if (!may) throw new StanzaError("forbidden", { text: "You may not make nodes here" });
  }

  #allowed(service: PubSubService, config: NodeConfig): NodeConfig {
    if (config.node_type === "push" && (service.account !== undefined || !this.#core.settings.pushNodes)) {
      throw new StanzaError("not-acceptable", { text: "There are no push nodes here" });
    }
    return config;
  }

  // Publishing.

  async publish(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action, pubsub } = request;
    const name = nodeNameOf(action);
    const options = pubsub.child("publish-options");
    const preconditions = options === undefined ? undefined : submittedForm(options, formTypes.publishOptions);
    // Without their form nobody would see that an item goes where its publisher did not want it.
    if (options !== undefined && preconditions === undefined) {
      throw new StanzaError("bad-request", { text: "The options to publish are no form" });
    }
    const given = action.childrenNamed("item").map((item) => this.given(item.attr("id"), item.elements()));
    const node = await this.#nodeToPublishOn(service, name, from, preconditions);
    if (node.config.node_type === "push") return this.#push(node, action, options);
    const effects = await this.publishOn(service, node, from, given);
    const items = given.map(({ id }) => xml`<item id='${id}'/>`);
    return [reply(pubsubElement(xml`<publish node='${name}'>${items}</publish>`)), ...effects];
  }

  /** An item ready to be published. */
  given(id: string | undefined, roots: readonly Element[]): Given {
    checkName(id ?? "", "The id of an item");
    if (roots.length > 1) throw pubsubError("bad-request", "invalid-payload", { text: "An item has one payload" });
    const root = roots[0];
    // A context no element is in: the payload says its namespace itself, wherever it is put later.
    const payload = root?.toXml(" ") ?? "";
    return { id: id === undefined || id === "" ? this.#core.house.random.id() : id, payload, root };
  }

  /** The node of that name; made where its owner publishes on one that is not there. */
  async #nodeToPublishOn(
    service: PubSubService,
    name: string,
    publisher: Jid,
    preconditions: FormValues | undefined,
  ): Promise<PubSubNode> {
    const { nodes, access } = this.#core;
    const node = (await nodes.find(service, name)) ?? (await this.#autoCreate(service, name, publisher, preconditions));
    // The host itself tells push nodes (XEP-0357 section 6).
    const byHost = node.config.node_type === "push" && publisher.full === this.#core.house.domain;
    if (!byHost && !(await access.mayPublish(service, node, publisher))) throw new StanzaError("forbidden");
    const unmet = preconditions === undefined ? undefined : unmetPrecondition(node.config, preconditions);
    // A push node's options are for the push service (XEP-0357 section 7).
    if (unmet !== undefined && node.config.node_type !== "push") {
      throw pubsubError("conflict", "precondition-not-met", { text: `${unmet.slice(0, 100)} does not hold` });
    }
    return node;
  }

  async #autoCreate(
    service: PubSubService,
    name: string,
    creator: Jid,
    form: FormValues | undefined,
  ): Promise<PubSubNode> {
    // Section 7.1.3.3; of accounts only their owners make nodes, and others see no node.
    if (service.account !== undefined && service.account.bare !== creator.bare) throw noSuchNode();
    if (
      form !== undefined &&
      unmetPrecondition(service.defaults, new Map([...form].map(([field]) => [field, []]))) !== undefined
    ) {
      throw pubsubError("conflict", "precondition-not-met", { text: "A publish option is unknown" });
    }
    try {
      return await this.make(service, name, creator, form ?? new Map());
    } catch (error) {
      // Another of the owner's devices was quicker.
      if (error instanceof StanzaError && error.condition === "conflict") {
        const node = await this.#core.nodes.find(service, name);
        if (node !== undefined) return node;
      }
      throw error;
    }
  }

  /** Stores items and tells who is to hear of them. */
  async publishOn(
    service: PubSubService,
    node: PubSubNode,
    publisher: Jid,
    given: readonly Given[],
  ): Promise<Effect[]> {
    this.#check(node.config, given);
    const { store, nodes, house, settings, notifier } = this.#core;
    const { config } = node;
    const effects: Effect[] = [];
    const itemsMax = itemsMaxOf(config, settings);
    if (config.persist_items && itemsMax > 0) {
      const kept = {
        itemsMax,
        whenFull: config.publish_node_full,
        expiredBefore: expiredBefore(config, house.clock.now()),
      };
      const published = await store.publish(
        node.id,
        publisher.bare,
        given.map(({ id, payload }) => ({ id, payload })),
        kept,
      );
      if (published.outcome === "gone") {
        nodes.changed(service, node.name);
        throw noSuchNode();
      }
      if (published.outcome === "full") throw pubsubError("conflict", "node-full");
      if (published.removed.length > 0 && config.publish_node_full === "retract-oldest" && config.notify_retract) {
        effects.push(...(await notifier.toAll(service, node, retractEvent(node.name, published.removed))));
      }
    }
    if (!config.deliver_notifications) return effects;
    const items = given.map(({ id, payload }) => ({ id, payload, publisher: publisher.bare }));
    effects.push(...(await notifier.items(service, node, items)));
    return effects;
  }

  /** Section 7.1.3.6: what fits the kind of node. */
  #check(config: NodeConfig, given: readonly Given[]): void {
    const most = Math.max(1, itemsMaxOf(config, this.#core.settings));
    if (given.length > Math.min(most, itemsPerPublishMax)) throw pubsubError("not-allowed", "max-items-exceeded");
    if (new Set(given.map(({ id }) => id)).size < given.length) {
      throw new StanzaError("bad-request", { text: "Two items have one id" });
    }
    if (given.length === 0 && (config.persist_items || config.deliver_payloads))
      throw pubsubError("bad-request", "item-required");
    if (given.length > 0 && !config.persist_items && !config.deliver_payloads)
      throw pubsubError("bad-request", "item-forbidden");
    for (const { payload, root } of given) {
      if (root === undefined) {
        if (config.deliver_payloads) throw pubsubError("bad-request", "payload-required");
        continue;
      }
      if (config.type !== "" && config.type !== root.ns) {
        throw pubsubError("bad-request", "invalid-payload", { text: `Payloads are of ${config.type}` });
      }
      if (Buffer.byteLength(payload) > config.max_payload_size) throw pubsubError("not-acceptable", "payload-too-big");
    }
  }

  /** XEP-0357: a node whose items go to a push service and nowhere else. */
  async #push(node: PubSubNode, action: Element, options: Element | undefined): Promise<Outcome> {
    const notification = action.child("item")?.child("notification", ns.push);
    if (notification === undefined)
      throw pubsubError("bad-request", "invalid-payload", { text: "A notification is missing" });
    const done = await this.#core.house.ask(
      "pushNotification",
      node.name,
      notification,
      options?.child("x", ns.dataForms),
    );
    if (done === undefined) throw new StanzaError("service-unavailable", { text: "There is no push service here" });
    return undefined;
  }

  // Retracting.

  async retract(request: PubSubRequest): Promise<Outcome> {
    const { service, from, action } = request;
    const { access, store, notifier } = this.#core;
    const node = await nodeOf(this.#core, request);
    const ids = action.childrenNamed("item").map((item) => item.attr("id") ?? "");
    if (ids.length === 0 || ids.includes("")) throw pubsubError("bad-request", "item-required");
    if (ids.length > itemsPerPublishMax) throw new StanzaError("policy-violation", { text: "Too many items at once" });
    if (!(await access.mayPublish(service, node, from))) throw new StanzaError("forbidden");
    if (!node.config.persist_items) throw unsupported("persistent-items");
    if (!(await access.isOwner(service, node, from))) {
      // Whoever is no owner takes back what he has published himself.
      const items = await store.itemsById(node.id, ids);
      if (items.some((item) => item.publisher !== from.bare)) throw new StanzaError("forbidden");
    }
    // Section 12.18: all of them, or none.
    if (!(await store.retract(node.id, ids)))
      throw new StanzaError("item-not-found", { text: "There is no such item" });
    const asked = action.attr("notify");
    if (!(node.config.notify_retract || asked === "1" || asked === "true")) return handledBy([]);
    return handledBy(await notifier.toAll(service, node, retractEvent(node.name, [...new Set(ids)])));
  }
}

const itemsPerPublishMax = 100;

function handledBy(effects: readonly Effect[]): Outcome {
  return effects.length === 0 ? undefined : effects;
}
