/** The reference of `meerkat ctl` as Markdown, made from the catalogue, so that it cannot be wrong. */
import { adminCommands } from "../admin/catalogue.ts";
import type { Command } from "../admin/command.ts";
import { categoryDoc } from "./ctl.ts";

/** A section for each category, a table of its commands in it. */
export function ctlReference(commands: readonly Command[] = adminCommands): string {
  return [...new Set(commands.map(({ category }) => category))]
    .map((category) =>
      section(
        category,
        commands.filter((command) => command.category === category),
      ),
    )
    .join("\n");
}

function section(category: string, commands: readonly Command[]): string {
  const lines = [`### \`${category}\``, "", `${categoryDoc(category)}.`, ""];
  lines.push("| command | arguments | what it does |", "| --- | --- | --- |");
  for (const command of commands) {
    const args = Object.entries(command.arguments).map(([name, { required }]) =>
      required ? `\`--${name}\`` : `[\`--${name}\`]`,
    );
    lines.push(`| \`${command.name}\` | ${args.join(" ")} | ${command.doc.replaceAll("|", "\\|")} |`);
  }
  return [...lines, "", "```sh", ...commands.map(({ example }) => example), "```", ""].join("\n");
}
