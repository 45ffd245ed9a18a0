/** XEP-0060 section 13: errors with a condition of that protocol's own beside the general one. */
import { type StanzaCondition, StanzaError, type StanzaErrorType } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { attributes, xml } from "../../xml/xml.ts";

export type PubSubCondition =
  | "closed-node"
  | "configuration-required"
  | "invalid-jid"
  | "invalid-options"
  | "invalid-payload"
  | "invalid-subid"
  | "item-forbidden"
  | "item-required"
  | "jid-required"
  | "max-items-exceeded"
  | "max-nodes-exceeded"
  | "node-full"
  | "nodeid-required"
  | "not-in-roster-group"
  | "not-subscribed"
  | "payload-required"
  | "payload-too-big"
  | "pending-subscription"
  | "precondition-not-met"
  | "presence-subscription-required"
  | "subid-required"
  | "too-many-subscriptions"
  | "unsupported-access-model";

export function pubsubError(
  condition: StanzaCondition,
  own: PubSubCondition,
  details: { text?: string; type?: StanzaErrorType } = {},
): StanzaError {
  return new StanzaError(condition, { ...details, application: `<${own} xmlns='${ns.pubsubErrors}'/>` });
}

/** What this service or node cannot do; `feature` is its name in service discovery, behind `pubsub#`. */
export function unsupported(feature: string): StanzaError {
  const application = xml`<unsupported xmlns='${ns.pubsubErrors}'${attributes({ feature })}/>`.text;
  return new StanzaError("feature-not-implemented", { application });
}

export const noSuchNode = (): StanzaError => new StanzaError("item-not-found", { text: "There is no such node" });
