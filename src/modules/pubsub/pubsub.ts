/** XEP-0060 Publish-Subscribe 1.30.0 on a domain, and XEP-0163 Personal Eventing Protocol 1.2.2 on every account. */
import { defineModule } from "../../hooks/define-module.ts";
import { type Effect, handled, type MaybePromise, type Outcome, route } from "../../hooks/effect.ts";
import type { PersonalData } from "../../hooks/points.ts";
import { type DiscoInfo, discoInfoElement, discoItemsElement } from "../../stanza/disco-info.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import { pageRequest, resultSet } from "../../stanza/result-set.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { Access } from "./access.ts";
import type { Core, PubSubNode, PubSubService, PubSubSettings } from "./core.ts";
import { Desk } from "./desk.ts";
import { accountFeatures, accountIdentity, Discovery, serviceInfo } from "./discovery.ts";
import { deleteEvent, purgeEvent } from "./events.ts";
import { pepDefaults, serviceDefaults } from "./node-config.ts";
import { Nodes } from "./nodes.ts";
import { filterElsewhere, Notifier } from "./notifier.ts";
import { pubsubOptions, withDefaults } from "./options.ts";
import { LastItems } from "./pep.ts";
import { Personal } from "./personal.ts";
import { personalTables } from "./personal-data.ts";
import { noSuchNode } from "./pubsub-errors.ts";
import { PubSubStore } from "./pubsub-store.ts";
import { pubsubMigrations } from "./pubsub-tables.ts";

export const pubsub = defineModule({
  name: "mod_pubsub",
  summary:
    "Publish and subscribe: a service for any purpose, and personal nodes (PEP) of every account, such as avatars and bookmarks.",
  xeps: [
    {
      number: 60,
      version: "1.30.0",
      note: "without collections, several subscriptions of one address, and get-pending",
    },
    { number: 163, version: "1.2.2" },
    { number: 223, version: "1.1.1" },
    { number: 84, version: "1.1.4" },
    { number: 48, version: "1.2", note: "in private storage, unified with XEP-0402" },
    { number: 402, version: "1.2.0" },
    { number: 118, version: "1.3.0", note: "a personal node like any other" },
    { number: 172, version: "1.1", note: "a personal node like any other" },
    { number: 292, version: "0.12.0", note: "the personal node" },
    { number: 384, version: "0.9.1", note: "keys in personal nodes" },
  ],
  options: pubsubOptions,
  migrations: pubsubMigrations,

  setup(on, context) {
    const { options, domain } = context;
    const limits = { maxItems: options.maxItemsNode, maxPayloadSize: options.maxPayloadSize };
    const settings: PubSubSettings = {
      ...limits,
      nodesMax: options.maxNodesUser,
      subscriptionsMax: options.maxSubscriptionsNode,
      itemPublisher: options.itemPublisher,
      ignoreOffline: options.ignorePepFromOffline,
      createRule: options.accessCreatenode,
      pushNodes: options.plugins.includes("push"),
    };
    const store = new PubSubStore(context.store, context.clock);
    const ofAccounts = pepDefaults(limits);
    const nodes = new Nodes(context, store, ofAccounts);
    const access = new Access(context, store);
    const notifier = new Notifier(context, store, access, options.itemPublisher);
    const core: Core = { house: context, settings, store, nodes, access, notifier };
    const desk = new Desk(core);
    const discovery = new Discovery(core);
    const serviceOf = (account: Jid): PubSubService => ({
      key: { server: account.domain, username: account.local },
      address: account,
      account,
      defaults: ofAccounts,
    });

    if (options.plugins.includes("flat") || options.plugins.includes("push")) {
      const address = parseJid(options.host.replaceAll("@HOST@", domain));
      if (address === undefined || !address.isDomain) throw new Error(`mod_pubsub: '${options.host}' is no domain`);
      const defaults = withDefaults(serviceDefaults(limits), options.defaultNodeConfig, limits);
      const service: PubSubService = {
        key: { server: address.domain, username: "" },
        address,
        account: undefined,
        defaults,
      };
      on.serve(address.domain, (stanza) => new Domain(service, desk, discovery).take(stanza));
    }

    if (options.plugins.includes("pep")) {
      const personal = new Personal(core, desk, on, serviceOf);
      for (const type of ["get", "set"] as const) {
        on.iq(type, "user", ns.pubsub, "pubsub", (request, { target, payload }) =>
          personal.answer(request, serviceOf(target), payload),
        );
        on.iq(type, "user", ns.pubsubOwner, "pubsub", (request, { target, payload }) =>
          desk.answer(request, serviceOf(target), payload, true),
        );
      }
      // An owner's answer to a request for authorization goes to his own address.
      on.stage("incoming", "message", (stanza, account) => {
        // The question itself comes from the account's bare address.
        if (stanza.from?.bare !== account.bare || stanza.from.isBare || stanza.to?.isBare !== true) return undefined;
        if (!stanza.has("x", ns.dataForms)) return undefined;
        return desk.authorization.answered(serviceOf(account), stanza);
      });

      const lastItems = new LastItems(core, serviceOf);
      on.session("available", (session) => {
        lastItems.presented(session);
        return undefined;
      });
      on.session("updated", (session) => {
        lastItems.presented(session);
        return undefined;
      });
      on.session("unavailable", (session) => {
        lastItems.gone(session);
        if (context.isAvailable(session.account)) return undefined;
        return purgeOfflineNodes(core, serviceOf(session.account));
      });
      on.answer("sharePresence", (account, contact, visible) =>
        visible && contact.domain === domain ? lastItems.forContact(account, contact.toBare()) : undefined,
      );
      on.stage("delivering", "message", (stanza, session) => filterElsewhere(context, stanza, session));

      on.answer("accountFeatures", () => [...accountFeatures, ...personal.features]);
      on.answer("accountIdentities", () => [accountIdentity]);
      on.answer("accountItems", async (account, viewer) => (await discovery.nodes(serviceOf(account), viewer)).items);
      on.answer("accountNode", (account, node, viewer) => discovery.node(serviceOf(account), node, viewer));
      on.answer("accountNodeItems", (account, node, viewer) => discovery.items(serviceOf(account), node, viewer));
    }

    on.account("removed", (account) => forget(core, serviceOf(account)));
    on.account("guestRemoved", (account) => forget(core, serviceOf(account)));
    on.answer("personalData", (account): readonly PersonalData[] => personalTables(context.store, account));
    on.answer("guestData", (account) => personalTables(context.store, account).filter(({ everyHost }) => everyHost));
    return undefined;
  },
});

/** `pubsub#purge_offline`. Without the database the session must end all the same. */
function purgeOfflineNodes(core: Core, service: PubSubService): MaybePromise<Outcome> {
  const failed = (error: unknown): undefined => {
    core.house.log.warn({ err: error, jid: service.address.full }, "nodes with purge_offline were not looked at");
  };
  const all = core.nodes.ofAccount(service.key);
  if (all instanceof Promise) return all.then((nodes) => purgeAll(core, service, nodes)).catch(failed);
  if (!all.some(({ config }) => config.purge_offline)) return undefined;
  return purgeAll(core, service, all).catch(failed);
}

async function purgeAll(core: Core, service: PubSubService, nodes: readonly PubSubNode[]): Promise<Effect[]> {
  const effects: Effect[] = [];
  for (const node of nodes) {
    if (!node.config.purge_offline || !node.config.persist_items) continue;
    await core.store.purge(node.id);
    if (!node.config.notify_retract) continue;
    effects.push(...(await core.notifier.toAll(service, node, purgeEvent(node.name))));
  }
  return effects;
}

/** An account is removed: its nodes, those it owns alone elsewhere, and what it has in those of others. */
async function forget(core: Core, own: PubSubService): Promise<void> {
  const { store, nodes, notifier, house } = core;
  const account = own.address.bare;
  await nodes.delete(own, await nodes.ofAccount(own.key));
  const orphans = await store.nodesById(await store.ownedAlone(account));
  for (const orphan of orphans) {
    const address = parseJid(orphan.username === "" ? orphan.server : `${orphan.username}@${orphan.server}`);
    if (address === undefined) continue;
    const service: PubSubService = {
      ...own,
      key: { server: orphan.server, username: orphan.username },
      address,
      account: undefined,
    };
    const node = await nodes.find(service, orphan.name);
    if (node === undefined) continue;
    const told = node.config.notify_delete
      ? await notifier.toAll(service, node, deleteEvent(node.name, undefined))
      : [];
    await nodes.delete(service, [node]);
    await house.run(told);
  }
  for (const { server, username, name } of await store.nodesById(await store.forget(account))) {
    nodes.changed({ key: { server, username } }, name);
  }
}

/** What arrives for the domain of a service. */
class Domain {
  readonly #service: PubSubService;
  readonly #desk: Desk;
  readonly #discovery: Discovery;

  constructor(service: PubSubService, desk: Desk, discovery: Discovery) {
    this.#service = service;
    this.#desk = desk;
    this.#discovery = discovery;
  }

  take(stanza: Stanza): MaybePromise<Outcome> {
    switch (stanza.kind) {
      case "presence":
        return handled;
      case "message":
        return this.#message(stanza);
      case "iq":
        if (stanza.type === "result" || stanza.type === "error") return handled;
        return this.#iq(stanza);
    }
  }

  async #message(stanza: Stanza): Promise<Outcome> {
    if (stanza.type === "error") return handled;
    const outcome =
      stanza.to?.isDomain === true ? await this.#desk.authorization.answered(this.#service, stanza) : undefined;
    if (outcome === undefined) throw new StanzaError("service-unavailable");
    return outcome;
  }

  async #iq(stanza: Stanza): Promise<Outcome> {
    const payload = stanza.firstChild()!;
    const outcome = stanza.to?.isDomain === true ? await this.#answer(stanza, payload) : unavailable();
    const effects = outcome === undefined ? [] : "length" in outcome ? outcome : [outcome];
    // A handler that has answered by itself says so.
    if (effects.some((effect) => effect.do === "handled")) return effects;
    const answer = effects.find((effect) => effect.do === "reply");
    const rest = effects.filter((effect) => effect.do !== "reply");
    return [handled, route(resultOf(stanza, answer?.do === "reply" ? answer.payload : undefined)), ...rest];
  }

  #answer(stanza: Stanza, payload: Element): MaybePromise<Outcome> {
    if (payload.is("pubsub", ns.pubsub)) return this.#desk.answer(stanza, this.#service, payload, false);
    if (payload.is("pubsub", ns.pubsubOwner)) return this.#desk.answer(stanza, this.#service, payload, true);
    if (stanza.type === "get" && payload.is("query", ns.discoInfo)) return this.#info(payload, stanza.from!);
    if (stanza.type === "get" && payload.is("query", ns.discoItems)) return this.#items(payload, stanza.from!);
    if (stanza.type === "get" && payload.is("ping", ns.ping)) return undefined;
    return unavailable();
  }

  async #info(query: Element, viewer: Jid): Promise<Outcome> {
    const node = query.attr("node") ?? "";
    const info: DiscoInfo | undefined =
      node === "" ? serviceInfo : await this.#discovery.node(this.#service, node, viewer);
    if (info === undefined) throw noSuchNode();
    return { do: "reply", payload: discoInfoElement(info, node === "" ? undefined : node) };
  }

  async #items(query: Element, viewer: Jid): Promise<Outcome> {
    const name = query.attr("node") ?? "";
    if (name !== "") {
      const inside = await this.#discovery.items(this.#service, name, viewer);
      if (inside === undefined) throw noSuchNode();
      return { do: "reply", payload: discoItemsElement(inside, name) };
    }
    const page = pageRequest(query);
    const { items, more } = await this.#discovery.nodes(this.#service, viewer, page.after);
    const wanted = items.slice(0, page.max ?? items.length);
    const whole = !more && page.after === undefined && page.max === undefined;
    const set = whole ? undefined : resultSet({ first: wanted[0]?.node, last: wanted.at(-1)?.node });
    return { do: "reply", payload: discoItemsElement(wanted, undefined, set) };
  }
}

function unavailable(): never {
  throw new StanzaError("service-unavailable");
}
