/** Transactions that wait for those of others. */
import type { Kysely, Transaction } from "kysely";
import { isRetriable } from "./errors.ts";
import { retryWithBackoff } from "./retry.ts";
import type { Store } from "./store.ts";

/** Runs a transaction, and again after a moment while others are in its way and nothing of it is left; `run` touches nothing but `trx`. */
export function repeatedTransaction<DB, T>(
  store: Store,
  attemptsMax: number,
  run: (trx: Transaction<DB>) => Promise<T>,
): Promise<T> {
  const db = store.tables<DB>() as Kysely<DB>;
  return retryWithBackoff(() => db.transaction().execute(run), {
    clock: store.clock,
    delayMinMs: 5,
    delayMaxMs: 50,
    attemptsMax,
    retriable: isRetriable,
  });
}
