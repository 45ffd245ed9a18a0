/** The example of docs and tests: a module that keeps notes, with its tables, migrations and queries. */

import { flag, key, millis, text } from "../../../src/store/columns.ts";
import type { Migration } from "../../../src/store/migrations.ts";
import { upsertRow } from "../../../src/store/rows.ts";
import type { Store } from "../../../src/store/store.ts";

export interface NoteTables {
  notes: { owner: string; title: string; body: string; changed_at: number; pinned?: number | boolean };
}

export const noteMigrations: readonly Migration[] = [
  {
    name: "notes/1-create",
    up: (schema) =>
      schema.createTable("notes", {
        columns: { owner: key(), title: key({ chars: 100 }), body: text(), changed_at: millis() },
        primaryKey: ["owner", "title"],
        indexes: { notes_by_change: ["owner", "changed_at"] },
      }),
  },
  { name: "notes/2-pinned", up: (schema) => schema.addColumn("notes", "pinned", flag({ initial: 0 })) },
];

export class Notes {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Writes a note, or over the one with the same title. */
  async put(owner: string, title: string, body: string): Promise<void> {
    const row = { owner, title, body, changed_at: this.#store.clock.now() };
    await upsertRow(this.#store.tables<NoteTables>(), "notes", row, ["owner", "title"]);
  }

  /** Titles, those changed last first. */
  async recent(owner: string, limit: number): Promise<string[]> {
    const rows = await this.#store
      .tables<NoteTables>()
      .selectFrom("notes")
      .select("title")
      .where("owner", "=", owner)
      .orderBy("changed_at", "desc")
      .limit(limit)
      .execute();
    return rows.map((row) => row.title);
  }
}
