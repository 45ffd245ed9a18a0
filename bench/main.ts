/**
 * `npm run bench -- <name> [options]`: runs one benchmark of `bench/micro/`, with its options passed on; without a name,
 * lists them. Each prints its figures in seconds; comparisons with other servers are not there yet.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "micro");
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
  .map((file) => file.slice(0, -".ts".length))
  .sort();
const [name, ...options] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  if (name !== undefined) console.error(`There is no benchmark '${name}'.`);
  console.error(`npm run bench -- <name>, where the name is one of: ${names.join(", ")}`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  const child = spawn(process.execPath, [join(folder, `${name}.ts`), ...options], { stdio: "inherit" });
  child.once("exit", (code) => {
    process.exitCode = code ?? 1;
  });
}
