/** vCards on every dialect. */

import { describe, expect, test } from "bun:test";
import { VcardStore, vcardMigrations } from "../../../src/modules/vcard/vcard-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { eachDatabase } from "../../support/databases.ts";

await eachDatabase(describe, (database) => {
  test(
    "a vCard is written, replaced, read with its hash and removed",
    () =>
      database.withStore(
        async (store) => {
          const vcards = new VcardStore(store);
          const alice = parseJid("alice@localhost")!;
          const elsewhere = parseJid("alice@example.org")!;
          expect(await vcards.get(alice)).toBeUndefined();
          expect(await vcards.avatar(alice)).toBe("");
          const large = `<vCard xmlns='vcard-temp'><DESC>🦝'${"x".repeat(200_000)}</DESC></vCard>`;
          await vcards.set(alice, large, "0".repeat(40));
          expect(await vcards.get(alice)).toBe(large);
          expect(await vcards.avatar(alice)).toBe("0".repeat(40));
          expect(await vcards.get(elsewhere)).toBeUndefined();
          await vcards.set(elsewhere, "<vCard xmlns='vcard-temp'/>", "");
          await vcards.set(alice, "<vCard xmlns='vcard-temp'/>", "");
          expect(await vcards.get(alice)).toBe("<vCard xmlns='vcard-temp'/>");
          expect(await vcards.avatar(alice)).toBe("");
          await vcards.remove(alice);
          expect(await vcards.get(alice)).toBeUndefined();
          expect(await vcards.get(elsewhere)).toBe("<vCard xmlns='vcard-temp'/>");
        },
        { migrations: vcardMigrations },
      ),
    60_000,
  );
});
