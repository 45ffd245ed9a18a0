/** RFC 6121 sections 2 and 3: rosters, their versions (XEP-0237), and subscriptions with pre-approval. */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import { deliverTo, type Effect } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { Xml } from "../../xml/xml.ts";
import { AdminRosters } from "./roster-service.ts";
import { personalRoster, rosterMigrations } from "./roster-store.ts";
import { Rosters } from "./rosters.ts";
import { isSubscriptionType } from "./subscription.ts";

export const roster = defineModule({
  name: "mod_roster",
  summary: "Contact lists: kept by the server, the same on every device, and the basis of who sees whose presence.",
  rfcs: ["RFC 6121"],
  xeps: [{ number: 237, version: "1.3" }],
  options: {
    backend: option.choice({
      doc: "Where rosters are kept.",
      values: ["rdbms"],
      default: "rdbms",
      unsupported: { mnesia: "rosters are kept in the SQL database" },
    }),
    versioning: option.boolean({
      doc: "Lets clients that know the current roster log in without receiving it again.",
      default: false,
    }),
    store_current_id: option.boolean({
      doc: "Accepted for configurations of MongooseIM: the version of a roster is always stored.",
      default: false,
    }),
    max_items: option.integer({ doc: "Most contacts in one roster.", default: 10_000, min: 1 }),
    max_pending_requests: option.integer({
      doc: "Most requests of strangers that wait for one account's answer; further ones are dropped.",
      default: 500,
      min: 1,
    }),
    cached_contacts: option.integer({
      doc: "Contacts, over all accounts, whose subscriptions are kept in memory, about 200 bytes each.",
      default: 50_000,
      min: 0,
    }),
  },
  features: { server: [ns.roster] },
  streamFeatures: ({ versioning }) =>
    new Xml(`${versioning ? `<ver xmlns='${ns.rosterVersioning}'/>` : ""}<sub xmlns='${ns.preApproval}'/>`),
  migrations: rosterMigrations,

  setup(on, context) {
    const rosters = new Rosters(context);

    on.iq("get", "account", ns.roster, "query", (_request, iq) => rosters.get(iq));
    on.iq("set", "account", ns.roster, "query", (_request, iq) => rosters.set(iq));
    // Section 2.3.3: a roster is its owner's alone.
    on.iq("get", "user", ns.roster, "query", refuse);
    on.iq("set", "user", ns.roster, "query", refuse);

    on.stage("outgoing", "presence", (stanza, session) =>
      stanza.to !== undefined && isSubscriptionType(stanza.type)
        ? rosters.outbound(stanza, session.account)
        : undefined,
    );
    on.stage("incoming", "presence", (stanza, account) =>
      stanza.from !== undefined && isSubscriptionType(stanza.type) ? rosters.inbound(stanza, account) : undefined,
    );
    on.session("available", (session) => {
      const waiting = rosters.waitingRequests(session.account);
      const deliver = (stanzas: Stanza[]): Effect[] => stanzas.map((stanza) => deliverTo(session, stanza));
      return waiting instanceof Promise ? waiting.then(deliver) : deliver(waiting);
    });
    on.account("removed", async (account) => {
      await context.run(await rosters.forget(account));
    });

    on.answer("personalData", (account) => [personalRoster(context.store, account)]);
    on.answer("rosterItem", (account, contact) => rosters.entry(account, contact));
    on.answer("roster", (account) => rosters.entries(account));
    on.answer("presenceContacts", (account) => rosters.presenceContacts(account));
    on.answer("sharingPresenceWith", (viewer) => rosters.sharingPresenceWith(viewer));
    on.provide("roster", new AdminRosters(context, rosters));
    return undefined;
  },
});

function refuse(): never {
  throw new StanzaError("forbidden", { text: "A roster is its owner's alone" });
}
