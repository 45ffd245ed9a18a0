/** What is kept of one account, for whoever wants to know. */
import type { PersonalData } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { isStored } from "./upload-store.ts";
import type { Uploads } from "./uploads.ts";

const isoTime = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

export function personalUploads(uploads: Uploads, account: Jid): PersonalData {
  return {
    name: "uploads",
    columns: ["name", "url", "size", "content_type", "state", "created_at", "stored_at", "expires_at"],
    async *rows() {
      for await (const page of uploads.store.ofAccount(account)) {
        for (const row of page) {
          yield [
            row.name,
            (await uploads.urlOf(row)) ?? null,
            row.size,
            row.content_type,
            isStored(row) ? "stored" : "slot",
            isoTime(row.created_at),
            isoTime(row.stored_at),
            isoTime(row.expires_at),
          ];
        }
      }
    },
  };
}
