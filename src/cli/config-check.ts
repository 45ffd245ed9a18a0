/** `meerkat config check`: whether a node would start with a file, and if not, why. */
import { Command } from "commander";
import { readConfig } from "./config-file.ts";
import { CliFailure, exitCode } from "./failure.ts";
import { configFile } from "./places.ts";

export function configCheckCommand(): Command {
  return new Command("check")
    .summary("Check a configuration file")
    .description(
      "Checks a configuration file as 'meerkat start' does, and names everything that is wrong with it\n" +
        "or with the certificates it names: file:line:column: option: what was found; what is allowed.\n" +
        "The exit code is then 1.",
    )
    .argument("[file]", "the file (MEERKAT_CONFIG; default: the clone's meerkat.toml)")
    .addHelpText("after", "\nExamples:\n  $ meerkat config check\n  $ meerkat config check /etc/meerkat/meerkat.toml")
    .action(async (given: string | undefined) => {
      const file = given ?? configFile(undefined);
      const { config, problems: found, notes } = await readConfig(file);
      const { certificateProblems } = await import("../server/certificates.ts");
      const problems =
        config === undefined ? found : certificateProblems(config.settings).map((text) => `${file}: ${text}`);
      for (const note of notes) process.stdout.write(`${note} (a note)\n`);
      for (const problem of problems) process.stdout.write(`${problem}\n`);
      if (problems.length > 0) {
        const count = problems.length === 1 ? "one problem" : `${problems.length} problems`;
        throw new CliFailure(exitCode.failed, `${count} in ${file}`);
      }
      process.stdout.write(`${file}: nothing wrong\n`);
    });
}
