/** The store of privacy lists, on every dialect. */
import { describe, expect, test } from "bun:test";
import { EVERYTHING, PrivacyList, type Rule } from "../../../src/modules/privacy/privacy-list.ts";
import { nothingStored, PrivacyStore, privacyMigrations } from "../../../src/modules/privacy/privacy-store.ts";
import { StanzaError } from "../../../src/stanza/errors.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { eachDatabase } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const block = (value: string, order: number): Rule => ({ type: "jid", value, allow: false, order, kinds: EVERYTHING });

await eachDatabase(describe, (database) => {
  const withStore = (use: (lists: PrivacyStore) => Promise<void>) =>
    database.withStore((store) => use(new PrivacyStore(store)), { migrations: privacyMigrations });

  test("what was decided comes back as it was, for that account only", () =>
    withStore(async (store) => {
      expect(await store.load(alice)).toBe(nothingStored);
      const rules: Rule[] = [
        { type: "group", value: "Fe😀nd's \"\\", allow: true, order: 4294967295, kinds: 5 },
        { type: "any", value: "", allow: false, order: 0, kinds: EVERYTHING },
        block("ü@example.org", 7),
      ];
      const lists = new Map([["mine ", new PrivacyList(rules)]]);
      const { before, after } = await store.change(alice, () => ({ defaultName: "mine ", lists }));
      expect(before).toBe(nothingStored);
      const loaded = await store.load(alice);
      expect(loaded.version).toBe(after.version);
      expect(loaded.defaultName).toBe("mine ");
      expect(loaded.lists.get("mine ")!.rules).toEqual(lists.get("mine ")!.rules);
      expect(await store.load(parseJid("bob@localhost")!)).toBe(nothingStored);
      await store.remove(alice);
      expect(await store.load(alice)).toBe(nothingStored);
    }));

  test("changes at once are all kept", () =>
    withStore(async (store) => {
      const add = (name: string) =>
        store.change(alice, (state) => ({
          defaultName: state.defaultName,
          lists: new Map([...state.lists, [name, new PrivacyList([block("bob@localhost", 1)])]]),
        }));
      await Promise.all(["a", "b", "c"].map(add));
      expect([...(await store.load(alice)).lists.keys()].toSorted()).toEqual(["a", "b", "c"]);
      expect((await store.load(alice)).version).toBe(3);
    }));

  test("a decision that is none, or throws, leaves all as it was", () =>
    withStore(async (store) => {
      const { before, after } = await store.change(alice, () => undefined);
      expect(after).toBe(before);
      const refusal = store.change(alice, () => {
        throw new StanzaError("conflict");
      });
      await expect(refusal).rejects.toThrow("conflict");
      expect(await store.load(alice)).toBe(nothingStored);
    }));

  test("five thousand rules fit", () =>
    withStore(async (store) => {
      const rules = Array.from({ length: 5_000 }, (_, order) => block(`someone${order}@some.example.org`, order));
      await store.change(alice, () => ({ defaultName: "all", lists: new Map([["all", new PrivacyList(rules)]]) }));
      expect((await store.load(alice)).lists.get("all")!.rules.length).toBe(5_000);
    }));
});
