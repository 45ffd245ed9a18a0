/** `roster`: contacts of accounts, changed as their own clients would. */
import type { RosterEntry } from "../hooks/points.ts";
import type { RosterService, SubscriptionAction } from "../hooks/services.ts";
import type { Jid } from "../stanza/jid.ts";
import { type AdminContext, AdminError, accountOf, argument, type Command, hostOf } from "./command.ts";

const category = "roster";
const user = argument.required("jid", "the account");
const contact = argument.required("jid", "the contact");
const actions = { INVITE: "invite", ACCEPT: "accept", DECLINE: "decline", CANCEL: "cancel" } as const;

function service(context: AdminContext, account: Jid): RosterService {
  const roster = hostOf(context, account.domain).registry.service("roster");
  if (roster === undefined)
    throw new AdminError("deps_not_loaded", `mod_roster is not configured for ${account.domain}`);
  return roster;
}

function describe(entry: RosterEntry) {
  return {
    jid: entry.jid,
    name: entry.name,
    groups: entry.groups,
    subscription: entry.subscription.toUpperCase(),
    ask: entry.ask ? "OUT" : "NONE",
  };
}

export const rosterCommands: readonly Command[] = [
  {
    category,
    name: "listContacts",
    doc: "Lists the contacts of an account.",
    example: "meerkat ctl roster listContacts --user alice@localhost",
    arguments: { user },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      return (await service(context, account).list(account)).map(describe);
    },
  },
  {
    category,
    name: "getContact",
    doc: "Shows one contact of an account.",
    example: "meerkat ctl roster getContact --user alice@localhost --contact bob@localhost",
    arguments: { user, contact },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      const entry = await service(context, account).get(account, args.jid("contact").toBare());
      if (entry === undefined) throw new AdminError("contact_not_found", `${account.full} has no such contact`);
      return describe(entry);
    },
  },
  {
    category,
    name: "addContact",
    doc: "Adds a contact, or changes its name and groups. It asks for no subscription.",
    example:
      "meerkat ctl roster addContact --user alice@localhost --contact bob@localhost --name Bob --groups friends,work",
    arguments: {
      user,
      contact,
      name: argument.optional("text", "how it is called"),
      groups: argument.optional("names", "its groups"),
    },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      await service(context, account).set(
        account,
        args.jid("contact").toBare(),
        args.optionalText("name") ?? "",
        args.names("groups"),
      );
      return "Contact added successfully";
    },
  },
  {
    category,
    name: "deleteContact",
    doc: "Removes a contact and ends the subscriptions in both directions.",
    example: "meerkat ctl roster deleteContact --user alice@localhost --contact bob@localhost",
    arguments: { user, contact },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      await service(context, account).remove(account, args.jid("contact").toBare());
      return "Contact deleted successfully";
    },
  },
  {
    category,
    name: "subscription",
    doc: "Asks for a contact's presence, accepts or declines its request, or cancels.",
    example: "meerkat ctl roster subscription --user alice@localhost --contact bob@localhost --action INVITE",
    arguments: { user, contact, action: argument.required("text", "what to do", Object.keys(actions)) },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      const action: SubscriptionAction = actions[args.text("action") as keyof typeof actions];
      await service(context, account).subscription(account, args.jid("contact").toBare(), action);
      return "Subscription stanza sent";
    },
  },
  {
    category,
    name: "setMutualSubscription",
    doc: "Makes two accounts contacts of each other without asking them, or ends it.",
    example: "meerkat ctl roster setMutualSubscription --userA alice@localhost --userB bob@localhost --action CONNECT",
    arguments: { userA: user, userB: user, action: argument.required("text", "what to do", ["CONNECT", "DISCONNECT"]) },
    async run(context, args) {
      const first = await accountOf(context, args.jid("userA"));
      const second = await accountOf(context, args.jid("userB"));
      const action = args.text("action") === "CONNECT" ? "connect" : "disconnect";
      await service(context, first).setMutual({ account: first }, { account: second }, action);
      return "Subscription updated";
    },
  },
];
