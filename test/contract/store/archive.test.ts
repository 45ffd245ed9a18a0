/** The store of archives, on every dialect: what it finds, and by which index. */
import { describe, expect, test } from "bun:test";
import type { Compilable } from "kysely";
import { type ArchiveFilter, ArchiveStore, type NewRow } from "../../../src/modules/mam/archive-store.ts";
import {
  archiveMigrations,
  conversationOf,
  referenceToMessage,
  referenceToSender,
} from "../../../src/modules/mam/archive-tables.ts";
import { wordsOf } from "../../../src/modules/mam/words.ts";
import { GroupCommit } from "../../../src/store/group-commit.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase, realClock } from "../../support/databases.ts";

const alice = "alice@localhost";
const bob = "bob@localhost";
const room = "room@conference.localhost";
/** As large as real ids are. */
const base = 2n ** 60n;

function row(
  owner: string,
  number: number,
  text: string,
  parts: Partial<NewRow> & { messageId?: string } = {},
): NewRow {
  const { peer = bob, messageId = `m${number}`, ...rest } = parts;
  return {
    owner,
    id: base + BigInt(number),
    peer,
    resource: "desk",
    conversation: conversationOf(owner, peer),
    reference: referenceToMessage(owner, messageId),
    outgoing: true,
    groupchat: false,
    stanza: `<message id='${messageId}'><body>${text}</body></message>`,
    words: wordsOf(text),
    ...rest,
  };
}

await eachDatabase(describe, (database) => {
  const withArchive = (use: (archive: ArchiveStore, writes: GroupCommit, store: Store) => Promise<void>) =>
    database.withStore(
      async (store) => {
        const writes = new GroupCommit(store, realClock);
        await use(new ArchiveStore(store), writes, store);
        await writes.close();
      },
      { migrations: archiveMigrations },
    );
  const add = (archive: ArchiveStore, writes: GroupCommit, rows: readonly NewRow[]) =>
    Promise.all(rows.map((each) => archive.add(writes, each)));
  const numbers = async (archive: ArchiveStore, filter: Partial<ArchiveFilter>, backwards = false, limit = 100) =>
    (await archive.page({ owner: alice, ...filter }, { limit, backwards })).map(({ id }) => Number(id - base));

  test("ids of 63 bits and texts of any kind come back as they were", () =>
    withArchive(async (archive, writes) => {
      const text = "ü😀'\"\\ %_ 東京";
      await add(archive, writes, [{ ...row(alice, 0, text), id: 2n ** 63n - 1n }]);
      const [found] = await archive.page({ owner: alice }, { limit: 1 });
      expect(found).toEqual({
        id: 2n ** 63n - 1n,
        peer: bob,
        stanza: `<message id='m0'><body>${text}</body></message>`,
      });
      expect(await archive.ends(alice)).toEqual({ first: found!.id, last: found!.id });
      expect(await archive.ends(bob)).toBeUndefined();
    }));

  test("pages by every filter, forwards and backwards", () =>
    withArchive(async (archive, writes) => {
      const rows = Array.from({ length: 20 }, (_, number) =>
        row(alice, number, number % 2 === 0 ? "even number" : "odd number", {
          peer: number < 10 ? bob : "carol@localhost",
          resource: number % 3 === 0 ? "phone" : "desk",
          groupchat: number % 5 === 0,
        }),
      );
      await add(archive, writes, [...rows, row(bob, 3, "even number"), row("alice@localhost2", 4, "even number")]);
      expect(await numbers(archive, {}, false, 3)).toEqual([0, 1, 2]);
      expect(await numbers(archive, {}, true, 3)).toEqual([17, 18, 19]);
      expect(await numbers(archive, { from: base + 5n, to: base + 7n })).toEqual([5, 6, 7]);
      expect(await numbers(archive, { peer: { bare: bob } }, true, 2)).toEqual([8, 9]);
      expect(await numbers(archive, { peer: { bare: bob, resource: "phone" } })).toEqual([0, 3, 6, 9]);
      expect(await numbers(archive, { ids: [base + 4n, base + 2n, base + 99n] })).toEqual([2, 4]);
      expect(await numbers(archive, { groupchat: false, to: base + 6n })).toEqual([1, 2, 3, 4, 6]);
      expect(await numbers(archive, { words: ["odd"], to: base + 6n })).toEqual([1, 3, 5]);
      expect(await numbers(archive, { words: ["odd"], peer: { bare: "carol@localhost" } }, true, 2)).toEqual([17, 19]);
      expect(await numbers(archive, { words: ["odd", "even"] })).toEqual([]);
      expect((await archive.page({ owner: alice }, { limit: 2, skip: 5 })).map(({ id }) => Number(id - base))).toEqual([
        5, 6,
      ]);
      expect(await archive.count({ owner: alice }, 100, base + 5n)).toEqual({ total: 20, earlier: 5 });
      expect(await archive.count({ owner: alice, words: ["even"] }, 100)).toEqual({ total: 10, earlier: 0 });
      expect((await archive.count({ owner: alice }, 7)).total).toBe(7);
      expect((await archive.count({ owner: "nobody@localhost" }, 7)).total).toBe(0);
      expect(await archive.existing(alice, [base + 1n, base + 50n])).toEqual(new Set([base + 1n]));
      expect(await archive.existing(alice, [])).toEqual(new Set());
    }));

  test("words: short ones, frequent ones, long ones, and no others", () =>
    withArchive(async (archive, writes) => {
      const long = "a".repeat(200);
      const texts = [
        "to be or not to be",
        `x ${long}`,
        "the and for with",
        "東京都庁",
        "o_abc w_the",
        "no words: ' & | !",
      ];
      await add(archive, writes, [
        ...texts.map((text, number) => row(alice, number, text)),
        row(alice, 10, "nobody searches this", { words: undefined }),
      ]);
      const find = (text: string) => numbers(archive, { words: wordsOf(text) });
      expect(await find("be to")).toEqual([0]);
      expect(await find("x")).toEqual([1]);
      expect(await find(long)).toEqual([1]);
      expect(await find("the")).toEqual([2, 4]);
      expect(await find("京都")).toEqual([3]);
      expect(await find("nobody")).toEqual([]);
    }));

  test("a retracted message is replaced, and found by no word any more; its namesakes stay", () =>
    withArchive(async (archive, writes) => {
      await add(archive, writes, [
        row(alice, 1, "first", { messageId: "same" }),
        row(alice, 2, "second", { messageId: "same" }),
        row(alice, 3, "theirs", { messageId: "same", outgoing: false }),
        row(alice, 4, "carol's", { messageId: "same", peer: "carol@localhost" }),
        row(bob, 5, "elsewhere", { messageId: "same" }),
      ]);
      const original = { owner: alice, messageId: "same", peer: bob, outgoing: true };
      await archive.retract(writes, original, (stanza) => (stanza.includes("second") ? "<message/>" : undefined));
      const texts = async (owner: string) => (await archive.page({ owner }, { limit: 9 })).map(({ stanza }) => stanza);
      expect((await texts(alice)).map((text) => text === "<message/>")).toEqual([false, true, false, false]);
      expect((await texts(bob))[0]).toContain("elsewhere");
      expect(await numbers(archive, { words: ["second"] })).toEqual([]);
      expect(await numbers(archive, { words: ["first"] })).toEqual([1]);
      expect(await archive.replace(alice, base + 4n, ({ peer }) => (peer === bob ? "<message/>" : undefined))).toBe(
        false,
      );
      expect(await archive.replace(alice, base + 9n, () => "<message/>")).toBe(false);
      expect(await archive.replace(alice, base + 1n, () => "<message id='new'/>")).toBe(true);
      expect((await texts(alice))[0]).toBe("<message id='new'/>");
    }));

  test("rooms: by nick, by who it was, and without him once he is gone", () =>
    withArchive(async (archive, writes) => {
      const said = (number: number, nick: string, sender: string) =>
        row(room, number, `by ${nick}`, {
          peer: sender,
          resource: nick,
          conversation: conversationOf(room, `/${nick}`),
          reference: referenceToSender(sender.split("/")[0]!),
        });
      await add(archive, writes, [
        said(1, "Al", "alice@localhost/phone"),
        said(2, "Bob", "bob@localhost/desk"),
        said(3, "Al", "carol@localhost/x"),
        said(4, "Alice", "alice@localhost"),
        { ...said(5, "Al", "alice@localhost/phone"), owner: "other@conference.localhost" },
      ]);
      const ids = async (filter: Partial<ArchiveFilter>) =>
        (await archive.page({ owner: room, ...filter }, { limit: 9 })).map(({ id }) => Number(id - base));
      expect(await ids({ nick: "Al" })).toEqual([1, 3]);
      expect(await ids({ sender: alice })).toEqual([1, 4]);
      const sent: number[] = [];
      for await (const rows of archive.sentToRooms(alice))
        sent.push(...rows.map(({ id }) => Number(BigInt(id) - base)));
      expect(sent).toEqual([1, 4, 5]);
      await archive.forgetSender(alice);
      expect(await ids({ sender: alice })).toEqual([]);
      expect((await archive.page({ owner: room }, { limit: 9 })).map(({ peer }) => peer)).toEqual([
        "",
        "bob@localhost/desk",
        "carol@localhost/x",
        "",
      ]);
    }));

  test("archives are removed in steps, from the oldest on", () =>
    withArchive(async (archive, writes) => {
      await add(
        archive,
        writes,
        Array.from({ length: 1_200 }, (_, number) => row(alice, number, "x")),
      );
      await add(archive, writes, [row(bob, 1, "y")]);
      expect(await archive.surplus(alice, 1_000)).toBe(base + 199n);
      expect(await archive.surplus(alice, 1_200)).toBeUndefined();
      expect(await archive.removeSome(alice, base + 599n)).toBe(true);
      expect((await archive.ends(alice))!.first).toBe(base + 500n);
      expect(await archive.removeSome(alice, base + 599n)).toBe(false);
      expect((await archive.ends(alice))!.first).toBe(base + 600n);
      expect([await archive.ownerAfter(""), await archive.ownerAfter(alice), await archive.ownerAfter(bob)]).toEqual([
        alice,
        bob,
        undefined,
      ]);
      await archive.removeAll(alice);
      expect(await archive.ends(alice)).toBeUndefined();
      expect(await numbers(archive, { words: ["x"] })).toEqual([]);
      expect((await archive.ends(bob))!.first).toBe(base + 1n);
    }));

  test("one node a time cleans the archives of a host", () =>
    withArchive(async (archive) => {
      expect(await archive.claimCleanup("localhost", 1_000, 5_000)).toBe(true);
      expect(await archive.claimCleanup("localhost", 1_100, 5_100)).toBe(false);
      expect(await archive.claimCleanup("example.org", 1_100, 5_100)).toBe(true);
      expect(await archive.claimCleanup("localhost", 5_000, 9_000)).toBe(true);
    }));

  test("every query of a client goes by an index", () =>
    withArchive(async (archive, writes, store) => {
      // Enough for planners to find a scan of everything dear: 40 archives, in one of them long conversations.
      const rows: NewRow[] = [];
      for (let number = 0; number < 6_000; number++) {
        const owner = number % 3 === 0 ? alice : `user${number % 40}@localhost`;
        const peer = number % 30 === 0 ? bob : `peer${number % 211}@localhost`;
        rows.push(row(owner, number, `word${number % 500} and more`, { peer }));
      }
      for (let at = 0; at < rows.length; at += 1_000) await add(archive, writes, rows.slice(at, at + 1_000));
      await analyse(store);
      const filters: readonly (readonly [string, Partial<ArchiveFilter>, RegExp])[] = [
        ["everything", {}, owned],
        ["a stretch", { from: base + 100n, to: base + 5_000n }, owned],
        ["a contact", { peer: { bare: bob } }, conversation],
        ["a contact's device", { peer: { bare: bob, resource: "desk" } }, conversation],
        ["ids", { ids: [base + 3n, base + 6n] }, owned],
        ["words", { words: ["word33"] }, search],
      ];
      for (const [what, filter, index] of filters) {
        const full = { owner: alice, ...filter };
        for (const backwards of [false, true]) {
          const plan = await planOf(store, archive.pageQuery(full, 51, backwards));
          expect({ what, backwards, plan, byIndex: index.test(plan) && !wholeTable.test(plan) }).toMatchObject({
            byIndex: true,
          });
          // Reading a conversation or an archive from any place needs no sorting: the index has the order.
          if (index !== search && what !== "ids") expect([what, sorting.test(plan) ? plan : ""]).toEqual([what, ""]);
        }
        const counted = await planOf(store, archive.countQuery(full, 10_001, base + 50n));
        expect({ what, counted, byIndex: !wholeTable.test(counted) }).toMatchObject({ byIndex: true });
      }
    }));

  // How each database names what it does.
  const owned = { sqlite: /archive_messages_owner/, postgres: /archive_messages_pkey/, mysql: /"key":"PRIMARY"/ }[
    database.dialect
  ];
  const conversation = /archive_messages_conversation/;
  const search = {
    sqlite: /archive_words VIRTUAL TABLE INDEX/,
    postgres: /archive_messages_words|archive_messages_pkey/,
    mysql: /archive_messages_words/,
  }[database.dialect];
  const wholeTable = {
    sqlite: /SCAN archive_messages/,
    postgres: /Seq Scan/,
    mysql: /"table":"archive_messages","type":"(ALL|index)"/,
  }[database.dialect];
  const sorting = { sqlite: /TEMP B-TREE/, postgres: /Sort/, mysql: /filesort/i }[database.dialect];
});

async function analyse(store: Store): Promise<void> {
  const { sql } = await import("kysely");
  const statement = {
    sqlite: "analyze",
    postgres: "vacuum analyze archive_messages",
    mysql: "analyze table archive_messages",
  };
  await store.dedicated((db) => sql.raw(statement[store.dialect]).execute(db));
}

async function planOf(store: Store, query: Compilable): Promise<string> {
  const { sql, parameters } = query.compile();
  const explain = { sqlite: "explain query plan", postgres: "explain", mysql: "explain" }[store.dialect];
  const { rows } = await store.db.executeQuery({ ...query.compile(), sql: `${explain} ${sql}`, parameters });
  return rows.map((each) => JSON.stringify(each)).join("\n");
}
