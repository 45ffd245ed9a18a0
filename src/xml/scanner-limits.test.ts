/** What the scanner does at its limits, and after an error. */
import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { Trace, traceOf } from "../../test/support/scanner-trace.ts";
import { TRUSTED_LIMITS } from "./limits.ts";
import { Scanner, type XmlLimits } from "./scanner.ts";

describe("limits", () => {
  const limited = (limits: Partial<XmlLimits>): XmlLimits => ({ ...TRUSTED_LIMITS, ...limits });
  const outcome = (content: string, limits: Partial<XmlLimits>, open = "<s>"): string | undefined =>
    traceOf(`${open}${content}`, limited(limits)).slice(1).at(-1);
  const REFUSED = "error policy-violation";

  test("size of an element in bytes", () => {
    expect(outcome("<a>1234</a>", { stanzaBytesMax: 11 })).toBe("{}a inner=[1234]");
    expect(outcome("<a>12345</a>", { stanzaBytesMax: 11 })).toBe(REFUSED);
    expect(outcome("<a>éé</a>", { stanzaBytesMax: 11 })).toBe("{}a inner=[éé]");
    expect(outcome("<a>ééé</a>", { stanzaBytesMax: 11 })).toBe(REFUSED);
    expect(outcome("<a b='1234'/>", { stanzaBytesMax: 12 })).toBe(REFUSED);
    expect(outcome("   <a/>            <a/>     ", { stanzaBytesMax: 4 })).toBe("{}a");
  });

  test("size of what never ends", () => {
    for (const content of [
      "<a>xxxxxxxxxxxxxxxx",
      "<a b='xxxxxxxxxxxxxx",
      "<aaaaaaaaaaaaaaaaaa",
      "<a></a             ",
    ]) {
      expect(outcome(content, { stanzaBytesMax: 16 })).toBe(REFUSED);
    }
  });

  test("size of the stream header", () => {
    expect(traceOf("<aaaa>", limited({ stanzaBytesMax: 5 }))).toEqual([REFUSED]);
    expect(traceOf("<aaaaaaaaa", limited({ stanzaBytesMax: 5 }))).toEqual([REFUSED]);
    expect(traceOf("<é>", limited({ stanzaBytesMax: 4 }))).toEqual(["open {}é"]);
    expect(traceOf("<é>", limited({ stanzaBytesMax: 3 }))).toEqual([REFUSED]);
  });

  test("depth", () => {
    expect(outcome("<a><b><c/></b></a>", { depthMax: 3 })).toBe("{}a inner=[<b><c/></b>] child={}b@[<b><c/></b>]");
    expect(outcome("<a><b><c><d/></c></b></a>", { depthMax: 3 })).toBe(REFUSED);
  });

  test("attributes, declarations included", () => {
    expect(outcome("<a b='1' c='2'/>", { attributesMax: 2 })).toBe("{}a b=[1] c=[2]");
    expect(outcome("<a b='1' c='2' d='3'/>", { attributesMax: 2 })).toBe(REFUSED);
    expect(outcome("<a><b xmlns='u' c='2' xmlns:d='3'/></a>", { attributesMax: 2 })).toBe(REFUSED);
  });

  test("names in bytes", () => {
    expect(outcome("<abcd/>", { nameBytesMax: 4 })).toBe("{}abcd");
    expect(outcome("<abcde/>", { nameBytesMax: 4 })).toBe(REFUSED);
    expect(outcome("<éé/>", { nameBytesMax: 4 })).toBe("{}éé");
    expect(outcome("<ééa/>", { nameBytesMax: 4 })).toBe(REFUSED);
    expect(outcome("<\u{10000}/>", { nameBytesMax: 4 })).toBe("{}\u{10000}");
    expect(outcome("<\u{10000}a/>", { nameBytesMax: 4 })).toBe(REFUSED);
    expect(outcome("<a abcde=''/>", { nameBytesMax: 4 })).toBe(REFUSED);
  });

  test("namespaces, which short prefixes would multiply wherever a tree is written", () => {
    const ns = (length: number) => `u:${"n".repeat(length - 2)}`;
    const limits = { nameBytesMax: 20 };
    expect(outcome(`<a xmlns='${ns(20)}'/>`, limits)).toBe(`{${ns(20)}}a`);
    expect(outcome(`<a xmlns='${ns(21)}'/>`, limits)).toBe(REFUSED);
    expect(outcome(`<a><b xmlns:p='${ns(20)}'/></a>`, limits)).not.toBe(REFUSED);
    expect(outcome(`<a><b xmlns:p='${ns(21)}'/></a>`, limits)).toBe(REFUSED);
    expect(traceOf(`<s xmlns:p='${ns(21)}'>`, limited(limits))).toEqual([REFUSED]);
  });

  test("prefixes in scope", () => {
    const open = "<s xmlns:p='u'>";
    const limits = { declaredPrefixesMax: 3 };
    expect(outcome("<a xmlns:q='v'><b xmlns:r='w'/><c xmlns:r='w'/></a>", limits, open)).toStartWith("{}a inner=");
    expect(outcome("<a xmlns:q='v'><b xmlns:r='w' xmlns:t='x'/></a>", limits, open)).toBe(REFUSED);
    expect(traceOf("<s xmlns:p='u' xmlns:q='v' xmlns:r='w' xmlns:t='x'>", limited(limits))).toEqual([REFUSED]);
  });

  test("short prefixes that stand for long namespaces do not multiply what we hold", () => {
    const long = "n".repeat(300);
    const content = `<a xmlns:p='${long}' xmlns:q='${long}2'>${"<p:b/><q:b/>".repeat(20)}</a>`;
    expect(outcome(content, { stanzaBytesMax: 1000 })).toBe(REFUSED);
    expect(outcome(content, { stanzaBytesMax: 20_000 })).toStartWith("{}a inner=[<b xmlns='nnn");
  });

  test("may change between elements", () => {
    const trace = new Trace(limited({ stanzaBytesMax: 8 })).push("<s><a/>");
    trace.scanner.limits = limited({ stanzaBytesMax: 100 });
    trace.push("<a>1234567890</a>");
    expect(trace.events.at(-1)).toBe("{}a inner=[1234567890]");
  });

  test("time is linear however small the pieces", () => {
    const filler = 128 * 1024;
    const documents = [
      `<a b='${"x".repeat(filler)}'/>`,
      `<a${" ".repeat(filler)}/>`,
      `<a></a${" ".repeat(filler)}>`,
      `<a>${"]".repeat(filler)}</a>`,
      `<a><![CDATA[${"]".repeat(filler)}]]></a>`,
      `<a>${"&amp;".repeat(filler / 5)}</a>`,
      `<a>${"<b/>".repeat(filler / 4)}</a>`,
    ];
    // One pass over all of it takes well under a second; looking again at what was seen would take minutes.
    for (const document of documents) {
      const bytes = Buffer.from(document);
      const trace = new Trace().push("<s>");
      for (let i = 0; i < bytes.length; i++) trace.scanner.push(bytes.subarray(i, i + 1));
      expect(trace.frames[0]?.bytes).toBe(bytes.length);
    }
  });
});

describe("after an error", () => {
  test("everything is ignored", () => {
    const trace = new Trace().push("<s><a></b>").push("<c/>");
    trace.scanner.reset();
    trace.scanner.resume();
    expect(trace.push("<s>").message("<a/>").events).toEqual(["open {}s", "error not-well-formed"]);
  });

  test("also one of the sink, which reaches the caller", () => {
    let calls = 0;
    const scanner = new Scanner({
      streamStart: () => true,
      element: () => {
        calls++;
        throw new RangeError("sink");
      },
      streamEnd: () => {},
    });
    expect(() => scanner.push(Buffer.from("<s><a/><b/>"))).toThrow(RangeError);
    scanner.push(Buffer.from("<c/>"));
    expect(calls).toBe(1);
  });

  test("another scanner is not disturbed", () => {
    const other = new Trace().push("<s><a><b>");
    new Trace().push("<s xmlns:p='u'><a xmlns:p='v'><p:b></c>");
    expect(other.push("</b></a>").events.at(-1)).toBe("{}a inner=[<b></b>] child={}b@[<b></b>]");
  });

  test("the message does not quote the input", () => {
    const scanner = new Scanner({ streamStart: () => true, element: () => true, streamEnd: () => {} });
    expect(() => scanner.push(Buffer.from("<s><auth>secret</oops>"))).toThrow(/^(?!.*(secret|oops))/);
  });

  test("close() ends it quietly, also from the sink", () => {
    const seen: string[] = [];
    const scanner: Scanner = new Scanner({
      streamStart: () => true,
      element: (frame) => {
        seen.push(frame.name);
        scanner.close();
        return true;
      },
      streamEnd: () => seen.push("end"),
    });
    scanner.push(Buffer.from("<s><a/><b/></s>"));
    scanner.push(Buffer.from("<s><a/>"));
    expect(seen).toEqual(["a"]);
  });
});
