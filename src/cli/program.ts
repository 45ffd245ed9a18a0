/** The `meerkat` command as a tree, and the one place that decides how it ends. */
import { Command, CommanderError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { configCheckCommand } from "./config-check.ts";
import { configShowCommand } from "./config-show.ts";
import { ctlCommand } from "./ctl.ts";
import { CliFailure, exitCode } from "./failure.ts";
import { startCommand } from "./start.ts";
import { statusCommand } from "./status.ts";
import { stopCommand } from "./stop.ts";
import { asGroup, fullName } from "./unknown-word.ts";

export function meerkatCommand(): Command {
  const config = new Command("config")
    .summary("Check or show a configuration")
    .description("Checks or shows a configuration; the node need not run.")
    .addCommand(configCheckCommand())
    .addCommand(configShowCommand())
    .addHelpText("after", "\nExamples:\n  $ meerkat config check meerkat.toml\n  $ meerkat config show");
  asGroup(config);
  const meerkat = new Command("meerkat")
    .description("Meerkat, a chat server that speaks XMPP.")
    .version(packageJson.version, "-V, --version", "print the version")
    .enablePositionalOptions()
    .addCommand(startCommand())
    .addCommand(stopCommand())
    .addCommand(statusCommand())
    .addCommand(config)
    .addCommand(ctlCommand())
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ meerkat start\n" +
        "  $ meerkat ctl account registerUser --domain localhost --username alice --password -\n" +
        "  $ meerkat status",
    );
  asGroup(meerkat);
  return settled(meerkat);
}

/** Nothing below exits by itself, and commander's own complaints come out as ours do. */
function settled(command: Command): Command {
  command
    .exitOverride((error) => {
      throw error.exitCode === 0 || error.code === "commander.help" ? error : usageFailure(command, error);
    })
    .configureOutput({ outputError: () => {} })
    .helpOption("-h, --help", "show this help")
    .configureHelp({ ...command.configureHelp(), subcommandTerm: (below) => below.name() });
  if (command.commands.length > 0) command.helpCommand("help [command]", "show the help of a command");
  for (const below of command.commands) settled(below);
  return command;
}

function usageFailure(command: Command, { message }: CommanderError): CliFailure {
  const text = message.replace(/^error: /, "");
  return new CliFailure(exitCode.usage, `${text}\nSee '${fullName(command)} --help'.`);
}

/** Runs the command. @returns its exit code; what there is to say has been written. */
export async function runMeerkat(args: readonly string[]): Promise<number> {
  try {
    await meerkatCommand().parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? exitCode.done);
  } catch (error) {
    // Help and version arrive here too, after they were written; help that nobody asked for counts as a mistake.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
    if (!(error instanceof CliFailure)) throw error;
    process.stderr.write(`meerkat: ${error.message}\n`);
    return error.exitCode;
  }
}
