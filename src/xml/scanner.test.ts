/** The scanner: what comes out must not depend on how the bytes are cut. */
import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { OPEN, OPENED, Trace, traceOf } from "../../test/support/scanner-trace.ts";
import { frameAttribute, Scanner } from "./scanner.ts";

describe("documents that are accepted, cut anywhere", () => {
  const good: [name: string, content: string, ...expected: string[]][] = [
    ["nothing inside", ""],
    ["an empty element", "<presence/>", "{jabber:client}presence"],
    ["an empty element with two tags", "<presence></presence >", "{jabber:client}presence"],
    [
      "attributes in both quotes",
      `<iq id='a"b' type = "g'h"\n\tto='x'/>`,
      `{jabber:client}iq id=[a"b] type=[g'h] to=[x]`,
    ],
    [
      "references and white space in a value",
      "<iq id='&lt;&amp;&gt;&apos;&quot;&#65;&#x1F600;&#10;\t\n\r\nx'/>",
      `{jabber:client}iq id=[<&>'"A\u{1f600}\n   x]`,
    ],
    [
      "text with references, left as it is",
      "<message><body>a &lt; b &#38; c > d ]] ]></body></message>",
      "{jabber:client}message inner=[<body>a &lt; b &#38; c > d ]] ]></body>] " +
        "child={jabber:client}body@[<body>a &lt; b &#38; c > d ]] ]></body>]",
    ],
    [
      "CDATA",
      "<a><![CDATA[<b>&]]]]><![CDATA[>]]></a><b><![CDATA[]]></b>",
      "{jabber:client}a inner=[<![CDATA[<b>&]]]]><![CDATA[>]]>]",
      "{jabber:client}b inner=[<![CDATA[]]>]",
    ],
    ["white space between", "  <a/>\n\r\t <b/> ", "{jabber:client}a", "{jabber:client}b"],
    ["xml:lang", "<a xml:lang='de'/>", "{jabber:client}a xml:lang=[de]"],
    [
      "children with other namespaces",
      "<a>x<b xmlns='urn:b'><c/></b>y<d/></a>",
      "{jabber:client}a inner=[x<b xmlns='urn:b'><c/></b>y<d/>] " +
        "child={urn:b}b@[<b xmlns='urn:b'><c/></b>] child={jabber:client}d@[<d/>]",
    ],
    [
      "a prefix declared inside",
      "<a><x:b xmlns:x='urn:x' x:k='1'><x:c/></x:b></a>",
      "{jabber:client}a inner=[<x:b xmlns:x='urn:x' x:k='1'><x:c/></x:b>] " +
        "child={urn:x}b@[<x:b xmlns:x='urn:x' x:k='1'><x:c/></x:b>]",
    ],
    ["another namespace", "<auth xmlns='urn:s'>YQ==</auth><b/>", "{urn:s}auth inner=[YQ==]", "{jabber:client}b"],
    ["no namespace", "<a xmlns=''><b/></a>", "{}a inner=[<b/>] child={}b@[<b/>]"],
    ["the stream's prefix", "<stream:error/>", "{http://etherx.jabber.org/streams}error"],
    [
      "the stream's prefix around other elements",
      "<stream:error><a xmlns='urn:a'>x&lt;y<![CDATA[<&]]></a><stream:b k='&#9;'/><c/></stream:error>",
      "{http://etherx.jabber.org/streams}error " +
        "inner=[<a xmlns='urn:a'>x&lt;y&lt;&amp;</a><b k='&#9;'/><c xmlns='jabber:client'/>] " +
        "child={urn:a}a@[<a xmlns='urn:a'>x&lt;y&lt;&amp;</a>] " +
        "child={http://etherx.jabber.org/streams}b@[<b k='&#9;'/>] child={jabber:client}c@[<c xmlns='jabber:client'/>]",
    ],
    [
      "a prefixed element with text only",
      "<stream:b> x </stream:b>",
      "{http://etherx.jabber.org/streams}b inner=[ x ]",
    ],
    [
      "a prefix of the element used inside",
      "<a xmlns:q='urn:q'><b q:k='v'/></a>",
      "{jabber:client}a inner=[<b xmlns:q='urn:q' q:k='v'/>] child={jabber:client}b@[<b xmlns:q='urn:q' q:k='v'/>]",
    ],
    [
      "a prefix of the stream hidden by the element's",
      "<a xmlns:stream='urn:q'><stream:b/></a><stream:c/>",
      "{jabber:client}a inner=[<b xmlns='urn:q'/>] child={urn:q}b@[<b xmlns='urn:q'/>]",
      "{http://etherx.jabber.org/streams}c",
    ],
    [
      "a prefix declared again further inside and free again after it",
      "<a><b xmlns:p='urn:1'><p:c xmlns:p='urn:2'/><p:d/></b></a>",
      "{jabber:client}a inner=[<b xmlns:p='urn:1'><p:c xmlns:p='urn:2'/><p:d/></b>] " +
        "child={jabber:client}b@[<b xmlns:p='urn:1'><p:c xmlns:p='urn:2'/><p:d/></b>]",
    ],
    [
      "text beyond ASCII",
      "<m><body>ж é 你 \u{1f600} \u00a0 \ufffd</body></m>",
      "{jabber:client}m inner=[<body>ж é 你 \u{1f600} \u00a0 \ufffd</body>] " +
        "child={jabber:client}body@[<body>ж é 你 \u{1f600} \u00a0 \ufffd</body>]",
    ],
    [
      "names beyond ASCII",
      "<é ж·='1'><\u{10000}/></é>",
      "{jabber:client}é ж·=[1] inner=[<\u{10000}/>] child={jabber:client}\u{10000}@[<\u{10000}/>]",
    ],
    [
      "the prefix xml declared as what it is",
      "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
      "{jabber:client}a",
    ],
    [
      "the same local name under two namespaces",
      "<a xmlns:p='urn:p' p:k='1' k='2'/>",
      "{jabber:client}a p:k=[1] k=[2]",
    ],
    [
      "line ends",
      "<a k='1'\r\n>\r\n<b\r/></a\n>",
      "{jabber:client}a k=[1] inner=[\r\n<b\r/>] child={jabber:client}b@[<b\r/>]",
    ],
    ["DEL and C1 controls", "<a k='\u007f'>\u0085</a>", "{jabber:client}a k=[\u007f] inner=[\u0085]"],
  ];
  test.each(good)("%s", (_name, content, ...expected) => {
    expect(traceOf(`${OPEN}${content}</stream:stream>`)).toEqual([OPENED, ...expected, "end"]);
  });

  const declarations = [
    "<?xml version='1.0'?>",
    '<?xml version="1.0" encoding="UTF-8"?>\r\n',
    "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>",
    "<?xml\n version = '1.0'\t?> \n",
    "\n ",
  ];
  test.each(declarations)("prolog %j", (declaration) => {
    expect(traceOf(`${declaration}${OPEN}<a/>`)).toEqual([OPENED, "{jabber:client}a"]);
  });

  test("a root element without content or namespace", () => {
    expect(traceOf("<a b='1'/>")).toEqual(["open {}a b=[1]", "end"]);
    expect(traceOf("<a/><b/>")).toEqual(["open {}a", "end"]);
    expect(traceOf("<a><b/></a>")).toEqual(["open {}a", "{}b", "end"]);
  });

  test("whatever follows the root element is ignored", () => {
    expect(traceOf(`${OPEN}</stream:stream>garbage<<<\u0000`)).toEqual([OPENED, "end"]);
    expect(traceOf(Buffer.concat([Buffer.from(`${OPEN}</stream:stream>`), Buffer.from([0xff])]))).toEqual([
      OPENED,
      "end",
    ]);
  });
});

describe("documents that are refused, cut anywhere", () => {
  const bad: [name: string, content: string, condition: string][] = [
    ["an end tag of another name", "<a></b>", "not-well-formed"],
    ["an end tag of a longer name", "<a></ab>", "not-well-formed"],
    ["an end tag of a shorter name", "<ab></a>", "not-well-formed"],
    ["an end tag with the wrong prefix", "<a><x:b xmlns:x='u' xmlns:y='u'></y:b></a>", "not-well-formed"],
    ["an end tag with an attribute", "<a></a b='1'>", "not-well-formed"],
    ["another root's end tag", "</stream>", "not-well-formed"],
    ["space before a name", "< a/>", "not-well-formed"],
    ["space in an end tag", "<a></ a>", "not-well-formed"],
    ["an attribute twice", "<a b='1' b='2'/>", "not-well-formed"],
    ["an attribute twice under two prefixes", "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "not-well-formed"],
    [
      "an attribute twice under two prefixes inside",
      "<a><c xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/></a>",
      "not-well-formed",
    ],
    ["a namespace declared twice", "<a xmlns='u' xmlns='v'/>", "not-well-formed"],
    ["a prefix declared twice", "<a xmlns:p='u' xmlns:p='v'/>", "not-well-formed"],
    ["no space between attributes", "<a b='1'c='2'/>", "not-well-formed"],
    ["an attribute without quotes", "<a b=1/>", "not-well-formed"],
    ["an attribute without a value", "<a b/>", "not-well-formed"],
    ["an attribute without a name", "<a ='1'/>", "not-well-formed"],
    ["< in a value", "<a b='<'/>", "not-well-formed"],
    ["< in a tag", "<a <b/>", "not-well-formed"],
    ["a slash in a tag", "<a / >", "not-well-formed"],
    ["]]> in text", "<a>]]></a>", "not-well-formed"],
    ["]]]> in text", "<a>]]]></a>", "not-well-formed"],
    ["& alone", "<a>& </a>", "not-well-formed"],
    ["&;", "<a>&;</a>", "not-well-formed"],
    ["an unknown entity", "<a>&nbsp;</a>", "restricted-xml"],
    ["an unknown entity in a value", "<a b='&x;'/>", "restricted-xml"],
    ["a reference without a number", "<a>&#;</a>", "not-well-formed"],
    ["a hexadecimal reference without a number", "<a>&#x;</a>", "not-well-formed"],
    ["a reference with a capital X", "<a>&#X41;</a>", "not-well-formed"],
    ["a reference to NUL", "<a>&#0;</a>", "not-well-formed"],
    ["a reference to a control character", "<a b='&#x1F;'/>", "not-well-formed"],
    ["a reference to a surrogate", "<a>&#xD800;</a>", "not-well-formed"],
    ["a reference to U+FFFE", "<a>&#xFFFE;</a>", "not-well-formed"],
    ["a reference beyond Unicode", "<a>&#x110000;</a>", "not-well-formed"],
    ["a reference padded endlessly", `<a>&#${"0".repeat(40)}65;</a>`, "policy-violation"],
    ["a control character in text", "<a>\u0001</a>", "not-well-formed"],
    ["NUL in a value", "<a b='\u0000'/>", "not-well-formed"],
    ["a control character in CDATA", "<a><![CDATA[\u0008]]></a>", "not-well-formed"],
    ["U+FFFE in text", "<a>\ufffe</a>", "not-well-formed"],
    ["U+FFFF in a value", "<a b='\uffff'/>", "not-well-formed"],
    ["U+FFFF in CDATA", "<a><![CDATA[\uffff]]></a>", "not-well-formed"],
    ["a digit at the beginning of a name", "<1a/>", "not-well-formed"],
    ["a hyphen at the beginning of an attribute", "<a -b='1'/>", "not-well-formed"],
    ["U+00D7 in a name", "<a\u00d7/>", "not-well-formed"],
    ["a combining mark at the beginning of a name", "<\u0301a/>", "not-well-formed"],
    ["a private character in a name", "<a\u{f0000}/>", "not-well-formed"],
    ["a prefix that is not declared", "<p:a/>", "not-well-formed"],
    ["a prefix that is not declared inside", "<a><p:b/></a>", "not-well-formed"],
    ["an attribute's prefix that is not declared", "<a p:b='1'/>", "not-well-formed"],
    ["a prefix after its element's end tag", "<a><b xmlns:p='u'></b><p:c/></a>", "not-well-formed"],
    ["a prefix after its element", "<a><b xmlns:p='u'/><p:c/></a>", "not-well-formed"],
    ["two colons", "<a:b:c/>", "not-well-formed"],
    ["two colons after a prefix that is declared", "<stream:b:c/>", "not-well-formed"],
    ["a colon first", "<:a/>", "not-well-formed"],
    ["a colon last", "<stream:/>", "not-well-formed"],
    ["a digit after the colon", "<stream:1/>", "not-well-formed"],
    ["the prefix xmlns used", "<xmlns:a/>", "not-well-formed"],
    ["the prefix xmlns declared", "<a xmlns:xmlns='u'/>", "not-well-formed"],
    ["the prefix xml bound to something else", "<a xmlns:xml='u'/>", "not-well-formed"],
    ["another prefix for xml", "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "not-well-formed"],
    ["xml's namespace as default", "<a xmlns='http://www.w3.org/XML/1998/namespace'/>", "not-well-formed"],
    ["xmlns' namespace as default", "<a xmlns='http://www.w3.org/2000/xmlns/'/>", "not-well-formed"],
    ["a prefix for nothing", "<a xmlns:p=''/>", "not-well-formed"],
    ["a comment", "<a><!-- x --></a>", "restricted-xml"],
    ["a comment between", "<!-- x -->", "restricted-xml"],
    ["a processing instruction", "<a><?x y?></a>", "restricted-xml"],
    ["a processing instruction between", "<?x y?>", "restricted-xml"],
    ["an XML declaration between", "<?xml version='1.0'?>", "restricted-xml"],
    ["a document type between", "<!DOCTYPE a>", "restricted-xml"],
    ["a CDATA section begun wrongly", "<a><![CDATX[]]></a>", "restricted-xml"],
    ["a CDATA section between", "<![CDATA[ ]]>", "restricted-xml"],
    ["text between", "x", "bad-format"],
    ["a reference between", "&#32;", "bad-format"],
    ["a byte order mark between", "\ufeff<a/>", "bad-format"],
  ];
  test.each(bad)("%s", (_name, content, condition) => {
    const refused = traceOf(`${OPEN}<first/>${content}</stream:stream>`);
    expect(refused).toEqual([OPENED, "{jabber:client}first", `error ${condition}`]);
  });

  const prologs: [prolog: string, condition: string][] = [
    ["<!DOCTYPE a><a>", "restricted-xml"],
    ["<!-- x --><a>", "restricted-xml"],
    ["<?php?><a>", "restricted-xml"],
    ["<?xml version='1.0'?><?x?><a>", "restricted-xml"],
    [" <?xml version='1.0'?><a>", "restricted-xml"],
    ["<?xml version='1.1'?><a>", "not-well-formed"],
    ["<?xml?><a>", "not-well-formed"],
    ["<?xml encoding='UTF-8'?><a>", "not-well-formed"],
    ["<?xml version='1.0' standalone='maybe'?><a>", "not-well-formed"],
    ["<?xml version='1.0' encoding='ISO-8859-1'?><a>", "unsupported-encoding"],
    [`<?xml version='1.0'${" ".repeat(300)}?><a>`, "policy-violation"],
    ["GET / HTTP/1.1\r\n\r\n", "not-well-formed"],
    ["\ufeff<a>", "not-well-formed"],
    ["</a>", "not-well-formed"],
    ["<a b='1' b='2'>", "not-well-formed"],
    ["<p:a>", "not-well-formed"],
    ["<a p:b=''>", "not-well-formed"],
    ["<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'>", "not-well-formed"],
  ];
  test.each(prologs)("at the beginning: %j", (prolog, condition) => {
    expect(traceOf(prolog)).toEqual([`error ${condition}`]);
  });

  const invalid: [name: string, bytes: number[]][] = [
    ["a lone continuation byte", [0x80]],
    ["an overlong slash", [0xc0, 0xaf]],
    ["an overlong three-byte form", [0xe0, 0x80, 0xaf]],
    ["an overlong four-byte form", [0xf0, 0x80, 0x80, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["beyond U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
    ["a byte that UTF-8 never has", [0xff]],
    ["a character cut short", [0xc3, 0x41]],
    ["a longer character cut short", [0xf0, 0x9f, 0x98, 0x41]],
  ];
  test.each(invalid)("%s", (_name, bytes) => {
    const document = Buffer.concat([Buffer.from(`${OPEN}<a>é</a><b>`), Buffer.from(bytes), Buffer.from("</b><c/>")]);
    expect(traceOf(document)).toEqual([OPENED, "{jabber:client}a inner=[é]", "error unsupported-encoding"]);
  });
});

test("contentNs and the declared prefixes are those of the stream header", () => {
  let prefixes: readonly string[] = [];
  const scanner = new Scanner({
    streamStart: (_frame, declared) => {
      prefixes = declared;
      return true;
    },
    element: () => true,
    streamEnd: () => {},
  });
  scanner.push(Buffer.from("<s xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:s='urn:s'>"));
  expect(scanner.contentNs).toBe("jabber:server");
  expect(prefixes).toEqual(["db", "jabber:server:dialback", "s", "urn:s"]);
});

test("a prefix ends with the top-level element that declared it", () => {
  expect(traceOf("<s><a xmlns:p='u'/><p:c/>")).toEqual(["open {}s", "{}a", "error not-well-formed"]);
});

test("frameAttribute", () => {
  const frame = new Trace().push("<s><a b='1' c='2'/>").frames[0]!;
  expect(frameAttribute(frame, "c")).toBe("2");
  expect(frameAttribute(frame, "1")).toBeUndefined();
});
