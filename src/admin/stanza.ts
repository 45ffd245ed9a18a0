/** `stanza`: sending messages on behalf of an account of ours. */
import { message, type StanzaParts } from "../stanza/stanza.ts";
import { xml } from "../xml/xml.ts";
import { type AdminContext, type Arguments, accountOf, argument, type Command } from "./command.ts";

const category = "stanza";
const from = argument.required("jid", "the sender, an account of this server");
const to = argument.required("jid", "the recipient");
const body = argument.required("text", "what it says");

async function send(context: AdminContext, args: Arguments, parts: StanzaParts) {
  await accountOf(context, args.jid("from"));
  const id = context.random.id(12);
  await context.router.route(message({ ...parts, id, from: args.jid("from"), to: args.jid("to") }), undefined);
  return { id };
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
];
