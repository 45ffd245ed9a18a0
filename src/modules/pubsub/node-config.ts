/** Configuration of a node (XEP-0060 sections 8.2 and 16.4.4): what may be set, what it means, and how it is said in forms. */

import { type FormValues, formBoolean } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";
import { pubsubError } from "./pubsub-errors.ts";

export const accessModels = ["open", "presence", "roster", "authorize", "whitelist"] as const;
export type AccessModel = (typeof accessModels)[number];
export const publishModels = ["publishers", "subscribers", "open"] as const;
export const notificationTypes = ["headline", "normal", "chat"] as const;
export const lastItemTimes = ["never", "on_sub", "on_sub_and_presence"] as const;
export const fullNodeActions = ["retract-oldest", "discard-oldest", "reject"] as const;
/** "max" is as many, or as long, as the service allows. */
export type UpTo = number | "max";

/** Names are those of the form, without `pubsub#`; as such they are in the database. */
export interface NodeConfig {
  readonly title: string;
  readonly description: string;
  readonly language: string;
  /** Namespace of the payloads; checked when it is set. */
  readonly type: string;
  readonly contact: readonly string[];
  readonly node_type: "leaf" | "push";
  readonly access_model: AccessModel;
  readonly publish_model: (typeof publishModels)[number];
  readonly roster_groups_allowed: readonly string[];
  readonly subscribe: boolean;
  readonly deliver_notifications: boolean;
  readonly deliver_payloads: boolean;
  readonly notify_config: boolean;
  readonly notify_delete: boolean;
  readonly notify_retract: boolean;
  readonly notify_sub: boolean;
  readonly notification_type: (typeof notificationTypes)[number];
  readonly presence_based_delivery: boolean;
  readonly send_last_published_item: (typeof lastItemTimes)[number];
  readonly persist_items: boolean;
  readonly max_items: UpTo;
  readonly publish_node_full: (typeof fullNodeActions)[number];
  /** Seconds. */
  readonly item_expire: UpTo;
  readonly max_payload_size: number;
  readonly itemreply: "owner" | "publisher";
  readonly purge_offline: boolean;
}

export interface ConfigLimits {
  readonly maxItems: number;
  readonly maxPayloadSize: number;
}

/** Defaults of a pubsub service. */
export function serviceDefaults(limits: ConfigLimits): NodeConfig {
  return {
    title: "",
    description: "",
    language: "",
    type: "",
    contact: [],
    node_type: "leaf",
    access_model: "open",
    publish_model: "publishers",
    roster_groups_allowed: [],
    subscribe: true,
    deliver_notifications: true,
    deliver_payloads: true,
    notify_config: false,
    notify_delete: true,
    notify_retract: true,
    notify_sub: false,
    notification_type: "headline",
    presence_based_delivery: false,
    send_last_published_item: "on_sub_and_presence",
    persist_items: true,
    max_items: Math.min(10, limits.maxItems),
    publish_node_full: "discard-oldest",
    item_expire: "max",
    max_payload_size: limits.maxPayloadSize,
    itemreply: "publisher",
    purge_offline: false,
  };
}

/** XEP-0163 section 5: access by presence; a node of somebody's mood or tune has one item. */
export function pepDefaults(limits: ConfigLimits): NodeConfig {
  return { ...serviceDefaults(limits), access_model: "presence", presence_based_delivery: true, max_items: 1 };
}

type Kind = "boolean" | "text" | "choice" | "upTo" | "number" | "texts" | "addresses";

interface Field {
  readonly kind: Kind;
  readonly label: string;
  readonly values?: readonly string[];
}

const fields: { readonly [Name in keyof NodeConfig]: Field } = {
  title: { kind: "text", label: "A friendly name for the node" },
  description: { kind: "text", label: "A description of the node" },
  language: { kind: "text", label: "The default language of the node" },
  type: { kind: "text", label: "The namespace of the payloads" },
  contact: { kind: "addresses", label: "Whom to contact with questions" },
  node_type: {
    kind: "choice",
    label: "Whether the node is a leaf or forwards to push notifications",
    values: ["leaf", "push"],
  },
  access_model: { kind: "choice", label: "Who may subscribe and retrieve items", values: accessModels },
  publish_model: { kind: "choice", label: "Who may publish", values: publishModels },
  roster_groups_allowed: { kind: "texts", label: "Roster groups that may subscribe and retrieve items" },
  subscribe: { kind: "boolean", label: "Whether to allow subscriptions" },
  deliver_notifications: { kind: "boolean", label: "Whether to deliver event notifications" },
  deliver_payloads: { kind: "boolean", label: "Whether to deliver payloads with event notifications" },
  notify_config: { kind: "boolean", label: "Whether to tell subscribers of a changed configuration" },
  notify_delete: { kind: "boolean", label: "Whether to tell subscribers that the node is deleted" },
  notify_retract: { kind: "boolean", label: "Whether to tell subscribers of removed items" },
  notify_sub: { kind: "boolean", label: "Whether to tell owners of new and lost subscribers" },
  notification_type: { kind: "choice", label: "The type of the messages that notify", values: notificationTypes },
  presence_based_delivery: { kind: "boolean", label: "Whether to notify available users only" },
  send_last_published_item: { kind: "choice", label: "When to send the last published item", values: lastItemTimes },
  persist_items: { kind: "boolean", label: "Whether to keep items" },
  max_items: { kind: "upTo", label: "The most items to keep" },
  publish_node_full: { kind: "choice", label: "What happens to an item too many", values: fullNodeActions },
  item_expire: { kind: "upTo", label: "Seconds after which items are removed" },
  max_payload_size: { kind: "number", label: "The most bytes of a payload" },
  itemreply: { kind: "choice", label: "Who receives replies to items", values: ["owner", "publisher"] },
  purge_offline: { kind: "boolean", label: "Whether to remove a publisher's items when he goes offline" },
};

const names = Object.keys(fields) as (keyof NodeConfig)[];
const prefix = "pubsub#";
const nodeConfigForm = `${ns.pubsub}#node_config`;
export const formTypes = {
  nodeConfig: nodeConfigForm,
  publishOptions: `${ns.pubsub}#publish-options`,
  metaData: `${ns.pubsub}#meta-data`,
  subscribeOptions: `${ns.pubsub}#subscribe_options`,
  subscribeAuthorization: `${ns.pubsub}#subscribe_authorization`,
} as const;

/** Longest text of a field, and most texts of a list. */
const textCharsMax = 2_000;
const textsMax = 100;

/**
 * The configuration with what a form says; fields nobody knows are passed over. Throws `StanzaError` not-acceptable for
 * values that cannot be.
 */
export function configured(config: NodeConfig, form: FormValues, limits: ConfigLimits): NodeConfig {
  const changed: Record<string, unknown> = { ...config };
  for (const [variable, texts] of form) {
    const name = nameOf(variable);
    if (name === undefined) continue;
    const value = parsed(name, texts);
    if (value !== undefined) changed[name] = value;
  }
  const result = changed as unknown as NodeConfig;
  if (result.max_items !== "max" && result.max_items > limits.maxItems)
    throw tooMuch(`max_items is ${limits.maxItems} at most`);
  if (result.max_payload_size > limits.maxPayloadSize) {
    throw tooMuch(`max_payload_size is ${limits.maxPayloadSize} at most`);
  }
  return result;
}

/**
 * The first field of publish-options (section 7.1.5) that the node's configuration does not fulfil, or that is unknown;
 * undefined when all hold.
 */
export function unmetPrecondition(config: NodeConfig, form: FormValues): string | undefined {
  for (const [variable, texts] of form) {
    const name = nameOf(variable);
    if (name === undefined) return variable;
    let wanted: unknown;
    try {
      wanted = parsed(name, texts);
    } catch {
      return variable;
    }
    if (wanted === undefined) continue;
    const is = config[name];
    if (Array.isArray(wanted) ? !sameTexts(wanted, is as readonly string[]) : wanted !== is) return variable;
  }
  return undefined;
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && [...a].sort().join("\0") === [...b].sort().join("\0");
}

function nameOf(variable: string): keyof NodeConfig | undefined {
  if (!variable.startsWith(prefix)) return undefined;
  const name = variable.slice(prefix.length);
  return Object.hasOwn(fields, name) ? (name as keyof NodeConfig) : undefined;
}

function tooMuch(text: string): StanzaError {
  return new StanzaError("not-acceptable", { text });
}

/** The value of a field; undefined when the form leaves it open. */
function parsed(name: keyof NodeConfig, texts: readonly string[]): unknown {
  const field = fields[name];
  const text = texts[0]?.trim() ?? "";
  const wrong = () => tooMuch(`'${text.slice(0, 64)}' is no value of ${prefix}${name}`);
  switch (field.kind) {
    case "boolean": {
      if (texts.length === 0) return undefined;
      const value = formBoolean(text);
      if (value === undefined) throw wrong();
      return value;
    }
    case "text": {
      if (text.length > textCharsMax) throw tooMuch(`${prefix}${name} has ${textCharsMax} characters at most`);
      return texts[0] ?? "";
    }
    case "texts":
    case "addresses": {
      const list = texts.filter((value) => value !== "");
      if (list.length > textsMax || list.some((value) => value.length > textCharsMax))
        throw tooMuch(`${prefix}${name} is too long`);
      if (field.kind === "addresses" && list.some((value) => parseJid(value) === undefined)) throw wrong();
      return list;
    }
    case "choice": {
      if (text === "") return undefined;
      if (field.values!.includes(text)) return text;
      if (name === "access_model") throw pubsubError("not-acceptable", "unsupported-access-model");
      throw wrong();
    }
    case "upTo":
      if (text === "") return undefined;
      if (text === "max") return "max";
      return wholeNumber(text, wrong);
    case "number":
      return text === "" ? undefined : wholeNumber(text, wrong);
  }
}

function wholeNumber(text: string, wrong: () => StanzaError): number {
  if (!/^\d{1,9}$/.test(text)) throw wrong();
  return Number(text);
}

function textsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value as string[];
  if (typeof value === "boolean") return [value ? "1" : "0"];
  return [String(value)];
}

const formFieldTypes: { readonly [Of in Kind]: string } = {
  boolean: "boolean",
  text: "text-single",
  choice: "list-single",
  upTo: "text-single",
  number: "text-single",
  texts: "text-multi",
  addresses: "jid-multi",
};

/** The form with which a node is configured. `only` leaves out what this service does not offer. */
export function configForm(config: NodeConfig, only: (name: keyof NodeConfig, value: string) => boolean): Xml {
  const items = names.map((name) => {
    const { kind, label, values } = fields[name];
    const options = values
      ?.filter((value) => only(name, value))
      .map((value) => xml`<option><value>${value}</value></option>`);
    const said = textsOf(config[name]).map((value) => xml`<value>${value}</value>`);
    return xml`<field${attributes({ var: prefix + name, type: formFieldTypes[kind], label })}>${said}${options}</field>`;
  });
  return xml`<x xmlns='${ns.dataForms}' type='form'>${formType(formTypes.nodeConfig)}${items}</x>`;
}

/** The configuration as it is, for those who are told that it has changed. */
export function configResult(config: NodeConfig): Xml {
  const items = names.map((name) => {
    const said = textsOf(config[name]).map((value) => xml`<value>${value}</value>`);
    return xml`<field${attributes({ var: prefix + name })}>${said}</field>`;
  });
  return xml`<x xmlns='${ns.dataForms}' type='result'>${formType(formTypes.nodeConfig)}${items}</x>`;
}

export function formType(of: string): Xml {
  return xml`<field var='FORM_TYPE' type='hidden'><value>${of}</value></field>`;
}

/** What a stored configuration does not say is the default of its kind of service, so that fields can be added. */
export function readConfig(text: string, defaults: NodeConfig): NodeConfig {
  return { ...defaults, ...(JSON.parse(text) as Partial<NodeConfig>) };
}

export function writeConfig(config: NodeConfig): string {
  return JSON.stringify(config);
}
