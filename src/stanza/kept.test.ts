import { expect, test } from "bun:test";
import { parseFrame } from "../xml/scanner.ts";
import { kept } from "./kept.ts";
import { ns } from "./ns.ts";
import { type Stanza, stanzaFromFrame } from "./stanza.ts";

const parsed = (text: string): Stanza => stanzaFromFrame(parseFrame(text, undefined, ns.client))!;

test("is the same stanza", () => {
  const text = "<presence from='a@b/c' id='7' xml:lang='en'><show>away</show><x xmlns='urn:x'/></presence>";
  const copy = kept(parsed(text));
  expect(copy.toXml()).toBe(parsed(text).toXml());
  expect(copy.text("show")).toBe("away");
  expect(copy.has("x", "urn:x")).toBe(true);
});

test("shares its inside with earlier ones of other senders", () => {
  const one = kept(parsed("<presence from='a@b/c'><show>away</show></presence>"));
  const two = kept(parsed("<presence from='d@e/f'><show>away</show></presence>"));
  expect(two.children).toBe(one.children);
  expect(two.from?.full).toBe("d@e/f");
});

test("a long inside is its own", () => {
  const status = "x".repeat(2_000);
  const text = `<presence><status>${status}</status></presence>`;
  expect(kept(parsed(text)).text("status")).toBe(status);
  expect(kept(parsed(text)).children).not.toBe(kept(parsed(text)).children);
});
