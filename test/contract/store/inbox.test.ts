/** Inboxes on every dialect: counts that several nodes change at once, pages, properties, bins. */
import { describe, expect, test } from "bun:test";
import { InboxStore } from "../../../src/modules/inbox/inbox-store.ts";
import { type Arrival, inboxMigrations } from "../../../src/modules/inbox/inbox-tables.ts";
import { InboxWriter } from "../../../src/modules/inbox/inbox-writer.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { GroupCommit } from "../../../src/store/group-commit.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase, openTestStore, realClock } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const migrations = inboxMigrations;
const everything = { box: "all", unreadOnly: false } as const;
const failures: object[] = [];
const log = { error: (fields: object) => void failures.push(fields) };

function arrival(peer: string, at: number, more: Partial<Arrival> = {}): Arrival {
  return {
    server: "localhost",
    username: "alice",
    peer,
    box: "inbox",
    content: `<message id='m${at}'><body>🦝 ${at}'s</body></message>`,
    msg_id: `m${at}`,
    room_msg_id: null,
    last_at: at,
    unread_count: 1,
    read_at: 0,
    binned_at: null,
    ...more,
  };
}

const own = (peer: string, at: number) => arrival(peer, at, { unread_count: 0, read_at: at });

/** A node: its own connections, its own queue of writes. */
function nodeOn(store: Store, writtenElsewhere: () => undefined | Promise<void> = () => undefined) {
  // Both write the same rows, so either may have to stand back a few times, which takes long on a busy machine.
  const writes = new GroupCommit(store, realClock, { patienceMs: 20_000 });
  return { writes, writer: new InboxWriter({ writes, log, writtenElsewhere }), inbox: new InboxStore(store) };
}

async function entry(store: Store, peer: string) {
  return new InboxStore(store).entry(alice, parseJid(peer)!);
}

await eachDatabase(describe, (database) => {
  test(
    "no message is lost from the counts that two nodes raise, in whatever order",
    () =>
      database.withStore(
        async (store, { settings }) => {
          const second = await openTestStore(settings);
          try {
            const nodes = [nodeOn(store), nodeOn(second)];
            const peers = Array.from({ length: 7 }, (_, number) => `peer${number}@localhost`);
            const stored: Promise<void>[] = [];
            // Both nodes write all conversations, in opposite orders, in many commits.
            for (let round = 0; round < 60; round++) {
              for (const [number, { writer }] of nodes.entries()) {
                const order = number === 0 ? peers : peers.toReversed();
                for (const peer of order) stored.push(writer.arrive(arrival(peer, 1_000 + 2 * round + number)));
              }
              if (round % 10 === 9) await Promise.race(stored.slice(-1));
            }
            await Promise.all(stored);
            for (const peer of peers) {
              const found = await entry(store, peer);
              expect(found).toMatchObject({ unread: 120, lastAt: 1_119, box: "inbox", mutedUntil: 0 });
              expect(found!.content).toContain("🦝 1119's");
            }
            expect(failures).toEqual([]);
            for (const { writes } of nodes) await writes.close();
          } finally {
            await second.close();
          }
        },
        { migrations },
      ),
    60_000,
  );

  test("a marker, or an own message, that is written before the message it reads, which another node holds", () =>
    database.withStore(
      async (store) => {
        const first = nodeOn(store);
        let held: (() => Promise<void>) | undefined;
        let asked = 0;
        const other = nodeOn(store, () => {
          asked++;
          return Promise.resolve(held?.());
        });
        const [marked, answered] = ["bob@localhost", "carol@localhost"];
        const reading = (messageId: string) =>
          other.writer.read({ server: "localhost", username: "alice", peer: marked, messageId });
        const unread = async (peer: string) => (await entry(store, peer))!.unread;
        held = () => first.writer.arrive(arrival(marked, 100));
        await reading("m100");
        expect(await unread(marked)).toBe(0);
        expect(asked).toBe(1);
        // One that names what is there asks nobody; one that names another than the last reads nothing.
        await reading("m100");
        expect(asked).toBe(1);
        held = () => first.writer.arrive(arrival(marked, 102));
        await reading("m101");
        expect([asked, await unread(marked)]).toEqual([2, 1]);

        await other.writer.arrive(own(answered, 10_001));
        await first.writer.arrive(arrival(answered, 10_000));
        expect(await entry(store, answered)).toMatchObject({ unread: 0, lastAt: 10_001 });
        // What came after it counts, and so does what comes when the clock was set back.
        await first.writer.arrive(arrival(answered, 10_001));
        await first.writer.arrive(arrival(answered, 500));
        expect(await unread(answered)).toBe(2);
        for (const { writes } of [first, other]) await writes.close();
      },
      { migrations },
    ));

  test("what is said to many is kept once, and long messages take no more of the queue than they say", () =>
    database.withStore(
      async (store) => {
        const { writes, writer } = nodeOn(store);
        const rest = `><body>${"x".repeat(40_000)}</body></message>`;
        const peers = Array.from({ length: 200 }, (_, number) => `peer${number}@localhost`);
        const said = peers.map((peer) => writer.arrive(arrival(peer, 1_000, { content: "<message to='a'" }), rest));
        expect(writes.length).toBe(1);
        await Promise.all(said);
        for (const peer of [peers[0]!, peers[199]!])
          expect((await entry(store, peer))!.content).toBe(`<message to='a'${rest}`);
        const content = `<message>${"y".repeat(300_000)}</message>`;
        const single = peers.slice(0, 10).map((peer) => writer.arrive(arrival(peer, 2_000, { content })));
        expect(writes.length).toBe(3);
        await Promise.all(single);
        expect((await entry(store, peers[9]!))!.content).toBe(content);
        await writes.close();
      },
      { migrations },
    ));

  test(
    "messages, markers and replies of two nodes at once: what stays is what came after the last that read it",
    () =>
      database.withStore(
        async (store, { settings }) => {
          const second = await openTestStore(settings);
          try {
            const [first, other] = [nodeOn(store), nodeOn(second)];
            const peer = "bob@localhost";
            const key = { server: "localhost", username: "alice", peer };
            const stored: Promise<void>[] = [];
            // One node takes the messages, the other their markers: each marker may come before, with, or after the next message.
            for (let number = 1; number <= 200; number++) {
              const message = first.writer.arrive(arrival(peer, number));
              stored.push(message);
              if (number % 3 === 0)
                stored.push(message.then(() => other.writer.read({ ...key, messageId: `m${number}` })));
              if (number % 20 === 0) await message;
            }
            await Promise.all(stored);
            const before = (await entry(store, peer))!.unread;
            expect(before).toBeGreaterThanOrEqual(2); // 199 and 200 came after the last that was marked
            // The last one is marked by whichever node: now nothing is unread, whatever was before.
            await other.writer.read({ ...key, messageId: "m200" });
            expect((await entry(store, peer))!.unread).toBe(0);
            // From now on every message counts again, exactly.
            await Promise.all(
              Array.from({ length: 100 }, (_, number) =>
                [first, other][number % 2]!.writer.arrive(arrival(peer, 1_000 + number)),
              ),
            );
            expect((await entry(store, peer))!.unread).toBe(100);
            // Her own message reads all that was before it, and not what came later on another node.
            await first.writer.arrive(own(peer, 1_050));
            expect((await entry(store, peer))!.unread).toBe(100);
            await other.writer.arrive(own(peer, 2_000));
            expect(await entry(store, peer)).toMatchObject({ unread: 0, lastAt: 2_000 });
            for (const { writes } of [first, other]) await writes.close();
          } finally {
            await second.close();
          }
        },
        { migrations },
      ),
    60_000,
  );

  test(
    "changes of one conversation within one commit keep their order",
    () =>
      database.withStore(
        async (store) => {
          const { writer, writes } = nodeOn(store);
          const key = { server: "localhost", username: "alice", peer: "bob@localhost" };
          const together = (...changes: Promise<void>[]) => Promise.all(changes);
          await together(
            writer.arrive(arrival(key.peer, 1)),
            writer.arrive(arrival(key.peer, 2)),
            writer.read({ ...key, messageId: "m2" }),
            writer.arrive(arrival(key.peer, 3)),
            writer.read({ ...key, messageId: "m2" }), // is not the last one any more
          );
          expect(await entry(store, key.peer)).toMatchObject({ unread: 1, lastAt: 3 });
          await together(writer.arrive(own(key.peer, 4)), writer.arrive(arrival(key.peer, 5)));
          expect(await entry(store, key.peer)).toMatchObject({ unread: 1, lastAt: 5 });
          // Where another node has written something later meanwhile, that stays unread.
          await together(
            writer.arrive(arrival(key.peer, 2)),
            writer.arrive(own(key.peer, 3)),
            writer.arrive(arrival(key.peer, 4)),
          );
          expect(await entry(store, key.peer)).toMatchObject({ unread: 2, lastAt: 5 });
          // A clock that was set back makes two writes of it.
          await together(writer.arrive(arrival(key.peer, 5)), writer.arrive(own(key.peer, 1)));
          expect(await entry(store, key.peer)).toMatchObject({ unread: 3, lastAt: 5 });
          await writer.arrive(own(key.peer, 5));
          await writer.arrive(arrival(key.peer, 5));
          await together(
            writer.arrive(arrival(key.peer, 6)),
            writer.remove({ ...key, binnedAt: undefined }),
            writer.arrive(arrival(key.peer, 7)),
            writer.arrive(arrival(key.peer, 8, { unread_count: 0 })),
          );
          expect(await entry(store, key.peer)).toMatchObject({ unread: 1, lastAt: 8, box: "inbox" });
          await together(writer.arrive(arrival(key.peer, 9)), writer.remove({ ...key, binnedAt: 9 }));
          expect(await entry(store, key.peer)).toMatchObject({ unread: 2, box: "bin" });
          // In a room a marker may also bear the room's own id.
          await writer.arrive(arrival(key.peer, 10, { room_msg_id: "room-10" }));
          await writer.read({ ...key, messageId: "room-10" });
          expect(await entry(store, key.peer)).toMatchObject({ unread: 0, box: "bin", lastAt: 10 });
          await writes.close();
        },
        { migrations },
      ),
    60_000,
  );

  test(
    "what two people write to and fro within a commit is one row, and as though each message had been written alone",
    () =>
      database.withStore(
        async (store) => {
          const { writer, writes } = nodeOn(store);
          const alone = nodeOn(store);
          let at = 0;
          for (const [number, said] of ["ioii", "io", "oi", "iiii", "ooi", "oio"].entries()) {
            const from = at;
            const make = (who: string, peer: string, when: number) => (who === "o" ? own : arrival)(peer, when);
            await Promise.all([...said].map((who) => writer.arrive(make(who, "bob@localhost", ++at))));
            for (const [place, who] of [...said].entries()) {
              await alone.writer.arrive(make(who, "carol@localhost", from + 1 + place));
            }
            const [grouped, single] = [await entry(store, "bob@localhost"), await entry(store, "carol@localhost")];
            expect({ ...grouped, peer: "" }).toEqual({ ...single, peer: "" } as never);
            expect(writer.rows).toBe(number + 1);
          }
          expect([writer.messages, alone.writer.messages, alone.writer.rows]).toEqual([18, 18, 18]);
          await writes.close();
          await alone.writes.close();
        },
        { migrations },
      ),
    60_000,
  );

  test(
    "a row that no database takes keeps none of its neighbours away",
    () =>
      database.withStore(
        async (store) => {
          const { writer, writes } = nodeOn(store);
          await Promise.all([
            writer.arrive(arrival("bob@localhost", 1)),
            writer.arrive(arrival("x".repeat(400), 1)),
            writer.arrive(arrival("carol@localhost", 1)),
          ]);
          expect(failures.splice(0)).toHaveLength(1);
          expect(await entry(store, "bob@localhost")).toMatchObject({ unread: 1 });
          expect(await entry(store, "carol@localhost")).toMatchObject({ unread: 1 });
          await writes.close();
        },
        { migrations },
      ),
    60_000,
  );

  test("long pages come whole, and end early where their messages are long", () =>
    database.withStore(
      async (store) => {
        const { writer, writes, inbox } = nodeOn(store);
        const names = Array.from({ length: 250 }, (_, number) => `p${1_000 + number}@h`);
        // All have the same time: only the names tell their places.
        await Promise.all(names.map((peer) => writer.arrive(arrival(peer, 7))));
        const peers = async (order: "asc" | "desc") =>
          (await inbox.page(alice, everything, { order, limit: 1_000 })).map(({ peer }) => peer);
        expect(await peers("asc")).toEqual(names);
        expect(await peers("desc")).toEqual(names.toReversed());
        expect(await inbox.page(alice, everything, { order: "asc", limit: 120 })).toHaveLength(120);
        const content = `<message>${"x".repeat(200_000)}</message>`;
        await Promise.all(names.slice(0, 30).map((peer) => writer.arrive(arrival(peer, 7, { content }))));
        const page = await inbox.page(alice, everything, { order: "asc", limit: 1_000 });
        expect(page.map(({ peer }) => peer)).toEqual(names.slice(0, 5));
        await writes.close();
      },
      { migrations },
    ));

  test(
    "pages by time and place in both directions, boxes, only the unread, properties, and bins",
    () =>
      database.withStore(
        async (store) => {
          const { writer, writes, inbox } = nodeOn(store);
          // Two have the same time; the names sort by code point.
          const times: Record<string, number> = { "b@h": 2, "a@h": 2, "c@h": 1, "d@h": 4, "Ä@h": 3 };
          await Promise.all(Object.entries(times).map(([peer, at]) => writer.arrive(arrival(peer, at))));
          await writer.arrive({ ...arrival("a@h", 9), username: "bob" });
          const page = async (filter: object, more: object = {}) =>
            (await inbox.page(alice, { ...everything, ...filter }, { order: "desc", limit: 10, ...more })).map(
              (found) => found.peer,
            );
          expect(await page({})).toEqual(["d@h", "Ä@h", "b@h", "a@h", "c@h"]);
          expect(await page({}, { order: "asc" })).toEqual(["c@h", "a@h", "b@h", "Ä@h", "d@h"]);
          expect(await page({}, { limit: 2, beyond: { at: 3, peer: "Ä@h" } })).toEqual(["b@h", "a@h"]);
          expect(await page({}, { order: "asc", beyond: { at: 2, peer: "a@h" } })).toEqual(["b@h", "Ä@h", "d@h"]);
          expect(await page({ start: 2, end: 3 })).toEqual(["Ä@h", "b@h", "a@h"]);

          const peer = (text: string) => ({ bare: text }) as ReturnType<typeof parseJid> & {};
          const change = (name: string, what: object, now = 0) => inbox.change(alice, peer(name), what, now);
          expect(await change("a@h", { read: true })).toEqual({ box: "inbox", unread: 0, mutedUntil: 0 });
          expect(await change("a@h", { read: true })).toEqual({ box: "inbox", unread: 0, mutedUntil: 0 });
          expect(await change("b@h", { box: "archive", mutedUntil: 5_000_000_000_000 })).toEqual({
            box: "archive",
            unread: 1,
            mutedUntil: 5_000_000_000_000,
          });
          expect(await change("c@h", { box: "bin" }, 100)).toMatchObject({ box: "bin" });
          expect(await change("nobody@h", { read: true })).toBeUndefined();
          expect(await page({ unreadOnly: true })).toEqual(["d@h", "Ä@h", "b@h", "c@h"]);
          expect(await page({ box: undefined })).toEqual(["d@h", "Ä@h", "b@h", "a@h"]);
          expect(await page({ box: "archive" })).toEqual(["b@h"]);
          expect(await inbox.unread(alice)).toBe(3);
          expect(await change("a@h", { read: false })).toMatchObject({ unread: 1 });
          expect(await change("a@h", { read: false })).toMatchObject({ unread: 1 });
          // A new message brings one out of the archive, and none out of the bin.
          await Promise.all([writer.arrive(arrival("b@h", 20)), writer.arrive(arrival("c@h", 20))]);
          expect(await entry(store, "b@h")).toMatchObject({ box: "inbox", mutedUntil: 5_000_000_000_000 });
          expect(await entry(store, "c@h")).toMatchObject({ box: "bin", unread: 2 });
          // It counts since when a conversation is in the bin, though it be thrown there again.
          await change("c@h", { box: "bin" }, 300);
          expect(await inbox.emptyBin(alice, 100)).toBe(0);
          await change("d@h", { box: "bin" }, 200);
          expect(await inbox.emptyBins("elsewhere", 1_000)).toBe(0);
          expect(await inbox.emptyBins("localhost", 150)).toBe(1);
          await change("d@h", { box: "inbox" });
          expect(await inbox.emptyBin(alice, 1_000)).toBe(0);
          await inbox.reset(alice, peer("d@h"));
          expect(await entry(store, "d@h")).toMatchObject({ unread: 0 });
          const all = [];
          for await (const found of inbox.all(alice)) all.push(...found);
          expect(all).toHaveLength(4);
          await inbox.removeAll(alice);
          expect(await page({})).toEqual([]);
          expect(await inbox.unread(alice)).toBe(0);
          expect(await inbox.unread(parseJid("bob@localhost")!)).toBe(1);
          await writes.close();
        },
        { migrations },
      ),
    60_000,
  );

  test(
    "an inbox that is too full loses what is in the bin, what is read, and what is old, in this order, in steps",
    () =>
      database.withStore(
        async (store) => {
          const { writes, writer, inbox } = nodeOn(store);
          const stored: Promise<void>[] = [];
          for (let number = 0; number < 700; number++)
            stored.push(writer.arrive(own(`read${number}@h`, 1_000 + number)));
          for (let number = 0; number < 5; number++)
            stored.push(writer.arrive(arrival(`unread${number}@h`, 10 + number)));
          stored.push(writer.arrive(arrival("binned@h", 5_000, { box: "bin", binned_at: 5_000 })));
          stored.push(writer.arrive(arrival("a@h", 1, { username: "bob" })));
          await Promise.all(stored);
          expect(await inbox.trim("localhost", "alice", 706)).toBe(0);
          expect(await inbox.trim("localhost", "alice", 705)).toBe(1);
          expect(await entry(store, "binned@h")).toBeUndefined();
          expect(await inbox.trim("localhost", "alice", 6)).toBe(699);
          const left = await inbox.page(alice, everything, { order: "desc", limit: 10 });
          expect(left.map(({ peer }) => peer)).toEqual(["read699@h", ...[4, 3, 2, 1, 0].map((at) => `unread${at}@h`)]);
          expect(await inbox.trim("localhost", "alice", 3)).toBe(3);
          const last = await inbox.page(alice, everything, { order: "desc", limit: 10 });
          expect(last.map(({ peer }) => peer)).toEqual([4, 3, 2].map((at) => `unread${at}@h`));
          expect(await inbox.unread(parseJid("bob@localhost")!)).toBe(1);
          await writes.close();
        },
        { migrations },
      ),
    30_000,
  );
});
