/** Which devices are to be woken, on every dialect. */
import { describe, expect, test } from "bun:test";
import { PushStore, pushMigrations } from "../../../src/modules/push/push-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { eachDatabase } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const device = (node: string, resource = "phone") => ({ jid: "push.example", node, form: "<x>🦝'</x>", resource });

await eachDatabase(describe, (database) => {
  test(
    "devices are added, changed, forgotten by service and node, and limited",
    () =>
      database.withStore(
        async (store) => {
          const told: string[] = [];
          const open = () =>
            new PushStore({ store, clock: store.clock, notices: () => (account) => void told.push(account) });
          const devices = open();
          expect(await devices.of(alice)).toEqual([]);
          // Longer than a key, and the same but for case.
          const [long, other] = [`A${"x".repeat(900)}`, `a${"x".repeat(900)}`];
          expect(await devices.enable(alice, device(long), 3)).toBe(true);
          expect(await devices.enable(alice, device(other), 3)).toBe(true);
          expect(await devices.enable(alice, device(long, "tablet"), 2)).toBe(true);
          expect(await devices.enable(alice, device("third"), 2)).toBe(false);
          expect(await devices.enable(alice, { ...device("third"), jid: "else.example" }, 3)).toBe(true);
          const all = await open().of(alice);
          expect(all.map(({ node, resource }) => `${node[0]} ${resource}`).sort()).toEqual([
            "A tablet",
            "a phone",
            "t phone",
          ]);
          expect(all[0]!.form).toBe("<x>🦝'</x>");
          expect(await devices.of(parseJid("alice@elsewhere")!)).toEqual([]);
          await devices.disable(alice, "push.example", long);
          expect((await open().of(alice)).length).toBe(2);
          await devices.disable(alice, "push.example", undefined);
          expect((await open().of(alice)).map(({ jid }) => jid)).toEqual(["else.example"]);
          expect((await devices.of(alice)).length).toBe(1);
          await devices.removeAll(alice);
          expect(await open().of(alice)).toEqual([]);
          expect(new Set(told)).toEqual(new Set([alice.bare]));
        },
        { migrations: pushMigrations },
      ),
    60_000,
  );
});
