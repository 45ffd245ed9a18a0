/** Files and slots, on every dialect. */
import { describe, expect, test } from "bun:test";
import { type NewSlot, UploadStore, uploadMigrations } from "../../../src/modules/http-upload/upload-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { eachDatabase } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const bob = parseJid("bob@localhost")!;
const slot = (token: string, more: Partial<NewSlot> = {}): NewSlot => ({
  token,
  owner: alice,
  name: "ü🦝'%_.txt",
  contentType: undefined,
  size: 5_000_000_000,
  secret: "s",
  place: "local",
  now: 1_000,
  putUntil: 2_000,
  expiresAt: 10_000,
  dueAt: 3_000,
  ...more,
});

await eachDatabase(describe, (database) => {
  const withUploads = (use: (uploads: UploadStore) => Promise<void>) => () =>
    database.withStore((store) => use(new UploadStore(store)), { migrations: uploadMigrations });

  test(
    "a slot is used once, and by whoever comes first",
    withUploads(async (uploads) => {
      await uploads.addSlot(slot("one"));
      await expect(uploads.addSlot(slot("one"))).rejects.toThrow();
      expect(await uploads.find("ONE")).toBeUndefined();
      const claims = await Promise.all([1, 2, 3, 4].map(() => uploads.claim("one", 2_000)));
      expect(claims.filter((claimed) => claimed)).toHaveLength(1);
      await uploads.release("one");
      expect(await uploads.claim("one", 2_001)).toBe(false);
      expect(await uploads.claim("one", 2_000)).toBe(true);
      expect(await uploads.stored("one", 2_500, "text/plain", 10_000)).toBe(true);
      await uploads.release("one");
      expect(await uploads.claim("one", 1_000)).toBe(false);
      expect(await uploads.find("one")).toEqual({
        ...{ token: "one", server: "localhost", username: "alice", name: "ü🦝'%_.txt", content_type: "text/plain" },
        ...{ size: 5_000_000_000, secret: "", place: "local", state: 2, created_at: 1_000, put_until: 2_000 },
        ...{ stored_at: 2_500, expires_at: 10_000, due_at: 10_000 },
      });
    }),
    60_000,
  );

  test(
    "what an account has is counted, and when there will be room is known",
    withUploads(async (uploads) => {
      expect(await uploads.usage(alice, 0)).toEqual({ files: 0, bytes: 0 });
      for (const [token, dueAt] of [
        ["a", 3_000],
        ["b", 4_000],
        ["c", 5_000],
      ] as const) {
        await uploads.addSlot(slot(token, { dueAt }));
      }
      await uploads.addSlot(slot("kept", { size: 7 }));
      await uploads.stored("kept", 1_000, null, null);
      await uploads.addSlot(slot("bobs", { owner: bob }));
      expect(await uploads.usage(alice, 2_999)).toEqual({ files: 4, bytes: 15_000_000_007 });
      expect(await uploads.usage(alice, 3_000)).toEqual({ files: 3, bytes: 10_000_000_007 });
      expect(await uploads.roomAt(alice, 1_000, 1, 0)).toBe(3_000);
      expect(await uploads.roomAt(alice, 1_000, 5_000_000_001, 0)).toBe(4_000);
      expect(await uploads.roomAt(alice, 1_000, 0, 3)).toBe(5_000);
      expect(await uploads.roomAt(alice, 1_000, 15_000_000_001, 0)).toBeUndefined();
    }),
    60_000,
  );

  test(
    "the cleaner finds what is due, and an account's files become nobody's",
    withUploads(async (uploads) => {
      await uploads.addSlot(slot("a", { dueAt: 4_000 }));
      await uploads.addSlot(slot("b", { dueAt: 3_000 }));
      await uploads.addSlot(slot("c", { owner: bob }));
      const due = async (now: number) => (await uploads.due("localhost", now, 10)).map(({ token }) => token);
      expect((await due(3_999)).sort()).toEqual(["b", "c"]);
      await uploads.postpone("b", 9_000);
      expect(await due(4_000)).toEqual(["c", "a"]);
      expect((await uploads.due("localhost", 9_000, 1)).length).toBe(1);
      expect(await uploads.due("elsewhere", 9_000, 10)).toEqual([]);
      expect((await uploads.orphan(alice, 5)).map(({ token }) => token).sort()).toEqual(["a", "b"]);
      expect((await due(5)).sort()).toEqual(["a", "b"]);
      expect(await uploads.stored("a", 6, null, null)).toBe(false);
      const pages: string[] = [];
      for await (const page of uploads.ofAccount(alice)) pages.push(...page.map(({ token }) => token));
      expect(pages).toEqual([]);
      await uploads.remove("a");
      expect(await uploads.find("a")).toBeUndefined();
    }),
    60_000,
  );
});
