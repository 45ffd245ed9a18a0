/** Nodes, items, affiliations and subscriptions on every dialect. */
import { describe, expect, test } from "bun:test";
import { personalTables } from "../../../src/modules/pubsub/personal-data.ts";
import { PubSubStore } from "../../../src/modules/pubsub/pubsub-store.ts";
import { pubsubMigrations } from "../../../src/modules/pubsub/pubsub-tables.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { StoreConflict } from "../../../src/store/errors.ts";
import { eachDatabase } from "../../support/databases.ts";

const service = { server: "pubsub.localhost", username: "" };
const account = { server: "localhost", username: "alice" };
const kept = { itemsMax: 3, whenFull: "discard-oldest", expiredBefore: 0 } as const;
const given = (...ids: readonly string[]) => ids.map((id) => ({ id, payload: `<note xmlns='x'>${id}🦝'</note>` }));

await eachDatabase(describe, (database) => {
  const withStore = (use: (store: PubSubStore) => Promise<void>) =>
    database.withStore((store) => use(new PubSubStore(store, store.clock)), { migrations: pubsubMigrations });
  const ids = (items: readonly { id: string }[]) => items.map((one) => one.id);

  test(
    "nodes are made, found by service and name, configured and deleted with all that is theirs",
    () =>
      withStore(async (store) => {
        const id = await store.createNode(service, "N", "{}", "alice@localhost", "alice@localhost");
        await expect(store.createNode(service, "N", "{}", "bob@localhost", undefined)).rejects.toBeInstanceOf(
          StoreConflict,
        );
        const own = await store.createNode(account, "N", "{}", "alice@localhost", undefined);
        const other = await store.createNode(service, "n", "{}", "alice@localhost", undefined);
        expect(new Set([id, own, other]).size).toBe(3);
        expect(await store.node(service, "N")).toMatchObject({
          id,
          config: "{}",
          shared: true,
          creator: "alice@localhost",
        });
        expect(await store.node(account, "N")).toMatchObject({ id: own, shared: false });
        expect(await store.node(service, "x")).toBeUndefined();
        expect((await store.listNodes(service, "", 10)).map((node) => node.name)).toEqual(["N", "n"]);
        expect((await store.listNodes(service, "N", 10)).map((node) => node.name)).toEqual(["n"]);
        expect((await store.nodesOf("localhost", ["alice", "bob"])).map((node) => node.id)).toEqual([own]);
        expect(await store.countNodes(service, "alice@localhost")).toBe(2);
        expect(await store.countNodes(account, "")).toBe(1);
        await store.configure(id, '{"title":"x"}');
        expect((await store.nodesById([id]))[0]).toMatchObject({ config: '{"title":"x"}', server: "pubsub.localhost" });
        await store.publish(id, "alice@localhost", given("a"), kept);
        await store.deleteNodes([id]);
        expect(await store.node(service, "N")).toBeUndefined();
        expect(await store.newest(id, 10)).toEqual([]);
        expect(await store.affiliations(id)).toEqual(new Map());
        expect(await store.publish(id, "alice@localhost", given("a"), kept)).toEqual({ outcome: "gone" });
      }),
    60_000,
  );

  test(
    "items: the newest first, replaced by id, limited, refused, expired, retracted and purged",
    () =>
      withStore(async (store) => {
        const node = await store.createNode(account, "n", "{}", "alice@localhost", undefined);
        for (const id of ["a", "b", "a"]) {
          expect(await store.publish(node, "alice@localhost", given(id), kept)).toEqual({
            outcome: "published",
            removed: [],
          });
        }
        expect(ids(await store.newest(node, 10))).toEqual(["a", "b"]);
        expect((await store.item(node, "b"))!.payload).toBe("<note xmlns='x'>b🦝'</note>");
        expect(await store.item(node, "B")).toBeUndefined();
        expect(await store.publish(node, "alice@localhost", given("c", "d"), kept)).toEqual({
          outcome: "published",
          removed: ["b"],
        });
        expect(ids(await store.newest(node, 2))).toEqual(["d", "c"]);
        const full = { ...kept, whenFull: "reject" } as const;
        expect(await store.publish(node, "alice@localhost", given("e"), full)).toEqual({ outcome: "full" });
        expect(ids(await store.newest(node, 10))).toEqual(["d", "c", "a"]);
        expect(await store.publish(node, "bob@localhost", given("c"), full)).toMatchObject({ outcome: "published" });
        const page = await store.page(node, 2, { after: "c" });
        expect(page).toMatchObject({ count: 3, index: 1 });
        expect(ids(page!.items)).toEqual(["d", "a"]);
        expect(ids((await store.page(node, 2, { before: "" }))!.items)).toEqual(["d", "a"]);
        expect(ids((await store.page(node, 1, { before: "a" }))!.items)).toEqual(["d"]);
        expect(ids((await store.page(node, 1, { index: 2 }))!.items)).toEqual(["a"]);
        expect(await store.page(node, 1, { after: "z" })).toBeUndefined();
        const empty = await store.createNode(account, "empty", "{}", "alice@localhost", undefined);
        const last = await store.lastItems([node, empty]);
        expect([...last].map(([of, item]) => [of, item.id])).toEqual([[node, "c"]]);
        expect(await store.retract(node, ["d", "z"])).toBe(false);
        expect(await store.retract(node, ["d", "d"])).toBe(true);
        await store.purge(node, "bob@localhost");
        expect(ids(await store.newest(node, 10))).toEqual(["a"]);
        expect(await store.newest(node, 10, Number.MAX_SAFE_INTEGER)).toEqual([]);
        await store.publish(node, "alice@localhost", given("f"), { ...kept, expiredBefore: Number.MAX_SAFE_INTEGER });
        expect(ids(await store.newest(node, 10))).toEqual(["f"]);
        await store.purge(node);
        expect(await store.itemIds(node, 10)).toEqual([]);
      }),
    60_000,
  );

  test(
    "many publish at once on one node: the limit holds",
    () =>
      withStore(async (store) => {
        const node = await store.createNode(account, "n", "{}", "alice@localhost", undefined);
        const all = Array.from({ length: 20 }, (_, at) =>
          store.publish(node, "alice@localhost", given(`i${at}`), kept),
        );
        for (const { outcome } of await Promise.all(all)) expect(outcome).toBe("published");
        expect((await store.newest(node, 100)).length).toBe(3);
      }),
    60_000,
  );

  test(
    "affiliations and subscriptions, and the end of an account",
    () =>
      withStore(async (store) => {
        const [alice, bob] = [parseJid("alice@localhost")!, parseJid("bob@localhost/B b")!];
        const mine = await store.createNode(service, "mine", "{}", alice.bare, alice.bare);
        const ours = await store.createNode(service, "ours", "{}", "bob@localhost", "bob@localhost");
        await store.setAffiliations(
          ours,
          new Map([
            [alice.bare, "owner" as const],
            ["x@y", "member" as const],
          ]),
        );
        const subscription = { subid: "s", state: "subscribed", options: "", expiresAt: 0 } as const;
        await store.setSubscription(ours, bob, subscription);
        await store.setSubscription(ours, alice, subscription);
        await store.setSubscription(ours, alice, { ...subscription, subid: "t" });
        expect(await store.countSubscriptions(ours)).toBe(2);
        expect((await store.subscriptions(ours)).map((one) => `${one.jid} ${one.subid}`)).toEqual([
          "alice@localhost t",
          "bob@localhost/B b s",
        ]);
        expect(await store.subscriptionsOf(service, "bob@localhost")).toMatchObject([
          { node: "ours", jid: "bob@localhost/B b" },
        ]);
        expect(await store.affiliationsOf(service, alice.bare)).toEqual([
          { node: "mine", affiliation: "owner" },
          { node: "ours", affiliation: "owner" },
        ]);
        await store.setSubscription(mine, bob, { ...subscription, expiresAt: 1 });
        expect(await store.subscriptions(mine)).toEqual([]);
        await store.setAffiliations(
          ours,
          new Map([
            ["bob@localhost", "outcast" as const],
            ["x@y", undefined],
          ]),
        );
        expect(await store.affiliation(ours, "bob@localhost")).toBe("outcast");
        expect(await store.affiliation(ours, "x@y")).toBeUndefined();
        expect((await store.subscriptions(ours)).length).toBe(1);
        expect((await store.ownedAlone(alice.bare)).sort()).toEqual([mine, ours].sort());
        await store.setAffiliations(ours, new Map([["bob@localhost", "owner" as const]]));
        expect(await store.ownedAlone(alice.bare)).toEqual([mine]);
        await store.publish(ours, alice.bare, given("a"), kept);
        await store.deleteNodes([mine]);
        expect(await store.forget(alice.bare)).toEqual([ours]);
        expect(await store.newest(ours, 10)).toEqual([]);
        expect(await store.subscriptions(ours)).toEqual([]);
        expect([...(await store.affiliations(ours)).keys()]).toEqual(["bob@localhost"]);
        await store.removeSubscription(ours, bob);
      }),
    60_000,
  );

  test(
    "what a person gets when he wants his data",
    () =>
      database.withStore(
        async (store) => {
          const nodes = new PubSubStore(store, store.clock);
          const alice = parseJid("alice@localhost")!;
          const own = await nodes.createNode(account, "own", "{}", alice.bare, undefined);
          const news = await nodes.createNode(service, "news", "{}", "bob@localhost", "bob@localhost");
          await nodes.setAffiliations(news, new Map([[alice.bare, "publisher" as const]]));
          await nodes.setSubscription(news, alice, { subid: "s", state: "subscribed", options: "", expiresAt: 0 });
          for (let at = 0; at < 120; at++) {
            await nodes.publish(own, alice.bare, given(`i${at}`), { ...kept, itemsMax: 200 });
          }
          await nodes.publish(news, alice.bare, given("of alice"), kept);
          await nodes.publish(news, "bob@localhost", given("of bob"), kept);
          const found = new Map<string, unknown[][]>();
          for (const { name, columns, rows } of personalTables(store, alice)) {
            const all: unknown[][] = [];
            for await (const row of rows()) {
              expect(row.length).toBe(columns.length);
              all.push([...row]);
            }
            found.set(name, all);
          }
          expect(found.get("pubsub_nodes")).toEqual([["own", "{}"]]);
          expect(found.get("pubsub_payloads")!.length).toBe(121);
          expect(found.get("pubsub_payloads")!.at(-1)!.slice(0, 2)).toEqual(["news", "of alice"]);
          expect(found.get("pubsub_subscriptions")).toEqual([["pubsub.localhost", "news", "subscribed"]]);
          expect(found.get("pubsub_affiliations")).toEqual([["pubsub.localhost", "news", "publisher"]]);
        },
        { migrations: pubsubMigrations },
      ),
    60_000,
  );
});
