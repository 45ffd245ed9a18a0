/** The store of offline messages, on every dialect. */
import { describe, expect, test } from "bun:test";
import { OfflineStore, offlineMigrations } from "../../../src/modules/offline/offline-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { GroupCommit } from "../../../src/store/group-commit.ts";
import { eachDatabase, realClock } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const bob = parseJid("bob@localhost")!;
const message = (stanza: string, storedAt = 1_000, expiresAt: number | null = null) => ({
  from: "bob@localhost/desk",
  storedAt,
  expiresAt,
  stanza,
});

await eachDatabase(describe, (database) => {
  const withStore = (use: (mail: OfflineStore, writes: GroupCommit) => Promise<void>) =>
    database.withStore(
      async (store) => {
        const writes = new GroupCommit(store, realClock);
        await use(new OfflineStore(store), writes);
        await writes.close();
      },
      { migrations: offlineMigrations },
    );

  test("messages come back in the order they were added, in pages, text intact", () =>
    withStore(async (mail, writes) => {
      const texts = Array.from({ length: 250 }, (_, number) => `<message><body>${number} ü😀'"\\</body></message>`);
      await Promise.all(texts.map((text) => mail.add(writes, alice, message(text))));
      await mail.add(writes, bob, message("<message/>"));
      expect(await mail.count(alice)).toBe(250);
      const read: string[] = [];
      let after = 0;
      for (;;) {
        const page = await mail.page(alice, after, 100);
        read.push(...page.map((each) => each.stanza));
        if (page.length < 100) break;
        after = page[page.length - 1]!.id;
      }
      expect(read).toEqual(texts);
    }));

  test("removing takes the named messages only, clearing all of one account", () =>
    withStore(async (mail, writes) => {
      for (const text of ["<a/>", "<b/>", "<c/>"]) await mail.add(writes, alice, message(text));
      await mail.add(writes, bob, message("<d/>"));
      const [first, second] = await mail.page(alice, 0, 10);
      await mail.remove(writes, [first!.id, second!.id]);
      await mail.remove(writes, []);
      expect((await mail.page(alice, 0, 10)).map((each) => each.stanza)).toEqual(["<c/>"]);
      expect(await mail.clear(alice)).toBe(1);
      expect(await mail.count(alice)).toBe(0);
      expect(await mail.count(bob)).toBe(1);
    }));

  test("expired and old messages of a domain can be swept", () =>
    withStore(async (mail, writes) => {
      await mail.add(writes, alice, message("<a/>", 1_000, 5_000));
      await mail.add(writes, alice, message("<b/>", 2_000, 5_001));
      await mail.add(writes, alice, message("<c/>", 3_000));
      expect(await mail.removeExpired("example.org", 9_000)).toBe(0);
      expect(await mail.removeExpired("localhost", 5_000)).toBe(1);
      expect(await mail.removeOld("localhost", 3_000)).toBe(1);
      const [rest] = await mail.page(alice, 0, 10);
      expect(rest).toMatchObject({ stanza: "<c/>", storedAt: 3_000, expiresAt: null });
    }));
});
