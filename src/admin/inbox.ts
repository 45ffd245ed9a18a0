/** `inbox`: emptying bins. */
import type { InboxService } from "../hooks/services.ts";
import { type AdminContext, AdminError, type Arguments, accountOf, argument, type Command, hostOf } from "./command.ts";

const category = "inbox";
const days = argument.required("integer", "only what has been in the bin for so many days; 0 for everything");

function service(context: AdminContext, domain: string): InboxService {
  const inbox = hostOf(context, domain).registry.service("inbox");
  if (inbox === undefined) throw new AdminError("deps_not_loaded", `mod_inbox is not configured for ${domain}`);
  return inbox;
}

const daysOf = (args: Arguments): number => args.optionalInteger("days")!;

export const inboxCommands: readonly Command[] = [
  {
    category,
    name: "flushUserBin",
    doc: "Removes conversations from an account's bin; prints how many.",
    example: "meerkat ctl inbox flushUserBin --user alice@localhost --days 7",
    arguments: { user: argument.required("jid", "the account"), days },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      return service(context, account.domain).flushUserBin(account, daysOf(args));
    },
  },
  {
    category,
    name: "flushDomainBin",
    doc: "Removes conversations from the bins of all accounts of a host; prints how many.",
    example: "meerkat ctl inbox flushDomainBin --domain localhost --days 7",
    arguments: { domain: argument.required("domain", "the host"), days },
    run: (context, args) => service(context, args.text("domain")).flushBins(daysOf(args)),
  },
  {
    category,
    name: "flushGlobalBin",
    doc: "Removes conversations from the bins of all hosts that have inboxes; prints how many.",
    example: "meerkat ctl inbox flushGlobalBin --days 7",
    arguments: { hostType: argument.optional("domain", "one host instead, as in MongooseIM"), days },
    async run(context, args) {
      const only = args.optionalText("hostType");
      if (only !== undefined) return service(context, only).flushBins(daysOf(args));
      let removed = 0;
      for (const host of context.router.hosts.values()) {
        removed += (await host.registry.service("inbox")?.flushBins(daysOf(args))) ?? 0;
      }
      return removed;
    },
  },
];
