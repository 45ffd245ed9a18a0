/** When a port cannot be opened: the option that names it, and where that stands in the file. */
import { readConfig } from "./config-file.ts";

/** An error of a listener; the server's `CannotListen` and `PortTaken` are such. */
interface ListenFailure {
  readonly address: string;
  readonly port: number;
  readonly code: string;
}

export function isListenFailure(error: unknown): error is Error & ListenFailure {
  return error instanceof Error && "address" in error && "port" in error && "code" in error;
}

/** What to change, in a sentence; undefined when no listener of the file asks for that port. */
export async function portHint({ address, port, code }: ListenFailure, file: string): Promise<string | undefined> {
  const { config } = await readConfig(file);
  if (config === undefined) return undefined;
  const { c2s, http } = config.settings.listen;
  const listener = [...c2s, ...http].find((each) => each.port === port && each.ipAddress === address);
  if (listener === undefined) return undefined;
  // Any other reason than these two is about the address.
  const name = code === "EADDRINUSE" || code === "EACCES" ? "port" : "ip_address";
  const option = `${listener.option}.${name}`;
  const { shownEntries } = await import("../config/show.ts");
  const origin = shownEntries(config).find((entry) => entry.option === option)?.origin ?? "default";
  return `${option} changes it (${origin === "default" ? `not set in ${file}` : origin}).`;
}
