/** Rooms on every dialect. */
import { describe, expect, test } from "bun:test";
import { type AffiliationRow, RoomStore, roomMigrations } from "../../../src/modules/muc/room-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { StoreConflict } from "../../../src/store/errors.ts";
import { GroupCommit } from "../../../src/store/group-commit.ts";
import { eachDatabase } from "../../support/databases.ts";

const alice = parseJid("alice@localhost")!;
const bob = parseJid("bob@localhost")!;
const affiliation = (jid: string, is: AffiliationRow["affiliation"], nick: string | null = null): AffiliationRow => ({
  jid,
  affiliation: is,
  nick,
  reason: null,
});
const full = (room: string, listed = true) => ({
  room,
  title: `Room ${room}`,
  listed,
  config: '{"ö":"🦝"}',
  state: "{}",
});

await eachDatabase(describe, (database) => {
  const run = (use: (rooms: RoomStore, other: RoomStore, writes: GroupCommit) => Promise<void>) =>
    database.withStore(
      async (store) => {
        const writes = new GroupCommit(store, store.clock);
        await use(new RoomStore(store, "conference.localhost"), new RoomStore(store, "elsewhere"), writes);
        await writes.close();
      },
      { migrations: roomMigrations },
    );

  test(
    "a room is written, loaded with its affiliations, changed and removed",
    () =>
      run(async (rooms, other, writes) => {
        expect(await rooms.load("den")).toBeUndefined();
        await rooms.create(full("den"), [affiliation(alice.bare, "owner"), affiliation("evil.example", "outcast")]);
        await other.create(full("den"), [affiliation(bob.bare, "owner")]);
        const found = (await rooms.load("den"))!;
        expect(found.row).toEqual({ config: '{"ö":"🦝"}', state: "{}" });
        expect(found.affiliations.toSorted((a, b) => (a.jid < b.jid ? -1 : 1))).toEqual([
          affiliation(alice.bare, "owner"),
          affiliation("evil.example", "outcast"),
        ]);
        await rooms.change("den", undefined, [
          { jid: "evil.example", row: undefined },
          { jid: bob.bare, row: { ...affiliation(bob.bare, "member", "Bob"), reason: "nice" } },
        ]);
        await rooms.change("den", { ...full("den", false), config: "{}" }, []);
        await rooms.saveState(writes, "den", '{"subject":1}');
        const changed = (await rooms.load("den"))!;
        expect(changed.row).toEqual({ config: "{}", state: '{"subject":1}' });
        expect(changed.affiliations.find(({ jid }) => jid === bob.bare)).toEqual({
          jid: bob.bare,
          affiliation: "member",
          nick: "Bob",
          reason: "nice",
        });
        expect(changed.affiliations.length).toBe(2);
        await rooms.setVcard("den", "<vCard/>");
        expect(await rooms.vcard("den")).toBe("<vCard/>");
        await rooms.remove("den");
        expect(await rooms.load("den")).toBeUndefined();
        expect(await rooms.vcard("den")).toBeUndefined();
        expect((await other.load("den"))!.affiliations.length).toBe(1);
      }),
    60_000,
  );

  test(
    "rooms are listed in the order of their names, forwards and backwards, hidden ones apart",
    () =>
      run(async (rooms) => {
        for (const name of ["c", "a", "é", "b", "z"]) await rooms.create(full(name), []);
        await rooms.create(full("hidden", false), []);
        const names = (list: { room: string }[]) => list.map(({ room }) => room);
        expect(names(await rooms.list({ limit: 10 }))).toEqual(["a", "b", "c", "z", "é"]);
        expect(names(await rooms.list({ limit: 2, after: "b" }))).toEqual(["c", "z"]);
        expect(names(await rooms.list({ limit: 2, offset: 3, all: true }))).toEqual(["hidden", "z"]);
        expect(names(await rooms.listBefore("z", 2))).toEqual(["b", "c"]);
        expect(names(await rooms.listBefore(undefined, 2))).toEqual(["z", "é"]);
        expect(await rooms.count()).toBe(5);
        expect(await rooms.count({ all: true })).toBe(6);
        expect(await rooms.count({ before: "c" })).toBe(2);
      }),
    60_000,
  );

  test(
    "nicknames of the service are one account's each, and an account leaves nothing behind",
    () =>
      run(async (rooms, other) => {
        await rooms.setRegisteredNick(alice, "Al");
        await expect(rooms.setRegisteredNick(bob, "Al")).rejects.toBeInstanceOf(StoreConflict);
        await other.setRegisteredNick(bob, "Al");
        expect(await rooms.registeredNick(alice)).toBe("Al");
        expect(await rooms.ownerOfNick("Al")).toBe(alice.bare);
        expect(await rooms.ownerOfNick("al")).toBeUndefined();
        await rooms.create(full("den"), [affiliation(alice.bare, "owner", "A"), affiliation(bob.bare, "member")]);
        expect((await rooms.affiliationsOf(alice)).map(({ room, nick }) => [room, nick])).toEqual([["den", "A"]]);
        await rooms.removeAccount(alice);
        expect(await rooms.affiliationsOf(alice)).toEqual([]);
        expect(await rooms.registeredNick(alice)).toBeUndefined();
        expect((await rooms.load("den"))!.affiliations.length).toBe(1);
        await rooms.setRegisteredNick(bob, "Bob");
        await rooms.setRegisteredNick(bob, undefined);
        expect(await rooms.ownerOfNick("Bob")).toBeUndefined();
      }),
    60_000,
  );
});
