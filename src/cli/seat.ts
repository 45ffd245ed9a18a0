/** Whether this process is one of several nodes of this machine. Apart from the rest, since every start asks. */
import { processVariable } from "../util/process-variable.ts";

/** Which node of several this process is, from 1; undefined when it is the only one, or watches over them. */
export function ownSeat(): number | undefined {
  const seat = Number(process.env[processVariable]);
  return Number.isInteger(seat) && seat > 0 && process.send !== undefined ? seat : undefined;
}
