/** Rosters on every dialect: what is written comes back, changes of one roster take turns, limits hold. */

import { describe, expect, test } from "bun:test";
import {
  type Decision,
  type RosterItem,
  RosterStore,
  rosterMigrations,
} from "../../../src/modules/roster/roster-store.ts";
import { APPROVED, FROM, PENDING_IN, PENDING_OUT, TO } from "../../../src/modules/roster/subscription.ts";
import { StanzaError } from "../../../src/stanza/errors.ts";
import { insertRows } from "../../../src/store/rows.ts";
import type { Store } from "../../../src/store/store.ts";
import { eachDatabase, openTestStore } from "../../support/databases.ts";

const alice = { domain: "localhost", local: "alice" };
const bob = { domain: "localhost", local: "bob" };
const options = { migrations: rosterMigrations };
const limits = { items: 5_000, requests: 100 };

function item(jid: string, parts: Partial<RosterItem> = {}): RosterItem {
  return { jid, name: "", groups: [], state: 0, listed: true, request: "", ...parts };
}

const put = (parts: RosterItem) => [parts.jid, () => parts] as const;

/** Turns flags on. */
const raise =
  (jid: string, flags: number): Decision =>
  (current) =>
    item(jid, { ...current, state: (current?.state ?? 0) | flags });

await eachDatabase(describe, (database) => {
  const onRoster = (title: string, use: (roster: RosterStore, store: Store) => Promise<void>) =>
    test(title, () => database.withStore((store) => use(new RosterStore(store, limits), store), options), 30_000);

  onRoster("an item comes back as it was written", async (roster) => {
    const written = item("bøb@example.org", {
      name: "Bob's \u{1F99D} & <co>",
      groups: ["Friends", "", "Fri ends ", "友"],
      state: FROM | PENDING_OUT | APPROVED,
    });
    const change = await roster.change(alice, ...put(written));
    expect(change).toMatchObject({ before: undefined, after: written });
    expect(await roster.list(alice)).toEqual([written]);
    expect(await roster.find(alice, written.jid)).toEqual(written);
    expect(await roster.list(bob)).toEqual([]);
    expect(await roster.find(alice, "Bøb@example.org")).toBeUndefined();
  });

  onRoster("every state comes back", async (roster) => {
    for (const subscription of [0, TO, FROM, TO | FROM]) {
      for (const pending of [0, PENDING_OUT, PENDING_IN, PENDING_OUT | PENDING_IN]) {
        for (const approved of [0, APPROVED]) {
          const state = subscription | pending | approved;
          await roster.change(alice, ...put(item("bob@localhost", { state, name: `${state}` })));
          expect((await roster.find(alice, "bob@localhost"))?.state).toBe(state);
        }
      }
    }
  });

  onRoster("versions grow with every change, and only then", async (roster) => {
    expect(await roster.version(alice)).toBe(0);
    const first = await roster.change(alice, ...put(item("bob@localhost")));
    const second = await roster.change(alice, "bob@localhost", raise("bob@localhost", TO));
    expect(second?.version).toBeGreaterThan(first?.version ?? Number.POSITIVE_INFINITY);
    expect(await roster.version(alice)).toBe(second?.version ?? 0);
    expect(await roster.change(alice, "bob@localhost", (current) => current)).toBeUndefined();
    expect(await roster.change(alice, "nobody@localhost", () => "remove")).toBeUndefined();
    expect(await roster.version(alice)).toBe(second?.version ?? 0);
  });

  onRoster("changes of one item by two nodes at the same time are all kept", async (roster, store) => {
    const flags = [TO, FROM, APPROVED, PENDING_IN, PENDING_OUT];
    const changes = await Promise.all(
      flags.map((flag) => roster.change(alice, "bob@localhost", raise("bob@localhost", flag))),
    );
    expect((await roster.find(alice, "bob@localhost"))?.state).toBe(31);
    expect(new Set(changes.map((change) => change?.version)).size).toBe(5);
    expect(changes.filter((change) => change?.before === undefined)).toHaveLength(1);
    expect(store.stats.used).toBe(0);
  });

  test(
    "changes of one roster by two processes' stores at the same time are all kept",
    () =>
      database.withStore(async (store, { settings }) => {
        const other = await openTestStore(settings);
        try {
          const rosters = [new RosterStore(store, limits), new RosterStore(other, limits)];
          const jids = Array.from({ length: 20 }, (_, index) => `friend${index}@localhost`);
          const changes = await Promise.all(
            jids.map((jid, index) => (rosters[index % 2] as RosterStore).change(alice, ...put(item(jid)))),
          );
          expect(await new RosterStore(store, limits).list(alice)).toHaveLength(20);
          expect(new Set(changes.map((change) => change?.version)).size).toBe(20);
        } finally {
          await other.close();
        }
      }, options),
    60_000,
  );

  onRoster("a refusal changes nothing, not even the version", async (roster) => {
    const change = await roster.change(alice, ...put(item("bob@localhost")));
    const refused = roster.change(alice, "bob@localhost", () => {
      throw new StanzaError("not-allowed");
    });
    expect(await refused.catch((error: unknown) => error)).toBeInstanceOf(StanzaError);
    expect(await roster.version(alice)).toBe(change?.version ?? 0);
  });

  test("limits of items and of strangers' requests are kept apart", () =>
    database.withStore(async (store) => {
      const roster = new RosterStore(store, { items: 2, requests: 1 });
      await roster.change(alice, ...put(item("a@localhost")));
      await roster.change(alice, ...put(item("b@localhost")));
      const third = await roster.change(alice, ...put(item("c@localhost"))).catch((error: unknown) => error);
      expect(third).toMatchObject({ condition: "resource-constraint" });
      const stranger = (jid: string) => put(item(jid, { listed: false, state: PENDING_IN, request: "<a/>" }));
      await roster.change(alice, ...stranger("x@localhost"));
      const second = await roster.change(alice, ...stranger("y@localhost")).catch((error: unknown) => error);
      expect(second).toMatchObject({ condition: "resource-constraint" });
      // A stranger who becomes a contact counts as one.
      const listed = await roster.change(alice, ...put(item("x@localhost"))).catch((error: unknown) => error);
      expect(listed).toMatchObject({ condition: "resource-constraint" });
      await roster.change(alice, "a@localhost", () => "remove");
      expect(await roster.change(alice, ...put(item("x@localhost")))).toBeDefined();
    }, options));

  onRoster("an address of more than 250 characters is refused by name", async (roster) => {
    const jid = `${"x".repeat(250)}@localhost`;
    const error = await roster.change(alice, ...put(item(jid))).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ condition: "not-acceptable" });
    expect(await roster.list(alice)).toEqual([]);
  });

  onRoster("requests wait, oldest first, out of the roster that clients see", async (roster) => {
    const request = "<status>hello &amp; welcome</status>";
    await roster.change(alice, ...put(item("z@localhost", { listed: false, state: PENDING_IN, request })));
    await roster.change(alice, ...put(item("b@localhost", { state: TO | PENDING_IN, request: "" })));
    await roster.change(alice, ...put(item("c@localhost", { state: TO })));
    expect((await roster.list(alice)).map((each) => each.jid).sort()).toEqual(["b@localhost", "c@localhost"]);
    const waiting = await roster.requests(alice);
    expect(waiting).toContainEqual({ jid: "z@localhost", request });
    expect(waiting).toHaveLength(2);
    expect((await roster.related(alice)).length).toBe(3);
  });

  onRoster("who lets somebody see their presence", async (roster) => {
    await roster.change(bob, ...put(item("alice@localhost", { state: FROM })));
    await roster.change({ domain: "localhost", local: "carol" }, ...put(item("alice@localhost", { state: TO | FROM })));
    await roster.change({ domain: "localhost", local: "dave" }, ...put(item("alice@localhost", { state: TO })));
    await roster.change({ domain: "example.org", local: "eve" }, ...put(item("alice@localhost", { state: FROM })));
    expect((await roster.sharingWith("localhost", "alice@localhost")).sort()).toEqual(["bob", "carol"]);
  });

  onRoster("2,000 contacts are ordinary", async (roster, store) => {
    const rows = Array.from({ length: 2_000 }, (_, index) => ({
      server: "localhost",
      username: "alice",
      jid: `friend${index}@localhost`,
      nick: `Friend ${index}`,
      subscription: "B",
      ask: "N",
      approved: 0,
      listed: 1,
      grps: "Friends\u001f",
      askmessage: "",
      created_at: 1,
    }));
    await insertRows(store.db, "rosterusers", rows);
    const items = await roster.list(alice);
    expect(items).toHaveLength(2_000);
    expect(items[0]?.groups).toEqual(["Friends"]);
    expect((await roster.removeAll(alice)).length).toBe(2_000);
    expect(await roster.list(alice)).toEqual([]);
  });
});
