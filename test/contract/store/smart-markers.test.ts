/** Smart markers on every dialect: the newest stays whoever writes it, and each is found where it belongs. */
import { describe, expect, test } from "bun:test";
import { MarkerStore, markerMigrations } from "../../../src/modules/smart-markers/marker-store.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { GroupCommit } from "../../../src/store/group-commit.ts";
import { eachDatabase, openTestStore, realClock } from "../../support/databases.ts";

const [alice, bob, room] = ["alice@localhost", "bob@localhost", "den@conference.localhost"].map(
  (text) => parseJid(text)!,
);

await eachDatabase(describe, (database) => {
  test(
    "of what two nodes write at once the newest stays; threads and kinds are apart; rooms and accounts go whole",
    () =>
      database.withStore(
        async (store, { settings }) => {
          const second = await openTestStore(settings);
          try {
            const nodes = [store, second].map((each) => ({
              writes: new GroupCommit(each, realClock, { patienceMs: 20_000 }),
              markers: new MarkerStore(each),
            }));
            const { markers, writes } = nodes[0]!;
            const inDen = { account: alice!, peer: room!, thread: "" };
            const stored: Promise<void>[] = [];
            for (let at = 200; at > 0; at--) {
              const node = nodes[at % 2]!;
              for (const account of at % 4 < 2 ? [alice!, bob!] : [bob!, alice!]) {
                stored.push(node.markers.add(node.writes, { ...inDen, account }, "displayed", `m${at}`, at));
              }
            }
            await Promise.all(stored);
            const add = (place: object, type: "received" | "displayed", id: string, at: number) =>
              markers.add(writes, { ...inDen, ...place }, type, id, at);
            const long = "t".repeat(250);
            await Promise.all([
              add({}, "received", "r", 50),
              add({ thread: long }, "displayed", "in a thread", 60),
              add({ peer: bob! }, "displayed", "🦝'", 70),
            ]);
            expect(await markers.placed(inDen, 0)).toEqual([
              { server: "localhost", username: "alice", type: "received", id: "r", at: 50 },
              { server: "localhost", username: "alice", type: "displayed", id: "m200", at: 200 },
            ]);
            expect((await markers.placed(inDen, 51)).map(({ id }) => id)).toEqual(["m200"]);
            expect((await markers.placed({ ...inDen, thread: long }, 0)).map(({ id }) => id)).toEqual(["in a thread"]);
            expect((await markers.placed({ ...inDen, peer: bob! }, 0)).map(({ id }) => id)).toEqual(["🦝'"]);
            const all = await markers.inRoom(room!, "", 0, 10);
            expect(all.map(({ username, id }) => `${username} ${id}`).sort()).toEqual([
              "alice m200",
              "alice r",
              "bob m200",
            ]);
            expect(await markers.inRoom(room!, "", 0, 1)).toHaveLength(1);
            expect(await markers.inRoom(room!, "other", 0, 10)).toEqual([]);
            const kept = [];
            for await (const page of markers.all(alice!)) kept.push(...page);
            expect(kept.map(({ peer, thread, type }) => `${peer} ${thread.length} ${type}`).sort()).toEqual([
              "bob@localhost 0 displayed",
              "den@conference.localhost 0 displayed",
              "den@conference.localhost 0 received",
              "den@conference.localhost 250 displayed",
            ]);
            await markers.removeFromRoom(room!, bob!);
            expect((await markers.inRoom(room!, "", 0, 10)).map(({ username }) => username)).toEqual([
              "alice",
              "alice",
            ]);
            await markers.removeRoom(room!);
            expect(await markers.placed({ ...inDen, thread: long }, 0)).toEqual([]);
            expect(await markers.placed({ ...inDen, peer: bob! }, 0)).toHaveLength(1);
            await Promise.all([add({ peer: bob! }, "received", "old", 5), add({ peer: bob! }, "received", "old", 4)]);
            await markers.trim(alice!, 1);
            expect((await markers.placed({ ...inDen, peer: bob! }, 0)).map(({ at }) => at)).toHaveLength(1);
            await markers.removeAccount(alice!);
            expect(await markers.placed({ ...inDen, peer: bob! }, 0)).toEqual([]);
            for (const node of nodes) await node.writes.close();
          } finally {
            await second.close();
          }
        },
        { migrations: markerMigrations },
      ),
    60_000,
  );
});
