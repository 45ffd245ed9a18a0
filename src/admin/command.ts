/**
 * Administration commands as data: name, arguments and what they do. `meerkat ctl` and its help are made from them.
 * Categories, commands and arguments bear MongooseIM's names.
 */

import type { Host } from "../router/host.ts";
import type { Router, RouterCounters } from "../router/route.ts";
import type { Resource } from "../session/resource.ts";
import type { StreamError } from "../stanza/errors.ts";
import { type Jid, parseJid } from "../stanza/jid.ts";
import type { Clock } from "../util/clock.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Randomness } from "../util/random.ts";
import type { AdminCluster } from "./cluster.ts";

/** What a command needs of accounts; the server's directory has it. */
export interface AdminAccounts {
  address(domain: string, username: string): Jid;
  register(account: Jid, password: string): Promise<void>;
  changePassword(account: Jid, password: string): Promise<void>;
  remove(account: Jid): Promise<void>;
  exists(account: Jid): MaybePromise<boolean>;
  checkPassword(account: Jid, password: string): Promise<boolean>;
  list(domain: string, limit?: number, index?: number): Promise<string[]>;
  count(domain: string): Promise<number>;
  importUsers(lines: AsyncIterable<string>, progress: (done: number) => void): Promise<ImportReport>;
}

/** What became of each record; lists are cut to the first thousand, counts are whole. */
export interface ImportReport {
  readonly status: string;
  readonly created: number;
  readonly existing: string[];
  readonly notAllowed: string[];
  readonly invalidJID: string[];
  readonly emptyPassword: string[];
  readonly invalidRecord: string[];
}

/** What was written of an account. */
export interface ExportReport {
  /** Rows by the name of their table. */
  readonly rows: Readonly<Record<string, number>>;
}

/** Ending sessions; the streams' keeper does it. */
export interface AdminSessions {
  close(resource: Resource, error: StreamError, how: "kicked"): Promise<void>;
}

/** What a node lets its operator do. */
export interface AdminContext {
  readonly router: Router;
  readonly keeper: AdminSessions;
  readonly accounts: AdminAccounts;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly nodeName: string;
  readonly version: string;
  readonly startedAt: number;
  logLevel: string;
  readonly counters: RouterCounters;
  /** Undefined on a node that is alone. */
  readonly cluster?: AdminCluster;
  /** Resolves when this node has written what it had to write: what a command says is done survives a crash. */
  flushed(): Promise<void>;
  /** Begins to stop the node; returns at once. */
  stop(): void;
  readLines(filename: string): AsyncIterable<string>;
  /** Writes everything that is kept of an account into a new ZIP file. Throws `AdminError` when the file cannot be written. */
  exportPersonalData(account: Jid, filename: string, progress: (rows: number) => void): Promise<ExportReport>;
}

/** A command was asked for in a way it cannot be done. The message is for the person who asked. */
export class AdminError extends Error {
  override readonly name = "AdminError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Files are on the machine of the node; "newFile" is one that is made. */
export type ArgumentKind = "domain" | "username" | "jid" | "text" | "secret" | "integer" | "names" | "file" | "newFile";

export interface Argument {
  readonly kind: ArgumentKind;
  readonly doc: string;
  readonly required: boolean;
  /** The words allowed, where they are few. */
  readonly choices?: readonly string[];
}

/** Whom and what a command is about, as the log may have it: addresses and names, nothing that people said or that is secret. */
export function namedIn(command: Command, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const loggable: readonly ArgumentKind[] = ["domain", "username", "jid"];
  return Object.fromEntries(
    Object.entries(command.arguments)
      .filter(([name, { kind }]) => loggable.includes(kind) && given[name] !== undefined)
      .map(([name]) => [name, given[name]]),
  );
}

export const argument = {
  required: (kind: ArgumentKind, doc: string, choices?: readonly string[]): Argument => ({
    kind,
    doc,
    required: true,
    choices,
  }),
  optional: (kind: ArgumentKind, doc: string, choices?: readonly string[]): Argument => ({
    kind,
    doc,
    required: false,
    choices,
  }),
};

/** Checked values, by argument name. */
export class Arguments {
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values;
  }

  text(name: string): string {
    return this.#values.get(name) as string;
  }

  optionalText(name: string): string | undefined {
    return this.#values.get(name) as string | undefined;
  }

  jid(name: string): Jid {
    return this.#values.get(name) as Jid;
  }

  optionalJid(name: string): Jid | undefined {
    return this.#values.get(name) as Jid | undefined;
  }

  optionalInteger(name: string): number | undefined {
    return this.#values.get(name) as number | undefined;
  }

  names(name: string): readonly string[] {
    return (this.#values.get(name) as string[] | undefined) ?? [];
  }
}

export interface Command {
  readonly category: string;
  readonly name: string;
  readonly doc: string;
  readonly example: string;
  readonly arguments: Readonly<Record<string, Argument>>;
  /** What the category alone, without a command, means. */
  readonly byDefault?: true;
  /** The number of the node that does it, where that is not this one. Throws as `run` does. */
  node?(context: AdminContext, args: Arguments): number | undefined;
  /** Each node has a part of the answer: lists are joined, numbers added up. */
  readonly across?: "join" | "add";
  /** Resolves to what is printed: plain data. Throws `AdminError` or `StanzaError` for what cannot be done. */
  run(context: AdminContext, args: Arguments, progress: (done: number) => void): unknown;
}

/** Checks what was given against what the command takes. Throws `AdminError` with every problem named. */
export function readArguments(command: Command, given: Readonly<Record<string, unknown>>): Arguments {
  const values = new Map<string, unknown>();
  for (const name in given) {
    if (command.arguments[name] === undefined) {
      const known = Object.keys(command.arguments).map((word) => `--${word}`);
      throw new AdminError(
        "bad_argument",
        `${command.category} ${command.name} has no --${name}; it takes ${known.join(", ") || "nothing"}`,
      );
    }
  }
  for (const [name, expected] of Object.entries(command.arguments)) {
    const value = given[name];
    if (value === undefined) {
      if (expected.required) throw new AdminError("bad_argument", `--${name} is missing: ${expected.doc}`);
      continue;
    }
    values.set(name, readArgument(name, expected, value));
  }
  return new Arguments(values);
}

function readArgument(name: string, expected: Argument, value: unknown): unknown {
  const wrong = (allowed: string): AdminError => new AdminError("bad_argument", `--${name} must be ${allowed}`);
  if (expected.kind === "names") {
    const list = Array.isArray(value) ? value : typeof value === "string" ? parseList(value) : undefined;
    if (list === undefined || !list.every((item) => typeof item === "string"))
      throw wrong('a list of texts, such as ["one", "two"]');
    return list;
  }
  if (typeof value !== "string" && typeof value !== "number") throw wrong("a text");
  const text = String(value);
  if (expected.choices !== undefined && !expected.choices.includes(text))
    throw wrong(`one of ${expected.choices.join(", ")}`);
  switch (expected.kind) {
    case "integer": {
      const number = Number(text);
      if (!/^\d+$/.test(text) || !Number.isSafeInteger(number)) throw wrong("a whole number");
      return number;
    }
    case "jid": {
      const jid = parseJid(text);
      if (jid === undefined) throw wrong("an address, such as alice@example.org");
      return jid;
    }
    case "domain": {
      const jid = parseJid(text);
      if (jid === undefined || jid.local !== "" || jid.resource !== "") throw wrong("a domain, such as example.org");
      return jid.domain;
    }
    default:
      if (text === "") throw wrong("more than an empty text");
      return text;
  }
}

function parseList(text: string): unknown[] | undefined {
  if (!text.startsWith("[")) return text.split(",").map((item) => item.trim());
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The host of an address, or of a domain. Throws `AdminError` when this server does not serve it. */
export function hostOf(context: AdminContext, domain: string): Host {
  const host = context.router.hosts.get(domain);
  if (host === undefined) throw new AdminError("domain_not_found", `This server does not serve ${domain}`);
  return host;
}

/** A bare address of an existing account of ours. */
export async function accountOf(context: AdminContext, jid: Jid): Promise<Jid> {
  hostOf(context, jid.domain);
  const account = jid.toBare();
  if (account.local === "" || !(await context.accounts.exists(account))) {
    throw new AdminError("user_not_found", `There is no account ${account.full}`);
  }
  return account;
}

/** A user's address; of our own users it must be an account's. */
export async function userOf(context: AdminContext, user: Jid): Promise<Jid> {
  return context.router.hosts.has(user.domain) ? accountOf(context, user) : user.toBare();
}
