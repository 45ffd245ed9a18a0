/** The template: nothing that is inserted can break out of its place. */

import { describe, expect, test } from "bun:test";
import { Element, parseElement } from "./element.ts";
import { attributes, escapeAttribute, escapeText, NO_XML, raw, Xml, xml } from "./xml.ts";

test("escapeText", () => {
  expect(escapeText("plain 'text' \"here\"\t\n")).toBe("plain 'text' \"here\"\t\n");
  expect(escapeText("<a>&\r]]>")).toBe("&lt;a&gt;&amp;&#13;]]&gt;");
  expect(escapeText("\u0000\u001f\ud83d\ude00\ud83d\ude00\ud83d\uffff")).toBe(
    "\ufffd\ufffd\u{1f600}\u{1f600}\ufffd\ufffd",
  );
  expect(escapeText("")).toBe("");
});

test("escapeAttribute", () => {
  expect(escapeAttribute("plain é 你 \u{1f600}")).toBe("plain é 你 \u{1f600}");
  expect(escapeAttribute("'\"<>&\t\r\n")).toBe("&apos;&quot;&lt;&gt;&amp;&#9;&#13;&#10;");
  expect(escapeAttribute("\u0008\udc00\ud800")).toBe("\ufffd\ufffd\ufffd");
});

describe("xml", () => {
  test("escapes strings for the place they stand in", () => {
    const nasty = "<'\"&>\n";
    expect(xml`<a b='${nasty}' c="${nasty}">${nasty}</a>`.text).toBe(
      `<a b='&lt;&apos;&quot;&amp;&gt;&#10;' c="&lt;&apos;&quot;&amp;&gt;&#10;">&lt;'"&amp;&gt;\n</a>`,
    );
  });

  test("quotes in text and > in values do not confuse it", () => {
    expect(xml`<a b='>${"'"}'>it's ${"'"}</a>`.text).toBe("<a b='>&apos;'>it's '</a>");
  });

  test("inserts XML, elements and lists, leaves nothing out", () => {
    const items = [xml`<i/>`, new Element("j", "urn:j"), "<", undefined];
    expect(xml`<a>${items}${null}${undefined}${false}${0}${true}${12n}</a>`.text).toBe(
      "<a><i/><j xmlns='urn:j'/>&lt;0true12</a>",
    );
    expect(xml`<a b='${undefined}'/>`.text).toBe("<a b=''/>");
  });

  test("XML inside a value is text there", () => {
    expect(xml`<a b='${xml`<i c='1'/>`}' d='${new Element("j", "")}'/>`.text).toBe(
      "<a b='&lt;i c=&apos;1&apos;/&gt;' d='&lt;j/&gt;'/>",
    );
  });

  test("the same template gives each call its own text", () => {
    const item = (name: string) => xml`<item name='${name}'>${name}</item>`;
    expect([item("a"), item("'")].map(String)).toEqual(["<item name='a'>a</item>", "<item name='&apos;'>'</item>"]);
  });

  test("any string comes back through the parser", () => {
    for (let c = 1; c < 0x3000; c++) {
      const text = `${String.fromCharCode(c)}x${String.fromCodePoint(0x10000 + c)}`;
      const element = parseElement(xml`<a b='${text}'>${text}</a>`.text);
      const forbidden = c < 0x20 && c !== 9 && c !== 10 && c !== 13;
      const expected = forbidden ? `\ufffd${text.slice(1)}` : text;
      if (element.attr("b") !== expected || element.text() !== expected)
        throw new Error(`U+${c.toString(16)} was lost`);
    }
  });
});

test("attributes", () => {
  expect(xml`<a${attributes({ b: "'", c: undefined, d: null, e: 1, f: false })}/>`.text).toBe(
    "<a b='&apos;' e='1' f='false'/>",
  );
  expect(attributes({})).toBe(NO_XML);
});

test("raw", () => {
  expect(raw("<a/>")).toBeInstanceOf(Xml);
  expect(xml`<b>${raw("<a/>")}</b>`.text).toBe("<b><a/></b>");
  expect(raw("")).toBe(NO_XML);
});
