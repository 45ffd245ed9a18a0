import { describe, expect, test } from "bun:test";
import { StanzaError } from "../../stanza/errors.ts";
import { type Affiliation, type AffiliationChange, changeOccupants, type OwnerRules } from "./affiliations.ts";

/** `a:owner b:member`. */
const read = (text: string) =>
  text === "" ? [] : text.split(" ").map((one) => ({ jid: one.split(":")[0]!, affiliation: one.split(":")[1]! }));
const occupants = (text: string) =>
  new Map(read(text).map(({ jid, affiliation }) => [jid, affiliation as Affiliation] as const));
const written = (changes: Iterable<AffiliationChange>) =>
  [...changes].map(({ jid, affiliation }) => `${jid}:${affiliation}`).join(" ");

const usual: OwnerRules = { multipleOwners: false, promotes: true };
const several: OwnerRules = { multipleOwners: true, promotes: true };
const strict: OwnerRules = { multipleOwners: false, promotes: false };

function change(before: string, wishes: string, rules: OwnerRules): string {
  try {
    const { after, changes } = changeOccupants(occupants(before), read(wishes) as AffiliationChange[], rules);
    const left = written([...after].map(([jid, affiliation]) => ({ jid, affiliation })));
    return `${left} | ${written(changes)}`;
  } catch (error) {
    if (error instanceof StanzaError) return error.condition;
    throw error;
  }
}

describe("occupants change", () => {
  const cases: [string, string, OwnerRules, string][] = [
    ["a:owner", "c:member b:member", usual, "a:owner b:member c:member | c:member b:member"],
    ["a:owner b:member", "b:none", usual, "a:owner | b:none"],
    ["a:owner b:member", "b:owner", usual, "a:member b:owner | a:member b:owner"],
    ["a:owner b:member", "b:owner a:none", usual, "b:owner | b:owner a:none"],
    ["a:owner b:member c:member", "a:none", usual, "b:owner c:member | b:owner a:none"],
    ["b:owner c:member", "a:member b:none", usual, "a:member c:owner | c:owner a:member b:none"],
    ["a:owner b:member", "a:none b:none c:member", usual, "c:owner | c:owner a:none b:none"],
    ["a:owner b:member", "a:member b:none", usual, "a:owner | b:none"],
    ["a:owner b:member", "a:member", usual, "a:member b:owner | b:owner a:member"],
    ["a:owner", "a:none", usual, " | a:none"],
    ["a:owner", "a:member", usual, "bad-request"],
    ["a:owner", "b:owner c:owner", usual, "bad-request"],
    ["a:owner", "b:none", usual, "bad-request"],
    ["a:owner b:member", "b:member", usual, "bad-request"],
    ["a:owner", "b:member b:member", usual, "bad-request"],
    ["a:member", "b:owner", usual, "bad-request"],
    ["a:member b:member", "a:none", usual, "b:member | a:none"],
    ["a:owner", "b:owner c:owner", several, "a:owner b:owner c:owner | b:owner c:owner"],
    ["a:owner b:owner", "a:none", several, "b:owner | a:none"],
    ["a:owner b:owner c:member", "a:none b:none", several, "c:owner | c:owner a:none b:none"],
    // A room of two owners from the time when that was allowed goes on, until there is a new one.
    ["a:owner b:owner", "c:member", usual, "a:owner b:owner c:member | c:member"],
    ["a:owner b:owner", "c:owner", usual, "a:member b:member c:owner | a:member b:member c:owner"],
    ["a:owner b:member", "a:none", strict, "bad-request"],
    ["a:owner b:member", "a:none b:owner", strict, "b:owner | a:none b:owner"],
    ["a:owner b:member", "a:none b:none", strict, " | a:none b:none"],
  ];
  test.each(cases)("%s, asked for %s", (before, wishes, rules, expected) => {
    expect(change(before, wishes, rules)).toBe(expected);
  });
});
