/** `meerkat config show`: the settings that hold, with their origin; secrets masked. */
import { Command } from "commander";
import { readConfig } from "./config-file.ts";
import { CliFailure, exitCode } from "./failure.ts";
import { configFile } from "./places.ts";
import { renderJson } from "./render.ts";

export function configShowCommand(): Command {
  return new Command("show")
    .summary("Show the settings that hold")
    .description(
      "Shows every setting that holds: its value, and whether it comes from the file, the environment or is the default.\n" +
        "Secrets are masked. What is printed is itself a configuration file.",
    )
    .option("--config <file>", "the configuration (MEERKAT_CONFIG; default: the clone's meerkat.toml)")
    .option("--json", "print a list of { option, value, origin } instead")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ meerkat config show\n" +
        "  $ meerkat config show --config /etc/meerkat/meerkat.toml | grep -v '# default'\n" +
        "  $ meerkat config show --json | jq '.[] | select(.option == \"general.hosts\").value'",
    )
    .action(async ({ config, json }: { config?: string; json?: boolean }) => {
      const { config: loaded, problems, notes } = await readConfig(configFile(config));
      if (loaded === undefined)
        throw new CliFailure(exitCode.failed, `this is no valid configuration:\n${problems.join("\n")}`);
      for (const note of notes) process.stderr.write(`${note} (a note)\n`);
      const { shownEntries, shownToml } = await import("../config/show.ts");
      process.stdout.write(json === true ? renderJson(shownEntries(loaded)) : shownToml(loaded));
    });
}
