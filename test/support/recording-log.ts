/** A log whose lines a test can look at. */
import { createLog, type Log } from "../../src/observe/log.ts";

export interface LoggedLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** `changed` is called after each line. */
export function recordingLog(changed: () => void = () => {}): { log: Log; lines: LoggedLine[] } {
  const lines: LoggedLine[] = [];
  const write = (line: string) => {
    lines.push(JSON.parse(line));
    changed();
  };
  return { log: createLog("debug", { destination: { write }, pretty: false }), lines };
}
