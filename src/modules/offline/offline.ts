/** XEP-0160 Best Practices for Handling Offline Messages 1.0.1: who is away gets his messages when he comes back. */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import { ns } from "../../stanza/ns.ts";
import { Mailboxes } from "./mailboxes.ts";
import { offlineMigrations } from "./offline-store.ts";

/** Messages one account may have waiting where the access rule gives no number. */
const waitingMostByDefault = 100;

export const offline = defineModule({
  name: "mod_offline",
  summary: "Keeps messages for users who are away, and delivers them in order when they come back.",
  xeps: [
    { number: 160, version: "1.0.1" },
    { number: 203, version: "2.0" },
    { number: 23, version: "1.3", note: "the remaining lifetime is not written into delivered messages" },
    { number: 334, version: "1.0.0", note: "of offline storage: no-store and store" },
  ],
  options: {
    backend: option.choice({
      doc: "Where messages are kept.",
      values: ["rdbms"],
      default: "rdbms",
      unsupported: { mnesia: "messages are kept in the SQL database" },
    }),
    access_max_user_messages: option.access({
      doc: "The access rule that says how many messages may wait for one user; 100 where it gives no number.",
      default: "max_user_offline_messages",
    }),
    store_groupchat_messages: option.boolean({
      doc: "Accepted for configurations of MongooseIM: messages of groups are not stored (XEP-0160).",
      default: false,
      only: false,
    }),
  },
  features: { server: [ns.offline], account: [ns.offline] },
  migrations: offlineMigrations,

  setup(on, context) {
    const mailboxes = new Mailboxes(context, context.options.accessMaxUserMessages, waitingMostByDefault);

    on.stage("undelivered", "message", (stanza, account) => mailboxes.keep(stanza, account));
    on.stage("delivering", "message", (stanza, session) => mailboxes.hold(stanza, session));

    // All three return at once: reading goes on in the background, and from this moment new messages wait behind it.
    on.session("available", (session) => {
      mailboxes.handOver(session);
      return undefined;
    });
    on.session("updated", (session, _presence, before) => {
      if (session.priority < 0) mailboxes.forget(session);
      else if (priorityBefore(before) < 0) mailboxes.handOver(session);
      return undefined;
    });
    on.session("unavailable", (session) => {
      mailboxes.forget(session);
      return undefined;
    });
    on.session("ended", (session, how) => mailboxes.ended(session, how));
    on.session("leaving", (session) => mailboxes.leaving(session));
    on.session("left", (session) => {
      mailboxes.left(session);
      return undefined;
    });
    on.session("arrived", (session) => {
      mailboxes.arrived(session);
      return undefined;
    });
    on.account("removed", async (account) => {
      await mailboxes.clear(account);
    });
    on.answer("personalData", (account) => [mailboxes.personalData(account)]);
    on.provide("offline", mailboxes);
    return undefined;
  },
});

/** The router has checked it when it came. */
function priorityBefore(presence: { text(name: string): string | undefined }): number {
  return Number(presence.text("priority") ?? 0);
}
