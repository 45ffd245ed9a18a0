/** The write batch of a process: every socket written to in one turn of the event loop is flushed once at its end. */
import { WriteBatch } from "../../socket/write-batch.ts";

/**
 * An immediate runs after the input of all connections that were ready in this turn, so what many peers write to one
 * socket leaves together; a microtask would run after each of them.
 */
export function turnBatch(failed: (error: unknown) => void): WriteBatch {
  return new WriteBatch((flush) => setImmediate(flush), failed);
}
