/** Random XML documents from a seed: mostly right ones, and damaged ones that stay close to right. */

import { Buffer } from "node:buffer";

/** A small generator of random numbers that gives the same series for the same seed everywhere (xorshift32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 0x9e3779b9;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const NAMES = ["a", "b", "message", "body", "iq", "x-1.y", "_", "é", "名前", "\u{10000}", "a\u00b7"];
const PREFIXES = ["p", "q", "stream", "é"];
const NAMESPACES = ["u", "v", "jabber:client", "urn:a&amp;b", "é", "http://etherx.jabber.org/streams"];
const TEXTS = [
  "hello",
  " ",
  "\n",
  "\r\n",
  "\r",
  "\t",
  "]]",
  "]",
  ">",
  "&lt;",
  "&amp;",
  "&gt;",
  "&quot;",
  "&apos;",
  "&#65;",
  "&#x1F600;",
  "&#13;",
  "&#xA;",
  "é",
  "你好",
  "\u{1f600}",
  "\u0085",
  "\u2028",
  "\ufffd",
  "'",
  '"',
  "=",
  "/",
];
const CDATA = ["<![CDATA[]]>", "<![CDATA[<&]]>", "<![CDATA[]]]]>", "<![CDATA[\r\nx]]>", "<![CDATA[ é > ]]>"];

/** What damage puts in: things that mean something somewhere, and bytes that mean nothing anywhere. */
const SCRAPS = [
  "<",
  ">",
  "/",
  "</",
  "/>",
  "&",
  ";",
  "&#",
  "&#x",
  "&#0;",
  "&#xD800;",
  "&#x110000;",
  "&nbsp;",
  "'",
  '"',
  "=",
  ":",
  "]]>",
  "]",
  "<![CDATA[",
  "<!",
  "<!--",
  "-->",
  "<?",
  "?>",
  "<?xml version='1.0'?>",
  "<!DOCTYPE a>",
  "xmlns=''",
  " xmlns='u'",
  " xmlns:p='u'",
  " xmlns:p=''",
  " xmlns:xml='u'",
  " xmlns:xmlns='u'",
  " xmlns:q='http://www.w3.org/XML/1998/namespace'",
  " xmlns='http://www.w3.org/2000/xmlns/'",
  "p:",
  "xml:",
  "xmlns:",
  " a='1'",
  " p:a='1'",
  " q:a='1'",
  "a",
  "1",
  "-",
  ".",
  " ",
  "\n",
  "\r",
  "\t",
  "\0",
  "\u0001",
  "\u001f",
  "\u007f",
  "\u00b7",
  "\u00d7",
  "\u0301",
  "\ufeff",
  "\ufffe",
  "\uffff",
  "\u{f0000}",
  "é",
];
const BYTES = [0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xff, 0x00];
const DECLARATIONS = [
  "",
  "",
  "",
  "<?xml version='1.0'?>",
  '<?xml version="1.0" encoding="UTF-8"?>\n',
  "<?xml version='1.0' encoding='utf-8' standalone='no' ?>",
  "\n",
];

/** A document in UTF-8: as likely right as damaged. */
export function randomDocument(random: SeededRandom): Buffer {
  const declared: string[] = [];
  const [start, name] = startTag(random, declared, true);
  let text = `${random.pick(DECLARATIONS)}${start}>`;
  for (let i = random.below(4); i > 0; i--) text += element(random, declared, 1) + random.pick(["", "", " ", "\n"]);
  const bytes = Buffer.from(`${text}</${name}${random.pick(["", "", " ", "\n"])}>`);
  return random.chance(50) ? bytes : damaged(random, bytes);
}

function element(random: SeededRandom, outer: readonly string[], depth: number): string {
  const declared = [...outer];
  const [start, name] = startTag(random, declared, false);
  if (random.chance(25)) return `${start}/>`;
  let inner = "";
  for (let i = random.below(4); i > 0; i--) {
    const choice = random.below(10);
    if (choice < 4) inner += random.pick(TEXTS);
    else if (choice < 5) inner += random.pick(CDATA);
    else if (depth < 5) inner += element(random, declared, depth + 1);
  }
  return `${start}>${inner}</${name}${random.chance(10) ? random.pick([" ", "\r\n", "\t "]) : ""}>`;
}

/** A start tag without its end, and its name. What it declares is added to `declared`. */
function startTag(random: SeededRandom, declared: string[], root: boolean): [start: string, name: string] {
  const parts: string[] = [];
  if (random.chance(root ? 70 : 20)) parts.push(attribute(random, "xmlns", random.pick([...NAMESPACES, ""])));
  const fresh = new Set<string>();
  for (let i = random.chance(root ? 70 : 15) ? 1 + random.below(2) : 0; i > 0; i--) fresh.add(random.pick(PREFIXES));
  for (const prefix of fresh) {
    declared.push(prefix);
    parts.push(attribute(random, `xmlns:${prefix}`, random.pick(NAMESPACES)));
  }
  const prefixed = (percent: number): string =>
    declared.length !== 0 && random.chance(percent) ? `${random.pick(declared)}:` : "";
  const names = new Set<string>();
  for (let i = random.below(4); i > 0; i--) names.add(prefixed(20) + random.pick(NAMES));
  if (random.chance(10)) names.add("xml:lang");
  for (const name of names) {
    let value = "";
    for (let j = random.below(3); j > 0; j--) value += random.pick(TEXTS);
    parts.push(attribute(random, name, value));
  }
  if (random.chance(50)) parts.reverse();
  const name = prefixed(30) + random.pick(NAMES);
  return [`<${name}${parts.join("")}${random.pick(["", "", "", " ", "\n"])}`, name];
}

function attribute(random: SeededRandom, name: string, value: string): string {
  const quote = random.pick(["'", '"']);
  const safe = value.replaceAll(quote, quote === "'" ? "&apos;" : "&quot;");
  return `${random.pick([" ", " ", " ", "\n", "\t  "])}${name}${random.pick(["=", "=", "=", " = "])}${quote}${safe}${quote}`;
}

function damaged(random: SeededRandom, bytes: Buffer): Buffer {
  let result = bytes;
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.below(result.length + 1);
    const before = result.subarray(0, at);
    const length = 1 + random.below(random.chance(80) ? 4 : 40);
    switch (random.below(6)) {
      case 0: // lose some
        result = Buffer.concat([before, result.subarray(at + length)]);
        break;
      case 1: // repeat some
        result = Buffer.concat([before, result.subarray(Math.max(0, at - length))]);
        break;
      case 2: // replace a byte
        result = Buffer.concat([before, Buffer.from([random.below(256)]), result.subarray(at + 1)]);
        break;
      case 3: // a bad byte
        result = Buffer.concat([before, Buffer.from([random.pick(BYTES)]), result.subarray(at)]);
        break;
      default:
        result = Buffer.concat([before, Buffer.from(random.pick(SCRAPS)), result.subarray(at)]);
    }
  }
  return random.chance(5) ? result.subarray(0, random.below(result.length + 1)) : result;
}
