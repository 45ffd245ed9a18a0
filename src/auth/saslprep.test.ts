/** RFC 4013 section 3's examples, and the edges. */
import { describe, expect, test } from "bun:test";
import { saslprep } from "./saslprep.ts";

describe("saslprep", () => {
  test.each([
    ["I\u00adX", "IX"],
    ["user", "user"],
    ["USER", "USER"],
    ["\u00aa", "a"],
    ["\u2168", "IX"],
    ["a\u00a0b", "a b"],
    ["\u0627\u0031\u0628", "\u0627\u0031\u0628"],
    ["newer than Unicode 3.2: \u{1f600}", "newer than Unicode 3.2: \u{1f600}"],
  ])("%j becomes %j", (text, expected) => {
    expect(saslprep(text)).toBe(expected);
  });

  test.each([
    [""],
    ["\u0007"],
    ["a\u007f"],
    ["\u0627\u0031"],
    ["\u00ad"],
    ["a\ud800"],
    ["\ue000"],
    ["x".repeat(1024)],
    ["\u00e4".repeat(1024)],
  ])("%j is refused", (text) => {
    expect(saslprep(text)).toBeUndefined();
  });
});
