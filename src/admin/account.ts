/** `account`: registering, listing, importing and removing accounts. */
import { StanzaError } from "../stanza/errors.ts";
import { AdminError, accountOf, argument, type Command, hostOf } from "./command.ts";

const category = "account";
const user = argument.required("jid", "the account, such as alice@example.org");

export const accountCommands: readonly Command[] = [
  {
    category,
    name: "registerUser",
    doc: "Makes an account.",
    example: "echo secret | meerkat ctl account registerUser --domain localhost --username alice --password -",
    arguments: {
      domain: argument.required("domain", "one of the server's hosts"),
      username: argument.optional("username", "the name; a random one when left out"),
      password: argument.required("secret", "the password; - reads it from standard input"),
    },
    async run(context, args) {
      hostOf(context, args.text("domain"));
      const account = context.accounts.address(
        args.text("domain"),
        args.optionalText("username") ?? context.random.id(9).toLowerCase(),
      );
      try {
        await context.accounts.register(account, args.text("password"));
      } catch (error) {
        if (error instanceof StanzaError && error.condition === "conflict")
          throw new AdminError("user_exists", `${account.full} exists already`);
        throw error;
      }
      return { jid: account.full, message: `User ${account.full} successfully registered` };
    },
  },
  {
    category,
    name: "changeUserPassword",
    doc: "Sets the password of an account.",
    example: "echo better | meerkat ctl account changeUserPassword --user alice@localhost --newPassword -",
    arguments: { user, newPassword: argument.required("secret", "the new password; - reads it from standard input") },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      await context.accounts.changePassword(account, args.text("newPassword"));
      return { jid: account.full, message: "Password changed" };
    },
  },
  {
    category,
    name: "checkPassword",
    doc: "Tells whether this is the account's password.",
    example: "echo secret | meerkat ctl account checkPassword --user alice@localhost --password -",
    arguments: { user, password: argument.required("secret", "the password; - reads it from standard input") },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      const correct = await context.accounts.checkPassword(account, args.text("password"));
      return { correct, message: correct ? "Password is correct" : "Password is not correct" };
    },
  },
  {
    category,
    name: "checkUser",
    doc: "Tells whether the account exists.",
    example: "meerkat ctl account checkUser --user alice@localhost",
    arguments: { user },
    async run(context, args) {
      const account = args.jid("user").toBare();
      hostOf(context, account.domain);
      const exist = await context.accounts.exists(account);
      return { exist, message: exist ? `User ${account.full} exists` : `User ${account.full} does not exist` };
    },
  },
  {
    category,
    name: "listUsers",
    doc: "Lists the accounts of a host in alphabetical order.",
    example: "meerkat ctl account listUsers --domain localhost --limit 100",
    arguments: {
      domain: argument.required("domain", "one of the server's hosts"),
      limit: argument.optional("integer", "at most so many (1,000)"),
      index: argument.optional("integer", "from this number on, counted from 0"),
    },
    async run(context, args) {
      const domain = args.text("domain");
      hostOf(context, domain);
      const names = await context.accounts.list(domain, args.optionalInteger("limit"), args.optionalInteger("index"));
      return names.map((name) => `${name}@${domain}`);
    },
  },
  {
    category,
    name: "countUsers",
    doc: "Counts the accounts of a host.",
    example: "meerkat ctl account countUsers --domain localhost",
    arguments: { domain: argument.required("domain", "one of the server's hosts") },
    run: (context, args) => {
      hostOf(context, args.text("domain"));
      return context.accounts.count(args.text("domain"));
    },
  },
  {
    category,
    name: "importUsers",
    doc: "Makes accounts from a CSV file of lines username,domain,password (read by the node, which hashes the passwords).",
    example: "meerkat ctl account importUsers --filename users.csv",
    arguments: { filename: argument.required("file", "the CSV file, without a header line") },
    run: (context, args, progress) => context.accounts.importUsers(context.readLines(args.text("filename")), progress),
  },
  {
    category,
    name: "removeUser",
    doc: "Removes an account, its sessions and everything stored for it.",
    example: "meerkat ctl account removeUser --user alice@localhost",
    arguments: { user },
    async run(context, args) {
      const account = await accountOf(context, args.jid("user"));
      await context.accounts.remove(account);
      return { jid: account.full, message: `User ${account.full} successfully unregistered` };
    },
  },
];
