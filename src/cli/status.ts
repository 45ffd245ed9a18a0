/** `meerkat status`: whether the node runs, and what it is. */
import { Command } from "commander";
import { askNode } from "./admin-client.ts";
import { exitCode } from "./failure.ts";
import { dataFolder } from "./places.ts";
import { plainText } from "./plain-text.ts";
import { renderJson } from "./render.ts";

/** A node that says nothing for so long is not well, whatever it does. */
const silenceMsMax = 10_000;

export function statusCommand(): Command {
  return new Command("status")
    .summary("Tell whether the node runs")
    .description("Tells whether the node runs, and its version. The exit code is 0 if it does, and 3 if not.")
    .option("--data <folder>", "the data folder of the node (MEERKAT_DATA; default: the clone's data)")
    .option("--json", "print JSON on a terminal too")
    .addHelpText("after", "\nExamples:\n  $ meerkat status\n  $ meerkat status --data /var/lib/meerkat --json")
    .action(async ({ data, json }: { data?: string; json?: boolean }) => {
      const dataDir = dataFolder(data);
      const request = { category: "server", command: "status", args: {} };
      const result = (await askNode(request, { dataDir, silenceMsMax })) as Status;
      if (json === true || process.stdout.isTTY !== true) process.stdout.write(renderJson({ ...result, dataDir }));
      else process.stdout.write(`${plainText(result.message)} (Meerkat ${plainText(result.version)}, ${dataDir})\n`);
      if (result.statusCode !== "RUNNING") process.exitCode = exitCode.failed;
    });
}

interface Status {
  readonly statusCode: string;
  readonly message: string;
  readonly version: string;
}
