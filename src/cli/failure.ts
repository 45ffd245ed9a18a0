/** How the command ends: its exit codes, and failures that are told in one plain sentence instead of a stack trace. */

/** The codes are those of MongooseIM's command. */
export const exitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
} as const;

/** What a person asked for cannot be done; the message says why, for that person. */
export class CliFailure extends Error {
  override readonly name = "CliFailure";
  readonly exitCode: number;

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = code;
  }
}

/**
 * Why the server could not start, in lines for its operator: its message, or its `lines` where it has them, and what
 * caused it. Only what looks like a mistake in our own code shows where it happened.
 */
export function startFailureLines(error: unknown): string[] {
  if (!(error instanceof Error)) return [String(error)];
  if ("lines" in error && Array.isArray(error.lines)) return error.lines.map(String);
  // A failure that was given a code of its own says in its message all that its cause does.
  const explained = "code" in error;
  const ourMistake = [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
  if (ourMistake && !explained) return (error.stack ?? error.message).split("\n");
  const lines = error.message.split("\n");
  for (let cause = explained ? undefined : error.cause; cause instanceof Error; cause = cause.cause) {
    if (!lines.some((line) => line.includes((cause as Error).message))) lines.push(`because: ${cause.message}`);
  }
  return lines;
}
