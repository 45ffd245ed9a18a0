/** The parts of an address: RFC 8265's tables, RFC 5892's context rules, RFC 5893's bidi rule, IDNA. */
import { describe, expect, test } from "bun:test";
import { domainToAscii, prepareDomain, prepareLocal, prepareResource } from "./precis.ts";

describe("localpart: UsernameCaseMapped without RFC 7622's exclusions", () => {
  test.each([
    ["juliet", "juliet"],
    ["JULIET", "juliet"],
    ["fussball", "fussball"],
    ["fu\u00dfball", "fu\u00dfball"],
    ["\u03c0", "\u03c0"],
    ["\u03a3", "\u03c3"],
    ["\u03c3", "\u03c3"],
    ["\u03c2", "\u03c2"],
    ["b\u00dcCHER", "b\u00fccher"],
    ["u\u0308", "\u00fc"], // composed
    ["\uff21\uff4c\uff49\uff43\uff45", "alice"], // full width
    ["\uff76\uff9e", "\u30ac"], // half-width katakana and its voice mark
    ["a!#$%()*+,-.;=?[\\]^_`{|}~", "a!#$%()*+,-.;=?[\\]^_`{|}~"],
    ["l\u00b7l", "l\u00b7l"], // Catalan middle dot
    ["\u0375\u03b1", "\u0375\u03b1"], // keraia before Greek
    ["\u05d0\u05f3", "\u05d0\u05f3"], // geresh after Hebrew
    ["\u30a2\u30fb\u30a2", "\u30a2\u30fb\u30a2"],
    ["\u0627\u0661", "\u0627\u0661"], // Arabic-Indic digits
    ["\u0915\u094d\u200d", "\u0915\u094d\u200d"], // ZWJ behind a virama
    ["\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc"], // ZWNJ between joining letters
    ["\u{20000}", "\u{20000}"],
    ["\u1100\u1161", "\uac00"], // jamo that compose to a syllable
    ["\u3007", "\u3007"], // an exception of RFC 5892
    ["x".repeat(1023), "x".repeat(1023)],
  ])("%j becomes %j", (text, expected) => {
    expect(prepareLocal(text)).toBe(expected);
    expect(prepareLocal(expected)).toBe(expected);
  });

  test.each([
    ["", "empty"],
    ["foo bar", "space"],
    ["a\u0001", "control"],
    ['"', "excluded"],
    ["&", "excluded"],
    ["'", "excluded"],
    ["/", "excluded"],
    [":", "excluded"],
    ["<", "excluded"],
    [">", "excluded"],
    ["@", "excluded"],
    ["\uff20", "full-width form of an excluded one"],
    ["\u00fc<", "excluded beside a letter beyond ASCII"],
    ["henry\u2163", "compatibility"],
    ["\ufb01", "compatibility: ligature"],
    ["\u265a", "symbol"],
    ["\u221e", "symbol"],
    ["\u{1f600}", "symbol"],
    ["\u00a0", "space beyond ASCII"],
    ["a\u00ad", "soft hyphen"],
    ["a\u200b", "zero width"],
    ["\u1100", "old Hangul jamo"],
    ["\uffa1", "half-width Hangul"],
    ["\u0640", "an exception of RFC 5892: tatweel"],
    ["\ufdd0", "noncharacter"],
    ["\ud800", "half a surrogate pair"],
    ["\u0378", "unassigned"],
    ["\ue000", "private use"],
    ["a\u00b7l", "middle dot not between l"],
    ["\u00b7", "middle dot alone"],
    ["\u0375a", "keraia not before Greek"],
    ["\u05f3", "geresh alone"],
    ["a\u30fb", "katakana dot without kana or Han"],
    ["\u0627\u0661\u06f1", "both kinds of Arabic digits"],
    ["a\u200db", "ZWJ without virama"],
    ["a\u200cb", "ZWNJ between letters that do not join"],
    ["\u200ca", "ZWNJ at the start"],
    ["a\u05d0", "bidi: left to right, then Hebrew"],
    ["\u05d0a", "bidi: Hebrew, then Latin"],
    ["1\u05d0", "bidi: begins with a digit"],
    ["x".repeat(1024), "too long"],
    ["\u00fc".repeat(512), "too long in bytes"],
  ])("%j is refused: %s", (text) => {
    expect(prepareLocal(text)).toBeUndefined();
  });
});

describe("resourcepart: OpaqueString", () => {
  test.each([
    ["correct horse battery staple", "correct horse battery staple"],
    ["Correct Horse Battery Staple", "Correct Horse Battery Staple"],
    ["\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5"],
    ["Jack of \u2666s", "Jack of \u2666s"],
    ["foo\u1680bar", "foo bar"],
    ["a\u00a0b", "a b"],
    ["\u265a", "\u265a"],
    ["henry\u2163", "henry\u2163"],
    ["\u{1f600}", "\u{1f600}"],
    ["A\u030a", "\u00c5"],
    ["\uff21", "\uff21"], // width stays
    [" leading and trailing ", " leading and trailing "], // RFC 7622 erratum 4560
    ["a/b@c", "a/b@c"],
    ["<&>\"'", "<&>\"'"],
    ["a\u05d0", "a\u05d0"], // no bidi rule here
  ])("%j becomes %j", (text, expected) => {
    expect(prepareResource(text)).toBe(expected);
  });

  test.each([
    [""],
    ["my cat is a \u0009 by"],
    ["\u007f"],
    ["a\u0000"],
    ["\u0085\u00fc"],
    ["\ud800"],
    ["\u200e"],
    ["a\u200d"],
    ["\u0378"],
    ["x".repeat(1024)],
  ])("%j is refused", (text) => {
    expect(prepareResource(text)).toBeUndefined();
  });
});

describe("domainpart", () => {
  test.each([
    ["example.com", "example.com", "example.com"],
    ["EXAMPLE.com.", "example.com", "example.com"],
    ["localhost", "localhost", "localhost"],
    ["my_host.local", "my_host.local", "my_host.local"],
    ["r3---sn.example", "r3---sn.example", "r3---sn.example"],
    ["192.0.2.1", "192.0.2.1", "192.0.2.1"],
    ["[::1]", "[::1]", "[::1]"],
    ["[2001:DB8::1]", "[2001:db8::1]", "[2001:db8::1]"],
    ["[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"],
    ["b\u00fccher.example", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["B\u00dcCHER.example.", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["bu\u0308cher.example", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["xn--bcher-kva.example", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["XN--BCHER-KVA.example", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["fa\u00df.de", "fa\u00df.de", "xn--fa-hia.de"],
    [
      "\u0438\u0441\u043f\u044b\u0442\u0430\u043d\u0438\u0435",
      "\u0438\u0441\u043f\u044b\u0442\u0430\u043d\u0438\u0435",
      "xn--80akhbyknj4f",
    ],
    ["b\u00fccher\u3002example", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["\uff45\uff58.com", "ex.com", "ex.com"],
    ["l\u00b7l.cat", "l\u00b7l.cat", "xn--ll-0ea.cat"],
    ["\u05d0\u05d1.com", "\u05d0\u05d1.com", "xn--4dbc.com"],
    ["\u0dc1\u0dca\u200d\u0dbb\u0dd3.com", "\u0dc1\u0dca\u200d\u0dbb\u0dd3.com", "xn--10cl1a0b660p.com"],
  ])("%j becomes %j, in the DNS %s", (text, expected, ascii) => {
    expect(prepareDomain(text)).toBe(expected);
    expect(prepareDomain(expected)).toBe(expected);
    expect(domainToAscii(expected)).toBe(ascii);
    expect(prepareDomain(ascii)).toBe(expected);
  });

  test.each([
    [""],
    ["."],
    ["a..b"],
    [".a"],
    ["a.."],
    ["a b"],
    ["-a.com"],
    ["a-.com"],
    ["a@b"],
    ["a/b"],
    ["a:5222"],
    ["[::1"],
    ["[]"],
    ["[192.0.2.1]"],
    ["[fe80::1%eth0]"],
    ["[::g]"],
    ["xn--a"],
    ["xn--"],
    ["xn--abc-.com"],
    ["\u2603.net"],
    ["xn--n3h.net"],
    ["\u{1f4a9}.la"],
    ["a\u00b7b.cat"],
    ["a\u200db.com"],
    ["1\u05d0.com"],
    ["\u0301a.com"],
    ["\u00fc-.com"],
    ["\u00fc..com"],
    [`${"a".repeat(64)}.com`],
    [`${"\u00fc".repeat(60)}.com`],
    [Array(520).fill("a").join(".")],
    ["\u2126\ud800.com"],
  ])("%j is refused", (text) => {
    expect(prepareDomain(text)).toBeUndefined();
  });
});
