/** MongooseIM's names of log levels, most silent first. */
export const LOG_LEVELS = [
  "none",
  "emergency",
  "alert",
  "critical",
  "error",
  "warning",
  "notice",
  "info",
  "debug",
  "all",
] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];
