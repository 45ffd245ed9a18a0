/** XEP-0049 data on every dialect: what is written comes back, limits hold, removal removes. */

import { describe, expect, test } from "bun:test";
import { checkedItems, PrivateStorage, privateMigrations } from "../../../src/modules/private.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { parseElement } from "../../../src/xml/element.ts";
import { eachDatabase } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const bob = parseJid("bob@localhost")!;
const items = (inside: string) =>
  checkedItems(parseElement(`<query xmlns='jabber:iq:private'>${inside}</query>`, ""), "set");

await eachDatabase(describe, (database) => {
  test(
    "elements are kept by account, name and namespace",
    () =>
      database.withStore(
        async (store) => {
          const storage = new PrivateStorage(store, { itemBytesMax: 100_000, itemsMax: 3 });
          const long = `urn:${"ü".repeat(243)}`;
          const text = `🦝 'quoted' &amp; ${"x".repeat(70_000)}`;
          await storage.set(
            alice,
            items(`<a xmlns='n'>${text}</a><A xmlns='n'>upper</A><ab xmlns='${long}'>long</ab>`),
          );
          await storage.set(bob, items("<a xmlns='n'>bob's</a>"));
          const ids = ["a n", "A n", `ab ${long}`, "a n "];
          const found = await storage.get(alice, ids);
          expect([...found.keys()].sort()).toEqual(["A n", "a n", `ab ${long}`]);
          expect(found.get("a n")).toBe(`<a xmlns='n'>${text}</a>`);
          expect(await storage.get(bob, ids)).toEqual(new Map([["a n", "<a xmlns='n'>bob's</a>"]]));

          await storage.set(alice, items("<a xmlns='n'>second</a>"));
          expect((await storage.get(alice, ids)).get("a n")).toBe("<a xmlns='n'>second</a>");
          const full = storage
            .set(alice, items("<b xmlns='n'>1</b>"))
            .catch((error: { condition: string }) => error.condition);
          expect(await full).toBe("resource-constraint");
          await storage.set(alice, items("<A xmlns='n'/>"));
          await storage.set(alice, items("<b xmlns='n'>1</b>"));
          expect((await storage.get(alice, ["A n", "b n"])).size).toBe(1);

          await storage.removeAll(alice);
          expect((await storage.get(alice, [...ids, "b n"])).size).toBe(0);
          expect((await storage.get(bob, ids)).size).toBe(1);
        },
        { migrations: privateMigrations },
      ),
    60_000,
  );
});
