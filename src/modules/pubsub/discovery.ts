/** XEP-0060 section 5: what services, accounts and their nodes say of themselves. */
import { type DiscoIdentity, type DiscoInfo, type DiscoItem, discoForm } from "../../stanza/disco-info.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { type Core, expiredBefore, type PubSubNode, type PubSubService } from "./core.ts";
import { formTypes } from "./node-config.ts";

const common = [
  "access-authorize",
  "access-open",
  "access-presence",
  "access-roster",
  "access-whitelist",
  "auto-create",
  "config-node",
  "config-node-max",
  "create-and-configure",
  "create-nodes",
  "delete-items",
  "delete-nodes",
  "instant-nodes",
  "item-ids",
  "last-published",
  "manage-subscriptions",
  "member-affiliation",
  "meta-data",
  "modify-affiliations",
  "outcast-affiliation",
  "persistent-items",
  "presence-subscribe",
  "publish",
  "publish-only-affiliation",
  "publish-options",
  "publisher-affiliation",
  "purge-nodes",
  "retract-items",
  "retrieve-affiliations",
  "retrieve-default",
  "retrieve-default-sub",
  "retrieve-items",
  "retrieve-subscriptions",
  "rsm",
  "shim",
  "subscribe",
  "subscription-notifications",
  "subscription-options",
];
const ofAccounts = ["auto-subscribe", "filtered-notifications"];

const withPrefix = (names: readonly string[]) => names.map((name) => `${ns.pubsub}#${name}`);

export const serviceFeatures: readonly string[] = [
  ns.discoInfo,
  ns.discoItems,
  ns.pubsub,
  ns.pubsubOwner,
  ...withPrefix(common),
];
export const accountFeatures: readonly string[] = [
  ns.pubsub,
  ns.pubsubOwner,
  ...withPrefix([...common, ...ofAccounts]),
];
export const accountIdentity: DiscoIdentity = { category: "pubsub", type: "pep" };

export const serviceInfo: DiscoInfo = {
  identities: [{ category: "pubsub", type: "service", name: "Publish-Subscribe" }],
  features: [...serviceFeatures].sort(),
  forms: [],
};

/** Most items of a node that discovery lists. */
export const listedMax = 200;

export class Discovery {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Nodes behind `after` that the viewer may know of, at most `listedMax` of all. `more`: there are others behind. */
  async nodes(service: PubSubService, viewer: Jid, after = ""): Promise<{ items: DiscoItem[]; more: boolean }> {
    const nodes = await this.#core.nodes.list(service, after, listedMax + 1);
    const items: DiscoItem[] = [];
    for (const node of nodes.slice(0, listedMax)) {
      if (!(await this.#mayKnow(service, node, viewer))) continue;
      const { title } = node.config;
      items.push({ jid: service.address.full, node: node.name, ...(title === "" ? {} : { name: title }) });
    }
    return { items, more: nodes.length > listedMax };
  }

  /** XEP-0163 section 6.2 and XEP-0060 section 5.2: nodes closed to somebody are not shown to him. */
  async #mayKnow(service: PubSubService, node: PubSubNode, viewer: Jid): Promise<boolean> {
    const { access_model } = node.config;
    if (access_model === "open" || (access_model === "authorize" && service.account === undefined)) return true;
    return (await this.#core.access.readingRefused(service, node, viewer)) === undefined;
  }

  async #known(service: PubSubService, name: string, viewer: Jid): Promise<PubSubNode | undefined> {
    const node = await this.#core.nodes.find(service, name);
    return node !== undefined && (await this.#mayKnow(service, node, viewer)) ? node : undefined;
  }

  async node(service: PubSubService, name: string, viewer: Jid): Promise<DiscoInfo | undefined> {
    const node = await this.#known(service, name, viewer);
    if (node === undefined) return undefined;
    const { title } = node.config;
    return {
      identities: [{ category: "pubsub", type: "leaf", ...(title === "" ? {} : { name: title }) }],
      features: [ns.discoInfo, ns.discoItems, ns.pubsub],
      forms: [await this.#metaData(service, node)],
    };
  }

  /** Section 5.4. */
  async #metaData(service: PubSubService, node: PubSubNode) {
    const { config } = node;
    const { store, access } = this.#core;
    const fields = [
      { var: "pubsub#type", values: [config.type] },
      { var: "pubsub#creator", type: "jid-single", values: [node.creator] },
      { var: "pubsub#creation_date", values: [new Date(node.createdAt).toISOString()] },
      { var: "pubsub#title", values: [config.title] },
      { var: "pubsub#description", values: [config.description] },
      { var: "pubsub#language", type: "list-single", values: [config.language] },
      { var: "pubsub#contact", type: "jid-multi", values: config.contact },
      { var: "pubsub#owner", type: "jid-multi", values: await access.owners(service, node) },
      { var: "pubsub#access_model", type: "list-single", values: [config.access_model] },
      { var: "pubsub#publish_model", type: "list-single", values: [config.publish_model] },
      { var: "pubsub#max_items", values: [String(config.max_items)] },
      { var: "pubsub#num_subscribers", values: [String(node.shared ? await store.countSubscriptions(node.id) : 0)] },
    ];
    return discoForm(
      formTypes.metaData,
      fields.filter(({ values }) => values.length > 0 && values[0] !== ""),
    );
  }

  /** The ids of a node's newest items, for those who may retrieve them. */
  async items(service: PubSubService, name: string, viewer: Jid): Promise<DiscoItem[] | undefined> {
    const { store, access, house } = this.#core;
    const node = await this.#known(service, name, viewer);
    if (node === undefined) return undefined;
    const refused = await access.readingRefused(service, node, viewer);
    if (refused !== undefined) throw refused;
    const ids = await store.itemIds(node.id, listedMax, expiredBefore(node.config, house.clock.now()));
    return ids.map((id) => ({ jid: service.address.full, name: id }));
  }
}
