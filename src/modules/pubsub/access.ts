/** Who may do what with a node (XEP-0060 sections 4.1 and 4.5). */
import type { RosterEntry } from "../../hooks/points.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import type { PubSubHouse, PubSubNode, PubSubService } from "./core.ts";
import type { NodeConfig } from "./node-config.ts";
import { pubsubError } from "./pubsub-errors.ts";
import type { PubSubStore } from "./pubsub-store.ts";
import type { Affiliation } from "./pubsub-tables.ts";

export class Access {
  readonly #house: PubSubHouse;
  readonly #store: PubSubStore;

  constructor(house: PubSubHouse, store: PubSubStore) {
    this.#house = house;
    this.#store = store;
  }

  async affiliation(service: PubSubService, node: PubSubNode, jid: Jid): Promise<Affiliation | undefined> {
    if (service.account !== undefined && service.account.bare === jid.bare) return "owner";
    return node.shared ? this.#store.affiliation(node.id, jid.bare) : undefined;
  }

  async isOwner(service: PubSubService, node: PubSubNode, jid: Jid): Promise<boolean> {
    return (await this.affiliation(service, node, jid)) === "owner";
  }

  /** @throws StanzaError forbidden. */
  async requireOwner(service: PubSubService, node: PubSubNode, jid: Jid): Promise<void> {
    if (!(await this.isOwner(service, node, jid)))
      throw new StanzaError("forbidden", { text: "You do not own the node" });
  }

  /** Bare addresses of those who own a node. */
  async owners(service: PubSubService, node: PubSubNode): Promise<string[]> {
    const owners = service.account === undefined ? [] : [service.account.bare];
    if (!node.shared) return owners;
    for (const [jid, affiliation] of await this.#store.affiliations(node.id)) {
      if (affiliation === "owner") owners.push(jid);
    }
    return owners;
  }

  /** Why somebody may not retrieve items; undefined when he may. */
  async readingRefused(service: PubSubService, node: PubSubNode, viewer: Jid): Promise<StanzaError | undefined> {
    const affiliation = await this.affiliation(service, node, viewer);
    const byAffiliation = refusedByAffiliation(affiliation);
    if (byAffiliation !== undefined) return byAffiliation;
    if (affiliation !== undefined) return undefined;
    if (node.config.access_model !== "authorize") return this.modelRefuses(service, node, viewer);
    const subscriptions = node.shared ? await this.#store.subscriptions(node.id, viewer.bare) : [];
    return subscriptions.some(({ state }) => state === "subscribed")
      ? undefined
      : pubsubError("not-authorized", "not-subscribed");
  }

  /** What the access model alone says to somebody without affiliation; one that has to be authorized is not refused. */
  async modelRefuses(service: PubSubService, node: PubSubNode, viewer: Jid): Promise<StanzaError | undefined> {
    switch (node.config.access_model) {
      case "open":
      case "authorize":
        return undefined;
      case "whitelist":
        return pubsubError("not-allowed", "closed-node");
      case "presence":
        return (await this.#anyOwner(service, node, viewer, sharesPresence))
          ? undefined
          : pubsubError("not-authorized", "presence-subscription-required");
      case "roster": {
        const groups = node.config.roster_groups_allowed;
        return (await this.#anyOwner(service, node, viewer, (contact) => isInGroup(contact, groups)))
          ? undefined
          : pubsubError("not-authorized", "not-in-roster-group");
      }
    }
  }

  /** Whether the roster of an owner says so of somebody; only of owners of this host it is known. */
  async #anyOwner(
    service: PubSubService,
    node: PubSubNode,
    viewer: Jid,
    says: (contact: RosterEntry) => boolean,
  ): Promise<boolean> {
    for (const owner of await this.owners(service, node)) {
      const account = parseJid(owner);
      if (account === undefined || account.domain !== this.#house.domain) continue;
      const contact = await this.#house.ask("rosterItem", account, viewer.toBare());
      if (contact !== undefined && says(contact)) return true;
    }
    return false;
  }

  async mayPublish(service: PubSubService, node: PubSubNode, publisher: Jid): Promise<boolean> {
    const affiliation = await this.affiliation(service, node, publisher);
    switch (affiliation) {
      case "owner":
      case "publisher":
      case "publish-only":
        return true;
      case "outcast":
        return false;
    }
    switch (node.config.publish_model) {
      case "publishers":
        return false;
      case "open":
        return true;
      case "subscribers": {
        const subscriptions = node.shared ? await this.#store.subscriptions(node.id, publisher.bare) : [];
        return subscriptions.some(({ state }) => state === "subscribed");
      }
    }
  }
}

export function sharesPresence(contact: RosterEntry): boolean {
  return contact.subscription === "from" || contact.subscription === "both";
}

export function isInGroup(contact: RosterEntry, groups: NodeConfig["roster_groups_allowed"]): boolean {
  return contact.groups.some((group) => groups.includes(group));
}

/** Outcasts and those who only publish never receive. */
export function refusedByAffiliation(affiliation: Affiliation | undefined): StanzaError | undefined {
  return affiliation === "outcast" || affiliation === "publish-only" ? new StanzaError("forbidden") : undefined;
}
