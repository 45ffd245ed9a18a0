/** What a micro benchmark says to a scenario that counts on it: its last line, as JSON, when it is run with `--json`. */

export interface ProgramOutcome {
  /** What `values` are about: so many sessions, logins. */
  readonly units: number;
  /** All CPU that it has used, with its child processes. */
  readonly cpuSeconds: number;
  readonly values: Readonly<Record<string, number>>;
}

export function printOutcome(units: number, values: Readonly<Record<string, number>>, childrenCpu = 0): void {
  const { user, system } = process.cpuUsage();
  const outcome: ProgramOutcome = { units, values, cpuSeconds: (user + system) / 1e6 + childrenCpu };
  console.log(JSON.stringify(outcome));
}
