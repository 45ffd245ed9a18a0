import { expect, test } from "bun:test";
import { parseTimestamp } from "./timestamp.ts";

const table: readonly (readonly [text: string, moment: string | undefined])[] = [
  ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"],
  [" 2026-01-31T12:00:00Z\n", "2026-01-31T12:00:00.000Z"],
  ["2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123Z"],
  ["2026-01-31T12:00:00+05:30", "2026-01-31T06:30:00.000Z"],
  ["2026-01-31T12:00:00-01:00", "2026-01-31T13:00:00.000Z"],
  ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"],
  ["2026-02-29T00:00:00Z", undefined],
  ["2026-13-01T00:00:00Z", undefined],
  ["2026-00-01T00:00:00Z", undefined],
  ["2026-01-00T00:00:00Z", undefined],
  ["2026-01-01T24:00:00Z", undefined],
  ["2026-01-01T00:60:00Z", undefined],
  ["2026-01-01T00:00:00", undefined],
  ["2026-01-01", undefined],
  ["1690000000", undefined],
  ["", undefined],
];

for (const [text, moment] of table) {
  test(`'${text}'`, () => {
    const parsed = parseTimestamp(text);
    expect(parsed === undefined ? undefined : new Date(parsed).toISOString()).toBe(moment);
  });
}
