/** Options of mod_pubsub, with MongooseIM's names. */
import { type OptionsOf, option } from "../../config/option.ts";
import {
  accessModels,
  type ConfigLimits,
  lastItemTimes,
  type NodeConfig,
  notificationTypes,
  publishModels,
} from "./node-config.ts";

const unset = (doc: string) => option.boolean({ doc });

export const pubsubOptions = {
  backend: option.choice({
    doc: "Where nodes and items are kept.",
    values: ["rdbms"],
    default: "rdbms",
    unsupported: { mnesia: "nodes and items are kept in the SQL database" },
  }),
  host: option.string({
    doc: "The domain of the service; @HOST@ stands for the host's own.",
    default: "pubsub.@HOST@",
  }),
  access_createnode: option.access({ doc: "Access rule for those who may make nodes on the service.", default: "all" }),
  plugins: option.list(
    option.choice({
      doc: "flat: the service; pep: nodes of accounts; push: nodes on the service that hand notifications to a push service.",
      values: ["flat", "pep", "push"],
      required: true,
      unsupported: {
        hometree: "names of nodes have no meaning",
        dag: "there are no collections",
      },
    }),
    { doc: "What there is.", default: ["flat", "pep"], minItems: 1, distinct: true },
  ),
  nodetree: option.choice({
    doc: "Accepted for configurations of MongooseIM: nodes are leaves.",
    values: ["tree"],
    default: "tree",
    unsupported: { dag: "there are no collections" },
  }),
  pep_mapping: option.map(option.choice({ doc: "A kind of node.", values: ["pep"], required: true }), {
    doc: "Accepted for configurations of MongooseIM: nodes of accounts are all of one kind.",
  }),
  max_items_node: option.integer({ doc: "Most items that a node can be configured to keep.", default: 1_000, min: 1 }),
  max_subscriptions_node: option.integer({ doc: "Most subscriptions of one node.", default: 10_000, min: 0 }),
  max_nodes_user: option.integer({
    doc: "Most nodes of one account, and most that one account can make on the service.",
    default: 500,
    min: 1,
  }),
  max_payload_size: option.integer({
    doc: "Most bytes of one item's payload; `max_stanza_size` of the listener limits it too.",
    default: 262_144,
    min: 1_024,
    unit: "bytes",
  }),
  ignore_pep_from_offline: option.boolean({
    doc: "Whether last items of contacts that are offline are kept back from who comes online.",
    default: false,
  }),
  last_item_cache: option.choice({
    doc: "Accepted for configurations of MongooseIM: the last item is one index lookup.",
    values: ["rdbms"],
    default: "rdbms",
    unsupported: { mnesia: "last items are kept in the SQL database" },
  }),
  item_publisher: option.boolean({ doc: "Whether items say who has published them.", default: false }),
  sync_broadcast: option.boolean({
    doc: "Accepted for configurations of MongooseIM: who publishes next waits until notifications are on their way.",
    default: false,
  }),
  default_node_config: option.table(
    {
      access_model: option.choice({ doc: "Who may subscribe and retrieve items.", values: accessModels }),
      deliver_notifications: unset("Whether notifications are sent."),
      deliver_payloads: unset("Whether notifications carry the items."),
      item_expire: option.integer({ doc: "How long items are kept.", min: 1, unit: "s" }),
      max_items: option.integer({ doc: "Most items kept.", min: 0 }),
      max_payload_size: option.integer({ doc: "Most bytes of a payload.", min: 1, unit: "bytes" }),
      node_type: option.choice({ doc: "The kind of node.", values: ["leaf"] }),
      notification_type: option.choice({ doc: "The type of messages that notify.", values: notificationTypes }),
      notify_config: unset("Whether subscribers are told of a changed configuration."),
      notify_delete: unset("Whether subscribers are told of a deleted node."),
      notify_retract: unset("Whether subscribers are told of removed items."),
      notify_sub: unset("Whether owners are told of subscribers that come and go."),
      persist_items: unset("Whether items are kept."),
      presence_based_delivery: unset("Whether only available users are notified."),
      publish_model: option.choice({ doc: "Who may publish.", values: publishModels }),
      purge_offline: unset("Whether items go when their publisher goes offline."),
      send_last_published_item: option.choice({ doc: "When the last item is sent.", values: lastItemTimes }),
      subscribe: unset("Whether subscriptions are allowed."),
    },
    { doc: "What the configuration of a new node on the service is, where it differs from the standard's." },
  ),
} as const;

export type PubSubOptions = OptionsOf<typeof pubsubOptions>;

/** Defaults with what the operator has said of them. */
export function withDefaults(
  standard: NodeConfig,
  given: PubSubOptions["defaultNodeConfig"],
  limits: ConfigLimits,
): NodeConfig {
  const said: [keyof NodeConfig, unknown][] = [
    ["access_model", given.accessModel],
    ["deliver_notifications", given.deliverNotifications],
    ["deliver_payloads", given.deliverPayloads],
    ["item_expire", given.itemExpire],
    ["max_items", given.maxItems === undefined ? undefined : Math.min(given.maxItems, limits.maxItems)],
    [
      "max_payload_size",
      given.maxPayloadSize === undefined ? undefined : Math.min(given.maxPayloadSize, limits.maxPayloadSize),
    ],
    ["notification_type", given.notificationType],
    ["notify_config", given.notifyConfig],
    ["notify_delete", given.notifyDelete],
    ["notify_retract", given.notifyRetract],
    ["notify_sub", given.notifySub],
    ["persist_items", given.persistItems],
    ["presence_based_delivery", given.presenceBasedDelivery],
    ["publish_model", given.publishModel],
    ["purge_offline", given.purgeOffline],
    ["send_last_published_item", given.sendLastPublishedItem],
    ["subscribe", given.subscribe],
  ];
  return { ...standard, ...Object.fromEntries(said.filter(([, value]) => value !== undefined)) };
}
