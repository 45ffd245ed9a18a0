/** Addresses: RFC 7622's tables, their parts, equality, and the cache's bounds. */
import { describe, expect, test } from "bun:test";
import { Jid, JidCache, parseJid } from "./jid.ts";

describe("RFC 7622 table 1: addresses", () => {
  test.each([
    ["juliet@example.com", "juliet", "example.com", ""],
    ["juliet@example.com/foo", "juliet", "example.com", "foo"],
    ["juliet@example.com/foo bar", "juliet", "example.com", "foo bar"],
    ["juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"],
    ["foo\\20bar@example.com", "foo\\20bar", "example.com", ""],
    ["fussball@example.com", "fussball", "example.com", ""],
    ["fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""],
    ["\u03c0@example.com", "\u03c0", "example.com", ""],
    ["\u03a3@example.com/foo", "\u03c3", "example.com", "foo"],
    ["\u03c3@example.com/foo", "\u03c3", "example.com", "foo"],
    ["\u03c2@example.com/foo", "\u03c2", "example.com", "foo"],
    ["king@example.com/\u265a", "king", "example.com", "\u265a"],
    ["example.com", "", "example.com", ""],
    ["example.com/foobar", "", "example.com", "foobar"],
    ["a.example.com/b@example.net", "", "a.example.com", "b@example.net"],
    // and some of our own
    ["Alice@Example.COM./Phone", "alice", "example.com", "Phone"],
    ["a@b/c/d", "a", "b", "c/d"],
    ["a@[::1]/x", "a", "[::1]", "x"],
  ])("%s", (text, local, domain, resource) => {
    const jid = parseJid(text) as Jid;
    expect([jid.local, jid.domain, jid.resource]).toEqual([local, domain, resource]);
    const bare = local === "" ? domain : `${local}@${domain}`;
    expect(jid.bare).toBe(bare);
    expect(jid.full).toBe(resource === "" ? bare : `${bare}/${resource}`);
    expect(parseJid(jid.full)?.full).toBe(jid.full);
    expect(Jid.of(local, domain, resource).equals(jid)).toBe(true);
  });
});

describe("RFC 7622 table 2: no addresses", () => {
  test.each([
    ['"juliet"@example.com'],
    ["foo bar@example.com"],
    ["@example.com/"],
    ["henry\u2163@example.com"],
    ["\u265a@example.com"],
    ["juliet@"],
    ["/foobar"],
    [""],
    ["@"],
    ["/"],
    ["@example.com"],
    ["juliet@example.com/"],
    ["juliet@/foo"],
    ["a@b@c"],
    ["juliet@example.com/a\u0000"],
    ["juliet@exam ple.com"],
    [`${"a".repeat(1024)}@example.com`],
    [`a@example.com/${"\u265a".repeat(342)}`],
  ])("%j", (text) => {
    expect(parseJid(text)).toBeUndefined();
  });
});

describe("an address", () => {
  const jid = parseJid("alice@example.com/phone") as Jid;

  test("has a bare form, a domain and other resources", () => {
    expect(jid.toBare().full).toBe("alice@example.com");
    expect(jid.toBare().toBare()).toBe(jid.toBare());
    expect(jid.toDomain().full).toBe("example.com");
    expect(parseJid("example.com/x")?.toDomain().full).toBe("example.com");
    expect(jid.withResource("laptop").full).toBe("alice@example.com/laptop");
    expect(jid.withResource("laptop").toBare()).toBe(jid.toBare());
    expect(jid.withResource("phone")).toBe(jid);
    expect(jid.withResource("")).toBe(jid.toBare());
    expect(jid.isBare).toBe(false);
    expect(jid.toBare().isBare).toBe(true);
    expect([jid.isDomain, jid.toBare().isDomain, jid.toDomain().isDomain]).toEqual([false, false, true]);
    expect(`${jid} ${JSON.stringify(jid)}`).toBe('alice@example.com/phone "alice@example.com/phone"');
  });

  test("is compared by its text", () => {
    const other = new JidCache().parse("ALICE@example.com/phone") as Jid;
    expect(other).not.toBe(jid);
    expect(jid.equals(other)).toBe(true);
    expect(jid.equals(jid.toBare())).toBe(false);
    expect(jid.equals(undefined)).toBe(false);
    expect(jid.sameBare(other.withResource("laptop"))).toBe(true);
    expect(jid.sameBare(parseJid("bob@example.com/phone"))).toBe(false);
    expect(jid.sameBare(undefined)).toBe(false);
  });

  test("is escaped for an attribute in either quotes", () => {
    expect(Jid.of("a", "b", `<"&'>`).escaped).toBe("a@b/&lt;&quot;&amp;&apos;&gt;");
    expect(jid.escaped).toBe(jid.full);
  });

  test("of bad parts is refused, whatever the parts would read together", () => {
    for (const [local, domain, resource] of [
      ["a@b", "c", ""],
      ["a/b", "c", ""],
      ["a", "b@c", ""],
      ["a", "b/c", ""],
      ["", "a@b", ""],
      ["", "a/b", ""],
      ["", "", "x"],
      ["a", "", ""],
      ["a", "b", "\u0001"],
    ] as const) {
      expect(Jid.make(local, domain, resource)).toBeUndefined();
      expect(() => Jid.of(local, domain, resource)).toThrow(RangeError);
    }
    expect(() => jid.withResource("\u0001")).toThrow(RangeError);
  });
});

describe("the cache", () => {
  test("gives the same object for each spelling", () => {
    const cache = new JidCache();
    const jid = cache.parse("Alice@Example.com/phone");
    expect(cache.parse("Alice@Example.com/phone")).toBe(jid as Jid);
    expect(cache.parse("alice@example.com/phone")).toBe(jid as Jid);
    expect(cache.parse("ALICE@example.com/phone")).toBe(jid as Jid);
    expect(cache.parse("alice@example.com/laptop")?.toBare()).toBe(jid?.toBare() as Jid);
  });

  test("never holds more than it may, and keeps what is in use", () => {
    const cache = new JidCache({ entries: 100, units: 1_000_000 });
    const used = cache.parse("used@example.com");
    for (let index = 0; index < 10_000; index++) {
      cache.parse(`user${index}@example.com/x`);
      if (cache.parse("used@example.com") !== used) throw new Error(`forgotten after ${index}`);
      if (cache.size > 100) throw new Error(`${cache.size} entries`);
    }
    expect(cache.size).toBeGreaterThan(40);
  });

  test("holds as many as it is told to, and never fewer again", () => {
    const cache = new JidCache({ entries: 100, units: 10_000 });
    cache.allow({ entries: 4_000, units: 400_000 });
    cache.allow({ entries: 10, units: 10 });
    const all = Array.from({ length: 1_000 }, (_, at) => `user${at}@example.com/x`);
    const first = all.map((text) => cache.parse(text));
    for (let round = 0; round < 5; round++) {
      expect(all.every((text, at) => cache.parse(text) === first[at])).toBe(true);
    }
    expect(cache.size).toBeLessThanOrEqual(4_000);
  });

  test("bounds the text it holds, not only the count", () => {
    const cache = new JidCache({ entries: 1000, units: 10_000 });
    const long = "x".repeat(1000);
    for (let index = 0; index < 200; index++) cache.parse(`a@example.com/${index}${long}`);
    expect(cache.size).toBeLessThanOrEqual(12);
  });

  test("does not remember what is no address", () => {
    const cache = new JidCache();
    for (let index = 0; index < 100; index++) expect(cache.parse(`a b${index}@example.com`)).toBeUndefined();
    expect(cache.size).toBe(0);
  });
});
