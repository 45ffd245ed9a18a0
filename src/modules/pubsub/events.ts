/** Event notifications (XEP-0060 section 7.1.2 and others) as XML. */
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { delayElement } from "../../stanza/reply.ts";
import { attributes, raw, type Xml, xml } from "../../xml/xml.ts";
import { configResult, type NodeConfig } from "./node-config.ts";

export interface ItemInEvent {
  readonly id: string;
  /** XML, "" for none. */
  readonly payload: string;
  readonly publisher: string;
}

const event = (inside: Xml): Xml => xml`<event xmlns='${ns.pubsubEvent}'>${inside}</event>`;

export function itemElement(item: ItemInEvent, withPayload: boolean, withPublisher: boolean): Xml {
  const publisher = withPublisher ? item.publisher : undefined;
  return xml`<item${attributes({ id: item.id, publisher })}>${withPayload ? raw(item.payload) : undefined}</item>`;
}

export function itemsEvent(
  node: string,
  items: readonly ItemInEvent[],
  config: NodeConfig,
  withPublisher: boolean,
): Xml {
  const elements = items.map((item) => itemElement(item, config.deliver_payloads, withPublisher));
  return event(xml`<items node='${node}'>${elements}</items>`);
}

export function retractEvent(node: string, ids: readonly string[]): Xml {
  return event(xml`<items node='${node}'>${ids.map((id) => xml`<retract id='${id}'/>`)}</items>`);
}

export const purgeEvent = (node: string): Xml => event(xml`<purge node='${node}'/>`);

export function deleteEvent(node: string, redirect: string | undefined): Xml {
  const to = redirect === undefined ? undefined : xml`<redirect uri='${redirect}'/>`;
  return event(xml`<delete node='${node}'>${to}</delete>`);
}

export function configurationEvent(node: string, config: NodeConfig): Xml {
  return event(
    xml`<configuration node='${node}'>${config.deliver_payloads ? configResult(config) : undefined}</configuration>`,
  );
}

/** Section 12.11: somebody's subscription has changed. */
export function subscriptionEvent(node: string, jid: string, subscription: string, subid?: string): Xml {
  return event(xml`<subscription${attributes({ node, jid, subscription, subid })}/>`);
}

/** XEP-0131: which of an entity's subscriptions a notification is for. */
export function subidHeader(subids: readonly string[]): Xml {
  return xml`<headers xmlns='${ns.shim}'>${subids.map((subid) => xml`<header name='SubID'>${subid}</header>`)}</headers>`;
}

export function delayed(eventElement: Xml, by: Jid, at: number): Xml {
  return xml`${eventElement}${delayElement(by, at)}`;
}
