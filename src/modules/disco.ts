/** XEP-0030 Service Discovery 2.5.0 of the host and its accounts, with XEP-0157 Contact Addresses 1.1.1. */
import { type OptionsOf, option } from "../config/option.ts";
import { defineModule, type InstalledModule } from "../hooks/define-module.ts";
import { type MaybePromise, reply } from "../hooks/effect.ts";
import type { RosterEntry } from "../hooks/points.ts";
import type { Resource } from "../session/resource.ts";
import {
  type DiscoForm,
  type DiscoIdentity,
  type DiscoInfo,
  type DiscoItem,
  discoForm,
  discoInfoElement,
  discoItemsElement,
} from "../stanza/disco-info.ts";
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";

/** XEP-0157's registered fields, for the documentation; others are allowed. */
const contactFields = "abuse-, admin-, feedback-, sales-, security-, status- and support-addresses";

const options = {
  extra_domains: option.list(option.string({ doc: "A domain.", required: true }), {
    doc: "Further addresses that clients shall find among the host's items, such as services elsewhere.",
    distinct: true,
  }),
  server_info: option.list(
    option.table(
      {
        name: option.string({ doc: `Field of XEP-0157: ${contactFields}.`, required: true }),
        urls: option.list(option.string({ doc: "An address as a URI.", required: true }), {
          doc: "Where people are reached: mailto:, xmpp: or https: URIs.",
          minItems: 1,
        }),
        modules: option.list(option.string({ doc: "The name of a module.", required: true }), {
          doc: "Modules whose answers carry the field; empty for all. The host's own answer is that of mod_disco.",
        }),
      },
      { doc: "One kind of contact." },
    ),
    { doc: "Whom to write to about this server (XEP-0157)." },
  ),
  users_can_see_hidden_services: option.boolean({
    doc: "Whether users find components that are marked hidden among the host's items.",
    default: true,
  }),
} as const;

export const disco = defineModule({
  name: "mod_disco",
  summary: "Tells clients what the server and its accounts can do, and whom to write to about the server.",
  xeps: [
    { number: 30, version: "2.5.0" },
    { number: 157, version: "1.1.1" },
  ],
  options,
  features: { server: [ns.discoInfo, ns.discoItems], account: [ns.discoInfo, ns.discoItems] },

  setup(on, context) {
    let info: DiscoInfo | undefined;
    const accountFeatures = () => featuresOf(context.installed, "account");

    /** Section 8: who may see an account at all. */
    const mayDiscover = (account: Jid, asking: Jid): MaybePromise<boolean> => {
      if (asking.bare === account.bare) return true;
      const contact = context.ask("rosterItem", account, asking.toBare());
      return contact instanceof Promise ? contact.then(seesPresence) : seesPresence(contact);
    };

    on.answer("serverInfo", () => {
      // Only now: all modules are installed when the first client asks.
      info ??= serverInfo(context.installed, context.options);
      return info;
    });

    on.iq("get", "server", ns.discoInfo, "query", (_request, { payload }) => {
      const node = nodeOf(payload.attr("node"));
      const found = node === undefined ? context.ask("serverInfo") : context.ask("serverNode", node);
      if (found === undefined) throw noSuchNode();
      return reply(discoInfoElement(found, node));
    });

    on.iq("get", "server", ns.discoItems, "query", (_request, { payload }) => {
      if (nodeOf(payload.attr("node")) !== undefined) throw noSuchNode();
      const domains = new Set([...context.servedDomains(), ...context.options.extraDomains]);
      return reply(discoItemsElement([...domains].map((jid) => ({ jid }))));
    });

    on.iq("get", "user", ns.discoInfo, "query", async (_request, { target, from, payload }) => {
      const node = nodeOf(payload.attr("node"));
      const found = node === undefined ? undefined : await context.ask("accountNode", target, node, from);
      if (found !== undefined) return reply(discoInfoElement(found, node));
      if (!(await mayDiscover(target, from))) throw new StanzaError("service-unavailable");
      if (node !== undefined) throw noSuchNode();
      const more = (await context.askAll("accountFeatures", target)).flat();
      const identities = (await context.askAll("accountIdentities", target)).flat();
      return reply(discoInfoElement(accountInfo(identities, [...accountFeatures(), ...more])));
    });

    on.iq("get", "user", ns.discoItems, "query", async (_request, { target, from, payload }) => {
      const node = nodeOf(payload.attr("node"));
      const inside = node === undefined ? undefined : await context.ask("accountNodeItems", target, node, from);
      if (inside !== undefined) return reply(discoItemsElement(inside, node));
      const may = await mayDiscover(target, from);
      // No error: whether the account exists is not for this sender to know.
      if (node !== undefined && !may) return reply(discoItemsElement([], node));
      if (node !== undefined) throw noSuchNode();
      const resources = may ? availableResources(context.resourcesOf(target)) : [];
      const nodes = (await context.askAll("accountItems", target, from)).flat();
      return reply(discoItemsElement([...resources, ...nodes]));
    });

    return undefined;
  },
});

/** An empty node is none. */
function nodeOf(attribute: string | undefined): string | undefined {
  return attribute === "" ? undefined : attribute;
}

const noSuchNode = () => new StanzaError("item-not-found", { text: "There is no such node" });

/** A contact with a subscription of "from" or "both" receives the account's presence. */
function seesPresence(contact: RosterEntry | undefined): boolean {
  return contact?.subscription === "from" || contact?.subscription === "both";
}

/** The features the installed modules declare, each once, sorted. */
export function featuresOf(installed: readonly InstalledModule[], of: "server" | "account"): readonly string[] {
  const features = new Set<string>();
  for (const { definition } of installed) for (const feature of definition.features?.[of] ?? []) features.add(feature);
  return [...features].sort();
}

/** The host's own disco#info. */
export function serverInfo(installed: readonly InstalledModule[], given: OptionsOf<typeof options>): DiscoInfo {
  const contacts = contactForm(given.serverInfo);
  return {
    identities: [{ category: "server", type: "im", name: "Meerkat" }],
    features: featuresOf(installed, "server"),
    forms: contacts === undefined ? [] : [contacts],
  };
}

function accountInfo(identities: readonly DiscoIdentity[], features: readonly string[]): DiscoInfo {
  const sorted = [...new Set(features)].sort();
  return { identities: [{ category: "account", type: "registered" }, ...identities], features: sorted, forms: [] };
}

/** XEP-0157: fields of one name become one field; undefined when nobody is named. */
export function contactForm(contacts: OptionsOf<typeof options>["serverInfo"]): DiscoForm | undefined {
  const urlsByField = new Map<string, string[]>();
  for (const { name, urls, modules } of contacts) {
    if (modules !== undefined && modules.length > 0 && !modules.includes("mod_disco")) continue;
    urlsByField.set(name, [...(urlsByField.get(name) ?? []), ...urls]);
  }
  if (urlsByField.size === 0) return undefined;
  const fields = [...urlsByField].map(([name, values]) => ({ var: name, type: "list-multi", values }));
  return discoForm(ns.serverInfo, fields);
}

function availableResources(resources: readonly Resource[]): DiscoItem[] {
  return resources.filter((resource) => resource.available).map((resource) => ({ jid: resource.jid.full }));
}
