/** Which response a browser's headers ask for. */
import { expect, test } from "bun:test";
import { acceptsGzip, matchesTag } from "./content-coding.ts";

const codings: [string | null, boolean][] = [
  [null, false],
  ["", false],
  ["gzip", true],
  ["gzip, deflate, br, zstd", true],
  ["br;q=1.0, GZIP;q=0.5", true],
  ["gzip;q=0", false],
  ["gzip; q=0.000, *", false],
  ["*", true],
  ["*;q=0", false],
  ["identity", false],
  ["notgzip", false],
];
test.each(codings)("Accept-Encoding %p: gzip %p", (header, expected) => {
  expect(acceptsGzip(header)).toBe(expected);
});

const tags: [string | null, boolean][] = [
  [null, false],
  ['"abc"', true],
  ['W/"abc"', true],
  ['"x", "abc"', true],
  ["*", true],
  ['"abcd"', false],
  ["abc", false],
];
test.each(tags)("If-None-Match %p: known %p", (header, expected) => {
  expect(matchesTag(header, '"abc"')).toBe(expected);
});
