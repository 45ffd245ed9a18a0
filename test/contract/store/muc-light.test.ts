/** MUC Light on every dialect: rooms, occupants and blocking lists, and changes that come at the same time. */
import { describe, expect, test } from "bun:test";
import { changeOccupants, type Occupants } from "../../../src/modules/muc-light/affiliations.ts";
import { type LightRoom, LightStore, lightMigrations } from "../../../src/modules/muc-light/light-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { StoreConflict, ValueTooLong } from "../../../src/store/errors.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase } from "../../support/databases.ts";

const rules = { multipleOwners: false, promotes: true };
const title = () => "A room";
const alone: LightRoom = {
  version: "v0",
  config: { subject: "ö 🦝" },
  occupants: new Map([["alice@localhost", "owner"]]),
};

await eachDatabase(describe, (database) => {
  const run = (use: (rooms: LightStore, other: LightStore, store: Store) => Promise<void>) =>
    database.withStore(
      (store) => use(new LightStore(store, "muclight.localhost"), new LightStore(store, "elsewhere"), store),
      { migrations: lightMigrations },
    );

  test("a room is made once, changed and removed when nobody is left", () =>
    run(async (rooms, other) => {
      expect(await rooms.load("den")).toBeUndefined();
      await rooms.create("den", alone, "Den");
      await other.create("den", alone, "Den");
      expect(await failure(rooms.create("den", alone, "Den"))).toBeInstanceOf(StoreConflict);
      expect(await rooms.load("den")).toEqual(alone);
      const changed = await rooms.change(
        "den",
        "v1",
        ({ occupants, config }) => ({
          ...changeOccupants(occupants, [{ jid: "bob@localhost", affiliation: "owner" }], rules),
          config: { ...config, roomname: "Den" },
        }),
        title,
      );
      expect([changed!.before.version, changed!.emptied]).toEqual(["v0", false]);
      const after = (await rooms.load("den"))!;
      expect([after.version, after.config]).toEqual(["v1", { subject: "ö 🦝", roomname: "Den" }]);
      expect([...(await rooms.occupants("den"))]).toEqual([
        ["alice@localhost", "member"],
        ["bob@localhost", "owner"],
      ]);
      const nothing = () => {
        throw new RangeError("no");
      };
      expect(await failure(rooms.change("den", "v2", nothing, title))).toBeInstanceOf(RangeError);
      expect((await rooms.load("den"))!.version).toBe("v1");
      const gone = [...after.occupants.keys()].map((jid) => ({ jid, affiliation: "none" }) as const);
      expect((await rooms.change("den", "v3", () => ({ changes: gone }), title))!.emptied).toBe(true);
      expect([await rooms.load("den"), (await rooms.occupants("den")).size]).toEqual([undefined, 0]);
      expect(await rooms.change("den", "v4", () => ({}), title)).toBeUndefined();
      expect((await other.load("den"))!.version).toBe("v0");
      expect((await other.change("den", "", () => ({ destroyed: true }), title))!.emptied).toBe(true);
      expect(await other.load("den")).toBeUndefined();
    }));

  test(
    "changes at the same time happen one after the other: versions are one chain, nothing is lost, and there is one owner",
    () =>
      run(async (rooms) => {
        await rooms.create("den", alone, "Den");
        const steps = await Promise.all(
          Array.from({ length: 24 }, async (_, at) => {
            // Half of them add a member, the others give the room to somebody new.
            const wish = { jid: `u${at}@localhost`, affiliation: at % 2 === 0 ? "member" : "owner" } as const;
            const done = await rooms.change(
              "den",
              `v${at + 1}`,
              ({ occupants }) => changeOccupants(occupants, [wish], rules),
              title,
            );
            return [done!.before.version, `v${at + 1}`] as const;
          }),
        );
        const next = new Map(steps);
        expect(next.size).toBe(24);
        let version = "v0";
        for (let step = 0; step < 24; step++) version = next.get(version)!;
        const { occupants, version: last } = (await rooms.load("den"))!;
        expect(last).toBe(version);
        expect(occupants.size).toBe(25);
        expect(owners(occupants).length).toBe(1);
      }),
    60_000,
  );

  test(
    "when everybody leaves at the same time the room ends once",
    () =>
      run(async (rooms) => {
        const all = Array.from({ length: 12 }, (_, at) => `u${at}@localhost`);
        const occupants = new Map(all.map((jid, at) => [jid, at === 0 ? "owner" : "member"] as const));
        await rooms.create("den", { ...alone, occupants }, "Den");
        const ends = await Promise.all(
          all.map(async (jid, at) => {
            const leave = ({ occupants }: LightRoom) =>
              changeOccupants(occupants, [{ jid, affiliation: "none" }], rules);
            const done = (await rooms.change("den", `v${at + 1}`, leave, title))!;
            if (!done.emptied) expect(owners(done.change.after).length).toBe(1);
            return done.emptied;
          }),
        );
        expect(ends.filter((ended) => ended).length).toBe(1);
        expect(await rooms.load("den")).toBeUndefined();
      }),
    60_000,
  );

  test(
    "of several who make one room at the same time one has it",
    () =>
      run(async (rooms) => {
        const made = await Promise.all(
          Array.from({ length: 8 }, (_, at) =>
            rooms.create("den", { ...alone, occupants: new Map([[`u${at}@localhost`, "owner"]]) }, "Den").then(
              () => true,
              (error: unknown) => {
                if (error instanceof StoreConflict) return false;
                throw error;
              },
            ),
          ),
        );
        expect(made.filter((did) => did).length).toBe(1);
        expect((await rooms.load("den"))!.occupants.size).toBe(1);
      }),
    60_000,
  );

  test("the rooms of a user are listed in order, forwards and backwards", () =>
    run(async (rooms, other) => {
      for (const name of ["c", "a", "é", "b"]) await rooms.create(name, alone, name);
      await rooms.create("x", { ...alone, occupants: new Map([["bob@localhost", "owner"]]) }, "x");
      await other.create("a", alone, "a");
      const names = async (page: Parameters<LightStore["roomsOf"]>[1]) =>
        (await rooms.roomsOf("alice@localhost", page)).map(({ room }) => room).join("");
      expect(await names({ limit: 10 })).toBe("abcé");
      expect(await names({ after: "a", limit: 2 })).toBe("bc");
      expect(await names({ before: "", limit: 2 })).toBe("cé");
      expect(await names({ before: "c", limit: 1 })).toBe("b");
      expect(await names({ offset: 1, limit: 2 })).toBe("bc");
      expect(await rooms.countRoomsOf("alice@localhost")).toBe(4);
      expect(await rooms.countRoomsOf("alice@localhost", "c")).toBe(2);
      expect([await rooms.isIn("alice@localhost", "a"), await rooms.isIn("alice@localhost", "x")]).toEqual([
        true,
        false,
      ]);
      const many = async (most: number) =>
        (await rooms.inManyRooms(["alice@localhost", "bob@localhost", "c@x"], most)).sort();
      expect([await many(1), await many(4), await many(5)]).toEqual([
        ["alice@localhost", "bob@localhost"],
        ["alice@localhost"],
        [],
      ]);
    }));

  test("all rooms are listed by what is in their name or title", () =>
    run(async (rooms) => {
      await rooms.create("tea", alone, "Earl_Grey");
      await rooms.create("coffee", { ...alone, occupants: new Map([...alone.occupants, ["b@x", "member"]]) }, "Black");
      await rooms.create("t%a", alone, "100%");
      const found = async (filter?: string, after?: string) =>
        (
          await rooms.list({
            limit: 10,
            ...(filter === undefined ? {} : { filter }),
            ...(after === undefined ? {} : { after }),
          })
        )
          .map(({ room, users }) => `${room}:${users}`)
          .join(" ");
      expect(await found()).toBe("coffee:2 t%a:1 tea:1");
      expect(await found(undefined, "coffee")).toBe("t%a:1 tea:1");
      expect(await found("EARL")).toBe("tea:1");
      expect(await found("ee")).toBe("coffee:2");
      expect(await found("%")).toBe("t%a:1");
      expect(await found("l_g")).toBe("tea:1");
      expect(await found("!")).toBe("");
      expect([await rooms.count(), await rooms.count("e")]).toEqual([3, 2]);
    }));

  test("blocking lists are changed in part, bounded, and asked by room and by user", () =>
    run(async (rooms, other) => {
      const [den, eve] = [
        { kind: "room", jid: "den@muclight.localhost" },
        { kind: "user", jid: "eve@x" },
      ] as const;
      expect(await rooms.block("bob@localhost", [den, eve], [], 2)).toBe(true);
      expect(await rooms.block("bob@localhost", [eve], [], 2)).toBe(true);
      expect(await rooms.block("bob@localhost", [{ kind: "user", jid: "mallory@x" }], [], 2)).toBe(false);
      expect(await rooms.blocking("bob@localhost")).toEqual([den, eve]);
      expect(await other.blocking("bob@localhost")).toEqual([]);
      const asked = ["alice@localhost", "bob@localhost"];
      expect(await rooms.blockedBy(asked, den.jid, "alice@localhost")).toEqual(["bob@localhost"]);
      expect(await rooms.blockedBy(asked, "other@muclight.localhost", "eve@x")).toEqual(["bob@localhost"]);
      expect(await rooms.blockedBy(asked, undefined, "alice@localhost")).toEqual([]);
      expect(await rooms.blockedBy(asked, den.jid, "eve@x")).toEqual(["bob@localhost"]);
      // What one is in one list is not in the other.
      expect(await rooms.blockedBy(asked, "eve@x", "den@muclight.localhost")).toEqual([]);
      expect(await rooms.block("bob@localhost", [], [den, { kind: "user", jid: "nobody@x" }], 2)).toBe(true);
      expect(await rooms.blocking("bob@localhost")).toEqual([eve]);
      await rooms.unblockAll("bob@localhost");
      expect(await rooms.blocking("bob@localhost")).toEqual([]);
    }));

  test(
    "many occupants, and addresses of any length and letters",
    () =>
      run(async (rooms) => {
        const jids = Array.from({ length: 2_500 }, (_, at) => `ü${String(at).padStart(5, "0")}@localhost`);
        const occupants = new Map(jids.map((jid) => [jid, "member"] as const));
        await rooms.create("big", { ...alone, occupants }, "Big");
        expect((await rooms.occupants("big")).size).toBe(2_500);
        const gone = jids.slice(1).map((jid) => ({ jid, affiliation: "none" }) as const);
        await rooms.change("big", "v1", () => ({ changes: gone }), title);
        expect([...(await rooms.occupants("big")).keys()]).toEqual([jids[0]!]);
        expect((await rooms.inManyRooms(jids, 1)).length).toBe(1);
        const long = new Map([[`${"a".repeat(250)}@x`, "owner"] as const]);
        expect(await failure(rooms.create("long", { ...alone, occupants: long }, ""))).toBeInstanceOf(ValueTooLong);
        expect(await rooms.load("long")).toBeUndefined();
        for await (const row of rooms.personalData(parseJid(jids[0]!)!)[0]!.rows())
          expect(row).toEqual(["big", "member"]);
      }),
    60_000,
  );
});

function owners(occupants: Occupants): string[] {
  return [...occupants].flatMap(([jid, affiliation]) => (affiliation === "owner" ? [jid] : []));
}

async function failure(done: Promise<unknown>): Promise<unknown> {
  try {
    await done;
  } catch (error) {
    return error;
  }
  throw new Error("It was meant to fail");
}
