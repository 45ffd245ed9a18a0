import { expect, test } from "bun:test";
import { wordsOf } from "./words.ts";

const table: readonly (readonly [text: string, words: readonly string[]])[] = [
  ["", []],
  [" ... !", []],
  ["Hello, hello WORLD 42", ["hello", "world", "42"]],
  ["don't_stop", ["don", "t", "stop"]],
  ["Crème BRÛLÉE naïve", ["creme", "brulee", "naive"]],
  ["Straße Ελλάδα привет", ["straße", "ελλαδα", "привет"]],
  ["ﬁne ２０２６", ["fine", "2026"]],
  ["東京都 ramen", ["東京", "京都", "ramen"]],
  ["abc東京def", ["abc", "東京", "def"]],
  ["東", ["東"]],
  ["😀 smile", ["smile"]],
  ["' & | ! : * \\ \"", []],
];

for (const [text, words] of table) test(`the words of '${text}'`, () => expect(wordsOf(text)).toEqual([...words]));

test("a long word is cut, and a long text has an end", () => {
  expect(wordsOf("a".repeat(1_000))).toEqual(["a".repeat(64)]);
  expect(wordsOf("ä".repeat(1_000))[0]!.length).toBe(64);
  expect(wordsOf(Array.from({ length: 5_000 }, (_, number) => `w${number}`).join(" ")).length).toBe(500);
});
