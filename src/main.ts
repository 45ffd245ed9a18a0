/** The `meerkat` command: see `meerkat --help`. */
import { runMeerkat } from "./cli/program.ts";

// A reader that has seen enough (`| head`) is no failure, and nothing is left to be said to it.
process.stdout.on("error", (error: Error & { code?: string }) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await runMeerkat(process.argv.slice(2));
