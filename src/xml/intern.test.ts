/** Shared names and copied texts. */

import { expect, test } from "bun:test";
import { intern, joined, occursAt, ownText } from "./intern.ts";

test("intern gives the text that was asked for, whatever was asked before", () => {
  const names: string[] = [];
  for (let i = 0; i < 5000; i++) names.push(`n${i}`, "x".repeat(i % 120), `urn:xmpp:${i}:0`, `ж${i}`, `\u{1f600}${i}`);
  const text = names.join("");
  for (let round = 0; round < 2; round++) {
    let pos = 0;
    for (const name of names) {
      if (intern(text, pos, pos + name.length) !== name) throw new Error(`not ${name}`);
      pos += name.length;
    }
  }
});

test("ownText and joined keep every character", () => {
  for (const text of ["", "a", "ж", "ab", "жé", "\u{1f600}", "a\ud800", "\udc00\ud800", "x".repeat(10_000)]) {
    expect(ownText(text)).toBe(text);
    expect(joined(text, "é")).toBe(`${text}é`);
  }
});

test("occursAt", () => {
  expect(occursAt("bc", "abcd", 1)).toBe(true);
  expect(occursAt("bd", "abcd", 1)).toBe(false);
  expect(occursAt("de", "abcd", 3)).toBe(false);
  expect(occursAt("", "a", 1)).toBe(true);
});
