/** Element trees: what is parsed, what is written, and that both agree. */

import { describe, expect, test } from "bun:test";
import { Element, equalElements, parseContent, parseElement } from "./element.ts";
import { XmlError } from "./errors.ts";
import { TRUSTED_LIMITS } from "./limits.ts";

function conditionOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof XmlError) return error.condition;
    throw error;
  }
  return "accepted";
}

describe("parseElement", () => {
  test("resolves namespaces, decodes text and values, merges text", () => {
    const element = parseElement(
      "<q:a xmlns:q='urn:q' id='&lt;1&#x41;' xml:lang='de'>x&amp;\r\n<![CDATA[<y>\r]]><b xmlns='urn:b'><c/></b><d/></q:a>",
      "jabber:client",
    );
    expect(element.name).toBe("a");
    expect(element.ns).toBe("urn:q");
    expect([...element.attributes]).toEqual([
      ["id", "<1A"],
      ["xml:lang", "de"],
    ]);
    expect(element.text()).toBe("x&\n<y>\n");
    expect(element.children.length).toBe(3);
    expect(element.child("b", "urn:b")?.child("c")?.ns).toBe("urn:b");
    expect(element.child("d", "jabber:client")?.children).toEqual([]);
  });

  test("white space around the element does not matter", () => {
    expect(parseElement(" \n<a/>\t").name).toBe("a");
  });

  const refused: [text: string, condition: string][] = [
    ["", "not-well-formed"],
    ["<a>", "not-well-formed"],
    ["<a", "not-well-formed"],
    ["<a b='", "not-well-formed"],
    ["<a></a", "not-well-formed"],
    ["<a>&am", "not-well-formed"],
    ["<a><![CDATA[x]]</a>", "not-well-formed"],
    ["<a><b></a></b>", "not-well-formed"],
    ["</a>", "not-well-formed"],
    ["<a/><b/>", "not-well-formed"],
    ["<a/>x", "bad-format"],
    ["<p:a/>", "not-well-formed"],
    ["<a p:b='1'/>", "not-well-formed"],
    ["<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", "not-well-formed"],
    ["<a><b xmlns:p='u'/><p:c/></a>", "not-well-formed"],
    ["<a>]]></a>", "not-well-formed"],
    ["<a>\u0001</a>", "not-well-formed"],
    ["<a>\ud800</a>", "not-well-formed"],
    ["<a><![CDATA[\u0001]]></a>", "not-well-formed"],
    ["<a><!-- --></a>", "restricted-xml"],
    ["<?x?><a/>", "restricted-xml"],
    ["<a>&x;</a>", "restricted-xml"],
  ];
  test.each(refused)("%j is refused", (text, condition) => {
    expect(conditionOf(() => parseElement(text))).toBe(condition);
  });

  test("limits", () => {
    const deep = (depth: number) => "<a>".repeat(depth) + "</a>".repeat(depth);
    expect(parseElement(deep(TRUSTED_LIMITS.depthMax)).name).toBe("a");
    expect(conditionOf(() => parseElement(deep(TRUSTED_LIMITS.depthMax + 1)))).toBe("policy-violation");
    const limits = { ...TRUSTED_LIMITS, declaredPrefixesMax: 1, attributesMax: 2 };
    expect(conditionOf(() => parseElement("<a xmlns:p='u' xmlns:q='v'/>", "", limits))).toBe("policy-violation");
    expect(conditionOf(() => parseElement("<a x='' y='' z=''/>", "", limits))).toBe("policy-violation");
  });
});

test("parseContent takes mixed content and prefixes bound outside", () => {
  const [text, element, rest] = parseContent("x<p:a/>y", "urn:d", ["p", "urn:old", "p", "urn:p"]);
  expect(text).toBe("x");
  expect(element instanceof Element && element.is("a", "urn:p")).toBe(true);
  expect(rest).toBe("y");
  expect(parseContent("")).toEqual([]);
});

describe("toXml", () => {
  test("declares a namespace only where it changes", () => {
    const element = new Element("iq", "jabber:client", { type: "get", id: undefined }, [
      new Element("query", "urn:q", undefined, [new Element("item", "urn:q"), new Element("x", "jabber:client")]),
      new Element("none", ""),
    ]);
    const inside = "<query xmlns='urn:q'><item/><x xmlns='jabber:client'/></query><none xmlns=''/></iq>";
    expect(element.toXml("jabber:client")).toBe(`<iq type='get'>${inside}`);
    expect(element.toXml()).toBe(`<iq xmlns='jabber:client' type='get'>${inside}`);
    expect(new Element("a", "").toXml()).toBe("<a/>");
    expect(new Element("a", "").toXml("urn:x")).toBe("<a xmlns=''/>");
  });

  test("escapes text and values so that the same tree is read back", () => {
    const nasty = "<>&'\"\t\n\r\r\n]]>\u{1f600}ж";
    const element = new Element("a", "u'&\"<", { b: nasty }, [nasty, new Element("c", "u"), nasty]);
    expect(equalElements(parseElement(element.toXml()), element)).toBe(true);
  });

  test("what XML forbids becomes U+FFFD", () => {
    const element = new Element("a", "", { b: "\u0000\ud800x\udc00\uffff" }, ["\u0000\ud800x\udc00\ufffe"]);
    const read = parseElement(element.toXml());
    expect(read.attr("b")).toBe("\ufffd\ufffdx\ufffd\ufffd");
    expect(read.text()).toBe("\ufffd\ufffdx\ufffd\ufffd");
  });

  test("an element of the namespace that cannot be declared keeps its prefix", () => {
    const text = "<a xmlns='u'><xml:b><c/><d xmlns=''/></xml:b></a>";
    const element = parseElement(text);
    expect(element.firstElement()?.ns).toBe("http://www.w3.org/XML/1998/namespace");
    expect(element.toXml()).toBe(text);
    expect(parseElement("<xml:a><b/></xml:a>").toXml()).toBe("<xml:a><b/></xml:a>");
  });

  test("keeps prefixed attributes and their namespaces", () => {
    const element = parseElement("<a xmlns:p='urn:p' p:k='1' xml:lang='en'><b p:k='2'/></a>");
    expect(element.toXml()).toBe("<a xmlns:p='urn:p' p:k='1' xml:lang='en'><b xmlns:p='urn:p' p:k='2'/></a>");
    expect(equalElements(element.clone(), element)).toBe(true);
  });
});

describe("equalElements", () => {
  const equal = (a: string, b: string) => equalElements(parseElement(a), parseElement(b));

  test("order of attributes and choice of prefixes do not matter", () => {
    expect(equal("<a x='1' y='2'/>", "<a y='2' x='1'/>")).toBe(true);
    expect(equal("<p:a xmlns:p='u'><p:b/></p:a>", "<a xmlns='u'><b></b></a>")).toBe(true);
    expect(equal("<a xmlns:p='u' p:k='1'/>", "<a xmlns:q='u' q:k='1'/>")).toBe(true);
    expect(equal("<a><![CDATA[x]]>y</a>", "<a>xy</a>")).toBe(true);
    expect(equalElements(new Element("a", "", {}, ["x", "", "y"]), parseElement("<a>xy</a>"))).toBe(true);
  });

  const different: [a: string, b: string][] = [
    ["<a/>", "<b/>"],
    ["<a/>", "<a xmlns='u'/>"],
    ["<a x='1'/>", "<a x='2'/>"],
    ["<a x='1'/>", "<a/>"],
    ["<a x='1'/>", "<a y='1'/>"],
    ["<a xmlns:p='u' p:k='1'/>", "<a xmlns:p='v' p:k='1'/>"],
    ["<a xmlns:p='u' p:k='1'/>", "<a k='1'/>"],
    ["<a>x</a>", "<a>y</a>"],
    ["<a> <b/></a>", "<a><b/></a>"],
    ["<a><b/><c/></a>", "<a><c/><b/></a>"],
    ["<a><b><c/></b></a>", "<a><b><d/></b></a>"],
  ];
  test.each(different)("%s is not %s", (a, b) => {
    expect(equal(a, b)).toBe(false);
    expect(equal(b, a)).toBe(false);
  });
});

test("reading and changing a tree", () => {
  const element = parseElement("<a xmlns='u' k='v'>t<b>1</b><b>2</b><b xmlns='v'>3</b></a>");
  expect(element.attr("k")).toBe("v");
  expect(element.attr("x")).toBeUndefined();
  expect(element.child("b")?.text()).toBe("1");
  expect(element.child("b", "v")?.text()).toBe("3");
  expect(element.child("b", "w")).toBeUndefined();
  expect(element.childText("b")).toBe("1");
  expect(element.childText("c")).toBeUndefined();
  expect(element.childrenNamed("b").map((child) => child.text())).toEqual(["1", "2"]);
  expect(element.elements().length).toBe(3);
  expect(element.firstElement()?.text()).toBe("1");
  expect(new Element("a", "").firstElement()).toBeUndefined();
  const copy = element.clone();
  element.set("k", null).set("n", 5).append(undefined, new Element("c", "u"));
  expect(element.toXml()).toBe("<a xmlns='u' n='5'>t<b>1</b><b>2</b><b xmlns='v'>3</b><c/></a>");
  expect(copy.toXml()).toBe("<a xmlns='u' k='v'>t<b>1</b><b>2</b><b xmlns='v'>3</b></a>");
});
