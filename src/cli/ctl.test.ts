/** `meerkat ctl` as it is made from the catalogue: help, guesses, arguments. */
import { describe, expect, test } from "bun:test";
import type { Command as CliCommand } from "commander";
import { adminCommands, findCommand } from "../admin/catalogue.ts";
import { ctlCommand } from "./ctl.ts";
import { sortArguments, wantedSecrets } from "./ctl-run.ts";
import { CliFailure } from "./failure.ts";
import { meerkatCommand } from "./program.ts";
import { unknownWord } from "./unknown-word.ts";

const registerUser = findCommand("account", "registerUser")!;
const importUsers = findCommand("account", "importUsers")!;
const setLoglevel = findCommand("server", "setLoglevel")!;
const sort = (command: typeof registerUser, given: Record<string, string>) =>
  sortArguments(command, given, "/home/ann", "meerkat ctl x y");

function below(command: CliCommand, ...names: string[]): CliCommand {
  return names.reduce((at, name) => at.commands.find((inner) => inner.name() === name)!, command);
}

/** What commander would print, examples included. */
function help(command: CliCommand): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

async function failureOf(...args: string[]): Promise<CliFailure> {
  const error = await meerkatCommand()
    .parseAsync(args, { from: "user" })
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CliFailure);
  return error as CliFailure;
}

describe("the tree", () => {
  const ctl = ctlCommand();

  test.each(adminCommands.map((command) => [`${command.category} ${command.name}`, command] as const))(
    "%s has its arguments and an example in the help",
    (_, command) => {
      const text = help(below(ctl, command.category, command.name));
      for (const name of Object.keys(command.arguments)) expect(text).toContain(`--${name} <`);
      expect(text).toContain(command.example);
      expect(command.example).toContain(`meerkat ctl ${command.category} ${command.name}`);
    },
  );

  test("an argument never bears the name of an option of ctl itself", () => {
    const taken = ["data", "json", "help"];
    for (const command of adminCommands) {
      expect(Object.keys(command.arguments).filter((name) => taken.includes(name))).toEqual([]);
    }
  });

  test("every example is taken by its own command", () => {
    for (const command of adminCommands) {
      const words =
        command.example
          .replace(/^.*?meerkat ctl \S+ \S+ ?/, "")
          .match(/'[^']*'|\S+/g)
          ?.map((word) => word.replaceAll("'", "")) ?? [];
      const given: Record<string, string> = {};
      for (let at = 0; at < words.length; at += 2) given[words[at]!.slice(2)] = words[at + 1]!;
      expect(() => sort(command, given)).not.toThrow();
    }
  });

  test("a category shows the examples of its commands", () => {
    expect(help(below(ctl, "account"))).toContain("$ meerkat ctl account listUsers --domain localhost --limit 100");
  });
});

describe("a misspelt word", () => {
  test.each<[string[], string]>([
    [["ctl", "acount"], "Did you mean 'meerkat ctl account'?"],
    [["ctl", "account", "registerusr"], "Did you mean 'meerkat ctl account registerUser'?"],
    [["ctl", "account", "list-users"], "Did you mean 'meerkat ctl account listUsers'?"],
    [["ctl", "listSessions"], "Did you mean 'meerkat ctl session listSessions'?"],
    [["ctl", "roster", "kickUser"], "Did you mean 'meerkat ctl session kickUser'?"],
    [["ctl", "quux"], "There are: account, session,"],
    [["ctl", "acount", "listUsers", "--domain", "localhost"], "Did you mean 'meerkat ctl account'?"],
    [["ctl", "account", "listUser", "--domain", "localhost"], "Did you mean 'meerkat ctl account listUsers'?"],
    [["ctl", "--dat", "x", "account"], "Did you mean '--data'?"],
    [["--verison"], "Did you mean '--version'?"],
    [["strat"], "Did you mean 'meerkat start'?"],
    [["config", "chekc"], "Did you mean 'meerkat config check'?"],
    [["ctl", "account", "registerUser", "--usernam", "x"], "Did you mean --username?"],
    [["status", "--dat", "x"], "Did you mean --data?"],
    [["ctl", "cluster", "--jsn"], "Did you mean '--json'?"],
    [["ctl", "cluster", "node"], "Did you mean 'meerkat ctl cluster nodes'?"],
  ])("%p", async (args, hint) => {
    const failure = await failureOf(...args);
    expect(failure.exitCode).toBe(2);
    expect(failure.message).toContain(hint);
    expect(failure.message).toMatch(/\nSee 'meerkat.* --help'\.$/);
  });

  test("without a guess names what there is", () => {
    expect(unknownWord("meerkat ctl", "xyzzy", ["account", "stat"])).toBe(
      "'meerkat ctl' has no command 'xyzzy'. There are: account, stat.\nSee 'meerkat ctl --help'.",
    );
  });
});

describe("arguments", () => {
  test("every one that is missing is named", async () => {
    const failure = await failureOf("ctl", "account", "registerUser");
    expect(failure.exitCode).toBe(2);
    expect(failure.message).toStartWith(
      "arguments are missing:\n  --domain: one of the server's hosts\n  --password: ",
    );
    expect(failure.message).toEndWith("See 'meerkat ctl account registerUser --help'.");
  });

  test("a file is made absolute", () => {
    expect(sort(importUsers, { filename: "users.csv" }).args).toEqual({ filename: "/home/ann/users.csv" });
    expect(sort(importUsers, { filename: "/tmp/users.csv" }).files).toEqual(["filename"]);
  });

  test("a secret is asked for, or known to be exposed", () => {
    const asked = sort(registerUser, { domain: "localhost", username: "alice", password: "-" });
    expect(asked).toMatchObject({ args: { domain: "localhost", username: "alice" }, asked: ["password"], exposed: [] });
    expect(asked.args).not.toHaveProperty("password");
    const given = sort(registerUser, { domain: "localhost", password: "x" });
    expect(given).toMatchObject({ args: { password: "x" }, asked: [], exposed: ["password"] });
  });

  test("a password that is only compared is asked for once", () => {
    expect(wantedSecrets(findCommand("account", "checkPassword")!, ["password"])).toEqual([
      { flag: "--password", isNew: false },
    ]);
    expect(wantedSecrets(registerUser, ["password"])).toEqual([{ flag: "--password", isNew: true }]);
  });

  test.each<[string, typeof registerUser, Record<string, string>, string]>([
    ["a domain that is none", registerUser, { domain: "a@b", password: "-" }, "--domain must be a domain"],
    [
      "a number that is none",
      findCommand("account", "listUsers")!,
      { domain: "localhost", limit: "-1" },
      "--limit must be a whole number",
    ],
    ["a word not among those allowed", setLoglevel, { level: "loud" }, "--level must be one of none, emergency"],
    ["an empty text", importUsers, { filename: "" }, "--filename must be more than an empty text"],
  ])("%s is refused before the node is asked", (_, command, given, message) => {
    expect(() => sort(command, given)).toThrow(message);
  });
});
