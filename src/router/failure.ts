/** What a sender is told when something was thrown: what is ours stays hidden. */
import { StanzaError } from "../stanza/errors.ts";
import { StoreOverloaded } from "../store/errors.ts";

export function toStanzaError(error: unknown): StanzaError {
  if (error instanceof StanzaError) return error;
  if (error instanceof StoreOverloaded) {
    return new StanzaError("resource-constraint", { text: "Too much waits for the database just now", cause: error });
  }
  return new StanzaError("internal-server-error", { type: "wait", cause: error });
}
