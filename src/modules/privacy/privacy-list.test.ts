import { describe, expect, test } from "bun:test";
import { StanzaError } from "../../stanza/errors.ts";
import { parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { stanzaFromFrame } from "../../stanza/stanza.ts";
import { parseElement } from "../../xml/element.ts";
import { parseFrame } from "../../xml/scanner.ts";
import { IQ, kindOf, MESSAGE, PRESENCE_IN, PRESENCE_OUT, PrivacyList, readRules, ruleXml } from "./privacy-list.ts";

const read = (items: string) => readRules(parseElement(`<list xmlns='${ns.privacy}' name='x'>${items}</list>`));
const listOf = (items: string) => new PrivacyList(read(items));
const jid = (text: string) => parseJid(text)!;

describe("matching of addresses (section 2.1)", () => {
  const cases: [rule: string, peer: string, matches: boolean][] = [
    ["user@domain/resource", "user@domain/resource", true],
    ["user@domain/resource", "user@domain/other", false],
    ["user@domain/resource", "user@domain", false],
    ["user@domain", "user@domain/any", true],
    ["user@domain", "user@domain", true],
    ["user@domain", "other@domain", false],
    ["domain/resource", "domain/resource", true],
    ["domain/resource", "user@domain/resource", false],
    ["domain/resource", "domain", false],
    ["domain", "domain", true],
    ["domain", "user@domain/any", true],
    ["domain", "domain/resource", true],
    ["domain", "sub.domain", false],
  ];
  for (const [value, peer, matches] of cases) {
    test(`${value} ${matches ? "matches" : "does not match"} ${peer}`, () => {
      const list = listOf(`<item type='jid' value='${value}' action='deny' order='1'/>`);
      expect(list.denies(jid(peer), MESSAGE)).toBe(matches);
    });
  }
});

describe("decisions", () => {
  test("follow the order, whatever the order of the items", () => {
    const list = listOf(
      "<item action='deny' order='666'/><item type='jid' value='juliet@example.com' action='allow' order='6'/>" +
        "<item type='jid' value='juliet@example.com/balcony' action='deny' order='5'/>",
    );
    expect(list.denies(jid("juliet@example.com/garden"), MESSAGE)).toBe(false);
    expect(list.denies(jid("juliet@example.com/balcony"), MESSAGE)).toBe(true);
    expect(list.denies(jid("romeo@example.com"), MESSAGE)).toBe(true);
  });

  test("of a rule before the more exact one win", () => {
    const list = listOf(
      "<item type='jid' value='example.com' action='allow' order='1'/><item type='jid' value='a@example.com' action='deny' order='2'/>",
    );
    expect(list.denies(jid("a@example.com"), MESSAGE)).toBe(false);
  });

  test("are about the kinds a rule names only", () => {
    const list = listOf(
      "<item type='jid' value='a@x' action='deny' order='1'><message/><presence-out/></item>" +
        "<item type='jid' value='b@x' action='deny' order='2'><iq/><presence-in/></item>",
    );
    const denied = (peer: string) =>
      [MESSAGE, IQ, PRESENCE_IN, PRESENCE_OUT, 0].map((kind) => list.denies(jid(peer), kind));
    expect(denied("a@x")).toEqual([true, false, false, true, false]);
    expect(denied("b@x")).toEqual([false, true, true, false, false]);
  });

  test("about everything include what is of no kind, such as subscriptions", () => {
    expect(listOf("<item type='jid' value='a@x' action='deny' order='1'/>").denies(jid("a@x"), 0)).toBe(true);
  });

  test("go by group and subscription; a stranger has none", () => {
    const list = listOf(
      "<item type='subscription' value='both' action='allow' order='1'/>" +
        "<item type='group' value='Enemies' action='deny' order='2'/><item type='subscription' value='none' action='deny' order='3'/>",
    );
    expect(list.needsRoster).toBe(true);
    const denies = (subscription: "none" | "to" | "both", groups: string[]) =>
      list.denies(jid("a@x"), MESSAGE, { subscription, groups });
    expect(denies("both", ["Enemies"])).toBe(false);
    expect(denies("to", ["Enemies"])).toBe(true);
    expect(denies("to", [])).toBe(false);
    expect(list.denies(jid("a@x"), MESSAGE)).toBe(true);
  });

  test("of an empty list allow", () => {
    expect(new PrivacyList([]).denies(jid("a@x"), MESSAGE)).toBe(false);
  });
});

test("kinds of stanzas, seen from both sides", () => {
  const kinds = (text: string) => {
    const stanza = stanzaFromFrame(parseFrame(text, undefined, ns.client))!;
    return [kindOf(stanza, "in"), kindOf(stanza, "out")];
  };
  expect(kinds("<message/>")).toEqual([MESSAGE, 0]);
  expect(kinds("<iq type='result' id='1'/>")).toEqual([IQ, 0]);
  expect(kinds("<presence/>")).toEqual([PRESENCE_IN, PRESENCE_OUT]);
  expect(kinds("<presence type='unavailable'/>")).toEqual([PRESENCE_IN, PRESENCE_OUT]);
  for (const type of ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"]) {
    expect(kinds(`<presence type='${type}'/>`)).toEqual([0, 0]);
  }
});

describe("what is no rule", () => {
  const cases = [
    "<item type='jid' value='a@x' order='1'/>",
    "<item type='jid' value='a@x' action='ban' order='1'/>",
    "<item type='jid' value='a@x' action='deny'/>",
    "<item type='jid' value='a@x' action='deny' order='-1'/>",
    "<item type='jid' value='a@x' action='deny' order='1.5'/>",
    "<item type='jid' value='a@x' action='deny' order='4294967296'/>",
    "<item type='jid' value='a@x' action='deny' order=''/>",
    "<item type='jid' value='@' action='deny' order='1'/>",
    "<item type='jid' action='deny' order='1'/>",
    "<item type='group' value='' action='deny' order='1'/>",
    "<item type='subscription' value='remove' action='deny' order='1'/>",
    "<item type='ip' value='::1' action='deny' order='1'/>",
    "<item action='deny' order='1'><body/></item>",
    "<item action='deny' order='1'><message xmlns='jabber:client'/></item>",
    "<item action='deny' order='1'/><item action='allow' order='1'/>",
    "<rule action='deny' order='1'/>",
  ];
  for (const items of cases) {
    test(items, () => {
      let thrown: unknown;
      try {
        read(items);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(StanzaError);
      expect((thrown as StanzaError).condition).toBe("bad-request");
    });
  }
});

test("rules are written as they were read, addresses prepared", () => {
  const items =
    "<item type='jid' value='Tybalt@Example.com' action='deny' order='3'><message/><presence-in/></item><item action='allow' order='68'/>";
  expect(
    read(items)
      .map((rule) => ruleXml(rule).text)
      .join(""),
  ).toBe(
    "<item type='jid' value='tybalt@example.com' action='deny' order='3'><message/><presence-in/></item><item action='allow' order='68'/>",
  );
});
