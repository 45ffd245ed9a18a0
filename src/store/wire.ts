/** One connection to a database server, as the pool and the Kysely driver see it; postgres.ts and mysql.ts implement it. */

import { readFileSync } from "node:fs";
import type { Clock } from "../util/clock.ts";
import type { BoundValue } from "./bind.ts";
import { StoreUnavailable } from "./errors.ts";
import type { Poolable } from "./pool.ts";
import type { ServerSettings, StoreDialect, StoreTlsSettings } from "./settings.ts";

export interface WireResult {
  rows: unknown[];
  affected: number | undefined;
  insertId: bigint | undefined;
  /** What the server says it did, such as "COMMIT"; empty where it does not. */
  command: string;
}

export interface Wire extends Poolable {
  /** Sends one statement. Rejects with the driver's own error; `broken` tells whether the connection survived it. */
  query(sql: string, parameters: BoundValue[]): Promise<WireResult>;
}

export interface WireProtocol {
  readonly dialect: Exclude<StoreDialect, "sqlite">;
  readonly label: string;
  /** Opens and prepares one connection. `queryTimeoutMs` 0 means the server shall not stop slow statements. */
  connect(settings: ServerSettings, clock: Clock, queryTimeoutMs: number): Promise<Wire>;
}

/** Waits for `work` at most `ms`; afterwards `onTimeout` must drop what it was about. @throws StoreUnavailable */
export function bounded<T>(
  clock: Clock,
  ms: number,
  what: string,
  work: Promise<T>,
  onTimeout: () => void,
): Promise<T> {
  if (ms <= 0) return work;
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(ms, () => {
      onTimeout();
      reject(new StoreUnavailable(`${what} took longer than ${ms} ms`));
    });
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}

/** The options of `tls.connect` that both drivers take. @throws StoreUnavailable naming a file that cannot be read. */
export function tlsOptions(tls: StoreTlsSettings): {
  rejectUnauthorized: boolean;
  ca?: string;
  cert?: string;
  key?: string;
} {
  const options: ReturnType<typeof tlsOptions> = { rejectUnauthorized: tls.verify === "peer" };
  if (tls.caFile !== undefined) options.ca = readPem(tls.caFile);
  if (tls.certFile !== undefined) options.cert = readPem(tls.certFile);
  if (tls.keyFile !== undefined) options.key = readPem(tls.keyFile);
  return options;
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreUnavailable(`TLS file of the database: ${reason}`, { cause: error, outcome: "not-applied" });
  }
}
