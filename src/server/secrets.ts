/** Secrets that all nodes of a database share and that never change, made by whoever starts first. */
import { key, text } from "../store/columns.ts";
import type { Migration } from "../store/migrations.ts";
import { insertRows } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Randomness } from "../util/random.ts";

interface SecretTables {
  server_secrets: { name: string; value: string };
}

export const secretMigrations: readonly Migration[] = [
  {
    name: "secrets/1-create",
    up: (schema) =>
      schema.createTable("server_secrets", {
        columns: { name: key({ chars: 64 }), value: text() },
        primaryKey: ["name"],
      }),
  },
];

/** The secret of this name, 32 random bytes; made now when it does not exist. */
export async function sharedSecret(store: Store, random: Randomness, name: string): Promise<Uint8Array> {
  const db = store.tables<SecretTables>();
  const read = () => db.selectFrom("server_secrets").select("value").where("name", "=", name).executeTakeFirst();
  let row = await read();
  if (row === undefined) {
    const value = Buffer.from(random.bytes(32)).toString("base64");
    await insertRows(db, "server_secrets", [{ name, value }], "ignore");
    row = await read();
  }
  return Buffer.from(row!.value, "base64");
}
