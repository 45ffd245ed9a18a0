/** `meerkat ctl`: one command for each administration command of the node, made from their declarations. */
import { Command, type Help, Option } from "commander";
import { adminCommands } from "../admin/catalogue.ts";
import type { Command as AdminCommand, ArgumentKind } from "../admin/command.ts";
import { type CtlOptions, runCtl } from "./ctl-run.ts";
import { asGroup, fullName } from "./unknown-word.ts";

const categoryDocs: Readonly<Record<string, string>> = {
  account: "Accounts: make, list, import, remove; passwords",
  session: "Who is connected, and ending it",
  roster: "Contacts of accounts and their subscriptions",
  muc: "Rooms (mod_muc): make, configure and remove them; who is in them, what is said",
  muc_light: "Groups without presence (mod_muc_light): make, configure and remove them; members, blocking",
  inbox: "Inboxes (mod_inbox): empty their bins",
  stanza: "Send messages on behalf of accounts, and read archives (mod_mam)",
  gdpr: "What is kept of a person",
  httpUpload: "Uploaded files (mod_http_upload)",
  server: "The node itself: status, log level, stopping",
  stat: "Counts of accounts and sessions",
  cluster: "The nodes of the cluster, what they know of each other, and what is wrong",
  node: "Taking a node out of the cluster",
};

/** What a category is about. */
export function categoryDoc(category: string): string {
  const doc = categoryDocs[category];
  if (doc === undefined) throw new TypeError(`The category ${category} has no description`);
  return doc;
}

const placeholders: Readonly<Record<ArgumentKind, string>> = {
  domain: "<domain>",
  username: "<name>",
  jid: "<address>",
  text: "<text>",
  secret: "<password>",
  integer: "<number>",
  names: "<name,name>",
  file: "<file>",
  newFile: "<file>",
};

/** The tree `ctl` → category → command. */
export function ctlCommand(commands: readonly AdminCommand[] = adminCommands): Command {
  const ctl = withCommonOptions(new Command("ctl"))
    .summary("Give the running node a command")
    .description(
      "Gives the running node a command, through a socket that only its owner can open.\n" +
        "Results are tables on a terminal, and JSON in a pipe, a file, or with --json.",
    )
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ meerkat ctl account                          what there is for accounts\n" +
        "  $ meerkat ctl account registerUser --help\n" +
        "  $ meerkat ctl account registerUser --domain localhost --username alice --password -\n" +
        "  $ meerkat ctl session listSessions --json | jq '.[].user'\n" +
        "\nExit codes: 0 done, 1 refused or failed, 2 used wrongly, 3 no node could be reached.",
    );
  asGroup(ctl, (word) => {
    const owner = commands.find(({ name }) => name.toLowerCase() === word.toLowerCase());
    return owner && `meerkat ctl ${owner.category} ${owner.name}`;
  }).usage("[options] <category> <command> [--argument value ...]");

  for (const category of new Set(commands.map((command) => command.category))) {
    const own = commands.filter((command) => command.category === category);
    const doc = categoryDoc(category);
    const group = new Command(category).enablePositionalOptions().summary(doc).description(doc);
    const byDefault = own.find((command) => command.byDefault);
    const elsewhere = (word: string): string | undefined => {
      if (own.some(({ name }) => name === word)) return undefined;
      const other = commands.find(({ name }) => name.toLowerCase() === word.toLowerCase());
      return other && `meerkat ctl ${other.category} ${other.name}`;
    };
    if (byDefault === undefined) asGroup(group, elsewhere);
    else asGroup(withCommonOptions(group), elsewhere, () => runCtl(byDefault, {}, optionsOf(group), fullName(group)));
    group.addHelpText("after", () => `\nExamples:\n${own.map(({ example }) => `  $ ${example}`).join("\n")}`);
    for (const command of own) group.addCommand(oneCommand(command));
    ctl.addCommand(group);
  }
  return ctl;
}

function oneCommand(command: AdminCommand): Command {
  const built = new Command(command.name).summary(command.doc).description(command.doc);
  for (const [name, { kind, doc, required, choices }] of Object.entries(command.arguments)) {
    const allowed = choices === undefined ? "" : `; one of ${choices.join(", ")}`;
    const note = required ? " (needed)" : "";
    built.addOption(new Option(`--${name} ${placeholders[kind]}`, doc + allowed + note));
  }
  withCommonOptions(built)
    .addHelpText("after", `\nExample:\n  $ ${command.example}`)
    .configureHelp({ optionTerm: plainOptionTerm })
    .action(async () => {
      const { data, json, ...given } = built.opts<CtlOptions & Record<string, string>>();
      await runCtl(command, given, optionsOf(built), fullName(built));
    });
  return built;
}

/** The common options, wherever among the words they were given. */
function optionsOf(command: Command): CtlOptions {
  let { data, json }: CtlOptions = {};
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const given = at.opts<CtlOptions>();
    data ??= given.data;
    json ??= given.json;
  }
  return { data, json };
}

/** They may stand before the category as well as among the arguments. */
function withCommonOptions(command: Command): Command {
  return command
    .enablePositionalOptions()
    .option("--data <folder>", "the data folder of the node (MEERKAT_DATA; default: the clone's data)")
    .option("--json", "print JSON on a terminal too");
}

function plainOptionTerm(this: Help, option: Option): string {
  return option.flags;
}
