/** The keyed table by itself; over the network it is tested with the replicator. */
import { describe, expect, test } from "bun:test";
import { SimClock } from "../runtime/sim/clock.ts";
import { ByteReader, ByteWriter, WireError } from "./bytes.ts";
import type { NodeIdentity } from "./fabric/fabric.ts";
import { KeyedTable, type KeyedTableOptions } from "./keyed-table.ts";
import { TableFull } from "./table-store.ts";

function identity(number: number): NodeIdentity {
  return { cluster: "test", name: `node${number}`, number, incarnation: 1, version: "1", address: "" };
}

/** Two tables of which each hears the other. */
function pair(options: Partial<KeyedTableOptions<string>> = {}) {
  const clock = new SimClock();
  const told: string[] = [];
  const tables = [1, 2].map((number) => {
    const table = new KeyedTable<string>({
      name: "rooms",
      clock,
      conflict: (key, { owner }) => told.push(`${number} loses ${key} to ${owner.number}`),
      ...options,
    });
    const out = new ByteWriter();
    const sink = {
      begin: () => {
        out.reset();
        return out;
      },
      end: () => {
        const other = tables[2 - number]!;
        other.table.apply(other.slot, new ByteReader(out.copy()));
      },
    };
    table.attach(identity(number), sink);
    return { table, slot: table.open(identity(3 - number), 0) };
  });
  const [a, b] = tables as [(typeof tables)[0], (typeof tables)[0]];
  return { a: a.table, b: b.table, slotInB: b.slot, clock, told };
}

describe("the keyed table", () => {
  test("what one sets the other reads", () => {
    const { a, b, slotInB } = pair();
    a.set("lobby", "Welcome");
    a.set("lobby", "Welcome to all");
    a.set("attic", "Quiet");
    expect([b.get("lobby")?.value, b.get("lobby")?.owner.number]).toEqual(["Welcome to all", 1]);
    expect(a.delete("attic")).toBe(true);
    expect(a.delete("attic")).toBe(false);
    expect(b.get("attic")).toBeUndefined();
    expect([...b.entries()].map(({ key }) => key)).toEqual(["lobby"]);
    expect(b.digest(slotInB)).toEqual(a.ownDigest());
  });

  test("to set what another has takes it over, and tells it", () => {
    const { a, b, told } = pair();
    a.set("lobby", "a's");
    b.set("lobby", "b's");
    expect(told).toEqual(["1 loses lobby to 2"]);
    expect([a.get("lobby")?.value, b.get("lobby")?.value, a.own("lobby")?.value]).toEqual(["b's", "b's", "a's"]);
    a.delete("lobby");
    expect([a.get("lobby")?.value, b.get("lobby")?.value]).toEqual(["b's", "b's"]);
  });

  test("a hidden owner's records are not read but listed; dropped they are gone", () => {
    const { a, b, slotInB } = pair();
    a.set("lobby", "x");
    b.hide(slotInB);
    expect(b.get("lobby")).toBeUndefined();
    expect([...b.of(identity(1))].map(({ key }) => key)).toEqual(["lobby"]);
    b.show(slotInB);
    expect(b.get("lobby")?.value).toBe("x");
    b.drop(slotInB);
    expect([...b.entries()]).toEqual([]);
  });

  test("many records of an owner that is dropped go in steps, and are out of reads at once", () => {
    const changed: string[] = [];
    const { a, b, slotInB, clock } = pair({ changed: (key) => changed.push(key) });
    for (let index = 0; index < 2500; index++) a.set(`room${index}`, "x");
    b.set("room7", "taken over");
    changed.length = 0;
    b.drop(slotInB);
    expect(b.get("room2499")).toBeUndefined();
    expect(changed.length).toBe(1000);
    clock.advance(100);
    expect(changed.length).toBe(2500);
    expect([...b.entries()].map(({ key, value }) => `${key} ${value}`)).toEqual(["room7 taken over"]);
  });

  test("values may have a form of their own; what cannot be read is left out", () => {
    const { a, b } = pair({
      encode: (value) => value,
      decode: (text) => {
        if (text === "bad") throw new Error("bad");
        return text.toUpperCase();
      },
    });
    a.set("lobby", "x");
    expect(b.get("lobby")?.value).toBe("X");
    expect(() => a.set("attic", "bad")).toThrow(WireError);
    expect(b.get("attic")).toBeUndefined();
  });

  test("changes are told by key", () => {
    const changed: string[] = [];
    const { a, b, slotInB } = pair({ changed: (key) => changed.push(key) });
    a.set("lobby", "x");
    a.delete("lobby");
    a.set("attic", "y");
    b.hide(slotInB);
    expect(changed).toEqual(["lobby", "lobby", "attic", "attic"]);
  });

  test("records, keys and values have limits", () => {
    const { a, b } = pair({ recordsMax: 2, valueBytesMax: 10 });
    expect(() => a.set("lobby", "123456789")).toThrow(TableFull);
    expect(() => a.set("k".repeat(5000), "")).toThrow(TableFull);
    a.set("lobby", "1234");
    a.set("attic", "1");
    a.set("attic", "2");
    expect(() => a.set("cellar", "3")).toThrow(TableFull);
    expect([...b.entries()].length).toBe(2);
  });
});
