/** The micro benchmarks: every file of `micro/` is a program that prints its figures within seconds. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("micro", import.meta.url));

export const microNames: readonly string[] = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
  .map((file) => file.slice(0, -".ts".length))
  .sort();

/** Runs one on this core, with its options, and prints what it prints; also into `out`. Throws if it fails. */
export async function runMicro(name: string, core: number, options: readonly string[], out: string): Promise<void> {
  console.log(`\n${name}`);
  const args = ["-c", String(core), process.execPath, join(folder, `${name}.ts`), ...options];
  const child = spawn("taskset", args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    process.stdout.write(chunk);
    output += chunk;
  });
  const code = await new Promise<number | null>((done) => child.once("close", done));
  if (code !== 0) throw new Error(`the micro benchmark ${name} failed`);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, `micro-${name}.txt`), output);
}
