/** `stanza`: sending messages on behalf of an account of ours, and reading its archive. */
import { takeFromClient } from "../router/from-client.ts";
import { Session } from "../session/session.ts";
import { message, type StanzaParts } from "../stanza/stanza.ts";
import { xml } from "../xml/xml.ts";
import { messagesMost, momentOf, printed } from "./archived.ts";
import { type AdminContext, AdminError, type Arguments, accountOf, argument, type Command, hostOf } from "./command.ts";

const category = "stanza";
const from = argument.required("jid", "the sender, an account of this server");
const to = argument.required("jid", "the recipient");
const body = argument.required("text", "what it says");

/** Sends as a client of that account would, so that its archive and its inbox have the message too, and its devices get copies. */
async function send(context: AdminContext, args: Arguments, parts: StanzaParts) {
  const sender = args.jid("from");
  await accountOf(context, sender);
  const host = hostOf(context, sender.domain);
  const id = context.random.id(12);
  const stored: Promise<void>[] = [];
  // Bound by nobody and in no table: it lasts as long as this one message.
  const session = new Session(0, sender, host, undefined, context.clock.now());
  session.outlet = { secure: (promise) => void stored.push(promise), write: () => undefined };
  await takeFromClient(context.router, host, session, message({ ...parts, id, to: args.jid("to") }));
  await Promise.all(stored);
  return { id };
}

async function lastMessages(context: AdminContext, args: Arguments) {
  const caller = await accountOf(context, args.jid("caller"));
  const archive = hostOf(context, caller.domain).registry.service("archive");
  if (archive === undefined)
    throw new AdminError("no_archive", `${caller.domain} keeps no archives of its users (mod_mam)`);
  const limit = Math.min(args.optionalInteger("limit") ?? 50, messagesMost);
  const [peer, before] = [args.optionalJid("with"), momentOf(args, "before")];
  const messages = await archive.last(caller, {
    limit,
    ...(peer === undefined ? {} : { with: peer }),
    ...(before === undefined ? {} : { before }),
  });
  return { stanzas: printed(messages), limit };
}

export const stanzaCommands: readonly Command[] = [
  {
    category,
    name: "sendMessage",
    doc: "Sends a chat message.",
    example: "meerkat ctl stanza sendMessage --from alice@localhost --to bob@localhost --body 'Hello'",
    arguments: { from, to, body },
    run: (context, args) => send(context, args, { type: "chat", payload: xml`<body>${args.text("body")}</body>` }),
  },
  {
    category,
    name: "sendMessageHeadLine",
    doc: "Sends a headline: shown at once or not at all, never stored.",
    example:
      "meerkat ctl stanza sendMessageHeadLine --from alice@localhost --to bob@localhost --subject News --body 'Tea is ready'",
    arguments: {
      from,
      to,
      subject: argument.optional("text", "its title"),
      body: argument.optional("text", "what it says"),
    },
    run: (context, args) => {
      const subject = args.optionalText("subject");
      const text = args.optionalText("body");
      const payload = xml`${subject === undefined ? undefined : xml`<subject>${subject}</subject>`}${text === undefined ? undefined : xml`<body>${text}</body>`}`;
      return send(context, args, { type: "headline", payload });
    },
  },
  {
    category,
    name: "getLastMessages",
    doc: "Prints the newest messages of an account's archive (mod_mam), oldest first.",
    example: "meerkat ctl stanza getLastMessages --caller alice@localhost --with bob@localhost --limit 10",
    arguments: {
      caller: argument.required("jid", "whose archive, an account of this server"),
      with: argument.optional("jid", "only messages with this contact"),
      limit: argument.optional("integer", `how many at most; 50 unless told, never more than ${messagesMost}`),
      before: argument.optional("text", "only messages before this moment, such as 2026-01-31T12:00:00Z"),
    },
    run: lastMessages,
  },
];
