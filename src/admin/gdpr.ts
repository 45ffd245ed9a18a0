/** `gdpr`: what the server keeps of a person, for whoever asks for it (article 15 of the GDPR and its like). */
import { accountOf, argument, type Command } from "./command.ts";

export const gdprCommands: readonly Command[] = [
  {
    category: "gdpr",
    name: "retrievePersonalData",
    doc: "Writes everything that is kept of an account, but nothing to log in with, into a ZIP file of tables (CSV).",
    example: "meerkat ctl gdpr retrievePersonalData --username alice --domain localhost --resultFilepath alice.zip",
    arguments: {
      username: argument.required("username", "the name of the account"),
      domain: argument.required("domain", "one of the server's hosts"),
      resultFilepath: argument.required("newFile", "the ZIP file to make; it must not be there yet"),
    },
    async run(context, args, progress) {
      const account = await accountOf(context, context.accounts.address(args.text("domain"), args.text("username")));
      const file = args.text("resultFilepath");
      const { rows } = await context.exportPersonalData(account, file, progress);
      return { file, rows, message: "Data retrieved" };
    },
  },
];
