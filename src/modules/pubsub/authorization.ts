/** XEP-0060 sections 6.1.4 and 8.6: owners are asked whether somebody may subscribe, and say so by a form. */
import type { Effect, Outcome } from "../../hooks/effect.ts";
import { handled, route } from "../../hooks/effect.ts";
import { formBoolean, submittedForm } from "../../stanza/data-form.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import type { Core, PubSubNode, PubSubService } from "./core.ts";
import { subscriptionEvent } from "./events.ts";
import { formType, formTypes } from "./node-config.ts";
import type { Subscription } from "./pubsub-tables.ts";

export class Authorization {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Asks every owner. */
  async ask(service: PubSubService, node: PubSubNode, jid: Jid, subid: string): Promise<Effect[]> {
    const form = xml`<x xmlns='${ns.dataForms}' type='form'><title>Subscription request</title><instructions>Whether this address may subscribe to the node.</instructions>${formType(formTypes.subscribeAuthorization)}<field var='pubsub#subid' type='hidden'><value>${subid}</value></field><field var='pubsub#node' type='text-single' label='Node'><value>${node.name}</value></field><field var='pubsub#subscriber_jid' type='jid-single' label='Subscriber'><value>${jid.full}</value></field><field var='pubsub#allow' type='boolean' label='Allow the subscription?'><value>0</value></field></x>`;
    const effects: Effect[] = [];
    for (const owner of await this.#owners(service, node)) {
      const asking = message({ from: service.address, to: owner, id: this.#core.house.random.id(), payload: form });
      effects.push(route(asking));
    }
    return effects;
  }

  /** `pubsub#notify_sub`. */
  async tellOwners(service: PubSubService, node: PubSubNode, event: Xml): Promise<Effect[]> {
    if (!node.config.notify_sub) return [];
    return (await this.#owners(service, node)).map((owner) => this.#core.notifier.plain(service, owner, event));
  }

  async #owners(service: PubSubService, node: PubSubNode): Promise<Jid[]> {
    const owners = await this.#core.access.owners(service, node);
    return owners.map(parseJid).filter((jid): jid is Jid => jid !== undefined);
  }

  /**
   * A message to a service that may be an owner's answer. Undefined when it is none: then it goes its way. Nothing happens
   * where the sender owns no such node, the request is not there (any more), or the form was cancelled.
   */
  async answered(service: PubSubService, stanza: Stanza): Promise<Outcome> {
    const form = stanza.child("x", ns.dataForms);
    const kind = form?.childrenNamed("field").find((field) => field.attr("var") === "FORM_TYPE");
    if (form === undefined || kind?.childText("value") !== formTypes.subscribeAuthorization) return undefined;
    if (form.attr("type") !== "submit" || stanza.from === undefined) return handled;
    const values = submittedForm(new Element("form", ns.dataForms, {}, [form]), formTypes.subscribeAuthorization)!;
    const field = (name: string) => values.get(`pubsub#${name}`)?.[0]?.trim() ?? "";
    const node = await this.#core.nodes.find(service, field("node"));
    const jid = parseJid(field("subscriber_jid"));
    const allow = formBoolean(field("allow"));
    if (node === undefined || jid === undefined || allow === undefined) return handled;
    if (!(await this.#core.access.isOwner(service, node, stanza.from))) return handled;
    const subscriptions = await this.#core.store.subscriptions(node.id, jid.bare);
    const pending = subscriptions.find((one) => one.jid === jid.full && one.state === "pending");
    if (pending === undefined) return handled;
    return [handled, ...(await this.decide(service, node, pending, allow))];
  }

  /** Ends the waiting of a subscription, and tells who waited. */
  async decide(service: PubSubService, node: PubSubNode, pending: Subscription, allow: boolean): Promise<Effect[]> {
    const { store, nodes, notifier } = this.#core;
    const jid = parseJid(pending.jid);
    if (jid === undefined) return [];
    if (allow) await store.setSubscription(node.id, jid, { ...pending, state: "subscribed" });
    else await store.removeSubscription(node.id, jid);
    nodes.changed(service, node.name);
    const event = subscriptionEvent(
      node.name,
      jid.full,
      allow ? "subscribed" : "none",
      allow ? pending.subid : undefined,
    );
    const effects = [notifier.plain(service, jid, event)];
    if (!allow || node.config.send_last_published_item === "never") return effects;
    const [item] = await store.newest(node.id, 1);
    if (item !== undefined) effects.push(notifier.toSubscriber(service, node, item, jid));
    return effects;
  }
}
