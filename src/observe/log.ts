/** The log: pino, as JSON lines for machines and as readable lines on a terminal. */

import { type DestinationStream, type Logger, pino, stdSerializers } from "pino";
import { prettyFactory } from "pino-pretty";
import type { LogLevel } from "../util/log-levels.ts";

export type { LogLevel };

const RANKS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: Number.POSITIVE_INFINITY };

/** pino has fewer levels; each of MongooseIM's is the nearest that says no less. */
const PINO_LEVELS: Record<LogLevel, keyof typeof RANKS> = {
  none: "silent",
  emergency: "fatal",
  alert: "fatal",
  critical: "fatal",
  error: "error",
  warning: "warn",
  notice: "info",
  info: "info",
  debug: "debug",
  all: "trace",
};

const rankOf = (level: LogLevel): number => RANKS[PINO_LEVELS[level]];

/** One sentence and fields with fixed names; text never carries what fields can. */
type Write = (fields: object, message: string) => void;

/**
 * What the house writes to. Fields with a meaning everywhere: `c2s` (number of a connection), `jid`, `remote`
 * (the peer's address), `host`, `module`, `err` (an Error).
 */
export interface Log {
  fatal: Write;
  error: Write;
  warn: Write;
  info: Write;
  debug: Write;
  trace: Write;
  /** The same log with these fields on every line; it follows later changes of the level. */
  child(fields: object): Log;
}

/** The log of a node, with what only its owner may do. */
export interface RootLog extends Log {
  level: LogLevel;
  /** Writes out what is still in memory. */
  flush(): void;
}

export interface LogOptions {
  /** Where lines go; by default standard output. */
  destination?: DestinationStream & { flushSync?: () => void };
  /** Readable lines instead of JSON; by default when standard output is a terminal. */
  pretty?: boolean;
  /** Colours in readable lines; by default when standard output is a terminal that has not said NO_COLOR. */
  colour?: boolean;
  /** Which of several processes of this machine it is: on every line. */
  process?: number | undefined;
}

/** Fields whose value never reaches a log, at any level, at the top of a line or one step inside. */
const SECRET_FIELDS = [
  "password",
  "token",
  "secret",
  "credentials",
  "authorization",
  "cookie",
  "saltedPassword",
  "storedKey",
  "serverKey",
  "clientProof",
];
/** Fields that hold what people say to each other; logged at no level unless someone writes them into the message. */
const PRIVATE_FIELDS = ["body", "inner", "xml", "stanza", "payload"];

export const REDACTED = "[redacted]";

/**
 * A copy of `fields` without secrets and content, for objects from elsewhere whose shape is not known.
 * Depth is limited to 5; what is deeper is left out.
 */
export function redact(fields: unknown, depth = 5): unknown {
  if (typeof fields !== "object" || fields === null || fields instanceof Error || fields instanceof Date) return fields;
  if (depth === 0) return "[deeper]";
  if (Array.isArray(fields)) return fields.map((item) => redact(item, depth - 1));
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    copy[name] = isSecretField(name) ? REDACTED : redact(value, depth - 1);
  }
  return copy;
}

const HIDDEN: ReadonlySet<string> = new Set([...SECRET_FIELDS, ...PRIVATE_FIELDS]);

/** The same object where nothing has to be hidden, as nearly always; else a copy. `depth`: how many steps inside are looked into. */
function withoutSecrets<T extends object>(fields: T, depth: number): T {
  let copy: Record<string, unknown> | undefined;
  for (const name in fields) {
    const value: unknown = fields[name];
    let shown = value;
    if (HIDDEN.has(name)) shown = REDACTED;
    else if (depth > 0 && typeof value === "object" && value !== null && !(value instanceof Error)) {
      shown = withoutSecrets(value, depth - 1);
    }
    if (shown === value) continue;
    copy ??= { ...fields } as Record<string, unknown>;
    copy[name] = shown;
  }
  return (copy as T | undefined) ?? fields;
}

function isSecretField(name: string): boolean {
  return SECRET_FIELDS.includes(name) || PRIVATE_FIELDS.includes(name) || /(password|secret|token)$/i.test(name);
}

/** Creates the log of one node. */
export function createLog(level: LogLevel, options: LogOptions = {}): RootLog {
  const onTerminal = process.stdout.isTTY === true;
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  const readable =
    (options.pretty ?? onTerminal)
      ? prettyFactory({
          colorize: options.colour ?? (onTerminal && process.env.NO_COLOR === undefined),
          translateTime: "SYS:HH:MM:ss.l",
          ignore: "pid,hostname",
          singleLine: true,
        })
      : undefined;
  const target =
    readable === undefined ? destination : { write: (line: string) => void destination.write(readable(line)) };
  const logger = pino(
    {
      level: "trace", // the gate decides
      base: options.process === undefined ? undefined : { process: options.process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        // pino's own redaction takes longer than all the rest of a line.
        log: (fields) => withoutSecrets(fields, 1),
      },
      serializers: { err: (error: Error) => withoutSecrets(stdSerializers.err(error), 0) },
    },
    target,
  );
  return new PinoRootLog(logger, level, () => options.destination?.flushSync?.());
}

/** pino copies the level into a child when it is made; one gate for all lets it change while the node runs. */
interface Gate {
  level: LogLevel;
  rank: number;
}

class PinoLog implements Log {
  readonly #logger: Logger;
  readonly #gate: Gate;

  constructor(logger: Logger, gate: Gate) {
    this.#logger = logger;
    this.#gate = gate;
  }

  fatal(fields: object, message: string): void {
    if (this.#gate.rank <= RANKS.fatal) this.#logger.fatal(fields, message);
  }

  error(fields: object, message: string): void {
    if (this.#gate.rank <= RANKS.error) this.#logger.error(fields, message);
  }

  warn(fields: object, message: string): void {
    if (this.#gate.rank <= RANKS.warn) this.#logger.warn(fields, message);
  }

  info(fields: object, message: string): void {
    if (this.#gate.rank <= RANKS.info) this.#logger.info(fields, message);
  }

  debug(fields: object, message: string): void {
    if (this.#gate.rank <= RANKS.debug) this.#logger.debug(fields, message);
  }

  trace(fields: object, message: string): void {
    if (this.#gate.rank <= RANKS.trace) this.#logger.trace(fields, message);
  }

  child(fields: object): Log {
    return new PinoLog(this.#logger.child(withoutSecrets(fields, 1)), this.#gate);
  }
}

class PinoRootLog extends PinoLog implements RootLog {
  readonly #gate: Gate;
  readonly #flush: () => void;

  constructor(logger: Logger, level: LogLevel, flush: () => void) {
    const gate: Gate = { level, rank: rankOf(level) };
    super(logger, gate);
    this.#gate = gate;
    this.#flush = flush;
  }

  get level(): LogLevel {
    return this.#gate.level;
  }

  set level(level: LogLevel) {
    this.#gate.level = level;
    this.#gate.rank = rankOf(level);
  }

  flush(): void {
    this.#flush();
  }
}

/** A log that says nothing, for tests and for tools. */
export const silentLog: Log = createLog("none", { destination: { write: () => {} }, pretty: false });
