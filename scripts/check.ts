/** `npm run check`: types, lint and format, and the rules of the house (`tidy.ts`). */
import { spawnSync } from "node:child_process";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { findings } from "./tidy.ts";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const steps: readonly (readonly [string, readonly string[]])[] = [
  ["types", ["node_modules/typescript/bin/tsc", "--noEmit", "-p", "."]],
  ["lint and format", ["node_modules/@biomejs/biome/bin/biome", "check", "."]],
];

let failed = false;
for (const [name, args] of steps) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  console.log(`${status === 0 ? "ok" : "FAILED"}: ${name}`);
  if (status !== 0) failed = true;
}
const found = await findings(root);
for (const finding of found) console.log(finding);
console.log(`${found.length === 0 ? "ok" : "FAILED"}: tidy`);
process.exitCode = failed || found.length > 0 ? 1 : 0;
