/** What is said to somebody who misspelt a command. */
import type { Command } from "commander";
import { guess } from "../config/guess.ts";
import { CliFailure, exitCode } from "./failure.ts";

/**
 * Makes a command that only has commands below it answer for itself: alone it shows its help, as an error, or does what
 * `alone` does; a word it does not know is answered with a guess. `elsewhere` may know where that word belongs.
 */
export function asGroup(
  group: Command,
  elsewhere?: (word: string) => string | undefined,
  alone: () => void | Promise<void> = () => group.help({ error: true }),
): Command {
  return (
    group
      .usage("<command>")
      .argument("[words...]")
      // What follows a misspelt word is none of its business.
      .allowUnknownOption()
      .action((words: string[]) => {
        const [word] = words;
        if (word === undefined) return alone();
        if (word.startsWith("-")) throw new CliFailure(exitCode.usage, unknownOption(group, word));
        const known = group.commands.map((command) => command.name());
        throw new CliFailure(exitCode.usage, unknownWord(fullName(group), word, known, elsewhere?.(word)));
      })
  );
}

/** "unknown command"; what was meant, or everything that is known; and where the help is. */
export function unknownWord(group: string, word: string, known: readonly string[], elsewhere?: string): string {
  const near = guess(word, known);
  const meant = elsewhere ?? (near === undefined ? undefined : `${group} ${near}`);
  const hint = meant === undefined ? `There are: ${known.join(", ")}.` : `Did you mean '${meant}'?`;
  return `'${group}' has no command '${word}'. ${hint}\nSee '${group} --help'.`;
}

function unknownOption(group: Command, word: string): string {
  const name = word.replace(/=.*$/s, "");
  const near = guess(name, [...group.options.map((option) => option.long ?? option.flags), "--help"]);
  const hint = near === undefined ? "" : ` Did you mean '${near}'?`;
  return `'${fullName(group)}' has no option '${name}'.${hint}\nSee '${fullName(group)} --help'.`;
}

/** `meerkat ctl account` */
export function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}
